//! What a stage had saved when it was cut off, so that another machine goes on from there.
//!
//! The bytes are blobs like any other; a document by the action's key says which. The last machine that was cut off wins.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use super::{RemoteError, Session, TransferEvent, layout, lease::Lease, session::blocking};
use crate::{
    digest::Digest,
    store::{Artifact, ArtifactKind, LocalStore, StoreError},
};

fn name(key: &Digest) -> String {
    let hex = key.hex();
    format!("checkpoints/{}/{}.json", &hex[..2], &hex[2..])
}

/// Nothing is in the folder, or there is none.
fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut items| items.next().is_none())
}

impl Session {
    /// Brings the checkpoint of an action to the remote; gives its size in bytes, none where there is nothing to bring. The folder stays as
    /// it is.
    pub async fn push_checkpoint(
        self: &Arc<Self>,
        store: &LocalStore,
        key: &Digest,
        folder: &Path,
    ) -> Result<Option<u64>, RemoteError> {
        if is_empty(folder) {
            return Ok(None);
        }
        self.begin_writing().await?;
        let (artifact, blobs) = {
            let (store, folder) = (store.clone(), folder.to_owned());
            blocking(move || take(&store, &folder)).await?
        };
        self.sharing(async |lease| self.push_checkpoint_under(store, key, &artifact, blobs, lease).await)
            .await?;
        Ok(Some(artifact.bytes))
    }

    async fn push_checkpoint_under(
        self: &Arc<Self>,
        store: &LocalStore,
        key: &Digest,
        artifact: &Artifact,
        blobs: BTreeSet<Digest>,
        lease: &Lease,
    ) -> Result<(), RemoteError> {
        let present = self.present(&blobs).await?;
        let missing: Vec<Digest> = blobs.difference(&present).copied().collect();
        let bytes = missing.iter().map(Digest::size).sum();
        self.tell(TransferEvent::Planned { objects: missing.len() as u64, bytes });
        self.send(store, missing, Vec::new()).await?;
        let text = serde_json::to_vec(artifact).map_err(|error| RemoteError::Format {
            place: self.place(),
            key: layout::blob(&artifact.digest),
            what: "a checkpoint",
            reason: error.to_string(),
        })?;
        lease.check()?;
        self.put_document(&name(key), text).await
    }

    /// Brings the checkpoint of an action into a folder that has none; false where the remote has none either.
    pub async fn fetch_checkpoint(
        self: &Arc<Self>,
        store: &LocalStore,
        key: &Digest,
        folder: &Path,
    ) -> Result<bool, RemoteError> {
        if !is_empty(folder) {
            return Ok(false);
        }
        let Some(text) = self.document(&name(key)).await? else { return Ok(false) };
        // What a later release wrote is no use to this one.
        let Ok(artifact) = serde_json::from_slice::<Artifact>(&text) else { return Ok(false) };
        if artifact.kind != ArtifactKind::Tree {
            return Ok(false);
        }
        self.fetch_artifacts(store, &[artifact]).await?;
        let (store, folder) = (store.clone(), folder.to_owned());
        blocking(move || store.replace(&artifact, &folder)).await?;
        Ok(true)
    }
}

/// Stores a folder and leaves it as it is; gives what it consists of.
fn take(store: &LocalStore, folder: &Path) -> Result<(Artifact, BTreeSet<Digest>), StoreError> {
    // What is stored is taken away from where it lies.
    let artifact = store.ingest(folder)?;
    store.replace(&artifact, folder)?;
    let tree = store.tree(&artifact.digest)?;
    let blobs = tree.entries().iter().map(|entry| entry.digest).chain([artifact.digest]);
    Ok((artifact, blobs.collect()))
}
