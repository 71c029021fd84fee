//! How data in the work tree stands to its pointer.

use std::{collections::BTreeMap, fs};

use super::{DirListing, TrackError, Tracked};
use crate::{
    digest::{Digest, Md5},
    store::{Alias, ArtifactKind, LocalStore, Tree},
};

/// How data stands to its pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is what the pointer names.
    Same,
    /// It is not there.
    Missing,
    /// It is something else.
    Changed(FileChanges),
}

/// Files that differ, relative to the folder; for a file, nothing more is to be said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileChanges {
    /// Files that are new.
    pub added: Vec<String>,
    /// Files that are gone.
    pub removed: Vec<String>,
    /// Files with another content.
    pub modified: Vec<String>,
}

impl FileChanges {
    /// What leads from one folder to another, as path and content.
    pub(super) fn between<C: PartialEq>(old: &BTreeMap<&str, C>, new: &BTreeMap<&str, C>) -> Self {
        let mut changes = Self::default();
        for (path, content) in new {
            match old.get(path) {
                None => changes.added.push((*path).to_owned()),
                Some(before) if before != content => changes.modified.push((*path).to_owned()),
                Some(_) => {}
            }
        }
        let gone = old.keys().filter(|path| !new.contains_key(*path));
        changes.removed = gone.map(|path| (*path).to_owned()).collect();
        changes
    }

    /// Nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.modified.is_empty()
    }
}

/// Compares data with its pointer. A file is read only if it changed since it was last read.
pub fn state(tracked: &Tracked, store: &LocalStore) -> Result<State, TrackError> {
    if fs::symlink_metadata(&tracked.data).is_err() {
        return Ok(State::Missing);
    }
    let name = tracked.pointer.name;
    let (found, tree) = store.survey(&tracked.data)?;
    match (store.alias(&name.md5, name.folder)?, tree) {
        (Some(alias), None) if alias.artifact.kind == ArtifactKind::File => {
            Ok(if alias.artifact.digest == found.digest {
                State::Same
            } else {
                State::Changed(FileChanges::default())
            })
        }
        (Some(alias), Some(tree)) if alias.artifact.kind == ArtifactKind::Tree => {
            folder_state(&alias, &tree, store)
        }
        (Some(_), _) => Ok(State::Changed(FileChanges::default())),
        (None, tree) => unknown_state(tracked, tree.as_ref()),
    }
}

fn folder_state(alias: &Alias, found: &Tree, store: &LocalStore) -> Result<State, TrackError> {
    // Executable bits in a folder are not versioned.
    let mut plain = found.entries().to_vec();
    plain.iter_mut().for_each(|entry| entry.executable = false);
    if Tree::new(plain).artifact().digest == alias.artifact.digest {
        return Ok(State::Same);
    }
    let known = if store.contains(&alias.artifact.digest) {
        store.tree(&alias.artifact.digest)?
    } else {
        Tree::default()
    };
    fn files(tree: &Tree) -> BTreeMap<&str, Digest> {
        tree.entries().iter().map(|entry| (entry.path.as_str(), entry.digest)).collect()
    }
    Ok(State::Changed(FileChanges::between(&files(&known), &files(found))))
}

/// Nothing is known of the MD5 here, as after a clone: what is there is hashed anew.
fn unknown_state(tracked: &Tracked, tree: Option<&Tree>) -> Result<State, TrackError> {
    let read = |path: &std::path::Path| Md5::of_file(path).map_err(TrackError::io("read", path));
    let (md5, folder) = match tree {
        None => (read(&tracked.data)?, false),
        Some(tree) => {
            let mut entries = Vec::with_capacity(tree.entries().len());
            for entry in tree.entries() {
                let md5 = read(&tracked.data.join(&entry.path))?;
                entries.push(super::DirEntry { path: entry.path.clone(), md5 });
            }
            (DirListing::new(entries).md5(), true)
        }
    };
    let name = tracked.pointer.name;
    Ok(if (md5, folder) == (name.md5, name.folder) {
        State::Same
    } else {
        State::Changed(FileChanges::default())
    })
}
