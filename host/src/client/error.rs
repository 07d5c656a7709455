//! Why there is no answer, in the words that a user reads.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use ureq::Timeout;

use super::Target;

/// Why a request has not been answered as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nobody is there.
    Unreachable(String),
    /// The connection ended before the answer came: what was asked for may have been done or not.
    Lost(String),
    /// The token is missing or wrong.
    Unauthorized(String),
    /// The host says no.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why; there may be several lines.
        detail: String,
    },
    /// What answers is no gristmill, or one of another version.
    Strange(String),
}

impl Error {
    /// From what the HTTP library says; `limit` is the time that the request had.
    pub(super) fn of(error: ureq::Error, target: &Target, limit: Duration) -> Self {
        let Target { url, url_from, .. } = target;
        match Cause::of(error) {
            Cause::Unreachable(why) => Self::Unreachable(format!(
                "no host answers at `{url}` (from {url_from}): {why}\n  hint: is `gristmill run` running there? \
                 `--admin URL` names another address"
            )),
            Cause::Late => Self::Lost(format!(
                "the host at `{url}` has not answered within {} s\n  hint: `gristmill status` tells what it is doing",
                limit.as_secs()
            )),
            Cause::Lost(why) => {
                Self::Lost(format!("the connection to the host at `{url}` ended early: {why}"))
            }
            Cause::Strange(why) => Self::Strange(format!(
                "what is at `{url}` does not answer as gristmill's admin API does: {why}"
            )),
        }
    }

    /// Whether the host could not be reached, or not long enough.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Lost(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text) | Self::Lost(text) | Self::Unauthorized(text) | Self::Strange(text) => {
                f.write_str(text)
            }
            Self::Refused { detail, .. } => f.write_str(detail),
        }
    }
}

impl std::error::Error for Error {}

/// Whose fault it is.
enum Cause {
    Unreachable(String),
    Late,
    Lost(String),
    Strange(String),
}

impl Cause {
    fn of(error: ureq::Error) -> Self {
        use ureq::Error as E;
        match error {
            E::Io(error) => match error.kind() {
                ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe => Self::Lost(error.to_string()),
                ErrorKind::InvalidData => Self::Strange(error.to_string()),
                _ => Self::Unreachable(error.to_string()),
            },
            E::HostNotFound => Self::Unreachable("there is no machine of that name".to_owned()),
            E::ConnectionFailed => Self::Unreachable("the connection failed".to_owned()),
            E::Timeout(Timeout::Resolve | Timeout::Connect) => {
                Self::Unreachable("it does not take the connection in time".to_owned())
            }
            E::Timeout(_) => Self::Late,
            E::NativeTls(error) => Self::Unreachable(format!("no secure connection: {error}")),
            E::Tls(error) => Self::Unreachable(format!("no secure connection: {error}")),
            other => Self::Strange(other.to_string()),
        }
    }
}
