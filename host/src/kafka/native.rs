//! Everything that librdkafka can do and its safe wrapper does not offer; the only unsafe code of this room.
//!
//! Taking messages in batches straight from a partition's own queue costs about 100 ns a message instead of 300
//! and an allocation. Header names arrive as bytes, because the wrapper's header API panics on what is not UTF-8.
//! A commit can be bounded in time. What to take, when, and what an answer means is decided by the neighbours.

#![allow(unsafe_code, reason = "calls into librdkafka, each with the argument why it is sound")]

mod commit;

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::consumer::Consumer;
use rdkafka::producer::{Producer, ProducerContext};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::util::IntoOpaque;
use rdkafka_sys as sys;

use super::context::Member;
use super::producer::Produced;
use super::reader::BATCH_MESSAGES_MAX;
use crate::edge::Bell;
use crate::message::HeaderRef;
pub(super) use commit::{Answer, CommitQueue};

/// Where librdkafka puts the messages of one assigned partition, apart from all others.
pub(super) struct PartitionQueue {
    queue: OwnQueue,
    /// Messages that were taken from the queue; those before `next` are destroyed.
    taken: Vec<*mut sys::rd_kafka_message_t>,
    next: usize,
    /// What the queue's callback rings, kept alive for it.
    _bell: Arc<Bell>,
}

// SAFETY: librdkafka's handles and messages may be used from any thread, one at a time, and `&mut self` is
// needed for all that changes them.
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Parts the partition's messages from the consumer's main queue, and rings `bell` when some arrive. To be
    /// called before the partition is assigned, so that none goes the other way.
    pub(super) fn split(
        consumer: &Arc<Member>,
        (topic, partition): (&str, i32),
        bell: &Arc<Bell>,
    ) -> anyhow::Result<Self> {
        let name = CString::new(topic).with_context(|| format!("failed to name topic `{topic}`"))?;
        let rk = consumer.client().native_ptr();
        // SAFETY: `rk` is alive while `consumer` is; the name outlives the call.
        let queue = unsafe { sys::rd_kafka_queue_get_partition(rk, name.as_ptr(), partition) };
        let queue = OwnQueue::adopt(consumer, queue)
            .with_context(|| format!("failed to open the queue of partition `{topic}/{partition}`"))?;
        let bell = bell.clone();
        // SAFETY: the queue is alive. Forwarding it nowhere marks it as the application's, so that the start of
        // fetching leaves it alone. `ring` gets a pointer to the bell, which `self._bell` keeps alive until `drop`
        // has disabled the callback; librdkafka calls and disables it under the queue's lock.
        unsafe {
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            let opaque = Arc::as_ptr(&bell).cast_mut().cast();
            sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(ring), opaque);
        }
        Ok(Self { queue, taken: Vec::with_capacity(BATCH_MESSAGES_MAX), next: 0, _bell: bell })
    }

    /// Takes up to `wanted` messages when there is none at hand; returns how many are.
    pub(super) fn fill(&mut self, wanted: usize) -> usize {
        if self.next == self.taken.len() {
            self.taken.clear();
            self.next = 0;
            let wanted = wanted.min(self.taken.capacity());
            // SAFETY: librdkafka writes at most `wanted` pointers, for which there is capacity, and returns how
            // many it wrote (or -1). Each is owned by us from then on.
            unsafe {
                let slots = self.taken.as_mut_ptr();
                let count = sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, slots, wanted);
                self.taken.set_len(usize::try_from(count).unwrap_or(0));
            }
        }
        self.taken.len() - self.next
    }

    /// The oldest message that was not popped yet; takes up to `wanted` more when there is none at hand.
    pub(super) fn front(&mut self, wanted: usize) -> Option<Record<'_>> {
        self.fill(wanted);
        // SAFETY: a message from `next` on is alive until it is popped, which needs `&mut self`.
        self.taken.get(self.next).map(|&message| Record { message: unsafe { &*message } })
    }

    /// Lets go of the message that `front` showed.
    pub(super) fn pop(&mut self) {
        if let Some(&message) = self.taken.get(self.next) {
            self.next += 1;
            // SAFETY: the message is ours, alive, and never looked at again because `next` is behind it.
            unsafe { sys::rd_kafka_message_destroy(message) }
        }
    }

    /// Whether a message was taken and not popped.
    pub(super) fn holds_any(&self) -> bool {
        self.next < self.taken.len()
    }

    /// Lets go of all messages that were taken and not popped.
    pub(super) fn discard(&mut self) {
        while self.holds_any() {
            self.pop();
        }
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        self.discard();
        // SAFETY: the queue is alive; after this call nothing points to `self._bell` any more.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut()) }
    }
}

/// Runs on librdkafka's threads, under the queue's lock: it only rings.
unsafe extern "C" fn ring(_: *mut sys::rd_kafka_t, bell: *mut c_void) {
    // SAFETY: the pointer is the one that `PartitionQueue::split` gave, to a bell that is still alive.
    let bell = unsafe { &*bell.cast_const().cast::<Bell>() };
    bell.ring();
}

/// A record where librdkafka holds it.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    message: &'a sys::rd_kafka_message_t,
}

impl<'a> Record<'a> {
    /// What is wrong, if this is not a message but news of an error.
    pub(super) fn error(self) -> Option<(RDKafkaErrorCode, String)> {
        if self.message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: the message is alive; the text is constant or part of the message.
        let text = unsafe { text(sys::rd_kafka_message_errstr(self.message)) };
        Some((self.message.err.into(), text))
    }

    pub(super) fn offset(self) -> i64 {
        self.message.offset
    }

    /// Milliseconds since the Unix epoch, if the record has a timestamp.
    pub(super) fn timestamp(self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, `kind` is written to.
        let timestamp = unsafe { sys::rd_kafka_message_timestamp(self.message, &mut kind) };
        let known = kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (known && timestamp != -1).then_some(timestamp)
    }

    pub(super) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka says how long the key is; it lives as long as the message.
        unsafe { bytes(self.message.key, self.message.key_len) }
    }

    pub(super) fn payload(self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka says how long the payload is; it lives as long as the message.
        unsafe { bytes(self.message.payload, self.message.len) }
    }

    /// The headers, in their order. A name ends at its first NUL: librdkafka hands it out without its length.
    pub(super) fn headers(self) -> Headers<'a> {
        let mut list = ptr::null_mut();
        // SAFETY: the message is alive. The list belongs to it and is parsed on the first call; on an error (no
        // headers, or broken ones) nothing is written and there are none.
        unsafe { sys::rd_kafka_message_headers(self.message, &mut list) };
        Headers { list, index: 0, _message: self }
    }
}

/// The headers of one record.
#[derive(Clone)]
pub(super) struct Headers<'a> {
    list: *const sys::rd_kafka_headers_t,
    index: usize,
    _message: Record<'a>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = HeaderRef<'a>;

    fn next(&mut self) -> Option<HeaderRef<'a>> {
        if self.list.is_null() {
            return None;
        }
        let (mut name, mut value, mut size): (*const c_char, *const c_void, usize) =
            (ptr::null(), ptr::null(), 0);
        // SAFETY: the list lives as long as its message. When the call finds a header it sets a NUL-terminated
        // name and, unless the value is null, a value of `size` bytes, which live as long as the list.
        unsafe {
            let code = sys::rd_kafka_header_get_all(self.list, self.index, &mut name, &mut value, &mut size);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            self.index += 1;
            Some(HeaderRef { name: CStr::from_ptr(name).to_bytes(), value: bytes(value, size) })
        }
    }
}

/// The end of a partition as the last fetch saw it; none before the first. Asks nobody.
pub(super) fn cached_end(consumer: &Member, topic: &str, partition: i32) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    let rk = consumer.client().native_ptr();
    // SAFETY: `rk` is alive while `consumer` is; the name outlives the call, both offsets are written to.
    let code =
        unsafe { sys::rd_kafka_get_watermark_offsets(rk, topic.as_ptr(), partition, &mut low, &mut high) };
    (code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// Hands one record over to librdkafka, which copies it. Header names may hold any bytes, where the wrapper panics
/// on a NUL. On an error the opaque comes back.
pub(super) fn produce<'a, C: ProducerContext>(
    producer: &impl Producer<C>,
    record: Produced<'_>,
    headers: impl ExactSizeIterator<Item = HeaderRef<'a>>,
    opaque: C::DeliveryOpaque,
) -> Result<(), (RDKafkaErrorCode, C::DeliveryOpaque)> {
    let list = header_list(headers);
    let (payload, payload_len) = parts(record.payload);
    let (key, key_len) = parts(record.key);
    let opaque = opaque.into_ptr();
    // SAFETY: the arguments follow their tags with the types that rd_kafka_producev documents; librdkafka copies
    // key and payload (MSG_F_COPY). On success it owns the headers and gives the opaque back in the delivery
    // report, where the wrapper turns it into the same type again.
    let code = unsafe {
        sys::rd_kafka_producev(
            producer.client().native_ptr(),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC,
            record.topic.as_ptr(),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
            record.partition.unwrap_or(rdkafka::producer::PARTITION_UA),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS,
            sys::RD_KAFKA_MSG_F_COPY,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
            payload,
            payload_len,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
            key,
            key_len,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE,
            opaque,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
            list,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: nothing was taken over, so the list and the opaque are still ours, and each is taken back once.
    unsafe {
        if !list.is_null() {
            sys::rd_kafka_headers_destroy(list);
        }
        Err((code.into(), C::DeliveryOpaque::from_ptr(opaque)))
    }
}

/// A list of headers that librdkafka or the caller has to destroy; null when there are none.
fn header_list<'a>(headers: impl ExactSizeIterator<Item = HeaderRef<'a>>) -> *mut sys::rd_kafka_headers_t {
    if headers.len() == 0 {
        return ptr::null_mut();
    }
    // SAFETY: the list is new and ours; names and values are given with their lengths and copied. A slice never
    // exceeds `isize`.
    unsafe {
        let list = sys::rd_kafka_headers_new(headers.len());
        for header in headers {
            let (value, len) = parts(header.value);
            let name = header.name.as_ptr().cast();
            sys::rd_kafka_header_add(list, name, header.name.len() as isize, value, len as isize);
        }
        list
    }
}

/// Lets the groups of an embedded cluster find out about changes after `heartbeat`, and makes a classic group's
/// first rebalance start at once. Does nothing when `client` has no embedded cluster.
pub(super) fn hasten_groups<C: ClientContext>(client: &Client<C>, heartbeat: Duration) {
    // SAFETY: the cluster belongs to the client, which is alive; both calls only set a number under its lock.
    unsafe {
        let cluster = sys::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            sys::rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(cluster, millis(heartbeat));
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
    }
}

/// A queue of librdkafka that is ours, with the consumer that it must not outlive.
struct OwnQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    _consumer: Arc<Member>,
}

// SAFETY: librdkafka's queues are locked inside and may be used from any thread.
unsafe impl Send for OwnQueue {}

impl OwnQueue {
    fn new(consumer: &Arc<Member>) -> anyhow::Result<Self> {
        // SAFETY: the client is alive while `consumer` is.
        let queue = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Self::adopt(consumer, queue).context("failed to make a queue")
    }

    fn adopt(consumer: &Arc<Member>, queue: *mut sys::rd_kafka_queue_t) -> Option<Self> {
        NonNull::new(queue).map(|queue| Self { queue, _consumer: consumer.clone() })
    }

    fn as_ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    fn poll(&self, limit: Duration) -> Option<OwnEvent> {
        // SAFETY: the queue is alive; the event, if there is one, is ours.
        NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.as_ptr(), millis(limit)) }).map(OwnEvent)
    }
}

impl Drop for OwnQueue {
    fn drop(&mut self) {
        // SAFETY: ours, used for the last time, and its client is still alive.
        unsafe { sys::rd_kafka_queue_destroy(self.as_ptr()) }
    }
}

/// An event of librdkafka that is ours.
struct OwnEvent(NonNull<sys::rd_kafka_event_t>);

impl OwnEvent {
    fn code(&self) -> RDKafkaRespErr {
        // SAFETY: the event is alive.
        unsafe { sys::rd_kafka_event_error(self.0.as_ptr()) }
    }
}

impl Drop for OwnEvent {
    fn drop(&mut self) {
        // SAFETY: the event is ours and used for the last time.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

fn check(code: RDKafkaRespErr) -> anyhow::Result<()> {
    let is_ok = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    if is_ok { Ok(()) } else { Err(RDKafkaErrorCode::from(code).into()) }
}

/// As librdkafka wants it: milliseconds that fit, never the -1 that means for ever.
fn millis(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX)
}

fn parts(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

/// # Safety
/// `start` is null, or `len` bytes from it on live for `'a`.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), len) })
}

/// # Safety
/// `text` is null or a NUL-terminated text that is alive now.
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: the caller's promise.
    let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) });
    text.map_or_else(String::new, |text| text.to_string_lossy().into_owned())
}
