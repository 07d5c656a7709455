//! What the figures of a plugin mean, and what would help: one sentence each, and none where there is nothing to say.
//!
//! Pure: figures of the last while in, sentences out. Where the figures come from is left to whoever looks in.

mod figures;
mod words;

use crate::api::Advice;
pub use figures::Figures;
use words::{duration, per_second};

/// Least seconds of figures before a trend is one: a lag is looked at once a second, and messages come in batches.
const TREND_SECONDS_MIN: f64 = 10.0;

/// A lag that is handled within so many seconds is no backlog, it is what is on its way.
const BACKLOG_SECONDS_MIN: f64 = 5.0;

/// Least part of what is handled by which a lag has to change to be growing or shrinking; less is noise.
const TREND_SHARE_MIN: f64 = 0.02;

/// Fewest messages by which a lag has to change for it.
const TREND_MESSAGES_MIN: f64 = 10.0;

/// Something holds a plugin back if it does so for at least this part of the time.
const HOLDS_SHARE_MIN: f64 = 0.5;

/// And it does not if for less than this part.
const FREE_SHARE_MAX: f64 = 0.1;

/// Fewest calls whose mean time is worth building on.
const CALLS_MIN: u64 = 20;

/// Largest part of the concurrency that may be needed for less to be worth proposing.
const SPARE_SHARE_MAX: f64 = 0.75;

/// Failures are worth a sentence from this many on,
const FAILURES_MIN: u64 = 5;
/// and from this part of everything on.
const FAILURES_SHARE_MIN: f64 = 0.05;

/// Longest time for which a trend of a minute is continued, in seconds: a month.
const PREDICTION_SECONDS_MAX: f64 = 30.0 * 86_400.0;

/// What holds a plugin back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Rate,
    Concurrency,
    /// Workers are free and the buffer is full: what is in it waits for others of its lane.
    Order,
    Nothing,
}

/// How the lag moves, in messages a second.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trend {
    Grows(f64),
    Stays,
    Shrinks(f64),
}

/// What there is to say, the most pressing first.
pub fn advise(figures: &Figures) -> Vec<Advice> {
    let said = [
        parked(figures),
        letters(figures),
        failures(figures),
        retries(figures),
        lag(figures),
        holder_of_backlog(figures),
        spare_concurrency(figures),
    ];
    said.into_iter().flatten().map(|(about, text)| Advice { about: about.to_owned(), text }).collect()
}

/// What it is about, and the sentence.
type Said = Option<(&'static str, String)>;

fn parked(figures: &Figures) -> Said {
    let Figures { parked_lanes, held_partitions, .. } = *figures;
    let (parked, it) = match parked_lanes {
        0 => return None,
        1 => ("1 lane is parked".to_owned(), "it"),
        many => (format!("{many} lanes are parked"), "them"),
    };
    let held = match held_partitions {
        0 => String::new(),
        1 => ", and 1 partition is not read meanwhile".to_owned(),
        many => format!(", and {many} partitions are not read meanwhile"),
    };
    Some(("parked", format!("{parked}{held}: release or skip what holds {it}")))
}

fn letters(figures: &Figures) -> Said {
    let text = "dead letters cannot be written: what is given up on is held until they can";
    (figures.dead_letter_failures > 0).then(|| ("failures", text.to_owned()))
}

fn failures(figures: &Figures) -> Said {
    let given_up = figures.dropped + figures.parked;
    let percent = worth_telling(given_up, figures.handled + given_up)?;
    let last = duration(figures.seconds);
    Some(("failures", format!("{percent} % of the messages of the last {last} were given up on")))
}

fn retries(figures: &Figures) -> Said {
    let percent = worth_telling(figures.retries, figures.calls)?;
    let last = duration(figures.seconds);
    Some(("failures", format!("{percent} % of the attempts of the last {last} were retries")))
}

/// How many percent `some` are of `all`, if they are too many.
fn worth_telling(some: u64, all: u64) -> Option<f64> {
    let share = some as f64 / all.max(1) as f64;
    (some >= FAILURES_MIN && share >= FAILURES_SHARE_MIN).then(|| (share.min(1.0) * 100.0).round())
}

fn lag(figures: &Figures) -> Said {
    let lag = backlog(figures)?;
    let text = match trend(figures)? {
        Trend::Stays => return None,
        Trend::Shrinks(by) => {
            let seconds = lag / by;
            if seconds > PREDICTION_SECONDS_MAX {
                "at this rate the lag takes more than a month".to_owned()
            } else {
                format!("at this rate the lag is gone in {}", duration(seconds))
            }
        }
        Trend::Grows(by) => {
            let grows = format!("the lag grows by {}", per_second(by));
            match what_would_keep_up(figures, by) {
                Some(help) => format!("{grows}: {help}"),
                None => grows,
            }
        }
    };
    Some(("lag", text))
}

/// What to change so that the lag does not grow any more, by `by` a second as it does.
fn what_would_keep_up(figures: &Figures, by: f64) -> Option<String> {
    let arrive = figures.finished() / figures.seconds + by;
    match holder(figures) {
        Holder::Rate if figures.is_rate_shared => Some("raise the `rate`".to_owned()),
        Holder::Rate => Some(format!("raise the `rate` above {}", per_second(arrive))),
        Holder::Concurrency => {
            let needed =
                mean_seconds(figures).map(|mean| enough(arrive * mean)).filter(|_| !figures.has_batches);
            match needed.filter(|needed| *needed > figures.concurrency as f64) {
                Some(needed) => Some(format!("raise the `concurrency`, {needed} would keep up")),
                None => Some("raise the `concurrency`".to_owned()),
            }
        }
        Holder::Order => {
            Some("messages wait for others of their lane, a larger `buffer` reaches more lanes".to_owned())
        }
        Holder::Nothing => None,
    }
}

/// Said of a backlog that does not grow; of one that does, what would help has been said.
fn holder_of_backlog(figures: &Figures) -> Said {
    backlog(figures)?;
    if matches!(trend(figures)?, Trend::Grows(_)) {
        return None;
    }
    match holder(figures) {
        Holder::Rate => Some(("rate", "the rate, not the concurrency, is what holds this plugin".to_owned())),
        Holder::Concurrency if figures.has_rate => {
            Some(("concurrency", "the concurrency, not the rate, is what holds this plugin".to_owned()))
        }
        Holder::Concurrency => Some(("concurrency", "the concurrency is what holds this plugin".to_owned())),
        Holder::Order => {
            let text =
                "workers are free while the buffer is full: its messages wait for others of their lane";
            Some(("concurrency", text.to_owned()))
        }
        Holder::Nothing => None,
    }
}

/// Said where the rate decides how many start, so that how many are needed at once is known.
fn spare_concurrency(figures: &Figures) -> Said {
    if !is_known(figures) || figures.has_batches || holder(figures) != Holder::Rate {
        return None;
    }
    let a_second = figures.calls as f64 / figures.seconds;
    let needed = enough(a_second * mean_seconds(figures)?);
    let is_less = needed <= figures.concurrency as f64 * SPARE_SHARE_MAX;
    is_less.then(|| ("concurrency", format!("concurrency {needed} would do")))
}

/// How many at once are enough for so many on average: calls differ, and a start that finds nobody free is lost.
/// A spare of the root is what a queue needs that hardly ever waits.
fn enough(average: f64) -> f64 {
    (average + average.sqrt()).ceil().max(1.0)
}

/// Whether the figures are of long enough a while, and of a plugin at work.
fn is_known(figures: &Figures) -> bool {
    figures.is_working && figures.seconds >= TREND_SECONDS_MIN
}

/// A lag worth speaking of. Behind a parked lane a partition's lag counts what is handled as well, so nothing follows
/// from it.
fn backlog(figures: &Figures) -> Option<f64> {
    let lag = figures.lag? as f64;
    let on_its_way = figures.finished() / figures.seconds * BACKLOG_SECONDS_MIN;
    let is_one = is_known(figures) && figures.parked_lanes == 0 && lag > on_its_way.max(TREND_MESSAGES_MIN);
    is_one.then_some(lag)
}

/// How the lag moves; none while nothing is finished, because then everything is a guess.
fn trend(figures: &Figures) -> Option<Trend> {
    let grown = (figures.lag? - figures.lag_before?) as f64;
    let finished = figures.finished();
    if finished == 0.0 {
        return None;
    }
    let least = TREND_MESSAGES_MIN.max(finished * TREND_SHARE_MIN);
    Some(match () {
        () if grown >= least => Trend::Grows(grown / figures.seconds),
        // What was finished out of order counts at once when the message before it is: no lag shrinks by more than
        // was finished for long.
        () if grown <= -least => Trend::Shrinks((-grown).min(finished) / figures.seconds),
        () => Trend::Stays,
    })
}

fn holder(figures: &Figures) -> Holder {
    let share = |seconds: f64| seconds / figures.seconds;
    let (rate, concurrency) = (share(figures.rate_seconds), share(figures.concurrency_seconds));
    match () {
        () if figures.has_rate && rate >= HOLDS_SHARE_MIN && concurrency < FREE_SHARE_MAX => Holder::Rate,
        () if concurrency >= HOLDS_SHARE_MIN && rate < FREE_SHARE_MAX => Holder::Concurrency,
        () if figures.is_ordered
            && share(figures.buffer_seconds) >= HOLDS_SHARE_MIN
            && rate < FREE_SHARE_MAX
            && concurrency < FREE_SHARE_MAX =>
        {
            Holder::Order
        }
        () => Holder::Nothing,
    }
}

fn mean_seconds(figures: &Figures) -> Option<f64> {
    (figures.calls >= CALLS_MIN).then(|| figures.call_seconds / figures.calls as f64)
}

#[cfg(test)]
mod tests;
