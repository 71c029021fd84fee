//! Why data can't be had from where it comes from.

use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Why data can't be had from where it comes from.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// No place that data could come from.
    #[error("`{text}` is no place that data can be imported from: {reason}")]
    Place {
        /// As written.
        text: String,
        /// Why not.
        reason: String,
    },
    /// The server says that there is nothing.
    #[error("{url} does not exist")]
    Absent {
        /// The place.
        url: String,
    },
    /// The server refuses.
    #[error("{url}: the server answers {status}")]
    Refused {
        /// The place.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The server can't be reached, or broke off.
    #[error("{url}: {reason}")]
    Network {
        /// The place.
        url: String,
        /// What happened.
        reason: String,
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
    /// A folder can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OriginError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Another attempt may go better.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::Refused { status: 429 | 500.., .. })
    }
}

/// An error with what is behind it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(source) = at {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        at = source.source();
    }
    text
}
