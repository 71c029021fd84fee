//! Merkle trees of RFC 6962 (section 2.1) with SHA-256: roots, proofs that a leaf is in a tree, and proofs that a tree is the
//! beginning of a larger one.

use sha2::{Digest as _, Sha256};

/// Hash of a leaf or node.
pub type Hash = [u8; 32];

/// Hash of a leaf's bytes.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The largest power of two below `n`, which is at least 2.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// Root over leaf hashes; of no leaves, the hash of nothing.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The hashes that lead from leaf `index` to the root; empty where there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() <= 1 || index >= leaves.len() {
        return Vec::new();
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut proof, other) = if index < middle {
        (inclusion_proof(left, index), root(right))
    } else {
        (inclusion_proof(right, index - middle), root(left))
    };
    proof.push(other);
    proof
}

/// True when the proof leads from the leaf at `index` to the root of a tree of `size` leaves (RFC 9162, 2.1.3.2).
pub fn is_included(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, *leaf);
    for other in proof {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node(other, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, other);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The hashes that show that the first `old` leaves are the beginning of all (RFC 6962, 2.1.2).
pub fn consistency_proof(leaves: &[Hash], old: usize) -> Vec<Hash> {
    fn sub(leaves: &[Hash], old: usize, whole: bool) -> Vec<Hash> {
        if old == leaves.len() {
            return if whole { Vec::new() } else { vec![root(leaves)] };
        }
        let middle = split(leaves.len());
        let (left, right) = leaves.split_at(middle);
        let (mut proof, other) = if old <= middle {
            (sub(left, old, whole), root(right))
        } else {
            (sub(right, old - middle, false), root(left))
        };
        proof.push(other);
        proof
    }
    if old == 0 || old >= leaves.len() { Vec::new() } else { sub(leaves, old, true) }
}

/// True when the proof shows that a tree of `old` leaves with root `old_root` is the beginning of one of `new` leaves with root
/// `new_root` (RFC 9162, 2.1.4.2).
pub fn is_consistent(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == root(&[]);
    }
    if old > new {
        return false;
    }
    let mut proof = proof.iter();
    let (mut place, mut last) = (old - 1, new - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let first = if place == 0 { Some(old_root) } else { proof.next() };
    let Some(first) = first else { return false };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for other in proof {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            old_hash = node(other, &old_hash);
            new_hash = node(other, &new_hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node(&new_hash, other);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The eight entries of the tests of Google's certificate-transparency reference implementation, known from many logs.
    fn known() -> Vec<Hash> {
        let entries: [&[u8]; 8] = [
            b"",
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        entries.map(leaf_hash).into()
    }

    #[test]
    fn golden_roots() {
        let leaves = known();
        let roots = [1, 2, 3, 8].map(|count| hex::encode(root(&leaves[..count])));
        assert_eq!(
            roots,
            [
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            ]
        );
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|index| leaf_hash(&index.to_le_bytes())).collect()
    }

    proptest! {
        #[test]
        fn proofs_show_what_is_so_and_nothing_else(
            size in 1usize..70, index in 0usize..70, old in 0usize..70, bit in 0usize..256, at in 0usize..8,
        ) {
            let (leaves, index, old) = (leaves(size), index % size, old % (size + 1));
            let (all, count) = (root(&leaves), size as u64);
            let proof = inclusion_proof(&leaves, index);
            prop_assert!(is_included(&leaves[index], index as u64, count, &proof, &all));
            for other in 0..size {
                prop_assert_eq!(is_included(&leaves[index], other as u64, count, &proof, &all), other == index);
            }
            prop_assert!(!is_included(&leaf_hash(b"x"), index as u64, count, &proof, &all));
            let flip = |proof: &[Hash]| {
                let mut proof = proof.to_vec();
                let at = at % proof.len().max(1);
                if let Some(hash) = proof.get_mut(at) {
                    hash[bit / 8] ^= 1 << (bit % 8);
                }
                proof
            };
            prop_assert_eq!(is_included(&leaves[index], index as u64, count, &flip(&proof), &all), proof.is_empty());

            let before = root(&leaves[..old]);
            let proof = consistency_proof(&leaves, old);
            prop_assert!(is_consistent(old as u64, &before, count, &all, &proof));
            if old > 0 && old < size {
                prop_assert!(!is_consistent(old as u64, &before, count, &all, &flip(&proof)));
                prop_assert!(!is_consistent(old as u64, &leaf_hash(b"x"), count, &all, &proof));
                let mut removed = leaves.clone();
                removed.remove(index);
                let kept = index >= old;
                let proof = consistency_proof(&removed, old);
                prop_assert_eq!(is_consistent(old as u64, &before, count - 1, &root(&removed), &proof), kept);
            }
        }
    }
}
