//! Packs that nobody needs any more, packs of which little is needed, and many indexes that become one.
//!
//! What is carried over is unpacked and compared first, so nothing damaged gets a new name. A pack of which something that is needed
//! can't be carried over stays.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::runtime::Handle;

use super::{
    Catalog, Chunk, Fresh, Hash,
    catalog::Location,
    chunk::decode,
    index::{ChunkEntry, Index, PackEntry, Recipe},
    index_key, pack_key,
};
use crate::{
    digest::{Digest, Hasher},
    remote::{
        RemoteError, Session, TransferEvent,
        gc::{GRACE, is_young},
        layout,
        lease::Lease,
    },
};

/// Packs below this size are gathered when there are many of them.
const SMALL: u64 = 4 << 20;
/// So many.
const MANY: usize = 8;
/// Chunks that are asked for together; each has at most a MiB.
const CHUNKS_A_REQUEST: usize = 32;
/// Largest index that is written, in bytes.
const INDEX_SIZE: usize = 16 << 20;

/// What is to be done.
#[derive(Debug, Default, Clone)]
pub(in crate::remote) struct Rewrite {
    /// Packs that go, with their sizes.
    pub(super) retired: Vec<(Hash, u64)>,
    /// Those of them whose chunks are carried over.
    pub(super) carried: Vec<(PackEntry, Vec<ChunkEntry>)>,
    /// Packs that stay, with all that is said of them.
    pub(super) kept: Vec<(PackEntry, Vec<ChunkEntry>)>,
    /// Recipes of blobs; several of one where indexes differ.
    pub(super) recipes: Vec<Recipe>,
    /// Indexes that are replaced.
    pub(super) replaced: Vec<Hash>,
    /// What can't be carried over is of no use, so that its pack goes all the same.
    pub(super) gives_up: bool,
}

impl Rewrite {
    pub(in crate::remote) fn freed(&self) -> u64 {
        let carried = self.carried.iter().flat_map(|(_, chunks)| chunks);
        let carried: u64 = carried.map(|chunk| u64::from(chunk.stored)).sum();
        self.retired.iter().map(|(_, size)| size).sum::<u64>().saturating_sub(carried)
    }

    pub(in crate::remote) fn packs(&self) -> (u64, u64) {
        (self.retired.len() as u64, self.carried.len() as u64)
    }

    pub(in crate::remote) fn indexes(&self) -> u64 {
        self.replaced.len() as u64
    }
}

/// What all indexes say of the packs that are there.
pub(super) struct Contents {
    pub(super) packs: BTreeMap<Hash, (PackEntry, Vec<ChunkEntry>)>,
    pub(super) recipes: Vec<Recipe>,
    pub(super) indexes: Vec<Hash>,
    /// Packs of which indexes say things that can't both be true.
    pub(super) disputed: BTreeSet<Hash>,
    /// Packs that are named with a size, and are not there with it.
    pub(super) absent: BTreeSet<Hash>,
}

impl Session {
    /// All that can be read of the indexes, and those that can't; from copies of them only where that is wanted.
    pub(super) async fn contents(
        self: &Arc<Self>,
        sizes: &BTreeMap<Hash, u64>,
        copies: bool,
    ) -> Result<(Contents, Vec<(Hash, RemoteError)>), RemoteError> {
        let (mut indexes, mut unreadable) = (Vec::new(), Vec::new());
        for (hash, size) in self.named(layout::INDEXES).await? {
            let read =
                if copies { self.read_index(&hash, size).await } else { self.fetch_index(&hash, size).await };
            match read {
                Ok(index) => indexes.push((hash, index)),
                Err(error) if error.is_about_one_object() => unreadable.push((hash, error)),
                Err(error) => return Err(error),
            }
        }
        Ok((gather(indexes, sizes), unreadable))
    }

    /// What is to be done when only these blobs are needed.
    pub(in crate::remote) async fn plan_rewrite(
        self: &Arc<Self>,
        live: &HashSet<Digest>,
        now: SystemTime,
    ) -> Result<Rewrite, RemoteError> {
        let listed = self.list_all(layout::PACKS).await?;
        let named = |object| layout::hash_of(object, layout::PACKS);
        let sizes = listed.iter().filter_map(|object| Some((named(&object.key)?, object.size))).collect();
        let (mut contents, unreadable) = self.contents(&sizes, true).await?;
        for (_, error) in unreadable {
            self.tell(TransferEvent::Distrusted { what: error.to_string() });
        }
        let needed = needed(live, &contents.recipes);
        let mut plan = Rewrite::default();
        let (mut small, mut changes) = (Vec::new(), false);
        for object in &listed {
            let Some(hash) = named(&object.key) else { continue };
            let young = is_young(object, now, GRACE);
            let Some((pack, chunks)) = contents.packs.remove(&hash) else {
                // Of a push that was cut off.
                if !young {
                    plan.retired.push((hash, object.size));
                }
                continue;
            };
            let wanted = |chunk: &&ChunkEntry| needed.contains(&(chunk.hash, chunk.raw));
            let used: u64 = chunks.iter().filter(wanted).map(|chunk| u64::from(chunk.stored)).sum();
            let disputed = contents.disputed.contains(&hash);
            if used == 0 && !young {
                plan.retired.push((hash, object.size));
                changes = true;
            } else if disputed || (used * 2 < object.size && !young) {
                plan.retired.push((hash, object.size));
                plan.carried.push((pack, chunks.iter().filter(wanted).copied().collect()));
                changes = true;
            } else if object.size < SMALL && used > 0 {
                small.push((pack, chunks));
            } else {
                plan.kept.push((pack, chunks));
            }
        }
        if small.len() >= MANY {
            plan.retired.extend(small.iter().map(|(pack, _)| (pack.hash, u64::from(pack.size))));
            plan.carried.extend(small);
            changes = true;
        } else {
            plan.kept.extend(small);
        }
        plan.recipes = contents.recipes;
        if changes || contents.indexes.len() >= MANY {
            plan.replaced = contents.indexes;
        }
        Ok(plan)
    }

    /// Does it, in an order in which nothing that is needed is ever without a pack and an index that names it.
    pub(in crate::remote) async fn rewrite(
        self: &Arc<Self>,
        plan: &Rewrite,
        lease: &Lease,
    ) -> Result<(), RemoteError> {
        lease.check()?;
        let Carried { chunks, wrong, written } = self.carry(plan).await?;
        let mut safe = chunks;
        safe.extend(plan.kept.iter().flat_map(|(_, chunks)| chunks).map(|chunk| (chunk.hash, chunk.raw)));
        let mut stays: BTreeSet<Hash> = written.into_iter().collect();
        let lost = wrong.iter().filter(|(_, chunk)| !safe.contains(chunk)).map(|(pack, _)| *pack);
        let damaged: BTreeSet<Hash> = if plan.gives_up { BTreeSet::new() } else { lost.collect() };
        for pack in &damaged {
            let what = format!("{} is damaged, so it and the indexes stay as they are", pack_key(pack));
            self.tell(TransferEvent::Distrusted { what });
        }
        stays.extend(&damaged);
        if !plan.replaced.is_empty() && damaged.is_empty() {
            let whole = |recipe: &&Recipe| recipe.chunks.iter().all(|chunk| safe.contains(chunk));
            let recipes = plan.recipes.iter().filter(whole).cloned().collect();
            let recipes = self.undisputed(recipes).await?;
            let mut new = BTreeSet::new();
            for index in divide(plan.kept.clone(), recipes) {
                new.extend(self.send_index(index).await?.map(|digest| *digest.hash()));
            }
            let old = plan.replaced.iter().filter(|hash| !new.contains(*hash));
            self.remove(old.map(index_key).collect(), lease).await?;
        }
        let gone = plan.retired.iter().filter(|(hash, _)| !stays.contains(hash));
        self.remove(gone.map(|(hash, _)| pack_key(hash)).collect(), lease).await
    }

    /// Gathers what is left in packs that go into new ones.
    async fn carry(self: &Arc<Self>, plan: &Rewrite) -> Result<Carried, RemoteError> {
        if plan.carried.is_empty() {
            return Ok(Carried::default());
        }
        let found = Arc::new(Mutex::new(Carried::default()));
        let (session, packs, runtime) = (Arc::clone(self), plan.carried.clone(), Handle::current());
        let note = Arc::clone(&found);
        let sent = self.send_packs(Arc::new(Catalog::default()), move |builder| {
            for (pack, chunks) in packs {
                let key = pack_key(&pack.hash);
                let bytes = match runtime.block_on(session.read_object(&key, u64::from(pack.size))) {
                    Err(error) if error.is_about_one_object() => Vec::new(),
                    read => read?,
                };
                for entry in chunks {
                    let chunk = (entry.hash, entry.raw);
                    let stored = bytes.get(entry.offset as usize..(entry.offset + entry.stored) as usize);
                    let sound = stored.filter(|stored| is_sound(stored, &chunk));
                    if let Some(stored) = sound {
                        builder.put(chunk, stored)?;
                    }
                    let mut note = note.lock().unwrap_or_else(PoisonError::into_inner);
                    if sound.is_some() {
                        note.chunks.insert(chunk);
                    } else {
                        note.wrong.push((pack.hash, chunk));
                    }
                }
            }
            Ok(())
        });
        let written = sent.await?.packs;
        let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        found.written = written;
        Ok(found)
    }

    /// Of several recipes for one blob, the one that makes it.
    async fn undisputed(self: &Arc<Self>, mut recipes: Vec<Recipe>) -> Result<Vec<Recipe>, RemoteError> {
        recipes.sort_by(|a, b| (a.blob, &a.chunks).cmp(&(b.blob, &b.chunks)));
        let mut settled = Vec::with_capacity(recipes.len());
        for same in recipes.chunk_by(|a, b| a.blob == b.blob) {
            match same {
                [only] => settled.push(only.clone()),
                several => {
                    for recipe in several {
                        if self.makes_its_blob(recipe).await? {
                            settled.push(recipe.clone());
                            break;
                        }
                    }
                }
            }
        }
        Ok(settled)
    }

    /// Reads the chunks of a recipe and compares the whole with its SHA-256.
    pub(super) async fn makes_its_blob(self: &Arc<Self>, recipe: &Recipe) -> Result<bool, RemoteError> {
        let catalog = self.catalog(Fresh::Now).await?;
        let places: Option<Vec<Location>> = recipe.chunks.iter().map(|chunk| catalog.locate(chunk)).collect();
        let Some(places) = places else { return Ok(false) };
        let mut hasher = Hasher::new();
        // What lies one after the other comes in one request.
        let follows = |a: &Location, b: &Location| a.pack == b.pack && a.offset + a.stored == b.offset;
        for run in places.chunk_by(follows) {
            for piece in run.chunks(CHUNKS_A_REQUEST) {
                let (Some(first), Some(last)) = (piece.first(), piece.last()) else { continue };
                let key = pack_key(&catalog.pack(first.pack).hash);
                let range = u64::from(first.offset)..u64::from(last.offset + last.stored);
                let size = range.end - range.start;
                let bytes = match self.ask(size, |objects| objects.get(&key, Some(range.clone()))).await {
                    Err(error) if error.is_about_one_object() => return Ok(false),
                    got => got?,
                };
                for place in piece {
                    let start = (place.offset - first.offset) as usize;
                    match decode(&bytes[start..start + place.stored as usize], place.raw) {
                        Ok(bytes) => hasher.update(&bytes),
                        Err(_) => return Ok(false),
                    }
                }
            }
        }
        let found = hasher.finish();
        Ok(*found.hash() == recipe.blob && found.size() == recipe.size)
    }
}

/// What came of carrying over.
#[derive(Default)]
struct Carried {
    chunks: HashSet<Chunk>,
    /// What can't be had from a pack.
    wrong: Vec<(Hash, Chunk)>,
    /// Packs that were written, or were there already.
    written: Vec<Hash>,
}

/// Bytes of a pack are this chunk.
pub(super) fn is_sound(stored: &[u8], chunk: &Chunk) -> bool {
    decode(stored, chunk.1).is_ok_and(|bytes| *Digest::of(&bytes).hash() == chunk.0)
}

/// Chunks that blobs are made of.
fn needed(live: &HashSet<Digest>, recipes: &[Recipe]) -> HashSet<Chunk> {
    let named: HashSet<(Hash, u64)> = live.iter().map(|blob| (*blob.hash(), blob.size())).collect();
    let whole = named.iter().filter_map(|(hash, size)| Some((*hash, u32::try_from(*size).ok()?)));
    let made = recipes.iter().filter(|recipe| named.contains(&(recipe.blob, recipe.size)));
    whole.chain(made.flat_map(|recipe| recipe.chunks.iter().copied())).collect()
}

/// What indexes say of packs that have the sizes that they name.
fn gather(indexes: Vec<(Hash, Index)>, sizes: &BTreeMap<Hash, u64>) -> Contents {
    let mut contents = Contents {
        packs: BTreeMap::new(),
        recipes: Vec::new(),
        indexes: indexes.iter().map(|(hash, _)| *hash).collect(),
        disputed: BTreeSet::new(),
        absent: BTreeSet::new(),
    };
    for (_, index) in indexes {
        let is_there = |pack: &&PackEntry| sizes.get(&pack.hash) == Some(&u64::from(pack.size));
        contents.absent.extend(index.packs.iter().filter(|pack| !is_there(pack)).map(|pack| pack.hash));
        for chunk in index.chunks {
            let pack = index.packs[chunk.pack as usize];
            if is_there(&&pack) {
                let entry = contents.packs.entry(pack.hash).or_insert_with(|| (pack, Vec::new()));
                entry.1.push(ChunkEntry { pack: 0, ..chunk });
            }
        }
        contents.recipes.extend(index.recipes);
    }
    for (hash, (_, chunks)) in &mut contents.packs {
        chunks.sort_by_key(|chunk| (chunk.offset, chunk.stored, chunk.raw, chunk.hash));
        chunks.dedup();
        if chunks.windows(2).any(|pair| pair[0].offset + pair[0].stored > pair[1].offset) {
            contents.disputed.insert(*hash);
        }
    }
    contents.recipes.sort_by(|a, b| (a.blob, &a.chunks).cmp(&(b.blob, &b.chunks)));
    contents.recipes.dedup();
    contents
}

/// Indexes of these packs and recipes, none of them too large.
fn divide(packs: Vec<(PackEntry, Vec<ChunkEntry>)>, recipes: Vec<Recipe>) -> Vec<Index> {
    let (mut done, mut index) = (Vec::new(), Index::default());
    let mut size = 0;
    for (pack, chunks) in packs {
        size += 36 + chunks.len() * 48;
        index.add(pack, chunks);
        if size >= INDEX_SIZE {
            done.push(std::mem::take(&mut index));
            size = 0;
        }
    }
    for recipe in recipes {
        size += 44 + recipe.chunks.len() * 36;
        index.recipes.push(recipe);
        if size >= INDEX_SIZE {
            done.push(std::mem::take(&mut index));
            size = 0;
        }
    }
    done.push(index);
    done
}
