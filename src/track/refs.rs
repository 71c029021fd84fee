//! Data that a repository names anywhere: in its branches, tags, remotes' branches, its head, and the work tree.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

use git2::{ObjectType, Oid, Repository};

use super::{ObjectName, Pointer, TrackError, find};

/// Content that pointer files name in the last commit of any reference, and in the work tree. Pointer files that can't be used here are
/// passed over: what they name was never in our hands.
pub fn named_by_git(root: &Path) -> Result<BTreeSet<ObjectName>, TrackError> {
    let mut names: BTreeSet<ObjectName> =
        find(root, &[])?.into_iter().map(|tracked| tracked.pointer.name).collect();
    let repository = match Repository::discover(root) {
        Ok(repository) => repository,
        Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(names),
        Err(error) => return Err(error.into()),
    };
    let mut seen = HashSet::new();
    let heads = repository.references()?.filter_map(Result::ok).chain(repository.head().ok());
    for reference in heads {
        // A reference to nothing, or to what is no commit, names no data.
        let Ok(commit) = reference.peel_to_commit() else { continue };
        walk(&repository, commit.tree_id(), &mut seen, &mut names)?;
    }
    Ok(names)
}

/// Branches share most of their folders, so each is looked through once.
fn walk(
    repository: &Repository,
    tree: Oid,
    seen: &mut HashSet<Oid>,
    names: &mut BTreeSet<ObjectName>,
) -> Result<(), TrackError> {
    let mut left = vec![tree];
    while let Some(tree) = left.pop() {
        if !seen.insert(tree) {
            continue;
        }
        for entry in repository.find_tree(tree)?.iter() {
            match entry.kind() {
                Some(ObjectType::Tree) => left.push(entry.id()),
                Some(ObjectType::Blob)
                    if entry.name_bytes().ends_with(b".dvc") && seen.insert(entry.id()) =>
                {
                    let blob = repository.find_blob(entry.id())?;
                    let text = String::from_utf8_lossy(blob.content());
                    names.extend(Pointer::parse(&text).ok().map(|pointer| pointer.name));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
