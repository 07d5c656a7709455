//! Which partition is read next, how much of it, and the one copy of each message. Partitions take turns, so that
//! a full one does not starve the others, and nothing is taken that there is no room for.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::native::{PartitionQueue, Record};
use crate::ack::{Partition, Told};
use crate::edge::Room;
use crate::message::{Batch, HeaderRef, MESSAGE_OVERHEAD_BYTES};

/// Most messages taken from a queue in one call. 16 already amortise the call's lock; beyond 256 nothing is gained
/// (measured) and the messages taken but not yet copied would pin more of librdkafka's fetch buffers.
pub(super) const BATCH_MESSAGES_MAX: usize = 256;

/// How long the other partitions leave their room to a message that does not fit, in ms. Without it a large message
/// would wait for ever behind small ones that take what comes free. After it they go on as long before they wait
/// again, because what fills the buffer may be parked and never go.
const LARGE_MESSAGE_PATIENCE_MS: u128 = 1_000;

/// Most bytes set aside for a batch before its messages are seen.
const ARENA_BYTES_AHEAD_MAX: usize = 64 * 1024;

/// One assigned partition.
pub(super) struct Reader {
    pub(super) partition: Arc<Partition>,
    pub(super) queue: PartitionQueue,
    /// Not read any more: it is about to be given up.
    pub(super) revoked: bool,
    /// Offsets that are finished already, in order: they are passed over.
    skips: Skips,
    /// The offset behind the last message that was handed out; where reading began before the first.
    pub(super) handed_out: i64,
    /// Offsets went backwards: the topic was made anew, or a new leader had less of it. Nothing that was known of the
    /// partition holds any more, and nothing of it is read until it begins anew.
    pub(super) rewound: bool,
    /// The end of the partition when the broker was last asked for it.
    pub(super) end: Option<i64>,
    /// What librdkafka says of how far reading has come is believed above this only.
    floor: Cell<Floor>,
    /// Since when the next message has been waiting for room that would hold it.
    waiting_since: Option<Instant>,
}

/// From where on librdkafka's position is believed. It only ever rises, so that after offsets went backwards it says how
/// far the partition's earlier life had come.
#[derive(Clone, Copy)]
enum Floor {
    None,
    /// The partition began anew, and the position was not looked at since.
    Unknown,
    /// It was this when it was looked at first after the partition began anew.
    Above(i64),
}

impl Reader {
    /// A reader of a partition, from its watermark on, that passes over the offsets in `skips`.
    pub(super) fn new(partition: Arc<Partition>, queue: PartitionQueue, skips: Vec<Range<i64>>) -> Self {
        let handed_out = partition.progress().watermark().unwrap_or(0);
        Self {
            partition,
            queue,
            revoked: false,
            skips: Skips(skips.into()),
            handed_out,
            rewound: false,
            end: None,
            floor: Cell::new(Floor::None),
            waiting_since: None,
        }
    }

    /// What Kafka may be told of the partition and does not know.
    pub(super) fn to_tell(&self, chars_max: usize) -> Option<Told> {
        self.partition.progress().to_tell(chars_max)
    }

    /// The partition begins anew, where its queue stands.
    pub(super) fn begin_anew(&mut self) -> (Arc<Partition>, Arc<Partition>) {
        let anew = Partition::new(self.partition.topic.clone(), self.partition.number);
        (self.rewound, self.handed_out, self.end) = (false, 0, None);
        self.skips = Skips::default();
        self.floor.set(Floor::Unknown);
        (std::mem::replace(&mut self.partition, anew.clone()), anew)
    }

    /// Whether reading has come to `position` in the partition's present life.
    pub(super) fn believes(&self, position: i64) -> bool {
        match self.floor.get() {
            Floor::None => true,
            Floor::Unknown => {
                self.floor.set(Floor::Above(position));
                false
            }
            Floor::Above(floor) => position > floor,
        }
    }

    /// Whether messages of the partition may be taken at all now.
    fn is_readable(&self) -> bool {
        !self.revoked && !self.rewound && !self.partition.is_held()
    }

    /// Whether the others have to leave their room to this one now.
    fn is_owed_room(&self) -> bool {
        let turn = |since: Instant| since.elapsed().as_millis() / LARGE_MESSAGE_PATIENCE_MS;
        self.waiting_since.is_some_and(|since| turn(since) % 2 == 0)
    }

    /// Copies messages into a batch while there is room, at most `wanted`.
    fn read(&mut self, wanted: usize, room: Room, now: Instant, errors: &mut Vec<String>) -> Option<Batch> {
        let mut batch: Option<Batch> = None;
        let mut left_bytes = room.bytes;
        let more = self.queue.fill(wanted);
        for taken in 0..wanted {
            let Some(record) = self.queue.front(wanted - taken) else { break };
            if let Some((code, text)) = record.error() {
                errors.push(format!("{}: {code}: {text}", self.partition));
                self.queue.pop();
                continue;
            }
            let offset = record.offset();
            if offset < self.handed_out {
                self.rewound = true;
                break;
            }
            if self.skips.contain(offset) {
                self.queue.pop();
                continue;
            }
            let headers = record.headers();
            let size = size_bytes(record, headers.clone());
            let alone = batch.is_none() && room.empty;
            if size > left_bytes && !alone {
                if batch.is_none() {
                    self.waiting_since.get_or_insert_with(Instant::now);
                }
                break;
            }
            left_bytes = left_bytes.saturating_sub(size);
            let batch = batch.get_or_insert_with(|| {
                let mut batch = Batch::new(self.partition.topic.clone(), self.partition.number, now);
                // Neighbours are of a size, more often than not; what is wrong with that costs a copy.
                batch.reserve(more, (size * more).min(left_bytes).min(ARENA_BYTES_AHEAD_MAX));
                batch
            });
            batch.push(offset, record.timestamp(), (record.key(), record.payload()), headers);
            self.handed_out = offset + 1;
            self.waiting_since = None;
            self.queue.pop();
        }
        batch
    }
}

/// Offsets to pass over, in order.
#[derive(Default)]
struct Skips(VecDeque<Range<i64>>);

impl Skips {
    /// Whether `offset` is one of them. Asked in rising order.
    fn contain(&mut self, offset: i64) -> bool {
        while self.0.pop_front_if(|range| range.end <= offset).is_some() {}
        self.0.front().is_some_and(|range| range.start <= offset)
    }
}

/// As `MessageRef::size_bytes` will count the record.
fn size_bytes<'a>(record: Record<'a>, headers: impl Iterator<Item = HeaderRef<'a>>) -> usize {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers: usize = headers.map(|header| header.name.len() + len(header.value)).sum();
    MESSAGE_OVERHEAD_BYTES + len(record.key()) + len(record.payload()) + headers
}

/// All assigned partitions, and whose turn it is.
#[derive(Default)]
pub(super) struct Readers {
    list: Vec<Reader>,
    /// The index of the one to visit first.
    turn: usize,
}

impl Readers {
    pub(super) fn push(&mut self, reader: Reader) {
        self.list.push(reader);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Reader> {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Reader> {
        self.list.iter_mut()
    }

    /// Takes out those that `is_leaving` says.
    pub(super) fn remove(&mut self, is_leaving: impl Fn(&Reader) -> bool) -> Vec<Reader> {
        self.list.extract_if(.., |reader| is_leaving(reader)).collect()
    }

    /// The next batch, of the next partition that has one and room for it. Errors that arrived instead of messages
    /// are added to `errors`.
    pub(super) fn read(
        &mut self,
        room: Room,
        now: Instant,
        errors: &mut Vec<String>,
    ) -> Option<(Arc<Partition>, Batch)> {
        if room.messages == 0 || room.bytes == 0 {
            return None;
        }
        let readable = self.list.iter().filter(|reader| reader.is_readable()).count();
        let wanted = (room.messages / readable.max(1)).max(room.turn);
        let wanted = wanted.min(room.messages).clamp(1, BATCH_MESSAGES_MAX);
        let owed = self.list.iter().position(|reader| reader.is_readable() && reader.is_owed_room());
        let visits = if owed.is_some() { 1 } else { self.list.len() };
        let first = owed.unwrap_or(self.turn);
        for visit in 0..visits {
            let index = (first + visit) % self.list.len();
            let reader = &mut self.list[index];
            if !reader.is_readable() {
                continue;
            }
            if let Some(batch) = reader.read(wanted, room, now, errors) {
                self.turn = index + 1;
                return Some((reader.partition.clone(), batch));
            }
        }
        None
    }
}
