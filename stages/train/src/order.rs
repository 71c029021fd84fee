//! In which order an epoch visits the training images.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// A permutation of `0..count` that depends on nothing but (`seed`, `epoch`): a resumed training makes it again.
pub fn permutation(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    draw.set_stream(epoch);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        // Multiply and shift: uniform up to 2⁻⁶⁴·count.
        let other = (u128::from(draw.next_u64()) * (last as u128 + 1)) >> 64;
        order.swap(last, other as usize);
    }
    order
}

/// Number of batches in an epoch.
pub fn batches(images: usize, batch: usize, drop_last: bool) -> usize {
    if drop_last { images / batch } else { images.div_ceil(batch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_visited_once_in_an_order_of_seed_and_epoch() {
        let order = permutation(1000, 3, 5);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_eq!(order, permutation(1000, 3, 5));
        assert_ne!(order, permutation(1000, 3, 6));
        assert_ne!(order, permutation(1000, 4, 5));
    }

    #[test]
    fn places_are_uniform() {
        // 6,000 orders of 3: each of the 6 has 1,000 expected, with a standard deviation of 29.
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..6000 {
            *counts.entry(permutation(3, 0, epoch)).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_last_batch_counts_where_it_is_kept() {
        assert_eq!(batches(10, 4, true), 2);
        assert_eq!(batches(10, 4, false), 3);
        assert_eq!(batches(8, 4, false), 2);
    }
}
