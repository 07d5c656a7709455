//! `gristmill swap`, `promote` and `rollback`: which version of a component handles messages.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::reach::{BAD_COMPONENT, Reach, Refusal};
use super::words::harmless;
use super::{figures, logs};
use crate::api::{Detail, Swapped};
use crate::client::{Client, Error, How};

/// How often the time that a swap takes is drawn.
const TICK: Duration = Duration::from_millis(100);

/// What stands below the help of `swap`.
pub(super) const HELP: &str = "\
The new component is loaded, compiled and started while the old one works; whatever is wrong with
it, the old one is untouched. A canary that fails more often or is slower than the old version is
rolled back by itself; `gristmill status PLUGIN` shows both side by side.

Examples:
  gristmill swap enrich new.wasm --canary 5%
  gristmill promote enrich
  gristmill rollback enrich";

/// What to put in, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin
    plugin: String,
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Let it handle this share of the lanes until it is promoted or rolled back
    #[arg(long, value_name = "PERCENT", value_parser = share, conflicts_with = "shadow")]
    canary: Option<String>,
    /// Let it see copies of messages; nothing that it does counts
    #[arg(long)]
    shadow: bool,
    /// Let it import what the old one does not
    #[arg(long)]
    accept_new_imports: bool,
    /// Do not wait until it handles messages
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    common: Common,
}

/// Whose trial to end.
#[derive(Debug, clap::Args)]
pub(super) struct End {
    /// The plugin
    plugin: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Print the answer of the admin API as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Reads a share: a number, perhaps with `%`. The host knows how much it may be.
fn share(text: &str) -> Result<String, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(share) if share.is_finite() => Ok(number.to_owned()),
        _ => Err("expected a share in percent, such as `5%`".to_owned()),
    }
}

/// Puts a component in.
///
/// # Errors
///
/// When the file cannot be read, the host is not there, or it refuses the component.
pub(super) fn swap(args: &Args) -> anyhow::Result<ExitCode> {
    let wasm = read(&args.file)?;
    let how = How {
        canary: args.canary.clone(),
        shadow: args.shadow,
        accept_new_imports: args.accept_new_imports,
        no_wait: args.no_wait,
    };
    let doing = format!("{} is loaded, compiled and started", args.file.display());
    let share = args.canary.as_deref();
    change(&args.common, (&args.plugin, share), &doing, |client| client.swap(&args.plugin, &wasm, &how))
}

/// Lets the version that is being tried take over.
///
/// # Errors
///
/// When the host is not there, or nothing is being tried.
pub(super) fn promote(args: &End) -> anyhow::Result<ExitCode> {
    change(&args.common, (&args.plugin, None), "promoting", |client| client.promote(&args.plugin))
}

/// Ends a trial, or returns to the version before.
///
/// # Errors
///
/// When the host is not there, or there is nothing to return to.
pub(super) fn rollback(args: &End) -> anyhow::Result<ExitCode> {
    change(&args.common, (&args.plugin, None), "rolling back", |client| client.rollback(&args.plugin))
}

fn read(file: &Path) -> Result<Vec<u8>, Refusal> {
    std::fs::read(file).map_err(|error| Refusal {
        code: BAD_COMPONENT,
        text: format!(
            "failed to read the component `{}`: {error}\n  hint: build the plugin, or mend the path",
            file.display()
        ),
    })
}

/// Changes which version of a plugin handles messages, or a share of them, and says what became of it.
fn change(
    common: &Common,
    (name, share): (&str, Option<&str>),
    doing: &str,
    ask: impl FnOnce(&Client) -> Result<Swapped, Error>,
) -> anyhow::Result<ExitCode> {
    let client = common.reach.client()?;
    let what = format!("the component of `{name}` stays as it is");
    let no = |error| Refusal::of(&client, name, error, &what, BAD_COMPONENT);
    // Asked first, so that a name that is wrong is told before a large file is sent.
    let before: Detail = client.plugin(name).map_err(no)?;
    let spinner = Spinner::new(doing);
    let swapped = ask(&client);
    drop(spinner);
    let swapped = swapped.map_err(no)?;
    if common.json {
        logs::print_json(&serde_json::to_value(&swapped)?)?;
    } else {
        logs::print(&said((name, share), &before, &swapped).join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of it, and what can be done next.
fn said((name, share): (&str, Option<&str>), before: &Detail, swapped: &Swapped) -> Vec<String> {
    let short = |digest: &str| format!("`{}`", figures::digest(digest));
    let (old, now) = (short(&before.plugin.digest), short(&swapped.digest));
    let tried =
        swapped.trial.as_deref().or(before.plugin.trial.as_ref().map(|trial| trial.new.digest.as_str()));
    let tried = tried.map_or_else(|| "the new version".to_owned(), short);
    let share = share.map_or_else(|| "a share".to_owned(), |share| format!("{share}%"));
    let next = format!(
        "  `gristmill status {name}` shows both; end it with `gristmill promote {name}` or `rollback {name}`"
    );
    let mut lines = match swapped.result.as_str() {
        "swapped" if before.plugin.digest == swapped.digest => {
            vec![format!("`{name}`: {now} is in, as it was before")]
        }
        "swapped" => vec![format!("`{name}`: {old} -> {now}")],
        "loading" => vec![
            format!("`{name}`: {tried} is being loaded beside {now}"),
            format!("  `gristmill status {name}` tells when it has come in, or why it has not"),
        ],
        "canary" => {
            vec![format!("`{name}`: {tried} is a canary on {share} of the lanes, beside {now}"), next]
        }
        "shadow" => vec![format!("`{name}`: {tried} is a shadow of {now}"), next],
        "promoted" => vec![format!("`{name}`: {old} -> {now}, promoted")],
        "rolled-back" if before.plugin.trial.is_some() => {
            vec![format!("`{name}`: {tried} is out, {now} handles everything")]
        }
        "rolled-back" => vec![format!("`{name}`: {old} -> {now}, rolled back")],
        other => vec![format!("`{name}`: {}, {now} handles messages", harmless(other))],
    };
    if !swapped.new_imports.is_empty() {
        lines.push("  imports that it has and the old one had not:".to_owned());
        lines.extend(swapped.new_imports.iter().map(|import| format!("    {}", harmless(import))));
    }
    lines
}

/// Shows on a terminal that something is being done, and for how long.
struct Spinner(Option<ProgressBar>);

impl Spinner {
    fn new(doing: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            // The template is a constant; were it wrong, indicatif's own default would do.
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}, {elapsed}") {
                bar.set_style(style);
            }
            bar.set_message(doing.to_owned());
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{detail, trial};
    use super::*;

    fn swapped(result: &str, digest: &str, trial: Option<&str>) -> Swapped {
        Swapped {
            result: result.to_owned(),
            digest: digest.to_owned(),
            trial: trial.map(str::to_owned),
            new_imports: Vec::new(),
        }
    }

    #[test]
    fn what_became_of_a_swap_is_said_with_both_digests() {
        let before = detail("enrich");
        let (old, new) = (before.plugin.digest.as_str(), "sha256:77aa01bcdeadbeef");
        let mut done = swapped("swapped", new, None);
        assert_eq!(said(("enrich", None), &before, &done), ["`enrich`: `3f2a9c01` -> `77aa01bc`"]);
        done.new_imports = vec!["wasi:http/outgoing-handler@0.2.6".to_owned()];
        assert_eq!(said(("enrich", None), &before, &done)[2], "    wasi:http/outgoing-handler@0.2.6");
        let canary = said(("enrich", Some("5")), &before, &swapped("canary", old, Some(new)));
        assert_eq!(canary[0], "`enrich`: `77aa01bc` is a canary on 5% of the lanes, beside `3f2a9c01`");
        assert!(canary[1].contains("`gristmill promote enrich`"), "{canary:?}");
    }

    #[test]
    fn a_rollback_ends_a_trial_or_returns() {
        let mut before = detail("enrich");
        let old = before.plugin.digest.clone();
        let back = said(("enrich", None), &before, &swapped("rolled-back", "sha256:0011223344", None));
        assert_eq!(back, ["`enrich`: `3f2a9c01` -> `00112233`, rolled back"]);
        before.plugin.trial = Some(trial("canary"));
        let out = said(("enrich", None), &before, &swapped("rolled-back", &old, None));
        assert_eq!(out, ["`enrich`: `77aa01bc` is out, `3f2a9c01` handles everything"]);
    }

    #[test]
    fn a_share_is_a_number_with_or_without_a_sign() {
        assert_eq!(share("5%").as_deref(), Ok("5"));
        assert_eq!(share("0.5").as_deref(), Ok("0.5"));
        assert_eq!(share("101%").as_deref(), Ok("101"), "the host knows better");
        assert!(share("five").is_err() && share("%").is_err() && share("inf").is_err());
    }
}
