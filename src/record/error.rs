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
    /// There is no run at all.
    #[error("this project has no run yet")]
    NoRuns,
    /// Nothing has this name.
    #[error("no run's id begins or ends with `{name}`")]
    Unnamed {
        /// The name.
        name: String,
    },
    /// Several runs have this name.
    #[error("the ids of {count} runs begin or end with `{name}`")]
    Ambiguous {
        /// The name.
        name: String,
        /// How many.
        count: usize,
    },
    /// `last~N` goes back too far.
    #[error("`{name}` goes back too far: {}", if *.count == 1 { "there is one run in all".to_owned() } else { format!("there are {count} runs in all") })]
    TooFar {
        /// The name.
        name: String,
        /// How many runs there are.
        count: usize,
    },
    /// The text can't be the name of a run.
    #[error(
        "`{name}` is no name of a run: the beginning or end of its id (4 characters or more), `last` or `last~1` is wanted"
    )]
    Name {
        /// The text.
        name: String,
    },
    /// No run belongs to this sweep, or to any.
    #[error("{}", match .name { Some(name) => format!("no sweep's id begins or ends with `{name}`"), None => "this project has no sweep or search yet".to_owned() })]
    NoSweep {
        /// The name; none where the last one was asked for.
        name: Option<String>,
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
