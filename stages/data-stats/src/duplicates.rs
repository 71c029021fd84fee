//! Groups of images that are the same or nearly so, and those that reach over splits.

use std::collections::HashMap;

use rayon::prelude::*;

/// Sorted members of one group, at least two.
pub type Group = Vec<usize>;

/// Groups of samples with equal keys, members ascending, groups by their first member.
pub fn equal_groups<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = (usize, K)>) -> Vec<Group> {
    let mut by_key: HashMap<K, Group> = HashMap::new();
    for (index, key) in keys {
        by_key.entry(key).or_default().push(index);
    }
    tidy(by_key.into_values())
}

/// Groups of samples whose hashes are linked by steps of at most `distance` differing bits.
pub fn near_groups(hashes: &[(usize, u64)], distance: u32) -> Vec<Group> {
    let mut by_hash: HashMap<u64, Group> = HashMap::new();
    for &(index, hash) in hashes {
        by_hash.entry(hash).or_default().push(index);
    }
    if distance == 0 {
        return tidy(by_hash.into_values());
    }
    let mut unique: Vec<u64> = by_hash.keys().copied().collect();
    unique.sort_unstable();
    let mut parents: Vec<usize> = (0..unique.len()).collect();
    for block in blocks(distance) {
        for (a, b) in links(&unique, block, distance) {
            let (a, b) = (root(&mut parents, a), root(&mut parents, b));
            parents[a.max(b)] = a.min(b);
        }
    }
    let mut joined: HashMap<usize, Group> = HashMap::new();
    for (at, hash) in unique.iter().enumerate() {
        let members = by_hash.remove(hash).unwrap_or_default();
        joined.entry(root(&mut parents, at)).or_default().extend(members);
    }
    tidy(joined.into_values())
}

/// Masks of `distance + 1` blocks of the 64 bits: hashes that differ in at most `distance` bits agree in one of them.
fn blocks(distance: u32) -> impl Iterator<Item = u64> {
    let count = distance + 1;
    (0..count).map(move |block| {
        let (start, end) = (64 * block / count, 64 * (block + 1) / count);
        let ones = |bits: u32| if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
        ones(end) & !ones(start)
    })
}

/// Pairs that agree in the block and are near enough.
fn links(unique: &[u64], block: u64, distance: u32) -> Vec<(usize, usize)> {
    let mut buckets: HashMap<u64, Vec<usize>> = HashMap::new();
    for (at, hash) in unique.iter().enumerate() {
        buckets.entry(hash & block).or_default().push(at);
    }
    let near = |a: usize, b: usize| (unique[a] ^ unique[b]).count_ones() <= distance;
    let buckets: Vec<Vec<usize>> = buckets.into_values().filter(|bucket| bucket.len() > 1).collect();
    buckets
        .par_iter()
        .flat_map_iter(|bucket| {
            bucket.iter().enumerate().flat_map(move |(at, &a)| {
                bucket[at + 1..].iter().filter(move |&&b| near(a, b)).map(move |&b| (a, b))
            })
        })
        .collect()
}

fn root(parents: &mut [usize], mut at: usize) -> usize {
    while parents[at] != at {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    at
}

fn tidy(groups: impl Iterator<Item = Group>) -> Vec<Group> {
    let mut groups: Vec<Group> = groups.filter(|group| group.len() > 1).collect();
    for group in &mut groups {
        group.sort_unstable();
    }
    groups.sort_unstable();
    groups
}

/// Members of a group that leak: those outside the first split that the group reaches, in the order train, validation,
/// test. `split` gives a sample's place in that order, or `None` if it is in no split.
pub fn leaking(group: &[usize], split: impl Fn(usize) -> Option<usize>) -> Vec<usize> {
    let first = group.iter().filter_map(|&index| split(index)).min();
    group.iter().copied().filter(|&index| split(index).is_some() && split(index) != first).collect()
}
