//! The layout `packed`: blobs gathered in packs, with indexes that say where.
//!
//! ```text
//! packs-v1/ab/cdef…     chunks one after the other, up to 64 MiB; the name is the SHA-256 of the bytes
//! indexes-v1/ab/cdef…   which chunk lies where, and which chunks make a blob; the name is the SHA-256 of the bytes
//! ```
//!
//! A small blob is one chunk, whose SHA-256 is the blob's; a large one is cut by content, so that a new version shares the chunks that
//! did not change. All indexes together count, in any order, so machines that push at the same time need no agreement: each writes objects
//! that nobody else writes otherwise, an index after the packs that it names. What is cut off before that leaves packs that nothing names.
//!
//! Nothing in an index is believed: what it says has to fit together before it is used ([`index`]), a chunk is compared with its SHA-256
//! before it goes anywhere, and a blob with its own before it gets its name in a store. A push believes a pack to be there only when the
//! remote lists it with its size.

mod audit;
mod bring;
mod builder;
mod catalog;
mod chunk;
mod index;
mod load;
mod object;
mod rewrite;
mod send;

pub(super) use catalog::Catalog;
pub(super) use chunk::Grain;
pub(super) use load::{Fresh, Known};
pub(super) use rewrite::Rewrite;

use super::{Key, layout};

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// What a chunk is: its SHA-256 and its size.
pub(super) type Chunk = (Hash, u32);

/// Largest pack in bytes.
pub(super) const LARGEST_PACK: u32 = 64 << 20;

/// Largest index in bytes that is read; those that are written are smaller.
const LARGEST_INDEX: u64 = 64 << 20;

fn pack_key(hash: &Hash) -> Key {
    layout::sharded(layout::PACKS, &hex::encode(hash))
}

fn index_key(hash: &Hash) -> Key {
    layout::sharded(layout::INDEXES, &hex::encode(hash))
}
