//! The structural check, and ONNX Runtime as it is wrapped here.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use stagewright_onnx::{
    Dim, OnnxError, Probe, Session, SessionOptions,
    attributes::{float, int, ints},
    check, classifier, encode_model, node,
    proto::{DataType, GraphProto, ModelProto, OperatorSetIdProto, TensorProto},
    runtime_version, set_metadata, value_info,
};

/// A small classifier: 3 channels → 2 → the mean of each → 2 logits; batch, height and width are open.
fn model() -> ModelProto {
    let open = |name: &str| Dim::Symbol(name.to_owned());
    let graph = GraphProto {
        name: Some("small".to_owned()),
        input: vec![value_info(
            "image",
            DataType::Float,
            &[open("batch"), Dim::Size(3), open("h"), open("w")],
        )],
        output: vec![value_info("logits", DataType::Float, &[open("batch"), Dim::Size(2)])],
        initializer: vec![TensorProto::of_f32("w", &[2, 3, 1, 1], &[1.0, 0.0, 0.0, 0.0, 0.5, 0.5])],
        node: vec![
            node("Conv", "conv", &["image", "w"], &["c"], vec![ints("kernel_shape", &[1, 1])]),
            node("GlobalAveragePool", "pool", &["c"], &["p"], vec![]),
            node("Flatten", "flatten", &["p"], &["logits"], vec![int("axis", 1)]),
        ],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { version: Some(18), ..OperatorSetIdProto::default() }];
    ModelProto { ir_version: Some(8), opset_import, graph: Some(graph), ..ModelProto::default() }
}

fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

fn message(change: impl FnOnce(&mut ModelProto)) -> String {
    let mut model = model();
    change(&mut model);
    check(&model).unwrap_err().to_string()
}

#[test]
fn a_valid_model_has_types_for_all_its_values() {
    let types = check(&model()).unwrap();
    assert_eq!(
        types["p"].dims,
        Some(vec![Dim::Symbol("batch".to_owned()), Dim::Size(2), Dim::Size(1), Dim::Size(1)])
    );
    assert_eq!(types["logits"].element, Some(DataType::Float));
}

#[test]
fn each_broken_rule_is_named() {
    type Change = Box<dyn FnOnce(&mut ModelProto)>;
    let cases: Vec<(Change, &str)> = vec![
        (
            Box::new(|model| model.ir_version = Some(2)),
            "format version 2 is older than 3, the first with named operator sets",
        ),
        (
            Box::new(|model| model.opset_import.push(model.opset_import[0].clone())),
            "the operator set `` is named twice",
        ),
        (Box::new(|model| graph(model).name = None), "the graph has no name"),
        (
            Box::new(|model| graph(model).node.swap(0, 1)),
            "GlobalAveragePool pool reads `c`, which nothing before it makes",
        ),
        (
            Box::new(|model| graph(model).node[1].output[0] = "c".to_owned()),
            "GlobalAveragePool pool makes `c`, which is there already",
        ),
        (
            Box::new(|model| graph(model).output[0].name = Some("y".to_owned())),
            "the output `y` is made by no node",
        ),
        (Box::new(|model| graph(model).input[0].r#type = None), "the input `image` has no type"),
        (
            Box::new(|model| graph(model).node[2].attribute[0].i = None),
            "the attribute `axis` of Flatten flatten does not hold what its type says",
        ),
        (
            Box::new(|model| graph(model).node[2].attribute.push(int("axis", 2))),
            "Flatten flatten has an attribute without a name or `axis` twice",
        ),
        (
            Box::new(|model| graph(model).node[0].domain = Some("com.example".to_owned())),
            "Conv conv is of the operator set `com.example`, which the model does not name",
        ),
        (
            Box::new(|model| graph(model).initializer[0].dims[0] = 3),
            "the tensor `w` of shape [3, 3, 1, 1] holds 24 bytes",
        ),
        (
            Box::new(|model| graph(model).initializer[0].dims = vec![3, 2, 1, 1]),
            "Conv conv: the input has 3 channels, the weights want 2 in each of 1 groups",
        ),
        (
            Box::new(|model| {
                graph(model).output[0] = value_info("logits", DataType::Float, &[Dim::Unknown, Dim::Size(7)])
            }),
            "Flatten flatten gives shape [Symbol(\"batch\"), Size(2)], the file says [Unknown, Size(7)]",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(message(change), format!("the model is not valid: {expected}"));
    }
}

#[test]
fn shapes_of_windows_and_products_are_those_of_onnx() {
    let sizes = |node: stagewright_onnx::proto::NodeProto, input: &[i64], weight: &[usize]| {
        let dims: Vec<Dim> = input.iter().map(|&size| Dim::Size(size)).collect();
        let mut model = model();
        let graph = graph(&mut model);
        graph.input = vec![value_info("x", DataType::Float, &dims)];
        graph.initializer = vec![TensorProto::of_f32("w", weight, &vec![0.0; weight.iter().product()])];
        graph.node = vec![node];
        graph.output = vec![value_info("y", DataType::Float, &[])];
        if let Some(stagewright_onnx::proto::type_proto::Value::TensorType(tensor)) =
            graph.output[0].r#type.as_mut().unwrap().value.as_mut()
        {
            tensor.shape = None;
        }
        let size = |dim: &Dim| if let Dim::Size(size) = dim { *size } else { -1 };
        check(&model).unwrap()["y"].dims.as_ref().unwrap().iter().map(size).collect::<Vec<i64>>()
    };
    let conv = node(
        "Conv",
        "",
        &["x", "w"],
        &["y"],
        vec![ints("strides", &[2, 1]), ints("pads", &[1, 0, 1, 2]), ints("dilations", &[1, 2])],
    );
    // ⌊(9 + 2 − 3) / 2⌋ + 1 and ⌊(8 + 2 − 5) / 1⌋ + 1.
    assert_eq!(sizes(conv, &[5, 4, 9, 8], &[6, 4, 3, 3]), [5, 6, 5, 6]);
    let pool = |ceil| {
        node(
            "MaxPool",
            "",
            &["x"],
            &["y"],
            vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), int("ceil_mode", ceil)],
        )
    };
    assert_eq!(sizes(pool(0), &[1, 2, 8, 8], &[1]), [1, 2, 3, 3]);
    assert_eq!(sizes(pool(1), &[1, 2, 8, 8], &[1]), [1, 2, 4, 4]);
    let gemm = node("Gemm", "", &["x", "w"], &["y"], vec![int("transB", 1), float("alpha", 1.0)]);
    assert_eq!(sizes(gemm, &[7, 5], &[3, 5]), [7, 3]);
    let add = node("Add", "", &["x", "w"], &["y"], vec![]);
    assert_eq!(sizes(add, &[2, 1, 4], &[3, 1]), [2, 3, 4]);
}

#[test]
fn a_session_runs_batches_and_knows_its_interface() {
    let mut model = model();
    set_metadata(&mut model, "key", "value");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.onnx");
    stagewright_onnx::write_model(&model, &path).unwrap();
    let profile = Some(folder.path().join("profile"));
    let mut session = Session::open(&path, &SessionOptions { profile, ..SessionOptions::default() }).unwrap();
    assert_eq!((session.classes(), session.input().channels, session.input().height), (2, Some(3), None));
    assert_eq!(session.metadata("key").as_deref(), Some("value"));
    assert_eq!(session.metadata("other"), None);
    // Two images of 2×2: channel means 1, 2, 3 and 4, 5, 6.
    let image: Vec<f32> = (1..=6).flat_map(|value| [value as f32; 4]).collect();
    assert_eq!(session.run(&image, 2).unwrap(), [1.0, 2.5, 4.0, 5.5]);
    assert_eq!(session.run_sized(&image, 2, [4, 1]).unwrap(), [1.0, 2.5, 4.0, 5.5]);
    let wrong = session.run_sized(&image, 3, [2, 2]).unwrap_err().to_string();
    assert!(wrong.ends_with("24 values are not 3 images of 3×2×2"), "{wrong}");
    let wrong = session.run(&image[..18], 1).unwrap_err().to_string();
    assert!(
        wrong.ends_with("it leaves height and width open, and 6 pixels are not a square image"),
        "{wrong}"
    );
    let events = std::fs::read_to_string(session.end_profiling().unwrap()).unwrap();
    assert!(events.contains("Conv"), "{events}");
}

#[test]
fn a_probe_sees_values_inside() {
    let mut model = model();
    graph(&mut model).output =
        vec![value_info("c", DataType::Float, &[Dim::Unknown, Dim::Size(2), Dim::Unknown, Dim::Unknown])];
    let mut probe = Probe::open(&model, Path::new("small.onnx"), 1, true).unwrap();
    let mut seen = Vec::new();
    probe
        .run(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1, 3, 1, 2], |index, values| {
            seen.push((index, values.to_vec()))
        })
        .unwrap();
    assert_eq!(seen, [(0, vec![1.0, 2.0, 4.0, 5.0])]);
}

#[test]
fn what_is_no_classifier_is_named() {
    let mut two = model();
    graph(&mut two).input.push(value_info("mask", DataType::Float, &[Dim::Size(1)]));
    let found = classifier(&two).unwrap_err().to_string();
    assert!(
        found.starts_with(
            "the model has the inputs [image, mask] and the outputs [logits]; one f32 image input"
        ),
        "{found}"
    );
    let mut half = model();
    graph(&mut half).input[0] =
        value_info("image", DataType::Float16, &[Dim::Size(1), Dim::Size(3), Dim::Size(8), Dim::Size(8)]);
    assert!(classifier(&half).unwrap_err().to_string().contains("an input `image` of type Some(Float16)"));
    assert_eq!(classifier(&model()).unwrap().dims, [-1, 3, -1, -1]);

    let mut unknown = model();
    graph(&mut unknown).node[0].op_type = Some("Convolve".to_owned());
    let error = Session::from_bytes(&encode_model(&unknown), Path::new("m.onnx"), &SessionOptions::default())
        .err()
        .unwrap();
    assert!(matches!(&error, OnnxError::Session { reason, .. } if reason.contains("Convolve")), "{error}");
    let missing = Session::open(Path::new("none.onnx"), &SessionOptions::default()).err().unwrap();
    assert_eq!(missing.to_string(), "cannot read none.onnx: there is no such file");
}

#[test]
fn the_runtime_says_its_version() {
    let version = runtime_version().unwrap();
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    assert!(parts.len() == 3 && parts[0] == 1 && parts[1] >= 24, "{version}");
}
