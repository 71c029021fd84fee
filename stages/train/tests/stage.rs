//! The stage as the host runs it, on a small dataset.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path};

use serde_json::{Value, json};
use stagewright_model::Checkpoint;
use stagewright_sdk::{ErrorClass, Event, Stage, StageFault, testing::Bench, testing::Outcome};
use stagewright_stage_train::{Train, params::Params, record::Epoch};
use tempfile::TempDir;

struct Work {
    folder: TempDir,
    contract: Value,
    policy: Option<Value>,
}

impl Work {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        common::dataset(&folder.path().join("images"), 16);
        Self { folder, contract: common::contract(), policy: None }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn bench(&self, name: &str, params: Value) -> Bench {
        let contract = self.path().join("preprocess.json");
        fs::write(&contract, self.contract.to_string()).unwrap();
        let mut bench = Bench::new(self.path().join(name), params)
            .input("data", "images", "dataset/images", self.path().join("images"))
            .input("preprocess", "preprocess", "preprocess", contract);
        if let Some(policy) = &self.policy {
            let path = self.path().join("policy.json");
            fs::write(&path, policy.to_string()).unwrap();
            bench = bench.input("policy", "policy", "augment/policy", path);
        }
        bench
    }

    fn run(&self, name: &str, params: Value) -> Outcome {
        self.bench(name, params).run::<Train>().unwrap()
    }

    fn fault(&self, params: Value) -> StageFault {
        self.bench("failing", params).run::<Train>().err().expect("the stage succeeded")
    }
}

fn read(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_training_learns_and_writes_what_it_promises() {
    let mut work = Work::new();
    work.policy = Some(json!({
        "format": "stagewright/policy@1",
        "train": [{ "transform": "horizontal-flip", "p": 0.5 }],
    }));
    let outcome = work.run("run", common::params_with(json!({ "epochs": 8, "label-smoothing": 0.0 })));
    let top1 = outcome.metric("test.top1").unwrap();
    assert!(top1 > 80.0, "test.top1 is {top1} %");

    let checkpoint = Checkpoint::load(&outcome.path("model")).unwrap();
    assert_eq!(checkpoint.preprocess, fs::read(work.path().join("preprocess.json")).unwrap());
    assert_eq!(checkpoint.parameters() as f64, outcome.metric("parameters").unwrap());
    assert_eq!(checkpoint.training["seed"], 0);

    let metrics = read(outcome.path("metrics"));
    assert_eq!(metrics["test.top1"], top1);
    let curves = read(outcome.path("curves"));
    let epochs: Vec<Epoch> = serde_json::from_value(curves["epochs"].clone()).unwrap();
    assert_eq!(epochs.len(), 8);
    assert_eq!(epochs[7].step, 8 * (36 / 8));
    assert!(epochs[7].train.loss < epochs[0].train.loss / 2.0, "{epochs:?}");
    let best = epochs.iter().map(|epoch| epoch.validation.unwrap().top1).fold(0.0, f64::max);
    assert_eq!(metrics["validation.top1"], best, "the kept weights are the best epoch's");
    let samples = curves["gradients"]["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 8, "every 4 of 32 steps");
    let norms = samples[0]["norms"].as_array().unwrap();
    assert_eq!(norms.len(), curves["gradients"]["parameters"].as_array().unwrap().len());
    let together = norms.iter().map(|norm| norm.as_f64().unwrap().powi(2)).sum::<f64>().sqrt();
    assert!((together / samples[0]["total"].as_f64().unwrap() - 1.0).abs() < 1e-4, "{together}");
    assert!(
        outcome.events.iter().any(|event| matches!(event, Event::Progress { unit, .. } if unit == "images"))
    );
    assert!(outcome.metric("memory.peak").unwrap() > 10.0);
}

#[test]
fn the_same_seed_gives_the_same_bytes_however_batches_are_prepared() {
    let work = Work::new();
    let model = |name: &str, change: Value, seed| {
        let outcome = work.bench(name, common::params_with(change)).seed(seed).run::<Train>().unwrap();
        fs::read(outcome.path("model").join("model.safetensors")).unwrap()
    };
    let first = model("first", json!({}), 1);
    assert_eq!(first, model("second", json!({}), 1));
    assert_eq!(first, model("ahead", json!({ "prefetch": 3 }), 1));
    assert_ne!(first, model("other", json!({}), 2));
}

#[test]
fn early_stopping_ends_a_training_that_does_not_improve() {
    let work = Work::new();
    let params = json!({
        "epochs": 20,
        "optimizer": { "kind": "sgd", "lr": 0.0 },
        "schedule": { "kind": "constant" },
        "early-stopping": { "monitor": "train-top1", "patience": 2, "min-delta": 60.0 },
    });
    let outcome = work.run("run", common::params_with(params));
    assert_eq!(outcome.metric("epochs"), Some(3.0));
    assert_eq!(read(outcome.path("curves"))["stopped-early"], true);
}

#[test]
fn bf16_ema_and_the_last_small_batch_work_together() {
    let work = Work::new();
    let params =
        json!({ "precision": "bf16", "ema-decay": 0.9, "drop-last": false, "clip-norm": 1.0, "epochs": 6 });
    let outcome = work.run("run", common::params_with(params));
    let epochs = read(outcome.path("curves"));
    assert_eq!(epochs["epochs"][0]["step"], 5, "36 images in batches of 8");
    assert!(outcome.metric("test.top1").unwrap() > 60.0, "{:?}", outcome.metric("test.top1"));
}

#[test]
fn an_automatic_batch_fits_its_budget() {
    let work = Work::new();
    // Far more than a training of such images needs: the cap decides.
    let params = json!({ "batch-size": "auto", "max-batch-size": 16, "memory-budget": 64_000_000_000_u64, "epochs": 1 });
    assert_eq!(work.run("wide", common::params_with(params)).metric("batch-size"), Some(16.0));
    let params = json!({ "batch-size": "auto", "memory-budget": 1000, "epochs": 1 });
    let fault = work.fault(common::params_with(params));
    assert_eq!(fault.0.class, ErrorClass::User);
    assert!(fault.0.message.starts_with("`batch-size: auto`: 0.0 MiB are left for training"), "{fault}");
}

#[test]
fn a_cycled_beta1_is_warned_of() {
    let work = Work::new();
    let params = json!({ "epochs": 1, "schedule": { "kind": "one-cycle", "cycle-momentum": true } });
    let outcome = work.run("run", common::params_with(params));
    assert!(
        outcome.warnings().iter().any(|text| text.contains("`optimizer.beta1` 0.9 is never used")),
        "{:?}",
        outcome.warnings()
    );
    let quiet = work.run("quiet", common::params_with(json!({ "epochs": 1 })));
    assert!(quiet.warnings().is_empty(), "{:?}", quiet.warnings());
}

#[test]
fn a_state_that_does_not_belong_is_left_alone_with_a_warning() {
    let work = Work::new();
    work.run("run", common::params_with(json!({ "epochs": 1 })));
    let outcome = work.run("run", common::params_with(json!({ "epochs": 2 })));
    let warnings = outcome.warnings();
    assert!(
        warnings[0].contains("training starts anew") && warnings[0].contains("other params or data"),
        "{warnings:?}"
    );
    assert_eq!(outcome.metric("epochs"), Some(2.0));
}

#[test]
fn divergence_stops_the_training_and_names_the_layer() {
    let work = Work::new();
    let fault = work.fault(common::params_with(json!({
        "optimizer": { "kind": "sgd", "lr": 1e30, "weight-decay": 0.0 },
        "schedule": { "kind": "constant" },
    })));
    assert_eq!(fault.0.class, ErrorClass::User);
    let message = &fault.0.message;
    assert!(
        message.starts_with("training diverged in epoch 1, step 2, at learning rate 1.000e30: the loss is "),
        "{message}"
    );
    assert!(
        message.contains("layer `conv1`") || message.contains("layer `layer") || message.contains("weight `"),
        "{message}"
    );
    assert!(fault.0.hint.as_deref().unwrap().contains("lower `optimizer.lr`"));

    let fault = work.fault(common::params_with(json!({ "explosion-norm": 1e-6 })));
    assert!(
        fault.0.message.contains("the gradients exploded")
            && fault.0.message.contains("the largest is that of `"),
        "{fault}"
    );
}

#[test]
fn bad_inputs_say_what_is_wrong() {
    let mut work = Work::new();
    let fault = work.fault(common::params_with(json!({ "batch-size": 64 })));
    assert_eq!(fault.to_string(), "`batch-size` is 64, but there are only 36 training images");
    assert_eq!(fault.0.hint.as_deref(), Some("set `batch-size` to 36 or less, or add images"));

    let fault = work.fault(common::params_with(
        json!({ "architecture": { "kind": "resnet", "depths": [1], "widths": [4, 8] } }),
    ));
    assert!(
        fault.to_string().starts_with("`architecture` is not a network: `depths` has 1 entries"),
        "{fault}"
    );

    let fault = work.fault(common::params_with(json!({ "label-smoothing": 1.5 })));
    assert_eq!(fault.to_string(), "`label-smoothing` is 1.5, it must be from 0 to 0.999");

    let fault = work.fault(common::params_with(json!({ "epoch": 3 })));
    assert!(fault.to_string().contains("unknown field `epoch`"), "{fault}");

    work.contract["classes"] = json!(["across", "checked", "dotted"]);
    let fault = work.fault(common::params());
    assert_eq!(fault.0.class, ErrorClass::User);
    assert!(
        fault.to_string().contains("only in the contract: `dotted`; only in the dataset: `down`"),
        "{fault}"
    );

    work.contract = common::contract();
    work.contract["format"] = json!("stagewright/preprocess@9");
    let fault = work.fault(common::params());
    assert!(fault.to_string().contains("its format is `stagewright/preprocess@9`"), "{fault}");

    work.contract = common::contract();
    work.policy = Some(json!({ "format": "stagewright/policy@9", "train": [] }));
    let fault = work.fault(common::params());
    assert!(fault.to_string().contains("stagewright/policy@9"), "{fault}");
}

#[test]
fn a_dataset_without_training_images_is_refused() {
    let work = Work::new();
    fs::remove_dir_all(work.path().join("images/train")).unwrap();
    let fault = work.fault(common::params());
    assert_eq!(fault.0.class, ErrorClass::User);
    assert!(
        fault
            .to_string()
            .contains("has no training images: of 24 samples, 0 are for validation and 24 for test"),
        "{fault}"
    );
}

#[test]
fn without_validation_images_the_last_epoch_is_kept_and_said_so() {
    let mut work = Work::new();
    work.contract["splits"]["validation-fraction"] = json!(0.0);
    let outcome = work.run("run", common::params_with(json!({ "epochs": 2 })));
    assert_eq!(outcome.metric("best.epoch"), Some(2.0));
    assert_eq!(outcome.metric("validation.top1"), None);
    assert!(
        outcome.warnings()[0].contains("the weights of the last epoch are kept"),
        "{:?}",
        outcome.warnings()
    );
    let stopping = json!({ "early-stopping": { "monitor": "validation-loss" } });
    let fault = work.fault(common::params_with(stopping));
    assert!(fault.to_string().contains("`early-stopping` watches validation images"), "{fault}");
}

#[test]
fn the_manifest_documents_every_param() {
    let manifest = Train::manifest();
    let properties = manifest.params["properties"].as_object().unwrap();
    let defaults = serde_json::to_value(Params::default()).unwrap();
    for (name, default) in defaults.as_object().unwrap() {
        let schema = &properties[name];
        assert!(schema["description"].is_string(), "{name} has no description");
        assert_eq!(&schema["default"], default, "{name}");
    }
    assert!(manifest.inputs["data"].refuses_test_data);
    assert!(!manifest.inputs["policy"].required);
}
