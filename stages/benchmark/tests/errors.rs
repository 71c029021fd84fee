//! What the stage says to bad input.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use common::{Short, bench, contract, dataset, fixture};
use serde_json::{Value, json};
use stagewright_onnx::{read_model, set_metadata, write_model};
use stagewright_sdk::{
    ErrorClass, Fault, StageFault,
    testing::{Bench, Outcome},
};

fn fault(outcome: Result<Outcome, StageFault>) -> Fault {
    outcome.err().expect("this is bad input").0
}

/// The fault of a run with fp32 as the first model and another as the second.
fn with_model(folder: &Path, model: PathBuf, contract: &Value) -> Fault {
    let bench =
        bench(folder, contract, json!({})).input("models", "fp32", "model/onnx", fixture("fp32.onnx"));
    fault(bench.input("models", "other", "model/onnx", model).run::<Short>())
}

#[test]
fn a_baseline_that_is_no_variant() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(folder.path(), &contract(), json!({ "baseline": "fp64" }));
    let bench = bench.input("models", "fp32", "model/onnx", fixture("fp32.onnx"));
    let fault = fault(bench.input("models", "int8", "model/onnx", fixture("int8.onnx")).run::<Short>());
    assert_eq!(fault.class, ErrorClass::User);
    assert_eq!(fault.message, "`baseline` is `fp64`, but no model has that name");
    assert_eq!(fault.hint.unwrap(), "the models are named fp32, int8");
}

#[test]
fn no_model_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let fault = fault(bench(folder.path(), &contract(), json!({})).run::<Short>());
    assert_eq!((fault.class, fault.message.as_str()), (ErrorClass::User, "no model is bound to `models`"));
}

#[test]
fn another_number_of_classes() {
    let folder = tempfile::tempdir().unwrap();
    let fault = with_model(folder.path(), fixture("five.onnx"), &contract());
    assert_eq!(fault.class, ErrorClass::User);
    assert_eq!(fault.message, "the model `other` tells 5 classes apart, the preprocessing contract names 6");
    assert!(fault.hint.unwrap().contains("trained with"));
}

#[test]
fn a_model_made_under_another_contract() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = contract();
    other["mean"][0] = json!(0.49);
    let mut model = read_model(&fixture("fp32.onnx")).unwrap();
    let mut save = |text: String| {
        set_metadata(&mut model, "stagewright.preprocess", &text);
        let path = folder.path().join("other.onnx");
        write_model(&model, &path).unwrap();
        path
    };
    let fault = with_model(folder.path(), save(other.to_string()), &contract());
    assert_eq!(fault.class, ErrorClass::User);
    assert_eq!(
        fault.message,
        "the model `other` was made under another preprocessing contract than the one bound here"
    );
    assert!(fault.hint.unwrap().contains("`preprocess` output"));

    let fault = with_model(folder.path(), save("{}".to_owned()), &contract());
    assert_eq!(fault.class, ErrorClass::User);
    assert!(fault.message.contains("the contract inside the model `other`"), "{}", fault.message);
}

#[test]
fn a_model_that_carries_this_contract_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = read_model(&fixture("fp32.onnx")).unwrap();
    // The same contract in other words: what it says counts, not its spaces.
    set_metadata(&mut model, "stagewright.preprocess", &serde_json::to_string_pretty(&contract()).unwrap());
    let path = folder.path().join("own.onnx");
    write_model(&model, &path).unwrap();
    let bench = bench(folder.path(), &contract(), json!({ "operators": false }));
    bench.input("models", "own", "model/onnx", path).run::<Short>().unwrap();
}

#[test]
fn a_model_for_four_images_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let fault = with_model(folder.path(), fixture("batch4.onnx"), &contract());
    assert_eq!(fault.class, ErrorClass::User);
    assert_eq!(fault.message, "the model `other` takes 4 images at a time, so it can't answer for one");
    assert_eq!(fault.hint.unwrap(), "export it with an open batch dimension, or one of 1");
}

#[test]
fn a_contract_of_another_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut large = contract();
    large["size"] = json!([16, 8]);
    let fault = with_model(folder.path(), fixture("int8.onnx"), &large);
    assert_eq!(fault.class, ErrorClass::User);
    assert_eq!(
        fault.message,
        "the model `fp32` takes images of 3×8×8, the preprocessing contract makes them 3×16×8"
    );
}

#[test]
fn a_dataset_without_a_test_split() {
    let folder = tempfile::tempdir().unwrap();
    let preprocess = folder.path().join("preprocess.json");
    fs::write(&preprocess, contract().to_string()).unwrap();
    let data = dataset(folder.path(), "train");
    let bench = Bench::new(folder.path().join("run"), json!({}))
        .input("models", "fp32", "model/onnx", fixture("fp32.onnx"))
        .input("data", "images", "dataset/images", &data)
        .input("preprocess", "stats", "preprocess", preprocess);
    let fault = fault(bench.run::<Short>());
    assert_eq!(fault.class, ErrorClass::User);
    assert_eq!(fault.message, format!("{} has no test split to measure on", data.display()));
    assert!(fault.hint.unwrap().contains("`test-fraction` above 0"));
}

#[test]
fn other_classes_in_the_dataset_than_in_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = contract();
    other["classes"][5] = json!("g");
    let fault = with_model(folder.path(), fixture("int8.onnx"), &other);
    assert_eq!(fault.class, ErrorClass::User);
    assert!(fault.message.contains("`g`") && fault.message.contains("`f`"), "{}", fault.message);
}

#[test]
fn a_file_that_is_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.onnx");
    let whole = fs::read(fixture("fp32.onnx")).unwrap();
    for bytes in [&b"not a model"[..], &whole[..whole.len() / 2], &[]] {
        fs::write(&path, bytes).unwrap();
        let fault = with_model(folder.path(), path.clone(), &contract());
        assert_eq!(fault.class, ErrorClass::User);
        assert!(fault.message.contains(&path.display().to_string()), "{}", fault.message);
    }
}

#[test]
fn unknown_params_and_a_run_that_is_called_off() {
    let folder = tempfile::tempdir().unwrap();
    let of = |params: Value| {
        let bench = bench(folder.path(), &contract(), params);
        bench.input("models", "fp32", "model/onnx", fixture("fp32.onnx"))
    };
    let unknown = fault(of(json!({ "batches": 4 })).run::<Short>());
    assert!(unknown.class == ErrorClass::User && unknown.message.contains("batches"), "{}", unknown.message);
    let duration = fault(of(json!({ "duration": "long" })).run::<Short>());
    assert!(duration.message.contains("`quick`, `standard`, `mlperf`"), "{}", duration.message);
    let cancelled = fault(of(json!({})).run_with_flag::<Short>(Arc::new(AtomicBool::new(true))));
    assert_eq!(cancelled.message, "cancelled");
}
