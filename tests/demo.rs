//! `gristmill demo`: tells its story by itself, needs no Kafka, and its figures hold.

use std::process::Command;

use crate::world::host::binary;

#[test]
fn the_demo_ends_by_itself_with_figures_that_keep_the_budget() {
    let output = Command::new(binary())
        .args(["demo", "--messages", "3000", "--partitions", "5", "--rate", "500/s", "--concurrency", "3"])
        .output()
        .expect("the demo can be started");
    let (figures, story) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{figures}\n{story}");
    assert!(story.contains("Without a budget") && story.contains("With concurrency = 3"), "{story}");
    let row = |name: &str| -> Vec<f64> {
        let line = figures.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{figures}"));
        line[34..].split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let connections = row("connections at once");
    assert!(connections[0] > 20.0 && connections[1] <= 3.0, "{figures}");
    assert_eq!(row("queries refused")[1], 0.0, "{figures}");
    assert_eq!(row("messages left in Kafka")[1], 0.0, "{figures}");
    let worst =
        figures.lines().find(|line| line.starts_with("worst window")).unwrap_or_else(|| panic!("{figures}"));
    let numbers: Vec<f64> = worst
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .filter_map(|word| word.parse().ok())
        .collect();
    // Starts in the worst window, its length in milliseconds, what is allowed in it.
    assert!(numbers[0] <= numbers[2], "{worst}");
}
