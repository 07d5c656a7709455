//! The rate of a plugin: when may `handle-message` start next.
//!
//! `governor` keeps the account (GCRA); this room gives it a clock that stands where a permit was due rather than
//! where a late wake-up found itself, so that permits lie on an even grid. Pure: the caller passes the time.
//!
//! A start at real time `s` is accounted at `v`, with `s - LAG_MAX <= v <= s`. Governor lets at most
//! rate × w + burst pass in any window of length w of `v`; so any window of `s` holds at most
//! rate × (w + `LAG_MAX`) + burst.

pub mod group;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::config::{Budget, Rate, Scope};
use group::GroupPacer;

/// How late a start may be and still be accounted when it was due. The contract's 5 ms, less what the last message
/// of a run may start after its run (a run lasts about a millisecond).
pub const LAG_MAX: Duration = Duration::from_millis(4);

/// How late a start may be at all, by the contract.
const LATE_MAX: Duration = Duration::from_millis(5);

/// Whether a start is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Now; the permit is taken.
    Granted,
    /// Not before this time, counted from the pacer's beginning.
    At(Duration),
}

/// Gives out permits. Times are counted from a beginning that the caller chooses, and never go back.
#[derive(Debug)]
pub struct Pacer {
    limiter: RateLimiter<NotKeyed, InMemoryState, GridClock, NoOpMiddleware<Nanos>>,
    clock: GridClock,
    period: Duration,
    /// Where on the grid the last permit was accounted.
    last: Option<Duration>,
}

impl Pacer {
    /// A pacer of `rate` starts, of which up to `burst` (at least 1) may come back to back.
    pub fn new(rate: Rate, burst: u32) -> Self {
        let clock = GridClock::default();
        // Governor multiplies the two in nanoseconds; half the range of that is 292 years of saved permits.
        let burst_max = i64::MAX as u128 / rate.period.as_nanos().max(1);
        let burst =
            NonZeroU32::new(burst.min(burst_max.try_into().unwrap_or(u32::MAX))).unwrap_or(NonZeroU32::MIN);
        // A rate's period is checked to be above zero; if it were not, governor's answer is "no quota", and the
        // slowest rate there is keeps the database safe.
        let quota = Quota::with_period(rate.period).unwrap_or(Quota::per_hour(NonZeroU32::MIN));
        let limiter = RateLimiter::direct_with_clock(quota.allow_burst(burst), clock.clone());
        Self { limiter, clock, period: rate.period, last: None }
    }

    /// A pacer that goes on where `before` was, at another rate: no start is permitted twice.
    fn after(before: &Self, rate: Rate, burst: u32) -> Self {
        let mut pacer = Self::new(rate, burst);
        if let Some(last) = before.last {
            pacer.clock.stand_at(last);
            // The first permit of a new account is always there.
            let _ = pacer.limiter.check();
            pacer.last = Some(last);
        }
        pacer
    }

    /// Asks for one start at `now`.
    pub fn ask(&mut self, now: Duration) -> Permit {
        let due = self.last.map_or(now, |last| last + self.period);
        // A start that is a little late is accounted when it was due and leaves the grid where it is; one that is
        // very late, or comes after a pause, moves the grid: what was missed is not caught up.
        let accounted = if due <= now && now - due <= LAG_MAX { due } else { now };
        self.clock.stand_at(accounted);
        match self.limiter.check() {
            Ok(()) => {
                self.last = Some(accounted);
                Permit::Granted
            }
            Err(not_until) => Permit::At(not_until.earliest_possible().into()),
        }
    }
}

/// A rate, whoever's it is.
#[derive(Debug)]
pub enum Pace {
    /// This host's.
    Instance(Pacer),
    /// The whole consumer group's.
    Group(GroupPacer),
}

/// The answer to who asks for a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It may start now, and must have started after this time, for the contract's bound to hold.
    Within(Duration),
    /// Not before this time has passed.
    After(Duration),
}

impl Pace {
    /// The pace of a budget with a rate.
    fn new(rate: Rate, burst: u32, scope: Scope) -> Self {
        match scope {
            Scope::Instance => Self::Instance(Pacer::new(rate, burst)),
            Scope::Group => Self::Group(GroupPacer::new(rate, burst)),
        }
    }

    /// The pace after a change of the budget; none when there is no rate any more.
    pub fn changed(before: Option<&Self>, budget: &Budget) -> Option<Self> {
        let rate = budget.rate?;
        Some(match (before, budget.scope) {
            (Some(Self::Instance(pacer)), Scope::Instance) => {
                Self::Instance(Pacer::after(pacer, rate, budget.burst))
            }
            (_, scope) => Self::new(rate, budget.burst, scope),
        })
    }

    /// Asks for one start, `now` on a clock of the host's own that never goes back, and `wall` since the Unix epoch.
    pub fn ask(&mut self, now: Duration, wall: Duration) -> Asked {
        let (permit, asked_at, accounted) = match self {
            Self::Instance(pacer) => (pacer.ask(now), now, pacer.last.unwrap_or(now)),
            Self::Group(pacer) => {
                let (permit, accounted) = pacer.ask(wall);
                (permit, wall, accounted)
            }
        };
        match permit {
            Permit::Granted => Asked::Within((accounted + LATE_MAX).saturating_sub(asked_at)),
            Permit::At(then) => Asked::After(then.saturating_sub(asked_at)),
        }
    }
}

/// A clock for governor that stands where it is put.
#[derive(Clone, Debug, Default)]
struct GridClock(Arc<AtomicU64>);

impl GridClock {
    fn stand_at(&self, time: Duration) {
        self.0.store(time.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock for GridClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}
