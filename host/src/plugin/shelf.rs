//! What operators changed and what has to survive a restart: components that were put in the place of the config's, by
//! their digest, and for each plugin a record of which of them runs and of a budget that is kept.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::cache::write_atomically;
use super::generation::digest_of;

/// Most components on the shelf; the oldest that no record names are removed when there are more.
const COMPONENTS_MAX: usize = 32;

/// What is kept of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The component that runs instead of the config's.
    pub component: Option<Kept>,
    /// The budget that is in effect instead of the config's.
    pub budget: Option<KeptBudget>,
}

/// A component in the place of the config's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its digest.
    pub digest: String,
    /// The digest of the file that the config named then: it runs as long as that is the same.
    pub instead_of: String,
    /// Who put it there.
    pub by: String,
    /// When, as RFC 3339 has it.
    pub at: String,
}

/// A budget in the place of the config's, as JSON objects of the API's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptBudget {
    /// The budget.
    pub budget: serde_json::Map<String, serde_json::Value>,
    /// The config's budget then: the other is in effect as long as that is the same.
    pub instead_of: serde_json::Map<String, serde_json::Value>,
    /// Who changed it last.
    pub by: String,
    /// When, as RFC 3339 has it.
    pub at: String,
}

/// A folder in the host's data.
#[derive(Clone, Debug)]
pub struct Shelf {
    components: PathBuf,
    records: PathBuf,
    /// Held while a record is read, changed and written: a swap and a budget of one plugin may change it at once.
    changing: Arc<Mutex<()>>,
}

impl Shelf {
    /// The shelf in the folder `data`; made when something is put on it.
    pub fn new(data: &Path) -> Self {
        let (components, records) = (data.join("components"), data.join("plugins"));
        Self { components, records, changing: Arc::default() }
    }

    /// The component of this digest.
    ///
    /// # Errors
    ///
    /// When it is not there, or not what it was.
    pub fn read(&self, digest: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.path(digest);
        let wasm = fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        anyhow::ensure!(
            digest_of(&wasm) == digest,
            "`{}` is damaged: it is another component",
            path.display()
        );
        Ok(wasm)
    }

    /// Keeps a component.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn keep(&self, wasm: &[u8]) -> anyhow::Result<()> {
        let digest = digest_of(wasm);
        if self.read(&digest).is_ok() {
            return Ok(());
        }
        let path = self.path(&digest);
        let written = fs::create_dir_all(&self.components).and_then(|()| write_atomically(&path, &[wasm]));
        written.with_context(|| format!("failed to write `{}`", path.display()))?;
        self.tidy().with_context(|| format!("failed to tidy up `{}`", self.components.display()))
    }

    /// What is kept of a plugin; nothing if nothing is, or if it cannot be read, which is logged.
    pub fn record(&self, plugin: &str) -> Record {
        let path = self.record_path(plugin);
        let read = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(anyhow::Error::from),
            Err(error) if error.kind() == ErrorKind::NotFound => return Record::default(),
            Err(error) => Err(error.into()),
        };
        read.unwrap_or_else(|error| {
            let path = path.display();
            tracing::warn!(plugin, %path, %error, "what was changed before cannot be read: the config holds");
            Record::default()
        })
    }

    /// Changes what is kept of a plugin.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn change(&self, plugin: &str, change: impl FnOnce(&mut Record)) -> anyhow::Result<()> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.record(plugin);
        let mut record = before.clone();
        change(&mut record);
        if record == before {
            return Ok(());
        }
        let path = self.record_path(plugin);
        let text = serde_json::to_vec_pretty(&record).context("failed to write a record as JSON")?;
        let written = fs::create_dir_all(&self.records).and_then(|()| write_atomically(&path, &[&text]));
        written.with_context(|| format!("failed to write `{}`", path.display()))
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.components.join(format!("{}.wasm", digest.trim_start_matches("sha256:")))
    }

    fn record_path(&self, plugin: &str) -> PathBuf {
        self.records.join(format!("{plugin}.json"))
    }

    fn tidy(&self) -> std::io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.components)? {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        if files.len() <= COMPONENTS_MAX {
            return Ok(());
        }
        let named = self.named();
        files.retain(|(_, path)| !named.contains(path));
        files.sort();
        let surplus = files.len().saturating_sub(COMPONENTS_MAX);
        files.into_iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }

    /// The components that records name.
    fn named(&self) -> Vec<PathBuf> {
        let records = fs::read_dir(&self.records).into_iter().flatten().flatten();
        let names = records.filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()));
        names.filter_map(|plugin| Some(self.path(&self.record(&plugin).component?.digest))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_again_and_what_is_damaged_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        assert_eq!(shelf.record("one"), Record::default());
        shelf.keep(b"a component").unwrap();
        let digest = digest_of(b"a component");
        assert_eq!(shelf.read(&digest).unwrap(), b"a component");
        let kept = Kept { digest: digest.clone(), instead_of: "x".into(), by: "me".into(), at: "now".into() };
        shelf.change("one", |record| record.component = Some(kept.clone())).unwrap();
        assert_eq!(shelf.record("one").component, Some(kept));
        fs::write(shelf.path(&digest), b"another").unwrap();
        assert!(shelf.read(&digest).unwrap_err().to_string().contains("damaged"));
        fs::write(shelf.record_path("one"), b"{").unwrap();
        assert_eq!(shelf.record("one"), Record::default());
    }

    #[test]
    fn the_oldest_that_nothing_names_go() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let wasm = |number: usize| format!("component {number}").into_bytes();
        shelf.keep(&wasm(0)).unwrap();
        let digest = digest_of(&wasm(0));
        let kept =
            Kept { digest: digest.clone(), instead_of: String::new(), by: String::new(), at: String::new() };
        shelf.change("one", |record| record.component = Some(kept)).unwrap();
        (1..COMPONENTS_MAX + 10).for_each(|number| shelf.keep(&wasm(number)).unwrap());
        assert_eq!(fs::read_dir(&shelf.components).unwrap().count(), COMPONENTS_MAX + 1);
        assert!(shelf.read(&digest).is_ok());
    }
}
