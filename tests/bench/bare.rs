//! The limit of everything: librdkafka alone, drained in batches, with no group and nothing done to the messages.

use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;

use super::ground::{MESSAGES, PARTITIONS, PAYLOAD_BYTES};
use super::process::cpu_seconds;

/// Messages of one call.
const BATCH_MESSAGES: usize = 10_000;

/// How long the next messages may take.
const PATIENCE_MS: i32 = 30_000;

/// One drain, from its first batch to its last message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    /// Messages a second, of those after the first batch.
    pub(crate) rate: f64,
    /// CPU time of this process from before the first fetch to the end.
    pub(crate) cpu_seconds: f64,
}

/// Reads the whole topic, with librdkafka's default settings but for the pause after a full queue, whose default of a
/// second would measure the pause.
pub(crate) fn drain(bootstrap: &str, topic: &str) -> Drain {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "bare")
        .set("fetch.queue.backoff.ms", "10")
        .set_log_level(RDKafkaLogLevel::Critical)
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    let cpu_before = cpu_seconds(std::process::id());
    consumer.assign(&assignment).expect("partitions are assigned");

    let queue = Queue::of(&consumer);
    let mut batch = Vec::with_capacity(BATCH_MESSAGES);
    let (mut messages, mut bytes, mut first) = (0, 0, None);
    while messages < MESSAGES {
        let (count, size) = queue.read(&mut batch);
        assert!(count > 0, "no more messages after {messages}");
        messages += count;
        bytes += size;
        first.get_or_insert_with(|| (Instant::now(), count));
    }
    let (began, count) = first.expect("a first batch");
    let seconds = began.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
    let cpu_seconds = cpu_seconds(std::process::id()) - cpu_before;
    assert_eq!(bytes, MESSAGES as usize * PAYLOAD_BYTES, "every payload came whole");
    Drain { rate: (messages - count) as f64 / seconds, cpu_seconds }
}

/// The queue of a consumer to which nothing but messages comes: it has no group, so there are no rebalances in it.
struct Queue<'a> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    _consumer: &'a BaseConsumer,
}

impl<'a> Queue<'a> {
    fn of(consumer: &'a BaseConsumer) -> Self {
        // SAFETY: the client is alive as long as the consumer, which the borrow makes outlive this queue.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        Queue { queue: NonNull::new(queue).expect("a consumer has a queue"), _consumer: consumer }
    }

    /// Takes the next messages and lets them go again. Returns how many there were and the bytes of their payloads.
    fn read(&self, batch: &mut Vec<*mut sys::rd_kafka_message_t>) -> (u64, usize) {
        batch.clear();
        // SAFETY: librdkafka writes at most as many pointers as there is capacity for and says how many (-1 on an
        // error); each message is ours from then on.
        unsafe {
            let (slots, capacity) = (batch.as_mut_ptr(), batch.capacity());
            let count = sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), PATIENCE_MS, slots, capacity);
            batch.set_len(usize::try_from(count).unwrap_or(0));
        }
        let mut bytes = 0;
        for message in batch.iter_mut() {
            // SAFETY: the message is ours and alive; it is destroyed once and its pointer forgotten.
            unsafe {
                let read = &**message;
                assert_eq!(read.err, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, "a message and no error");
                bytes += read.len;
                sys::rd_kafka_message_destroy(std::mem::replace(message, ptr::null_mut()));
            }
        }
        (batch.len() as u64, bytes)
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, used for the last time, and its client is still alive.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}
