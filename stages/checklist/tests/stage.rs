//! The whole stage on small models: each gate passes and fails when it should, and the report says why.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use common::{Short, bench, contract, fixture};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stagewright_onnx::{
    proto::{ModelProto, TensorProto},
    read_model, set_metadata, write_model,
};
use stagewright_sdk::{
    ErrorClass, Fault, Gate, GateStatus,
    testing::{Bench, Outcome},
};

/// Bounds of the tests that depend on the machine's mood, so wide that it does not matter.
fn patient() -> Value {
    json!({ "stress": { "rate": 50, "max-p99": 1e6 } })
}

fn models(bench: Bench, paths: &[(&str, &Path)]) -> Bench {
    paths.iter().fold(bench, |bench, (name, path)| bench.input("models", name, "model/onnx", path))
}

/// A run with fp32 as the baseline and another model as the candidate.
fn run(folder: &Path, candidate: &Path, params: Value) -> Outcome {
    let bench = bench(folder, &contract(), params);
    models(bench, &[("fp32", &fixture("fp32.onnx")), ("candidate", candidate)]).run::<Short>().unwrap()
}

fn gate<'a>(outcome: &'a Outcome, name: &str) -> &'a Gate {
    outcome.result.gates.iter().find(|gate| gate.name == name).unwrap()
}

#[track_caller]
fn assert_gate(outcome: &Outcome, name: &str, status: GateStatus, words: &[&str]) {
    let gate = gate(outcome, name);
    assert_eq!(gate.status, status, "{}", gate.reason);
    for word in words {
        assert!(gate.reason.contains(word), "`{word}` is not in: {}", gate.reason);
    }
    let report = fs::read_to_string(outcome.path("report")).unwrap();
    let verdict = match status {
        GateStatus::Passed => "passed",
        GateStatus::Failed => "**failed**",
        GateStatus::NotApplicable => "not applicable",
    };
    assert!(report.contains(&format!("| {name} | {verdict} | ")), "{report}");
}

/// A model changed by `change`, in a file of its own.
fn changed(folder: &Path, name: &str, change: impl FnOnce(&mut ModelProto)) -> PathBuf {
    let mut model = read_model(&fixture(name)).unwrap();
    change(&mut model);
    let path = folder.join(format!("changed-{name}"));
    write_model(&model, &path).unwrap();
    path
}

fn tensor(model: &mut ModelProto, test: impl Fn(&TensorProto) -> bool) -> &mut TensorProto {
    model.graph.as_mut().unwrap().initializer.iter_mut().find(|tensor| test(tensor)).unwrap()
}

/// Replaces the first value of a tensor.
fn poison(tensor: &mut TensorProto, value: f32) {
    let mut values = tensor.to_f32().unwrap();
    values[0] = value;
    tensor.float_data.clear();
    tensor.raw_data = Some(values.iter().flat_map(|value| value.to_le_bytes()).collect());
}

/// Every number that is not part of a name becomes `#`, with its sign.
fn settled(report: &str) -> String {
    let mut out = String::new();
    for line in report.lines() {
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            let signed =
                matches!(character, '+' | '-') && characters.peek().is_some_and(char::is_ascii_digit);
            let digit = character.is_ascii_digit() && !out.ends_with(char::is_alphanumeric);
            if !digit && !signed {
                out.push(character);
                continue;
            }
            while characters.next_if(|next| next.is_ascii_digit() || *next == '.').is_some() {}
            out.push('#');
        }
        out.push('\n');
    }
    out
}

#[test]
fn a_good_candidate_passes_and_the_report_tells_the_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let benchmark = folder.path().join("results.json");
    let variant = json!({ "name": "candidate", "top1": 12.5 });
    let figures = json!({ "format": "stagewright/benchmark@1", "variants": [{ "name": "fp32" }, variant] });
    fs::write(&benchmark, figures.to_string()).unwrap();
    let mut params = patient();
    params["memory-leak"] = json!({ "max-growth": 1.0 });
    let bench = bench(folder.path(), &contract(), params);
    let bench = models(bench, &[("fp32", &fixture("fp32.onnx")), ("candidate", &fixture("int8.onnx"))])
        .input("previous", "release", "model/onnx", fixture("fp32.onnx"))
        .input("benchmark", "benchmark", "metrics/json", benchmark);
    let outcome = bench.run::<Short>().unwrap();

    let names: Vec<&str> = outcome.result.gates.iter().map(|gate| gate.name.as_str()).collect();
    assert_eq!(names, ["quantization-verified", "stress", "memory-leak", "multi-gpu", "rollback"]);
    let reference = &common::reference()["models"]["int8"];
    let percent = |value: &Value| format!("{:.2} %", value.as_f64().unwrap());
    let words = [percent(&reference["top1"]), percent(&reference["agreement"]), "120 test images".to_owned()];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_gate(&outcome, "quantization-verified", GateStatus::Passed, &words);
    assert_gate(&outcome, "stress", GateStatus::Passed, &["10 requests at 50/s", "none failed"]);
    assert_gate(&outcome, "memory-leak", GateStatus::Passed, &["400 inferences and 20 openings"]);
    assert_gate(&outcome, "rollback", GateStatus::Passed, &["restored, verified and answering"]);
    assert_gate(&outcome, "multi-gpu", GateStatus::NotApplicable, &[]);
    assert_eq!((outcome.metric("passed"), outcome.metric("not-applicable")), (Some(4.0), Some(1.0)));
    let count = |status| outcome.result.gates.iter().filter(|gate| gate.status == status).count() as f64;
    assert_eq!(outcome.metric("passed"), Some(count(GateStatus::Passed)));
    assert_eq!(outcome.metric("failed"), Some(count(GateStatus::Failed)));
    assert_eq!(outcome.metric("not-applicable"), Some(count(GateStatus::NotApplicable)));

    let text = fs::read_to_string(outcome.path("results")).unwrap();
    assert!(text.starts_with("{\n  \"format\": \"stagewright/checklist@1\","), "{}", &text[..60]);
    let results: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&results["candidate"], &results["baseline"]), (&json!("candidate"), &json!("fp32")));
    assert_eq!(results["benchmark"], variant);
    assert_eq!(results["findings"].as_array().unwrap().len(), 5);
    assert_eq!(results["memory"]["inferences"].as_array().unwrap().len(), 100);
    let report = fs::read_to_string(outcome.path("report")).unwrap();
    let digest = hex::encode(Sha256::digest(fs::read(fixture("fp32.onnx")).unwrap()));
    let shown = format!("sha256:{}", &digest[..16]);
    assert!(report.contains(&format!("| digest of the restored file | {shown} | {shown} |")), "{report}");
    insta::assert_snapshot!(settled(&report.replace(&shown, "(digest)")));
}

#[test]
fn wrong_answers_lose_accuracy_and_agreement() {
    let folder = tempfile::tempdir().unwrap();
    let candidate =
        changed(folder.path(), "wrong.onnx", |model| set_metadata(model, "stagewright.precision", "fp16"));
    let outcome = run(folder.path(), &candidate, patient());
    let words = [
        "accuracy lost on the test split is +74.17 pp",
        "at most 1 pp",
        "same class is 0.00 %",
        "at least 95 %",
    ];
    assert_gate(&outcome, "quantization-verified", GateStatus::Failed, &words);
    assert_gate(&outcome, "rollback", GateStatus::NotApplicable, &["no previous release is bound"]);
    let report = fs::read_to_string(outcome.path("report")).unwrap();
    assert!(report.contains("| 0.00 % **(not so)** | at least 95 % |"), "{report}");
}

#[test]
fn the_bounds_are_the_users() {
    let folder = tempfile::tempdir().unwrap();
    let mut params = patient();
    params["quantization"] = json!({ "min-agreement": 98.0 });
    let outcome = run(folder.path(), &fixture("int8.onnx"), params);
    assert_gate(&outcome, "quantization-verified", GateStatus::Failed, &["97.50 %, at least 98 % is wanted"]);
    let reason = &gate(&outcome, "quantization-verified").reason;
    assert!(!reason.contains("accuracy"), "the drop alone is fine: {reason}");
}

#[test]
fn a_model_that_is_not_quantized_is_not_verified() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), &fixture("fp32.onnx"), patient());
    assert_gate(
        &outcome,
        "quantization-verified",
        GateStatus::NotApplicable,
        &["precision fp32", "not quantized"],
    );
    // One that does not say what it is, but holds half floats, is.
    let halves = changed(folder.path(), "fp16.onnx", |model| model.metadata_props.clear());
    let outcome = run(folder.path(), &halves, patient());
    assert_gate(&outcome, "quantization-verified", GateStatus::Passed, &["80.83 %"]);
}

#[test]
fn scales_that_are_no_scales() {
    for (value, found) in [(f32::INFINITY, "infinite"), (0.0, "zero"), (-0.5, "negative"), (f32::NAN, "none")]
    {
        let folder = tempfile::tempdir().unwrap();
        let candidate = changed(folder.path(), "int8.onnx", |model| {
            poison(tensor(model, |tensor| tensor.name() == "body.weight_scale"), value);
        });
        let outcome = run(folder.path(), &candidate, patient());
        let gate = gate(&outcome, "quantization-verified");
        assert_eq!(gate.status, GateStatus::Failed, "{found}: {}", gate.reason);
        // One for each channel of three weights and three biases (8 + 16 + 6), five of activations.
        assert!(
            gate.reason.contains("scales that are finite and above 0 is 64 of 65, all is wanted"),
            "{}",
            gate.reason
        );
    }
}

#[test]
fn logits_that_are_no_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let candidate = changed(folder.path(), "fp32.onnx", |model| {
        set_metadata(model, "stagewright.precision", "fp16");
        poison(tensor(model, |tensor| tensor.name() == "fc.bias"), f32::NAN);
    });
    let outcome = run(folder.path(), &candidate, patient());
    let words = ["images with logits that are not finite is 120, 0 is wanted", "same class is 0.00 %"];
    assert_gate(&outcome, "quantization-verified", GateStatus::Failed, &words);
    // No answer is like itself.
    assert_gate(
        &outcome,
        "stress",
        GateStatus::Failed,
        &["answers unlike the golden ones is 10, 0 is wanted"],
    );
}

/// A run with int8 as the candidate and a file as the previous release.
fn with_previous(folder: &Path, previous: &Path, bounds: Value) -> Outcome {
    let mut params = patient();
    params["rollback"] = bounds;
    let bench = models(
        bench(folder, &contract(), params),
        &[("fp32", &fixture("fp32.onnx")), ("int8", &fixture("int8.onnx"))],
    );
    bench.input("previous", "release", "model/onnx", previous).run::<Short>().unwrap()
}

#[test]
fn a_previous_release_that_does_not_load() {
    let folder = tempfile::tempdir().unwrap();
    let corrupt = folder.path().join("corrupt.onnx");
    let whole = fs::read(fixture("fp32.onnx")).unwrap();
    fs::write(&corrupt, &whole[..whole.len() / 2]).unwrap();
    let outcome = with_previous(folder.path(), &corrupt, json!({}));
    assert_gate(&outcome, "rollback", GateStatus::Failed, &["loading it is", "that it loads is wanted"]);
}

#[test]
fn a_previous_release_that_can_not_stand_in() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = with_previous(folder.path(), &fixture("five.onnx"), json!({}));
    assert_gate(&outcome, "rollback", GateStatus::Failed, &["5 classes apart", "names 6"]);
    let outcome = with_previous(folder.path(), &fixture("batch4.onnx"), json!({}));
    assert_gate(&outcome, "rollback", GateStatus::Failed, &["takes 4 images at a time"]);
}

#[test]
fn a_previous_release_that_is_slow_or_worse() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = with_previous(folder.path(), &fixture("fp32.onnx"), json!({ "max-time": 1e-6 }));
    assert_gate(
        &outcome,
        "rollback",
        GateStatus::Failed,
        &["time to the first answer is 0.", "at most 0.000001 s is wanted"],
    );
    let outcome = with_previous(folder.path(), &fixture("wrong.onnx"), json!({}));
    let words = ["accuracy below the candidate's is 74.17 pp (6.67 %), at most 5 pp is wanted"];
    assert_gate(&outcome, "rollback", GateStatus::Failed, &words);
    assert_gate(&outcome, "quantization-verified", GateStatus::Passed, &[]);
}

#[test]
fn a_load_that_it_can_not_bear() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), &fixture("int8.onnx"), json!({ "stress": { "rate": 1e7 } }));
    assert_gate(
        &outcome,
        "stress",
        GateStatus::Failed,
        &["requests not sent in twice the time is", "p99 from due to answered is"],
    );
    let outcome =
        run(folder.path(), &fixture("int8.onnx"), json!({ "stress": { "rate": 50, "max-p99": 0.0 } }));
    assert_gate(
        &outcome,
        "stress",
        GateStatus::Failed,
        &["p99 from due to answered is", "at most 0.00 ms is wanted"],
    );
}

fn fault(folder: &Path, params: Value, bind: impl FnOnce(Bench) -> Bench) -> Fault {
    bind(bench(folder, &contract(), params)).run::<Short>().err().expect("this is bad input").0
}

#[test]
fn errors_name_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let both = |bench| models(bench, &[("fp32", &fixture("fp32.onnx")), ("int8", &fixture("int8.onnx"))]);
    for param in ["candidate", "baseline"] {
        let fault = fault(folder.path(), json!({ param: "fp64" }), both);
        assert_eq!(
            (fault.class, fault.message),
            (ErrorClass::User, format!("`{param}` is `fp64`, but no model has that name"))
        );
        assert_eq!(fault.hint.unwrap(), "the models are named fp32, int8");
    }
    let none = fault(folder.path(), json!({}), |bench| bench);
    assert_eq!((none.class, none.message.as_str()), (ErrorClass::User, "no model is bound to `models`"));
    for rate in [0.0, -1.0] {
        let rate = fault(folder.path(), json!({ "stress": { "rate": rate } }), both);
        assert!(
            rate.class == ErrorClass::User && rate.message.contains("at least 0.001 requests a second"),
            "{}",
            rate.message
        );
    }
    let classes = fault(folder.path(), json!({}), |bench| models(bench, &[("five", &fixture("five.onnx"))]));
    assert_eq!(classes.message, "the model `five` tells 5 classes apart, the preprocessing contract names 6");

    let path = folder.path().join("results.json");
    let with = |text: &str| {
        fs::write(&path, text).unwrap();
        fault(folder.path(), json!({}), |bench| {
            both(bench).input("benchmark", "benchmark", "metrics/json", &path)
        })
    };
    let shown = path.display();
    assert!(with("{").message.starts_with(&format!("{shown} is not JSON: ")));
    let other = with(r#"{"format":"stagewright/benchmark@2","variants":[]}"#);
    let text = format!(
        "{shown} has the format `stagewright/benchmark@2`; this release reads `stagewright/benchmark@1`"
    );
    assert_eq!((other.class, other.message), (ErrorClass::User, text));
    let unmeasured = with(r#"{"format":"stagewright/benchmark@1","variants":[{"name":"fp32"}]}"#);
    assert_eq!(unmeasured.message, "the benchmark did not measure the candidate `int8`");
    assert_eq!(unmeasured.hint.unwrap(), "give the model the same name with `as:` in both stages");

    let bench = both(bench(folder.path(), &contract(), json!({})));
    let cancelled = bench.run_with_flag::<Short>(Arc::new(AtomicBool::new(true))).err().unwrap();
    assert_eq!(cancelled.to_string(), "cancelled");
}
