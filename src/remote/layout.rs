//! Where things lie in a remote. `docs/remotes.md` describes it for people.
//!
//! ```text
//! stagewright-remote.json     {"format": 1, "layout": "native"}
//! blobs-v1/ab/cdef…           content by SHA-256
//! actions-v1/ab/cdef….json    an action result by action key
//! md5-v1/ab/cdef…[.dir]       tracked data, layout `native`: which blobs an MD5 of DVC means
//! files/md5/ab/cdef…[.dir]    tracked data, layout `dvc`: the bytes, where DVC 3 puts them
//! documents-v1/…             small texts by name, see `document.rs`
//! ```

use serde::{Deserialize, Serialize};

use super::Key;
use crate::{digest::Digest, track::ObjectName};

/// Version of the layout that this release writes, and the newest that it reads.
///
/// 1: first release.
pub const FORMAT: u32 = 1;

/// What all blobs' keys begin with.
pub(super) const BLOBS: &str = "blobs-v1/";

/// What all keys of DVC's files begin with.
pub(super) const DVC_FILES: &str = "files/md5/";

/// Content of `stagewright-remote.json`. Later releases may add fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Marker {
    pub(super) format: u64,
    pub(super) layout: String,
}

impl Marker {
    pub(super) fn ours() -> Self {
        Self { format: u64::from(FORMAT), layout: "native".to_owned() }
    }
}

pub(super) fn marker() -> Key {
    Key::ours("stagewright-remote.json".to_owned())
}

pub(super) fn blob(digest: &Digest) -> Key {
    let hex = digest.hex();
    Key::ours(format!("{BLOBS}{}/{}", &hex[..2], &hex[2..]))
}

pub(super) fn result(key: &Digest) -> Key {
    let hex = key.hex();
    Key::ours(format!("actions-v1/{}/{}.json", &hex[..2], &hex[2..]))
}

/// Where DVC 3 keeps an object.
pub(super) fn dvc(name: &ObjectName) -> Key {
    let text = name.to_string();
    Key::ours(format!("{DVC_FILES}{}/{}", &text[..2], &text[2..]))
}

pub(super) fn alias(name: &ObjectName) -> Key {
    let text = name.to_string();
    Key::ours(format!("md5-v1/{}/{}", &text[..2], &text[2..]))
}

/// The object's name is the digest of its content, so it never changes.
pub(super) fn is_fixed(key: &Key) -> bool {
    hash(key).is_some()
}

/// The bytes are those that the object's name promises; nothing is promised by other names.
pub(super) fn is_intact(key: &Key, bytes: &[u8]) -> bool {
    hash(key).is_none_or(|hash| hash == Digest::of(bytes).hex())
}

fn hash(key: &Key) -> Option<String> {
    let (shard, rest) = key.as_str().strip_prefix(BLOBS)?.split_once('/')?;
    Some(format!("{shard}{rest}"))
}
