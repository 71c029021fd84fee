//! Splits and stratified samples.

use std::{collections::BTreeSet, fs, path::Path};

use stagewright_dataset::{Dataset, SplitRule, Splits, stratified};

use crate::expected;

/// Files without content: splitting reads names only.
fn dataset(root: &Path, ids: impl Iterator<Item = String>) -> Dataset {
    for id in ids {
        let path = root.join(id);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    Dataset::open(root).unwrap()
}

fn numbered(folder: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |i| format!("{folder}/{i:02}.png"))
}

fn names(dataset: &Dataset, indices: &[usize]) -> Vec<String> {
    indices.iter().map(|&index| dataset.samples[index].id.clone()).collect()
}

fn rule(validation_fraction: f64, test_fraction: f64) -> SplitRule {
    SplitRule { validation_fraction, test_fraction, seed: 5, exclude: Vec::new() }
}

#[test]
fn a_flat_dataset_is_split_as_the_format_says() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), numbered("a", 23).chain(numbered("b", 8)));
    let splits = dataset.splits(&rule(0.15, 0.2));
    let expected = expected("splits");
    for (name, ours) in [("train", &splits.train), ("validation", &splits.validation), ("test", &splits.test)]
    {
        let theirs: Vec<String> = serde_json::from_value(expected[name].clone()).unwrap();
        assert_eq!(names(&dataset, ours), theirs, "{name}");
        assert!(ours.is_sorted());
    }
    let other = dataset.splits(&SplitRule { seed: 6, ..rule(0.15, 0.2) });
    assert_ne!(other, splits, "another seed chooses others");
    assert_eq!(other.test.len(), splits.test.len());
}

#[test]
fn a_sample_keeps_its_split_when_others_come() {
    let folder = tempfile::tempdir().unwrap();
    let small = dataset(folder.path(), numbered("a", 50));
    let before: BTreeSet<String> = names(&small, &small.splits(&rule(0.0, 0.2)).test).into_iter().collect();
    let large = dataset(folder.path(), numbered("a", 60));
    let after: BTreeSet<String> = names(&large, &large.splits(&rule(0.0, 0.2)).test).into_iter().collect();
    // Two more are taken; at most the ten new ones can push old ones out.
    let kept = before.intersection(&after).count();
    assert!(after.len() == 12 && kept >= 8, "{kept} of {} kept", before.len());
}

#[test]
fn parts_of_the_folders_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let ids = numbered("train/a", 10).chain(numbered("test/a", 4)).chain(numbered("train/b", 10));
    let dataset = dataset(folder.path(), ids);
    let splits = dataset.splits(&rule(0.2, 0.5));
    assert_eq!(
        names(&dataset, &splits.test),
        numbered("test/a", 4).collect::<Vec<_>>(),
        "test-fraction is not used"
    );
    assert_eq!((splits.train.len(), splits.validation.len()), (16, 4));
    assert_eq!(dataset.class_counts(&splits.validation), [2, 2]);
    let Splits { train, validation, .. } = dataset.splits(&rule(0.0, 0.0));
    assert_eq!((train.len(), validation.len()), (20, 0));
}

#[test]
fn excluded_samples_are_in_no_split() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), numbered("train/a", 10).chain(numbered("test/a", 2)));
    let exclude = vec!["test/a/01.png".to_owned(), "train/a/03.png".to_owned()];
    let splits = dataset.splits(&SplitRule { exclude: exclude.clone(), ..rule(0.0, 0.0) });
    assert_eq!((splits.train.len(), splits.test.len()), (9, 1));
    let all: Vec<String> =
        [splits.train, splits.test].iter().flat_map(|list| names(&dataset, list)).collect();
    assert!(exclude.iter().all(|id| !all.contains(id)));
}

#[test]
fn stratified_samples_have_each_class_in_proportion() {
    let folder = tempfile::tempdir().unwrap();
    let ids = numbered("a", 50).chain(numbered("b", 30)).chain(numbered("c", 20));
    let dataset = dataset(folder.path(), ids);
    let all: Vec<usize> = (0..100).collect();
    let pick = |count, seed| stratified(&dataset, &all, count, seed);
    assert_eq!(dataset.class_counts(&pick(10, 0)), [5, 3, 2]);
    // Shares of 7 are 3.5, 2.1, 1.4: the largest remainder gets the seventh.
    assert_eq!(dataset.class_counts(&pick(7, 0)), [4, 2, 1]);
    assert_eq!(dataset.class_counts(&pick(1, 0)), [1, 0, 0]);
    assert!(pick(33, 0).is_sorted());
    assert_eq!(pick(33, 0), pick(33, 0));
    assert_ne!(pick(33, 0), pick(33, 1));
    assert_eq!(pick(100, 0), all);
    assert_eq!(pick(1000, 0), all);
    assert_eq!(pick(0, 0), Vec::<usize>::new());
    assert_eq!(stratified(&dataset, &[], 5, 0), Vec::<usize>::new());
    // A smaller sample of one seed is part of a larger one, class by class.
    let large: BTreeSet<usize> = pick(50, 0).into_iter().collect();
    assert!(pick(10, 0).iter().all(|index| large.contains(index)));
    // Only of what was offered.
    let even: Vec<usize> = (0..100).step_by(2).collect();
    assert!(stratified(&dataset, &even, 20, 3).iter().all(|index| index % 2 == 0));
}
