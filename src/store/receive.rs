//! A blob that arrives in pieces, from several threads and, after a kill, from several processes one after the other.
//!
//! Beside the file `tmp/in-<name>` lies a list of the pieces that it has. The list may be wrong after a loss of power; the blob is
//! hashed whole before it gets its place, so that costs time and nothing else.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    ops::Range,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{LocalStore, StoreError, local::make_parent, seal::seal};
use crate::digest::Digest;

/// A blob that arrives in pieces.
#[derive(Debug)]
pub struct Incoming {
    size: u64,
    path: PathBuf,
    file: File,
    list: PathBuf,
    done: Mutex<(BTreeSet<(u64, u64)>, File)>,
}

impl LocalStore {
    /// Begins or goes on to receive `size` bytes that are known by `name`, which is made of letters and digits. None while another
    /// process receives the same: wait for that, or ask again.
    pub fn receive(&self, name: &str, size: u64) -> Result<Option<Incoming>, StoreError> {
        let path = self.folder().join("tmp").join(format!("in-{name}"));
        let list = path.with_extension("pieces");
        let file = open(&path)?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        // Between opening and locking it, another process may have finished with it.
        if !is_at(&file, &path) {
            return Ok(None);
        }
        file.set_len(size).map_err(StoreError::io("write", &path))?;
        let known = fs::read_to_string(&list).unwrap_or_default();
        let pieces = known.lines().filter_map(|line| {
            let (start, end) = line.split_once(' ')?;
            Some((start.parse().ok()?, end.strip_suffix('.')?.parse().ok()?))
        });
        let pieces = pieces.collect();
        let log =
            File::options().append(true).create(true).open(&list).map_err(StoreError::io("open", &list))?;
        Ok(Some(Incoming { size, path, file, list, done: Mutex::new((pieces, log)) }))
    }

    /// Gives what has arrived its place, once `check` has read it and said what it is; else all of it is dropped and the reason given.
    pub fn accept(
        &self,
        incoming: Incoming,
        check: impl FnOnce(&Path) -> std::io::Result<Result<Digest, String>>,
    ) -> Result<Result<Digest, String>, StoreError> {
        let Incoming { path, file, list, .. } = incoming;
        let found = check(&path).map_err(StoreError::io("read", &path))?;
        match &found {
            Ok(digest) => {
                let blob = self.blob_path(digest);
                make_parent(&blob)?;
                let protect =
                    file.set_permissions(fs::Permissions::from_mode(0o444)).and_then(|()| seal(&file));
                protect.map_err(StoreError::io("protect", &path))?;
                fs::rename(&path, &blob).map_err(StoreError::io("write", &blob))?;
            }
            Err(_) => fs::remove_file(&path).map_err(StoreError::io("remove", &path))?,
        }
        let _ = fs::remove_file(list);
        Ok(found)
    }
}

impl Incoming {
    /// Pieces that have not arrived, when all have this size.
    pub fn missing(&self, piece: u64) -> Vec<Range<u64>> {
        let size = self.size;
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        (0..size.div_ceil(piece))
            .map(|index| index * piece..((index + 1) * piece).min(size))
            .filter(|range| !done.0.contains(&(range.start, range.end)))
            .collect()
    }

    /// This piece has arrived.
    pub fn has(&self, piece: &Range<u64>) -> bool {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).0.contains(&(piece.start, piece.end))
    }

    /// Writes a piece.
    pub fn write(&self, start: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all_at(bytes, start).map_err(StoreError::io("write", &self.path))?;
        let end = start + bytes.len() as u64;
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // The full stop tells a whole line from a torn one.
        writeln!(done.1, "{start} {end}.").map_err(StoreError::io("write", &self.list))?;
        done.0.insert((start, end));
        Ok(())
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(StoreError::io("open", path))
}

fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(named)) = (file.metadata(), fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn goes_on_where_it_was_stopped_and_takes_only_what_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let bytes: Vec<u8> = (0..250u8).collect();
        let digest = Digest::of(&bytes);
        let receive = || store.receive("abc", 250).unwrap().unwrap();
        let check = |path: &Path| {
            let found = Digest::of_file(path)?;
            Ok(if found == digest { Ok(found) } else { Err(found.to_string()) })
        };
        let incoming = receive();
        assert!(store.receive("abc", 250).unwrap().is_none());
        incoming.write(100, &bytes[100..200]).unwrap();
        drop(incoming);
        // As a kill in the middle of a line leaves it.
        let list = folder.path().join("tmp/in-abc.pieces");
        File::options().append(true).open(list).unwrap().write_all(b"0 10").unwrap();
        let incoming = receive();
        assert_eq!(incoming.missing(100), [0..100, 200..250]);
        incoming.write(0, &bytes[..100]).unwrap();
        incoming.write(200, &[7; 50]).unwrap();
        assert!(store.accept(incoming, check).unwrap().is_err());
        assert!(!store.contains(&digest));
        let incoming = receive();
        assert_eq!(incoming.missing(100).len(), 3);
        incoming.write(0, &bytes).unwrap();
        assert_eq!(store.accept(incoming, check).unwrap(), Ok(digest));
        assert_eq!(store.read(&digest).unwrap(), bytes);
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    }
}
