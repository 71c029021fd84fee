//! The action cache: results by action key.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Artifact, LocalStore, StoreError, local::make_parent};
use crate::digest::Digest;

/// A stored result. The store knows which artifacts it leads to, and nothing of what the body means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Entry<B = Value> {
    /// Everything that must be in the store for the result to be usable.
    pub artifacts: Vec<Artifact>,
    /// The result itself.
    pub body: B,
}

/// An entry is marked as used at most this often: `gc` counts in days, and a mark costs a write.
const MARKED_FOR: Duration = Duration::from_secs(3600);

impl LocalStore {
    pub(super) fn entry_path(&self, key: &Digest) -> PathBuf {
        self.sharded("actions-v1", &key.hex(), ".json")
    }

    /// Stores a result; all its artifacts must be there. An older result of the key is replaced.
    pub fn put_entry(&self, key: &Digest, entry: &Entry) -> Result<(), StoreError> {
        for artifact in &entry.artifacts {
            if let Some(digest) = self.missing(artifact)?.first() {
                return Err(StoreError::Missing(*digest));
            }
        }
        // The blobs must be on disk before an entry that promises them.
        self.sync()?;
        let path = self.entry_path(key);
        make_parent(&path)?;
        let mut file = self.temp_file()?;
        let text = serde_json::to_vec_pretty(entry).map_err(|error| StoreError::Format {
            path: path.clone(),
            what: "an action result",
            reason: error.to_string(),
        })?;
        file.write_all(&text)
            .and_then(|()| file.as_file().sync_all())
            .map_err(StoreError::io("write", &path))?;
        file.persist(&path).map_err(|error| StoreError::Io { action: "write", path, source: error.error })?;
        Ok(())
    }

    /// The result of a key, complete or not, and marks it as used now (which `gc` goes by).
    pub fn entry(&self, key: &Digest) -> Result<Option<Entry>, StoreError> {
        self.entry_of(key)
    }

    /// [`LocalStore::entry`], read at once as what the caller knows the body to be, which is much faster than by way of a
    /// [`Value`].
    pub fn entry_of<B: DeserializeOwned>(&self, key: &Digest) -> Result<Option<Entry<B>>, StoreError> {
        let path = self.entry_path(key);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        let meta = file.metadata().map_err(StoreError::io("read", &path))?;
        let mut text = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0).saturating_add(1));
        file.read_to_end(&mut text).map_err(StoreError::io("read", &path))?;
        let entry = serde_json::from_slice(&text).map_err(|error| StoreError::Format {
            path: path.clone(),
            what: "an action result",
            reason: error.to_string(),
        })?;
        let now = SystemTime::now();
        // A mark out of the future does not count.
        let marked = meta.modified().ok().and_then(|marked| now.duration_since(marked).ok());
        if marked.is_none_or(|since| since > MARKED_FOR) {
            // A store on a read-only disk still serves; gc there is nobody's business.
            let _ = file.set_modified(now);
        }
        Ok(Some(entry))
    }

    /// All results that can be read, without marking them as used.
    pub fn all_entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for path in self.files_of("actions-v1")? {
            let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
            entries.extend(serde_json::from_slice::<Entry>(&bytes).ok());
        }
        Ok(entries)
    }

    /// Keys of all stored results with the time each was last used.
    pub(super) fn entries(&self) -> Result<Vec<(PathBuf, SystemTime)>, StoreError> {
        self.files_of("actions-v1")?
            .into_iter()
            .map(|path| {
                let used = fs::metadata(&path).and_then(|meta| meta.modified());
                Ok((path.clone(), used.map_err(StoreError::io("read", &path))?))
            })
            .collect()
    }

    /// Every file under one of the store's folders.
    pub(super) fn files_of(&self, kind: &str) -> Result<Vec<PathBuf>, StoreError> {
        let folder = self.folder().join(kind);
        let mut files = Vec::new();
        for item in walkdir::WalkDir::new(&folder).sort_by_file_name() {
            let item = item.map_err(|error| StoreError::io("read", &folder)(error.into()))?;
            if item.file_type().is_file() {
                files.push(item.into_path());
            }
        }
        Ok(files)
    }
}
