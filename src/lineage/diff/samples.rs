//! Which files of a dataset came, went, or are others.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    compare::changes,
    digest::Digest,
    lineage::{Resource, TREE},
    store::LocalStore,
};

/// Files of a folder that differ, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SampleChanges {
    /// Only the second has them.
    pub added: Vec<String>,
    /// Only the first has them.
    pub removed: Vec<String>,
    /// Their content differs.
    pub changed: Vec<String>,
    /// In both, the same.
    pub same: u64,
}

/// Compares two folders by their listings, which the store keeps. A side that is none is empty.
pub(super) fn compare(
    store: &LocalStore,
    from: Option<&Resource>,
    to: Option<&Resource>,
) -> Option<SampleChanges> {
    let listing = |side: Option<&Resource>| -> Option<BTreeMap<String, Digest>> {
        let Some(resource) = side else { return Some(BTreeMap::new()) };
        if resource.media_type != TREE {
            return None;
        }
        let tree = store.tree(&resource.to_artifact()?.digest).ok()?;
        Some(tree.entries().iter().map(|entry| (entry.path.clone(), entry.digest)).collect())
    };
    let (from, to) = (listing(from)?, listing(to)?);
    let mut found = SampleChanges::default();
    for change in changes(&from, &to, PartialEq::eq) {
        match (change.from, change.to) {
            (None, _) => found.added.push(change.name),
            (_, None) => found.removed.push(change.name),
            (Some(_), Some(_)) => found.changed.push(change.name),
        }
    }
    found.same = (from.len() - found.removed.len() - found.changed.len()) as u64;
    Some(found)
}
