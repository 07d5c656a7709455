//! Commits whose answers are waited for as long as the caller wants, and no longer: the wrapper's synchronous commit has
//! no bound, and its asynchronous one tells nobody what became of it.

#![allow(unsafe_code, reason = "calls into librdkafka, each with the argument why it is sound")]

use std::ffi::CStr;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};
use rdkafka_sys as sys;

use super::super::context::Member;
use super::{OwnEvent, OwnQueue, check};

/// Where the answers to the commits of one consumer arrive.
pub(in crate::kafka) struct CommitQueue {
    queue: OwnQueue,
    consumer: Arc<Member>,
}

/// What became of a commit.
#[derive(Debug)]
pub(in crate::kafka) struct Answer {
    /// What went wrong with the commit as a whole.
    pub(in crate::kafka) error: Option<Code>,
    /// Topic and partition of each offset, and what went wrong with it.
    pub(in crate::kafka) offsets: Vec<(String, i32, Option<Code>)>,
}

impl CommitQueue {
    pub(in crate::kafka) fn new(consumer: &Arc<Member>) -> anyhow::Result<Self> {
        Ok(Self { queue: OwnQueue::new(consumer)?, consumer: consumer.clone() })
    }

    /// Asks for a commit of `offsets` with their metadata. The answer comes from `poll`.
    pub(in crate::kafka) fn ask(&self, offsets: &TopicPartitionList) -> anyhow::Result<()> {
        let rk = self.consumer.client().native_ptr();
        // SAFETY: all three are alive; librdkafka copies the list and keeps its own hold of the queue.
        let code = unsafe {
            sys::rd_kafka_commit_queue(rk, offsets.ptr(), self.queue.as_ptr(), None, ptr::null_mut())
        };
        check(code).context("failed to ask for a commit")
    }

    /// The next answer, waited for at most `limit`.
    pub(in crate::kafka) fn poll(&self, limit: Duration) -> Option<Answer> {
        self.queue.poll(limit).map(|event| Answer { error: error(event.code()), offsets: offsets(&event) })
    }
}

fn error(code: RDKafkaRespErr) -> Option<Code> {
    (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
}

fn offsets(event: &OwnEvent) -> Vec<(String, i32, Option<Code>)> {
    // SAFETY: the event is alive while it is borrowed. Its list, if it has one, belongs to it and holds `cnt` elements,
    // whose topics are NUL-terminated.
    unsafe {
        let list = sys::rd_kafka_event_topic_partition_list(event.0.as_ptr());
        let Some(list) = list.as_ref() else { return Vec::new() };
        let element = |index| {
            let element = &*list.elems.add(index);
            let topic = CStr::from_ptr(element.topic).to_string_lossy().into_owned();
            (topic, element.partition, error(element.err))
        };
        (0..usize::try_from(list.cnt).unwrap_or(0)).map(element).collect()
    }
}
