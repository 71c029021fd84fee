//! The difference of two maps: what came, what went, what is another.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// One entry that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change<T> {
    /// Its name.
    pub name: String,
    /// On the first side; none if it came.
    pub from: Option<T>,
    /// On the second side; none if it went.
    pub to: Option<T>,
}

/// All that differs between two maps, by name.
pub fn changes<T: Clone>(
    from: &BTreeMap<String, T>,
    to: &BTreeMap<String, T>,
    same: impl Fn(&T, &T) -> bool,
) -> Vec<Change<T>> {
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let change = |name: &String| match (from.get(name), to.get(name)) {
        (Some(old), Some(new)) if same(old, new) => None,
        (old, new) => Some(Change { name: name.clone(), from: old.cloned(), to: new.cloned() }),
    };
    names.into_iter().filter_map(change).collect()
}
