//! A Kafka record as the host holds it: copied once at intake, into one arena for each batch of one partition.
//!
//! A `Batch` owns the bytes; a `MessageRef` is a view of one record in it. Nothing here knows of offsets
//! being finished (that is `ack`) or of where a batch came from (that is `kafka`).

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of one message's own book-keeping that the buffer counts beside its key, payload and headers, so that
/// a million empty messages are not free.
pub const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// What identifies a record: where it stands in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition of the topic.
    pub partition: i32,
    /// The record's offset in the partition.
    pub offset: i64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// A part of the arena; `u32` because a batch stays far below 4 GiB (a record is at most 1 GiB in Kafka, and
/// intake closes a batch long before).
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: u32,
}

#[derive(Debug)]
struct Record {
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Span>,
    payload: Option<Span>,
    headers: Range<u32>,
    size: u32,
}

/// One header as it arrived. Kafka says names are UTF-8; some producers disagree, so a name is bytes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// The name's bytes, not necessarily UTF-8.
    pub name: &'a [u8],
    /// The value; none and empty differ.
    pub value: Option<&'a [u8]>,
}

/// Records of one partition that were taken from Kafka together, in the order of their offsets.
#[derive(Debug)]
pub struct Batch {
    topic: Arc<str>,
    partition: i32,
    fetched_at: Instant,
    arena: Vec<u8>,
    records: Vec<Record>,
    headers: Vec<(Span, Option<Span>)>,
}

impl Batch {
    /// An empty batch of one partition. `fetched_at` is when its records were taken from Kafka.
    pub fn new(topic: Arc<str>, partition: i32, fetched_at: Instant) -> Self {
        Self { topic, partition, fetched_at, arena: Vec::new(), records: Vec::new(), headers: Vec::new() }
    }

    /// Makes place for so many more records, so that they are copied without moving those before them.
    pub fn reserve(&mut self, records: usize, bytes: usize) {
        self.records.reserve(records);
        self.arena.reserve(bytes);
    }

    /// Copies one record to the end of the batch. `timestamp` is in milliseconds since the Unix epoch.
    pub fn push<'a>(
        &mut self,
        offset: i64,
        timestamp: Option<i64>,
        (key, payload): (Option<&[u8]>, Option<&[u8]>),
        headers: impl IntoIterator<Item = HeaderRef<'a>>,
    ) {
        let arena_before = self.arena.len();
        let headers_before = self.headers.len() as u32;
        let key = key.map(|bytes| self.copy(bytes));
        let payload = payload.map(|bytes| self.copy(bytes));
        for header in headers {
            let name = self.copy(header.name);
            let value = header.value.map(|bytes| self.copy(bytes));
            self.headers.push((name, value));
        }
        let size = (self.arena.len() - arena_before + MESSAGE_OVERHEAD_BYTES) as u32;
        let headers = headers_before..self.headers.len() as u32;
        self.records.push(Record { offset, timestamp, key, payload, headers, size });
    }

    fn copy(&mut self, bytes: &[u8]) -> Span {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(bytes);
        Span { start, len: bytes.len() as u32 }
    }

    fn bytes(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        &self.arena[start..start + span.len as usize]
    }

    /// How many records the batch holds.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether the batch holds no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes that the batch's records count for in the buffer.
    pub fn size_bytes(&self) -> usize {
        self.records.iter().map(|record| record.size as usize).sum()
    }

    /// The topic that all records of the batch come from.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// When the batch was taken from Kafka.
    pub fn fetched_at(&self) -> Instant {
        self.fetched_at
    }

    /// The record at `index`. Panics when there is none: an index comes only from the batch itself.
    pub fn get(&self, index: usize) -> MessageRef<'_> {
        MessageRef { batch: self, record: &self.records[index] }
    }

    /// All records, in the order of their offsets.
    pub fn iter(&self) -> impl Iterator<Item = MessageRef<'_>> {
        self.records.iter().map(|record| MessageRef { batch: self, record })
    }
}

/// One record, looked at where it lies.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a> {
    batch: &'a Batch,
    record: &'a Record,
}

impl<'a> MessageRef<'a> {
    /// The topic that the record was read from.
    pub fn topic(&self) -> &'a str {
        &self.batch.topic
    }

    /// The partition that the record was read from.
    pub fn partition(&self) -> i32 {
        self.batch.partition
    }

    /// The record's offset in its partition.
    pub fn offset(&self) -> i64 {
        self.record.offset
    }

    /// Where the record stands in Kafka.
    pub fn position(&self) -> Position {
        Position {
            topic: self.batch.topic.clone(),
            partition: self.batch.partition,
            offset: self.record.offset,
        }
    }

    /// Milliseconds since the Unix epoch, if the record has a timestamp.
    pub fn timestamp(&self) -> Option<i64> {
        self.record.timestamp
    }

    /// The key; none and empty differ.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.record.key.map(|span| self.batch.bytes(span))
    }

    /// The payload; none (a tombstone) and empty differ.
    pub fn payload(&self) -> Option<&'a [u8]> {
        self.record.payload.map(|span| self.batch.bytes(span))
    }

    /// The headers, in their order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = HeaderRef<'a>> + use<'a> {
        let batch = self.batch;
        let range = self.record.headers.start as usize..self.record.headers.end as usize;
        batch.headers[range].iter().map(move |(name, value)| HeaderRef {
            name: batch.bytes(*name),
            value: value.map(|span| batch.bytes(span)),
        })
    }

    /// Bytes that the record counts for in the buffer.
    pub fn size_bytes(&self) -> usize {
        self.record.size as usize
    }

    /// A batch of this record alone, so that holding it does not hold its neighbours.
    pub fn detached(&self) -> Batch {
        let mut alone = Batch::new(self.batch.topic.clone(), self.batch.partition, self.batch.fetched_at);
        alone.push(self.offset(), self.timestamp(), (self.key(), self.payload()), self.headers());
        alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let mut batch = Batch::new("orders".into(), 3, Instant::now());
        let header = HeaderRef { name: b"\xff", value: None };
        batch.push(7, Some(12), (Some(b""), None), [header]);
        batch.push(9, None, (None, Some(b"x")), []);
        let first = batch.get(0);
        assert_eq!((first.key(), first.payload()), (Some(&b""[..]), None));
        assert_eq!(first.headers().collect::<Vec<_>>(), [header]);
        let second = batch.get(1).detached();
        assert_eq!(second.get(0).position().to_string(), "orders/3/9");
        assert_eq!((second.get(0).key(), second.get(0).payload()), (None, Some(&b"x"[..])));
        assert_eq!(second.size_bytes(), 1 + MESSAGE_OVERHEAD_BYTES);
    }
}
