//! Why tracked data can't be handled.

use std::path::{Path, PathBuf};

use super::ObjectName;
use crate::{digest::Digest, store::StoreError};

/// Why tracked data can't be handled.
#[derive(Debug, thiserror::Error)]
pub enum TrackError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A pointer file is none.
    #[error("{path} is not a pointer file that can be used: {reason}")]
    Pointer {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// DVC's listing of a folder is none, or leaves the folder.
    #[error("the listing {name} is not one of DVC's: {reason}")]
    Listing {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A path that can't be tracked.
    #[error("cannot track {path}: {reason}")]
    Untrackable {
        /// The path.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Content that a pointer names is not in the store.
    #[error("the store has not all of {path} ({name})")]
    Absent {
        /// The data.
        path: PathBuf,
        /// What the pointer names.
        name: ObjectName,
    },
    /// Data in the work tree that is nowhere else.
    #[error("{path} was changed, and the change is not in the store")]
    UserChanged {
        /// The file.
        path: PathBuf,
    },
    /// Content that a lock file names is not in the store.
    #[error("the store has not all of {path} ({digest})")]
    NotStored {
        /// Its place in the work tree.
        path: PathBuf,
        /// The content.
        digest: Digest,
    },
    /// Something in the place of a result that is nowhere else.
    #[error("{path} is not what the lock file names, and what is there is nowhere else")]
    Unknown {
        /// The place.
        path: PathBuf,
    },
    /// Something in the place of imported data that is nowhere else.
    #[error("{path} is nowhere else, and what was imported would take its place")]
    InTheWay {
        /// The place.
        path: PathBuf,
    },
    /// A place in the work tree that is none of the project's.
    #[error("{path} lies outside of the project, behind a link")]
    Outside {
        /// The place.
        path: PathBuf,
    },
    /// No data is tracked under this path.
    #[error("{path} is not tracked")]
    NotTracked {
        /// The path.
        path: PathBuf,
    },
    /// Git can't do it.
    #[error("git: {0}")]
    Git(String),
    /// The store can't do it.
    #[error(transparent)]
    Store(StoreError),
}

impl TrackError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl From<StoreError> for TrackError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UserChanged { path } => Self::UserChanged { path },
            error => Self::Store(error),
        }
    }
}

impl From<git2::Error> for TrackError {
    fn from(error: git2::Error) -> Self {
        Self::Git(error.message().to_owned())
    }
}
