//! What descends from one file of the data.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Library, Node, TREE};
use crate::{digest::Digest, record::RunId, store::LocalStore};

/// Everything that was made from a file.
#[derive(Debug)]
pub struct Impact<'a> {
    /// Where it was part of the data: path of the input and, in a folder, of the file, by the statement that says so.
    pub found: Vec<(&'a Node, String)>,
    /// Statements on everything that was made from it, directly or not, in the order of the ledger.
    pub descends: Vec<&'a Node>,
    /// Runs that have such a result.
    pub runs: BTreeSet<RunId>,
    /// Folders whose listing is not in the store any more, so that nobody can tell.
    pub untold: BTreeSet<String>,
}

/// Finds what was made from the bytes with this SHA-256.
pub fn impact<'a>(library: &'a Library, sha256: &str, store: &LocalStore) -> Impact<'a> {
    // Many stages read one folder; its listing is searched once.
    let mut listings: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    let mut impact =
        Impact { found: Vec::new(), descends: Vec::new(), runs: BTreeSet::new(), untold: BTreeSet::new() };
    let mut seen = BTreeSet::new();
    for node in library.nodes() {
        for input in node.inputs() {
            let (Some(hash), Some(path)) = (input.sha256(), input.note("path")) else { continue };
            if hash == sha256 {
                impact.found.push((node, path.to_owned()));
            }
            if input.media_type != TREE {
                continue;
            }
            let inside = listings.entry(hash.to_owned()).or_insert_with(|| {
                let tree = store.tree(&input.to_artifact()?.digest).ok()?;
                let entries = tree.entries().iter().filter(|entry| entry.digest.hex() == sha256);
                Some(entries.map(|entry| entry.path.clone()).collect())
            });
            match inside {
                Some(inside) => {
                    impact.found.extend(inside.iter().map(|file| (node, format!("{path}/{file}"))))
                }
                None => drop(impact.untold.insert(path.to_owned())),
            }
        }
    }
    for (node, _) in &impact.found {
        seen.extend(library.descent(node).iter().map(|node| node.digest));
    }
    let about: BTreeSet<Digest> = seen;
    impact.descends = library.nodes().iter().filter(|node| about.contains(&node.digest)).collect();
    let results: BTreeSet<&str> = impact
        .descends
        .iter()
        .flat_map(|node| &node.statement.subject)
        .filter_map(super::Resource::sha256)
        .collect();
    for run in library.nodes().iter().filter(|node| node.kind == Kind::Run) {
        let has = run
            .statement
            .subject
            .iter()
            .filter_map(super::Resource::sha256)
            .any(|hash| results.contains(hash));
        let id = run
            .statement
            .predicate
            .get("run")
            .and_then(|run| run.as_str())
            .and_then(|run| run.parse::<RunId>().ok());
        impact.runs.extend(id.filter(|_| has));
    }
    impact
}
