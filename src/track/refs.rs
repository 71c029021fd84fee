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
    let texts = texts_in_git(root, |name| name.ends_with(b".dvc"))?;
    names.extend(texts.iter().filter_map(|text| Pointer::parse(text).ok()).map(|pointer| pointer.name));
    Ok(names)
}

/// Texts of the files with such names in the last commit of any reference, each once; none outside of a repository.
pub fn texts_in_git(root: &Path, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<String>, TrackError> {
    let mut texts = Vec::new();
    let repository = match Repository::discover(root) {
        Ok(repository) => repository,
        Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(texts),
        Err(error) => return Err(error.into()),
    };
    let mut seen = HashSet::new();
    let heads = repository.references()?.filter_map(Result::ok).chain(repository.head().ok());
    for reference in heads {
        // A reference to nothing, or to what is no commit, names no data.
        let Ok(commit) = reference.peel_to_commit() else { continue };
        walk(&repository, commit.tree_id(), &mut seen, &wanted, &mut texts)?;
    }
    Ok(texts)
}

/// Branches share most of their folders, so each is looked through once.
fn walk(
    repository: &Repository,
    tree: Oid,
    seen: &mut HashSet<Oid>,
    wanted: &impl Fn(&[u8]) -> bool,
    texts: &mut Vec<String>,
) -> Result<(), TrackError> {
    let mut left = vec![tree];
    while let Some(tree) = left.pop() {
        if !seen.insert(tree) {
            continue;
        }
        for entry in repository.find_tree(tree)?.iter() {
            match entry.kind() {
                Some(ObjectType::Tree) => left.push(entry.id()),
                Some(ObjectType::Blob) if wanted(entry.name_bytes()) && seen.insert(entry.id()) => {
                    let blob = repository.find_blob(entry.id())?;
                    texts.push(String::from_utf8_lossy(blob.content()).into_owned());
                }
                _ => {}
            }
        }
    }
    Ok(())
}
