//! What the system says of a process: memory and CPU time.

use std::fs;

/// Most memory that a process has had resident so far, in MiB.
pub(crate) fn peak_mib(pid: u32) -> f64 {
    status_kib(pid, "VmHWM:") / 1024.0
}

/// A process's memory that is resident now, in MiB: all of it, and what of it is no file's.
pub(crate) fn resident_mib(pid: u32) -> (f64, f64) {
    (status_kib(pid, "VmRSS:") / 1024.0, status_kib(pid, "RssAnon:") / 1024.0)
}

fn status_kib(pid: u32, key: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line of the status");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}

/// CPU time that a process has used in all its threads, in seconds; the system counts it in ticks.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    // The name in brackets may hold anything; what follows it are numbers, the state first.
    let (_, numbers) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks: u64 = numbers.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap_or(0)).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}
