//! Is a blob still what its name says?
//!
//! Hashing every blob whenever a result is looked up would read the whole store. So a blob that was hashed carries a time of
//! modification that no ordinary write leaves behind; one that was written to since does not have it and is hashed anew. What
//! changes bytes without the file system knowing, a failing disk, is found when the blob is used: then it is hashed in any case.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Artifact, ArtifactKind, LocalStore, StoreError};
use crate::digest::Digest;

/// The mark: 2000-01-01 in UTC, in seconds. Not earlier than 1980, before which some archive formats know no times.
const SEAL: i64 = 946_684_800;

/// Marks a file as one whose content is known to be right.
pub(super) fn seal(file: &File) -> io::Result<()> {
    file.set_modified(UNIX_EPOCH + Duration::from_secs(SEAL.unsigned_abs()))
}

/// Folders with more files than this are not looked through in passing.
const FEW_FILES: u64 = 64;

fn is_sealed(meta: &Metadata) -> bool {
    (meta.mtime(), meta.mtime_nsec()) == (SEAL, 0)
}

impl LocalStore {
    /// True when all of an artifact is there and was not touched since it was hashed. False also where finding out would take
    /// reading; then [`LocalStore::missing`] says.
    pub fn is_at_hand(&self, artifact: &Artifact) -> bool {
        match artifact.kind {
            ArtifactKind::File => self.is_untouched(&artifact.digest),
            ArtifactKind::Tree => {
                artifact.files <= FEW_FILES
                    && self.is_untouched(&artifact.digest)
                    && self
                        .tree(&artifact.digest)
                        .is_ok_and(|tree| tree.entries().iter().all(|entry| self.is_untouched(&entry.digest)))
            }
        }
    }

    /// The blob is there and still sealed.
    fn is_untouched(&self, digest: &Digest) -> bool {
        let Ok(meta) = fs::metadata(self.blob_path(digest)) else { return false };
        meta.len() == digest.size() && is_sealed(&meta)
    }

    /// True when the blob is there and right; reads it only if it was written to since it was last hashed.
    pub fn is_sound(&self, digest: &Digest) -> bool {
        let path = self.blob_path(digest);
        let Ok(meta) = fs::metadata(&path) else { return false };
        if meta.len() != digest.size() {
            return false;
        }
        if is_sealed(&meta) {
            return true;
        }
        let sound = Digest::of_file(&path).is_ok_and(|found| found == *digest);
        if sound {
            // Not where the store can't be written: there it is hashed again the next time.
            let _ = File::open(&path).and_then(|file| seal(&file));
        }
        sound
    }

    /// Hashes a blob before somebody gets it.
    pub(super) fn check(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        let found = match Digest::of_file(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing(*digest));
            }
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        if found == *digest {
            return Ok(());
        }
        // Without the mark the next look finds the result incomplete, and its stage runs again.
        let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Err(StoreError::Damaged { digest: *digest, reason: format!("its content is {found}") })
    }
}
