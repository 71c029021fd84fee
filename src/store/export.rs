//! From artifacts to paths: read-only for stages, free for users.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rayon::prelude::*;

use super::{Artifact, ArtifactKind, LocalStore, StoreError, TreeEntry, local::make_parent};
use crate::digest::Digest;

impl LocalStore {
    /// Places an artifact at `to`, which must not exist, for a stage to read: hard links to the store's read-only blobs, or
    /// copies where links can't be made.
    pub fn materialize(&self, artifact: &Artifact, to: &Path) -> Result<(), StoreError> {
        self.lay_out(artifact, to, |digest, executable, path| {
            self.check(digest)?;
            // A link shares the blob's permissions, so an executable file needs a copy of its own.
            if executable || fs::hard_link(self.blob_path(digest), path).is_err() {
                self.copy_blob(digest, path, if executable { 0o555 } else { 0o444 })?;
            }
            Ok(())
        })
    }

    /// Places an artifact at `to` in the work tree as files of the user's own. What is there already is left alone when it is the
    /// same, and replaced when the store has its content; content that would be lost is an error.
    pub fn export(&self, artifact: &Artifact, to: &Path) -> Result<(), StoreError> {
        if fs::symlink_metadata(to).is_ok() {
            if self.fingerprint(to)? == *artifact {
                return Ok(());
            }
            self.check_recoverable(to)?;
        }
        self.replace(artifact, to)
    }

    /// As [`LocalStore::export`], but whatever is at `to` is gone afterwards.
    pub fn replace(&self, artifact: &Artifact, to: &Path) -> Result<(), StoreError> {
        make_parent(to)?;
        let parent = to.parent().unwrap_or(Path::new("."));
        let staging = tempfile::Builder::new().prefix(".stagewright-").tempdir_in(parent);
        let staging = staging.map_err(StoreError::io("create a folder in", parent))?;
        let fresh = staging.path().join("new");
        self.lay_out(artifact, &fresh, |digest, executable, path| {
            self.check(digest)?;
            self.copy_blob(digest, path, if executable { 0o755 } else { 0o644 })
        })?;
        if fs::symlink_metadata(to).is_ok() {
            // A folder can't be replaced in one rename; the old one waits beside it until the new one stands.
            fs::rename(to, staging.path().join("old")).map_err(StoreError::io("replace", to))?;
        }
        fs::rename(&fresh, to).map_err(StoreError::io("write", to))
    }

    /// Refuses a file or folder with content that the store has not.
    pub fn check_recoverable(&self, path: &Path) -> Result<(), StoreError> {
        for item in walkdir::WalkDir::new(path) {
            let item = item.map_err(|error| StoreError::io("read", path)(error.into()))?;
            if item.file_type().is_dir() {
                continue;
            }
            let digest = Digest::of_file(item.path()).map_err(StoreError::io("read", item.path()))?;
            if !self.is_sound(&digest) {
                return Err(StoreError::UserChanged { path: item.into_path() });
            }
        }
        Ok(())
    }

    fn lay_out(
        &self,
        artifact: &Artifact,
        to: &Path,
        place: impl Fn(&Digest, bool, &Path) -> Result<(), StoreError> + Sync,
    ) -> Result<(), StoreError> {
        make_parent(to)?;
        match artifact.kind {
            ArtifactKind::File => place(&artifact.digest, false, to),
            ArtifactKind::Tree => {
                let tree = self.tree(&artifact.digest)?;
                fs::create_dir_all(to).map_err(StoreError::io("create", to))?;
                let mut folders: Vec<&Path> =
                    tree.entries().iter().filter_map(|entry| Path::new(&entry.path).parent()).collect();
                folders.dedup();
                for folder in folders {
                    let folder = to.join(folder);
                    fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
                }
                let one = |entry: &TreeEntry| place(&entry.digest, entry.executable, &to.join(&entry.path));
                tree.entries().par_iter().try_for_each(one)
            }
        }
    }

    fn copy_blob(&self, digest: &Digest, to: &Path, mode: u32) -> Result<(), StoreError> {
        let blob = self.blob_path(digest);
        reflink_copy::reflink_or_copy(&blob, to).map_err(StoreError::io("write", to))?;
        fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(StoreError::io("protect", to))
    }
}
