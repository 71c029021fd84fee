//! The stat cache: which digest a work-tree file had when it was last read.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::digest::Digest;

/// What must be unchanged for a file not to be read again. The change time catches a file that was put back with its
/// old modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stat(u64, i128, i128, u64);

/// A file touched this recently may change again within the clock's resolution, so its digest is not remembered (git
/// calls such an entry racy).
const RACY_NANOSECONDS: i128 = 1_000_000_000;

/// Digests remembered for one fingerprinted path.
pub(super) struct StatIndex {
    file: PathBuf,
    known: HashMap<String, (Stat, Digest)>,
    changed: bool,
}

impl StatIndex {
    /// Reads what is remembered; a missing or unreadable index is an empty one, since it only saves time.
    pub(super) fn load(store: &Path, root: &Path) -> Self {
        let name = Digest::of(root.as_os_str().as_encoded_bytes()).hex();
        let file = store.join("index-v1").join(format!("{name}.json"));
        let known =
            fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { file, known, changed: false }
    }

    /// Digests of files given as (key, path), in order; reads only those that changed, in parallel.
    pub(super) fn digests(&mut self, files: &[(String, PathBuf)]) -> Result<Vec<Digest>, StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
        let known = &self.known;
        let fresh = files
            .par_iter()
            .map(|(key, path)| {
                let stat = stat(path)?;
                if let Some((_, digest)) = known.get(key).filter(|(old, _)| *old == stat) {
                    return Ok((stat, *digest, false));
                }
                let digest = Digest::of_file(path).map_err(StoreError::io("read", path))?;
                Ok((stat, digest, true))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.changed = fresh.iter().any(|(_, _, read)| *read) || fresh.len() != self.known.len();
        let lasting = |stat: &Stat| now - stat.1.max(stat.2) > RACY_NANOSECONDS;
        if self.changed {
            let keep = files.iter().zip(&fresh).filter(|(_, (stat, _, _))| lasting(stat));
            self.known = keep.map(|((key, _), (stat, digest, _))| (key.clone(), (*stat, *digest))).collect();
        }
        Ok(fresh.into_iter().map(|(_, digest, _)| digest).collect())
    }

    /// Writes the index if something changed.
    pub(super) fn save(&self) -> Result<(), StoreError> {
        if !self.changed {
            return Ok(());
        }
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let mut file =
            tempfile::NamedTempFile::new_in(folder).map_err(StoreError::io("create a file in", folder))?;
        serde_json::to_writer(std::io::BufWriter::new(file.as_file_mut()), &self.known)
            .map_err(|error| StoreError::io("write", &self.file)(error.into()))?;
        file.persist(&self.file).map_err(|error| StoreError::Io {
            action: "write",
            path: self.file.clone(),
            source: error.error,
        })?;
        Ok(())
    }
}

fn stat(path: &Path) -> Result<Stat, StoreError> {
    let meta = fs::metadata(path).map_err(StoreError::io("read", path))?;
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let modified = nanoseconds(meta.mtime(), meta.mtime_nsec());
    let changed = nanoseconds(meta.ctime(), meta.ctime_nsec());
    Ok(Stat(meta.len(), modified, changed, meta.ino()))
}
