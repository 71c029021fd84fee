//! Reading every pack again.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Catalog, Chunk, Fresh, Hash, LARGEST_PACK,
    index::{ChunkEntry, Index, PackEntry},
    index_key, pack_key,
    rewrite::{Contents, Rewrite, is_sound},
};
use crate::{
    digest::Digest,
    remote::{
        RemoteDamage, RemoteError, RemoteVerify, Session, TransferEvent, layout,
        lease::Lease,
        session::{blocking, each},
    },
};

/// What was found in a pack.
#[derive(Debug, Default)]
struct Audited {
    /// Packs of which something is wrong.
    bad: BTreeSet<Hash>,
    /// Chunks that are there as an index says.
    sound: BTreeMap<Hash, (PackEntry, Vec<ChunkEntry>)>,
    damage: Vec<RemoteDamage>,
}

impl Session {
    /// Reads every pack and compares every chunk that an index names; gives a catalog of what is so. Under a lease, packs of which
    /// something is wrong are gathered anew without that, and indexes that are of no use are removed.
    pub(in crate::remote) async fn audit(
        self: &Arc<Self>,
        report: &mut RemoteVerify,
        lease: Option<&Lease>,
    ) -> Result<Catalog, RemoteError> {
        let sizes = self.named(layout::PACKS).await?;
        report.objects = sizes.len() as u64;
        report.bytes = sizes.values().sum();
        self.tell(TransferEvent::Planned { objects: report.objects, bytes: report.bytes });
        let (contents, unreadable) = self.contents(&sizes, false).await?;
        for (hash, error) in &unreadable {
            let found = format!("is no index that can be used: {error}");
            report.damage.push(RemoteDamage::Object { key: index_key(hash), found });
        }
        let Audited { bad, sound, damage } = self.read_packs(&sizes, &contents).await?;
        report.damage.extend(damage);
        let mut recipes = Vec::new();
        let pieces = sound.values().flat_map(|(_, chunks)| chunks).map(|chunk| (chunk.hash, chunk.raw));
        let pieces: HashSet<Chunk> = pieces.collect();
        for recipe in contents.recipes {
            if !recipe.chunks.iter().all(|chunk| pieces.contains(chunk)) {
                continue;
            }
            if self.makes_its_blob(&recipe).await? {
                recipes.push(recipe);
                continue;
            }
            let key = layout::sharded(layout::BLOBS, &hex::encode(recipe.blob));
            let found = "is not what the chunks make that an index names for it".to_owned();
            report.damage.push(RemoteDamage::Object { key, found });
        }
        let mut catalog = Catalog::default();
        let mut index = Index { recipes: recipes.clone(), ..Index::default() };
        sound.values().for_each(|(pack, chunks)| index.add(*pack, chunks.iter().copied()));
        catalog.add(index);
        let Some(lease) = lease.filter(|_| !report.damage.is_empty()) else { return Ok(catalog) };
        let (carried, kept) = sound.into_values().partition(|(pack, _)| bad.contains(&pack.hash));
        let retired = bad.iter().filter_map(|hash| Some((*hash, *sizes.get(hash)?))).collect();
        let plan = Rewrite { retired, carried, kept, recipes, replaced: contents.indexes, gives_up: true };
        self.rewrite(&plan, lease).await?;
        self.remove(unreadable.iter().map(|(hash, _)| index_key(hash)).collect(), lease).await?;
        // What is sent afterwards is looked for in what is there now.
        self.catalog(Fresh::Now).await?;
        Ok(catalog)
    }

    async fn read_packs(
        self: &Arc<Self>,
        sizes: &BTreeMap<Hash, u64>,
        contents: &Contents,
    ) -> Result<Audited, RemoteError> {
        let found = Arc::new(Mutex::new(Audited::default()));
        let note = |damage: RemoteDamage, hash: Hash| {
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.bad.insert(hash);
            found.damage.push(damage);
        };
        for hash in &contents.absent {
            let what = "is not there, or has another size than an index says".to_owned();
            note(RemoteDamage::Object { key: pack_key(hash), found: what }, *hash);
        }
        let packs: Vec<_> =
            sizes.iter().map(|(hash, size)| (*hash, *size, contents.packs.get(hash).cloned())).collect();
        each(packs, |(hash, size, named)| {
            let (session, found) = (Arc::clone(self), Arc::clone(&found));
            async move {
                if size > u64::from(LARGEST_PACK) {
                    let what = format!("is no pack: it has {size} bytes");
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.bad.insert(hash);
                    found.damage.push(RemoteDamage::Object { key: pack_key(&hash), found: what });
                    return Ok(());
                }
                let _memory = session.memory(size).await;
                let bytes = session.read_pack(&hash, size).await?;
                session.tell(TransferEvent::Moved { bytes: size });
                session.tell(TransferEvent::Finished);
                blocking(move || look_at(&hash, &bytes, named, &found)).await;
                Ok(())
            }
        })
        .await?;
        let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        found.damage.sort_by_cached_key(ToString::to_string);
        Ok(found)
    }

    /// The bytes of a pack; asked for once more when they are not what its name says, as that may be the way's fault.
    async fn read_pack(self: &Arc<Self>, hash: &Hash, size: u64) -> Result<Vec<u8>, RemoteError> {
        let key = pack_key(hash);
        let mut bytes = Vec::new();
        for _ in 0..2 {
            bytes = match self.read_object(&key, size).await {
                Err(error) if error.is_about_one_object() => return Ok(Vec::new()),
                read => read?,
            };
            if Digest::of(&bytes).hash() == hash {
                break;
            }
        }
        Ok(bytes)
    }
}

fn look_at(hash: &Hash, bytes: &[u8], named: Option<(PackEntry, Vec<ChunkEntry>)>, found: &Mutex<Audited>) {
    let digest = Digest::of(bytes);
    let (mut sound, mut wrong) = (Vec::new(), 0);
    let (pack, chunks) = match named {
        Some((pack, chunks)) => (Some(pack), chunks),
        None => (None, Vec::new()),
    };
    for chunk in chunks {
        let stored = bytes.get(chunk.offset as usize..(chunk.offset + chunk.stored) as usize);
        if stored.is_some_and(|stored| is_sound(stored, &(chunk.hash, chunk.raw))) {
            sound.push(chunk);
        } else {
            wrong += 1;
        }
    }
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    let key = pack_key(hash);
    if digest.hash() != hash {
        found.bad.insert(*hash);
        let what =
            format!("holds other bytes than its name says ({digest}); {wrong} of its chunks are damaged");
        found.damage.push(RemoteDamage::Object { key, found: what });
    } else if wrong > 0 {
        found.bad.insert(*hash);
        let what = format!("does not have {wrong} of the chunks that indexes say it has");
        found.damage.push(RemoteDamage::Object { key, found: what });
    }
    if let Some(pack) = pack {
        found.sound.insert(*hash, (pack, sound));
    }
}
