//! Where results may come from that the store has not.

use std::fmt;

use super::LocalStore;
use crate::digest::Digest;

/// A place that results may come from. Asked from threads that may block.
pub trait Supplier: Send + Sync + fmt::Debug {
    /// Its name, for people.
    fn name(&self) -> String;

    /// Brings the result of a key, with all it leads to, into the store.
    fn supply(&self, store: &LocalStore, key: &Digest) -> Supplied;
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Supplied {
    /// The result is in the store now.
    Here,
    /// There is none.
    Absent,
    /// There may be one, but it can't be had. Says why, once where the reason is the same for all.
    Failed(String),
}
