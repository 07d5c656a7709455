//! W3C trace context: `traceparent` and `tracestate` as headers of messages carry them, which traces are recorded, and
//! what is kept of an attempt whose trace is.
//!
//! Pure. What is told of a message's handling is `spans`' business, sending it `telemetry`'s.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// The name of the header that says which trace a message belongs to, and which span caused it.
pub const TRACEPARENT: &[u8] = b"traceparent";

/// The name of the header in which tracing systems keep what is theirs alone.
pub const TRACESTATE: &[u8] = b"tracestate";

/// The length in bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The trace is recorded by whoever comes before.
const SAMPLED: u8 = 0b01;

/// The flags that have a meaning: sampled, and that the trace's id is random. All others are to be zero.
const FLAGS: u8 = 0b11;

/// A place in a trace: the trace and a span of it. Neither id is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
    flags: u8,
}

impl Context {
    /// Reads the value of a `traceparent`. None when it is invalid: then it is as if there were none. Of a version to come
    /// what version 00 has is read, as the specification wants it.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, more) = value.split_at_checked(LENGTH)?;
        let mut parts = known.split(|byte| *byte == b'-');
        let version = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let trace = hex(parts.next()?, 32)?;
        let span = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let well_ended = match version {
            0 => more.is_empty(),
            u8::MAX => false,
            _ => more.is_empty() || more.starts_with(b"-"),
        };
        let valid = well_ended && trace != 0 && span != 0;
        valid.then_some(Self { trace, span, flags: flags & FLAGS })
    }

    /// A trace that begins here. It is recorded when `share` says so.
    pub fn begin(share: Share) -> Self {
        // A generator for each thread has 64 bits of state; the key keeps apart those of two processes that meet in it.
        static KEY: LazyLock<u128> = LazyLock::new(|| {
            let half = || u128::from(RandomState::new().hash_one(std::process::id()));
            half() << 64 | half()
        });
        let trace = (fastrand::u128(..) ^ *KEY).max(1);
        Self { trace, span: span_id(), flags: if share.takes(trace) { SAMPLED } else { 0 } }
    }

    /// Another span of the same trace.
    pub fn child(self) -> Self {
        Self { span: span_id(), ..self }
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags, as spans carry them.
    pub fn flags(self) -> u8 {
        self.flags
    }
}

/// As the value of a `traceparent`.
impl std::fmt::Display for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

fn span_id() -> u64 {
    fastrand::u64(1..)
}

/// A number of so many lower-case hexadecimal digits; the specification has no others.
fn hex(digits: &[u8], count: usize) -> Option<u128> {
    let lower = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let text = std::str::from_utf8(digits).ok().filter(|digits| lower && digits.len() == count)?;
    u128::from_str_radix(text, 16).ok()
}

/// Which share of the traces that begin here is recorded.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl Share {
    /// Whether a trace is among those that are recorded, by its id: whoever decides by the same share, as OpenTelemetry's
    /// samplers do, decides alike.
    fn takes(self, trace: u128) -> bool {
        const ALL: f64 = (1_u64 << 63) as f64;
        // From all on, the bound is above every id.
        ((trace as u64) >> 1) < (self.0 * ALL) as u64
    }
}

/// What a message's headers say of its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// The value of its `traceparent`, which is valid.
    pub traceparent: &'a [u8],
    /// What that says.
    pub context: Context,
}

impl<'a> Incoming<'a> {
    /// Looks through headers. Where there are several, the last one counts: whoever forwards a message and does not remove
    /// what it came with adds its own behind it.
    pub fn find(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Option<Self> {
        let last = headers.filter(|(name, _)| *name == TRACEPARENT).last();
        let traceparent = last.and_then(|(_, value)| value)?;
        Some(Self { traceparent, context: Context::parse(traceparent)? })
    }
}

/// An attempt at a message whose trace is recorded. It goes with the message until it is clear what became of that, and
/// after that it says where the next attempt belongs.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its span.
    pub context: Context,
    /// The span that caused it; none when the trace begins with it.
    pub parent: Option<u64>,
    /// That span is somebody else's, and not the first attempt at the same message.
    pub parent_is_remote: bool,
    /// When `handle-message` started.
    pub started_at: Instant,
    /// Nanoseconds from then to its return.
    pub handle_ns: u64,
    /// When the plugin put the message into a batch, if it did.
    pub batched_at: Option<Instant>,
    /// The digest of the component.
    pub component: Arc<str>,
    /// Why it failed, if it did: the kind's word, and the first line of the reason.
    pub failure: Option<(&'static str, String)>,
    /// It has been told.
    pub is_over: bool,
}

impl Attempt {
    /// Where the next attempt belongs: beside this one, below what caused both; or below the first, if nothing did.
    pub fn next(&self) -> Context {
        Context { span: self.parent.unwrap_or(self.context.span), ..self.context }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(text: &str) -> Option<Context> {
        Context::parse(text.as_bytes())
    }

    #[test]
    fn the_specifications_example_is_read_and_written() {
        let context = parse(GOOD).unwrap();
        assert_eq!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((context.span, context.is_sampled()), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(context.to_string(), GOOD);
        assert!(!parse(&GOOD.replace("-01", "-00")).unwrap().is_sampled());
    }

    #[test]
    fn versions_to_come_are_read_as_far_as_they_are_known() {
        let of = |version: &str, more: &str| format!("{version}{}{more}", &GOOD[2..]);
        for good in [of("01", ""), of("01", "-"), of("fe", "-what-the-future-brings")] {
            assert_eq!(parse(&good), parse(GOOD), "{good}");
        }
        for bad in [of("00", "-"), of("00", "-more"), of("01", "more"), of("ff", ""), of("ff", "-x")] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn flags_that_mean_nothing_are_dropped() {
        assert_eq!(parse(&GOOD.replace("-01", "-ff")).unwrap().to_string(), GOOD.replace("-01", "-03"));
        assert!(!parse(&GOOD.replace("-01", "-fe")).unwrap().is_sampled());
    }

    #[test]
    fn what_is_invalid_is_none() {
        let zeros = |from: usize, to: usize| {
            let mut text = GOOD.to_owned();
            text.replace_range(from..to, &"0".repeat(to - from));
            text
        };
        let bad = [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD} "),
            format!(" {}", &GOOD[1..]),
            GOOD.to_uppercase(),
            GOOD.replace('-', "_"),
            GOOD.replace("4bf9", "4b+9"),
            GOOD.replace("4bf9", "4bg9"),
            GOOD.replace("-00f0", "0-0f0"),
            GOOD.replace("00-4", "0-04"),
            zeros(3, 35),
            zeros(36, 52),
        ];
        for bad in bad {
            assert_eq!(parse(&bad), None, "{bad}");
        }
        assert_eq!(Context::parse(&[0xff; LENGTH]), None);
    }

    #[test]
    fn of_several_headers_the_last_counts() {
        let header = |name: &'static str, value: &'static str| (name.as_bytes(), Some(value.as_bytes()));
        let other = "00-11111111111111111111111111111111-2222222222222222-00";
        let found = |headers: &[(&'static [u8], Option<&'static [u8]>)]| {
            Incoming::find(headers.iter().copied()).map(|incoming| incoming.context)
        };
        assert_eq!(
            found(&[header("traceparent", GOOD), header("traceparent", other), header("x", "y")]),
            parse(other)
        );
        assert_eq!(found(&[header("traceparent", GOOD), header("traceparent", "x")]), None);
        assert_eq!(found(&[header("traceparent", GOOD), (TRACEPARENT, None)]), None);
        assert_eq!(found(&[header("Traceparent", GOOD)]), None, "names in Kafka have a case");
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn new_traces_are_recorded_by_their_share() {
        let recorded = |share| {
            (0..10_000)
                .map(|_| Context::begin(Share(share)))
                .inspect(|context| assert!(context.trace != 0 && context.span != 0))
                .filter(|context| context.is_sampled())
                .count()
        };
        assert_eq!((recorded(0.0), recorded(1.0)), (0, 10_000));
        // Ten standard deviations around 2 500.
        assert!((2_067..=2_933).contains(&recorded(0.25)));
        assert!(Share(1.0).takes(u128::MAX));
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(trace in 1_u128.., span in 1_u64.., flags in 0_u8..=FLAGS) {
            let context = Context { trace, span, flags };
            prop_assert_eq!(parse(&context.to_string()), Some(context));
            let child = context.child();
            prop_assert!(child.trace == trace && child.span != 0 && child.flags == flags);
        }

        /// Bytes of any kind do no harm, and what is read of them is what stands there.
        #[test]
        fn whatever_is_read_stands_there(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(context) = Context::parse(&bytes) {
                let written = context.to_string();
                prop_assert_eq!(&written.as_bytes()[2..53], &bytes[2..53]);
            }
        }

        /// The same for what differs from a good one in a few places.
        #[test]
        fn near_misses_are_told_apart(changes in prop::collection::vec((0_usize..58, "[0-9a-fA-F-]"), 0..3)) {
            let mut text = GOOD.as_bytes().to_vec();
            for (at, byte) in changes {
                text.resize(text.len().max(at + 1), b'0');
                text[at] = byte.as_bytes()[0];
            }
            if let Some(context) = Context::parse(&text) {
                let written = context.to_string();
                prop_assert_eq!(&written.as_bytes()[2..53], &text[2..53]);
                prop_assert!(text.len() == LENGTH || &text[..2] != b"00");
            }
        }
    }
}
