//! From the file as written to the config that holds: reads, fills in defaults, checks ranges and what keys mean
//! together, and reports everything that is wrong at once. No socket is opened and no other file is read.

use std::collections::BTreeMap;
use std::path::Path;

use super::env::Lookup;
use super::file::{self, File};
use super::limits::{self, Limit};
use super::problem::{Note, Place, Problem, Problems, Report};
use super::tree::{At, Field, Reader};
use super::{Admin, Config, Host, Plugin, plugin, telemetry};

/// The file that is read when the command line names none.
pub const FILE_DEFAULT: &str = "gristmill.toml";

/// Where the admin API listens when the file does not say: only on this machine.
const LISTEN_DEFAULT: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9650);

/// A config that holds, and what is worth saying about it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The config.
    pub config: Config,
    /// Remarks on settings that are allowed and probably not meant.
    pub notes: Vec<Note>,
    places: BTreeMap<String, Place>,
}

impl Checked {
    /// A problem with what `key` (such as `plugins.enrich.component`) stands for, for those who look further than this
    /// room: at components, or at topics. It has the key's place if the file has the key, else the nearest one above.
    pub fn problem(&self, key: &str, what: impl Into<String>) -> Problem {
        let mut above = Some(key);
        while let Some(path) = above {
            if let Some(place) = self.places.get(path) {
                return Problem::at(&self.config.file, &Place { key: key.to_owned(), ..place.clone() }, what);
            }
            above = path.rsplit_once('.').map(|(parent, _)| parent);
        }
        Problem { key: key.to_owned(), ..Problem::of_file(&self.config.file, what) }
    }
}

/// What a look at a file found: all that is wrong with it, and what holds nevertheless.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The config; none when the file could not be read at all. Where there are problems, what they concern stands in
    /// it as its default, and of the plugins only those are there whose component can be looked at all the same.
    pub checked: Option<Checked>,
    /// What is wrong, in the order of the file; nothing if the config may be used.
    pub problems: Problems,
}

impl Survey {
    /// The config if it holds.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn finish(self) -> Result<Checked, Problems> {
        match self.checked {
            Some(checked) if self.problems.problems.is_empty() => Ok(checked),
            _ => Err(self.problems),
        }
    }
}

/// Reads and checks the file at `path`, with variables from the process's environment.
pub fn survey(path: &Path) -> Survey {
    let error = match std::fs::read_to_string(path) {
        Ok(text) => return survey_text(&text, path, &|name| std::env::var(name).ok()),
        Err(error) => error,
    };
    let mut problem = Problem::of_file(path, format!("failed to read the file: {error}"));
    if error.kind() == std::io::ErrorKind::NotFound {
        problem.hint(format!("name another file with `-c`; without it the file is `{FILE_DEFAULT}`"));
    }
    Survey { checked: None, problems: Problems { problems: vec![problem], notes: Vec::new() } }
}

/// Checks `text` as the content of the file at `path`, with variables from `env`.
///
/// # Errors
///
/// Everything that is wrong with it, in the order of the file.
pub fn parse(text: &str, path: &Path, env: Lookup<'_>) -> Result<Checked, Problems> {
    survey_text(text, path, env).finish()
}

fn survey_text(text: &str, path: &Path, env: Lookup<'_>) -> Survey {
    let mut report = Report::new(path);
    let mut reader = Reader::new(text, env, &mut report);
    let file = reader.document::<File>();
    let places = reader.places;
    let Some(file) = file else { return Survey { checked: None, problems: report.fail() } };
    let mut config = config(&file, path, &mut report);
    let problems = report.fail();
    if !problems.problems.is_empty() {
        config.plugins.retain(|plugin| may_be_looked_at(&plugin.name, &places, &problems));
    }
    let checked = Checked { config, notes: problems.notes.clone(), places };
    Survey { checked: Some(checked), problems }
}

/// Whether a plugin's component is named, and what it is measured by is not itself what is wrong.
fn may_be_looked_at(name: &str, places: &BTreeMap<String, Place>, problems: &Problems) -> bool {
    let plugin = format!("plugins.{name}");
    let needed = ["component", "protocol", "budget", "budget.memory"].map(|key| format!("{plugin}.{key}"));
    places.contains_key(&needed[0]) && !problems.problems.iter().any(|problem| needed.contains(&problem.key))
}

fn config(file: &At<File>, path: &Path, report: &mut Report) -> Config {
    let folder = path.parent().unwrap_or(Path::new(""));
    let At { value: file, place } = file;
    super::kafka::check_shared(file.kafka.value(), report);
    let plugins = plugins(file, place, folder, report);
    Config {
        file: path.to_path_buf(),
        host: host(file.host.value(), folder, report),
        admin: admin(file.admin.value(), report),
        telemetry: telemetry::check(file.telemetry.value(), report),
        plugins,
    }
}

fn plugins(file: &File, place: &Place, folder: &Path, report: &mut Report) -> Vec<Plugin> {
    let given = file.plugins.given();
    if file.plugins.is_absent() || given.is_some_and(|plugins| plugins.value.is_empty()) {
        let place = given.map_or(place, |plugins| &plugins.place);
        report
            .problem(place, "there is no plugin")
            .hint("add a table `[plugins.NAME]` with `component` and `topics`");
    }
    let Some(At { value: written, .. }) = given else { return Vec::new() };
    let shared = &file.kafka;
    let plugins =
        written.iter().map(|(name, at)| plugin::check(name, at, shared, folder, report)).collect::<Vec<_>>();
    plugin::check_groups(&plugins, written, report);
    plugins
}

fn host(written: Option<&file::Host>, folder: &Path, report: &mut Report) -> Host {
    let data = written.and_then(|host| host.data.given());
    if let Some(At { value, place }) = data.filter(|data| data.value.is_empty()) {
        report.problem(place, "expected a folder").found(format!("`\"{value}\"`"));
    }
    let threads = match within(written.map(|host| &host.threads), &limits::THREADS, report).0 {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => whole(threads),
    };
    Host { data: folder.join(data.map_or(".gristmill", |data| &data.value)), threads }
}

fn admin(written: Option<&file::Admin>, report: &mut Report) -> Option<Admin> {
    let written_listen = written.and_then(|admin| admin.listen.given());
    let listen = written_listen.map_or(Some(LISTEN_DEFAULT), |listen| listen.value.0)?;
    let token = written.and_then(|admin| admin.token.value()).filter(|token| !token.is_empty());
    let token_wrong = written.is_some_and(|admin| admin.token.is_wrong());
    if let Some(At { place, .. }) = written_listen.filter(|_| !listen.ip().is_loopback())
        && token.is_none()
        && !token_wrong
    {
        report
            .problem(place, "listening beyond this machine needs a `token`")
            .found(format!("`\"{listen}\"`"))
            .hint("set `admin.token`, for example to `\"${GRISTMILL_TOKEN}\"`, or listen on `127.0.0.1`");
    }
    Some(Admin { listen, token: token.cloned() })
}

/// The value of a key with a range, or its default.
pub(super) fn within<T>(field: Option<&Field<T>>, limit: &Limit<T>, report: &mut Report) -> T
where
    T: Copy + PartialOrd + std::fmt::Display,
{
    within_or(field, limit, limit.default, report)
}

/// The value of a key with a range, or `otherwise`.
pub(super) fn within_or<T>(field: Option<&Field<T>>, limit: &Limit<T>, otherwise: T, report: &mut Report) -> T
where
    T: Copy + PartialOrd + std::fmt::Display,
{
    let Some(At { value, place }) = field.and_then(Field::given) else { return otherwise };
    if !limit.contains(value) {
        report.problem(place, format!("expected a value {limit}")).found(format!("`{value}`"));
    }
    *value
}

/// A count as the machine counts; every range ends far below where the two differ.
pub(super) fn whole(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
