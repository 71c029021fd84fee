//! The store in a folder of this machine: blobs.

use std::{
    fmt,
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::NamedTempFile;

use super::{Artifact, ArtifactKind, StoreError, Tree, seal::seal};
use crate::digest::Digest;

/// A store in a local folder. Safe to share between threads and processes: every write is atomic, and two writers of one
/// digest write the same bytes.
#[derive(Debug, Clone)]
pub struct LocalStore {
    folder: Arc<Path>,
    pub(super) hidden: Option<Hidden>,
}

/// Paths of the work tree that count as not there.
#[derive(Clone)]
pub struct Hidden(Arc<Hides>);

type Hides = dyn Fn(&Path, bool) -> bool + Send + Sync;

impl Hidden {
    /// Those for which this is true, given an absolute path without links and whether it is a folder. What is in a folder that is
    /// hidden is not asked for.
    pub fn new(hides: impl Fn(&Path, bool) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(hides))
    }

    /// True for a path that counts as not there.
    pub fn hides(&self, path: &Path, is_folder: bool) -> bool {
        (self.0)(path, is_folder)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hidden")
    }
}

/// Marks the folder as a cache for backup programs (<https://bford.info/cachedir/>).
const CACHEDIR_TAG: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Made by stagewright; see `stagewright gc`.\n";

impl LocalStore {
    /// Opens the store in `folder`, making what is not there yet.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        for name in ["blobs-v1", "actions-v1", "md5-v1", "index-v1", "tmp"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(StoreError::io("create", &path))?;
        }
        let tag = folder.join("CACHEDIR.TAG");
        if !tag.exists() {
            fs::write(&tag, CACHEDIR_TAG).map_err(StoreError::io("write", &tag))?;
        }
        Ok(Self { folder: folder.into(), hidden: None })
    }

    /// The store in `folder`, if there is one.
    pub fn open_existing(folder: &Path) -> Option<Self> {
        folder.join("actions-v1").is_dir().then(|| Self { folder: folder.into(), hidden: None })
    }

    /// The same store, to which some of the work tree is not there when it looks through folders of it.
    #[must_use]
    pub fn hiding(mut self, hidden: Hidden) -> Self {
        self.hidden = Some(hidden);
        self
    }

    /// The store's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a blob is or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.sharded("blobs-v1", &digest.hex(), "")
    }

    pub(super) fn sharded(&self, kind: &str, hex: &str, suffix: &str) -> PathBuf {
        let (shard, rest) = hex.split_at(2);
        self.folder.join(kind).join(shard).join(format!("{rest}{suffix}"))
    }

    /// True when the blob is there with the right size. Its bytes are not read.
    pub fn contains(&self, digest: &Digest) -> bool {
        fs::metadata(self.blob_path(digest)).is_ok_and(|meta| meta.len() == digest.size())
    }

    /// Stores bytes.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if !self.is_sound(&digest) {
            let mut file = self.temp_file()?;
            file.write_all(bytes).map_err(StoreError::io("write", file.path()))?;
            self.place(file, &digest)?;
        }
        Ok(digest)
    }

    /// Reads a blob whole, checking its digest.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(digest);
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => StoreError::Missing(*digest),
            _ => StoreError::Io { action: "read", path, source },
        })?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(StoreError::Damaged { digest: *digest, reason: format!("its content is {found}") });
        }
        Ok(bytes)
    }

    /// Reads a tree.
    pub fn tree(&self, digest: &Digest) -> Result<Tree, StoreError> {
        Tree::decode(&self.read(digest)?).map_err(|reason| StoreError::Damaged { digest: *digest, reason })
    }

    /// Blobs of an artifact that are not in the store, or are damaged; for a tree, its listing counts too.
    pub fn missing(&self, artifact: &Artifact) -> Result<Vec<Digest>, StoreError> {
        if !self.is_sound(&artifact.digest) {
            return Ok(vec![artifact.digest]);
        }
        match artifact.kind {
            ArtifactKind::File => Ok(Vec::new()),
            ArtifactKind::Tree => {
                let tree = self.tree(&artifact.digest)?;
                let blobs = tree.entries().iter().map(|entry| entry.digest);
                Ok(blobs.filter(|digest| !self.is_sound(digest)).collect())
            }
        }
    }

    pub(super) fn temp_file(&self) -> Result<NamedTempFile, StoreError> {
        let tmp = self.folder.join("tmp");
        NamedTempFile::new_in(&tmp).map_err(StoreError::io("create a file in", &tmp))
    }

    /// Renames a finished temporary file to its digest's place, read-only.
    pub(super) fn place(&self, file: NamedTempFile, digest: &Digest) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        make_parent(&path)?;
        let set = file.as_file().set_permissions(fs::Permissions::from_mode(0o444));
        set.and_then(|()| seal(file.as_file())).map_err(StoreError::io("protect", file.path()))?;
        file.persist(&path).map_err(|error| StoreError::Io { action: "write", path, source: error.error })?;
        Ok(())
    }

    /// Makes what was written so far survive a loss of power.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let folder = File::open(&self.folder).map_err(StoreError::io("open", &self.folder))?;
        rustix::fs::syncfs(&folder).map_err(|error| StoreError::io("sync", &self.folder)(error.into()))
    }
}

pub(super) fn make_parent(path: &Path) -> Result<(), StoreError> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(StoreError::io("create", parent)),
        None => Ok(()),
    }
}
