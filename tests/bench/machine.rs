//! Where the figures come from: the machine, how busy it was, and the versions of what was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::report::Report;

pub(crate) fn describe(report: &mut Report) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    report.about("machine", format!("{cores} cores, {model}, memory {}", memory()));
    report.about("system", said("uname", &["-sr"]));
    report.about("gristmill", format!("{} ({})", env!("CARGO_PKG_VERSION"), commit()));
    report.about("wasmtime", locked("wasmtime").unwrap_or_else(|| "unknown".to_owned()));
    report.about("librdkafka", rdkafka::util::get_rdkafka_version().1);
    report.about("kafka", kafka().unwrap_or_else(|| "unknown".to_owned()));
    report.about("rustc", said("rustc", &["--version"]));
    note_load(report, "load_before");
}

/// How many threads wanted a core lately: 1, 5 and 15 minutes.
pub(crate) fn note_load(report: &mut Report, when: &str) {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    report.about(when, load.split(' ').take(3).collect::<Vec<_>>().join(" "));
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory() -> String {
    let kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{:.0} GiB", kib / 1_048_576.0))
}

fn said(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).current_dir(root()).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn commit() -> String {
    let changed = if said("git", &["status", "--porcelain", "-uno"]).is_empty() { "" } else { ", changed" };
    format!("{}{changed}", said("git", &["rev-parse", "--short", "HEAD"]))
}

/// The version of a crate that the lock file names.
fn locked(name: &str) -> Option<String> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).ok()?;
    let (_, package) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(package.split_once('"')?.0.to_owned())
}

/// The version that the broker's jar names.
fn kafka() -> Option<String> {
    let jars = fs::read_dir(root().join("target/kafka/libs")).ok()?;
    let mut names = jars.flatten().map(|jar| jar.file_name().to_string_lossy().into_owned());
    let version = |name: String| Some(name.strip_prefix("kafka-clients-")?.strip_suffix(".jar")?.to_owned());
    names.find_map(version)
}
