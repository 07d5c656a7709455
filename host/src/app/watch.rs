//! Notices files that change, and says so when they have been quiet for a while: a file that is still being written is
//! not read.
//!
//! What the system tells of folders is only a reason to look: what counts is what the files are then. So it does not
//! matter how an editor or a build replaces a file, or through which links it is reached; and where the system tells
//! nothing (network file systems), looking now and then is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// How long a file has to stay as it is before it is read. Builds and copies write without such pauses.
const QUIET: Duration = Duration::from_millis(300);

/// How long a file may stay as it is and still count as being written, when somebody has begun to write it and has not
/// closed it. Who takes longer than this over it is not waited for.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// How often files are looked at while they are not quiet, and how soon after the system said something: a build says
/// a lot at a time.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How often files are looked at although nobody said that they changed.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Most files that are known to be open. Builds write thousands beside those that matter, and close them.
const OPEN_FILES_MAX: usize = 1_000;

/// What a file is, as far as can be seen without reading it; none when it is not there.
type Look = Option<(u64, u64, i64, i64, u64)>;

/// Files that are watched.
pub(super) struct Watch {
    files: BTreeMap<PathBuf, Watched>,
    /// None when nothing is watched, or the system does not tell: then files are only looked at.
    folders: Option<Folders>,
    is_on: bool,
    news: Arc<News>,
}

struct Watched {
    /// What it was when it was said to have changed last.
    told: Look,
    seen: Look,
    since: Instant,
}

/// What the system said.
#[derive(Debug, Default)]
struct News {
    came: Notify,
    /// Files that somebody writes and has not closed. Held for a few instructions.
    open: Mutex<BTreeSet<PathBuf>>,
}

/// Folders that the system tells of, without links in their names.
struct Folders {
    watcher: RecommendedWatcher,
    /// With the inode: one that was made anew has to be watched anew.
    watched: BTreeMap<PathBuf, u64>,
}

impl Watch {
    /// Nothing is ever said to have changed.
    pub(super) fn nothing() -> Self {
        Self { files: BTreeMap::new(), folders: None, is_on: false, news: Arc::default() }
    }

    /// Files are watched as soon as it is said which. What they are now is said to have changed once, so that nothing is
    /// missed that happened before.
    pub(super) fn files() -> Self {
        let news = Arc::<News>::default();
        let to = news.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| to.hear(event));
        let folders = match watcher {
            Ok(watcher) => Some(Folders { watcher, watched: BTreeMap::new() }),
            Err(error) => {
                tracing::warn!(%error, "the system does not tell of changed files: they are looked at every 2 s");
                None
            }
        };
        Self { files: BTreeMap::new(), folders, is_on: true, news }
    }

    /// From now on these files matter.
    pub(super) fn look_after(&mut self, files: Vec<PathBuf>) {
        if !self.is_on {
            return;
        }
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.files);
        // A path that is relative cannot be made absolute only when there is no working directory.
        let files = files.into_iter().map(|path| std::path::absolute(&path).unwrap_or(path));
        self.files = files
            .map(|path| {
                let new = || Watched { told: None, seen: look(&path), since: now };
                let watched = before.remove(&path).unwrap_or_else(new);
                (path, watched)
            })
            .collect();
        self.watch_folders();
    }

    /// Waits until a file has changed and is quiet. Nothing is lost when it is dropped before.
    pub(super) async fn changed(&mut self) {
        if !self.is_on {
            return std::future::pending().await;
        }
        loop {
            self.watch_folders();
            let now = Instant::now();
            self.look(now);
            if self.take(now) {
                return;
            }
            if self.files.values().all(|file| file.seen == file.told) {
                // Whether something came or the time is over makes no difference: it looks again.
                let _ = tokio::time::timeout(POLL_INTERVAL, self.news.came.notified()).await;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn look(&mut self, now: Instant) {
        for (path, file) in &mut self.files {
            let seen = look(path);
            if seen != file.seen {
                (file.seen, file.since) = (seen, now);
            }
        }
    }

    /// Whether something has changed and everything is quiet; then it has been said.
    fn take(&mut self, now: Instant) -> bool {
        let open = self.news.open();
        let is_open =
            |path: &Path| !open.is_empty() && fs::canonicalize(path).is_ok_and(|real| open.contains(&real));
        let is_quiet = |path: &Path, file: &Watched| {
            let quiet = now.saturating_duration_since(file.since);
            quiet >= OPEN_MAX || (quiet >= QUIET && !is_open(path))
        };
        let all_quiet = self.files.iter().all(|(path, file)| file.seen == file.told || is_quiet(path, file));
        let changed = self.files.values().any(|file| file.seen != file.told);
        drop(open);
        if !(changed && all_quiet) {
            return false;
        }
        self.files.values_mut().for_each(|file| file.told = file.seen);
        true
    }

    /// Has the system tell of every folder in which something happens when a file changes.
    fn watch_folders(&mut self) {
        let Some(Folders { watcher, watched }) = &mut self.folders else { return };
        let wanted: BTreeMap<PathBuf, u64> = self.files.keys().flat_map(|path| folders(path)).collect();
        watched.retain(|folder, inode| {
            let stays = wanted.get(folder) == Some(inode);
            if !stays {
                // One that is gone is not watched any more in any case.
                let _ = watcher.unwatch(folder);
            }
            stays
        });
        for (folder, inode) in wanted {
            if watched.contains_key(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => _ = watched.insert(folder, inode),
                // It is looked at all the same, and tried again.
                Err(error) => tracing::debug!(%error, folder = %folder.display(), "a folder is not watched"),
            }
        }
    }
}

/// The folders in which something happens when the file changes: the one that it lies in, or the nearest above that is
/// there; and where its links lead.
fn folders(path: &Path) -> impl Iterator<Item = (PathBuf, u64)> {
    let near = path.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_path_buf);
    let real = fs::canonicalize(path).ok().and_then(|real| real.parent().map(Path::to_path_buf));
    let known = |folder: PathBuf| Some((fs::canonicalize(&folder).ok()?, fs::metadata(&folder).ok()?.ino()));
    near.into_iter().chain(real).filter_map(known)
}

fn look(path: &Path) -> Look {
    let seen = |file: Metadata| (file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.len());
    fs::metadata(path).ok().filter(Metadata::is_file).map(seen)
}

impl News {
    fn open(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, event: notify::Result<notify::Event>) {
        if let Ok(event) = event {
            let mut open = self.open();
            match event.kind {
                EventKind::Modify(ModifyKind::Data(_)) => {
                    if open.len() >= OPEN_FILES_MAX {
                        open.clear();
                    }
                    open.extend(event.paths);
                }
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Remove(_)
                | EventKind::Modify(ModifyKind::Name(_)) => {
                    event.paths.iter().for_each(|path| _ = open.remove(path));
                }
                // Somebody reads.
                EventKind::Access(_) => return,
                _ => {}
            }
        }
        self.came.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    /// How long a change may take to be said on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A watch of `files` in a folder of its own, that has said what was there before.
    async fn watch(files: &[&str]) -> (tempfile::TempDir, Watch) {
        let folder = tempfile::tempdir().unwrap();
        for file in files.iter().filter(|file| !file.contains('/')) {
            fs::write(folder.path().join(file), "before").unwrap();
        }
        let mut watch = Watch::files();
        watch.look_after(files.iter().map(|file| folder.path().join(file)).collect());
        says(&mut watch).await;
        (folder, watch)
    }

    async fn says(watch: &mut Watch) {
        tokio::time::timeout(PATIENCE, watch.changed()).await.unwrap();
    }

    /// Nothing is said for longer than it takes to say something.
    async fn says_nothing(watch: &mut Watch) {
        assert!(tokio::time::timeout(QUIET * 3, watch.changed()).await.is_err());
    }

    #[tokio::test]
    async fn a_file_is_followed_however_it_is_replaced() {
        let (folder, mut watch) = watch(&["a", "b"]).await;
        let (a, other) = (folder.path().join("a"), folder.path().join("other"));
        says_nothing(&mut watch).await;
        fs::write(&a, "written").unwrap();
        says(&mut watch).await;
        fs::write(&other, "renamed").unwrap();
        fs::rename(&other, &a).unwrap();
        says(&mut watch).await;
        fs::remove_file(&a).unwrap();
        says(&mut watch).await;
        fs::hard_link(folder.path().join("b"), &a).unwrap();
        says(&mut watch).await;
        // A neighbour is nobody's business.
        fs::write(&other, "elsewhere").unwrap();
        says_nothing(&mut watch).await;
    }

    #[tokio::test]
    async fn a_file_that_is_still_written_is_waited_for() {
        let (folder, mut watch) = watch(&["a"]).await;
        let mut file = fs::File::create(folder.path().join("a")).unwrap();
        for _ in 0..3 {
            file.write_all(b"part").unwrap();
            says_nothing(&mut watch).await;
        }
        drop(file);
        says(&mut watch).await;
    }

    #[tokio::test]
    async fn folders_that_come_later_and_links_that_turn_are_seen() {
        let (folder, mut watch) = watch(&["here", "later/deep/a", "linked/a"]).await;
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("later/deep")).unwrap();
        fs::write(at("later/deep/a"), "there").unwrap();
        says(&mut watch).await;
        fs::remove_dir_all(at("later")).unwrap();
        says(&mut watch).await;
        fs::create_dir_all(at("later/deep")).unwrap();
        fs::write(at("later/deep/a"), "again").unwrap();
        says(&mut watch).await;
        // As a cluster replaces mounted settings: a link that everything goes through is turned.
        for version in ["one", "two"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("a"), version).unwrap();
            symlink(at(version), at("turned")).unwrap();
            fs::rename(at("turned"), at("linked")).unwrap();
            says(&mut watch).await;
        }
    }

    #[tokio::test]
    async fn other_files_may_come_to_matter_and_those_that_stay_are_not_said_again() {
        let (folder, mut watch) = watch(&["a"]).await;
        let files = ["a", "b"].map(|file| folder.path().join(file));
        watch.look_after(files.to_vec());
        says_nothing(&mut watch).await;
        fs::write(&files[1], "new").unwrap();
        says(&mut watch).await;
    }
}
