//! Packs on their way to a remote, and the indexes behind them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{
    Catalog, Grain, Hash,
    builder::{Batch, Builder},
    index::{Index, PackEntry},
    index_key,
    load::Fresh,
    pack_key,
};
use crate::{
    digest::Digest,
    remote::{RemoteError, Session, TransferEvent, layout, session::blocking},
    store::LocalStore,
};

/// Packs in memory at once: one that is being filled and one that is being sent.
const PACKS_AT_ONCE: usize = 2;
/// An index is written after so many packs, so that a push that is stopped has lost no more than these.
const PACKS_AN_INDEX: usize = 16;
/// And when it has so many bytes.
const INDEX_SIZE: usize = 16 << 20;

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Bytes of packs and indexes.
    pub(super) bytes: u64,
    /// Packs that are there now, whoever sent them.
    pub(super) packs: Vec<Hash>,
}

impl Session {
    /// Brings blobs to the remote, in this order, but for chunks that it has; gives the bytes that were sent.
    pub(in crate::remote) async fn send_packed(
        self: &Arc<Self>,
        store: &LocalStore,
        blobs: Vec<(Digest, Grain)>,
    ) -> Result<u64, RemoteError> {
        if blobs.is_empty() {
            return Ok(0);
        }
        let (catalog, store) = (self.catalog(Fresh::Now).await?, store.clone());
        let finished = blobs.len();
        let sent = self.send_packs(catalog, move |builder| builder.add_all(&store, &blobs)).await?;
        (0..finished).for_each(|_| self.tell(TransferEvent::Finished));
        Ok(sent.bytes)
    }

    /// Sends the packs that `work` fills, then the indexes that name them; gives what was sent.
    pub(super) async fn send_packs(
        self: &Arc<Self>,
        catalog: Arc<Catalog>,
        work: impl FnOnce(&mut Builder<'_>) -> Result<(), RemoteError> + Send + 'static,
    ) -> Result<Sent, RemoteError> {
        // A push that was stopped may have sent some of them.
        let there = self.named(layout::PACKS).await?;
        let (sender, mut batches) = mpsc::channel::<(Batch, OwnedSemaphorePermit)>(1);
        let (room, runtime) = (Arc::new(Semaphore::new(PACKS_AT_ONCE)), Handle::current());
        let filling = tokio::spawn(blocking(move || {
            let mut place = runtime.block_on(Arc::clone(&room).acquire_owned()).ok();
            let mut builder = Builder::new(&catalog, |batch| {
                if let Some(place) = place.take()
                    && sender.blocking_send((batch, place)).is_err()
                {
                    // Whoever sends them has failed, and says why.
                    return Err(RemoteError::Stopped);
                }
                place = runtime.block_on(Arc::clone(&room).acquire_owned()).ok();
                Ok(())
            });
            work(&mut builder)?;
            builder.flush()
        }));
        let mut sent = Sent::default();
        let mut index = Index::default();
        let sending = async {
            while let Some((batch, _place)) = batches.recv().await {
                sent.bytes += self.send_pack(&batch, &there).await?;
                if let Some((pack, _, chunks)) = batch.pack {
                    sent.packs.push(pack.hash);
                    index.add(pack, chunks);
                }
                index.recipes.extend(batch.recipes);
                if index.packs.len() >= PACKS_AN_INDEX || index.len() >= INDEX_SIZE {
                    let written = self.send_index(std::mem::take(&mut index)).await?;
                    sent.bytes += written.map_or(0, |digest| digest.size());
                }
            }
            Ok::<_, RemoteError>(())
        };
        let sending = sending.await;
        drop(batches);
        let filled = filling.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        sending?;
        filled?;
        let written = self.send_index(index).await?;
        sent.bytes += written.map_or(0, |digest| digest.size());
        Ok(sent)
    }

    /// Sends a pack unless it is there; gives the bytes that were sent.
    async fn send_pack(
        self: &Arc<Self>,
        batch: &Batch,
        there: &BTreeMap<Hash, u64>,
    ) -> Result<u64, RemoteError> {
        let Some((PackEntry { hash, size }, bytes, _)) = &batch.pack else {
            self.tell(TransferEvent::Moved { bytes: batch.raw });
            return Ok(0);
        };
        if there.get(hash) == Some(&u64::from(*size)) {
            self.tell(TransferEvent::Moved { bytes: batch.raw });
            return Ok(0);
        }
        // What is told counts the blobs' bytes, of which the pack has fewer.
        let (raw, size, stored) = (batch.raw, u64::from(*size), AtomicU64::new(0));
        let progress = Arc::new(stored);
        let session = Arc::clone(self);
        let told = move |arrived: u64| {
            let share = |stored: u64| (u128::from(raw) * u128::from(stored) / u128::from(size)) as u64;
            let before = progress.fetch_add(arrived, Ordering::Relaxed);
            session.tell(TransferEvent::Moved { bytes: share(before + arrived) - share(before) });
        };
        self.write_object(&pack_key(hash), bytes.clone(), told).await?;
        Ok(size)
    }

    /// Writes an index, once the packs that it names are safe; none when it would say nothing.
    pub(super) async fn send_index(self: &Arc<Self>, index: Index) -> Result<Option<Digest>, RemoteError> {
        if index.is_empty() {
            return Ok(None);
        }
        self.ask(0, |objects| objects.settle()).await?;
        let bytes = blocking(move || index.encode()).await;
        let digest = Digest::of(&bytes);
        self.write_object(&index_key(digest.hash()), Bytes::from(bytes.clone()), |_| {}).await?;
        self.ask(0, |objects| objects.settle()).await?;
        self.keep_copy(digest.hash(), bytes).await;
        Ok(Some(digest))
    }
}
