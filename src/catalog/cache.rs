//! Manifests remembered, so that a warm start starts no program.

use std::{
    fs,
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use stagewright_protocol::Manifest;

use crate::digest::Digest;

/// Manifests by executable, in `<state>/manifests-v1/`. It only saves time: what can't be read is asked for again, and what
/// can't be written is asked for the next time.
#[derive(Debug, Clone)]
pub(super) struct ManifestCache {
    folder: PathBuf,
}

/// What must be unchanged for a manifest to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    size: u64,
    modified: i128,
    changed: i128,
    inode: u64,
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    path: PathBuf,
    stamp: Stamp,
    manifest: Manifest,
}

impl ManifestCache {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { folder: state_dir.join("manifests-v1") }
    }

    /// State of an executable now.
    pub(super) fn stamp(&self, path: &Path) -> Option<Stamp> {
        let meta = fs::metadata(path).ok()?;
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Some(Stamp {
            size: meta.len(),
            modified: nanoseconds(meta.mtime(), meta.mtime_nsec()),
            changed: nanoseconds(meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
        })
    }

    /// The manifest of an executable that has not changed since.
    pub(super) fn get(&self, path: &Path) -> Option<Manifest> {
        let bytes = fs::read(self.file(path)).ok()?;
        let remembered: Remembered = serde_json::from_slice(&bytes).ok()?;
        (remembered.path == path && Some(remembered.stamp) == self.stamp(path)).then_some(remembered.manifest)
    }

    /// Remembers what the executable answered while it had this stamp.
    pub(super) fn put(&self, path: &Path, stamp: Option<Stamp>, manifest: &Manifest) {
        let Some(stamp) = stamp.filter(|stamp| Some(*stamp) == self.stamp(path)) else { return };
        let remembered = Remembered { path: path.to_owned(), stamp, manifest: manifest.clone() };
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(&serde_json::to_vec(&remembered)?)?;
            file.persist(self.file(path))?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::debug!(%error, program = %path.display(), "the manifest was not remembered");
        }
    }

    fn file(&self, path: &Path) -> PathBuf {
        let name = Digest::of(path.as_os_str().as_encoded_bytes()).hex();
        self.folder.join(format!("{}.json", &name[..32]))
    }
}
