//! The host is killed in the middle of its work, as by a power cut: nothing is lost, and what is repeated is bounded.
//!
//! The runs `killed_at_random…` take minutes and do nothing unless `GRISTMILL_LONG=1` (`make soak`). They print the
//! seed of their moments; `GRISTMILL_SEED` repeats them.

use std::collections::HashSet;
use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::world::host::{Site, section};
use crate::world::kafka::{Isolation, Kafka, Stored};
use crate::world::tally::Tally;

/// Starts in a second.
const RATE: usize = 2_000;

/// Messages that may be in flight.
const CONCURRENCY: usize = 10;

/// What one kill may repeat: what was in flight, and what finished since the last commit. That is sent once a second;
/// another second is for a machine that was too busy to send it in time.
const REPEATED_MAX: usize = CONCURRENCY + 2 * RATE;

#[test]
fn killed_again_and_again_it_loses_nothing_and_repeats_little() {
    const MESSAGES: usize = 40_000;
    const KILLS: usize = 5;
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("crash"), Kafka::unique("crashed"));
    kafka.create_topic(&from, 10);
    kafka.create_topic(&to, 4);
    kafka.produce(&from, (0..MESSAGES).map(|i| (i.to_string(), i.to_string())));
    // The group misses a killed member after the session timeout.
    let more = format!(
        "output = {to:?}\n[plugins.echo.budget]\nrate = \"{RATE}/s\"\nconcurrency = {CONCURRENCY}\n\
         [plugins.echo.kafka.options]\n\"session.timeout.ms\" = \"2000\"\n\"heartbeat.interval.ms\" = \"300\""
    );
    let site = Site::new(&kafka.bootstrap(), &section("echo", &from, &more));
    let mut repeated_before = 0;
    for kill in 1..=KILLS {
        let host = site.start();
        host.wait_handled("echo", 5_000);
        host.kill();
        // What this start repeated goes back to the kill before it.
        let repeated = Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted)).repeated();
        let by_kill = repeated - repeated_before;
        assert!(by_kill <= REPEATED_MAX, "{by_kill} messages are repeated after kill {}", kill - 1);
        println!("after kill {}: {by_kill} repeated", kill - 1);
        repeated_before = repeated;
    }
    let host = site.start();
    host.wait_for("to have no lag", || host.has_no_lag(10));
    assert_eq!(host.stop(), 0);
    let tally = Tally::of(&kafka.consume_all(&to, Isolation::ReadUncommitted));
    let by_kill = tally.repeated() - repeated_before;
    assert!(by_kill <= REPEATED_MAX, "{by_kill} messages are repeated after the last kill");
    println!("after kill {KILLS}: {by_kill} repeated; in all {}", tally.repeated());
    assert_eq!(tally.lost(0..MESSAGES), Vec::<String>::new());
    assert_eq!(tally.distinct(), MESSAGES);
}

/// Starts in a second of the long run.
const LONG_RATE: usize = 5_000;

/// Messages that may be in flight in the long run.
const LONG_CONCURRENCY: usize = 20;

/// As `REPEATED_MAX`, for the long run.
const LONG_REPEATED_MAX: usize = LONG_CONCURRENCY + 2 * LONG_RATE;

/// Kills of the long run.
const LONG_KILLS: usize = 30;

/// Messages of the long run.
const LONG_MESSAGES: usize = 200_000;

#[test]
fn killed_at_random_thirty_times() {
    if env::var_os("GRISTMILL_LONG").is_none() {
        return println!("a long run: GRISTMILL_LONG=1 (make soak)");
    }
    let (to, ends) = kill_at_random("at-least-once");
    let outputs = Kafka::shared().consume_all(&to, Isolation::ReadUncommitted);
    let repeated = repeated_by_life(&outputs, &ends);
    let tally = Tally::of(&outputs);
    let lost = tally.lost(0..LONG_MESSAGES);
    println!("lost {}; repeated {} in all, in each life {repeated:?}", lost.len(), tally.repeated());
    assert_eq!(lost, Vec::<String>::new());
    assert_eq!(tally.distinct(), LONG_MESSAGES);
    assert!(repeated.iter().all(|repeated| *repeated <= LONG_REPEATED_MAX), "{repeated:?}");
}

#[test]
fn killed_at_random_thirty_times_exactly_once() {
    if env::var_os("GRISTMILL_LONG").is_none() {
        return println!("a long run: GRISTMILL_LONG=1 (make soak)");
    }
    let (to, _) = kill_at_random("exactly-once");
    let all = Kafka::shared().consume_all(&to, Isolation::ReadUncommitted);
    let tally = Tally::of(&Kafka::shared().consume_all(&to, Isolation::ReadCommitted));
    let (lost, doubled) = (tally.lost(0..LONG_MESSAGES).len(), tally.repeated());
    println!("lost {lost}, doubled {doubled}; of {} outputs, aborted ones included", all.len());
    assert_eq!((lost, doubled, tally.distinct()), (0, 0, LONG_MESSAGES));
}

/// Kills a host again and again, and lets the last one come to the end. Returns the topic of the outputs, and the ends of
/// its partitions after each life.
fn kill_at_random(delivery: &str) -> (String, Vec<Vec<i64>>) {
    const PARTITIONS: usize = 10;
    let mut random = Random::new();
    let kafka = Kafka::shared();
    let (from, to) = (Kafka::unique("soak"), Kafka::unique("soaked"));
    kafka.create_topic(&from, PARTITIONS as i32);
    kafka.create_topic(&to, 4);
    kafka.produce(&from, (0..LONG_MESSAGES).map(|i| (i.to_string(), i.to_string())));
    let more = format!(
        "output = {to:?}\ndelivery = {delivery:?}\n[plugins.echo.budget]\nrate = \"{LONG_RATE}/s\"\n\
         concurrency = {LONG_CONCURRENCY}\nbuffer = 2000\n[plugins.echo.kafka.options]\n\
         \"session.timeout.ms\" = \"2000\"\n\"heartbeat.interval.ms\" = \"300\""
    );
    let site = Site::new(&kafka.bootstrap(), &section("echo", &from, &more));
    let mut ends = Vec::new();
    for kill in 1..=LONG_KILLS {
        let host = site.start();
        // Some lives end before a message is handled, and some after two or three commits.
        let moment = random.below(2 * LONG_MESSAGES / LONG_KILLS);
        host.wait_for("to come to the moment", || {
            host.outcomes("echo", "handled") >= moment as u64 || host.has_no_lag(PARTITIONS)
        });
        host.kill();
        ends.push(kafka.end_offsets(&to));
        println!("{delivery}: kill {kill} after {moment}");
    }
    let host = site.start();
    host.wait_for("to have no lag", || host.has_no_lag(PARTITIONS));
    assert_eq!(host.stop(), 0);
    ends.push(kafka.end_offsets(&to));
    (to, ends)
}

/// For each life of the host, how much of what it made had been made before: so much did the kill before it cost.
/// `ends` are the ends of the partitions after each life.
fn repeated_by_life(outputs: &[Stored], ends: &[Vec<i64>]) -> Vec<usize> {
    let life = |output: &Stored| {
        let is_over = |ends: &&Vec<i64>| ends[output.partition as usize] <= output.offset;
        ends.iter().take_while(is_over).count()
    };
    let mut lives: Vec<Vec<&Stored>> = vec![Vec::new(); ends.len()];
    outputs.iter().for_each(|output| lives[life(output)].push(output));
    let mut seen = HashSet::new();
    lives.iter().map(|life| life.iter().filter(|output| !seen.insert(output.text())).count()).collect()
}

/// Random numbers from a seed that is printed (SplitMix64).
struct Random(u64);

impl Random {
    fn new() -> Random {
        let given = env::var("GRISTMILL_SEED").ok();
        let seed = given.map_or_else(
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64),
            |seed| seed.parse().expect("GRISTMILL_SEED is a number"),
        );
        println!("GRISTMILL_SEED={seed}");
        Random(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}
