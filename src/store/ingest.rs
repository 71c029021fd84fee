//! From paths to artifacts: `ingest` stores what a stage wrote, `fingerprint` only says what a work-tree path is.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use walkdir::{DirEntry, WalkDir};

use super::{
    Artifact, ArtifactKind, Hidden, LocalStore, StoreError, Tree, TreeEntry, index::StatIndex,
    local::make_parent, seal::seal,
};
use crate::digest::{Digest, Md5};

impl LocalStore {
    /// Stores a file or folder and takes its content away: files are renamed into the store where both are on one file
    /// system, else copied. Symbolic links and special files are refused: their meaning would be lost.
    pub fn ingest(&self, path: &Path) -> Result<Artifact, StoreError> {
        let meta = fs::symlink_metadata(path).map_err(StoreError::io("read", path))?;
        if meta.is_file() {
            return self.ingest_file(path).map(file_artifact);
        }
        let files = list_files(path, Links::Refuse, None)?;
        let entries = files
            .par_iter()
            .map(|file| {
                let executable = file.executable;
                Ok(TreeEntry {
                    path: file.relative.clone(),
                    digest: self.ingest_file(&file.path)?,
                    executable,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let tree = Tree::new(entries);
        self.put(&tree.encode())?;
        Ok(tree.artifact())
    }

    fn ingest_file(&self, path: &Path) -> Result<Digest, StoreError> {
        let digest = Digest::of_file(path).map_err(StoreError::io("read", path))?;
        if self.is_sound(&digest) {
            return Ok(digest);
        }
        let blob = self.blob_path(&digest);
        make_parent(&blob)?;
        let mut from = fs::File::open(path).map_err(StoreError::io("read", path))?;
        let protect = from.set_permissions(fs::Permissions::from_mode(0o444)).and_then(|()| seal(&from));
        if protect.is_ok() && fs::rename(path, &blob).is_ok() {
            return Ok(digest);
        }
        let mut file = self.temp_file()?;
        std::io::copy(&mut from, file.as_file_mut()).map_err(StoreError::io("write", file.path()))?;
        // The copy is what will be kept, so it is what has to be right.
        let copied = Digest::of_file(file.path()).map_err(StoreError::io("read", file.path()))?;
        if copied != digest {
            return Err(changed(path));
        }
        self.place(file, &digest)?;
        Ok(digest)
    }

    /// What [`LocalStore::ingest`] would make of a file or folder. Stores and remembers nothing.
    pub fn identify(&self, path: &Path) -> Result<Artifact, StoreError> {
        let digest = |path: &Path| Digest::of_file(path).map_err(StoreError::io("read", path));
        if fs::symlink_metadata(path).map_err(StoreError::io("read", path))?.is_file() {
            return digest(path).map(file_artifact);
        }
        let files = list_files(path, Links::Refuse, None)?;
        let entry = |file: &FoundFile| {
            Ok(TreeEntry {
                path: file.relative.clone(),
                digest: digest(&file.path)?,
                executable: file.executable,
            })
        };
        let entries = files.par_iter().map(entry).collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Tree::new(entries).artifact())
    }

    /// Digest of a file or folder of the work tree, by the same rules as [`LocalStore::ingest`], without storing it.
    /// Links to files are followed. A file is read again only if its size, times or inode changed since it was last read.
    pub fn fingerprint(&self, path: &Path) -> Result<Artifact, StoreError> {
        Ok(self.survey(path)?.0)
    }

    /// As [`LocalStore::fingerprint`], with the listing of a folder.
    pub fn survey(&self, path: &Path) -> Result<(Artifact, Option<Tree>), StoreError> {
        let absolute = fs::canonicalize(path).map_err(StoreError::io("read", path))?;
        let mut index = StatIndex::load(self.folder(), &absolute);
        if absolute.is_file() {
            let digest = index.digests(&[(String::new(), absolute.clone())])?.remove(0);
            index.save()?;
            return Ok((file_artifact(digest), None));
        }
        let files = list_files(&absolute, Links::Follow, self.hidden.as_ref())?;
        let paths: Vec<(String, PathBuf)> =
            files.iter().map(|file| (file.relative.clone(), file.path.clone())).collect();
        let digests = index.digests(&paths)?;
        index.save()?;
        let entry = |(file, digest): (FoundFile, Digest)| TreeEntry {
            path: file.relative,
            digest,
            executable: file.executable,
        };
        let tree = Tree::new(files.into_iter().zip(digests).map(entry).collect());
        Ok((tree.artifact(), Some(tree)))
    }

    /// Stores the content of a work-tree file and leaves the file as it is. Gives its MD5 too, from the same reading.
    pub fn keep_with_md5(&self, path: &Path) -> Result<(Digest, Md5), StoreError> {
        let (md5, digest) = Md5::with_digest_of_file(path).map_err(StoreError::io("read", path))?;
        if self.is_sound(&digest) {
            return Ok((digest, md5));
        }
        let place = self.temp_file()?.into_temp_path();
        // A reflink takes no room, but its place must be free.
        fs::remove_file(&place).map_err(StoreError::io("write", &place))?;
        reflink_copy::reflink_or_copy(path, &place).map_err(StoreError::io("write", &place))?;
        // The copy is what will be kept, so it is what has to be right.
        if Digest::of_file(&place).map_err(StoreError::io("read", &place))? != digest {
            return Err(changed(path));
        }
        let blob = self.blob_path(&digest);
        make_parent(&blob)?;
        let copy = fs::File::open(&place).map_err(StoreError::io("read", &place))?;
        copy.set_permissions(fs::Permissions::from_mode(0o444))
            .and_then(|()| seal(&copy))
            .map_err(StoreError::io("protect", &place))?;
        place.persist(&blob).map_err(|error| StoreError::io("write", &blob)(error.error))?;
        Ok((digest, md5))
    }

    /// Files below a folder of the work tree, relative and absolute, sorted by path; links are followed.
    pub fn files_below(&self, folder: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
        let mut files: Vec<(String, PathBuf)> = list_files(folder, Links::Follow, None)?
            .into_iter()
            .map(|file| (file.relative, file.path))
            .collect();
        files.sort();
        Ok(files)
    }
}

fn changed(path: &Path) -> StoreError {
    StoreError::Unstorable { path: path.to_owned(), reason: "it changed while it was read".into() }
}

fn file_artifact(digest: Digest) -> Artifact {
    Artifact { kind: ArtifactKind::File, digest, files: 1, bytes: digest.size() }
}

pub(super) struct FoundFile {
    pub(super) relative: String,
    pub(super) path: PathBuf,
    pub(super) executable: bool,
}

#[derive(PartialEq)]
pub(super) enum Links {
    Refuse,
    Follow,
}

/// Files below a folder, but for those that are hidden.
pub(super) fn list_files(
    folder: &Path,
    links: Links,
    hidden: Option<&Hidden>,
) -> Result<Vec<FoundFile>, StoreError> {
    let mut files = Vec::new();
    let walk = WalkDir::new(folder).follow_links(links == Links::Follow).sort_by_file_name();
    let shown = |entry: &DirEntry| {
        let hides = hidden.is_some_and(|hidden| hidden.hides(entry.path(), entry.file_type().is_dir()));
        entry.depth() == 0 || !hides
    };
    for entry in walk.into_iter().filter_entry(shown) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            StoreError::Io { action: "read", path, source: error.into() }
        })?;
        let unstorable =
            |reason: &str| StoreError::Unstorable { path: entry.path().to_owned(), reason: reason.into() };
        let kind = entry.file_type();
        if kind.is_dir() {
            continue;
        }
        if kind.is_symlink() {
            return Err(unstorable("it is a symbolic link; write the file itself"));
        }
        if !kind.is_file() {
            return Err(unstorable("it is neither a file nor a folder"));
        }
        let relative = entry.path().strip_prefix(folder).ok().and_then(Path::to_str);
        let relative = relative.ok_or_else(|| unstorable("its name is not UTF-8"))?.to_owned();
        let meta = entry.metadata().map_err(|error| StoreError::io("read", entry.path())(error.into()))?;
        let executable = meta.permissions().mode() & 0o111 != 0;
        files.push(FoundFile { relative, path: entry.into_path(), executable });
    }
    Ok(files)
}
