//! Reading everything in a remote again, and mending what this machine's store can.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Key, PART_SIZE, RemoteError, Session, TransferEvent,
    layout::{self, Arrangement},
    lease::Lease,
    objects::Listed,
    reach::Reach,
    session::{blocking, each},
};
use crate::{
    digest::{Digest, Hasher},
    store::LocalStore,
};

/// What was found in a remote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteVerify {
    /// Blobs or packs that were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Results, names of versioned data and checkpoints that were followed.
    pub followed: u64,
    /// What is wrong, or was before it was mended.
    pub damage: Vec<RemoteDamage>,
    /// Blobs that were sent again from this store.
    pub mended: u64,
    /// What still leads to blobs that are not whole in the remote, with one of them.
    pub lost: Vec<(Key, Digest)>,
}

/// One fault of a remote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteDamage {
    /// An object's bytes are not what its name says, or not what it should be.
    #[error("{key} {found}")]
    Object {
        /// The object.
        key: Key,
        /// What is wrong with it.
        found: String,
    },
    /// Something leads to a blob that the remote does not have whole.
    #[error("{key} leads to the blob {blob}, which is not there whole")]
    Missing {
        /// A result, a name of versioned data or a checkpoint.
        key: Key,
        /// The blob.
        blob: Digest,
    },
}

impl Session {
    /// Hashes everything and follows every result to its blobs. With a store, blobs that are damaged or missing are sent again from it,
    /// and packs are gathered anew without what is damaged; that waits for pushes that are going on.
    /// Copies that are nearer are passed by.
    pub async fn verify(
        self: &Arc<Self>,
        mend_from: Option<&LocalStore>,
    ) -> Result<RemoteVerify, RemoteError> {
        if let Some(beneath) = self.beneath() {
            return Box::pin(Arc::new(beneath).verify(mend_from)).await;
        }
        let Some(store) = mend_from else {
            let (report, _) = self.look_through(None).await?;
            return Ok(report);
        };
        self.begin_writing().await?;
        let lease = self.alone().await?;
        let done = async {
            let (mut report, reach) = self.look_through(Some(&lease)).await?;
            lease.check()?;
            let lost: BTreeSet<Digest> = report.lost.iter().map(|(_, blob)| *blob).collect();
            let from = store.clone();
            let (files, listings) = blocking(move || {
                let here = reach.blobs.iter().filter(|blob| lost.contains(blob) && from.is_sound(blob));
                here.copied().partition::<Vec<_>, _>(|blob| !reach.listings.contains(blob))
            })
            .await;
            report.mended = (files.len() + listings.len()) as u64;
            let bytes = files.iter().chain(&listings).map(Digest::size).sum();
            self.tell(TransferEvent::Planned { objects: report.mended, bytes });
            let sent: HashSet<Digest> = files.iter().chain(&listings).copied().collect();
            self.send(store, files, listings).await?;
            report.lost.retain(|(_, blob)| !sent.contains(blob));
            Ok(report)
        };
        let done = done.await;
        lease.release().await;
        done
    }

    /// Reads everything; under a lease, takes out of the indexes what is not so.
    async fn look_through(
        self: &Arc<Self>,
        lease: Option<&Lease>,
    ) -> Result<(RemoteVerify, Reach), RemoteError> {
        let mut report = RemoteVerify::default();
        let sound: Box<dyn Fn(&Digest) -> bool + Send> = match self.arrangement().await? {
            Arrangement::Native => {
                let sound = self.hash_blobs(&mut report).await?;
                Box::new(move |blob| sound.get(&layout::blob(blob)) == Some(&blob.size()))
            }
            Arrangement::Packed => {
                let catalog = self.audit(&mut report, lease).await?;
                Box::new(move |blob| catalog.has(blob))
            }
        };
        let mut named = Vec::new();
        for prefix in [layout::RESULTS, layout::ALIASES, layout::CHECKPOINTS] {
            named.extend(self.list_all(prefix).await?.into_iter().map(|object| object.key));
        }
        report.followed = named.len() as u64;
        let mut reach = self.reach(named).await?;
        for (key, found) in std::mem::take(&mut reach.unreadable) {
            report.damage.push(RemoteDamage::Object { key, found });
        }
        for (key, blobs) in &reach.by {
            for blob in blobs.iter().filter(|blob| !sound(blob)) {
                report.damage.push(RemoteDamage::Missing { key: key.clone(), blob: *blob });
                report.lost.push((key.clone(), *blob));
            }
        }
        Ok((report, reach))
    }

    /// Hashes every blob of the layout `native`; those that are right, with their sizes.
    async fn hash_blobs(
        self: &Arc<Self>,
        report: &mut RemoteVerify,
    ) -> Result<BTreeMap<Key, u64>, RemoteError> {
        let blobs = self.list_all(layout::BLOBS).await?;
        report.objects = blobs.len() as u64;
        report.bytes = blobs.iter().map(|blob| blob.size).sum();
        self.tell(TransferEvent::Planned { objects: report.objects, bytes: report.bytes });
        let found = Arc::new(Mutex::new((BTreeMap::new(), Vec::new())));
        each(blobs, |Listed { key, size, .. }| {
            let (session, found) = (Arc::clone(self), Arc::clone(&found));
            async move {
                let digest = session.hash_object(&key, size).await?;
                session.tell(TransferEvent::Finished);
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                if layout::blob(&digest) == key {
                    found.0.insert(key, size);
                } else {
                    let what = format!("holds other bytes than its name says ({digest})");
                    found.1.push(RemoteDamage::Object { key, found: what });
                }
                Ok(())
            }
        })
        .await?;
        let (sound, damage) = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        report.damage.extend(damage);
        Ok(sound)
    }

    async fn hash_object(&self, key: &Key, size: u64) -> Result<Digest, RemoteError> {
        let mut hasher = Hasher::new();
        for start in (0..size).step_by(PART_SIZE as usize) {
            let range = start..(start + PART_SIZE).min(size);
            let _memory = self.memory(range.end - range.start).await;
            let piece =
                self.ask(range.end - range.start, |objects| objects.get(key, Some(range.clone()))).await?;
            self.tell(TransferEvent::Moved { bytes: piece.len() as u64 });
            hasher = blocking(move || {
                hasher.update(&piece);
                hasher
            })
            .await;
        }
        Ok(hasher.finish())
    }
}
