//! The indexes of a remote, kept beside the store so that each is fetched once.
//!
//! A copy is used only while the remote lists its original, and only when its bytes have the SHA-256 that is its name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Mutex;

use super::{Catalog, Hash, LARGEST_INDEX, index::Index, index_key};
use crate::{
    digest::Digest,
    remote::{Key, RemoteError, Session, TransferEvent, layout, session::blocking},
};

/// How well the catalog has to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::remote) enum Fresh {
    /// As it was when last looked at; for reading, where a chunk that is not there any more shows.
    Enough,
    /// As it is now, with packs that the remote lists with their sizes; for leaving out what is there already.
    Now,
}

/// What a session knows of the indexes.
#[derive(Debug, Default)]
pub(in crate::remote) struct Known {
    state: Mutex<Option<Loaded>>,
}

#[derive(Debug, Clone)]
struct Loaded {
    indexes: BTreeMap<Hash, u64>,
    catalog: Arc<Catalog>,
}

impl Session {
    /// All indexes of the remote together.
    pub(in crate::remote) async fn catalog(
        self: &Arc<Self>,
        fresh: Fresh,
    ) -> Result<Arc<Catalog>, RemoteError> {
        let mut state = self.known().state.lock().await;
        if let (Some(loaded), Fresh::Enough) = (&*state, fresh) {
            return Ok(Arc::clone(&loaded.catalog));
        }
        let indexes = self.named(layout::INDEXES).await?;
        let packs = self.named(layout::PACKS).await?;
        let catalog = match &*state {
            Some(loaded) if loaded.indexes == indexes => Arc::clone(&loaded.catalog),
            _ => Arc::new(self.load(&indexes).await?),
        };
        catalog.only(&packs);
        *state = Some(Loaded { indexes, catalog: Arc::clone(&catalog) });
        Ok(catalog)
    }

    /// Objects below a prefix whose names are a SHA-256, with their sizes.
    pub(super) async fn named(&self, prefix: &str) -> Result<BTreeMap<Hash, u64>, RemoteError> {
        let listed = self.list(prefix).await?;
        Ok(listed
            .into_iter()
            .filter_map(|(key, size)| Some((layout::hash_of(&key, prefix)?, size)))
            .collect())
    }

    async fn load(self: &Arc<Self>, indexes: &BTreeMap<Hash, u64>) -> Result<Catalog, RemoteError> {
        let mut catalog = Catalog::default();
        for (hash, size) in indexes {
            match self.read_index(hash, *size).await {
                Ok(index) => catalog.add(index),
                // Its place was taken by another one since the list was made, or it is of no use: the others count without it.
                Err(error) if error.is_about_one_object() => {
                    self.tell(TransferEvent::Distrusted { what: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        self.drop_copies(indexes).await;
        Ok(catalog)
    }

    pub(super) async fn read_index(self: &Arc<Self>, hash: &Hash, size: u64) -> Result<Index, RemoteError> {
        let copy = self.copies().map(|folder| folder.join(hex::encode(hash)));
        if let Some(copy) = copy.clone() {
            let wanted = *hash;
            let known = blocking(move || read_copy(&copy, &wanted)).await;
            if let Some(index) = known.and_then(|bytes| Index::decode(&bytes).ok()) {
                return Ok(index);
            }
        }
        self.fetch_index(hash, size).await
    }

    /// The index itself, not a copy of it.
    pub(super) async fn fetch_index(self: &Arc<Self>, hash: &Hash, size: u64) -> Result<Index, RemoteError> {
        let key = index_key(hash);
        if size > LARGEST_INDEX {
            return Err(self.bad_index(&key, format!("{size} bytes are too many")));
        }
        let mut bytes = self.read_object(&key, size).await?;
        if Digest::of(&bytes).hash() != hash {
            // It may have been damaged on the way.
            bytes = self.read_object(&key, size).await?;
        }
        let found = Digest::of(&bytes);
        if found.hash() != hash {
            return Err(self.corrupt(&key, format!("its content is {found}")));
        }
        let index = Index::decode(&bytes).map_err(|reason| self.bad_index(&key, reason))?;
        self.keep_copy(hash, bytes).await;
        Ok(index)
    }

    fn bad_index(&self, key: &Key, reason: String) -> RemoteError {
        RemoteError::Format { place: self.place(), key: key.clone(), what: "an index of packs", reason }
    }

    /// Keeps a copy of an index; that it can't be kept costs time the next time.
    pub(super) async fn keep_copy(&self, hash: &Hash, bytes: Vec<u8>) {
        let Some(folder) = self.copies() else { return };
        let name = hex::encode(hash);
        let kept = blocking(move || write_copy(&folder, &name, &bytes)).await;
        if let Err(error) = kept {
            tracing::debug!(%error, "no copy of the index is kept");
        }
    }

    async fn drop_copies(&self, indexes: &BTreeMap<Hash, u64>) {
        let Some(folder) = self.copies() else { return };
        let known: BTreeSet<String> = indexes.keys().map(hex::encode).collect();
        blocking(move || {
            for item in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = item.file_name();
                // What begins with a full stop is still being written.
                if name.to_str().is_some_and(|name| !name.starts_with('.') && !known.contains(name)) {
                    // It is only a copy, and another process may have removed it.
                    let _ = fs::remove_file(item.path());
                }
            }
        })
        .await;
    }

    fn copies(&self) -> Option<PathBuf> {
        let place = Digest::of(self.place().as_bytes()).short();
        self.copies_in().map(|folder| folder.join(place))
    }
}

fn read_copy(path: &Path, hash: &Hash) -> Option<Vec<u8>> {
    fs::read(path).ok().filter(|bytes| Digest::of(bytes).hash() == hash)
}

fn write_copy(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(folder.join(name)).map(drop).map_err(|error| error.error)
}
