//! Why a lock file can't be used.

use std::path::{Path, PathBuf};

use crate::track::TrackError;

/// Why a lock file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LockFileError {
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
    /// A merge left conflicts in it.
    #[error("{path} has a conflict of a merge in line {line}")]
    Conflict {
        /// The file.
        path: PathBuf,
        /// Line of the first marker, from 1.
        line: usize,
    },
    /// It is no lock file.
    #[error("{path}, line {line}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The work tree can't be read or written.
    #[error(transparent)]
    Track(#[from] TrackError),
}

impl LockFileError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// From 1.
    pub(super) line: usize,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A marker of a merge.
    Conflict,
    Wrong(String),
}

impl Fault {
    pub(super) fn wrong(line: usize, reason: impl Into<String>) -> Self {
        Self { line, what: What::Wrong(reason.into()) }
    }

    pub(super) fn of(self, path: &Path) -> LockFileError {
        let (path, line) = (path.to_owned(), self.line);
        match self.what {
            What::Conflict => LockFileError::Conflict { path, line },
            What::Wrong(reason) => LockFileError::Format { path, line, reason },
        }
    }
}
