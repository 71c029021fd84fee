//! Taking data under version control.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use git2::Repository;
use rayon::prelude::*;

use super::{
    DirEntry, DirListing, ObjectName, Pointer, TrackError, Tracked,
    ignore::ignore,
    state::{State, state},
};
use crate::{
    digest::{Digest, Md5},
    store::{Alias, Artifact, ArtifactKind, LocalStore, Tree, TreeEntry},
};

/// What became of added data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The pointer with its files.
    pub tracked: Tracked,
    /// The pointer file was written; false when nothing had changed.
    pub changed: bool,
    /// The `.gitignore` got a line.
    pub ignored: bool,
}

/// A place for versioned data in a project.
pub(super) struct Place {
    /// Absolute, without links on the way.
    pub(super) data: PathBuf,
    /// The last part.
    pub(super) name: String,
}

fn refuse(path: &Path, reason: &str, hint: Option<&str>) -> TrackError {
    TrackError::Untrackable {
        path: path.to_owned(),
        reason: reason.to_owned(),
        hint: hint.map(str::to_owned),
    }
}

impl Place {
    /// Checks that data at a path can be tracked, whether it is there yet or not. `root` is the project's.
    pub(super) fn find(root: &Path, path: &Path) -> Result<Self, TrackError> {
        let refuse = |reason: &str, hint: Option<&str>| refuse(path, reason, hint);
        let is_link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
        if is_link {
            return Err(refuse("it is a symbolic link", Some("track what it leads to, where that is")));
        }
        let data = match fs::canonicalize(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(root);
                let parent = fs::canonicalize(parent).map_err(TrackError::io("read", parent))?;
                parent.join(path.file_name().unwrap_or_default())
            }
            data => data.map_err(TrackError::io("read", path))?,
        };
        let top = fs::canonicalize(root).map_err(TrackError::io("read", root))?;
        if !data.starts_with(&top) || data == top {
            return Err(refuse("it does not lie inside of the project", None));
        }
        let name = data.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| refuse("its name is not UTF-8", None))?.to_owned();
        if name.ends_with(".dvc") || name == ".gitignore" {
            return Err(refuse("it is a file that versioning itself needs", None));
        }
        if let Some(above) = data
            .ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(&top))
            .find(|above| Pointer::file_of(above).is_file())
        {
            let above = above.strip_prefix(&top).unwrap_or(above).display().to_string();
            return Err(refuse(
                &format!("it is part of {above}, which is tracked as a whole"),
                Some(&format!("add {above} to take its new state")),
            ));
        }
        check_git(&data, &refuse)?;
        Ok(Self { data, name })
    }
}

/// Stores a file or folder of the work tree and writes its pointer file. The data stays where it is. `root` is the project's.
pub fn add(root: &Path, path: &Path, store: &LocalStore) -> Result<Added, TrackError> {
    fs::symlink_metadata(path).map_err(TrackError::io("read", path))?;
    let Place { data, name } = Place::find(root, path)?;
    let file = Pointer::file_of(&data);
    let old = if file.is_file() { Some(Tracked::read(&file)?) } else { None };
    if let Some(tracked) = old
        && state(&tracked, store)? == State::Same
        && is_stored(&tracked, store)?
    {
        let ignored = ignore(&data)?;
        return Ok(Added { tracked, changed: false, ignored });
    }
    let mut pointer = take(&data, store)?;
    pointer.path = name;
    // Ignored before git can see it as new.
    let ignored = ignore(&data)?;
    let changed = pointer.write(&file)?;
    Ok(Added { tracked: Tracked { file, data, pointer }, changed, ignored })
}

/// Stores a file or folder, which stays where it is. What comes of it has no path yet.
pub(super) fn take(data: &Path, store: &LocalStore) -> Result<Pointer, TrackError> {
    let meta = fs::symlink_metadata(data).map_err(TrackError::io("read", data))?;
    if meta.is_dir() { add_folder(data, store) } else { add_file(data, &meta, store) }
}

/// The store has all that a pointer names.
fn is_stored(tracked: &Tracked, store: &LocalStore) -> Result<bool, TrackError> {
    let name = tracked.pointer.name;
    match store.alias(&name.md5, name.folder)? {
        Some(alias) => Ok(store.missing(&alias.artifact)?.is_empty()),
        None => Ok(false),
    }
}

fn check_git(data: &Path, refuse: &impl Fn(&str, Option<&str>) -> TrackError) -> Result<(), TrackError> {
    let Ok(repository) = Repository::discover(data.parent().unwrap_or(data)) else { return Ok(()) };
    let Some(top) = repository.workdir().and_then(|top| fs::canonicalize(top).ok()) else { return Ok(()) };
    let Ok(relative) = data.strip_prefix(&top) else { return Ok(()) };
    let index = repository.index()?;
    let bytes = relative.as_os_str().as_encoded_bytes();
    let inside =
        |path: &[u8]| path.strip_prefix(bytes).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
    if index.iter().any(|entry| inside(&entry.path)) {
        let path = relative.display();
        return Err(refuse(
            "git tracks it already",
            Some(&format!("take it out of git first: git rm -r --cached '{path}'")),
        ));
    }
    Ok(())
}

fn add_file(data: &Path, meta: &fs::Metadata, store: &LocalStore) -> Result<Pointer, TrackError> {
    let (digest, md5) = store.keep_with_md5(data)?;
    let artifact = Artifact { kind: ArtifactKind::File, digest, files: 1, bytes: digest.size() };
    store.put_alias(&md5, false, &Alias { artifact, listing: None })?;
    Ok(Pointer {
        name: ObjectName { md5, folder: false },
        size: Some(digest.size()),
        files: None,
        executable: meta.permissions().mode() & 0o100 != 0,
        path: String::new(),
    })
}

fn add_folder(data: &Path, store: &LocalStore) -> Result<Pointer, TrackError> {
    let files = store.files_below(data)?;
    if let Some((_, path)) = files.iter().find(|(path, _)| path.rsplit('/').next() == Some(".dvcignore")) {
        return Err(TrackError::Untrackable {
            path: path.clone(),
            reason: "rules for what DVC leaves out are not read inside of tracked data".to_owned(),
            hint: Some("move the file above the folder, and what it names out of the folder".to_owned()),
        });
    }
    let kept = files
        .par_iter()
        .map(|(path, file)| store.keep_with_md5(file).map(|kept| (path.clone(), kept)))
        .collect::<Result<Vec<_>, _>>()?;
    let (artifact, name) = store_folder(store, kept)?;
    Ok(Pointer {
        name,
        size: Some(artifact.bytes),
        files: Some(artifact.files),
        executable: false,
        path: String::new(),
    })
}

/// Stores a folder whose files are stored already: its listing as we have it, and as DVC has it.
pub(super) fn store_folder(
    store: &LocalStore,
    files: Vec<(String, (Digest, Md5))>,
) -> Result<(Artifact, ObjectName), TrackError> {
    let (mut ours, mut theirs) = (Vec::with_capacity(files.len()), Vec::with_capacity(files.len()));
    for (path, (digest, md5)) in files {
        theirs.push(DirEntry { path: path.clone(), md5 });
        ours.push(TreeEntry { path, digest, executable: false });
    }
    let (tree, listing) = (Tree::new(ours), DirListing::new(theirs));
    store.put(&tree.encode())?;
    let artifact = tree.artifact();
    let bytes = listing.encode();
    let name = ObjectName { md5: Md5::of(&bytes), folder: true };
    let blob = store.put(&bytes)?;
    store.put_alias(&name.md5, true, &Alias { artifact, listing: Some(blob) })?;
    Ok((artifact, name))
}
