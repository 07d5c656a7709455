//! Bounds what one source of log lines may write, so that a flood of them hides nothing else and fills no disk. What
//! is held back is counted, and told in one line a second.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// How long lines are held back before their number is told.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// The lines of one source.
#[derive(Debug)]
pub struct LogLimit<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    held: AtomicU64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Write,
    /// It is not written. The first since the number was last told has somebody tell it.
    Hold {
        first: bool,
    },
}

impl LogLimit {
    /// A source that may write so many lines a second, and so many at once.
    pub fn new(lines_per_second: NonZeroU32, burst: NonZeroU32) -> Arc<Self> {
        Arc::new(Self::with_clock(lines_per_second, burst, DefaultClock::default()))
    }

    /// Whether a line may be written now. If not, it is counted, and `tell` is given the number of those like it a
    /// second later; of several such closures one is called. Needs the runtime for that.
    pub fn allow(self: &Arc<Self>, tell: impl FnOnce(u64) + Send + 'static) -> bool {
        let answer = self.ask();
        if answer == (Answer::Hold { first: true }) {
            let limit = self.clone();
            let later = async move {
                tokio::time::sleep(TELL_AFTER).await;
                tell(limit.take_held());
            };
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(later)),
                // Nobody can tell later: the next line that is held finds itself the first again.
                Err(_) => _ = self.take_held(),
            }
        }
        answer == Answer::Write
    }
}

impl<C: Clock> LogLimit<C> {
    fn with_clock(lines_per_second: NonZeroU32, burst: NonZeroU32, clock: C) -> Self {
        let quota = Quota::per_second(lines_per_second).allow_burst(burst);
        Self { limiter: RateLimiter::direct_with_clock(quota, clock), held: AtomicU64::new(0) }
    }

    fn ask(&self) -> Answer {
        if self.limiter.check().is_ok() {
            return Answer::Write;
        }
        Answer::Hold { first: self.held.fetch_add(1, Ordering::Relaxed) == 0 }
    }

    fn take_held(&self) -> u64 {
        self.held.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use governor::clock::FakeRelativeClock;

    use super::*;

    const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

    #[test]
    fn so_many_lines_pass_and_the_others_are_counted() {
        let clock = FakeRelativeClock::default();
        let limit = LogLimit::with_clock(TEN, TEN, clock.clone());
        let passed = (0..10_000).filter(|_| limit.ask() == Answer::Write).count();
        assert_eq!(passed, 10);
        assert_eq!(limit.take_held(), 9_990);
        clock.advance(Duration::from_millis(100));
        assert_eq!(limit.ask(), Answer::Write);
        assert_eq!(limit.ask(), Answer::Hold { first: true });
        assert_eq!(limit.ask(), Answer::Hold { first: false });
        assert_eq!(limit.take_held(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_lines_held_back_is_told_once_a_second() {
        let limit = LogLimit::new(NonZeroU32::MIN, NonZeroU32::MIN);
        let told = Arc::new(Mutex::new(Vec::new()));
        let line = || {
            let told = told.clone();
            limit.allow(move |more| told.lock().unwrap().push(more))
        };
        assert!(line());
        assert_eq!((0..500).filter(|_| line()).count(), 0);
        assert!(told.lock().unwrap().is_empty());
        tokio::time::sleep(TELL_AFTER * 2).await;
        assert_eq!(*told.lock().unwrap(), [500]);
    }
}
