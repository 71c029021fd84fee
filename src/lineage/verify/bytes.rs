//! Every byte that a statement names, hashed again.

use std::collections::BTreeSet;

use super::{Case, FaultKind, Verification, WorkTree, name};
use crate::{
    digest::Digest,
    lineage::{Node, Resource},
    store::{Artifact, ArtifactKind, StoreError},
};

/// Hashes what a stage made, and its log. Without `wanted`, bytes that are not there any more are no fault.
pub(super) fn outputs(
    case: &Case<'_>,
    node: &Node,
    seen: &mut BTreeSet<Digest>,
    wanted: bool,
    found: &mut Verification,
) {
    for subject in &node.statement.subject {
        if let Some(artifact) = subject.to_artifact() {
            artifact_bytes(case, node, &subject.name, &artifact, seen, wanted, found);
        }
    }
}

fn artifact_bytes(
    case: &Case<'_>,
    node: &Node,
    what: &str,
    artifact: &Artifact,
    seen: &mut BTreeSet<Digest>,
    wanted: bool,
    found: &mut Verification,
) {
    if !blob(case, node, what, &artifact.digest, seen, wanted, found) || artifact.kind == ArtifactKind::File {
        return;
    }
    match case.blobs.listing(&artifact.digest) {
        Ok(tree) => {
            for entry in tree.entries() {
                blob(case, node, &format!("{what}/{}", entry.path), &entry.digest, seen, wanted, found);
            }
        }
        Err(error) => found.fault(FaultKind::Bytes, name(node), format!("{what}: {error}")),
    }
}

/// True when the blob is there and whole.
fn blob(
    case: &Case<'_>,
    node: &Node,
    what: &str,
    digest: &Digest,
    seen: &mut BTreeSet<Digest>,
    wanted: bool,
    found: &mut Verification,
) -> bool {
    if !seen.insert(*digest) {
        return true;
    }
    match case.blobs.hash_again(digest) {
        Ok(now) if now == *digest => {
            found.files += 1;
            true
        }
        Ok(now) => {
            let what = format!("{what} should be {digest} and is {now} {}", case.place());
            found.fault(FaultKind::Bytes, name(node), what);
            false
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if wanted {
                found.fault(
                    FaultKind::Missing,
                    name(node),
                    format!("{what} ({digest}) is not {}", case.place()),
                );
            }
            false
        }
        Err(error) => {
            found.fault(FaultKind::Missing, name(node), format!("{what} can't be read: {error}"));
            false
        }
    }
}

/// Compares data in the work tree with what the stage read. Data that is not there is somewhere else, which is no fault.
pub(super) fn sources(case: &Case<'_>, node: &Node, found: &mut Verification) {
    let Some(WorkTree { root, store }) = case.sources else { return };
    for input in node.inputs() {
        let (Some(path), Some(hash)) = (input.note("path"), input.sha256()) else { continue };
        match store.survey(&root.join(path)) {
            Ok((now, _)) if now.digest.hex() == hash => {
                found.files += usize::try_from(now.files).unwrap_or(0)
            }
            Ok((now, listing)) => {
                let differs = difference(case, input, listing.as_ref());
                let what = format!("{path} is not what it read{differs} (now {})", now.digest);
                found.fault(FaultKind::Source, name(node), what);
            }
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let note = format!("{path}, which {} read, is not here to compare", name(node));
                if !found.notes.contains(&note) {
                    found.notes.push(note);
                }
            }
            Err(error) => found.fault(FaultKind::Source, name(node), format!("{path}: {error}")),
        }
    }
}

/// The first file that differs, and how many more.
fn difference(case: &Case<'_>, input: &Resource, now: Option<&crate::store::Tree>) -> String {
    let then = input.to_artifact().and_then(|artifact| case.blobs.listing(&artifact.digest).ok());
    let (Some(then), Some(now)) = (then, now) else { return String::new() };
    let list = |tree: &crate::store::Tree| -> BTreeSet<(String, Digest)> {
        tree.entries().iter().map(|entry| (entry.path.clone(), entry.digest)).collect()
    };
    let (then, now) = (list(&then), list(now));
    let paths: BTreeSet<&str> = then.symmetric_difference(&now).map(|(path, _)| path.as_str()).collect();
    match paths.first() {
        Some(first) if paths.len() == 1 => format!(": {first}"),
        Some(first) => format!(": {first} and {} more", paths.len() - 1),
        None => String::new(),
    }
}
