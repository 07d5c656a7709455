//! `gristmill pause` and `gristmill resume`

use std::process::ExitCode;

use serde_json::Value;

use super::reach::{Reach, Refusal};
use super::words::{counted, harmless};
use super::{EXIT_USAGE, logs};
use crate::api::Detail;

/// Which plugin.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin
    plugin: String,
    /// Print the plugin as JSON, as the admin API has it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Pauses the plugin, or lets it go on.
///
/// # Errors
///
/// When the host is not there or does not know the plugin.
pub(super) fn pause(args: &Args, pause: bool) -> anyhow::Result<ExitCode> {
    let (client, name) = (args.reach.client()?, &args.plugin);
    let what = format!("`{name}` is not {}", if pause { "paused" } else { "resumed" });
    let no = |error| Refusal::of(&client, name, error, &what, EXIT_USAGE);
    client.pause(name, pause).map_err(no)?;
    if args.json {
        logs::print_json(&client.plugin::<Value>(name).map_err(no)?)?;
    } else {
        logs::print(&said(&client.plugin(name).map_err(no)?, pause))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of it, in a sentence.
fn said(detail: &Detail, pause: bool) -> String {
    let plugin = &detail.plugin;
    let (name, partitions) = (harmless(&plugin.name), counted(plugin.partitions, "partition"));
    match (pause, plugin.in_flight) {
        (true, 0) => format!("`{name}` is paused; it keeps its {partitions}"),
        (true, in_flight) => {
            format!("`{name}` is paused; it keeps its {partitions} and finishes {in_flight} in flight")
        }
        (false, _) => format!("`{name}` goes on: {}", harmless(&plugin.state)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::detail;
    use super::*;

    #[test]
    fn it_is_said_what_is_kept_and_what_is_finished() {
        let mut detail = detail("enrich");
        assert_eq!(said(&detail, true), "`enrich` is paused; it keeps its 50 partitions");
        (detail.plugin.in_flight, detail.plugin.partitions) = (5, 1);
        assert_eq!(
            said(&detail, true),
            "`enrich` is paused; it keeps its 1 partition and finishes 5 in flight"
        );
        assert_eq!(said(&detail, false), "`enrich` goes on: running");
    }
}
