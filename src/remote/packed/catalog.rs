//! All indexes of a remote together.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Chunk, Hash,
    index::{ChunkEntry, Index, PackEntry, Recipe},
};
use crate::digest::Digest;

/// Where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::remote) struct Location {
    /// A pack as one index names it: position in [`Catalog::pack`].
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) stored: u32,
    pub(super) raw: u32,
}

/// The chunks of a blob, as one index says.
#[derive(Debug, Clone)]
struct Made {
    size: u64,
    chunks: Arc<[Chunk]>,
    /// The index that says so.
    source: u32,
}

/// All indexes together. Where two say different things, both are kept: one of them may lie.
#[derive(Debug, Default)]
pub(in crate::remote) struct Catalog {
    packs: Vec<PackEntry>,
    chunks: HashMap<Chunk, Location>,
    /// Further places of chunks.
    others: HashMap<Chunk, Vec<Location>>,
    recipes: HashMap<Hash, Made>,
    other_recipes: HashMap<Hash, Vec<Made>>,
    sources: u32,
    /// What is not to be used: packs that are not there or turned out to be other than an index says, and recipes.
    passed_over: Mutex<PassedOver>,
}

#[derive(Debug, Default)]
struct PassedOver {
    packs: HashSet<u32>,
    recipes: HashSet<(u32, Hash)>,
}

/// A blob as its chunks.
pub(super) struct Pieces {
    /// What each is, and its place.
    pub(super) chunks: Vec<(Chunk, Location)>,
    /// The index whose recipe this is; none for a blob that is one chunk.
    pub(super) source: Option<u32>,
}

impl Catalog {
    /// Adds what an index says.
    pub(super) fn add(&mut self, index: Index) {
        let Index { packs, chunks, recipes } = index;
        let first = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        self.packs.extend(packs);
        self.chunks.reserve(chunks.len());
        for ChunkEntry { hash, pack, offset, stored, raw } in chunks {
            let place = Location { pack: first + pack, offset, stored, raw };
            let chunk = (hash, raw);
            match self.chunks.entry(chunk) {
                Entry::Vacant(first) => {
                    first.insert(place);
                }
                Entry::Occupied(_) => self.others.entry(chunk).or_default().push(place),
            }
        }
        let source = self.sources;
        self.sources += 1;
        for Recipe { blob, size, chunks } in recipes {
            let made = Made { size, chunks: chunks.into(), source };
            match self.recipes.entry(blob) {
                Entry::Vacant(first) => {
                    first.insert(made);
                }
                Entry::Occupied(_) => self.other_recipes.entry(blob).or_default().push(made),
            }
        }
    }

    /// A pack by the position that a [`Location`] has.
    pub(super) fn pack(&self, position: u32) -> PackEntry {
        self.packs[position as usize]
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PassedOver> {
        self.passed_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses only packs that the remote has, given with their sizes.
    pub(super) fn only(&self, there: &BTreeMap<Hash, u64>) {
        let mut passed_over = self.lock();
        for (position, pack) in (0..).zip(&self.packs) {
            if there.get(&pack.hash) != Some(&u64::from(pack.size)) {
                passed_over.packs.insert(position);
            }
        }
    }

    /// Uses a pack no more, as one index names it.
    pub(super) fn pass_over_pack(&self, position: u32) {
        self.lock().packs.insert(position);
    }

    /// Uses the recipe of a blob no more that this index gives.
    pub(super) fn pass_over_recipe(&self, source: u32, blob: &Digest) {
        self.lock().recipes.insert((source, *blob.hash()));
    }

    fn place(&self, passed_over: &PassedOver, chunk: &Chunk) -> Option<Location> {
        let others = self.others.get(chunk).into_iter().flatten();
        let mut places = self.chunks.get(chunk).into_iter().chain(others);
        places.find(|place| !passed_over.packs.contains(&place.pack)).copied()
    }

    /// Where a chunk lies.
    pub(super) fn locate(&self, chunk: &Chunk) -> Option<Location> {
        self.place(&self.lock(), chunk)
    }

    /// The chunks that make a blob; none where a pack or a recipe for it is wanting.
    pub(super) fn pieces(&self, blob: &Digest) -> Option<Pieces> {
        let passed_over = self.lock();
        let whole = u32::try_from(blob.size()).ok().map(|size| (*blob.hash(), size));
        if let Some((chunk, place)) = whole.and_then(|chunk| Some((chunk, self.place(&passed_over, &chunk)?)))
        {
            return Some(Pieces { chunks: vec![(chunk, place)], source: None });
        }
        let others = self.other_recipes.get(blob.hash()).into_iter().flatten();
        self.recipes.get(blob.hash()).into_iter().chain(others).find_map(|made| {
            if made.size != blob.size() || passed_over.recipes.contains(&(made.source, *blob.hash())) {
                return None;
            }
            let located = |chunk: &Chunk| Some((*chunk, self.place(&passed_over, chunk)?));
            let chunks = made.chunks.iter().map(located).collect::<Option<_>>()?;
            Some(Pieces { chunks, source: Some(made.source) })
        })
    }

    /// The remote has all of a blob.
    pub(in crate::remote) fn has(&self, blob: &Digest) -> bool {
        if blob.size() == 0 { *blob == Digest::of(b"") } else { self.pieces(blob).is_some() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn index(pack: u8, chunk: &[u8], raw: u32) -> Index {
        let mut index = Index::default();
        let entry = ChunkEntry { hash: *Digest::of(chunk).hash(), pack: 0, offset: 19, stored: raw, raw };
        index.add(PackEntry { hash: [pack; 32], size: 100 }, [entry]);
        index
    }

    #[test]
    fn of_two_that_differ_the_other_one_stays() {
        let mut catalog = Catalog::default();
        catalog.add(index(1, b"abc", 3));
        catalog.add(index(2, b"abc", 3));
        let blob = Digest::of(b"abc");
        let chunk = (*blob.hash(), 3);
        let first = catalog.locate(&chunk).unwrap();
        catalog.pass_over_pack(first.pack);
        let second = catalog.locate(&chunk).unwrap();
        assert_ne!(first.pack, second.pack);
        assert!(catalog.has(&blob));
        // Only one of another size is there.
        catalog.only(&[([2; 32], 99)].into());
        assert!(!catalog.has(&blob));
    }

    #[test]
    fn one_that_lies_about_a_size_hides_nothing() {
        let mut catalog = Catalog::default();
        catalog.add(index(1, b"abc", 9));
        let (small, large) = (Digest::of(b"abc"), Digest::of(b"abcabc"));
        assert!(!catalog.has(&small));
        catalog.add(index(2, b"abc", 3));
        assert!(catalog.has(&small));
        let recipe = |raw| Recipe {
            blob: *large.hash(),
            size: u64::from(raw) * 2,
            chunks: vec![(*small.hash(), raw); 2],
        };
        catalog.add(Index { recipes: vec![recipe(9)], ..Index::default() });
        assert!(!catalog.has(&large));
        catalog.add(Index { recipes: vec![recipe(3)], ..Index::default() });
        let source = catalog.pieces(&large).unwrap().source.unwrap();
        catalog.pass_over_recipe(source, &large);
        assert!(!catalog.has(&large));
    }
}
