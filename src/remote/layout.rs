//! Where things lie in a remote. `docs/remotes.md` describes it for people.
//!
//! ```text
//! stagewright-remote.json     {"format": 1, "layout": "packed"}, or "native"
//! blobs-v1/ab/cdef…           content by SHA-256, layout `native`
//! packs-v1/, indexes-v1/      content in packs, layout `packed`: see `packed`
//! actions-v1/ab/cdef….json    an action result by action key
//! md5-v1/ab/cdef…[.dir]       tracked data, layout `native`: which blobs an MD5 of DVC means
//! files/md5/ab/cdef…[.dir]    tracked data, layout `dvc`: the bytes, where DVC 3 puts them
//! documents-v1/…             small texts by name, see `document.rs`
//! leases-v1/…                who is at work, see `lease.rs`
//! ```

use serde::{Deserialize, Serialize};

use super::Key;
use crate::{config::Layout, digest::Digest, track::ObjectName};

/// Version of the layout that this release writes, and the newest that it reads.
///
/// 1: first release.
pub const FORMAT: u32 = 1;

/// What all blobs' keys begin with.
pub(super) const BLOBS: &str = "blobs-v1/";

/// What all packs' keys begin with.
pub(super) const PACKS: &str = "packs-v1/";

/// What all keys of indexes begin with.
pub(super) const INDEXES: &str = "indexes-v1/";

/// What all keys of results begin with.
pub(super) const RESULTS: &str = "actions-v1/";

/// What the keys of names of tracked data begin with.
pub(super) const ALIASES: &str = "md5-v1/";

/// What the keys of checkpoints begin with.
pub(super) const CHECKPOINTS: &str = "documents-v1/checkpoints/";

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
    pub(super) fn of(how: Arrangement) -> Self {
        Self { format: u64::from(FORMAT), layout: how.name().to_owned() }
    }
}

/// How content lies in a remote. The remote says it itself, from its first push on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrangement {
    /// One object a blob.
    Native,
    /// Blobs in packs.
    Packed,
}

impl Arrangement {
    const ALL: [Self; 2] = [Self::Native, Self::Packed];

    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Packed => "packed",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|how| how.name() == name)
    }

    /// What a remote becomes that has nothing yet.
    pub(super) fn wanted(layout: Layout) -> Self {
        match layout {
            Layout::Native => Self::Native,
            // Data lies where DVC looks for it; what DVC does not know need not lie one by one.
            Layout::Packed | Layout::Dvc => Self::Packed,
        }
    }
}

pub(super) fn marker() -> Key {
    Key::ours("stagewright-remote.json".to_owned())
}

pub(super) fn blob(digest: &Digest) -> Key {
    sharded(BLOBS, &digest.hex())
}

/// The key of a name in hex: divided after two digits, so that no folder gets too full.
pub(super) fn sharded(prefix: &str, hex: &str) -> Key {
    Key::ours(format!("{prefix}{}/{}", &hex[..2], &hex[2..]))
}

/// The SHA-256 that a key below this prefix names; none for any other key.
pub(super) fn hash_of(key: &Key, prefix: &str) -> Option<[u8; 32]> {
    let (shard, rest) = key.as_str().strip_prefix(prefix)?.split_once('/')?;
    let mut hash = [0; 32];
    hex::decode_to_slice(format!("{shard}{rest}"), &mut hash).ok()?;
    (sharded(prefix, &hex::encode(hash)) == *key).then_some(hash)
}

pub(super) fn result(key: &Digest) -> Key {
    let hex = key.hex();
    Key::ours(format!("{RESULTS}{}/{}.json", &hex[..2], &hex[2..]))
}

/// Where DVC 3 keeps an object.
pub(super) fn dvc(name: &ObjectName) -> Key {
    let text = name.to_string();
    Key::ours(format!("{DVC_FILES}{}/{}", &text[..2], &text[2..]))
}

pub(super) fn alias(name: &ObjectName) -> Key {
    let text = name.to_string();
    Key::ours(format!("{ALIASES}{}/{}", &text[..2], &text[2..]))
}

/// The object's name is the digest of its content, so it never changes.
pub(super) fn is_fixed(key: &Key) -> bool {
    content(key).is_some()
}

/// The bytes are those that the object's name promises; nothing is promised by other names.
pub(super) fn is_intact(key: &Key, bytes: &[u8]) -> bool {
    content(key).is_none_or(|hash| hash == *Digest::of(bytes).hash())
}

/// SHA-256 of the content that a key promises.
fn content(key: &Key) -> Option<[u8; 32]> {
    [BLOBS, PACKS, INDEXES].iter().find_map(|prefix| hash_of(key, prefix))
}
