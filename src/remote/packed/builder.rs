//! Blobs of the store → packs, in a fixed order: the same blobs beside the same catalog give the same packs, so a push that was
//! stopped finds those again that it sent.

use std::{collections::HashSet, fs::File};

use bytes::Bytes;
use rayon::prelude::*;

use super::{
    Catalog, Chunk, Grain, LARGEST_PACK,
    chunk::Encoder,
    index::{ChunkEntry, PACK_MAGIC, PackEntry, Recipe},
};
use crate::{
    digest::{Digest, Hasher},
    remote::RemoteError,
    store::{LocalStore, StoreError},
};

/// Bytes that are read before they are packed together, on all cores.
const BATCH: u64 = 8 << 20;
/// Files in such a batch, which may all be empty but for a byte.
const BATCH_FILES: usize = 4096;
/// A pack is full with so many chunks, whatever their size: its index has to be small enough too.
const MOST_CHUNKS: usize = 100_000;

/// A pack that is full, or what is left in the end.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The pack with its bytes and chunks; none where everything was there already.
    pub(super) pack: Option<(PackEntry, Bytes, Vec<ChunkEntry>)>,
    /// Recipes of blobs whose chunks are in packs up to this one.
    pub(super) recipes: Vec<Recipe>,
    /// Bytes of blobs whose chunks these are, or that needed none.
    pub(super) raw: u64,
}

/// A chunk on its way into a pack.
struct Encoded {
    chunk: Chunk,
    stored: Vec<u8>,
}

/// Gathers chunks into packs.
pub(super) struct Builder<'a> {
    catalog: &'a Catalog,
    placed: HashSet<Chunk>,
    bytes: Vec<u8>,
    batch: Batch,
    chunks: Vec<ChunkEntry>,
    emit: Box<Emit<'a>>,
}

type Emit<'a> = dyn FnMut(Batch) -> Result<(), RemoteError> + 'a;

impl<'a> Builder<'a> {
    /// What the catalog has is left out; full packs go to `emit`.
    pub(super) fn new(catalog: &'a Catalog, emit: impl FnMut(Batch) -> Result<(), RemoteError> + 'a) -> Self {
        Self {
            catalog,
            placed: HashSet::new(),
            bytes: Vec::new(),
            batch: Batch::default(),
            chunks: Vec::new(),
            emit: Box::new(emit),
        }
    }

    /// Packs blobs of a store, in this order.
    pub(super) fn add_all(
        &mut self,
        store: &LocalStore,
        blobs: &[(Digest, Grain)],
    ) -> Result<(), RemoteError> {
        let (mut small, mut size) = (Vec::new(), 0);
        for (digest, grain) in blobs {
            if digest.size() > grain.whole() {
                self.add_small(store, &std::mem::take(&mut small))?;
                size = 0;
                self.add_large(store, digest, *grain)?;
                continue;
            }
            small.push(*digest);
            size += digest.size();
            if size >= BATCH || small.len() >= BATCH_FILES {
                self.add_small(store, &std::mem::take(&mut small))?;
                size = 0;
            }
        }
        self.add_small(store, &small)
    }

    fn add_small(&mut self, store: &LocalStore, blobs: &[Digest]) -> Result<(), RemoteError> {
        let read = |encoder: &mut Encoder, digest: &Digest| {
            let bytes = store.read(digest)?;
            let raw = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            Ok(Encoded { chunk: (*digest.hash(), raw), stored: encoder.encode(&bytes) })
        };
        // An empty blob needs no chunk.
        let full = blobs.par_iter().filter(|digest| digest.size() > 0);
        let encoded = full.map_init(Encoder::new, read).collect::<Result<Vec<_>, StoreError>>()?;
        encoded.into_iter().try_for_each(|new| self.put(new.chunk, &new.stored))
    }

    fn add_large(&mut self, store: &LocalStore, digest: &Digest, grain: Grain) -> Result<(), RemoteError> {
        let path = store.blob_path(digest);
        let file = File::open(&path).map_err(RemoteError::io("read", &path))?;
        let mut chunks = grain.cut(file).peekable();
        let (mut whole, mut names, mut shrinks) = (Hasher::new(), Vec::new(), true);
        while chunks.peek().is_some() {
            let (mut batch, mut size) = (Vec::new(), 0);
            while size < BATCH
                && let Some(chunk) = chunks.next()
            {
                let chunk = chunk.map_err(RemoteError::io("read", &path))?;
                size += chunk.len() as u64;
                batch.push(chunk);
            }
            let name = |bytes: &Vec<u8>| {
                let digest = Digest::of(bytes);
                (*digest.hash(), u32::try_from(digest.size()).unwrap_or(u32::MAX))
            };
            let known: Vec<Chunk> = batch.par_iter().map(name).collect();
            names.extend_from_slice(&known);
            let (placed, catalog) = (&self.placed, self.catalog);
            let has = |chunk: &Chunk| placed.contains(chunk) || catalog.locate(chunk).is_some();
            let first = known.iter().position(|chunk| !has(chunk));
            let encode = |encoder: &mut Encoder, (position, (bytes, chunk)): (usize, (&Vec<u8>, &Chunk))| {
                // In float weights no chunk gets smaller, and trying it on each would take most of the time.
                let tries = shrinks || Some(position) == first;
                let stored = match has(chunk) {
                    true => Vec::new(),
                    false if tries => encoder.encode(bytes),
                    false => bytes.clone(),
                };
                Encoded { chunk: *chunk, stored }
            };
            let (encoded, ()) = rayon::join(
                || {
                    let batch = batch.par_iter().zip(&known).enumerate();
                    batch.map_init(Encoder::new, encode).collect::<Vec<_>>()
                },
                || batch.iter().for_each(|chunk| whole.update(chunk)),
            );
            let new = || encoded.iter().filter(|new| !new.stored.is_empty());
            shrinks = new().next().is_none() || new().any(|new| new.stored.len() < new.chunk.1 as usize);
            encoded.into_iter().try_for_each(|new| self.put(new.chunk, &new.stored))?;
        }
        let found = whole.finish();
        if found != *digest {
            let reason = format!("its content is {found}");
            return Err(StoreError::Damaged { digest: *digest, reason }.into());
        }
        if names.len() > 1 {
            self.batch.recipes.push(Recipe { blob: *digest.hash(), size: digest.size(), chunks: names });
        }
        Ok(())
    }

    fn has(&self, chunk: &Chunk) -> bool {
        self.placed.contains(chunk) || self.catalog.locate(chunk).is_some()
    }

    /// Puts a chunk into the pack as it is to lie there, unless it lies in one.
    pub(super) fn put(&mut self, chunk: Chunk, stored: &[u8]) -> Result<(), RemoteError> {
        if self.has(&chunk) {
            self.batch.raw += u64::from(chunk.1);
            return Ok(());
        }
        if self.bytes.len() + stored.len() > LARGEST_PACK as usize || self.chunks.len() >= MOST_CHUNKS {
            self.flush()?;
        }
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(PACK_MAGIC);
        }
        let (hash, raw) = chunk;
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let offset = number(self.bytes.len());
        self.chunks.push(ChunkEntry { hash, pack: 0, offset, stored: number(stored.len()), raw });
        self.bytes.extend_from_slice(stored);
        self.batch.raw += u64::from(raw);
        self.placed.insert(chunk);
        Ok(())
    }

    /// Sends off what has been gathered.
    pub(super) fn flush(&mut self) -> Result<(), RemoteError> {
        let mut batch = std::mem::take(&mut self.batch);
        if !self.bytes.is_empty() {
            let bytes = Bytes::from(std::mem::take(&mut self.bytes));
            let digest = Digest::of(&bytes);
            let pack =
                PackEntry { hash: *digest.hash(), size: u32::try_from(bytes.len()).unwrap_or(u32::MAX) };
            batch.pack = Some((pack, bytes, std::mem::take(&mut self.chunks)));
        }
        if batch.pack.is_none() && batch.recipes.is_empty() && batch.raw == 0 {
            return Ok(());
        }
        (self.emit)(batch)
    }
}
