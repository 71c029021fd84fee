//! Shapes, cost, masks and channel surgery against PyTorch (fixtures made by `tests/fixtures/prune/make.py`).
#![allow(clippy::unwrap_used)]

mod reference;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::Value;
use stagewright_model::{
    Checkpoint, Tensor, decode,
    prune::{ChannelPlan, Importance, Ranking, StructuredOptions, structured, unstructured},
};

fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/fixtures/prune"));
    fs::read(folder.join(name)).unwrap()
}

fn network() -> Checkpoint {
    Checkpoint {
        architecture: serde_json::from_slice(&fixture("network.json")).unwrap(),
        tensors: decode(&fixture("network.safetensors")).unwrap(),
        preprocess: Vec::new(),
        training: Value::Null,
    }
}

fn expected() -> Value {
    serde_json::from_slice(&fixture("expected.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn image() -> Vec<f64> {
    (0..3 * 16 * 16).map(|i| (f64::from(i) * 0.37).sin()).collect()
}

fn assert_close(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "{found} is not {wanted}");
    }
}

#[test]
fn shapes_parameters_and_macs_are_those_of_pytorch() {
    let (network, expected) = (network(), expected());
    let cost = network.architecture.cost().unwrap();
    assert_eq!(cost.layers.len(), 25);
    for layer in &cost.layers {
        let dims: Vec<f64> = layer.output.dims().iter().map(|size| *size as f64).collect();
        assert_eq!(dims, numbers(&expected["shapes"][&layer.name]), "shape of {}", layer.name);
        assert_eq!(layer.macs, expected["macs"][&layer.name].as_u64().unwrap(), "MACs of {}", layer.name);
        assert_eq!(layer.parameters, expected["parameters"][&layer.name].as_u64().unwrap(), "{}", layer.name);
    }
    assert_eq!(cost.macs, cost.layers.iter().map(|layer| layer.macs).sum::<u64>());
    assert_eq!(cost.flops(), 2 * cost.macs);
    assert_eq!(cost.parameters, network.parameters() as u64);
}

#[test]
fn the_reference_forward_gives_the_logits_of_pytorch() {
    let (network, expected) = (network(), expected());
    let values = reference::forward(&network, &image());
    assert_close(&values["fc"], &numbers(&expected["logits"]));
    assert_close(&values["pool"][..8], &numbers(&expected["pool"]));
}

#[test]
fn masks_are_those_of_global_unstructured_l1() {
    let (network, expected) = (network(), expected());
    let cases = expected["masks"].as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let amount = case["amount"].as_f64().unwrap();
        let masks = unstructured(&network, amount, &BTreeSet::new()).unwrap();
        let wanted = case["keep"].as_object().unwrap();
        assert_eq!(masks.keep.len(), wanted.len());
        for (layer, packed) in wanted {
            let packed = packed.as_str().unwrap();
            let keep = &masks.keep[&format!("{layer}.weight")];
            let bytes: Vec<u8> = (0..packed.len() / 2)
                .map(|i| u8::from_str_radix(&packed[2 * i..2 * i + 2], 16).unwrap())
                .collect();
            let bits: Vec<bool> = (0..keep.len()).map(|i| bytes[i / 8] >> (7 - i % 8) & 1 == 1).collect();
            assert_eq!(keep, &bits, "mask of {layer} at {amount}");
        }
        let zeros: usize = masks.keep.values().flatten().filter(|keep| !**keep).count();
        assert_eq!(masks.pruned, zeros);
    }
}

/// Where magnitudes tie PyTorch leaves open which weights go, but not how many of which magnitude.
#[test]
fn with_ties_as_many_of_each_magnitude_go_as_in_pytorch() {
    let mut network = network();
    for tensor in network.tensors.values_mut() {
        tensor.data.iter_mut().for_each(|value| *value = (*value * 4.0).round_ties_even() / 4.0);
    }
    for (amount, wanted) in expected()["ties"].as_object().unwrap() {
        let masks = unstructured(&network, amount.parse().unwrap(), &BTreeSet::new()).unwrap();
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for (name, keep) in &masks.keep {
            for (value, _) in network.tensors[name].data.iter().zip(keep).filter(|(_, keep)| !**keep) {
                *found.entry(format!("{:.2}", value.abs())).or_default() += 1;
            }
        }
        let wanted: BTreeMap<String, u64> =
            wanted.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_u64().unwrap())).collect();
        assert_eq!(found, wanted);
    }
}

#[test]
fn ties_go_in_the_order_of_the_layers() {
    let mut network = network();
    for tensor in network.tensors.values_mut() {
        tensor.data.fill(0.5);
    }
    let masks = unstructured(&network, 0.01, &BTreeSet::new()).unwrap();
    let keep = &masks.keep["conv1.weight"];
    assert!(masks.pruned > 0 && masks.pruned < keep.len());
    assert!(keep.iter().enumerate().all(|(index, keep)| *keep == (index >= masks.pruned)));
}

#[test]
fn masks_zero_the_weights_and_pruning_again_changes_nothing() {
    let mut network = network();
    let before = network.clone();
    let ignored = BTreeSet::from(["fc".to_owned()]);
    let masks = unstructured(&network, 0.4, &ignored).unwrap();
    masks.apply(&mut network);
    assert_eq!(network.tensors["fc.weight"], before.tensors["fc.weight"]);
    assert_eq!(network.tensors["bn1.weight"], before.tensors["bn1.weight"]);
    let zeros =
        masks.keep.keys().flat_map(|name| &network.tensors[name].data).filter(|value| **value == 0.0).count();
    assert_eq!(zeros, masks.pruned);
    assert_eq!(masks.pruned, (0.4 * masks.ranked as f64).round_ties_even() as usize);
    assert_eq!(unstructured(&network, 0.4, &ignored).unwrap(), masks);
}

fn plan(network: &Checkpoint, importance: Importance, ratio: f64) -> ChannelPlan {
    let options = StructuredOptions { ratio, round_to: 1, importance, ..StructuredOptions::default() };
    structured(network, &options).unwrap()
}

/// The groups of the fixture by the name the script gives them, and the writers they must have.
const GROUPS: [(&str, &[&str]); 6] = [
    ("stem", &["conv1", "a.conv2"]),
    ("a.inner", &["a.conv1"]),
    ("b.out", &["b.down", "b.conv2"]),
    ("b.inner", &["b.conv1", "b.depth"]),
    ("grouped", &["grouped"]),
    ("hidden", &["hidden"]),
];

#[test]
fn groups_importance_and_choice_are_those_worked_out_by_hand() {
    let (network, expected) = (network(), expected());
    for (importance, scores, gone) in
        [(Importance::L1, "scores-l1", "gone-l1"), (Importance::L2, "scores-l2", "gone-l2")]
    {
        let plan = plan(&network, importance, 0.5);
        // Ten writers in seven groups; the classifier's is not open.
        assert_eq!(plan.groups.len(), 7);
        for (name, writers) in GROUPS {
            let group = plan.groups.iter().find(|group| group.group.writers == writers).unwrap();
            assert_close(&group.importance, &numbers(&expected[scores][name]));
            let removed: Vec<f64> = group.removed.iter().map(|class| *class as f64).collect();
            assert_eq!(removed, numbers(&expected[gone][name]), "what goes of {name}");
        }
        let last = plan.groups.last().unwrap();
        assert_eq!((last.kept_because, last.removed.len()), (Some("network input or output"), 0));
    }
}

#[test]
fn surgery_gives_the_tensors_and_logits_of_pytorch() {
    let (network, expected) = (network(), expected());
    let pruned = plan(&network, Importance::L2, 0.5).apply(&network).unwrap();
    let wanted: BTreeMap<String, Tensor> = decode(&fixture("pruned-l2.safetensors")).unwrap();
    assert_eq!(pruned.tensors, wanted);
    assert_close(&reference::forward(&pruned, &image())["fc"], &numbers(&expected["pruned-logits"]));
}

#[test]
fn zeroing_the_channels_computes_exactly_the_same() {
    let network = network();
    let plan = plan(&network, Importance::L1, 0.4);
    let (pruned, zeroed) = (plan.apply(&network).unwrap(), plan.zeroed(&network));
    assert_eq!(zeroed.architecture, network.architecture);
    assert!(pruned.parameters() < network.parameters());
    let logits = |checkpoint: &Checkpoint| reference::forward(checkpoint, &image())["fc"].clone();
    assert_eq!(logits(&pruned), logits(&zeroed));
    assert_ne!(logits(&pruned), logits(&network));
}

#[test]
fn a_ratio_of_zero_is_the_identity_bit_by_bit() {
    let network = network();
    for ranking in [Ranking::default(), Ranking::Global { max_ratio: 0.9 }] {
        for round_to in [1, 4, 8] {
            let options = StructuredOptions {
                ratio: 0.0,
                round_to,
                ranking: ranking.clone(),
                ..StructuredOptions::default()
            };
            let plan = structured(&network, &options).unwrap();
            assert!(plan.is_empty());
            let same = plan.apply(&network).unwrap();
            let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            network.save(folders[0].path()).unwrap();
            same.save(folders[1].path()).unwrap();
            for name in ["model.safetensors", "architecture.json"] {
                let [a, b] = folders.each_ref().map(|folder| fs::read(folder.path().join(name)).unwrap());
                assert_eq!(a, b);
            }
            assert_eq!(Checkpoint::load(folders[1].path()).unwrap(), network);
        }
    }
}
