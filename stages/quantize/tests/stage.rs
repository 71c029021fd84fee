//! The whole stage on models of PyTorch's exporters, against onnxruntime's quantization tool.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use stagewright_onnx::{
    Level, Session, SessionOptions, check, encode_model, metadata, optimize,
    proto::{ModelProto, TensorProto},
    read_model, write_model,
};
use stagewright_sdk::{
    ErrorClass, GateStatus, StageFault,
    testing::{Bench, Outcome},
};
use stagewright_stage_quantize::Quantize;

fn bench(folder: &Path, model: &Path, params: Value) -> Bench {
    Bench::new(folder.join("run"), params)
        .input("model", "onnx", "model/onnx", model)
        .input("calibration", "images", "dataset/images", common::dataset(folder))
        .input("preprocess", "stats", "preprocess", common::contract(folder))
}

fn run(folder: &Path, model: &str, params: Value) -> Outcome {
    bench(folder, &common::fixture(model), params).run::<Quantize>().unwrap()
}

fn constants(model: &ModelProto) -> BTreeMap<&str, &TensorProto> {
    model.graph.as_ref().unwrap().initializer.iter().map(|tensor| (tensor.name(), tensor)).collect()
}

fn operators(model: &ModelProto) -> Vec<&str> {
    let mut operators: Vec<&str> =
        model.graph.as_ref().unwrap().node.iter().map(|node| node.op_type()).collect();
    operators.sort_unstable();
    operators
}

/// Validation images as the script makes them.
fn inputs() -> Vec<f32> {
    let (mean, std) = ([0.5f32, 0.4, 0.3], [0.25f32, 0.2, 0.3]);
    let mut values = Vec::new();
    for label in 0..4usize {
        for index in 6..10 {
            for channel in 0..3 {
                values.extend((0..64).map(|pixel| {
                    let i = pixel * 3 + channel;
                    (((i * (7 + 5 * label) + 31 * index) % 251) as f32 / 255.0 - mean[channel]) / std[channel]
                }));
            }
        }
    }
    values
}

fn logits(path: &Path) -> Vec<f32> {
    Session::open(path, &SessionOptions::default()).unwrap().run(&inputs(), 16).unwrap()
}

fn rows(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().flat_map(common::floats).collect()
}

#[test]
fn int8_for_the_cpu_is_what_onnxruntimes_own_tool_makes() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), "torchscript.onnx", json!({ "samples": 24, "method": "minmax" }));
    let model = read_model(&outcome.path("model")).unwrap();
    check(&model).unwrap();
    let reference = &common::reference()["reference"];
    // The same operators at the same places.
    assert_eq!(json!(operators(&model)), reference["operators"]);
    let graph = model.graph.as_ref().unwrap();
    let constants = constants(&model);
    let mut found = 0;
    for node in graph.node.iter().filter(|node| node.op_type() == "QuantizeLinear") {
        let expected = &reference["activations"][&node.input[0]];
        let scale = constants[node.input[1].as_str()].to_f32().unwrap()[0];
        let zero = constants[node.input[2].as_str()].to_i16().unwrap()[0];
        let wanted = expected[0].as_f64().unwrap() as f32;
        assert!((scale / wanted - 1.0).abs() < 1e-5, "{}: {scale} instead of {wanted}", node.input[0]);
        assert_eq!(i64::from(zero), expected[1].as_i64().unwrap(), "{}", node.input[0]);
        found += 1;
    }
    assert_eq!(found, reference["activations"].as_object().unwrap().len());
    for (name, rows) in reference["weights"].as_object().unwrap() {
        let integers = constants[format!("{name}_quantized").as_str()].to_i16().unwrap();
        assert_eq!(json!(integers), rows["values"], "{name}");
        assert_eq!(
            constants[format!("{name}_scale").as_str()].to_f32().unwrap(),
            common::floats(&rows["scale"]),
            "{name}"
        );
    }
    let mut biases: Vec<Vec<i64>> = graph
        .initializer
        .iter()
        .filter(|tensor| tensor.name().contains("bias_quantized") || tensor.name().contains("BN_B"))
        .filter(|tensor| tensor.name().contains("_quantized"))
        .map(|tensor| tensor.to_i64().unwrap())
        .collect();
    biases.sort();
    let wanted: Vec<Vec<i64>> = serde_json::from_value(reference["biases"].clone()).unwrap();
    assert_eq!(biases.len(), wanted.len());
    for (bias, wanted) in biases.iter().zip(&wanted) {
        let off = bias.iter().zip(wanted).map(|(one, other)| (one - other).abs()).max().unwrap();
        assert!(off <= 1, "{bias:?} instead of {wanted:?}");
    }
    // Integers are the same, so the logits are, too, up to single steps where a scale differs in its last bits.
    let (found, wanted) = (logits(&outcome.path("model")), rows(&reference["logits"]));
    let off = found.iter().zip(&wanted).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
    let largest = wanted.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    assert!(off < 0.02 * largest, "logits are off by {off} of {largest}");
}

#[test]
fn the_cpu_form_fuses_into_integer_kernels() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), "torchscript.onnx", json!({ "samples": 24 }));
    let model = read_model(&outcome.path("model")).unwrap();
    let fused = optimize(&model, Level::All, folder.path()).unwrap();
    let operators = operators(&fused);
    for gone in ["Conv", "FusedConv", "Add", "Gemm", "Relu", "Clip", "GlobalAveragePool"] {
        assert!(!operators.contains(&gone), "{gone} still computes in f32: {operators:?}");
    }
    assert_eq!(operators.iter().filter(|operator| **operator == "QLinearConv").count(), 6);
    assert!(operators.contains(&"QGemm"), "{operators:?}");
}

#[test]
fn the_report_and_the_metrics_say_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(
        folder.path(),
        "torchscript.onnx",
        json!({ "samples": 24, "method": "percentile", "max-drop": 50.0 }),
    );
    assert_eq!(outcome.metric("calibration.samples"), Some(24.0));
    assert_eq!(outcome.metric("layers.quantized"), Some(7.0));
    assert_eq!(outcome.metric("nodes.float"), Some(0.0));
    assert!(outcome.metric("sqnr.weights-worst").unwrap() > 30.0);
    assert!(outcome.metric("agreement").unwrap() >= 75.0);
    assert_eq!(outcome.result.gates[0].status, GateStatus::Passed);
    let report = std::fs::read_to_string(outcome.path("report")).unwrap();
    for words in
        ["percentile 99.99", "24 images of the training split", "Accuracy on 16 validation samples", "None."]
    {
        assert!(report.contains(words), "{words} is missing in {report}");
    }
    let model = read_model(&outcome.path("model")).unwrap();
    assert_eq!(metadata(&model, "stagewright.precision"), Some("int8"));
    assert!(metadata(&model, "stagewright.preprocess").unwrap().contains("stagewright/preprocess@1"));
    let metrics: Value = serde_json::from_slice(&std::fs::read(outcome.path("metrics")).unwrap()).unwrap();
    assert_eq!(metrics["activations"].as_array().unwrap().len(), 10);
    assert_eq!(metrics["calibration.ids-sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn the_same_run_gives_the_same_bytes_with_any_batch() {
    let model = |batch: usize| {
        let folder = tempfile::tempdir().unwrap();
        let outcome = run(
            folder.path(),
            "torchscript.onnx",
            json!({ "samples": 24, "method": "entropy", "batch-size": batch }),
        );
        std::fs::read(outcome.path("model")).unwrap()
    };
    assert!(model(8) == model(8));
    // ONNX Runtime's own sums may differ in the last bit with the batch; the ranges hardly do.
    assert_eq!(model(8).len(), model(5).len());
}

#[test]
fn int8_for_tensorrt_is_symmetric_and_keeps_what_it_fuses() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), "torchscript.onnx", json!({ "samples": 24, "target": "tensorrt" }));
    let model = read_model(&outcome.path("model")).unwrap();
    check(&model).unwrap();
    let constants = constants(&model);
    let graph = model.graph.as_ref().unwrap();
    let operators = operators(&model);
    assert_eq!(operators.iter().filter(|operator| matches!(**operator, "Relu" | "Clip")).count(), 5);
    for node in graph.node.iter().filter(|node| node.op_type() == "QuantizeLinear") {
        let zero = constants[node.input[2].as_str()];
        assert_eq!(
            (zero.data_type(), zero.to_i16().unwrap()),
            (3, vec![0]),
            "INT8 with zero point 0: {}",
            node.label()
        );
        let producer = graph.node.iter().find(|producer| producer.output.contains(&node.input[0]));
        assert!(
            producer.is_none_or(|producer| producer.op_type() != "Conv" || node.input[0].contains("short")),
            "between Conv and Relu: {}",
            node.label()
        );
    }
    for conv in graph.node.iter().filter(|node| node.op_type() == "Conv") {
        assert!(
            conv.input[0].ends_with("_dequantized") && conv.input[1].ends_with("_dequantized"),
            "{conv:?}"
        );
        assert!(!conv.input[2].ends_with("_dequantized"), "TensorRT adds biases in f32");
    }
    let (found, wanted) =
        (logits(&outcome.path("model")), rows(&common::reference()["reference"]["logits-fp32"]));
    let sqnr = stagewright_stage_quantize::evaluate::compare(&wanted, &found, &[0; 16]).sqnr;
    assert!(sqnr > 15.0, "{sqnr} dB");
}

#[test]
fn a_model_of_pytorchs_newer_exporter_is_quantized_whole() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), "dynamo.onnx", json!({ "samples": 24 }));
    let model = read_model(&outcome.path("model")).unwrap();
    assert!(operators(&model).contains(&"GlobalAveragePool") && !operators(&model).contains(&"ReduceMean"));
    assert_eq!(
        outcome.metric("nodes.float"),
        Some(0.0),
        "{}",
        std::fs::read_to_string(outcome.path("report")).unwrap()
    );
    assert_eq!(outcome.metric("layers.quantized"), Some(7.0));
    assert!(outcome.metric("sqnr.logits").unwrap() > 15.0);
}

#[test]
fn fp16_keeps_input_and_output_and_nearly_all_of_the_logits() {
    for name in ["torchscript.onnx", "dynamo.onnx"] {
        let folder = tempfile::tempdir().unwrap();
        let outcome = run(folder.path(), name, json!({ "precision": "fp16" }));
        let model = read_model(&outcome.path("model")).unwrap();
        check(&model).unwrap();
        let graph = model.graph.as_ref().unwrap();
        let halves = graph.initializer.iter().filter(|tensor| tensor.data_type() == 10).count();
        assert!(
            halves >= 14 && graph.initializer.iter().all(|tensor| tensor.data_type() != 1),
            "all weights are halves"
        );
        assert_eq!(operators(&model).iter().filter(|operator| **operator == "Cast").count(), 2);
        assert_eq!(metadata(&model, "stagewright.precision"), Some("fp16"));
        assert_eq!(outcome.metric("agreement"), Some(100.0));
        assert!(outcome.metric("sqnr.logits").unwrap() > 50.0, "{:?}", outcome.metric("sqnr.logits"));
    }
}

#[test]
fn fp16_needs_no_images() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(
        folder.path().join("run"),
        json!({ "precision": "fp16", "exclude": [".*fc/Gemm"], "max-drop": 1.0 }),
    )
    .input("model", "onnx", "model/onnx", common::fixture("torchscript.onnx"));
    let outcome = bench.run::<Quantize>().unwrap();
    assert_eq!(outcome.metric("nodes.float"), Some(1.0));
    assert_eq!(outcome.result.gates[0].status, GateStatus::NotApplicable);
    let found = logits(&outcome.path("model"));
    let wanted = rows(&common::reference()["reference"]["logits-fp32"]);
    assert!(stagewright_stage_quantize::evaluate::compare(&wanted, &found, &[0; 16]).sqnr > 50.0);
}

#[test]
fn excluded_nodes_stay_and_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(
        folder.path(),
        "torchscript.onnx",
        json!({ "samples": 24, "exclude": ["/stem/.*Conv", "/fc/Gemm"] }),
    );
    let model = read_model(&outcome.path("model")).unwrap();
    check(&model).unwrap();
    assert_eq!(outcome.metric("layers.quantized"), Some(5.0));
    let report = std::fs::read_to_string(outcome.path("report")).unwrap();
    assert!(report.contains("- `Conv /stem/stem.0/Conv`: `exclude` names it (`/stem/.*Conv`)"), "{report}");
    // The activation and the pooling behind the excluded convolution have nothing to be integer for.
    assert!(report.contains("- `Clip /stem/stem.2/Clip`: its input is f32"), "{report}");
}

#[test]
fn layers_are_left_out_until_the_models_agree() {
    let folder = tempfile::tempdir().unwrap();
    // Ranges that cut off half of the values: no two layers less make such a model agree.
    let cut = json!({ "samples": 24, "method": "percentile", "percentile": 50.0, "auto-exclude": { "max-nodes": 2, "min-agreement": 1.0 } });
    let outcome = run(folder.path(), "torchscript.onnx", cut);
    assert_eq!(outcome.metric("layers.quantized"), Some(5.0));
    let report = std::fs::read_to_string(outcome.path("report")).unwrap();
    assert!(
        report.contains("## Sensitivity") && report.contains("`auto-exclude`: alone it leaves"),
        "{report}"
    );
    let folder = tempfile::tempdir().unwrap();
    let always = json!({ "samples": 24, "auto-exclude": { "max-nodes": 2, "min-agreement": 0.0 } });
    assert_eq!(run(folder.path(), "torchscript.onnx", always).metric("layers.quantized"), Some(7.0));
}

/// A copy of a fixture after a change.
fn changed(folder: &Path, change: impl FnOnce(&mut ModelProto)) -> PathBuf {
    let mut model = read_model(&common::fixture("torchscript.onnx")).unwrap();
    change(&mut model);
    let path = folder.join("changed.onnx");
    write_model(&model, &path).unwrap();
    path
}

#[test]
fn an_older_operator_set_is_raised_where_that_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = changed(folder.path(), |model| model.opset_import[0].version = Some(11));
    let outcome = bench(folder.path(), &path, json!({ "samples": 24 })).run::<Quantize>().unwrap();
    assert_eq!(read_model(&outcome.path("model")).unwrap().opset_import[0].version(), 13);
}

fn fault(bench: Bench) -> StageFault {
    let fault = bench.run::<Quantize>().err().unwrap();
    assert_eq!(fault.0.class, ErrorClass::User, "{fault}");
    fault
}

#[test]
fn what_can_not_be_quantized_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = changed(folder.path(), |model| model.opset_import[0].version = Some(9));
    let old = fault(bench(folder.path(), &path, json!({})));
    assert_eq!(old.to_string(), "the model is written in operator set 9; 8-bit weights need 13");
    assert_eq!(old.0.hint.unwrap(), "export it again with `opset_version=13` or newer");

    let quantized = run(folder.path(), "torchscript.onnx", json!({ "samples": 24 })).path("model");
    let copy = folder.path().join("quantized.onnx");
    std::fs::copy(quantized, &copy).unwrap();
    let twice = fault(bench(folder.path(), &copy, json!({})));
    assert!(
        twice.to_string().starts_with("the model is quantized already: it holds DequantizeLinear "),
        "{twice}"
    );

    let path = changed(folder.path(), |model| {
        let graph = model.graph.as_mut().unwrap();
        graph.output.push(graph.output[0].clone());
        graph.output[1].name = Some("/Flatten_output_0".to_owned());
    });
    let two = fault(bench(folder.path(), &path, json!({})));
    assert!(two.to_string().contains("the outputs [logits, /Flatten_output_0]"), "{two}");

    let nothing =
        fault(bench(folder.path(), &common::fixture("torchscript.onnx"), json!({ "exclude": [".*"] })));
    assert!(nothing.to_string().starts_with("the model has no operator to quantize ("), "{nothing}");
}

#[test]
fn params_and_inputs_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = common::fixture("torchscript.onnx");
    let message = |params: Value| fault(bench(folder.path(), &model, params)).to_string();
    assert_eq!(message(json!({ "percentile": 101.0 })), "`percentile` is 101; it must be 50 to 100");
    assert_eq!(message(json!({ "samples": 0 })), "`samples` is 0; calibration needs at least one image");
    assert!(
        message(json!({ "samples": 24, "exclude": ["layer9"] }))
            .starts_with("`exclude` holds `layer9`, which matches no node of the model")
    );
    assert!(
        message(json!({ "samples": 24, "exclude": ["("] }))
            .starts_with("`exclude` holds `(`, which is no regular expression: ")
    );
    assert_eq!(
        message(json!({ "auto-exclude": { "max-nodes": 1, "min-agreement": 90.0 } })),
        "`auto-exclude.min-agreement` is 90; it must be 0 to 1"
    );
    assert!(
        message(json!({ "bits": 4 })).starts_with("`with` does not fit the params: unknown field `bits`")
    );

    let without =
        Bench::new(folder.path().join("run"), json!({})).input("model", "onnx", "model/onnx", &model);
    assert_eq!(
        fault(without).to_string(),
        "nothing is bound to `calibration`: INT8 is calibrated on images as the network sees them"
    );

    let other = changed(folder.path(), |model| {
        let contract =
            std::fs::read_to_string(common::contract(folder.path())).unwrap().replace("0.25", "0.125");
        stagewright_onnx::set_metadata(model, "stagewright.preprocess", &contract);
    });
    let mismatch = fault(bench(folder.path(), &other, json!({})));
    assert!(
        mismatch.to_string().starts_with("the model was made under another preprocessing contract than "),
        "{mismatch}"
    );
}

#[test]
fn a_model_that_overflows_is_named_with_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = changed(folder.path(), |model| {
        let graph = model.graph.as_mut().unwrap();
        let weight =
            graph.initializer.iter_mut().find(|tensor| tensor.name() == "blocks.1.conv2.weight").unwrap();
        let shape = weight.shape().unwrap();
        *weight =
            TensorProto::of_f32("blocks.1.conv2.weight", &shape, &vec![f32::MAX; shape.iter().product()]);
    });
    let fault = fault(bench(folder.path(), &path, json!({ "samples": 24 })));
    assert!(fault.to_string().contains("is not finite on the calibration images"), "{fault}");
}

#[test]
fn encoding_is_stable() {
    let model = read_model(&common::fixture("dynamo.onnx")).unwrap();
    assert_eq!(encode_model(&model), std::fs::read(common::fixture("dynamo.onnx")).unwrap());
}
