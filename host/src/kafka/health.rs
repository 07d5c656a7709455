//! Whether Kafka can be reached and lets us in, told in few words and not too often.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::context::Member;
use crate::edge::Event;

/// How often at most a trouble that changes its words is told, in ms.
const TELL_INTERVAL_MS: u64 = 3_000;

/// How often it is asked whether the brokers are back, in ms; also how late it is noticed.
const PROBE_INTERVAL_MS: u64 = 500;

/// How long one such question may take, in ms. It holds up the consumer's thread, which has nothing to read then,
/// and is enough for an answer over a connection that librdkafka has made again by itself.
const PROBE_MS_MAX: u64 = 200;

/// What is wrong now, and what was said about it.
#[derive(Debug, Default)]
pub(super) struct Health {
    trouble: Option<Trouble>,
    /// What was told last, and when.
    told: Option<(String, Instant)>,
    /// What the last connection that failed said: "all brokers are down" alone says nothing.
    connection: Option<String>,
    probed_at: Option<Instant>,
}

#[derive(Debug)]
struct Trouble {
    text: String,
    /// No broker answers. Else one does, but refuses something.
    unreachable: bool,
}

impl Health {
    /// Notes an error that librdkafka told.
    pub(super) fn note(&mut self, error: &KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka reports an error");
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown) => {
                let why = self.connection.as_deref().unwrap_or(reason);
                let text = format!("no broker can be reached: {why}");
                self.trouble = Some(Trouble { text, unreachable: true });
            }
            Some(Code::Authentication | Code::SSL | Code::SaslAuthenticationFailed) => {
                let text = format!("the brokers do not let us in: {reason}");
                self.connection = Some(reason.to_owned());
                self.trouble = Some(Trouble { text, unreachable: true });
            }
            // One of several brokers: only of interest when it is the last.
            Some(Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut) => {
                self.connection = Some(reason.to_owned());
            }
            // It is replaced, and says so itself.
            Some(Code::PollExceeded | Code::Fatal) => {}
            _ => self.note_refusal(format!("{error}: {reason}")),
        }
    }

    /// Notes that Kafka is there but refuses what we ask for.
    pub(super) fn note_refusal(&mut self, text: String) {
        if !self.trouble.as_ref().is_some_and(|trouble| trouble.unreachable) {
            self.trouble = Some(Trouble { text, unreachable: false });
        }
    }

    /// Notes that messages arrive or partitions were assigned: nothing is refused any more. (It says nothing about
    /// brokers that cannot be reached: messages may have been fetched long ago.)
    pub(super) fn note_messages(&mut self) {
        self.trouble.take_if(|trouble| !trouble.unreachable);
    }

    /// Asks on, and returns what is to be told now.
    pub(super) fn look(&mut self, consumer: &Member, topics: &[String]) -> Option<Event> {
        if self.trouble.as_ref().is_some_and(|trouble| trouble.unreachable) {
            self.probe(consumer, topics);
        }
        match (&self.trouble, &self.told) {
            (None, None) => None,
            (None, Some(_)) => {
                self.told = None;
                Some(Event::Trouble(None))
            }
            (Some(trouble), Some((text, _))) if trouble.text == *text => None,
            (Some(_), Some((_, at))) if at.elapsed() < Duration::from_millis(TELL_INTERVAL_MS) => None,
            (Some(trouble), _) => {
                self.told = Some((trouble.text.clone(), Instant::now()));
                Some(Event::Trouble(Some(trouble.text.clone())))
            }
        }
    }

    fn probe(&mut self, consumer: &Member, topics: &[String]) {
        if self.probed_at.is_some_and(|at| at.elapsed() < Duration::from_millis(PROBE_INTERVAL_MS)) {
            return;
        }
        // One topic is a smaller question than all, but a regular expression is not a topic.
        let topic = topics.iter().map(String::as_str).find(|topic| !topic.starts_with('^'));
        let answer = consumer.fetch_metadata(topic, Duration::from_millis(PROBE_MS_MAX));
        self.probed_at = Some(Instant::now());
        // Any answer of a broker will do, even "I do not know this topic".
        let is_silence = |error: KafkaError| {
            let local = [Code::BrokerTransportFailure, Code::OperationTimedOut, Code::AllBrokersDown];
            error.rdkafka_error_code().is_none_or(|code| {
                local.contains(&code) || matches!(code, Code::Resolve | Code::Authentication | Code::SSL)
            })
        };
        if !answer.err().is_some_and(is_silence) {
            self.trouble = None;
            self.connection = None;
        }
    }
}
