//! Where results may come from that the store has not.

use std::{fmt, path::Path};

use super::{Entry, LocalStore};
use crate::digest::Digest;

/// A place that results may come from. Asked from threads that may block.
pub trait Supplier: Send + Sync + fmt::Debug {
    /// Its name, for people.
    fn name(&self) -> String;

    /// Brings the result of a key, with all it leads to, into the store.
    fn supply(&self, store: &LocalStore, key: &Digest) -> Supplied;

    /// Brings what a stage had saved when it was cut off elsewhere into a folder that has nothing of the kind. An error says why not; the
    /// stage then begins anew.
    fn checkpoint(&self, store: &LocalStore, key: &Digest, folder: &Path) -> Result<bool, String>;
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Supplied {
    /// The result is in the store now.
    Here,
    /// There is one, and nothing of it was brought: enough to tell what a run would reuse, and all that a supplier gives that only
    /// looks. Its bytes are where it is.
    Known(Box<Entry>),
    /// There is none.
    Absent,
    /// There may be one, but it can't be had. Says why, once where the reason is the same for all.
    Failed(String),
}
