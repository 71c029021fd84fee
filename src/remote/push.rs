//! Results and all they lead to, from the store to a remote.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{
    RemoteError, Session, TransferEvent, layout,
    lease::Lease,
    objects::{Put, When},
    session::{blocking, each},
};
use crate::{
    digest::Digest,
    store::{ArtifactKind, Entry, LocalStore, StoreError},
};

/// What a push did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Results that the remote has now because of it.
    pub results: u64,
    /// Results that it had already.
    pub known_results: u64,
    /// Blobs sent.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that went to the remote for them; fewer where they were packed together or shared pieces with what was there.
    pub sent: u64,
    /// Blobs that were there already.
    pub known_blobs: u64,
    /// Keys whose result is not whole in this store, so that it was not pushed.
    pub incomplete: Vec<Digest>,
}

/// What a set of results consists of.
#[derive(Debug, Default)]
struct Load {
    entries: Vec<(Digest, Entry)>,
    blobs: BTreeSet<Digest>,
    trees: BTreeSet<Digest>,
    incomplete: Vec<Digest>,
}

impl Session {
    /// Brings the results of these keys to the remote: blobs first, listings of folders after them, results last, so that at no
    /// instant the remote has a result without all of its bytes. What is there is not sent again. Where the remote has another result
    /// of a key, that one stays if it is whole.
    pub async fn push(
        self: &Arc<Self>,
        store: &LocalStore,
        keys: Vec<Digest>,
    ) -> Result<Pushed, RemoteError> {
        self.begin_writing().await?;
        self.sharing(async |lease| self.push_under(store, keys, lease).await).await
    }

    async fn push_under(
        self: &Arc<Self>,
        store: &LocalStore,
        keys: Vec<Digest>,
        lease: &Lease,
    ) -> Result<Pushed, RemoteError> {
        let load = {
            let store = store.clone();
            blocking(move || load(&store, keys)).await?
        };
        let mut all = load.blobs.clone();
        all.extend(&load.trees);
        let present = self.present(&all).await?;
        let missing: Vec<Digest> = all.difference(&present).copied().collect();
        let bytes = missing.iter().map(Digest::size).sum();
        self.tell(TransferEvent::Planned { objects: missing.len() as u64, bytes });
        let (listings, files) = missing.iter().partition(|digest| load.trees.contains(digest));
        let sent = self.send(store, files, listings).await?;
        lease.check()?;
        let written = Arc::new(AtomicU64::new(0));
        let results = load.entries.len() as u64;
        each(load.entries, |(key, entry)| {
            let (session, written) = (Arc::clone(self), Arc::clone(&written));
            async move {
                if session.push_entry(&key, &entry).await? {
                    written.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        })
        .await?;
        self.ask(0, |objects| objects.settle()).await?;
        let written = written.load(Ordering::Relaxed);
        Ok(Pushed {
            results: written,
            known_results: results - written,
            blobs: missing.len() as u64,
            bytes,
            sent,
            known_blobs: present.len() as u64,
            incomplete: load.incomplete,
        })
    }

    /// True when the remote has this result now and had none that serves.
    async fn push_entry(self: &Arc<Self>, key: &Digest, entry: &Entry) -> Result<bool, RemoteError> {
        let object = layout::result(key);
        let encode = |error: serde_json::Error| RemoteError::Format {
            place: self.place(),
            key: object.clone(),
            what: "an action result",
            reason: error.to_string(),
        };
        let bytes: Bytes = serde_json::to_vec(entry).map_err(encode)?.into();
        // Not every server knows the condition, so look before asking for it.
        let mut there = self.head(&object).await?.is_some();
        if !there {
            let size = bytes.len() as u64;
            let put = self.ask(size, |objects| objects.put(&object, bytes.clone(), When::Absent)).await?;
            there = put == Put::Existed;
        }
        if !there {
            return Ok(true);
        }
        match self.read_entry(key).await {
            Ok(Some(theirs)) if theirs == *entry || self.is_whole(&theirs).await? => return Ok(false),
            // One that is damaged, gone or without its bytes serves nobody.
            Ok(_) | Err(RemoteError::Format { .. }) => {}
            Err(error) => return Err(error),
        }
        self.ask(bytes.len() as u64, |objects| objects.put(&object, bytes.clone(), When::Always)).await?;
        Ok(true)
    }

    /// All that a result leads to is there, as far as sizes tell.
    async fn is_whole(self: &Arc<Self>, entry: &Entry) -> Result<bool, RemoteError> {
        let mut wanted: BTreeSet<Digest> = BTreeSet::new();
        for artifact in &entry.artifacts {
            wanted.insert(artifact.digest);
            if artifact.kind == ArtifactKind::Tree {
                match self.read_tree(&artifact.digest).await {
                    Ok(tree) => wanted.extend(tree.entries().iter().map(|entry| entry.digest)),
                    Err(error) if error.is_about_one_object() => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(self.present(&wanted).await?.len() == wanted.len())
    }
}

fn load(store: &LocalStore, keys: Vec<Digest>) -> Result<Load, StoreError> {
    let mut load = Load::default();
    for key in keys.into_iter().collect::<BTreeSet<_>>() {
        let entry = match store.entry(&key) {
            Ok(Some(entry)) => entry,
            Ok(None) | Err(StoreError::Format { .. }) => {
                load.incomplete.push(key);
                continue;
            }
            Err(error) => return Err(error),
        };
        let (mut blobs, mut trees, mut whole) = (Vec::new(), Vec::new(), true);
        for artifact in &entry.artifacts {
            match store.missing(artifact) {
                Ok(missing) if missing.is_empty() => {}
                Ok(_) | Err(StoreError::Damaged { .. }) => {
                    whole = false;
                    break;
                }
                Err(error) => return Err(error),
            }
            match artifact.kind {
                ArtifactKind::File => blobs.push(artifact.digest),
                ArtifactKind::Tree => {
                    trees.push(artifact.digest);
                    blobs.extend(store.tree(&artifact.digest)?.entries().iter().map(|entry| entry.digest));
                }
            }
        }
        if whole {
            load.blobs.extend(blobs);
            load.trees.extend(trees);
            load.entries.push((key, entry));
        } else {
            load.incomplete.push(key);
        }
    }
    Ok(load)
}
