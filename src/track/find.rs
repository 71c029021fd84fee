//! Pointer files in a work tree.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::{Pointer, TrackError};
use crate::config::{self, STATE_FOLDER};

/// Data that a pointer file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// The pointer file.
    pub file: PathBuf,
    /// The data beside it.
    pub data: PathBuf,
    /// What the file says.
    pub pointer: Pointer,
}

impl Tracked {
    /// Reads a pointer file.
    pub fn read(file: &Path) -> Result<Self, TrackError> {
        let pointer = Pointer::read(file)?;
        Ok(Self { file: file.to_owned(), data: file.with_file_name(&pointer.path), pointer })
    }
}

/// Tracked data below `root`, sorted by path: all of it, or what the given paths name (a pointer file, its data, or a folder above).
pub fn find(root: &Path, paths: &[PathBuf]) -> Result<Vec<Tracked>, TrackError> {
    if paths.is_empty() {
        return below(root);
    }
    let mut found = Vec::new();
    for path in paths {
        let file = if path.extension().is_some_and(|end| end == "dvc") {
            path.clone()
        } else {
            Pointer::file_of(path)
        };
        if file.is_file() {
            found.push(Tracked::read(&file)?);
            continue;
        }
        let inside = if path.is_dir() { below(path)? } else { Vec::new() };
        if inside.is_empty() {
            return Err(TrackError::NotTracked { path: path.clone() });
        }
        found.extend(inside);
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    found.dedup();
    Ok(found)
}

fn below(root: &Path) -> Result<Vec<Tracked>, TrackError> {
    files(root, is_pointer)?.iter().map(|file| Tracked::read(file)).collect()
}

/// Files below a folder of a project that are wanted, sorted by path. What is tracked, what tools keep, and what belongs to a project
/// of its own, such as a submodule with one, is not looked through.
pub(crate) fn files(root: &Path, wanted: impl Fn(&DirEntry) -> bool) -> Result<Vec<PathBuf>, TrackError> {
    let mut found = Vec::new();
    let mut walk = WalkDir::new(root).sort_by_file_name().into_iter();
    while let Some(item) = walk.next() {
        let item = item.map_err(|error| {
            let path = error.path().unwrap_or(root).to_owned();
            TrackError::Io { action: "read", path, source: error.into() }
        })?;
        if item.file_type().is_dir() {
            // What is tracked holds no pointers, and may hold very many files.
            let skips =
                || is_state(&item) || Pointer::file_of(item.path()).is_file() || config::is_root(item.path());
            if item.depth() > 0 && skips() {
                walk.skip_current_dir();
            }
        } else if item.file_type().is_file() && wanted(&item) {
            found.push(item.into_path());
        }
    }
    Ok(found)
}

fn is_pointer(item: &DirEntry) -> bool {
    let name = item.file_name().as_encoded_bytes();
    name.len() > 4 && name.ends_with(b".dvc")
}

/// Folders that tools keep their state in.
fn is_state(item: &DirEntry) -> bool {
    [".git", ".dvc", STATE_FOLDER].iter().any(|name| item.file_name() == *name)
}
