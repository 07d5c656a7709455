//! Compiled code on disk, so that a start takes milliseconds where compiling takes up to seconds. Whatever is wrong
//! with a file, it is as if it were not there; whatever is wrong with the folder is logged and costs only time.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tracing::warn;
use wasmtime::component::Component;

use super::compose::trampoline_version;
use super::inspect::Kind;

/// Most files in the folder; the oldest are removed when there are more. Several versions of every plugin of a large
/// host fit.
const CACHE_FILES_MAX: usize = 64;

/// The permissions of the folder: its owner's alone, because what lies in it is run as machine code.
const FOLDER_MODE: u32 = 0o700;

/// Bytes in front of the code: the SHA-256 of what follows it, and the kind.
const HEADER_BYTES: usize = 32 + 1;

/// The folder `compiled` in the host's data.
pub(super) struct Cache {
    folder: PathBuf,
    /// Whether the folder is ours alone; if not, nothing is read and nothing is written.
    usable: bool,
    /// What code depends on beside the component: the engine's settings and the trampoline.
    environment: [u8; 32],
}

impl Cache {
    pub(super) fn open(data: &Path, engine: &wasmtime::Engine) -> Self {
        let folder = data.join("compiled");
        let made = fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder);
        let owned = made.and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(FOLDER_MODE)));
        if let Err(error) = &owned {
            warn!(%error, folder = %folder.display(), "compiled code is not kept: the folder cannot be used");
        }
        let mut environment = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut environment);
        trampoline_version().hash(&mut environment);
        Self { folder, usable: owned.is_ok(), environment: environment.0.finalize().into() }
    }

    /// Where the code of the component with this SHA-256 is kept.
    pub(super) fn path(&self, component: &[u8; 32]) -> PathBuf {
        let key = Sha256::new().chain_update(component).chain_update(self.environment).finalize();
        self.folder.join(format!("{}.cwasm", hex(&key)))
    }

    /// The code of the component with this SHA-256, if it is here and whole.
    pub(super) fn load(&self, engine: &wasmtime::Engine, component: &[u8; 32]) -> Option<(Component, Kind)> {
        if !self.usable {
            return None;
        }
        let file = fs::read(self.path(component)).ok()?;
        let (header, code) = file.split_at_checked(HEADER_BYTES)?;
        let sum = Sha256::new().chain_update(&header[32..]).chain_update(code).finalize();
        if header[..32] != sum[..] {
            return None;
        }
        let kind = *Kind::ALL.get(usize::from(header[32]))?;
        #[expect(unsafe_code, reason = "wasmtime cannot check that compiled code is what it compiled")]
        // SAFETY: the bytes are code that `store` wrote: they lie in a folder that only this user may enter, they
        // carry their own SHA-256, and they are used from this memory, where nobody can change them after the check.
        // Wasmtime itself refuses code of another version or of other settings.
        let component = unsafe { Component::deserialize(engine, code) };
        Some((component.ok()?, kind))
    }

    /// Keeps the code of the component with this SHA-256.
    pub(super) fn store(&self, code: &Component, kind: Kind, component: &[u8; 32]) {
        if !self.usable {
            return;
        }
        let written = code.serialize().map_err(io::Error::other).and_then(|code| {
            let kind = [kind as u8];
            let sum = Sha256::new().chain_update(kind).chain_update(&code).finalize();
            write_atomically(&self.path(component), &[&sum[..], &kind, &code])
        });
        if let Err(error) = written.and_then(|()| self.remove_oldest()) {
            warn!(%error, folder = %self.folder.display(), "compiled code is not kept");
        }
    }

    fn remove_oldest(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        files.sort();
        let surplus = files.len().saturating_sub(CACHE_FILES_MAX);
        files.into_iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// The whole file or none: a host that dies while it writes leaves no half file under the name.
pub(super) fn write_atomically(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = fs::File::create(&temporary)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        // The error is already on its way; a file left behind is removed as the oldest some day.
        drop(fs::remove_file(&temporary));
    })
}

/// `bytes` in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])));
        text
    })
}

/// Lets what is `Hash` be hashed to something that stays the same from one start to the next.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// The SHA-256 that `component` is kept under.
#[cfg(test)]
pub(super) fn tests_sum(component: &[u8]) -> [u8; 32] {
    Sha256::digest(component).into()
}
