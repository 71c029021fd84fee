//! The whole stage on a small dataset.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use serde_json::json;
use stagewright_dataset::Image;
use stagewright_onnx::{Session, SessionOptions};
use stagewright_sdk::{ErrorClass, GateStatus, StageFault, testing::Bench};
use stagewright_stage_onnx::Onnx;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/onnx/every_op")
}

/// Four classes of a few images, each of its own pattern, 8×8 and larger.
fn dataset(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    for (label, class) in ["a", "b", "c", "d"].iter().enumerate() {
        std::fs::create_dir_all(data.join(class)).unwrap();
        for index in 0..6 {
            let side = 8 + 4 * (index % 2);
            let pixels =
                (0..side * side * 3).map(|i| ((i * (7 + 5 * label) + 31 * index) % 251) as u8).collect();
            let image = Image::from_pixels(side, side, pixels).unwrap();
            std::fs::write(data.join(class).join(format!("{index}.png")), image.to_png()).unwrap();
        }
    }
    data
}

fn bench(folder: &Path, params: serde_json::Value) -> Bench {
    let contract = fixture().join("preprocess.json");
    Bench::new(folder.join("run"), params)
        .input("model", "train", "model/checkpoint", fixture())
        .input("data", "images", "dataset/images", dataset(folder))
        .input("preprocess", "stats", "preprocess", contract)
}

#[test]
fn a_checkpoint_becomes_a_model_that_computes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = bench(folder.path(), json!({ "opset": 20 })).run::<Onnx>().unwrap();
    let path = outcome.path("model");
    let session = Session::open(&path, &SessionOptions::default()).unwrap();
    assert_eq!(session.metadata("stagewright.classes").unwrap(), r#"["a","b","c","d"]"#);
    let contract = std::fs::read_to_string(fixture().join("preprocess.json")).unwrap();
    assert_eq!(session.metadata("stagewright.preprocess").unwrap(), contract);

    assert_eq!(outcome.metric("parity.agreement"), Some(100.0));
    assert!(outcome.metric("parity.max-abs").unwrap() < 1e-4);
    assert!(outcome.metric("parity.tolerance-used").unwrap() < 1.0);
    assert_eq!(outcome.result.gates.len(), 1);
    assert_eq!(outcome.result.gates[0].status, GateStatus::Passed);
    let report = std::fs::read_to_string(outcome.path("report")).unwrap();
    // A quarter of 6 images a class is for test, a quarter of the rest for validation: 1 each.
    assert!(report.contains("4 samples of the validation split"), "{report}");
    for batch in ["| 1 | 8×8 | 4 |", "| 3 | 8×8 | 4 |", "| 4 | 8×8 | 4 |"] {
        assert!(report.contains(batch), "{batch} is missing in {report}");
    }
    let metrics: serde_json::Value =
        serde_json::from_slice(&std::fs::read(outcome.path("metrics")).unwrap()).unwrap();
    assert_eq!(metrics["operators"]["Gelu"], 1);
    assert_eq!(metrics["runs"].as_array().unwrap().len(), 3);
}

#[test]
fn a_fixed_batch_runs_with_that_batch() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = bench(folder.path(), json!({ "fixed-batch": 3 })).run::<Onnx>().unwrap();
    let session = Session::open(&outcome.path("model"), &SessionOptions::default()).unwrap();
    assert_eq!(session.input().batch, Some(3));
    // 4 samples, padded to 6.
    assert!(std::fs::read_to_string(outcome.path("report")).unwrap().contains("| 3 | 8×8 | 6 |"));
}

fn fault(bench: Bench) -> StageFault {
    bench.run::<Onnx>().err().unwrap()
}

#[test]
fn another_contract_than_the_checkpoints_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(fixture().join("preprocess.json"))
        .unwrap()
        .replace("0.25,\n  0.2,", "0.5,\n  0.2,");
    let contract = folder.path().join("preprocess.json");
    std::fs::write(&contract, text).unwrap();
    let bench = Bench::new(folder.path().join("run"), json!({}))
        .input("model", "train", "model/checkpoint", fixture())
        .input("data", "images", "dataset/images", dataset(folder.path()))
        .input("preprocess", "stats", "preprocess", &contract);
    let fault = fault(bench);
    let text = fault.to_string();
    assert!(
        text.starts_with("the checkpoint was trained under another preprocessing contract than "),
        "{text}"
    );
    assert!(text.contains("`std` is [0.5,"), "{text}");
    assert!(text.contains("trained with [0.25,"), "{text}");
    assert_eq!(fault.0.class, ErrorClass::User);
}

#[test]
fn a_tolerance_that_is_not_kept_fails_and_names_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let fault = fault(bench(folder.path(), json!({ "parity": { "rtol": 0.0, "atol": 0.0 } })));
    let text = fault.to_string();
    assert!(text.starts_with("ONNX Runtime computes something else than libtorch: logit "), "{text}");
    assert!(text.contains(".png is "), "{text}");
}

#[test]
fn other_classes_and_a_missing_checkpoint_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::rename(dataset(folder.path()).join("d"), folder.path().join("data/e")).unwrap();
    let contract = fixture().join("preprocess.json");
    let bench = |model: PathBuf| {
        Bench::new(folder.path().join("run"), json!({}))
            .input("model", "train", "model/checkpoint", model)
            .input("data", "images", "dataset/images", folder.path().join("data"))
            .input("preprocess", "stats", "preprocess", &contract)
    };
    assert!(
        fault(bench(fixture()))
            .to_string()
            .starts_with("the dataset has other classes than the preprocessing contract")
    );
    let missing = fault(bench(folder.path().join("none")));
    assert!(missing.to_string().starts_with("cannot read "), "{missing}");
    assert_eq!(missing.0.hint.unwrap(), "bind `model` to the output of train or prune");
}
