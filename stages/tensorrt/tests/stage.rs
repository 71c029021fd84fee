//! Whole runs of the stage against stand-ins for trtexec and nvidia-smi. Not against a real TensorRT.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use common::{
    FP32_LAYERS, H100, INT8_LAYERS, Kind, OPTIONS_10, OPTIONS_11, OnMachine, Stand, Trtexec, on, onnx,
};
use serde_json::{Value, json};
use stagewright_sdk::{
    ErrorClass, GateStatus, Stage, StageFault,
    testing::{Bench, Outcome},
};
use stagewright_stage_tensorrt::Machine;
use tempfile::TempDir;

const TEN: Trtexec = Trtexec { number: 101_600, options: OPTIONS_10, play: "", layers: INT8_LAYERS };
const OPEN: [i64; 4] = [-1, 3, 32, 32];

fn run(folder: &Path, params: Value) -> Result<Outcome, StageFault> {
    Bench::new(folder, params)
        .input("model", "model.onnx", "model/onnx", folder.join("model.onnx"))
        .run::<OnMachine>()
}

/// A folder with a model and a machine with both programs.
fn ready(stand_in: &Trtexec, kind: Kind, dims: [i64; 4]) -> (TempDir, Stand) {
    let folder = tempfile::tempdir().unwrap();
    onnx(&folder.path().join("model.onnx"), kind, dims);
    let stand = Stand::new(folder.path());
    stand.trtexec(stand_in).nvidia_smi(H100);
    on(stand.machine());
    (folder, stand)
}

#[test]
fn an_engine_is_built_and_described() {
    let (folder, stand) = ready(&TEN, Kind::Int8, OPEN);
    let outcome =
        run(folder.path(), json!({"precision": "int8", "batch": {"min": 1, "opt": 4, "max": 16}})).unwrap();
    let engine = outcome.path("engine");
    let plan = fs::read(engine.join("engine.plan")).unwrap();
    assert!(plan.starts_with(b"plan\n"));
    let written: Value = serde_json::from_slice(&fs::read(engine.join("engine.json")).unwrap()).unwrap();
    assert_eq!(written["format"], "stagewright/engine@1");
    assert_eq!(written["tensorrt"], "10.16.0");
    assert_eq!(written["gpu"]["name"], "NVIDIA H100 80GB HBM3");
    assert_eq!(written["gpu"]["compute-capability"], "9.0");
    assert_eq!(written["gpu"]["driver"], "570.86.15");
    assert_eq!(written["precision"], "int8");
    assert_eq!(
        written["shapes"]["image"],
        json!({"min": [1, 3, 32, 32], "opt": [4, 3, 32, 32], "max": [16, 3, 32, 32]})
    );
    assert_eq!(written["engine"]["size"], plan.len());
    assert_eq!(written["onnx"]["size"], fs::metadata(folder.path().join("model.onnx")).unwrap().len());
    assert_eq!(written["onnx"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(written["layers"]["by-type"], json!({"int8": 1, "fp16": 1}));
    // Flags name files without their folders, so that two machines write the same.
    assert!(written["flags"].as_array().unwrap().contains(&json!("--onnx=model.onnx")));
    assert!(!written["flags"].to_string().contains(folder.path().to_str().unwrap()));

    let argv = stand.argv();
    assert!(
        argv.contains(&"--stronglyTyped".to_owned())
            && argv.contains(&"--maxShapes=image:16x3x32x32".to_owned())
    );
    let log = fs::read_to_string(outcome.path("log")).unwrap();
    // Both streams, whole.
    assert!(log.contains("&&&& PASSED") && log.contains("[W] [TRT] a warning from the builder"));
    assert_eq!(outcome.metric("layers.int8"), Some(1.0));
    assert_eq!(outcome.metric("layers.total"), Some(3.0));
    assert!(outcome.metric("engine.size").unwrap() > 0.0);
    let gate = &outcome.result.gates[0];
    assert_eq!(
        (gate.status, gate.reason.as_str()),
        (GateStatus::Passed, "1 layers compute in int8: 1 fp16, 1 int8")
    );
    assert_eq!(fs::read_to_string(outcome.path("timing-cache")).unwrap(), "measured\n");
}

#[test]
fn version_11_is_not_asked_for_strong_types_and_a_fixed_model_gets_no_shapes() {
    let (folder, stand) =
        ready(&Trtexec { number: 110_100, options: OPTIONS_11, ..TEN }, Kind::Fp32, [2, 3, 32, 32]);
    let outcome = run(folder.path(), json!({})).unwrap();
    assert!(
        stand.argv().iter().all(|argument| argument != "--stronglyTyped" && !argument.contains("Shapes"))
    );
    let written: Value =
        serde_json::from_slice(&fs::read(outcome.path("engine").join("engine.json")).unwrap()).unwrap();
    assert_eq!(written["tensorrt"], "11.1.0");
    assert_eq!(written["shapes"]["image"]["max"], json!([2, 3, 32, 32]));
}

#[test]
fn an_int8_model_whose_engine_has_no_int8_layer_fails_the_gate() {
    let (folder, _stand) = ready(&Trtexec { layers: FP32_LAYERS, ..TEN }, Kind::Int8, OPEN);
    let outcome = run(folder.path(), json!({})).unwrap();
    let gate = &outcome.result.gates[0];
    assert_eq!(
        (gate.status, gate.reason.as_str()),
        (GateStatus::Failed, "no layer computes in int8: 1 fp32")
    );
    let (folder, _stand) = ready(&Trtexec { layers: r#"{"Layers": ["a"]}"#, ..TEN }, Kind::Int8, OPEN);
    let outcome = run(folder.path(), json!({"profiling-verbosity": "layer-names-only"})).unwrap();
    assert_eq!(outcome.result.gates[0].status, GateStatus::NotApplicable);
}

#[test]
fn a_timing_cache_goes_in_and_comes_out() {
    let (folder, _stand) = ready(&TEN, Kind::Fp32, OPEN);
    let cache = folder.path().join("old.cache");
    fs::write(&cache, "earlier\n").unwrap();
    let bench = |params: Value| {
        let model = folder.path().join("model.onnx");
        Bench::new(folder.path(), params).input("model", "m", "model/onnx", model).input(
            "timing-cache",
            "c",
            "file",
            &cache,
        )
    };
    let outcome = bench(json!({"timing-cache": "complete"})).run::<OnMachine>().unwrap();
    assert_eq!(fs::read_to_string(outcome.path("timing-cache")).unwrap(), "earlier\nmeasured\n");
    // The input itself is read-only to a stage.
    assert_eq!(fs::read_to_string(&cache).unwrap(), "earlier\n");
    let written: Value =
        serde_json::from_slice(&fs::read(outcome.path("engine").join("engine.json")).unwrap()).unwrap();
    assert_eq!(written["timing-cache"]["size"], 8);
    let fault = bench(json!({"timing-cache": "off"})).run::<OnMachine>().err().unwrap();
    assert_eq!(
        fault.to_string(),
        "the input `timing-cache` is bound, but `timing-cache: off` leaves it unused"
    );
    let fault = run(folder.path(), json!({"timing-cache": "complete"})).err().unwrap();
    assert!(fault.to_string().contains("the input `timing-cache` is not bound"), "{fault}");
}

fn refused(kind: Kind, dims: [i64; 4], params: Value) -> (ErrorClass, String, String) {
    let (folder, _stand) = ready(&TEN, kind, dims);
    let fault = run(folder.path(), params).err().unwrap().0;
    (fault.class, fault.message, fault.hint.unwrap_or_default())
}

#[test]
fn number_types_come_from_the_model() {
    for (kind, declared, found) in
        [(Kind::Fp32, "int8", "fp32"), (Kind::Fp16, "fp32", "fp16"), (Kind::Int8, "fp16", "int8")]
    {
        let (class, message, hint) = refused(kind, OPEN, json!({"precision": declared}));
        let wanted = format!(
            "`precision: {declared}` is declared, but the model computes in {found}; number types come from the model, not from the builder"
        );
        assert_eq!((class, message), (ErrorClass::User, wanted));
        assert!(!hint.is_empty());
    }
    let (_, message, hint) = refused(Kind::Uint8, OPEN, json!({}));
    assert!(
        message.contains(
            "image/q quantizes with the type Uint8 (`zero`); TensorRT takes signed integers around 0 only"
        ),
        "{message}"
    );
    assert!(hint.contains("target: tensorrt"), "{hint}");
    let (_, message, _) = refused(Kind::Shifted, OPEN, json!({}));
    assert!(message.contains("quantizes with a zero point other than 0 (`zero`)"), "{message}");
}

#[test]
fn shapes_must_fit_the_model_and_each_other() {
    let shapes = |min: Value, opt: Value, max: Value| json!({"shapes": {"image": {"min": min, "opt": opt, "max": max}}});
    let whole = |batch: u32| json!([batch, 3, 32, 32]);
    let cases = [
        (
            OPEN,
            json!({"batch": {"min": 4, "opt": 2, "max": 8}}),
            "batch of `image` is min 4, opt 2, max 8; it must be 1 ≤ min ≤ opt ≤ max",
        ),
        (
            OPEN,
            json!({"batch": {"min": 0, "opt": 2, "max": 8}}),
            "batch of `image` is min 0, opt 2, max 8; it must be 1 ≤ min ≤ opt ≤ max",
        ),
        (
            OPEN,
            json!({"shapes": {"images": {"min": [1], "opt": [1], "max": [1]}}}),
            "`shapes` names the input `images`, the model's is `image`",
        ),
        (
            OPEN,
            shapes(json!([1, 3]), whole(1), whole(1)),
            "`shapes.image.min` has 2 dimensions, the input has 4: batch, channels, height, width",
        ),
        (
            OPEN,
            shapes(whole(1), whole(2), json!([4, 3, 64, 32])),
            "height of `image` is min 32, opt 32, max 64, but the model fixes it to 32",
        ),
        (
            [2, 3, 32, 32],
            shapes(whole(1), whole(2), whole(4)),
            "batch of `image` is min 1, opt 2, max 4, but the model fixes it to 2",
        ),
        (
            [-1, -1, 32, 32],
            json!({}),
            "the model leaves the channels of `image` open, and nothing says what it will be",
        ),
    ];
    for (dims, params, wanted) in cases {
        let (class, message, _) = refused(Kind::Fp32, dims, params);
        assert_eq!((class, message.as_str()), (ErrorClass::User, wanted));
    }
    // Height and width left open are those of the preprocessing contract in the model.
    let (folder, stand) = ready(&TEN, Kind::Fp32, [-1, 3, -1, -1]);
    run(folder.path(), json!({})).unwrap();
    assert!(stand.argv().contains(&"--optShapes=image:8x3x24x32".to_owned()));
}

#[test]
fn bad_params_and_files_are_named() {
    let (folder, _stand) = ready(&TEN, Kind::Fp32, OPEN);
    let fault = run(folder.path(), json!({"precison": "int8"})).err().unwrap();
    assert!(fault.to_string().contains("unknown field `precison`"), "{fault}");
    fs::write(folder.path().join("model.onnx"), "no model").unwrap();
    let fault = run(folder.path(), json!({})).err().unwrap();
    assert!(fault.to_string().contains("model.onnx is not an ONNX model"), "{fault}");
}

#[test]
fn failures_of_trtexec_are_told() {
    let play = |play: &'static str| {
        let (folder, _stand) = ready(&Trtexec { play, ..TEN }, Kind::Fp32, OPEN);
        run(folder.path(), json!({})).err().unwrap().0
    };
    let fault = play("say '[E] [TRT] Error Code 1: Cuda Runtime (out of memory)'; fail");
    assert_eq!(fault.class, ErrorClass::Environment);
    assert_eq!(fault.message, "trtexec failed with exit code 1: Error Code 1: Cuda Runtime (out of memory)");
    assert!(fault.hint.unwrap().contains("workspace"));
    assert!(play("kill -SEGV $$").message.starts_with("trtexec crashed with signal 11"));
    assert!(play("kill -KILL $$").message.starts_with("trtexec was killed (signal 9"));
    assert!(play("exit 0").message.starts_with("trtexec ended without saying PASSED"));
    assert!(
        play("echo '&&&& PASSED TensorRT.trtexec'; exit 0").message.starts_with("trtexec wrote no engine")
    );
    // A release that does not know an option that is used.
    let (folder, _stand) = ready(&Trtexec { options: "--onnx\n--saveEngine\n", ..TEN }, Kind::Fp32, OPEN);
    let fault = run(folder.path(), json!({})).err().unwrap().0;
    assert_eq!(
        (fault.class, fault.message.as_str()),
        (
            ErrorClass::Internal,
            "trtexec failed with exit code 1: Unknown option: --stronglyTyped --stronglyTyped"
        )
    );
}

#[test]
fn a_cancelled_build_ends_trtexec() {
    let (folder, stand) =
        ready(&Trtexec { play: "echo $$ > \"${0%/*}/pid\"; exec sleep 60", ..TEN }, Kind::Fp32, OPEN);
    let cancelled = Arc::new(AtomicBool::new(false));
    let (flag, pid) = (Arc::clone(&cancelled), stand.folder.join("pid"));
    let waiter = thread::spawn(move || {
        let started = Instant::now();
        while fs::read_to_string(&pid).unwrap_or_default().trim().is_empty()
            && started.elapsed() < Duration::from_secs(20)
        {
            thread::sleep(Duration::from_millis(20));
        }
        flag.store(true, Ordering::Relaxed);
        fs::read_to_string(&pid).unwrap().trim().to_owned()
    });
    let started = Instant::now();
    let model = folder.path().join("model.onnx");
    let bench = Bench::new(folder.path(), json!({})).input("model", "m", "model/onnx", model);
    let fault = bench.run_with_flag::<OnMachine>(cancelled).err().unwrap();
    assert_eq!(fault.to_string(), "cancelled");
    assert!(started.elapsed() < Duration::from_secs(30));
    let pid = waiter.join().unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "trtexec is still there");
}

#[test]
fn the_probe_tells_what_is_there_and_what_is_missing() {
    let (_folder, stand) = ready(&TEN, Kind::Fp32, OPEN);
    let found = OnMachine::probe();
    assert!(found.missing.is_empty());
    assert_eq!(found.facts["tensorrt"], "10.16.0");
    let properties: Vec<(&str, &str)> =
        found.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        properties,
        [("compute-capability", "9.0"), ("gpu", "NVIDIA H100 80GB HBM3"), ("tensorrt", "10.16.0")]
    );

    // TensorRT without a GPU is of no use.
    stand.nvidia_smi("No devices were found");
    let found = OnMachine::probe();
    assert_eq!(found.facts["tensorrt"], false);
    assert_eq!(found.missing.len(), 1);
    assert_eq!(found.missing[0].message, "no NVIDIA GPU: nvidia-smi said: No devices were found");

    on(Machine::default());
    let found = OnMachine::probe();
    assert_eq!((found.facts["tensorrt"].clone(), found.missing.len()), (json!(false), 2));
    assert_eq!(
        found.missing[0].message,
        "trtexec was not found in TENSORRT_HOME/bin, PATH or /usr/src/tensorrt/bin"
    );
    assert!(found.missing[0].hint.as_deref().unwrap().contains("if: ${{ host.tensorrt }}"));
    assert!(found.missing.iter().all(|fault| fault.class == ErrorClass::Environment));
}

#[test]
fn an_old_or_mute_trtexec_is_not_taken() {
    let (_folder, stand) = ready(&Trtexec { number: 8601, ..TEN }, Kind::Fp32, OPEN);
    let missing = OnMachine::probe().missing;
    assert!(missing[0].message.ends_with("is of TensorRT 8.6.1; 10 or 11 is needed"), "{missing:?}");
    let mute = "#!/bin/sh\necho 'error while loading shared libraries: libnvinfer.so.10' >&2\nexit 127\n";
    stand.program("trtexec", mute);
    let missing = OnMachine::probe().missing;
    assert!(
        missing[0]
            .message
            .contains("does not say its version; it said: error while loading shared libraries"),
        "{missing:?}"
    );
    // A home that is named goes before the path, and its libraries are found.
    let home = tempfile::tempdir().unwrap();
    let other = Stand::new(home.path());
    other.trtexec(&Trtexec { number: 110_000, ..TEN });
    fs::create_dir(home.path().join("lib")).unwrap();
    fs::write(home.path().join("lib/libnvinfer.so.11"), "").unwrap();
    let machine = Machine { tensorrt_home: Some(home.path().to_owned()), ..stand.machine() };
    let found = stagewright_stage_tensorrt::locate(&machine).unwrap();
    assert_eq!(
        (found.version.to_string(), found.libraries),
        ("11.0.0".to_owned(), Some(home.path().join("lib")))
    );
}

/// The program itself, over its protocol.
#[test]
fn the_program_answers_a_probe() {
    let (_folder, stand) = ready(&TEN, Kind::Fp32, OPEN);
    let path =
        std::env::join_paths([stand.folder.as_path(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_stagewright-stage-tensorrt"))
        .env("PATH", path)
        .env_remove("CUDA_VISIBLE_DEVICES")
        .env_remove("TENSORRT_HOME")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let hello = r#"{"kind":"hello","versions":[1],"speaker":"test"}"#;
    let probe = r#"{"kind":"probe"}"#;
    writeln!(child.stdin.take().unwrap(), "{hello}\n{probe}").unwrap();
    let output = child.wait_with_output().unwrap();
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[1]["kind"], "platform");
    assert_eq!(lines[1]["facts"]["tensorrt"], "10.16.0");
    assert!(output.status.success());
}

#[test]
fn the_manifest_documents_every_param() {
    let manifest = OnMachine::manifest();
    assert!(manifest.probes && manifest.resources.gpus == 1);
    let properties = manifest.params["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 15);
    for (name, schema) in properties {
        assert!(
            schema["description"].as_str().is_some_and(|text| !text.is_empty()),
            "{name} is not documented"
        );
        assert!(schema.get("default").is_some(), "{name} has no default");
    }
}
