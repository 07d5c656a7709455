//! Sends letters back: each to the topic that it came from, as the message that it was. What Kafka has confirmed is
//! marked, once a second and at the end; what it has not is never marked, and goes again the next time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::letter::Letter;
use super::marks::Marks;
use super::{Choice, Desk, Place, Seen, Usage};
use crate::app::{runtime, signals};
use crate::budget::{Pacer, Permit};
use crate::config::Rate;
use crate::kafka::{self, Post, Posted, Silence};
use crate::message::Position;
use crate::shutdown::{self, Signal};

/// Letters that are confirmed before they are marked, at most: what is repeated after a crash.
const UNMARKED_MAX: u64 = 500;

/// How long a confirmed letter stays unmarked, at most.
const MARK_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait for anything before signals and marks are looked after.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long to wait at the end for the fate of what is on its way, while none comes: longer than a record may take.
const LAST_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long Kafka may take to say whether a topic is there.
const TOPICS_TIMEOUT: Duration = Duration::from_secs(10);

/// Reasons of refused letters that are kept to be told.
const REASONS_MAX: usize = 5;

/// What is to be sent back.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Which letters.
    pub choice: Choice,
    /// Where to, if not to where they came from.
    pub to: Option<String>,
    /// How fast; none is as fast as it goes.
    pub rate: Option<Rate>,
    /// Those that were replayed before, too.
    pub again: bool,
}

/// What a request comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How many letters go to each topic.
    pub topics: BTreeMap<String, u64>,
    /// Letters passed over because they were replayed before.
    pub replayed: u64,
    /// Records passed over because gristmill did not write them, so that nobody knows where they came from.
    pub foreign: u64,
    /// Places where there is no letter.
    pub missing: Vec<String>,
}

impl Plan {
    /// Letters to send back.
    pub fn letters(&self) -> u64 {
        self.topics.values().sum()
    }
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Letters that Kafka has confirmed.
    pub replayed: u64,
    /// Letters that Kafka did not take.
    pub refused: u64,
    /// Why, for the first of them.
    pub reasons: Vec<String>,
    /// Letters that were replayed and could not be marked, because what is remembered of a partition has a limit.
    pub unmarked: u64,
    /// Whether a signal ended it early.
    pub interrupted: bool,
}

/// Who is told what happens.
pub trait Watch {
    /// A letter would go, or goes, to a topic.
    fn goes(&mut self, letter: &Letter, topic: &str);

    /// So many letters are through.
    fn through(&mut self, letters: u64);
}

/// What is done with a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// It goes to this topic.
    Goes(String),
    /// It was replayed before.
    Replayed,
    /// It is not known where it came from.
    Foreign,
}

fn verdict(letter: &Letter, replayed: bool, request: &Request) -> Verdict {
    if replayed && !request.again {
        return Verdict::Replayed;
    }
    let origin = letter.note.as_ref().map(|note| note.origin.topic.to_string());
    request.to.clone().or(origin).map_or(Verdict::Foreign, Verdict::Goes)
}

/// Finds out what `request` comes to, and shows `watch` each letter that would go.
///
/// # Errors
///
/// `Usage` when letters would go round in a circle; else those of Kafka.
pub fn plan(desk: &Desk, request: &Request, watch: &mut dyn Watch) -> anyhow::Result<Plan> {
    let dead = desk.letters.topic().clone();
    let mut plan = Plan::default();
    let missing = desk.look(&request.choice, &mut |seen| {
        let Seen::Letter(letter, replayed) = seen else { return Ok(true) };
        match verdict(&letter, replayed, request) {
            Verdict::Goes(topic) if *topic == *dead => {
                return Err(Usage(format!(
                    "letters would go to `{dead}`, where they are: name another topic with `--to`"
                ))
                .into());
            }
            Verdict::Goes(topic) => {
                watch.goes(&letter, &topic);
                *plan.topics.entry(topic).or_default() += 1;
            }
            Verdict::Replayed => plan.replayed += 1,
            Verdict::Foreign => plan.foreign += 1,
        }
        Ok(true)
    })?;
    plan.missing = missing.iter().map(ToString::to_string).collect();
    Ok(plan)
}

/// Sends back what `request` says.
///
/// # Errors
///
/// When it cannot begin, or cannot go on. What was confirmed until then is marked all the same, if Kafka answers.
pub fn replay(
    desk: &mut Desk,
    (place, plan): (&Place, &Plan),
    request: &Request,
    watch: &mut dyn Watch,
) -> anyhow::Result<Done> {
    let topics: Vec<&str> = plan.topics.keys().map(String::as_str).collect();
    let missing = kafka::missing_topics(&place.kafka, &topics, TOPICS_TIMEOUT)?;
    anyhow::ensure!(
        missing.is_empty(),
        "there is no topic `{}` to send letters back to; create it, or name another with `--to`",
        missing.join("`, `")
    );
    // Somebody may have replayed since the plan was made.
    desk.read_marks()?;
    if let Some(problem) = desk.unreadable().next().filter(|_| !request.again) {
        anyhow::bail!(
            "{problem}; nothing was replayed, because it might be for the second time. With `--again` letters are \
             replayed whatever is remembered, and group `{}` is written anew",
            place.group()
        );
    }
    let runtime = runtime(1)?;
    let (trigger, signal) = shutdown::channel();
    runtime.block_on(async { signals::listen(trigger) })?;
    let mut sender = Sender::new(desk, Post::open(&place.kafka)?, request, signal);
    let looked = desk.look(&request.choice, &mut |seen| match seen {
        Seen::Nothing(partition, range) => {
            sender.mark(partition, range);
            Ok(true)
        }
        Seen::Letter(letter, replayed) => match verdict(&letter, replayed, request) {
            Verdict::Goes(topic) => sender.send(&letter, &topic, watch),
            Verdict::Replayed | Verdict::Foreign => Ok(true),
        },
    });
    let ended = sender.end(watch);
    // Whichever ends the look early is what the user has to know first.
    looked?;
    ended?;
    Ok(sender.done)
}

/// Letters on their way, and the marks of those that have arrived.
struct Sender<'a> {
    desk: &'a Desk,
    post: Post,
    pacer: Option<Pacer>,
    began: Instant,
    signal: Signal,
    /// Letters on their way, by their number.
    waiting: HashMap<u64, Position>,
    next: u64,
    /// By the number of the partition.
    marks: BTreeMap<i32, Marks>,
    /// Partitions whose marks have changed since they were committed.
    changed: BTreeSet<i32>,
    /// Letters confirmed since.
    unmarked: u64,
    marked_at: Instant,
    /// Why nothing more can be sent.
    silence: Option<String>,
    done: Done,
}

impl<'a> Sender<'a> {
    fn new(desk: &'a Desk, post: Post, request: &Request, signal: Signal) -> Self {
        let marks = desk.letters.spans().iter().zip(&desk.marks);
        let now = Instant::now();
        Self {
            desk,
            post,
            pacer: request.rate.map(|rate| Pacer::new(rate, 1)),
            began: now,
            signal,
            waiting: HashMap::new(),
            next: 0,
            marks: marks.map(|(span, marks)| (span.partition, marks.clone())).collect(),
            changed: BTreeSet::new(),
            unmarked: 0,
            marked_at: now,
            silence: None,
            done: Done::default(),
        }
    }

    /// Sends one letter when it may go. False when no more can be sent.
    fn send(&mut self, letter: &Letter, topic: &str, watch: &mut dyn Watch) -> anyhow::Result<bool> {
        while !self.post.is_room() {
            self.attend(Instant::now() + LOOK_INTERVAL, watch);
        }
        while let Some(wait) = self.permit() {
            self.attend(Instant::now() + wait.min(LOOK_INTERVAL), watch);
            if self.is_over() {
                return Ok(false);
            }
        }
        self.attend(Instant::now(), watch);
        if self.is_over() {
            return Ok(false);
        }
        watch.goes(letter, topic);
        let message = letter.message();
        let (position, number) = (message.position(), self.next);
        self.next += 1;
        match self.post.send(number, topic, (message.key(), message.payload()), &letter.own_headers()) {
            Ok(()) => drop(self.waiting.insert(number, position)),
            Err(refused) => self.refuse(&position, &refused.why),
        }
        Ok(true)
    }

    /// How long to wait for the next permit; none when it is there, and taken.
    fn permit(&mut self) -> Option<Duration> {
        let now = self.began.elapsed();
        match self.pacer.as_mut()?.ask(now) {
            Permit::Granted => None,
            Permit::At(then) => Some(then.saturating_sub(now)),
        }
    }

    fn is_over(&mut self) -> bool {
        self.done.interrupted |= self.signal.is_on();
        self.done.interrupted || self.silence.is_some()
    }

    /// Notes the fates that come until `until`, and marks when it is time.
    fn attend(&mut self, until: Instant, watch: &mut dyn Watch) {
        while let Some(posted) = self.post.next(until) {
            self.note(posted);
        }
        watch.through(self.done.replayed + self.done.refused);
        let due = self.unmarked >= UNMARKED_MAX || self.marked_at.elapsed() >= MARK_INTERVAL;
        // A broker that is gone takes no marks either; waiting for it would hold up the end.
        if due && self.silence.is_none() {
            if let Err(error) = self.commit() {
                tracing::warn!(error = format!("{error:#}"), "marking failed and is tried again");
            }
            self.marked_at = Instant::now();
        }
    }

    fn note(&mut self, Posted { number, result }: Posted) {
        let Some(position) = self.waiting.remove(&number) else { return };
        match result {
            Ok(()) => {
                self.done.replayed += 1;
                self.unmarked += 1;
                self.mark(position.partition, position.offset..position.offset + 1);
            }
            Err(refused) => {
                self.refuse(&position, &refused.why);
                if refused.is_silence {
                    self.silence.get_or_insert(refused.why);
                }
            }
        }
    }

    fn refuse(&mut self, position: &Position, why: &str) {
        self.done.refused += 1;
        if self.done.reasons.len() < REASONS_MAX {
            self.done.reasons.push(format!("{position}: {why}"));
        }
    }

    /// Notes that nothing of `range` needs to be replayed any more.
    fn mark(&mut self, partition: i32, range: std::ops::Range<i64>) {
        if let Some(marks) = self.marks.get_mut(&partition) {
            marks.add(range);
            self.changed.insert(partition);
        }
    }

    /// Tells Kafka what has changed.
    fn commit(&mut self) -> anyhow::Result<()> {
        if self.unmarked == 0 {
            return Ok(());
        }
        let changed = self.marks.iter().filter(|(partition, _)| self.changed.contains(partition));
        commit(self.desk, changed)?;
        self.changed.clear();
        self.unmarked = 0;
        Ok(())
    }

    /// Waits for what is on its way, and commits the marks of all partitions: a broker forgets those that are not
    /// renewed.
    fn end(&mut self, watch: &mut dyn Watch) -> anyhow::Result<()> {
        let mut heard_at = Instant::now();
        while self.post.outstanding() > 0 && heard_at.elapsed() < LAST_WAIT_MAX {
            let before = self.post.outstanding();
            self.attend(Instant::now() + LOOK_INTERVAL, watch);
            if self.post.outstanding() < before {
                heard_at = Instant::now();
            }
        }
        self.done.unmarked = self.marks.values().map(|marks| marks.beyond(marks.encoded().until)).sum();
        let worth_it = self.marks.iter().filter(|(_, marks)| **marks != Marks::default());
        let marked = if self.done.replayed > 0 { commit(self.desk, worth_it) } else { Ok(()) };
        let unmarked = if marked.is_ok() { 0 } else { self.unmarked };
        let told = format!(
            "{} letters were replayed, and {unmarked} of them are not marked as such: they would be replayed again",
            self.done.replayed
        );
        match self.silence.take() {
            Some(why) => Err(anyhow::Error::new(Silence(why)).context(told)),
            None => marked.context(told),
        }
    }
}

fn commit<'a>(desk: &Desk, marks: impl Iterator<Item = (&'a i32, &'a Marks)>) -> anyhow::Result<()> {
    let marks: Vec<_> =
        marks.map(|(number, marks)| (*number, marks.watermark(), marks.encoded().text)).collect();
    desk.letters.commit(marks.iter().map(|(number, watermark, text)| (*number, *watermark, text.as_str())))
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::{WRITTEN, letter};
    use super::*;

    #[test]
    fn a_letter_goes_where_it_came_from_unless_told_otherwise_and_only_once() {
        let (ours, foreign) = (letter(0, &WRITTEN), letter(1, &[]));
        let goes = |topic: &str| Verdict::Goes(topic.to_owned());
        let plain = Request::default();
        assert_eq!(verdict(&ours, false, &plain), goes("orders"));
        assert_eq!(verdict(&ours, true, &plain), Verdict::Replayed);
        assert_eq!(verdict(&foreign, false, &plain), Verdict::Foreign);
        let elsewhere = Request { to: Some("other".to_owned()), ..Request::default() };
        assert_eq!(verdict(&ours, false, &elsewhere), goes("other"));
        assert_eq!(verdict(&foreign, false, &elsewhere), goes("other"));
        assert_eq!(verdict(&foreign, true, &elsewhere), Verdict::Replayed);
        let again = Request { again: true, ..Request::default() };
        assert_eq!(verdict(&ours, true, &again), goes("orders"));
    }
}
