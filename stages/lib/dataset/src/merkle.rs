//! Merkle tree of RFC 6962, section 2.1, with SHA-256: a leaf is hashed as `0x00 ‖ data`, a node as
//! `0x01 ‖ left ‖ right`; a tree of n leaves splits at the largest power of two below n.

use sha2::{Digest, Sha256};

/// Hash of a leaf.
pub fn leaf_hash(data: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(data);
    hash.finalize().into()
}

/// Root over leaf hashes; of no leaves, the hash of nothing.
pub fn merkle_root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            let mut hash = Sha256::new();
            hash.update([1]);
            hash.update(merkle_root(left));
            hash.update(merkle_root(right));
            hash.finalize().into()
        }
    }
}
