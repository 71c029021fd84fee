//! Between DVC's cache and the store: objects are adopted from it, and given back to it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{DirListing, ObjectName, TrackError, add::store_folder};
use crate::{
    digest::Md5,
    store::{Alias, Artifact, ArtifactKind, LocalStore},
};

/// What became of the objects of a cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Objects that the store has now, and had not before.
    pub new: u64,
    /// Objects that it had.
    pub known: u64,
    /// Objects that are no use, with the reason.
    pub left: Vec<(PathBuf, String)>,
}

/// Takes all objects of a cache of DVC 3 into the store. The cache stays as it is; where the file system can, both share their bytes.
pub fn adopt(cache: &Path, store: &LocalStore) -> Result<Adopted, TrackError> {
    let (files, folders): (Vec<_>, Vec<_>) = objects(cache)?.into_iter().partition(|(name, _)| !name.folder);
    let one = |(name, path): &(ObjectName, PathBuf)| {
        if is_known(store, *name)? {
            return Ok(None);
        }
        let (digest, md5) = store.keep_with_md5(path)?;
        if md5 != name.md5 {
            return Ok(Some(Err(format!("its content is {md5}"))));
        }
        let artifact = Artifact { kind: ArtifactKind::File, digest, files: 1, bytes: digest.size() };
        store.put_alias(&md5, false, &Alias { artifact, listing: None })?;
        Ok(Some(Ok(())))
    };
    let mut done = files.par_iter().map(one).collect::<Result<Vec<_>, TrackError>>()?;
    for (name, path) in &folders {
        done.push(match is_known(store, *name)? {
            true => None,
            false => Some(adopt_folder(*name, path, store)?),
        });
    }
    let mut adopted = Adopted::default();
    for ((_, path), done) in files.iter().chain(&folders).zip(done) {
        match done {
            None => adopted.known += 1,
            Some(Ok(())) => adopted.new += 1,
            Some(Err(reason)) => adopted.left.push((path.clone(), reason)),
        }
    }
    Ok(adopted)
}

fn is_known(store: &LocalStore, name: ObjectName) -> Result<bool, TrackError> {
    Ok(match store.alias(&name.md5, name.folder)? {
        Some(alias) => store.missing(&alias.artifact)?.is_empty(),
        None => false,
    })
}

fn adopt_folder(name: ObjectName, path: &Path, store: &LocalStore) -> Result<Result<(), String>, TrackError> {
    let bytes = fs::read(path).map_err(TrackError::io("read", path))?;
    let found = Md5::of(&bytes);
    if found != name.md5 {
        return Ok(Err(format!("its content is {found}")));
    }
    let listing = match DirListing::decode(&bytes) {
        Ok(listing) => listing,
        Err(reason) => return Ok(Err(reason)),
    };
    if listing.md5() != name.md5 {
        return Ok(Err("it is not written as DVC writes listings".to_owned()));
    }
    let mut files = Vec::with_capacity(listing.entries().len());
    for entry in listing.entries() {
        let alias = store.alias(&entry.md5, false)?.filter(|alias| store.contains(&alias.artifact.digest));
        let Some(alias) = alias else {
            return Ok(Err(format!("the cache has no content of {}", entry.path)));
        };
        files.push((entry.path.clone(), (alias.artifact.digest, entry.md5)));
    }
    store_folder(store, files)?;
    Ok(Ok(()))
}

/// Objects in a cache, sorted by path; what is called otherwise is none.
fn objects(cache: &Path) -> Result<Vec<(ObjectName, PathBuf)>, TrackError> {
    let folder = cache.join("files").join("md5");
    let mut found = Vec::new();
    if !folder.is_dir() {
        return Ok(found);
    }
    for item in walkdir::WalkDir::new(&folder).min_depth(2).max_depth(2).sort_by_file_name() {
        let item = item.map_err(|error| TrackError::io("read", &folder)(error.into()))?;
        let shard = item.path().parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let (Some(shard), Some(rest)) = (shard, item.file_name().to_str()) else { continue };
        let (rest, is_folder) = rest.strip_suffix(".dir").map_or((rest, false), |rest| (rest, true));
        let Ok(md5) = format!("{shard}{rest}").parse() else { continue };
        if shard.len() == 2 && item.file_type().is_file() {
            found.push((ObjectName { md5, folder: is_folder }, item.into_path()));
        }
    }
    Ok(found)
}

/// A file or folder as DVC keeps it: its content by MD5, and the listing of a folder last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objects {
    /// MD5 and where the store has the bytes.
    pub files: Vec<(Md5, PathBuf)>,
    /// For a folder, the bytes of its listing.
    pub listing: Option<Vec<u8>>,
}

/// What DVC keeps of what a pointer names; none where the store has not all of it.
pub fn objects_of(name: ObjectName, store: &LocalStore) -> Result<Option<Objects>, TrackError> {
    let Some(alias) = store.alias(&name.md5, name.folder)? else { return Ok(None) };
    if !store.missing(&alias.artifact)?.is_empty() {
        return Ok(None);
    }
    if !name.folder {
        let files = vec![(name.md5, store.blob_path(&alias.artifact.digest))];
        return Ok(Some(Objects { files, listing: None }));
    }
    let Some(listing) = alias.listing.filter(|listing| store.contains(listing)) else { return Ok(None) };
    let bytes = store.read(&listing)?;
    let refused = |reason| TrackError::Listing { name: name.to_string(), reason };
    let listing = DirListing::decode(&bytes).map_err(refused)?;
    let tree = store.tree(&alias.artifact.digest)?;
    let digests: std::collections::BTreeMap<&str, _> =
        tree.entries().iter().map(|entry| (entry.path.as_str(), entry.digest)).collect();
    let files = listing.entries().iter().map(|entry| {
        let digest = digests.get(entry.path.as_str())?;
        Some((entry.md5, store.blob_path(digest)))
    });
    let files: Option<Vec<_>> = files.collect();
    Ok(files.map(|files| Objects { files, listing: Some(bytes) }))
}
