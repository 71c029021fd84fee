//! Data versioned with git the way DVC does it: a pointer file in git, the content in the store.
//!
//! ```text
//! data/            the content, ignored by git
//! data.dvc         the pointer, in DVC 3's format: MD5, size
//! .gitignore       /data
//! ```
//!
//! A pointer names content by MD5, as DVC does, so that both tools work in one repository. The store keeps the content by SHA-256 and
//! knows which MD5 means which ([`Alias`](crate::store::Alias)). As in DVC, the executable bits of files in a folder are not versioned.

mod add;
mod adopt;
mod block;
mod checkout;
mod diff;
mod error;
mod find;
mod ignore;
mod imported;
mod install;
mod listing;
mod merge;
mod pointer;
mod refs;
mod state;

pub use add::{Added, add};
pub use adopt::{Adopted, Objects, adopt, objects_of};
pub use checkout::{CheckedOut, checkout};
pub use diff::{Change, diff, is_commit};
pub use error::TrackError;
pub(crate) use find::files;
pub use find::{Tracked, find};
pub use ignore::{Kept, ignore_out};
pub use imported::{Dep, import};
pub use install::{Done, HOOKS, Step, install, is_amid, uninstall};
pub use listing::{DirEntry, DirListing};
pub use merge::{MergedPointer, merge};
pub(crate) use pointer::write_whole;
pub use pointer::{ObjectName, Pointer};
pub use refs::{named_by_git, texts_in_git};
pub use state::{FileChanges, State, state};
