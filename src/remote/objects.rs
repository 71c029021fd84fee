//! What a remote is, whatever its kind: objects by key.

use std::{fmt, future::Future, ops::Range, pin::Pin, sync::Arc, time::SystemTime};

use bytes::Bytes;

use super::RemoteError;

/// A remote's answer that is still to come.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, RemoteError>> + Send + 'a>>;

/// Name of an object below the remote's prefix: parts divided by `/`, none of them empty, `.` or `..`, none with a control
/// character or backslash. So a key is also a plain relative path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Longest key that we make or take, in bytes; S3 takes 1,024 with the prefix.
    const MAX: usize = 900;

    /// Checks a text. Fails on anything that is not a plain relative path.
    pub fn new(text: impl Into<String>) -> Result<Self, RemoteError> {
        let text = text.into();
        let plain = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && !part.contains(|c: char| c.is_control() || c == '\\')
        };
        if text.len() <= Self::MAX && text.split('/').all(plain) {
            Ok(Self(text))
        } else {
            Err(RemoteError::BadKey(text))
        }
    }

    /// A key that we made ourselves.
    pub(super) fn ours(text: String) -> Self {
        Self(text)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// On what condition an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Whatever is there.
    Always,
    /// Only when there is none. A server that does not know the condition may overwrite all the same: what is right must not
    /// depend on it.
    Absent,
}

/// What came of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object was written.
    Written,
    /// There was one already, and it was left alone.
    Existed,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: Key,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by the remote's clock; none where the remote does not say.
    pub modified: Option<SystemTime>,
}

/// A piece of a listing, sorted by the bytes of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Objects in order.
    pub objects: Vec<Listed>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
}

/// Id of an upload in parts, as the remote calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadId(pub String);

/// A part that a remote holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// Size in bytes.
    pub size: u64,
    /// How the remote calls its content.
    pub tag: String,
    /// SHA-256 of its bytes in base64, where the remote keeps one.
    pub sha256: Option<String>,
}

/// A place that keeps objects by key. One conformance suite (`tests/remote`) runs against every kind.
///
/// An object is seen whole or not at all: a write that was cut off leaves nothing under its key. Errors tell by
/// [`RemoteError::is_transient`] whether another attempt may go better; none of these methods tries twice itself.
pub trait Objects: Send + Sync + fmt::Debug {
    /// The place in words, for messages: `s3://bucket/prefix`, a folder.
    fn place(&self) -> String;

    /// Size of an object in bytes; none when it is not there.
    fn head<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<u64>>;

    /// Bytes of an object, or of a range of it, which must lie inside. Fewer bytes than asked for are an error.
    fn get<'a>(&'a self, key: &'a Key, range: Option<Range<u64>>) -> Pending<'a, Bytes>;

    /// Writes an object of at most [`PART_SIZE`](super::PART_SIZE) bytes.
    fn put<'a>(&'a self, key: &'a Key, body: Bytes, when: When) -> Pending<'a, Put>;

    /// Objects whose key begins with `prefix`, from where the page before ended.
    fn list<'a>(&'a self, prefix: &'a str, from: Option<&'a str>) -> Pending<'a, Page>;

    /// Removes an object; one that is not there is no error.
    fn delete<'a>(&'a self, key: &'a Key) -> Pending<'a, ()>;

    /// Begins an upload in parts.
    fn begin<'a>(&'a self, key: &'a Key) -> Pending<'a, UploadId>;

    /// Writes part `number`, which starts at `offset`. All but the last have the same size, at least 5 MiB.
    fn put_part<'a>(
        &'a self,
        key: &'a Key,
        upload: &'a UploadId,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Pending<'a, Part>;

    /// Parts that an upload has. None, or none at all, when there is no such upload (any more). Some servers leave the tags empty.
    fn parts<'a>(&'a self, key: &'a Key, upload: &'a UploadId) -> Pending<'a, Option<Vec<Part>>>;

    /// Makes the object of all its parts, given in order.
    fn complete<'a>(&'a self, key: &'a Key, upload: &'a UploadId, parts: &'a [Part]) -> Pending<'a, ()>;

    /// Drops an upload with its parts; one that is not there is no error.
    fn abort<'a>(&'a self, key: &'a Key, upload: &'a UploadId) -> Pending<'a, ()>;

    /// Makes what was written so far survive a loss of power, where that is not so already.
    fn settle(&self) -> Pending<'_, ()>;

    /// The objects themselves, where these are partly copies of them.
    fn beneath(&self) -> Option<Arc<dyn Objects>> {
        None
    }

    /// How far the server's clock is ahead of ours in seconds, as of its last answer; none where there is no such clock.
    fn clock_ahead(&self) -> Option<i64> {
        None
    }
}
