//! A run as it lies in the trampoline's memory: the canonical ABI's layout of `list<message>`, written by the host in
//! one piece. Lowering each string and list on its own would call into the guest for each (measured: half of what a
//! run costs); the trampoline's allocator puts the first thing of a call always in the same place, so pointers are
//! known beforehand.

use std::borrow::Cow;

use crate::run::RunMessage;

/// Where the trampoline puts the run; `trampoline.wat` says the same of its heap.
const RUN_START: usize = 128;

/// Bytes of a `message` record; `trampoline.wat` steps by as many.
const MESSAGE_BYTES: usize = 88;

/// Bytes of a `header` record.
const HEADER_BYTES: usize = 20;

/// Writes the messages of a run into `packed`, which is emptied first. Bad bytes in header names become U+FFFD.
pub(super) fn pack(messages: &[RunMessage], packed: &mut Vec<u8>) {
    let headers: usize = messages.iter().map(|message| message.delivery.message().headers().len()).sum();
    packed.clear();
    packed.resize(messages.len() * MESSAGE_BYTES + headers * HEADER_BYTES, 0);
    let mut writer = Writer { packed, next_header: messages.len() * MESSAGE_BYTES, topic: None };
    for (index, message) in messages.iter().enumerate() {
        writer.message(index * MESSAGE_BYTES, message);
    }
}

struct Writer<'a, 'b> {
    packed: &'a mut Vec<u8>,
    next_header: usize,
    /// The topic written last, and where: neighbours mostly share theirs.
    topic: Option<(&'b str, usize)>,
}

impl<'b> Writer<'_, 'b> {
    fn message(&mut self, at: usize, message: &'b RunMessage) {
        let delivery = &message.delivery;
        let record = delivery.message();
        let topic = record.topic();
        let start = match self.topic {
            Some((known, start)) if known == topic => start,
            _ => self.append(topic.as_bytes()),
        };
        self.topic = Some((topic, start));
        self.list(at, start, topic.len());
        self.put(at + 8, &record.partition().to_le_bytes());
        self.put(at + 16, &record.offset().to_le_bytes());
        if let Some(timestamp) = record.timestamp() {
            self.packed[at + 24] = 1;
            self.put(at + 32, &timestamp.to_le_bytes());
        }
        self.optional(at + 40, record.key());
        self.optional(at + 52, record.payload());
        self.list(at + 64, self.next_header, record.headers().len());
        for header in record.headers() {
            let at = self.next_header;
            self.next_header += HEADER_BYTES;
            let name = String::from_utf8_lossy(header.name);
            let start = self.append(match &name {
                Cow::Borrowed(name) => name.as_bytes(),
                Cow::Owned(name) => name.as_bytes(),
            });
            self.list(at, start, name.len());
            self.optional(at + 8, header.value);
        }
        self.put(at + 72, &delivery.attempt().to_le_bytes());
        self.optional(at + 76, delivery.previous_error().map(str::as_bytes));
    }

    fn append(&mut self, bytes: &[u8]) -> usize {
        let start = self.packed.len();
        self.packed.extend_from_slice(bytes);
        start
    }

    /// A pointer and a length. A run is at most some 100 MiB, because the trampoline's memory is.
    fn list(&mut self, at: usize, start: usize, len: usize) {
        self.put(at, &((RUN_START + start) as u32).to_le_bytes());
        self.put(at + 4, &(len as u32).to_le_bytes());
    }

    /// An option of a list: its case, then the list.
    fn optional(&mut self, at: usize, bytes: Option<&[u8]>) {
        if let Some(bytes) = bytes {
            self.packed[at] = 1;
            let start = self.append(bytes);
            self.list(at + 4, start, bytes.len());
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.packed[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::{Delivered, Partition};
    use crate::message::{Batch, HeaderRef};
    use std::time::Instant;

    fn word(packed: &[u8], at: usize) -> usize {
        u32::from_le_bytes(packed[at..at + 4].try_into().unwrap()) as usize
    }

    fn list(packed: &[u8], at: usize) -> &[u8] {
        let (start, len) = (word(packed, at) - RUN_START, word(packed, at + 4));
        &packed[start..start + len]
    }

    #[test]
    fn bad_header_names_are_repaired_and_stay_in_their_places() {
        let partition = Partition::new("t".into(), 0);
        let mut batch = Batch::new("t".into(), 0, Instant::now());
        let header = |name| HeaderRef { name, value: None };
        batch.push(0, None, (None, None), [header(&b"a"[..]), header(b"\xffb")]);
        batch.push(1, None, (None, Some(b"")), [header(&b"c\xfe"[..]), header(b"d")]);
        let deliveries = Delivered::deliver(batch, partition);
        let messages: Vec<_> = deliveries.map(|delivery| RunMessage::new(0, delivery)).collect();
        let mut packed = vec![7; 3];
        pack(&messages, &mut packed);
        let names = |message: usize| {
            let headers = word(&packed, message * MESSAGE_BYTES + 64) - RUN_START;
            let count = word(&packed, message * MESSAGE_BYTES + 68);
            let name =
                |index| String::from_utf8_lossy(list(&packed, headers + index * HEADER_BYTES)).into_owned();
            (0..count).map(name).collect::<Vec<_>>()
        };
        assert_eq!(
            (names(0), names(1)),
            (vec!["a".into(), "\u{fffd}b".into()], vec!["c\u{fffd}".into(), "d".into()])
        );
        assert_eq!((list(&packed, 0), list(&packed, MESSAGE_BYTES)), (&b"t"[..], &b"t"[..]));
        // None and empty differ.
        assert_eq!((packed[52], packed[MESSAGE_BYTES + 52]), (0, 1));
    }
}
