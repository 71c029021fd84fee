//! Remotes: where results and their bytes go, so that another machine can have them.
//!
//! ```text
//! Session   paces requests, tries again, tells what happens
//!   push    store → remote: blobs, listings, then the results that lead to them
//!   fetch   remote → store: the same in the order that never leaves a result without its bytes
//! Objects   put, get, head, list, delete of objects by key, whatever the kind
//!   Folder · S3 · Tiered (a near one before a far one)
//! ```
//!
//! Bytes prove themselves: a blob's name is its SHA-256, and it is compared on the way out and on the way in. A result (which
//! outputs an action gave) does not; whether a remote's results count is a setting.

mod bandwidth;
mod blobs;
mod check;
mod checkpoint;
mod document;
mod download;
mod error;
mod fetch;
mod folder;
mod gc;
mod layout;
mod lease;
mod logs;
mod note;
mod objects;
mod pace;
mod packed;
mod present;
mod push;
mod reach;
mod s3;
mod session;
mod supply;
mod tiered;
mod tracked;
mod upload;
mod verify;

pub use check::{Probe, Verdict};
pub use error::RemoteError;
pub use fetch::Fetched;
pub use folder::Folder;
pub use gc::{Keep, RemoteGc};
pub use layout::FORMAT;
pub use logs::LogHead;
pub use objects::{Key, Listed, Objects, Page, Part, Pending, Put, UploadId, When};
pub use push::Pushed;
pub use s3::S3;
pub use session::{Listener, Retry, Session, TransferEvent};
pub use supply::Supply;
pub use tiered::Tiered;
pub use tracked::{FetchedData, PushedData};
pub use verify::{RemoteDamage, RemoteVerify};

/// Objects up to this many bytes are moved whole, larger ones in parts of at least this size.
pub const PART_SIZE: u64 = 8 << 20;
