//! What can be wrong with records.

use std::path::{Path, PathBuf};

/// Why a record can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
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
    /// A value has no JSON form.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// What was to be written.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A stored value is not what it should be.
    #[error("cannot read {what}: {reason}")]
    Decode {
        /// What it should be.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A line of an event log is not an event. A torn last line is no such error.
    #[error("{path} line {line} is not an event: {reason}")]
    Line {
        /// The event log.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Why not.
        reason: String,
    },
    /// The event log has no header, so it is none of ours or the run was killed in its first instant.
    #[error("{path} does not begin with the header of an event log")]
    NoHeader {
        /// The event log.
        path: PathBuf,
    },
    /// The event log was written by a later release.
    #[error(
        "{path} has record format {format}; this release reads formats up to {readable} (it was written by {writer})"
    )]
    NewerRecord {
        /// The event log.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The newest format that can be read.
        readable: u32,
        /// Name and version of the writer.
        writer: String,
    },
    /// An action result was written by a later release.
    #[error("an action result has format {format}; this release reads formats up to {readable}")]
    NewerResult {
        /// Its format.
        format: u64,
        /// The newest format that can be read.
        readable: u32,
    },
    /// There is no such run.
    #[error("there is no run {run} in {path}")]
    NoRun {
        /// The run's id.
        run: super::RunId,
        /// Folder of all runs.
        path: PathBuf,
    },
}

impl RecordError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
