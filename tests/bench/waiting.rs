//! (h): messages that wait for something slow, many at once. What is above the ideal is the host's.

use std::time::Duration;

use serde_json::json;

use super::ground::{Course, Ground, Setup};
use super::report::{Report, Target, median};

const MESSAGES: u64 = 20_000;

/// Messages waiting at the same time. With 5 ms each, one second is the ideal.
const BUDGET: &str = "concurrency = 100\nbuffer = 1000";

const ROUNDS: usize = 3;

/// Between two looks at the host: how exact the figure is.
const LOOK: Duration = Duration::from_millis(2);

pub(crate) fn measure(ground: &Ground, report: &mut Report) {
    let topic = "waiting";
    ground.fill(topic, MESSAGES);
    ground.compile("wait");
    for (order, what) in
        [("none", "20 000 x 5 ms, 100 at once, no order"), ("key", "  the same, by key (10 000 keys)")]
    {
        let keys = format!("order = \"{order}\"");
        let runs: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let setup = Setup { guest: "wait", topic, keys: &keys, budget: BUDGET, ..Setup::default() };
                let host = ground.site(&setup).start();
                let seconds = Course::watch(&host, MESSAGES, LOOK).seconds();
                assert_eq!(host.stop(), 0);
                seconds
            })
            .collect();
        let seconds = median(&runs);
        report.judged("h", what, format!("{seconds:.3} s"), Target::at_most(seconds, 1.1, "s"));
        report.raw(format!("h_{order}"), json!({ "median_s": seconds, "runs_s": runs }));
    }
}
