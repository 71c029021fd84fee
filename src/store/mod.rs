//! Bytes by digest, results by action key.
//!
//! ```text
//! <store>/CACHEDIR.TAG
//! <store>/blobs-v1/ab/cdef…         content by SHA-256, read-only
//! <store>/actions-v1/ab/cdef….json  an [`Entry`] by action key
//! <store>/md5-v1/ab/cdef…         what an MD5 of DVC leads to, an [`Alias`]
//! <store>/index-v1/….json           stat cache of fingerprinted work-tree paths
//! <store>/locks-v1/                 locks between processes: on the store, and on each action under way
//! <store>/tmp/                      what is being written; a killed process leaves files here and nowhere else
//! ```
//!
//! Every write goes to `tmp/` first and is renamed into place whole, so the store is valid at any instant, also after
//! `kill -9`. A change of format is a new folder name.

mod alias;
mod entry;
mod export;
mod gc;
mod index;
mod ingest;
mod keep;
mod local;
mod lock;
mod receive;
mod seal;
mod supplier;
mod tree;
mod verify;

use std::path::{Path, PathBuf};

pub use alias::Alias;
pub use entry::Entry;
pub use gc::GcPlan;
pub use local::{Hidden, LocalStore};
pub use lock::{Claim, StoreLock};
pub use receive::Incoming;
use serde::{Deserialize, Serialize};
pub use supplier::{Supplied, Supplier};
pub use tree::{Tree, TreeEntry};
pub use verify::{Damage, VerifyReport};

use crate::digest::Digest;

/// A stored file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Artifact {
    /// File or folder.
    pub kind: ArtifactKind,
    /// Of the file's bytes, or of the folder's canonical listing ([`Tree`]).
    pub digest: Digest,
    /// Number of files.
    pub files: u64,
    /// Sum of the files' sizes in bytes.
    pub bytes: u64,
}

/// File or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// One blob.
    File,
    /// A listing of blobs.
    Tree,
}

/// Why the store can't do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, for example `write`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A blob is not in the store.
    #[error("the store has no blob {0}")]
    Missing(Digest),
    /// A blob's content is not what its name says.
    #[error("the blob {digest} is damaged: {reason}")]
    Damaged {
        /// The digest it should have.
        digest: Digest,
        /// What was found.
        reason: String,
    },
    /// A path that has no place in a store.
    #[error("cannot store {path}: {reason}")]
    Unstorable {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file in the work tree holds content that is nowhere else.
    #[error("{path} was changed by hand, and replacing it would lose that content")]
    UserChanged {
        /// The file.
        path: PathBuf,
    },
    /// An entry or index can't be read.
    #[error("{path} is not readable as {what}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
