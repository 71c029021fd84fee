//! Content by the MD5 that DVC knows it by: `<store>/md5-v1/ab/cdef…`, for a folder with `.dir` at the end.
//!
//! An alias saves reading; what it leads to is identified by SHA-256. One whose content is gone is as good as none.

use std::{collections::BTreeSet, fs, io::Write, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Artifact, ArtifactKind, LocalStore, StoreError, local::make_parent};
use crate::digest::{Digest, Md5};

/// What an MD5 leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Alias {
    /// The file or folder.
    pub artifact: Artifact,
    /// For a folder, the blob with DVC's listing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Digest>,
}

impl LocalStore {
    fn alias_path(&self, md5: &Md5, folder: bool) -> PathBuf {
        self.sharded("md5-v1", &md5.to_string(), if folder { ".dir" } else { "" })
    }

    /// What this MD5 of a file or folder leads to; it may be gone from the store.
    pub fn alias(&self, md5: &Md5, folder: bool) -> Result<Option<Alias>, StoreError> {
        let path = self.alias_path(md5, folder);
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    }

    /// Notes what an MD5 leads to.
    pub fn put_alias(&self, md5: &Md5, folder: bool, alias: &Alias) -> Result<(), StoreError> {
        let path = self.alias_path(md5, folder);
        make_parent(&path)?;
        let mut file = self.temp_file()?;
        let failed = |error: serde_json::Error| StoreError::io("write", &path)(error.into());
        let text = serde_json::to_vec(alias).map_err(failed)?;
        file.write_all(&text).map_err(StoreError::io("write", &path))?;
        file.persist(&path).map_err(|error| StoreError::io("write", &path)(error.error))?;
        Ok(())
    }

    /// All blobs that an alias leads to and that are there.
    pub fn tracked_blobs(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let mut blobs = BTreeSet::new();
        for path in self.files_of("md5-v1")? {
            let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
            let Ok(Alias { artifact, listing }) = serde_json::from_slice(&bytes) else { continue };
            blobs.insert(artifact.digest);
            blobs.extend(listing);
            if artifact.kind == ArtifactKind::Tree && self.contains(&artifact.digest) {
                blobs.extend(self.tree(&artifact.digest)?.entries().iter().map(|entry| entry.digest));
            }
        }
        Ok(blobs)
    }

    /// Every alias of a folder.
    pub fn folder_aliases(&self) -> Result<Vec<Alias>, StoreError> {
        let mut aliases = Vec::new();
        for path in self
            .files_of("md5-v1")?
            .into_iter()
            .filter(|path| path.extension().is_some_and(|end| end == "dir"))
        {
            let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
            aliases.extend(serde_json::from_slice::<Alias>(&bytes).ok());
        }
        Ok(aliases)
    }
}
