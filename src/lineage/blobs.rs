//! Where the bytes behind digests are read from: the store of a project, or a bundle.

use std::{fs, io};

use crate::{
    digest::Digest,
    store::{LocalStore, StoreError, Tree},
};

/// Bytes by digest.
pub trait Blobs {
    /// Reads a blob whole, and checks its digest.
    fn read(&self, digest: &Digest) -> Result<Vec<u8>, StoreError>;

    /// The digest of what stands there under this one. The error's kind is `NotFound` where there is nothing.
    fn hash_again(&self, digest: &Digest) -> io::Result<Digest>;

    /// True when there is something under this SHA-256, in hex.
    fn has(&self, sha256: &str) -> bool;

    /// Reads the listing of a folder.
    fn listing(&self, digest: &Digest) -> Result<Tree, StoreError> {
        Tree::decode(&self.read(digest)?).map_err(|reason| StoreError::Damaged { digest: *digest, reason })
    }
}

impl Blobs for LocalStore {
    fn read(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        Self::read(self, digest)
    }

    fn hash_again(&self, digest: &Digest) -> io::Result<Digest> {
        Digest::of_file(&self.blob_path(digest))
    }

    fn has(&self, sha256: &str) -> bool {
        format!("sha256:{sha256}:0").parse().is_ok_and(|named| fs::metadata(self.blob_path(&named)).is_ok())
    }
}
