//! A TensorRT engine beside an ONNX model, against stand-ins for trtexec, nvidia-smi and nsys. Not against real ones.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/fixtures/tensorrt/stand_in.rs"]
mod stand_in;

use std::{cell::RefCell, fs, path::Path, time::Duration};

use serde_json::{Value, json};
use stagewright_dataset::Image;
use stagewright_measure::child;
use stagewright_sdk::{
    Context, ErrorClass, Manifest, Result, Stage,
    testing::{Bench, Outcome},
};
use stagewright_stage_benchmark::{Benchmark, GpuProfile, Machine, Params, Results, Schedule, run_for};
use stand_in::{StandIns, channel_means, engine};
use tempfile::TempDir;

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::new(Machine::default());
}

/// The stage on this test's machine, for so short a time that the figures of ONNX Runtime mean nothing.
struct OnMachine;

impl Stage for OnMachine {
    type Params = Params;

    fn manifest() -> Manifest {
        Benchmark::manifest()
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        child::PROGRAM.get_or_init(|| env!("CARGO_BIN_EXE_stagewright-stage-benchmark").into());
        let time = Duration::from_millis(10);
        let schedule = Schedule { warm_up: time, turn: time, least_rounds: 3, most_rounds: 3 };
        run_for(context, &params, schedule, &MACHINE.with_borrow(Clone::clone))
    }
}

/// Twelve images of three classes: the channel of its class is the brightest of each, but for one that lies in another's
/// folder. So the means of the channels name 11 of 12 right.
fn dataset(folder: &Path) {
    for (label, class) in ["a", "b", "c"].iter().enumerate() {
        let at = folder.join("data/test").join(class);
        fs::create_dir_all(&at).unwrap();
        for index in 0..4 {
            let bright = if (label, index) == (2, 3) { 0 } else { label };
            let pixels: Vec<u8> = (0..192)
                .map(|i| if i % 3 == bright { 200 - index as u8 } else { 90 + (i % 7) as u8 })
                .collect();
            fs::write(at.join(format!("{index}.png")), Image::from_pixels(8, 8, pixels).unwrap().to_png())
                .unwrap();
        }
    }
}

fn ready(batches: [u32; 2]) -> (TempDir, StandIns) {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path());
    channel_means(&folder.path().join("means.onnx"), None);
    engine(&folder.path().join("engine"), batches, true);
    let contract = json!({
        "format": "stagewright/preprocess@1", "size": [8, 8], "resize": "squash", "interpolation": "bilinear",
        "channels": "rgb", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "classes": ["a", "b", "c"],
        "splits": { "validation-fraction": 0.0, "test-fraction": 0.0, "seed": 0 },
    });
    fs::write(folder.path().join("preprocess.json"), contract.to_string()).unwrap();
    let stand = StandIns::new(folder.path());
    MACHINE.set(stand.machine());
    (folder, stand)
}

fn run(folder: &Path, batch: usize) -> Result<Outcome> {
    Bench::new(folder.join("run"), json!({"batch": batch, "operators": false}))
        .input("models", "fp32", "model/onnx", folder.join("means.onnx"))
        .input("models", "tensorrt", "engine/tensorrt", folder.join("engine"))
        .input("data", "data", "dataset/images", folder.join("data"))
        .input("preprocess", "preprocess", "preprocess", folder.join("preprocess.json"))
        .run::<OnMachine>()
}

fn refused(folder: &Path, batch: usize) -> (ErrorClass, String, String) {
    let fault = run(folder, batch).err().unwrap().0;
    (fault.class, fault.message, fault.hint.unwrap_or_default())
}

#[test]
fn an_engine_is_measured_beside_an_onnx_model() {
    let (folder, stand) = ready([1, 5]);
    stand.with_nsys();
    let outcome = run(folder.path(), 4).unwrap();
    let metric = |name: &str| outcome.metric(&format!("tensorrt.{name}"));
    for variant in ["fp32", "tensorrt"] {
        let top1 = outcome.metric(&format!("{variant}.top1")).unwrap();
        assert!((top1 - 100.0 * 11.0 / 12.0).abs() < 1e-9, "{variant}: {top1}");
    }
    assert_eq!(metric("agreement"), Some(100.0));
    // The stand-in takes 0.25 + 0.5 + 0.01 a image + 0.125 ms.
    assert!((metric("latency-p50").unwrap() - 0.885).abs() < 1e-9);
    assert!((metric("throughput").unwrap() - 4.0 / 0.915e-3).abs() < 1e-6);
    assert_eq!(metric("size"), Some(20e-6));
    // 1500 MiB in use while it runs, 500 before; the processor's memory is not the engine's.
    assert_eq!(metric("gpu-memory"), Some(f64::from(1000 << 20) / 1e6));
    assert_eq!(metric("memory"), None);
    assert!(outcome.metric("fp32.memory").is_some() && outcome.metric("fp32.gpu-memory").is_none());
    assert!((metric("gpu-use").unwrap() - 75.0).abs() < 1e-9);
    assert!((metric("kernel-share").unwrap() - 60.0 / 0.85).abs() < 1e-9);
    assert!((metric("memcpy-share").unwrap() - 20.0 / 0.85).abs() < 1e-9);

    let results: Results = serde_json::from_slice(&fs::read(outcome.path("results")).unwrap()).unwrap();
    let [onnx, engine] = results.variants.as_slice() else { panic!("{:?}", results.variants) };
    assert_eq!((onnx.runtime.as_str(), engine.runtime.as_str()), ("onnxruntime", "tensorrt"));
    assert_eq!(
        (engine.precision.as_str(), engine.memory, engine.repeated_sample_ratio),
        ("fp16", None, None)
    );
    assert!(engine.stable, "the stand-in's times are all alike");
    assert!(matches!(engine.gpu_profile, GpuProfile::Measured { .. }));
    assert_eq!(results.environment["tensorrt"], "10.16.0");
    assert_eq!(results.environment["gpu"], "NVIDIA H100 80GB HBM3");

    let samples: Value =
        serde_json::from_slice(&fs::read(outcome.path("samples").join("1-tensorrt.json")).unwrap()).unwrap();
    assert!(samples.to_string().contains("0.885"), "{samples}");
    let table = fs::read_to_string(outcome.path("table")).unwrap();
    assert!(table.contains("| tensorrt | fp16 (TensorRT) | 1048.6 on the GPU | 0.885"), "{table}");
    assert!(table.contains("| tensorrt | 75.0 (met) | 70.6 (met) | 23.5 (**missed**) |"), "{table}");
    assert!(table.contains("run by trtexec in a process of its own"), "{table}");
}

#[test]
fn all_images_are_asked_in_batches_that_the_engine_takes() {
    let (folder, stand) = ready([1, 5]);
    run(folder.path(), 1).unwrap();
    // Accuracy: 5, 5 and 2 of 12 images. Three rounds of two timings, then memory; without nsys nothing more.
    assert_eq!(stand.lines("runs").len(), 3 + 6 + 1);
    // The one GPU of the model the engine was built on, wherever it stands in the list.
    let [h100, l4] = stand_in::GPUS.lines().collect::<Vec<_>>().try_into().unwrap();
    stand.file("gpus", &format!("{l4}\n{h100}\n"));
    run(folder.path(), 1).unwrap();
    assert!(stand.lines("argv").contains(&"--device=1".to_owned()));
}

#[test]
fn what_is_not_there_is_said_and_left_out() {
    let (folder, stand) = ready([1, 8]);
    let outcome = run(folder.path(), 2).unwrap();
    assert_eq!(outcome.metric("tensorrt.gpu-use"), None);
    let table = fs::read_to_string(outcome.path("table")).unwrap();
    assert!(
        table.contains("| tensorrt | not run here: nsys (NVIDIA Nsight Systems) was not found | | |"),
        "{table}"
    );
    // A board that does not tell its memory.
    let smi =
        "#!/bin/sh\ncase $1 in --query-gpu=memory.used) echo '[N/A]' ;; *) cat \"${0%/*}/gpus\" ;; esac\n";
    stand.program("nvidia-smi", smi);
    let outcome = run(folder.path(), 2).unwrap();
    assert_eq!(outcome.metric("tensorrt.gpu-memory"), None);
    assert!(
        outcome.warnings().iter().any(|warning| warning.contains("does not tell the memory of `tensorrt`")),
        "{:?}",
        outcome.warnings()
    );
    assert!(
        fs::read_to_string(outcome.path("table")).unwrap().contains("| fp16 (TensorRT) | not measured |")
    );
}

#[test]
fn without_tensorrt_or_a_gpu_an_engine_is_an_error_of_the_environment() {
    let (folder, stand) = ready([1, 8]);
    stand.remove("trtexec");
    let (class, message, hint) = refused(folder.path(), 2);
    assert_eq!(class, ErrorClass::Environment);
    assert!(message.starts_with("trtexec was not found"), "{message}");
    assert!(hint.contains("${{ host.tensorrt }}"), "{hint}");
    let (folder, stand) = ready([1, 8]);
    stand.file("gpus", "No devices were found\n");
    let (class, message, hint) = refused(folder.path(), 2);
    assert_eq!(class, ErrorClass::Environment);
    assert_eq!(message, "the engine `tensorrt` needs an NVIDIA GPU: nvidia-smi said: No devices were found");
    assert!(hint.contains("on its entry of `models`"), "{hint}");
    let hidden =
        Machine { visible_devices: Some(String::new()), ..stand.file("gpus", stand_in::GPUS).machine() };
    MACHINE.set(hidden);
    let (_, message, _) = refused(folder.path(), 2);
    assert!(message.ends_with("CUDA_VISIBLE_DEVICES leaves none visible"), "{message}");
}

#[test]
fn engines_that_do_not_fit_are_refused_before_anything_is_measured() {
    let (folder, stand) = ready([1, 8]);
    let (class, message, _) = refused(folder.path(), 9);
    assert_eq!(
        (class, message.as_str()),
        (ErrorClass::User, "`tensorrt` takes 1 to 8 images at once, 9 are to be run")
    );
    engine(&folder.path().join("engine"), [4, 4], false);
    let (_, message, hint) = refused(folder.path(), 4);
    assert_eq!(message, "`tensorrt` takes 4 images at once, 1 are to be run");
    assert!(hint.contains("another `batch`"), "{hint}");
    assert!(stand.lines("runs").is_empty(), "trtexec was started");
    engine(&folder.path().join("engine"), [1, 8], true);
    let two_classes = r##"
        echo "[{\"name\": \"y\", \"values\": [$(seq -s ', ' $((batch * 2)))]}]" > "$output"
        echo '[{"latencyMs": 1}]' > "$times"
        echo '&&&& PASSED TensorRT.trtexec'
        exit 0
    "##;
    stand.file("device-0", two_classes);
    let (class, message, _) = refused(folder.path(), 1);
    let wanted = "the engine `tensorrt` tells 2 classes apart, the preprocessing contract names 3";
    assert_eq!((class, message.as_str()), (ErrorClass::User, wanted));
}

#[test]
fn an_engine_of_another_machine_is_told_as_such() {
    let (folder, stand) = ready([1, 8]);
    stand.version_11().file("device-0", "say '[E] Engine deserialization failed'; fail");
    let (class, message, hint) = refused(folder.path(), 2);
    assert_eq!(class, ErrorClass::Environment);
    assert_eq!(
        message,
        "the engine `tensorrt` can't be run: trtexec failed with exit code 1: Engine deserialization failed (built with \
         TensorRT 10.16.0 for NVIDIA H100 80GB HBM3; here are TensorRT 11.1.0 and NVIDIA H100 80GB HBM3)"
    );
    assert!(hint.contains("build it again here"), "{hint}");
}
