//! Whole runs of the stage, against PyTorch where something is computed (fixtures made by `tests/fixtures/prune/make.py`).
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    sync::{Arc, atomic::AtomicBool},
};

use common::{Place, contract, expected, fixture, network};
use serde_json::{Value, json};
use stagewright_model::{Checkpoint, decode, prune::unstructured};
use stagewright_sdk::{Event, Stage, testing::Outcome};
use stagewright_stage_prune::{Prune, measure::median};

fn model(outcome: &Outcome) -> Checkpoint {
    Checkpoint::load(&outcome.path("model")).unwrap()
}

fn metrics(outcome: &Outcome) -> Value {
    serde_json::from_slice(&fs::read(outcome.path("metrics")).unwrap()).unwrap()
}

fn report(outcome: &Outcome) -> String {
    fs::read_to_string(outcome.path("report")).unwrap()
}

fn assert_near(found: Option<f64>, wanted: &Value, tolerance: f64) {
    let (found, wanted) = (found.unwrap(), wanted.as_f64().unwrap());
    assert!((found - wanted).abs() < tolerance, "{found} is not {wanted}");
}

fn structured(ratio: f64, round_to: u32) -> Value {
    json!({ "kind": "structured", "ratio": ratio, "round-to": round_to })
}

#[test]
fn channels_are_taken_out_and_judged_as_pytorch_does() {
    let place = Place::new();
    let outcome =
        place.run(json!({ "method": structured(0.5, 1), "latency": { "repetitions": 5 } })).unwrap();
    let pruned = model(&outcome);
    assert_eq!(pruned.tensors, decode(&fixture("pruned-l2.safetensors")).unwrap());
    // The contract goes along byte for byte, and the training's own words.
    assert_eq!(pruned.preprocess, contract(0.0));
    assert_eq!(pruned.training["parent"]["epochs"], 7);
    assert_eq!(pruned.training["params"]["method"]["ratio"], 0.5);

    let judged = &expected()["judged"];
    assert_near(outcome.metric("validation.loss"), &judged["structured"]["loss"], 1e-4);
    assert_near(outcome.metric("validation.top1"), &judged["structured"]["top1"], 1e-9);
    assert_near(outcome.metric("validation.top1.before"), &judged["before"]["top1"], 1e-9);
    let metrics = metrics(&outcome);
    assert_near(metrics["states"]["before"]["loss"].as_f64(), &judged["before"]["loss"], 1e-4);

    // Counted here from the tensors, not by the crate that counted there.
    let trainable = |checkpoint: &Checkpoint| checkpoint.parameters() as f64;
    assert_eq!(outcome.metric("parameters"), Some(trainable(&pruned)));
    assert_eq!(outcome.metric("parameters.before"), Some(trainable(&network())));
    let file = fs::metadata(outcome.path("model").join("model.safetensors")).unwrap().len();
    assert_eq!(outcome.metric("file.size"), Some(file as f64));
    assert_eq!(outcome.metric("file.size.before"), Some(fixture("network.safetensors").len() as f64));
    // conv1 keeps 2 of 4 filters: 2·16·16 outputs of 3·3·3 products.
    assert_eq!(metrics["layers"][0]["layer"], "conv1");
    assert_eq!(metrics["layers"][0]["macs"], json!([4 * 256 * 27, 2 * 256 * 27]));
    assert_eq!(metrics["layers"][0]["weight"], json!([[4, 3, 3, 3], [2, 3, 3, 3]]));
    let latency = outcome.metric("latency.median").unwrap();
    assert!(latency > 0.0 && outcome.metric("latency.speed-up").unwrap() > 0.0);

    let report = report(&outcome);
    for wanted in [
        "| conv1 | 4×3×3×3 → 2×3×3×3 | 108 → 54 | 27648 → 13824 | 0.0 % |",
        "| conv1, a.conv2 | 4 | 2 |  |",
        "| fc | 5 | 0 | network input or output |",
        "Accuracy is that of 20 validation images.",
        "ms before",
    ] {
        assert!(report.contains(wanted), "{wanted:?} is not in\n{report}");
    }
    assert!(!report.contains("no faster"));
    // Times differ from run to run and so are not in the file that later stages take.
    assert!(!metrics.to_string().contains("latency"));
}

#[test]
fn weights_are_zeroed_and_judged_as_pytorch_does() {
    let place = Place::new();
    let method = json!({ "kind": "unstructured", "amount": 0.5 });
    let outcome = place.run(json!({ "method": method, "latency": { "repetitions": 0 } })).unwrap();
    let judged = &expected()["judged"]["unstructured"];
    assert_near(outcome.metric("validation.loss"), &judged["loss"], 1e-4);
    assert_near(outcome.metric("validation.top1"), &judged["top1"], 1e-9);
    let before = network();
    let masks = unstructured(&before, 0.5, &BTreeSet::new()).unwrap();
    assert_near(outcome.metric("sparsity"), &json!(masks.pruned as f64 / masks.ranked as f64), 1e-12);
    let pruned = model(&outcome);
    assert_eq!(pruned.architecture, before.architecture);
    assert_eq!(outcome.metric("file.size"), outcome.metric("file.size.before"));
    assert_eq!(outcome.metric("macs"), outcome.metric("macs.before"));
    let report = report(&outcome);
    assert!(report.contains("**This makes the network no faster on dense kernels.**"), "{report}");
    assert_eq!(outcome.metric("latency.median"), None);
    assert!(!report.contains("Measured latency"));
}

#[test]
fn a_ratio_of_zero_gives_the_same_files() {
    let place = Place::new();
    let outcome =
        place.run(json!({ "method": structured(0.0, 8), "latency": { "repetitions": 0 } })).unwrap();
    for name in ["model.safetensors", "architecture.json", "preprocess.json"] {
        let read = |folder: &std::path::Path| fs::read(folder.join(name)).unwrap();
        assert_eq!(read(&outcome.path("model")), read(&place.path("model")), "{name}");
    }
    assert_eq!(outcome.warnings().len(), 1, "{:?}", outcome.warnings());
    assert!(outcome.warnings()[0].contains("no channel was taken out"));
}

fn tuning(method: Value) -> Value {
    json!({
        "method": method, "latency": { "repetitions": 0 },
        "fine-tune": { "epochs": 4, "batch-size": 10, "optimizer": { "kind": "adamw", "lr": 0.005 } }
    })
}

#[test]
fn fine_tuning_leaves_pruned_weights_at_zero_and_repeats_itself() {
    let place = Place::new();
    let params = tuning(json!({ "kind": "unstructured", "amount": 0.6 }));
    let outcome = place.run(params.clone()).unwrap();
    let (before, after) = (network(), model(&outcome));
    let masks = unstructured(&before, 0.6, &BTreeSet::new()).unwrap();
    let mut moved = 0;
    for (name, keep) in &masks.keep {
        for ((was, is), keep) in before.tensors[name].data.iter().zip(&after.tensors[name].data).zip(keep) {
            match keep {
                true => moved += usize::from(was != is),
                false => assert_eq!(is.to_bits(), 0, "a pruned weight of {name} is {is}"),
            }
        }
    }
    assert!(moved > (masks.ranked - masks.pruned) / 2, "only {moved} weights were trained");
    // Better than before it, or it would not have been kept.
    let top1 = |name: &str| outcome.metric(name).unwrap();
    assert!(
        top1("validation.top1") > top1("validation.top1.pruned"),
        "{} is not above {}",
        top1("validation.top1"),
        top1("validation.top1.pruned")
    );
    let losses: Vec<f64> = outcome
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Metric { name, value, .. } if name == "fine-tune.train.loss" => Some(*value),
            _ => None,
        })
        .collect();
    assert_eq!(losses.len(), 4);
    assert!(losses[3] < losses[0], "{losses:?}");
    assert!(report(&outcome).contains("| epoch | training loss | validation top-1 % |"));

    let again = place.run(params.clone()).unwrap();
    let bytes = |outcome: &Outcome, name: &str| fs::read(outcome.path("model").join(name)).unwrap();
    for name in ["model.safetensors", "training.json"] {
        assert_eq!(bytes(&outcome, name), bytes(&again, name), "{name}");
    }
    assert_eq!(metrics(&outcome), metrics(&again));
    let other = place.bench(params).seed(1).run::<Prune>().unwrap();
    assert_ne!(bytes(&outcome, "model.safetensors"), bytes(&other, "model.safetensors"));
}

#[test]
fn a_network_without_some_channels_is_trained_on() {
    let place = Place::new();
    let outcome = place.run(tuning(structured(0.3, 2))).unwrap();
    let tuned = model(&outcome);
    assert!(tuned.parameters() < network().parameters());
    let (start, end) =
        (outcome.metric("validation.top1.pruned").unwrap(), outcome.metric("validation.top1").unwrap());
    assert!(end > start, "{end} is not above {start}");
    let metrics = metrics(&outcome);
    let best = metrics["fine-tuning"]["best"].as_u64().unwrap() as usize;
    assert_eq!(metrics["fine-tuning"]["epochs"][best - 1]["validation-top1"].as_f64(), Some(end));
}

#[test]
fn a_training_that_only_harms_is_not_kept() {
    let place = Place::new();
    let mut params = tuning(structured(0.3, 2));
    params["fine-tune"]["optimizer"]["lr"] = json!(0.0);
    params["fine-tune"]["epochs"] = json!(1);
    // The learning rate is 0, so nothing moves but batch norm's statistics.
    let outcome = place.run(params.clone()).unwrap();
    let metrics = metrics(&outcome);
    let (start, end) =
        (outcome.metric("validation.top1.pruned").unwrap(), outcome.metric("validation.top1").unwrap());
    assert!(end >= start);
    let best = metrics["fine-tuning"]["best"].as_u64().unwrap();
    assert_eq!(best == 0, end == start, "epoch {best} is kept, with {start} before and {end} after");
    params["fine-tune"]["optimizer"]["lr"] = json!(1e12);
    params["fine-tune"]["epochs"] = json!(3);
    match place.run(params) {
        // Either the trainer stops it or its epochs are worse.
        Err(fault) => assert!(fault.0.hint.unwrap().contains("lower `fine-tune.optimizer.lr`")),
        Ok(outcome) => assert!(outcome.metric("validation.top1").unwrap() >= start),
    }
}

#[test]
fn sensitivity_is_a_curve_for_each_layer_or_group() {
    let place = Place::new();
    let sensitivity = json!({ "amounts": [0.0, 0.5, 0.9], "images": 0 });
    for (method, names) in [
        (
            json!({ "kind": "unstructured", "amount": 0.2 }),
            vec![
                "conv1", "a.conv1", "a.conv2", "b.down", "b.conv1", "b.depth", "b.conv2", "grouped",
                "hidden", "fc",
            ],
        ),
        (
            structured(0.2, 2),
            vec!["conv1, a.conv2", "a.conv1", "b.down, b.conv2", "b.conv1, b.depth", "grouped", "hidden"],
        ),
    ] {
        let outcome = place
            .run(json!({ "method": method, "sensitivity": sensitivity, "latency": { "repetitions": 0 } }))
            .unwrap();
        let metrics = metrics(&outcome);
        let curves = metrics["sensitivity"]["curves"].as_array().unwrap();
        let found: Vec<String> = curves
            .iter()
            .map(|curve| {
                curve["layers"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|name| name.as_str().unwrap())
                    .collect::<Vec<_>>()
                    .join(", ")
            })
            .collect();
        assert_eq!(found, names);
        let before = outcome.metric("validation.top1.before").unwrap();
        let mut different = 0;
        for curve in curves {
            let top1: Vec<f64> =
                curve["top1"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
            assert_eq!(top1.len(), 3);
            // With nothing pruned it is the network as it was.
            assert_eq!(top1[0], before);
            different += usize::from(top1.iter().any(|value| *value != before));
        }
        assert!(different > 0, "no amount of pruning any layer changed a single answer");
        assert!(report(&outcome).contains("| layers | 0 % | 50 % | 90 % |"));
    }
}

#[test]
fn ignored_layers_stay() {
    let place = Place::new();
    let params = json!({ "method": structured(0.5, 1), "ignored-layers": ["a.conv2", "fc"], "latency": { "repetitions": 0 } });
    let outcome = place.run(params).unwrap();
    let shapes = model(&outcome).architecture.shapes().unwrap();
    // conv1 shares its channels with a.conv2.
    assert_eq!(
        (shapes["conv1"].channels(), shapes["a.conv2"].channels(), shapes["a.conv1"].channels()),
        (4, 4, 3)
    );
    assert!(report(&outcome).contains("| conv1, a.conv2 | 4 | 0 | ignored |"));
}

#[test]
fn what_does_not_fit_is_named() {
    let place = Place::new();
    let plain = || json!({ "method": structured(0.5, 1) });
    let text = |params: Value| place.refused(params).0;
    assert_eq!(text(json!({})), "`with` does not fit the params: missing field `method`");
    assert!(
        text(json!({ "method": { "kind": "structured", "ration": 0.5 } })).contains("unknown field `ration`")
    );
    assert!(
        text(json!({ "method": { "kind": "random" } }))
            .contains("unknown variant `random`, expected `unstructured` or `structured`")
    );
    assert_eq!(
        text(json!({ "method": structured(1.0, 8) })),
        "`ratio` is 1, it must be at least 0 and below 1"
    );
    assert_eq!(text(json!({ "method": structured(0.5, 0) })), "`round-to` is 0, it must be at least 1");
    let amount = json!({ "kind": "unstructured", "amount": -0.1 });
    assert_eq!(text(json!({ "method": amount })), "`amount` is -0.1, it must be 0 to 1");
    let ignored = text(json!({ "method": structured(0.5, 1), "ignored-layers": ["bn1"] }));
    assert!(
        ignored.starts_with("there is no convolution or linear layer `bn1`; there are: conv1, a.conv1"),
        "{ignored}"
    );
    for (part, wanted) in [
        (json!({ "fine-tune": { "epochs": 0 } }), "`fine-tune.epochs` is 0, it must be 1 to 10000"),
        (
            json!({ "fine-tune": { "optimizer": { "kind": "sgd", "lr": -1.0 } } }),
            "`fine-tune.optimizer.lr` is -1, it must be at least 0",
        ),
        (json!({ "sensitivity": { "amounts": [] } }), "`sensitivity.amounts` is empty"),
        (
            json!({ "sensitivity": { "amounts": [0.5, 1.0] } }),
            "`sensitivity.amounts` holds 1, each must be at least 0 and below 1",
        ),
        (json!({ "latency": { "batch": 0 } }), "`latency.batch` is 0, it must be 1 to 4096"),
    ] {
        let mut params = plain();
        params.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        assert_eq!(text(params), wanted);
    }

    fs::write(place.path("preprocess.json"), contract(0.1)).unwrap();
    let (message, hint) = place.refused(plain());
    assert!(
        message
            .ends_with("preprocess.json is not the preprocessing contract that the model was trained under"),
        "{message}"
    );
    assert!(hint.contains("the same artifact that `train` took"));
    fs::write(place.path("preprocess.json"), contract(0.0)).unwrap();

    let mut broken = network();
    broken.tensors.get_mut("conv1.weight").unwrap().data[3] = f32::INFINITY;
    place.model(&broken);
    let (message, hint) = place.refused(plain());
    assert_eq!(message, "`conv1.weight` holds inf at position 3: weights must be finite to be ranked");
    assert!(hint.contains("diverged"));
    fs::remove_file(place.path("model").join("training.json")).unwrap();
    let (message, hint) = place.refused(plain());
    assert!(message.contains("training.json: No such file"), "{message}");
    assert!(hint.contains("architecture.json, model.safetensors"));
    place.model(&network());

    fs::remove_dir_all(place.path("data").join("validation").join("e")).unwrap();
    fs::remove_dir_all(place.path("data").join("train").join("e")).unwrap();
    assert!(text(plain()).contains("only in the contract: `e`"));
    fs::remove_dir_all(place.path("data")).unwrap();
    assert!(text(plain()).contains("data"), "{}", text(plain()));
}

#[test]
fn without_validation_images_accuracy_is_left_out_and_said_so() {
    let place = Place::new();
    fs::remove_dir_all(place.path("data").join("validation")).unwrap();
    let outcome =
        place.run(json!({ "method": structured(0.5, 1), "latency": { "repetitions": 0 } })).unwrap();
    assert_eq!(outcome.metric("validation.top1"), None);
    assert!(outcome.warnings()[0].contains("there are no validation images"));
    assert!(report(&outcome).contains("Accuracy was not measured: the contract keeps no validation images."));
    let (message, _) = place
        .refused(json!({ "method": structured(0.5, 1), "sensitivity": {}, "latency": { "repetitions": 0 } }));
    assert_eq!(message, "`sensitivity` needs validation images, but the contract keeps none");
}

#[test]
fn a_cancelled_run_stops() {
    let place = Place::new();
    let fault = place
        .bench(json!({ "method": structured(0.5, 1) }))
        .run_with_flag::<Prune>(Arc::new(AtomicBool::new(true)));
    assert_eq!(fault.err().unwrap().to_string(), "cancelled");
}

#[test]
fn the_median_is_in_the_middle() {
    assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    assert!(median(Vec::new()).is_nan());
}

#[test]
fn the_manifest_documents_every_param_and_refuses_test_data() {
    let manifest = Prune::manifest();
    assert!(manifest.inputs["data"].refuses_test_data && !manifest.inputs["policy"].required);
    let properties = manifest.params["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 7);
    for (name, schema) in properties {
        assert!(
            schema["description"].as_str().is_some_and(|text| !text.is_empty()),
            "{name} is not documented"
        );
    }
    assert_eq!(manifest.params["required"], json!(["method"]));
}
