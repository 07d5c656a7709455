//! A new version beside the old one: in a sentence, and side by side.

use super::super::figures;
use super::super::place;
use super::super::table::{self, Column, Kind};
use super::super::words::{harmless, one_line};
use crate::api::{Differences, Place, Trial, Version};

const COLUMNS: [Column; 8] = [
    Column::new("VERSION", Kind::Left),
    Column::new("COMPONENT", Kind::Left),
    Column::new("MESSAGES", Kind::Right),
    Column::new("FAILED", Kind::Right),
    Column::new("SHARE", Kind::Right),
    Column::new("TRAPS", Kind::Right),
    Column::new("P50", Kind::Right),
    Column::new("P99", Kind::Right),
];

/// The trial in one sentence.
pub(super) fn sentence(trial: &Trial) -> String {
    let Trial { mode, percent, old, new, .. } = trial;
    let failed = |version: &Version| figures::percent(version.failures, version.messages);
    let differ = trial.differences.as_ref().map_or_else(String::new, |differences| {
        format!(
            "; of {} compared {} differ",
            figures::count(differences.compared),
            figures::count(differing(differences))
        )
    });
    format!(
        "{} of {} on {percent}%: {} messages, {} failed, the old version {}{differ}",
        harmless(mode),
        figures::digest(&new.digest),
        figures::count(new.messages),
        failed(new),
        failed(old),
    )
}

/// Both versions side by side, and for a shadow where they differ.
pub(in super::super) fn side_by_side(trial: &Trial) -> Vec<String> {
    let rows = [row("old", &trial.old), row("new", &trial.new)];
    let mut lines = table::lines(&COLUMNS, &rows, None);
    let Some(differences) = &trial.differences else { return lines };
    lines.push(format!(
        "{} compared: {} with another outcome, {} with other outputs; {} missed, because the shadow was busy",
        figures::count(differences.compared),
        figures::count(differences.outcomes),
        figures::count(differences.outputs),
        figures::count(differences.missed),
    ));
    for sample in differences.samples.iter().rev() {
        let at = Place { topic: sample.topic.clone(), partition: sample.partition, offset: sample.offset };
        lines.push(harmless(&place::show(&at)));
        lines.push(format!("  old: {}", one_line(&sample.old)));
        lines.push(format!("  new: {}", one_line(&sample.new)));
    }
    lines
}

/// Messages on which the two do not agree.
fn differing(differences: &Differences) -> u64 {
    differences.outcomes.saturating_add(differences.outputs)
}

fn row(name: &str, version: &Version) -> Vec<String> {
    vec![
        name.to_owned(),
        figures::digest(&version.digest),
        figures::count(version.messages),
        figures::count(version.failures),
        figures::percent(version.failures, version.messages),
        figures::count(version.traps),
        figures::quantile(version.p50_seconds),
        figures::quantile(version.p99_seconds),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::trial;
    use super::*;
    use crate::api::Sample;

    #[test]
    fn a_canary_is_told_in_one_sentence_and_side_by_side() {
        let canary = trial("canary");
        let sentence = sentence(&canary);
        assert_eq!(sentence, "canary of 77aa01bc on 5%: 812 messages, 3.8% failed, the old version <0.1%");
        let expected = [
            "VERSION  COMPONENT  MESSAGES  FAILED  SHARE  TRAPS   P50    P99",
            "old      3f2a9c01      15.2k      13  <0.1%      1  80ms  250ms",
            "new      77aa01bc        812      31   3.8%      2     -      -",
        ];
        assert_eq!(side_by_side(&canary), expected);
    }

    #[test]
    fn a_shadow_shows_where_the_two_differ_the_newest_first() {
        let sample = |offset: i64, new: &str| Sample {
            topic: "in".to_owned(),
            partition: 0,
            offset,
            old: "handled".to_owned(),
            new: new.to_owned(),
        };
        let mut shadow = trial("shadow");
        let samples = vec![sample(1, "rejected:\nno currency"), sample(2, "trap")];
        shadow.differences =
            Some(Differences { compared: 20_000, missed: 7, outcomes: 2, outputs: 3, samples });
        assert!(sentence(&shadow).ends_with("; of 20.0k compared 5 differ"));
        let lines = side_by_side(&shadow);
        assert!(
            lines[3].starts_with("20.0k compared: 2 with another outcome, 3 with other outputs; 7 missed")
        );
        let samples = [
            "in/0/2",
            "  old: handled",
            "  new: trap",
            "in/0/1",
            "  old: handled",
            "  new: rejected: no currency",
        ];
        assert_eq!(lines[4..], samples);
    }
}
