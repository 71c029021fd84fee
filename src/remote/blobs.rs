//! Blobs in a remote, however it is arranged.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    RemoteError, Session,
    layout::{self, Arrangement},
    packed::{Fresh, Grain},
    session::each,
};
use crate::{digest::Digest, store::LocalStore};

/// Bytes of a listing or result above which it is a lie: a listing of a million files has about 200 MB.
const LARGEST_LISTING: u64 = 1 << 30;

impl Session {
    /// Those of the blobs that are there, as far as names and sizes tell.
    pub(super) async fn present(
        self: &Arc<Self>,
        blobs: &BTreeSet<Digest>,
    ) -> Result<BTreeSet<Digest>, RemoteError> {
        match self.arrangement().await? {
            Arrangement::Native => {
                let sizes = self.sizes(layout::BLOBS, blobs.iter().map(layout::blob).collect()).await?;
                let there = |digest: &Digest| sizes.get(&layout::blob(digest)) == Some(&digest.size());
                Ok(blobs.iter().copied().filter(there).collect())
            }
            Arrangement::Packed => {
                let catalog = self.catalog(Fresh::Now).await?;
                Ok(blobs.iter().copied().filter(|digest| catalog.has(digest)).collect())
            }
        }
    }

    /// Whether a blob is there, as far as its name and size tell.
    pub(super) async fn has_blob(self: &Arc<Self>, digest: &Digest) -> Result<bool, RemoteError> {
        match self.arrangement().await? {
            Arrangement::Native => Ok(self.head(&layout::blob(digest)).await? == Some(digest.size())),
            Arrangement::Packed => {
                Ok(self.catalog(Fresh::Enough).await?.has(digest)
                    || self.catalog(Fresh::Now).await?.has(digest))
            }
        }
    }

    /// Brings blobs that are not there to the remote, files before listings, and makes them safe; gives the bytes that were sent.
    pub(super) async fn send(
        self: &Arc<Self>,
        store: &LocalStore,
        files: Vec<Digest>,
        listings: Vec<Digest>,
    ) -> Result<u64, RemoteError> {
        match self.arrangement().await? {
            Arrangement::Native => {
                let bytes = files.iter().chain(&listings).map(Digest::size).sum();
                for wave in [files, listings] {
                    let upload =
                        |digest| Arc::clone(self).upload(store.clone(), digest, layout::blob(&digest));
                    each(wave, upload).await?;
                    self.ask(0, |objects| objects.settle()).await?;
                }
                Ok(bytes)
            }
            Arrangement::Packed => {
                let files = files.into_iter().map(|digest| (digest, Grain::Content));
                let listings = listings.into_iter().map(|digest| (digest, Grain::Listing));
                self.send_packed(store, files.chain(listings).collect()).await
            }
        }
    }

    /// Brings blobs into the store, which has each only when it is what its name says.
    pub(super) async fn bring(
        self: &Arc<Self>,
        store: &LocalStore,
        blobs: Vec<Digest>,
    ) -> Result<(), RemoteError> {
        if blobs.is_empty() {
            return Ok(());
        }
        match self.arrangement().await? {
            Arrangement::Native => {
                each(blobs, |digest| Arc::clone(self).download(store.clone(), digest)).await
            }
            Arrangement::Packed => self.bring_packed(store, blobs).await,
        }
    }

    /// Reads a blob into memory, checked; for listings.
    pub(super) async fn read_blob(self: &Arc<Self>, digest: &Digest) -> Result<Vec<u8>, RemoteError> {
        let key = layout::blob(digest);
        if digest.size() > LARGEST_LISTING {
            return Err(RemoteError::Format {
                place: self.place(),
                key,
                what: "a folder's listing",
                reason: format!("{} bytes are too many", digest.size()),
            });
        }
        match self.arrangement().await? {
            Arrangement::Native => {
                let bytes = self.read_object(&key, digest.size()).await?;
                let found = Digest::of(&bytes);
                if found == *digest {
                    Ok(bytes)
                } else {
                    Err(self.corrupt(&key, format!("its content is {found}")))
                }
            }
            Arrangement::Packed => self.read_packed(digest).await,
        }
    }
}
