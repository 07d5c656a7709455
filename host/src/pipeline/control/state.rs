//! What a plugin is doing, as others see it.

/// What a plugin is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its component is being loaded, or the topics it needs are being waited for.
    Starting {
        /// What it waits for, and how to mend it.
        reason: String,
    },
    /// It waits for its consumer group to give it partitions.
    Joining {
        /// What is in the way, if anything is.
        trouble: Option<String>,
    },
    /// It handles messages.
    Running,
    /// It handles messages, but something outside is in the way.
    Troubled {
        /// What.
        trouble: String,
    },
    /// It finishes what is in flight and ends.
    Draining,
}

impl State {
    /// The state's word in the API.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting { .. } => "starting",
            Self::Joining { .. } => "joining",
            Self::Running => "running",
            Self::Troubled { .. } => "troubled",
            Self::Draining => "draining",
        }
    }

    /// Why the plugin is not ready; none when it is.
    pub fn not_ready(&self) -> Option<String> {
        match self {
            Self::Running => None,
            Self::Starting { reason } => Some(reason.clone()),
            Self::Joining { trouble: None } => {
                Some("waiting for the consumer group to assign partitions".to_owned())
            }
            Self::Joining { trouble: Some(trouble) } | Self::Troubled { trouble } => Some(trouble.clone()),
            Self::Draining => Some("draining".to_owned()),
        }
    }
}
