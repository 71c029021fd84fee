//! Why a remote can't do something, sorted by who can mend it.

use std::{path::PathBuf, time::Duration};

use super::Key;
use crate::store::StoreError;

/// Why a remote can't do something.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The object is not there.
    #[error("{place} has no object {key}")]
    NotFound {
        /// The remote.
        place: String,
        /// The object.
        key: Key,
    },
    /// The bucket is not there.
    #[error("{place}: there is no such bucket")]
    NoBucket {
        /// The remote.
        place: String,
    },
    /// The server knows who asks and says no.
    #[error("{place} refuses to {action}: {reason}")]
    Denied {
        /// The remote.
        place: String,
        /// What was tried.
        action: String,
        /// The server's words.
        reason: String,
    },
    /// There are no credentials, or the server does not accept them.
    #[error("{place} does not accept the credentials: {reason}")]
    Credentials {
        /// The remote.
        place: String,
        /// What the SDK or the server says.
        reason: String,
    },
    /// The clocks of this machine and the server differ too much for a signature to be accepted.
    #[error("{place} refuses the request because of the clock: {reason}")]
    Clock {
        /// The remote.
        place: String,
        /// The server's words.
        reason: String,
    },
    /// The region is not the bucket's.
    #[error("{place} wants another region: {reason}")]
    Region {
        /// The remote.
        place: String,
        /// The server's words.
        reason: String,
    },
    /// Another attempt may go better: the network, or a server that is busy or faulty.
    #[error("{place} could not {action}: {reason}")]
    Transient {
        /// The remote.
        place: String,
        /// What was tried.
        action: String,
        /// What happened.
        reason: String,
        /// The server asks for fewer requests.
        throttled: bool,
    },
    /// It went wrong that often.
    #[error("gave up after {attempts} attempts in {:.0} s: {last}", .time.as_secs_f64())]
    GaveUp {
        /// Attempts made.
        attempts: u32,
        /// Time they took together.
        time: Duration,
        /// The last one's error.
        last: Box<RemoteError>,
    },
    /// The server refuses the request itself.
    #[error("{place} could not {action}: {reason}")]
    Refused {
        /// The remote.
        place: String,
        /// What was tried.
        action: String,
        /// The server's words.
        reason: String,
    },
    /// The bytes that came are not those that the name promises.
    #[error("{place}: {key} is not what its name says: {found}")]
    Corrupt {
        /// The remote.
        place: String,
        /// The object.
        key: Key,
        /// What came.
        found: String,
    },
    /// An object is not what it should be.
    #[error("{place}: {key} is not readable as {what}: {reason}")]
    Format {
        /// The remote.
        place: String,
        /// The object.
        key: Key,
        /// What it should be.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// The remote was written by a later release.
    #[error("{place} has format {found}, and this release reads up to {readable}")]
    Newer {
        /// The remote.
        place: String,
        /// Its format.
        found: u64,
        /// What we can read.
        readable: u32,
    },
    /// The settings forbid it.
    #[error("the remote `{name}` is set to be read only")]
    ReadOnly {
        /// Its name.
        name: String,
    },
    /// Others are at work in the remote, and were for longer than we wait.
    #[error("{place}: {what}, by {holder} ({minutes} min ago)")]
    Busy {
        /// The remote.
        place: String,
        /// What they do.
        what: &'static str,
        /// Who they are.
        holder: String,
        /// Minutes since they were last heard of.
        minutes: u64,
    },
    /// This process was not heard of for so long that others may count it as gone.
    #[error("{place}: nothing was heard of this process for {minutes} min, so others may take it as ended")]
    LeaseLost {
        /// The remote.
        place: String,
        /// Minutes since the others were last told.
        minutes: u64,
    },
    /// What was to be sent is not wanted any more, because something else failed, which is told instead.
    #[error("stopped")]
    Stopped,
    /// A name that has no place in a remote.
    #[error("`{0}` is no name for an object")]
    BadKey(String),
    /// The set-up of the client failed.
    #[error("cannot use {place}: {reason}")]
    SetUp {
        /// The remote.
        place: String,
        /// Why.
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
    /// The store of this machine.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RemoteError {
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Another attempt may go better.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    /// Only this object is concerned, so that others may still be had.
    pub fn is_about_one_object(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Corrupt { .. } | Self::Format { .. })
    }
}
