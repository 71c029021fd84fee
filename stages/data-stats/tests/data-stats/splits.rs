//! The contract: size, splits, what it does not depend on.

use serde_json::{Value, json};
use stagewright_dataset::{Dataset, Preprocess};

use crate::{put, run, strings};

#[test]
fn a_contract_splits_as_the_stage_counted() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..40 {
        put(folder.path(), &format!("a/{i}.png"), [6, 6], i);
        if i % 2 == 0 {
            put(folder.path(), &format!("b/{i}.png"), [6, 6], 100 + i);
        }
    }
    let run = run(folder.path(), json!({ "split-seed": 3 })).unwrap();
    let contract = Preprocess::load(&run.outcome.path("preprocess")).unwrap();
    let dataset = Dataset::open(folder.path()).unwrap();
    dataset.check_classes(&contract).unwrap();
    let splits = dataset.splits(&contract.splits);
    // A fifth of 40 and of 20 for test; a tenth of what is left, 32 and 16, for validation.
    assert_eq!(dataset.class_counts(&splits.test), [8, 4]);
    assert_eq!(dataset.class_counts(&splits.validation), [3, 2]);
    for (name, list) in [("train", &splits.train), ("validation", &splits.validation), ("test", &splits.test)]
    {
        assert_eq!(run.outcome.metric(name), Some(list.len() as f64));
    }
    assert_eq!(contract.splits.seed, 3);
    assert_eq!(run.outcome.metric("imbalance"), Some(29.0 / 14.0));
}

#[test]
fn only_the_train_split_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..4 {
        put(folder.path(), &format!("train/a/{i}.png"), [6, 6], i);
    }
    let measured = |params: Value| run(folder.path(), params).unwrap().json("stats")["pixels"]["sum"].clone();
    let none = json!({ "validation-fraction": 0.0, "test-fraction": 0.0 });
    let before = measured(none.clone());
    put(folder.path(), "test/a/9.png", [6, 6], 9);
    assert_eq!(measured(none.clone()), before);
    put(folder.path(), "train/a/9.png", [6, 6], 90);
    assert_ne!(measured(none), before);
}

#[test]
fn automatic_size_is_the_most_common_within_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    for (i, size) in [[30, 40], [30, 40], [64, 64], [10, 10], [30, 40]].into_iter().enumerate() {
        put(folder.path(), &format!("a/{i}.png"), size, i as u64);
    }
    let none = |mut params: Value| {
        params["test-fraction"] = json!(0.0);
        params["validation-fraction"] = json!(0.0);
        run(folder.path(), params).unwrap().json("preprocess")["size"].clone()
    };
    assert_eq!(none(json!({})), json!([30, 40]));
    assert_eq!(none(json!({ "max-size": 20 })), json!([15, 20]));
    assert_eq!(none(json!({ "max-size": 1 })), json!([1, 1]));
    assert_eq!(none(json!({ "size": 24 })), json!([24, 24]));
    assert_eq!(none(json!({ "size": [12, 24], "resize": "crop" })), json!([12, 24]));
}

#[test]
fn a_class_without_training_samples_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "train/a/1.png", [6, 6], 1);
    put(folder.path(), "test/b/1.png", [6, 6], 2);
    let run = run(folder.path(), json!({})).unwrap();
    assert_eq!(run.outcome.warnings(), ["no sample of the train split shows `b`"]);
    assert_eq!(run.outcome.metric("imbalance"), None);
    assert_eq!(strings(&run.json("preprocess")["classes"]), ["a", "b"]);
}
