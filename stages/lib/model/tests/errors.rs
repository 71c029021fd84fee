//! What is said of networks that are none.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, collections::BTreeSet, fs};

use serde_json::{Value, json};
use stagewright_model::{
    Architecture, Checkpoint, Tensor,
    prune::{Ranking, StructuredOptions, structured, unstructured},
};

fn architecture() -> Value {
    let conv = |name: &str, read: &str, from: usize, to: usize| {
        json!({"name": name, "inputs": [read], "op": {"kind": "conv2d", "in": from, "out": to, "kernel": [3, 3],
            "stride": [1, 1], "padding": [1, 1], "groups": 1, "bias": false}})
    };
    json!({
        "format": "stagewright/architecture@1", "name": "tiny", "classes": 2, "output": "fc",
        "input": {"channels": 3, "height": 4, "width": 4},
        "layers": [
            conv("c1", "input", 3, 4),
            conv("c2", "c1", 4, 4),
            {"name": "sum", "inputs": ["c1", "c2"], "op": {"kind": "add"}},
            {"name": "flat", "inputs": ["sum"], "op": {"kind": "flatten"}},
            {"name": "fc", "inputs": ["flat"], "op": {"kind": "linear", "in": 64, "out": 2, "bias": true}}
        ]
    })
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut value = architecture();
    change(&mut value);
    let architecture: Architecture = serde_json::from_value(value).unwrap();
    let error = architecture.validate().unwrap_err().to_string();
    assert_eq!(architecture.shapes().unwrap_err().to_string(), error);
    assert_eq!(architecture.cost().unwrap_err().to_string(), error);
    error
}

#[test]
fn each_mistake_is_named() {
    serde_json::from_value::<Architecture>(architecture()).unwrap().validate().unwrap();
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 18] = [
        (
            |v| v["format"] = json!("x@2"),
            "its format is `x@2`, this release reads `stagewright/architecture@1`",
        ),
        (|v| v["layers"] = json!([]), "it has no layers"),
        (
            |v| v["layers"][1]["name"] = json!("c1"),
            "layer 1 has the name `c1`, which another layer has already",
        ),
        (
            |v| v["layers"][0]["name"] = json!("input"),
            "layer 0 has the name `input`, which is reserved for the network's input",
        ),
        (|v| v["layers"][0]["name"] = json!(""), "layer 0 has the name ``, which is empty"),
        (
            |v| v["layers"][0]["inputs"][0] = json!("c2"),
            "layer `c1` reads `c2`, which comes later: layers must be in topological order",
        ),
        (|v| v["layers"][0]["inputs"][0] = json!("c9"), "layer `c1` reads `c9`, which is not a layer"),
        (|v| v["layers"][2]["inputs"] = json!(["c1"]), "layer `sum` (add) has 1 inputs, it takes 2"),
        (
            |v| v["layers"][0]["op"]["groups"] = json!(2),
            "layer `c1` (conv2d): `in` (3) is not a multiple of `groups` (2)",
        ),
        (
            |v| v["layers"][0]["op"]["groups"] = json!(0),
            "layer `c1` (conv2d): `groups` (0) must be 1 to 1048576",
        ),
        (
            |v| v["layers"][0]["op"]["stride"] = json!([1, 0]),
            "layer `c1` (conv2d): `stride` (0) must be 1 to 65536",
        ),
        (
            |v| v["layers"][1]["op"]["in"] = json!(5),
            "layer `c2` (conv2d) wants 5 channels, but `c1` gives 4×4×4",
        ),
        (
            |v| v["layers"][1]["op"]["out"] = json!(6),
            "layer `sum` (add) wants two inputs of one shape, 4×4×4 as `c1` gives, but `c2` gives 6×4×4",
        ),
        (
            |v| v["layers"][0]["op"]["kernel"] = json!([7, 7]),
            "layer `c1` (conv2d): a 7×7 window does not fit into 4×4, padding included",
        ),
        (
            |v| v["layers"][4]["op"]["in"] = json!(63),
            "layer `fc` (linear) wants 63 features, but `flat` gives 64 features",
        ),
        (|v| v["output"] = json!("logits"), "its output `logits` is not a layer"),
        (|v| v["classes"] = json!(3), "its output `fc` gives 2 features, the network has 3 classes"),
        (
            |v| v["input"]["width"] = json!(0),
            "layer `input` (input): its shape is 3×4×0, each number must be 1 to 65536",
        ),
    ];
    for (change, wanted) in cases {
        assert_eq!(refused(change), wanted);
    }
}

#[test]
fn other_layers_check_their_numbers_too() {
    let cases = [
        (
            json!({"kind": "batch-norm", "features": 5, "eps": 1e-5, "momentum": 0.1}),
            "(batch-norm) wants 5 channels",
        ),
        (
            json!({"kind": "batch-norm", "features": 4, "eps": 0.0, "momentum": 0.1}),
            "`eps` (0) must be above 0",
        ),
        (
            json!({"kind": "batch-norm", "features": 4, "eps": 1e-5, "momentum": 1.5}),
            "`momentum` (1.5) must be 0 to 1",
        ),
        (json!({"kind": "dropout", "p": -0.5}), "`p` (-0.5) must be 0 to 1"),
        (
            json!({"kind": "max-pool2d", "kernel": [2, 2], "stride": [2, 2], "padding": [2, 2]}),
            "more than half of `kernel`",
        ),
        (json!({"kind": "adaptive-avg-pool2d", "output": [0, 1]}), "`output` (0) must be 1 to 65536"),
        (
            json!({"kind": "linear", "in": 64, "out": 4, "bias": false}),
            "(linear) wants 64 features, but `c1` gives 4×4×4",
        ),
    ];
    for (op, wanted) in cases {
        let error = refused(|value| value["layers"][1]["op"] = op);
        assert!(error.starts_with("layer `c2`") && error.contains(wanted), "{error}");
    }
}

#[test]
fn sizes_that_would_overflow_are_refused() {
    for (field, value) in
        [("in", json!(usize::MAX)), ("padding", json!([usize::MAX, 0])), ("kernel", json!([1_u64 << 40, 1]))]
    {
        let error = refused(|architecture| architecture["layers"][0]["op"][field] = value);
        assert!(error.contains(&format!("`{field}`")), "{error}");
    }
    let error = refused(|v| v["layers"][0]["op"]["padding"] = json!([65536, 65536]));
    assert!(error.contains("its output map is 131074×131074, at most 65536 a side is read"), "{error}");
}

fn checkpoint() -> Checkpoint {
    let architecture: Architecture = serde_json::from_value(architecture()).unwrap();
    let mut tensors = BTreeMap::new();
    for layer in &architecture.layers {
        for (suffix, shape) in layer.op.tensors() {
            let data = (0..shape.iter().product::<usize>()).map(|i| i as f32 * 0.01).collect();
            tensors.insert(format!("{}.{suffix}", layer.name), Tensor { shape, data });
        }
    }
    Checkpoint { architecture, tensors, preprocess: b"{}".to_vec(), training: json!({"epochs": 3}) }
}

#[test]
fn a_checkpoint_survives_its_way_to_disk_and_names_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    checkpoint().save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint());

    let mut broken = checkpoint();
    broken.tensors.remove("fc.bias");
    broken.save(&path).unwrap();
    let error = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(
        error.ends_with("model.safetensors is not a valid checkpoint file: the tensor `fc.bias` is missing"),
        "{error}"
    );

    let mut broken = checkpoint();
    broken.tensors.insert("more".to_owned(), Tensor { shape: vec![1], data: vec![0.0] });
    broken.save(&path).unwrap();
    let error = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(error.ends_with("no layer of the architecture has a tensor `more`"), "{error}");

    checkpoint().save(&path).unwrap();
    fs::remove_file(path.join("preprocess.json")).unwrap();
    assert!(Checkpoint::load(&path).unwrap_err().to_string().contains("preprocess.json: No such file"));
    fs::write(path.join("architecture.json"), "{").unwrap();
    assert!(
        Checkpoint::load(&path)
            .unwrap_err()
            .to_string()
            .contains("architecture.json is not a valid checkpoint file")
    );
}

#[test]
fn pruning_names_what_it_cannot_do() {
    let text = |options: StructuredOptions, network: &Checkpoint| {
        structured(network, &options).unwrap_err().to_string()
    };
    let default = StructuredOptions::default;
    let network = checkpoint();
    assert_eq!(
        text(StructuredOptions { ratio: 1.0, ..default() }, &network),
        "`ratio` is 1, it must be at least 0 and below 1"
    );
    assert_eq!(
        text(StructuredOptions { round_to: 0, ..default() }, &network),
        "`round-to` is 0, it must be at least 1"
    );
    let ranking = Ranking::Global { max_ratio: -1.0 };
    assert_eq!(
        text(StructuredOptions { ranking, ..default() }, &network),
        "`max-ratio` is -1, it must be at least 0 and below 1"
    );
    let ranking = Ranking::PerGroup { layer_ratios: BTreeMap::from([("sum".to_owned(), 0.5)]) };
    let unknown = "there is no convolution or linear layer `sum`; there are: c1, c2, fc";
    assert_eq!(text(StructuredOptions { ranking, ..default() }, &network), unknown);
    let ignored = BTreeSet::from(["sum".to_owned()]);
    assert_eq!(unstructured(&network, 0.5, &ignored).unwrap_err().to_string(), unknown);
    let all = BTreeSet::from(["c1", "c2", "fc"].map(str::to_owned));
    assert_eq!(
        unstructured(&network, 0.5, &all).unwrap_err().to_string(),
        "nothing is left to prune: all layers are ignored"
    );
    assert_eq!(
        unstructured(&network, 1.5, &BTreeSet::new()).unwrap_err().to_string(),
        "`amount` is 1.5, it must be 0 to 1"
    );
    let nan = unstructured(&network, f64::NAN, &BTreeSet::new()).unwrap_err().to_string();
    assert_eq!(nan, "`amount` is NaN, it must be 0 to 1");

    let mut broken = checkpoint();
    broken.tensors.get_mut("c2.weight").unwrap().data[7] = f32::NAN;
    let wanted = "`c2.weight` holds NaN at position 7: weights must be finite to be ranked";
    assert_eq!(text(default(), &broken), wanted);
    assert_eq!(unstructured(&broken, 0.5, &BTreeSet::new()).unwrap_err().to_string(), wanted);
}

#[test]
fn one_ratio_of_a_layer_and_the_limit_of_global_ranking_count() {
    let network = checkpoint();
    let widths = |options: &StructuredOptions| {
        let pruned = structured(&network, options).unwrap().apply(&network).unwrap();
        let shapes = pruned.architecture.shapes().unwrap();
        (shapes["c1"].channels(), shapes["c2"].channels(), shapes["flat"].channels())
    };
    let base = StructuredOptions { round_to: 1, ratio: 0.0, ..StructuredOptions::default() };
    // c1 and c2 meet in the add: a ratio for one is a ratio for both.
    let ranking = Ranking::PerGroup { layer_ratios: BTreeMap::from([("c2".to_owned(), 0.5)]) };
    assert_eq!(widths(&StructuredOptions { ranking, ..base.clone() }), (2, 2, 32));
    let ranking = Ranking::Global { max_ratio: 0.25 };
    assert_eq!(widths(&StructuredOptions { ranking, ratio: 0.9, ..base.clone() }), (3, 3, 48));
    // Narrower than the multiple: left alone.
    assert_eq!(widths(&StructuredOptions { ratio: 0.9, round_to: 8, ..base.clone() }), (4, 4, 64));
    // One multiple always stays.
    assert_eq!(widths(&StructuredOptions { ratio: 0.99, ..base }), (1, 1, 16));
}
