//! What changed in tracked data between two commits, or between one and the work tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use git2::{ObjectType, Repository, TreeWalkMode, TreeWalkResult};

use super::{DirListing, FileChanges, ObjectName, Pointer, TrackError, find};
use crate::store::LocalStore;

/// A change of tracked data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The data, relative to the top of the repository.
    pub path: PathBuf,
    /// What it was; none when it was not tracked.
    pub old: Option<Pointer>,
    /// What it is; none when it is not tracked.
    pub new: Option<Pointer>,
    /// Files that differ; none where a listing is not in the store.
    pub files: Option<FileChanges>,
}

/// Whether git takes a name for a commit; never outside of a repository.
pub fn is_commit(root: &Path, name: &str) -> bool {
    let found = Repository::discover(root)
        .and_then(|repository| repository.revparse_single(name)?.peel_to_commit().map(|commit| commit.id()));
    found.is_ok()
}

/// Changes of tracked data from `old` to `new`, both anything that git takes for a commit; without `new`, to the pointer files
/// in the work tree. Sorted by path.
pub fn diff(
    root: &Path,
    old: &str,
    new: Option<&str>,
    store: &LocalStore,
) -> Result<Vec<Change>, TrackError> {
    let repository = Repository::discover(root)?;
    let before = pointers_of(&repository, old)?;
    let after = match new {
        Some(new) => pointers_of(&repository, new)?,
        None => {
            let top = repository
                .workdir()
                .ok_or_else(|| TrackError::Git("the repository has no work tree".to_owned()))?;
            let found = find(top, &[])?;
            let relative = |path: &Path| path.strip_prefix(top).unwrap_or(path).to_owned();
            found.into_iter().map(|tracked| (relative(&tracked.data), tracked.pointer)).collect()
        }
    };
    let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for path in paths {
        let (old, new) = (before.get(path), after.get(path));
        if old.map(|pointer| pointer.name) != new.map(|pointer| pointer.name) {
            let files = file_changes(old, new, store)?;
            changes.push(Change { path: path.clone(), old: old.cloned(), new: new.cloned(), files });
        }
    }
    Ok(changes)
}

fn pointers_of(repository: &Repository, revision: &str) -> Result<BTreeMap<PathBuf, Pointer>, TrackError> {
    let tree = repository.revparse_single(revision)?.peel_to_commit()?.tree()?;
    let mut found = BTreeMap::new();
    let mut failed = Ok(());
    tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
        let Some(name) = entry.name().ok().filter(|name| name.len() > 4 && name.ends_with(".dvc")) else {
            return TreeWalkResult::Ok;
        };
        if entry.kind() != Some(ObjectType::Blob) {
            return TreeWalkResult::Ok;
        }
        let file = Path::new(folder).join(name);
        let blob = entry.to_object(repository).and_then(|object| object.peel_to_blob());
        let read = blob.map_err(TrackError::from).and_then(|blob| {
            let text = String::from_utf8_lossy(blob.content()).into_owned();
            let at = || PathBuf::from(format!("{}:{}", revision, file.display()));
            Pointer::parse(&text).map_err(|reason| TrackError::Pointer { path: at(), reason })
        });
        match read {
            Ok(pointer) => {
                found.insert(file.with_file_name(&pointer.path), pointer);
                TreeWalkResult::Ok
            }
            Err(error) => {
                failed = Err(error);
                TreeWalkResult::Abort
            }
        }
    })?;
    failed?;
    Ok(found)
}

fn file_changes(
    old: Option<&Pointer>,
    new: Option<&Pointer>,
    store: &LocalStore,
) -> Result<Option<FileChanges>, TrackError> {
    let names = [old, new].map(|pointer| pointer.map(|pointer| pointer.name));
    if names.iter().flatten().all(|name| !name.folder) {
        return Ok(None);
    }
    let mut listings = Vec::new();
    for name in names {
        match name {
            // Everything in a folder is new, gone, or took the place of a file.
            None | Some(ObjectName { folder: false, .. }) => listings.push(DirListing::default()),
            Some(name) => match listing(name, store)? {
                Some(listing) => listings.push(listing),
                None => return Ok(None),
            },
        }
    }
    let [old, new] = &listings[..] else { return Ok(None) };
    fn files(listing: &DirListing) -> BTreeMap<&str, crate::digest::Md5> {
        listing.entries().iter().map(|entry| (entry.path.as_str(), entry.md5)).collect()
    }
    Ok(Some(FileChanges::between(&files(old), &files(new))))
}

fn listing(name: ObjectName, store: &LocalStore) -> Result<Option<DirListing>, TrackError> {
    let blob = store.alias(&name.md5, true)?.and_then(|alias| alias.listing);
    let Some(blob) = blob.filter(|blob| store.contains(blob)) else { return Ok(None) };
    let bytes = store.read(&blob)?;
    let refused = |reason| TrackError::Listing { name: name.to_string(), reason };
    DirListing::decode(&bytes).map(Some).map_err(refused)
}
