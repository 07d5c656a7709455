//! (g): resident memory when there is nothing to do, and when there is far more than the rate allows.

use std::time::Duration;

use serde_json::json;

use super::ground::{Ground, MILLION, PARTITIONS, Setup, let_pass};
use super::process::{peak_mib, resident_mib};
use super::report::{Report, Target};

/// How long the host is left to itself before its memory is looked at: fetches and commits have come and gone.
const SETTLED: Duration = Duration::from_secs(10);

pub(crate) fn measure(ground: &Ground, report: &mut Report) {
    ground.kafka.create_topic("nothing", PARTITIONS);
    ground.compile("noop");
    let lag = "rate = \"11/s\"\nbuffer = 100";
    for (key, what, topic, budget, most_mib) in [
        ("idle", "resident, idle", "nothing", "", 60.0),
        ("lag", "resident, 1 M messages of lag at 11/s, buffer 100", MILLION, lag, 150.0),
    ] {
        let host = ground.site(&Setup { guest: "noop", topic, budget, ..Setup::default() }).start();
        host.wait_ready();
        let_pass(SETTLED);
        let ((resident, anonymous), peak) = (resident_mib(host.id()), peak_mib(host.id()));
        assert_eq!(host.stop(), 0);
        report.judged("g", what, format!("{resident:.0} MiB"), Target::at_most(resident, most_mib, "MiB"));
        report.line("g", "  of that no file's; peak", format!("{anonymous:.0}; {peak:.0} MiB"));
        report.raw(
            format!("g_{key}"),
            json!({ "resident_mib": resident, "anonymous_mib": anonymous, "peak_mib": peak }),
        );
    }
}
