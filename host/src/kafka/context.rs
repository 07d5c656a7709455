//! What librdkafka calls while the consumer is polled. It only writes down: news is handled where the consumer's
//! thread looks for it, so that no callback ever waits or changes an assignment behind the back of the reader.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

/// The consumer of this room: a member of its group.
pub(super) type Member = BaseConsumer<Context>;

/// A change of the assignment that the group waits for us to acknowledge.
pub(super) enum Rebalance {
    /// Partitions to take.
    Assign(TopicPartitionList),
    /// Partitions to give up.
    Revoke(TopicPartitionList),
    /// Partitions that are gone already.
    Lose(TopicPartitionList),
}

/// Notes of what librdkafka said, in the order in which it said it.
#[derive(Default)]
pub(super) struct Context {
    rebalances: Mutex<VecDeque<Rebalance>>,
    errors: Mutex<VecDeque<(KafkaError, String)>>,
    calls: AtomicU64,
    closing: AtomicBool,
}

impl Context {
    /// Changes of the assignment that are not handled yet, the oldest first. The lock is held for a few
    /// instructions only.
    pub(super) fn rebalances(&self) -> MutexGuard<'_, VecDeque<Rebalance>> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the errors that were told since the last call.
    pub(super) fn take_errors(&self) -> VecDeque<(KafkaError, String)> {
        std::mem::take(&mut *self.errors.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often librdkafka has called so far. A poll that returned nothing but called has found something, and
    /// more may be waiting behind it.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// From now on nobody handles what is written down: partitions are given up at once when asked for.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// Keeps nothing of what the group asks to take or to give up. Errors change nothing: the consumer is leaving.
pub(super) fn decline(consumer: &Member, rebalance: &Rebalance) {
    let nothing = TopicPartitionList::new();
    let cooperative = is_cooperative(consumer);
    let declined = match rebalance {
        Rebalance::Assign(_) if cooperative => consumer.incremental_assign(&nothing),
        Rebalance::Assign(_) => consumer.assign(&nothing),
        Rebalance::Revoke(partitions) | Rebalance::Lose(partitions) if cooperative => {
            consumer.incremental_unassign(partitions)
        }
        Rebalance::Revoke(_) | Rebalance::Lose(_) => consumer.unassign(),
    };
    if let Err(error) = declined {
        tracing::debug!(%error, "could not decline partitions while leaving");
    }
}

/// Whether assignments are told as changes (KIP-429, KIP-848) and not as a whole.
pub(super) fn is_cooperative(consumer: &Member) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        self.called();
        log(level, fac, message);
    }

    fn stats_raw(&self, _: &[u8]) {
        self.called();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.called();
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.push_back((error, reason.to_owned()));
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        self.called();
        let partitions = partitions.clone();
        let rebalance = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(partitions),
            _ if consumer.assignment_lost() => Rebalance::Lose(partitions),
            _ => Rebalance::Revoke(partitions),
        };
        if self.closing.load(Ordering::Acquire) {
            decline(consumer, &rebalance);
        } else {
            self.rebalances().push_back(rebalance);
        }
    }
}

/// Passes on what librdkafka logs. Its warnings are chatter (a broker that is not there is one a second), and what
/// matters of them arrives as an error.
pub(super) fn log(level: RDKafkaLogLevel, fac: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => {
            tracing::warn!(target: "librdkafka", fac, "{message}");
        }
        _ => tracing::debug!(target: "librdkafka", fac, "{message}"),
    }
}
