//! How the commands that ask a running host find it, and what they say when it says no.

use std::fmt;
use std::path::{Path, PathBuf};

use super::words::harmless;
use super::{EXIT_CONFIG, EXIT_OTHER, EXIT_USAGE};
use crate::api;
use crate::app::dead_letters::Usage;
use crate::client::{Client, Error, Target, Token};
use crate::config::check::{self, FILE_DEFAULT};
use crate::config::problem::Problems;

/// The environment variable with the token for `--admin`.
const TOKEN_VARIABLE: &str = "GRISTMILL_TOKEN";

/// Which host.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Host")]
pub(super) struct Reach {
    /// The config file of the host, for its [admin] address and token [default: gristmill.toml]
    #[arg(short, long, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,
    /// The host's admin address, as in `http://127.0.0.1:9650`; its token is in the environment variable
    /// GRISTMILL_TOKEN
    #[arg(long, value_name = "URL", value_parser = Target::read_url)]
    admin: Option<String>,
}

impl Reach {
    /// A client of the host that is meant.
    ///
    /// # Errors
    ///
    /// `Problems` when the config does not say where the host listens.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let target = match &self.admin {
            Some(url) => by_url(url, variable(TOKEN_VARIABLE)),
            None => by_config(self.config.as_deref().unwrap_or(Path::new(FILE_DEFAULT)))?,
        };
        let user = variable("USER").or_else(|| variable("LOGNAME"));
        let user = user.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid()));
        let machine = rustix::system::uname();
        Ok(Client::new(target, &format!("{user}@{}", machine.nodename().to_string_lossy())))
    }
}

fn by_url(url: &str, token: Option<String>) -> Target {
    Target {
        url: url.to_owned(),
        url_from: "`--admin`".to_owned(),
        token: token.map(|secret| Token { secret, from: format!("`{TOKEN_VARIABLE}`") }),
        token_place: format!("the environment variable `{TOKEN_VARIABLE}`"),
    }
}

/// What the config's `[admin]` says. Problems elsewhere in the file are `check`'s business: a host that runs can be asked
/// while its next config is being written.
fn by_config(file: &Path) -> Result<Target, Problems> {
    let check::Survey { checked, mut problems } = check::survey(file);
    let Some(checked) = checked else {
        for problem in problems.problems.iter_mut().filter(|problem| problem.line.is_none()) {
            problem.hint("name the host's config with `-c`, or its address with `--admin http://HOST:9650`");
        }
        return Err(problems);
    };
    problems.problems.retain(|problem| problem.key.split('.').next() == Some("admin"));
    if !problems.problems.is_empty() {
        return Err(problems);
    }
    let wrong = |what: &str, hint: &str| {
        let mut problem = checked.problem("admin.listen", what);
        problem.hint(hint);
        Problems { problems: vec![problem], notes: Vec::new() }
    };
    let Some(admin) = &checked.config.admin else {
        let what = "the admin listener is turned off, and without it a host cannot be asked";
        return Err(wrong(
            what,
            "set `listen` to an address such as `127.0.0.1:9650`, and start the host anew",
        ));
    };
    if admin.listen.port() == 0 {
        let what = "with port 0 the host takes any free port, which is not known here";
        return Err(wrong(what, "name the address that the host's log says with `--admin`"));
    }
    let from = |key: &str| format!("`{key}` in `{}`", file.display());
    Ok(Target {
        url: Target::url_of(admin.listen),
        url_from: from("admin.listen"),
        token: admin.token.clone().map(|secret| Token { secret, from: from("admin.token") }),
        token_place: from("admin.token"),
    })
}

/// A host's no, with the exit code that fits what was asked.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The exit code.
    pub(super) code: u8,
    /// Why, and how to mend it.
    pub(super) text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// What a command says when the host's answer about `plugin` is an error. `what` stands above a refusal of several
    /// lines, or before one; `bad_input` is the exit code when what was sent is to blame.
    pub(super) fn of(
        client: &Client,
        plugin: &str,
        error: Error,
        what: &str,
        bad_input: u8,
    ) -> anyhow::Error {
        let Error::Refused { status, detail } = error else { return error.into() };
        if status == 404
            && let Some(usage) = unknown_plugin(client, plugin)
        {
            return usage.into();
        }
        let code = match status {
            400 => EXIT_USAGE,
            413 | 422 => bad_input,
            _ => EXIT_OTHER,
        };
        Self { code, text: framed(what, &harmless(&detail)) }.into()
    }
}

/// `what` and the host's words: on one line if they are one, else below it, each hint below what it is for.
fn framed(what: &str, detail: &str) -> String {
    let lines: Vec<&str> = detail.lines().filter(|line| !line.trim().is_empty()).collect();
    if let [line] = lines[..] {
        return format!("{what}: {line}");
    }
    let indented = lines.iter().map(|line| {
        let indent = if line.starts_with("hint: ") { "    " } else { "  " };
        format!("\n{indent}{line}")
    });
    std::iter::once(what.to_owned()).chain(indented).collect()
}

/// What to say when the host has no plugin of this name.
fn unknown_plugin(client: &Client, name: &str) -> Option<Usage> {
    let api::Plugins { plugins, .. } = client.plugins().ok()?;
    if plugins.iter().any(|plugin| plugin.name == name) {
        return None;
    }
    let names: Vec<String> = plugins.iter().map(|plugin| harmless(&plugin.name)).collect();
    let there = if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) };
    Some(Usage(format!("there is no plugin `{name}` at `{}`; it has {there}", client.target().url)))
}

/// The exit code when a component is to blame.
pub(super) const BAD_COMPONENT: u8 = EXIT_CONFIG;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_problems_are_a_line_each_and_one_is_no_list() {
        assert_eq!(framed("it stays", "no wasm"), "it stays: no wasm");
        let detail = "`rate`: not a rate\nhint: say per what\n`burst`: not a number";
        let expected = "it stays\n  `rate`: not a rate\n    hint: say per what\n  `burst`: not a number";
        assert_eq!(framed("it stays", detail), expected);
    }

    /// What `[admin]` comes to, or the error.
    fn of_config(toml: &str) -> Result<Target, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gristmill.toml");
        std::fs::write(&file, toml).unwrap();
        by_config(&file).map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_config_says_where_a_host_listens_even_while_the_rest_of_it_is_wrong() {
        let target =
            of_config("[admin]\nlisten = \"0.0.0.0:80\"\ntoken = \"t\"\n[plugins.a]\ntopic = 1").unwrap();
        assert_eq!(target.url, "http://127.0.0.1:80");
        assert!(target.url_from.starts_with("`admin.listen` in `"), "{}", target.url_from);
        assert_eq!(target.token.unwrap().secret, "t");
        assert_eq!(of_config("").unwrap().url, "http://127.0.0.1:9650");
    }

    #[test]
    fn a_config_that_does_not_tell_where_is_told_with_how_to_mend_it() {
        for (toml, says) in [
            ("[admin]\nlisten = \"\"", "turned off"),
            ("[admin]\nlisten = \"127.0.0.1:0\"", "with `--admin`"),
            ("[admin]\nlisten = \"here\"", "admin.listen"),
            ("[admin", "gristmill.toml:1"),
        ] {
            let error = of_config(toml).unwrap_err();
            assert!(error.contains(says), "{toml}: {error}");
        }
        let error = by_config(Path::new("/nowhere/gristmill.toml")).unwrap_err().to_string();
        assert!(error.contains("hint: ") && error.contains("--admin http://HOST:9650"), "{error}");
    }
}
