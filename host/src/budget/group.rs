//! The rate of a whole consumer group, kept by each host alone: which permits are ours follows from the partitions that
//! we own.
//!
//! Permits lie on one grid for the whole group, in the time of the wall clock: permit number k is due at k × period
//! since the Unix epoch, and belongs to whoever owns partition k modulo the number of partitions. A partition has one
//! owner at a time, so the hosts of a group start one after the other on one even grid, whoever owns what, and together
//! never more than the rate; while a partition is between two owners, its permits lapse. What clocks differ by between
//! hosts adds to the window of the contract's bound. Pure: the caller passes the time.

use std::collections::VecDeque;
use std::time::Duration;

use super::{LAG_MAX, LATE_MAX, Permit};
use crate::config::Rate;

/// Most permits that are remembered to be caught up by a burst.
const SAVED_MAX: usize = 100_000;

/// Gives out the permits of the partitions that this host owns.
#[derive(Debug)]
pub struct GroupPacer {
    period_ns: u128,
    burst: u32,
    /// Numbers of the partitions that are ours, in order.
    owned: Vec<u64>,
    /// How many partitions the group has.
    partitions: u64,
    /// The first permit that was not looked at yet.
    next: u128,
    /// When permits were due that nobody took, as many as may be caught up.
    saved: VecDeque<Duration>,
}

impl GroupPacer {
    /// A pacer of `rate` starts for the whole group, of which up to `burst` may come back to back. Owns nothing.
    pub fn new(rate: Rate, burst: u32) -> Self {
        let period_ns = rate.period.as_nanos().max(1);
        Self { period_ns, burst, owned: Vec::new(), partitions: 0, next: 0, saved: VecDeque::new() }
    }

    /// From `now` on these are the numbers of our partitions, each below `partitions`. Permits that were saved lapse.
    pub fn own(&mut self, mut owned: Vec<u64>, partitions: u64, now: Duration) {
        owned.sort_unstable();
        owned.retain(|number| *number < partitions);
        (self.owned, self.partitions) = (owned, partitions);
        self.saved.clear();
        // What was due before was another's.
        self.next = now.as_nanos().div_ceil(self.period_ns);
    }

    /// Asks for one start at `now`, time since the Unix epoch. Returns when the start is accounted with a yes.
    pub fn ask(&mut self, now: Duration) -> (Permit, Duration) {
        if self.owned.is_empty() || self.partitions == 0 {
            return (Permit::At(now + LATE_MAX), now);
        }
        self.look(now);
        match self.saved.pop_front() {
            Some(due) => (Permit::Granted, if now - due <= LAG_MAX { due } else { now }),
            None => (Permit::At(self.due(self.next_owned(self.next))), now),
        }
    }

    /// Puts what has come due by `now` among the saved, and lets what is too old lapse.
    fn look(&mut self, now: Duration) {
        let until = now.as_nanos() / self.period_ns;
        // A host that slept for a day has not a day's permits to look at.
        let oldest = until.saturating_sub(SAVED_MAX as u128);
        let mut permit = self.next_owned(self.next.max(oldest));
        while permit <= until {
            self.saved.push_back(self.due(permit));
            permit = self.next_owned(permit + 1);
        }
        self.next = self.next.max(until + 1);
        let late = self.saved.iter().take_while(|due| now - **due > LAG_MAX).count();
        let lapsed = late.saturating_sub(self.caught_up_max());
        self.saved.drain(..lapsed);
    }

    /// How many permits that were missed may be caught up: this host's part of the burst.
    fn caught_up_max(&self) -> usize {
        let share = u64::from(self.burst - self.burst.min(1)) * self.owned.len() as u64;
        share.checked_div(self.partitions).unwrap_or(0) as usize
    }

    fn due(&self, permit: u128) -> Duration {
        let ns = permit * self.period_ns;
        Duration::new((ns / 1_000_000_000) as u64, (ns % 1_000_000_000) as u32)
    }

    /// The first permit from number `from` on that is ours. There is one among as many as there are partitions.
    fn next_owned(&self, from: u128) -> u128 {
        let partitions = u128::from(self.partitions);
        let number = (from % partitions) as u64;
        let base = from - u128::from(number);
        match self.owned.iter().find(|owned| **owned >= number) {
            Some(owned) => base + u128::from(*owned),
            None => base + partitions + u128::from(self.owned.first().copied().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EPOCH: Duration = Duration::from_secs(1_700_000_000);

    fn pacer(period: Duration, burst: u32) -> GroupPacer {
        GroupPacer::new(Rate { period }, burst)
    }

    #[test]
    fn a_host_alone_has_the_whole_rate_and_one_without_partitions_none() {
        let mut alone = pacer(Duration::from_millis(10), 1);
        assert!(matches!(alone.ask(EPOCH).0, Permit::At(_)));
        alone.own(vec![0, 1, 2], 3, EPOCH);
        let (mut now, mut starts) = (EPOCH, 0);
        while now < EPOCH + Duration::from_secs(1) {
            match alone.ask(now).0 {
                Permit::Granted => starts += 1,
                Permit::At(then) => now = then,
            }
        }
        assert_eq!(starts, 100);
    }

    #[test]
    fn what_was_missed_is_caught_up_by_no_more_than_the_burst() {
        let mut alone = pacer(Duration::from_millis(10), 5);
        alone.own(vec![0], 1, EPOCH);
        let now = EPOCH + Duration::from_secs(10);
        let starts = (0..100).filter(|_| alone.ask(now).0 == Permit::Granted).count();
        assert_eq!(starts, 5);
    }

    proptest! {
        /// However partitions move between hosts, one owner at a time, and however late hosts wake up: no window holds
        /// more starts than the rate allows the whole group.
        #[test]
        fn together_the_hosts_keep_the_rate(
            period_us in 200_u64..20_000,
            partitions in 1_u64..12,
            burst in 1_u32..4,
            moves in prop::collection::vec((0_u64..12, 0_usize..3, 0_u64..50), 0..12),
            wakes in prop::collection::vec((0_usize..3, 0_u64..9_000), 50..300),
        ) {
            let period = Duration::from_micros(period_us);
            let mut hosts: Vec<_> = (0..3).map(|_| pacer(period, burst)).collect();
            let mut owner: Vec<usize> = (0..partitions).map(|number| number as usize % 3).collect();
            let tell = |hosts: &mut Vec<GroupPacer>, owner: &[usize], now| {
                for (index, host) in hosts.iter_mut().enumerate() {
                    let owned = (0..partitions).filter(|number| owner[*number as usize] == index).collect();
                    host.own(owned, partitions, now);
                }
            };
            let mut now = EPOCH;
            tell(&mut hosts, &owner, now);
            let mut moves = moves.into_iter();
            let mut starts = Vec::new();
            for (round, (host, late_us)) in wakes.into_iter().enumerate() {
                now += Duration::from_micros(late_us);
                if round % 20 == 19 && let Some((number, to, _)) = moves.next() {
                    owner[(number % partitions) as usize] = to;
                    tell(&mut hosts, &owner, now);
                }
                while hosts[host].ask(now).0 == Permit::Granted {
                    starts.push(now);
                }
            }
            for (index, from) in starts.iter().enumerate() {
                for (count, to) in starts[index..].iter().enumerate() {
                    let window = *to - *from + LAG_MAX;
                    let most = window.as_secs_f64() / period.as_secs_f64() + f64::from(burst) + 1e-6;
                    prop_assert!((count + 1) as f64 <= most, "{} in {window:?}", count + 1);
                }
            }
        }
    }
}
