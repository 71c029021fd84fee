//! Why a run could not be held at all.

use std::path::{Path, PathBuf};

use super::SecretFault;
use crate::{digest::CanonicalError, lineage::LineageError, record::RecordError, store::StoreError};

/// Why a run could not be held or recorded. A stage that fails is no such error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A selection names no stage of the plan.
    #[error("{option} names `{name}`, and the pipeline has no such stage")]
    NoStage {
        /// Which option, for example `--only`.
        option: &'static str,
        /// The name.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// Secrets without a value that can be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Secrets(Vec<SecretFault>),
    /// Files differ from their commit, and the settings refuse to run so.
    #[error("{} that git tracks {} from {commit}: {}", files(.changed.len()), if .changed.len() == 1 { "differs" } else { "differ" }, shown(.changed))]
    Dirty {
        /// The files, from the top of the work tree.
        changed: Vec<String>,
        /// The commit, shortened.
        commit: String,
    },
    /// The selection leaves nothing.
    #[error("no stage is both after `--from` and before `--until`")]
    NothingSelected,
    /// The record can't be written or read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The statement on the run can't be made.
    #[error(transparent)]
    Lineage(#[from] LineageError),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stage's params have no key.
    #[error("the params of `{stage}` have no action key: {source}")]
    Key {
        /// The stage.
        stage: String,
        /// Why.
        source: CanonicalError,
    },
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
    /// The user stopped the run before it began.
    #[error("cancelled while waiting for the store, from which something is being removed")]
    CancelledWaiting,
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn shown(files: &[String]) -> String {
    let more = if files.len() > 5 { ", …" } else { "" };
    let first: Vec<&str> = files.iter().take(5).map(String::as_str).collect();
    format!("{}{more}", first.join(", "))
}

impl RunError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
