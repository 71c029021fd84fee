//! Results and all they lead to, from a remote into the store.

use std::{collections::BTreeSet, sync::Arc};

use super::{RemoteError, Session, TransferEvent, layout, session::blocking};
use crate::{
    digest::Digest,
    store::{Artifact, ArtifactKind, Entry, LocalStore, Tree},
};

/// What a fetch brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Blobs that came.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Session {
    /// Brings a result with all it leads to into the store, the result last. None when the remote has none; an error when it has one
    /// whose bytes are gone or wrong.
    pub async fn fetch_result(
        self: &Arc<Self>,
        store: &LocalStore,
        key: &Digest,
    ) -> Result<Option<Fetched>, RemoteError> {
        match self.read_entry(key).await? {
            Some(entry) => self.fetch_entry(store, key, entry).await.map(Some),
            None => Ok(None),
        }
    }

    /// Brings all that a result leads to, and then the result.
    pub(super) async fn fetch_entry(
        self: &Arc<Self>,
        store: &LocalStore,
        key: &Digest,
        entry: Entry,
    ) -> Result<Fetched, RemoteError> {
        let fetched = self.fetch_artifacts(store, &entry.artifacts).await?;
        let (store, key) = (store.clone(), *key);
        blocking(move || store.put_entry(&key, &entry)).await?;
        Ok(fetched)
    }

    /// Brings artifacts into the store.
    pub async fn fetch_artifacts(
        self: &Arc<Self>,
        store: &LocalStore,
        artifacts: &[Artifact],
    ) -> Result<Fetched, RemoteError> {
        let trees: BTreeSet<Digest> = artifacts
            .iter()
            .filter(|artifact| artifact.kind == ArtifactKind::Tree)
            .map(|artifact| artifact.digest)
            .collect();
        let mut fetched = self.fetch_blobs(store, &trees).await?;
        let mut blobs: BTreeSet<Digest> = artifacts.iter().map(|artifact| artifact.digest).collect();
        for tree in &trees {
            let (store, tree) = (store.clone(), *tree);
            let listing = blocking(move || store.tree(&tree)).await?;
            blobs.extend(listing.entries().iter().map(|entry| entry.digest));
        }
        let files = self.fetch_blobs(store, &blobs).await?;
        fetched.blobs += files.blobs;
        fetched.bytes += files.bytes;
        Ok(fetched)
    }

    pub(super) async fn fetch_blobs(
        self: &Arc<Self>,
        store: &LocalStore,
        blobs: &BTreeSet<Digest>,
    ) -> Result<Fetched, RemoteError> {
        let missing: Vec<Digest> = blobs.iter().copied().filter(|digest| !store.is_sound(digest)).collect();
        let fetched = Fetched { blobs: missing.len() as u64, bytes: missing.iter().map(Digest::size).sum() };
        if fetched.blobs > 0 {
            self.tell(TransferEvent::Planned { objects: fetched.blobs, bytes: fetched.bytes });
        }
        self.bring(store, missing).await?;
        Ok(fetched)
    }

    /// Whether the remote has what a result leads to: files, and listings of folders. What a listing names is not asked for one by
    /// one, as it was there before the listing came.
    pub(super) async fn has_artifacts(self: &Arc<Self>, entry: &Entry) -> Result<bool, RemoteError> {
        for artifact in &entry.artifacts {
            if !self.has_blob(&artifact.digest).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The remote's result of a key.
    pub(super) async fn read_entry(&self, key: &Digest) -> Result<Option<Entry>, RemoteError> {
        let object = layout::result(key);
        let bytes = match self.ask(0, |objects| objects.get(&object, None)).await {
            Ok(bytes) => bytes,
            Err(RemoteError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| RemoteError::Format {
            place: self.place(),
            key: object,
            what: "an action result",
            reason: error.to_string(),
        })
    }

    /// A folder's listing in the remote, checked.
    pub(super) async fn read_tree(self: &Arc<Self>, digest: &Digest) -> Result<Tree, RemoteError> {
        let bytes = self.read_blob(digest).await?;
        Tree::decode(&bytes).map_err(|reason| RemoteError::Format {
            place: self.place(),
            key: layout::blob(digest),
            what: "a folder's listing",
            reason,
        })
    }
}
