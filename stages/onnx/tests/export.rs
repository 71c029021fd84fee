//! The written graph against PyTorch's logits, and what is said about networks that have no ONNX form.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use stagewright_model::{Architecture, Checkpoint, FORMAT, InputShape, Layer, Op};
use stagewright_onnx::{Session, SessionOptions, check, encode_model, metadata};
use stagewright_stage_onnx::{ExportError, Params, Parity, SizeRange, compare, export};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/onnx")
}

fn checkpoint() -> Checkpoint {
    Checkpoint::load(&fixtures().join("every_op")).unwrap()
}

/// Images and PyTorch's logits for them.
fn reference() -> (Vec<f32>, Vec<f32>) {
    let bytes = std::fs::read(fixtures().join("every_op.f32")).unwrap();
    let values: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let (images, logits) = values.split_at(3 * 3 * 8 * 8);
    (images.to_vec(), logits.to_vec())
}

fn strict() -> Parity {
    Parity { rtol: 1e-5, atol: 1e-6, ..Parity::default() }
}

#[test]
fn every_operator_computes_what_pytorch_computes_in_every_operator_set() {
    let (images, logits) = reference();
    for opset in 13..=22 {
        for fold_batch_norm in [true, false] {
            let params = Params { opset, fold_batch_norm, ..Params::default() };
            let model = export(&checkpoint(), &params).unwrap();
            let types = check(&model).unwrap();
            assert_eq!(types["logits"].dims.as_ref().unwrap().len(), 2);
            let operators: Vec<&str> =
                model.graph.as_ref().unwrap().node.iter().map(|node| node.op_type()).collect();
            // `norm` and `late` follow convolutions, `again` follows an addition.
            let norms = operators.iter().filter(|operator| **operator == "BatchNormalization").count();
            assert_eq!(norms, if fold_batch_norm { 1 } else { 3 });
            assert_eq!(operators.contains(&"Gelu"), opset >= 20);

            let bytes = encode_model(&model);
            let mut session =
                Session::from_bytes(&bytes, Path::new("every_op.onnx"), &SessionOptions::default()).unwrap();
            assert_eq!(session.classes(), 4);
            assert_eq!(
                (session.input().name.as_str(), session.input().batch, session.input().height),
                ("input", None, Some(8))
            );
            for batch in [1, 3] {
                let found = session.run(&images[..batch * 192], batch).unwrap();
                let comparison = compare(&logits[..batch * 4], &found, 4, &strict());
                assert!(
                    comparison.within(),
                    "opset {opset}, folded {fold_batch_norm}, batch {batch}: {comparison:?}"
                );
            }
        }
    }
}

#[test]
fn the_same_network_gives_the_same_bytes() {
    let write = || encode_model(&export(&checkpoint(), &Params::default()).unwrap());
    assert!(write() == write());
}

#[test]
fn the_contract_and_the_precision_are_in_the_metadata() {
    let model = export(&checkpoint(), &Params::default()).unwrap();
    assert_eq!(metadata(&model, "stagewright.precision"), Some("fp32"));
    assert_eq!(metadata(&model, "stagewright.preprocess").unwrap().as_bytes(), checkpoint().preprocess);
}

#[test]
fn the_onnx_packages_own_checker_accepts_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for opset in [13, 17, 18, 20, 22] {
        for (name, fold_batch_norm, fixed_batch) in [("folded", true, None), ("plain", false, Some(2))] {
            let params = Params { opset, fold_batch_norm, fixed_batch, ..Params::default() };
            let path = folder.path().join(format!("{name}{opset}.onnx"));
            stagewright_onnx::write_model(&export(&checkpoint(), &params).unwrap(), &path).unwrap();
            paths.push(path);
        }
    }
    let python = std::env::var("STAGEWRIGHT_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = match Command::new(&python).arg(fixtures().join("check.py")).args(&paths).output() {
        Ok(output) if output.status.code() != Some(3) => output,
        _ => {
            eprintln!(
                "SKIPPED: {python} with the onnx package is not here; set STAGEWRIGHT_TEST_PYTHON to one that has it"
            );
            return;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches(": valid, ").count(), paths.len());
}

/// A network of the given layers, each reading the one before.
fn chain(input: [usize; 2], layers: Vec<(&str, Op)>) -> Checkpoint {
    let mut before = "input".to_owned();
    let mut checkpoint = checkpoint();
    checkpoint.tensors.clear();
    let mut made = Vec::new();
    for (name, op) in layers {
        for (suffix, shape) in op.tensors() {
            let data = vec![0.5; shape.iter().product()];
            checkpoint.tensors.insert(format!("{name}.{suffix}"), stagewright_model::Tensor { shape, data });
        }
        made.push(Layer { name: name.to_owned(), op, inputs: vec![before] });
        before = name.to_owned();
    }
    checkpoint.architecture = Architecture {
        format: FORMAT.to_owned(),
        name: "chain".to_owned(),
        input: InputShape { channels: 3, height: input[0], width: input[1] },
        classes: 12,
        layers: made,
        output: before,
    };
    checkpoint
}

#[test]
fn a_pooling_without_onnx_form_is_named_with_the_choices() {
    let layers = vec![("squeeze", Op::AdaptiveAvgPool2d { output: [2, 2] }), ("flatten", Op::Flatten)];
    let error = export(&chain([9, 8], layers.clone()), &Params::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer `squeeze` (adaptive-avg-pool2d) has no ONNX form: its windows over a map of 9×8 to 2×2 are of different sizes, which no ONNX pooling has"
    );
    let ExportError::Layer { choices, .. } = error else { panic!("another error") };
    assert_eq!(
        choices,
        "pool to [1, 1], or to sizes that divide the map: height 1, 3, 9, width 1, 2, 4, 8; or choose an image size in data-stats that gives a map which 2×2 divides"
    );

    let dynamic_size = Some(SizeRange { min: [8, 8], max: [16, 16] });
    let error = export(&chain([8, 8], layers), &Params { dynamic_size, ..Params::default() }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer `squeeze` (adaptive-avg-pool2d) has no ONNX form: its windows to 2×2 depend on the image's size, which is dynamic"
    );
}

#[test]
fn an_adaptive_pooling_that_keeps_the_map_is_no_operator() {
    let layers = vec![
        ("keep", Op::AdaptiveAvgPool2d { output: [2, 2] }),
        ("flatten", Op::Flatten),
        ("drop", Op::Dropout { p: 0.1 }),
    ];
    let model = export(&chain([2, 2], layers), &Params::default()).unwrap();
    let operators: Vec<&str> = model.graph.as_ref().unwrap().node.iter().map(|node| node.op_type()).collect();
    assert_eq!(operators, ["Flatten"]);
    check(&model).unwrap();
}

#[test]
fn a_network_for_several_sizes_runs_at_all_of_them() {
    let conv = Op::Conv2d {
        r#in: 3,
        out: 5,
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
        groups: 1,
        bias: true,
    };
    let layers = vec![
        ("conv", conv),
        ("pool", Op::AdaptiveAvgPool2d { output: [1, 1] }),
        ("flatten", Op::Flatten),
        ("fc", Op::Linear { r#in: 5, out: 12, bias: true }),
    ];
    let params = Params { dynamic_size: Some(SizeRange { min: [4, 6], max: [20, 20] }), ..Params::default() };
    let model = export(&chain([8, 8], layers), &params).unwrap();
    check(&model).unwrap();
    let mut session =
        Session::from_bytes(&encode_model(&model), Path::new("m.onnx"), &SessionOptions::default()).unwrap();
    assert_eq!((session.input().height, session.input().width), (None, None));
    for [height, width] in [[4, 6], [20, 20], [7, 13]] {
        let logits = session.run_sized(&vec![1.0; 2 * 3 * height * width], 2, [height, width]).unwrap();
        assert_eq!(logits.len(), 24);
        assert_eq!(logits[..12], logits[12..]);
    }
    assert_eq!(metadata(&model, "stagewright.dynamic-size"), Some(r#"{"max":[20,20],"min":[4,6]}"#));
}

#[test]
fn params_that_do_not_fit_are_named() {
    let message = |params: Params| export(&checkpoint(), &params).unwrap_err().to_string();
    assert_eq!(message(Params { opset: 12, ..Params::default() }), "`opset` is 12; 13 to 22 can be written");
    assert_eq!(
        message(Params { input_name: "stem".to_owned(), ..Params::default() }),
        "`input-name` is `stem`, which is the name of a layer"
    );
    assert_eq!(
        message(Params { output_name: "input".to_owned(), ..Params::default() }),
        "`input-name` and `output-name` are both `input`"
    );
    assert_eq!(
        message(Params { fixed_batch: Some(0), ..Params::default() }),
        "`fixed-batch` is 0; a batch has at least one image"
    );
    assert_eq!(
        message(Params { dynamic_size: Some(SizeRange { min: [9, 9], max: [8, 8] }), ..Params::default() }),
        "`dynamic-size` goes from [9, 9] to [8, 8]; `min` must be at least 1 and at most `max`"
    );
}

#[test]
fn the_comparison_sees_what_differs() {
    let tolerance = Parity { rtol: 0.01, atol: 0.0, ..Parity::default() };
    let reference = [1.0, -4.0, 2.0, 8.0];
    let comparison = compare(&reference, &[1.0, -4.03, 2.0, 8.1], 2, &tolerance);
    assert!(!comparison.within());
    assert_eq!((comparison.worst.sample, comparison.worst.class), (1, 1));
    assert!((comparison.worst.ratio - 0.1 / 0.08).abs() < 1e-4);
    assert!((comparison.mean_abs - 0.13 / 4.0).abs() < 1e-6);
    assert_eq!(comparison.agreement, 1.0);

    let swapped = compare(&reference, &[-4.0, 1.0, 2.0, 8.0], 2, &tolerance);
    assert_eq!(swapped.agreement, 0.5);
    assert!(swapped.min_cosine < 0.0);

    let nan = compare(&reference, &[1.0, f32::NAN, 2.0, 8.0], 2, &tolerance);
    assert!(!nan.within() && nan.max_abs == f64::INFINITY);
    assert!(compare(&reference, &reference, 2, &Parity { rtol: 0.0, ..tolerance }).within());
}
