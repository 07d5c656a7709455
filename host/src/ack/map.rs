//! What is finished beyond the watermark, as text that fits into a commit's metadata. So a crash or a rebalance repeats
//! only what was in flight, not all that had finished behind one slow message.
//!
//! Pure. The text is `gm1`, a letter for the encoding, and base64 of the content and a CRC-32 (of the watermark, the
//! letter and the content): whatever another tool wrote, or a watermark that another tool moved, does not pass for a map.
//! Two encodings, of which the better is taken: lengths of runs (`r`), for long ones, and one bit for each offset (`b`),
//! for a jumble. Offsets that were never delivered (compaction, markers) may be called either.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

/// Most characters of a commit's metadata that a broker takes unless it is set up otherwise
/// (`offset.metadata.max.bytes`).
pub const CHARS_MAX: usize = 4096;

/// What every map begins with: whose it is and its version.
const PREFIX: &str = "gm1";

/// Bytes of the checksum.
const SUM_BYTES: usize = 4;

/// A map as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The text; empty when nothing is finished beyond the watermark.
    pub text: String,
    /// Everything finished below this offset is in the map; `i64::MAX` when all of it is.
    pub until: i64,
}

/// Why a commit's metadata is no map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It was written by something else.
    Foreign,
    /// It was one of ours, for another watermark or before it was damaged.
    Damaged,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Foreign => "it was written by another tool",
            Self::Damaged => "it is damaged, or belongs to another offset",
        })
    }
}

/// Encodes the offsets in `finished`, which are above `watermark`, in rising order, and do not overlap, in at most
/// `chars_max` characters. What does not fit is left out from its far end.
pub fn encode(watermark: i64, finished: impl IntoIterator<Item = Range<i64>>, chars_max: usize) -> Encoded {
    // base64 makes 4 characters of 3 bytes.
    let bytes_max = (chars_max.saturating_sub(PREFIX.len() + 1) / 4 * 3).saturating_sub(SUM_BYTES);
    let mut runs = Runs { content: Vec::new(), bytes_max, at: watermark, until: i64::MAX };
    let mut bits = Bits { content: Vec::new(), bytes_max, first: watermark + 1, until: i64::MAX };
    let mut first = None;
    for range in finished {
        first.get_or_insert(range.start);
        runs.add(&range);
        bits.add(&range);
        if runs.until < i64::MAX && bits.until < i64::MAX {
            break;
        }
    }
    let Some(first) = first else { return Encoded { text: String::new(), until: i64::MAX } };
    let better =
        |one: (i64, usize), other: (i64, usize)| one.0 > other.0 || (one.0 == other.0 && one.1 <= other.1);
    let (letter, content, until) =
        if better((runs.until, runs.content.len()), (bits.until, bits.content.len())) {
            ('r', runs.content, runs.until)
        } else {
            ('b', bits.content, bits.until)
        };
    if content.is_empty() {
        return Encoded { text: String::new(), until: first };
    }
    let sum = checksum(watermark, letter, &content);
    let text = format!("{PREFIX}{letter}{}", BASE64.encode([&content[..], &sum].concat()));
    Encoded { text, until }
}

/// What `encode` was given for the same watermark, as far as it fitted.
///
/// # Errors
///
/// When `text` is no map for this watermark.
pub fn decode(watermark: i64, text: &[u8]) -> Result<Vec<Range<i64>>, Unreadable> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let rest = text.strip_prefix(PREFIX.as_bytes()).ok_or(Unreadable::Foreign)?;
    let (&letter, coded) = rest.split_first().ok_or(Unreadable::Damaged)?;
    let bytes = BASE64.decode(coded).map_err(|_| Unreadable::Damaged)?;
    let (content, sum) = bytes.split_last_chunk::<SUM_BYTES>().ok_or(Unreadable::Damaged)?;
    if *sum != checksum(watermark, char::from(letter), content) {
        return Err(Unreadable::Damaged);
    }
    match letter {
        b'r' => decode_runs(watermark, content),
        b'b' => Ok(decode_bits(watermark + 1, content)),
        _ => Err(Unreadable::Damaged),
    }
}

fn checksum(watermark: i64, letter: char, content: &[u8]) -> [u8; SUM_BYTES] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&watermark.to_le_bytes());
    sum.update(&[letter as u8]);
    sum.update(content);
    sum.finalize().to_le_bytes()
}

/// Lengths of unfinished and finished runs by turns, in LEB128.
struct Runs {
    content: Vec<u8>,
    bytes_max: usize,
    at: i64,
    until: i64,
}

impl Runs {
    fn add(&mut self, range: &Range<i64>) {
        if self.until < i64::MAX {
            return;
        }
        let before = self.content.len();
        push_leb128(&mut self.content, (range.start - self.at) as u64);
        push_leb128(&mut self.content, (range.end - range.start) as u64);
        if self.content.len() > self.bytes_max {
            self.content.truncate(before);
            self.until = range.start;
        } else {
            self.at = range.end;
        }
    }
}

/// A bit for each offset from `first` on.
struct Bits {
    content: Vec<u8>,
    bytes_max: usize,
    first: i64,
    until: i64,
}

impl Bits {
    fn add(&mut self, range: &Range<i64>) {
        if self.until < i64::MAX {
            return;
        }
        let limit = self.first + (self.bytes_max * 8) as i64;
        if range.end > limit {
            self.until = limit.max(range.start);
        }
        for bit in range.start - self.first..range.end.min(limit) - self.first {
            let byte = bit as usize / 8;
            if self.content.len() <= byte {
                self.content.resize(byte + 1, 0);
            }
            self.content[byte] |= 1 << (bit % 8);
        }
    }
}

fn decode_runs(watermark: i64, mut content: &[u8]) -> Result<Vec<Range<i64>>, Unreadable> {
    let mut ranges = Vec::new();
    let mut at = watermark;
    while !content.is_empty() {
        let start = advance(at, pop_leb128(&mut content))?;
        at = advance(start, pop_leb128(&mut content))?;
        ranges.push(start..at);
    }
    Ok(ranges)
}

fn advance(at: i64, by: Option<u64>) -> Result<i64, Unreadable> {
    at.checked_add_unsigned(by.ok_or(Unreadable::Damaged)?).ok_or(Unreadable::Damaged)
}

fn decode_bits(first: i64, content: &[u8]) -> Vec<Range<i64>> {
    let mut ranges: Vec<Range<i64>> = Vec::new();
    let is_set = |bit: &i64| content[*bit as usize / 8] & (1 << (bit % 8)) != 0;
    for offset in (0..content.len() as i64 * 8).filter(is_set).map(|bit| first + bit) {
        match ranges.last_mut() {
            Some(range) if range.end == offset => range.end += 1,
            _ => ranges.push(offset..offset + 1),
        }
    }
    ranges
}

fn push_leb128(content: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        content.push(number as u8 | 0x80);
        number >>= 7;
    }
    content.push(number as u8);
}

fn pop_leb128(content: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = content.split_first()?;
        *content = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(watermark: i64, steps: &[(i64, i64)]) -> Vec<Range<i64>> {
        let mut at = watermark;
        let next = |&(gap, length): &(i64, i64)| {
            let start = at + gap;
            at = start + length;
            start..at
        };
        steps.iter().map(next).collect()
    }

    fn cut(ranges: &[Range<i64>], until: i64) -> Vec<Range<i64>> {
        let cut = ranges.iter().map(|range| range.start..range.end.min(until));
        cut.filter(|range| !range.is_empty()).collect()
    }

    #[test]
    fn what_others_wrote_is_told_from_what_is_damaged() {
        let map = encode(7, std::iter::once(9..12), CHARS_MAX).text;
        assert_eq!(decode(7, map.as_bytes()), Ok(std::iter::once(9..12).collect()));
        assert_eq!(decode(8, map.as_bytes()), Err(Unreadable::Damaged));
        assert_eq!(decode(7, &map.as_bytes()[..map.len() - 1]), Err(Unreadable::Damaged));
        assert_eq!(decode(7, b"gm1"), Err(Unreadable::Damaged));
        assert_eq!(decode(7, b"{\"streams\": 2}"), Err(Unreadable::Foreign));
        assert_eq!(decode(7, b"\xff\xfe"), Err(Unreadable::Foreign));
        assert_eq!(decode(7, b""), Ok(vec![]));
    }

    #[test]
    fn a_hundred_thousand_behind_a_hole_take_a_few_bytes() {
        let encoded = encode(0, std::iter::once(1..100_001), CHARS_MAX);
        assert_eq!((encoded.text.len(), encoded.until), (15, i64::MAX));
    }

    #[test]
    fn a_jumble_is_kept_as_far_as_it_fits() {
        let jumble: Vec<_> =
            (0..100_000).map(|index| 1 + index * 2).map(|offset| offset..offset + 1).collect();
        let encoded = encode(0, jumble.clone(), CHARS_MAX);
        assert!(encoded.text.len() <= CHARS_MAX);
        assert!(encoded.until > 24_000, "{}", encoded.until);
        assert_eq!(decode(0, encoded.text.as_bytes()), Ok(cut(&jumble, encoded.until)));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            watermark in 0i64..1 << 40,
            steps in prop::collection::vec((1i64..60, 1i64..60), 1..3_000),
            scale in 1i64..100,
            chars_max in prop_oneof![Just(CHARS_MAX), 0usize..60],
        ) {
            let steps: Vec<_> = steps.iter().map(|&(gap, length)| (gap * scale, length)).collect();
            let ranges = ranges(watermark, &steps);
            let encoded = encode(watermark, ranges.clone(), chars_max);
            prop_assert!(encoded.text.len() <= chars_max);
            prop_assert_eq!(decode(watermark, encoded.text.as_bytes()), Ok(cut(&ranges, encoded.until)));
        }

        #[test]
        fn no_text_makes_it_panic(watermark in 0i64..i64::MAX - 1, text in "gm1[rb][A-Za-z0-9+/]{0,60}") {
            // Almost never a valid checksum; what is asked for is an answer.
            let _ = decode(watermark, text.as_bytes());
        }
    }
}
