//! An index: which chunk lies where in which pack, and which chunks make a blob.
//!
//! All numbers are little endian:
//!
//! ```text
//! "stagewright-index 1\n"
//! u32 packs, u32 chunks, u32 recipes
//! a pack:    SHA-256, u32 size                                        sorted by SHA-256
//! a chunk:   SHA-256, u32 pack (from 0), u32 offset, u32 stored, u32 raw   sorted by pack and offset
//! a recipe:  SHA-256 of the blob, u64 size, u32 chunks, of each SHA-256 and u32 raw   sorted by the blob's SHA-256
//! ```
//!
//! `stored` is the size in the pack, `raw` the size of the chunk itself; where they are equal the bytes lie there as they are, else they
//! are one zstd frame. A blob that is one chunk has no recipe: its SHA-256 is the chunk's.

use super::{Chunk, Hash, LARGEST_PACK, chunk::LARGEST_CHUNK};

const MAGIC: &[u8] = b"stagewright-index 1\n";
/// What a magic of any version begins with.
const FAMILY: &[u8] = b"stagewright-index ";

/// What a pack begins with.
pub(super) const PACK_MAGIC: &[u8] = b"stagewright-pack 1\n";

/// A pack that an index names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackEntry {
    pub(super) hash: Hash,
    pub(super) size: u32,
}

/// A chunk in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkEntry {
    pub(super) hash: Hash,
    /// Position of its pack in the index.
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) stored: u32,
    pub(super) raw: u32,
}

/// The chunks of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) blob: Hash,
    pub(super) size: u64,
    pub(super) chunks: Vec<Chunk>,
}

/// An index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) packs: Vec<PackEntry>,
    pub(super) chunks: Vec<ChunkEntry>,
    pub(super) recipes: Vec<Recipe>,
}

impl Index {
    /// Adds a pack with its chunks, whose own `pack` does not count.
    pub(super) fn add(&mut self, pack: PackEntry, chunks: impl IntoIterator<Item = ChunkEntry>) {
        let position = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        self.packs.push(pack);
        self.chunks.extend(chunks.into_iter().map(|chunk| ChunkEntry { pack: position, ..chunk }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.recipes.is_empty()
    }

    /// Size of its bytes.
    pub(super) fn len(&self) -> usize {
        let recipes = self.recipes.iter().map(|recipe| 44 + recipe.chunks.len() * 36);
        MAGIC.len() + 12 + self.packs.len() * 36 + self.chunks.len() * 48 + recipes.sum::<usize>()
    }

    /// Its bytes; sorts what has to be sorted.
    pub(super) fn encode(mut self) -> Vec<u8> {
        let mut order: Vec<usize> = (0..self.packs.len()).collect();
        order.sort_by_key(|position| self.packs[*position].hash);
        let mut place = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = u32::try_from(new).unwrap_or(u32::MAX);
        }
        for chunk in &mut self.chunks {
            chunk.pack = place[chunk.pack as usize];
        }
        self.chunks.sort_by_key(|chunk| (chunk.pack, chunk.offset));
        self.recipes.sort_by_key(|recipe| recipe.blob);
        self.recipes.dedup_by_key(|recipe| recipe.blob);
        let mut out = Vec::with_capacity(self.len());
        out.extend_from_slice(MAGIC);
        for count in [self.packs.len(), self.chunks.len(), self.recipes.len()] {
            out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        for position in order {
            let PackEntry { hash, size } = self.packs[position];
            out.extend_from_slice(&hash);
            out.extend_from_slice(&size.to_le_bytes());
        }
        for ChunkEntry { hash, pack, offset, stored, raw } in &self.chunks {
            out.extend_from_slice(hash);
            for number in [pack, offset, stored, raw] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        for Recipe { blob, size, chunks } in &self.recipes {
            out.extend_from_slice(blob);
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(&u32::try_from(chunks.len()).unwrap_or(u32::MAX).to_le_bytes());
            for (hash, raw) in chunks {
                out.extend_from_slice(hash);
                out.extend_from_slice(&raw.to_le_bytes());
            }
        }
        out
    }

    /// Reads bytes from anywhere. What does not fit together is refused with the reason.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Some(body) = bytes.strip_prefix(MAGIC) else {
            return Err(if bytes.starts_with(FAMILY) {
                "it is of a version that this release does not know".to_owned()
            } else {
                "it does not begin with `stagewright-index 1`".to_owned()
            });
        };
        let mut reader = Reader(body);
        let counts = [reader.u32()?, reader.u32()?, reader.u32()?];
        // Before memory is set aside for counts that may be lies.
        let least = u64::from(counts[0]) * 36 + u64::from(counts[1]) * 48 + u64::from(counts[2]) * 44;
        if least > reader.0.len() as u64 {
            return Err("it is too short for what it says it holds".to_owned());
        }
        let mut index = Self::default();
        for _ in 0..counts[0] {
            let pack = PackEntry { hash: reader.hash()?, size: reader.u32()? };
            if pack.size > LARGEST_PACK {
                return Err(format!("the pack {} is too large: {} bytes", short(&pack.hash), pack.size));
            }
            if index.packs.last().is_some_and(|last| last.hash >= pack.hash) {
                return Err(format!("the pack {} is not in order", short(&pack.hash)));
            }
            index.packs.push(pack);
        }
        for _ in 0..counts[1] {
            let chunk = ChunkEntry {
                hash: reader.hash()?,
                pack: reader.u32()?,
                offset: reader.u32()?,
                stored: reader.u32()?,
                raw: reader.u32()?,
            };
            index.check_chunk(&chunk).map_err(|why| format!("the chunk {} {why}", short(&chunk.hash)))?;
            index.chunks.push(chunk);
        }
        for _ in 0..counts[2] {
            let (blob, size, count) = (reader.hash()?, reader.u64()?, reader.u32()? as usize);
            let wrong = |why: &str| format!("the recipe of {} {why}", short(&blob));
            if count > reader.0.len() / 36 {
                return Err(wrong("is cut off"));
            }
            if index.recipes.last().is_some_and(|last| last.blob >= blob) {
                return Err(wrong("is not in order"));
            }
            let chunk = |_| Ok((reader.hash()?, reader.u32()?));
            let chunks = (0..count).map(chunk).collect::<Result<Vec<Chunk>, String>>()?;
            if chunks.iter().any(|(_, raw)| *raw == 0 || *raw > LARGEST_CHUNK)
                || chunks.iter().map(|(_, raw)| u64::from(*raw)).sum::<u64>() != size
            {
                return Err(wrong(&format!("has chunks that can't make {size} bytes")));
            }
            index.recipes.push(Recipe { blob, size, chunks });
        }
        if reader.0.is_empty() { Ok(index) } else { Err(format!("{} bytes are too many", reader.0.len())) }
    }

    /// How a chunk does not fit to the packs and to the chunks before it.
    fn check_chunk(&self, chunk: &ChunkEntry) -> Result<(), String> {
        let Some(pack) = self.packs.get(chunk.pack as usize) else {
            return Err("is in a pack that the index does not name".to_owned());
        };
        let start = match self.chunks.last() {
            Some(last) if last.pack > chunk.pack => return Err("is not in order".to_owned()),
            Some(last) if last.pack == chunk.pack => last.offset + last.stored,
            _ => PACK_MAGIC.len() as u32,
        };
        if chunk.offset < start {
            return Err("overlaps what is before it".to_owned());
        }
        if chunk.offset.checked_add(chunk.stored).is_none_or(|end| end > pack.size) {
            return Err(format!("ends outside of its pack, which has {} bytes", pack.size));
        }
        if chunk.stored == 0 || chunk.stored > chunk.raw || chunk.raw > LARGEST_CHUNK {
            return Err(format!("can't have {} bytes, and {} in the pack", chunk.raw, chunk.stored));
        }
        Ok(())
    }
}

fn short(hash: &Hash) -> String {
    hex::encode(&hash[..6])
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (first, rest) = self.0.split_first_chunk().ok_or("it is cut off")?;
        self.0 = rest;
        Ok(*first)
    }

    fn hash(&mut self) -> Result<Hash, String> {
        self.take()
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
