//! From work-tree paths to artifacts whose content stays where it is.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
};

use rayon::prelude::*;

use super::{
    Artifact, ArtifactKind, LocalStore, StoreError, Tree, TreeEntry,
    ingest::{Links, list_files},
};
use crate::digest::{Digest, Hasher};

impl LocalStore {
    /// Stores a file or folder and leaves it where it is: its content is copied. Links are followed.
    pub fn keep(&self, path: &Path) -> Result<Artifact, StoreError> {
        let absolute = std::fs::canonicalize(path).map_err(StoreError::io("read", path))?;
        if absolute.is_file() {
            let digest = self.keep_file(&absolute)?;
            return Ok(Artifact { kind: ArtifactKind::File, digest, files: 1, bytes: digest.size() });
        }
        let files = list_files(&absolute, Links::Follow, self.hidden.as_ref())?;
        let entries = files
            .par_iter()
            .map(|file| {
                let (path, executable) = (file.relative.clone(), file.executable);
                Ok(TreeEntry { path, digest: self.keep_file(&file.path)?, executable })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let tree = Tree::new(entries);
        self.put(&tree.encode())?;
        Ok(tree.artifact())
    }

    fn keep_file(&self, path: &Path) -> Result<Digest, StoreError> {
        let mut from = File::open(path).map_err(StoreError::io("read", path))?;
        let mut file = self.temp_file()?;
        let (mut hasher, mut buffer) = (Hasher::new(), vec![0; 1 << 20]);
        loop {
            // What is kept is what was hashed, whatever becomes of the file meanwhile.
            match from.read(&mut buffer).map_err(StoreError::io("read", path))? {
                0 => break,
                length => {
                    hasher.update(&buffer[..length]);
                    file.write_all(&buffer[..length]).map_err(StoreError::io("write", file.path()))?;
                }
            }
        }
        let digest = hasher.finish();
        if self.contains(&digest) {
            return Ok(digest);
        }
        self.place(file, &digest)?;
        Ok(digest)
    }
}
