//! Locks between the processes that share a store. The system takes a lock back whatever way its process ends, so there is no
//! stale one.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{LocalStore, StoreError, local::make_parent};
use crate::digest::Digest;

/// A lock on the store as a whole, or on one action; given back when dropped.
#[derive(Debug)]
pub struct StoreLock {
    file: Option<File>,
    /// Removed with the lock: there is one for each action that ever runs.
    remove: Option<PathBuf>,
}

/// The right to carry out an action.
#[derive(Debug)]
pub enum Claim {
    /// It is ours until the lock is dropped.
    Ours(StoreLock),
    /// Another process has it.
    Theirs {
        /// What that process calls itself, if it has said so yet.
        holder: Option<String>,
    },
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        if let Some(path) = &self.remove {
            // While it is still ours; who has opened it already finds out by `is_same`.
            let _ = fs::remove_file(path);
        }
        if let Some(file) = &self.file {
            // Closing would do, but for a process that another thread is just starting: until it has become the other program
            // it holds a copy of the file, and the lock with it.
            let _ = file.unlock();
        }
    }
}

impl LocalStore {
    /// Keeps others from removing things while this process reads and adds some. Any number of processes may at once. None
    /// while one removes.
    pub fn share(&self) -> Result<Option<StoreLock>, StoreError> {
        let path = self.lock_folder().join("store");
        let file = match open(&path) {
            Ok(file) => file,
            // Nothing is removed from a store that can't be written.
            Err(error) if is_read_only(&error) => return Ok(Some(StoreLock { file: None, remove: None })),
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(StoreLock { file: Some(file), remove: None })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path)(error)),
        }
    }

    /// Has the store alone, for removing things. None while others work with it.
    pub fn alone(&self) -> Result<Option<StoreLock>, StoreError> {
        let path = self.lock_folder().join("store");
        let file = open(&path).map_err(StoreError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(StoreLock { file: Some(file), remove: None })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path)(error)),
        }
    }

    /// Claims an action, so that no two processes carry it out at once. `holder` is what the others are told.
    pub fn claim(&self, key: &Digest, holder: &str) -> Result<Claim, StoreError> {
        let path = self.lock_folder().join(format!("{}.action", key.hex()));
        loop {
            let mut file = open(&path).map_err(StoreError::io("open", &path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    // The name is only for people.
                    let _ = file.read_to_string(&mut text);
                    let holder = Some(text.trim().to_owned()).filter(|holder| !holder.is_empty());
                    return Ok(Claim::Theirs { holder });
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
            }
            if !is_same(&file, &path) {
                // Its last holder removed it between our opening and locking it: others lock another file by now.
                continue;
            }
            file.set_len(0)
                .and_then(|()| file.write_all(holder.as_bytes()))
                .map_err(StoreError::io("write", &path))?;
            return Ok(Claim::Ours(StoreLock { file: Some(file), remove: Some(path) }));
        }
    }

    fn lock_folder(&self) -> PathBuf {
        self.folder().join("locks-v1")
    }
}

fn open(path: &Path) -> io::Result<File> {
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_parent(path).map_err(|_| error)?;
            open()
        }
        other => other,
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn many_share_and_one_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let (one, two) = (store.share().unwrap().unwrap(), store.share().unwrap().unwrap());
        assert!(store.alone().unwrap().is_none());
        drop((one, two));
        let alone = store.alone().unwrap().unwrap();
        assert!(store.share().unwrap().is_none() && store.alone().unwrap().is_none());
        drop(alone);
        assert!(store.share().unwrap().is_some());
    }

    #[test]
    fn a_claim_names_its_holder_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let key = Digest::of(b"key");
        let Claim::Ours(lock) = store.claim(&key, "run 1").unwrap() else { panic!("it is free") };
        let Claim::Theirs { holder } = store.claim(&key, "run 2").unwrap() else { panic!("it is taken") };
        assert_eq!(holder.as_deref(), Some("run 1"));
        assert!(matches!(store.claim(&Digest::of(b"other"), "run 2").unwrap(), Claim::Ours(_)));
        drop(lock);
        assert_eq!(fs::read_dir(store.lock_folder()).unwrap().count(), 0);
        assert!(matches!(store.claim(&key, "run 2").unwrap(), Claim::Ours(_)));
    }

    #[test]
    fn two_never_hold_one_claim() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let (key, inside, got) = (Digest::of(b"key"), AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while got.load(Ordering::SeqCst) < 400 {
                        if let Claim::Ours(lock) = store.claim(&key, "x").unwrap() {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            got.fetch_add(1, Ordering::SeqCst);
                            assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                            drop(lock);
                        }
                    }
                });
            }
        });
    }
}
