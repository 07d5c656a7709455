//! The name under which a host's transactions are known to Kafka. It has to be the same after a restart, so that what a
//! killed host left open is aborted at once, and no two hosts that live at the same time may share it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::Context as _;

/// Most hosts that share one data folder and run the same plugin.
const HOSTS_MAX: usize = 1_000;

/// A transactional id that is ours for as long as this lives. The system gives it back when the process ends, however
/// it ends.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) transactional_id: String,
    _locked: File,
}

impl Lease {
    /// The first id that is free for `plugin`, whose consumer group is `group`, among the hosts with the folder `data`.
    pub(super) fn take(data: &Path, plugin: &str, group: &str) -> anyhow::Result<Self> {
        let folder = data.join("transactions");
        let failed = || format!("failed to keep the names of transactions in `{}`", folder.display());
        fs::create_dir_all(&folder).with_context(failed)?;
        let host = host_id(&folder.join("host")).with_context(failed)?;
        for number in 0..HOSTS_MAX {
            let file = File::create(folder.join(format!("{plugin}-{number}.lock"))).with_context(failed)?;
            match file.try_lock() {
                Ok(()) => {
                    let transactional_id = format!("gristmill-{group}-{host}-{number}");
                    return Ok(Self { transactional_id, _locked: file });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
            }
        }
        anyhow::bail!("{HOSTS_MAX} hosts with the data folder `{}` run plugin `{plugin}`", data.display())
    }
}

/// What tells this data folder from all others; made up once.
fn host_id(path: &Path) -> io::Result<String> {
    match File::create_new(path) {
        Ok(mut file) => {
            let id = format!("{:016x}", fastrand::u64(..));
            file.write_all(id.as_bytes())?;
            file.sync_all()?;
            Ok(id)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut id = String::new();
            File::open(path)?.read_to_string(&mut id)?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_live_together_differ_and_who_comes_after_one_is_the_same() {
        let data = tempfile::tempdir().unwrap();
        let take = || Lease::take(data.path(), "enrich", "g").unwrap();
        let (first, second) = (take(), take());
        assert_ne!(first.transactional_id, second.transactional_id);
        let name = first.transactional_id.clone();
        drop(first);
        assert_eq!(take().transactional_id, name);
    }
}
