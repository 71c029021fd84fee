//! Whole runs of networks against a stand-in for trtexec that computes the means of the channels. Not against a real one.
#![allow(clippy::unwrap_used)]

#[path = "../../../../tests/fixtures/tensorrt/stand_in.rs"]
mod stand_in;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use stagewright_sdk::{ErrorClass, StageFault};
use stagewright_tensorrt::{Load, Network, Runner, gpus, locate, memory_used, nsys};
use stand_in::{StandIns, channel_means, engine};
use tempfile::TempDir;

fn ready() -> (TempDir, StandIns) {
    let folder = tempfile::tempdir().unwrap();
    let stand = StandIns::new(folder.path());
    (folder, stand)
}

fn runner(folder: &Path, stand: &StandIns) -> Runner {
    // A comma and a colon: trtexec splits its list of inputs at both.
    let scratch = folder.join("scratch, with: marks");
    Runner { installation: locate(&stand.machine()).unwrap(), device: 0, scratch }
}

/// Images of 3×8×8, with their channel means.
fn images(count: usize) -> (Vec<f32>, Vec<f32>) {
    let values: Vec<f32> =
        (0..count * 192).map(|i| ((i * 37 + i / 64 * 11) % 101) as f32 / 101.0 - 0.5).collect();
    let mean = |channel: &[f32]| channel.iter().sum::<f32>() / 64.0;
    let means = values.chunks(64).map(mean).collect();
    (values, means)
}

fn refused(result: Result<impl std::fmt::Debug, StageFault>) -> (ErrorClass, String, String) {
    let fault = result.unwrap_err().0;
    (fault.class, fault.message, fault.hint.unwrap_or_default())
}

#[test]
fn an_engine_answers_and_is_timed() {
    let (folder, stand) = ready();
    engine(&folder.path().join("engine"), [1, 8], true);
    let (network, file) = Network::engine(&folder.path().join("engine"), [8, 8]).unwrap();
    assert_eq!((file.precision.as_str(), network.least, network.most), ("fp16", 1, Some(8)));
    let runner = runner(folder.path(), &stand);
    let (input, means) = images(5);
    let load =
        Load { warm_up: Duration::from_millis(500), duration: Duration::from_millis(1200), iterations: 10 };
    let answer = runner.run(&network, &input, 5, load, || Ok(())).unwrap();
    assert_eq!((answer.classes, answer.logits.len()), (3, 15));
    for (logit, mean) in answer.logits.iter().zip(&means) {
        // Six digits are written.
        assert!((logit - mean).abs() < 1e-5, "{logit} {mean}");
    }
    // 0.25 + 0.5 + 5 × 0.01 + 0.125.
    assert_eq!(answer.latencies.len(), 12);
    assert!(answer.latencies.iter().all(|time| (time - 0.925).abs() < 1e-9));
    let plan = folder.path().join("engine/engine.plan");
    assert_eq!(
        stand.lines("argv"),
        [
            format!("--loadEngine={}", plan.display()).as_str(),
            "--shapes=image:5x3x8x8",
            "--loadInputs=image:input.bin",
            "--exportOutput=output.json",
            "--exportTimes=times.json",
            "--device=0",
            "--warmUp=500",
            "--duration=2",
            "--iterations=10",
            "--useSpinWait",
            "--useCudaGraph",
        ]
    );
}

#[test]
fn version_11_is_asked_for_transfers_and_a_fixed_model_gets_no_shapes() {
    let (folder, stand) = ready();
    stand.version_11();
    let model = folder.path().join("model.onnx");
    channel_means(&model, Some(2));
    let network = Network::onnx(&model, [8, 8]).unwrap();
    assert_eq!((network.least, network.most, network.open), (2, Some(2), false));
    let (input, means) = images(2);
    let mut runner = runner(folder.path(), &stand);
    runner.device = 1;
    let answer = runner.run(&network, &input, 2, Load::ONCE, || Ok(())).unwrap();
    assert!(answer.logits.iter().zip(&means).all(|(logit, mean)| (logit - mean).abs() < 1e-5));
    let argv = stand.lines("argv");
    assert_eq!(argv[0], format!("--onnx={}", model.display()));
    assert_eq!(
        argv[4..],
        ["--device=1", "--warmUp=0", "--duration=0", "--iterations=1", "--includeDataTransfers"]
    );
    // 10 has to be told to keep the model's number types.
    stand.file("version", "100000").file("options", stand_in::OPTIONS_10);
    channel_means(&model, None);
    let network = Network::onnx(&model, [8, 8]).unwrap();
    let runner = Runner { installation: locate(&stand.machine()).unwrap(), ..runner };
    runner.run(&network, &input, 2, Load::ONCE, || Ok(())).unwrap();
    assert_eq!(stand.lines("argv")[1..3], ["--stronglyTyped", "--shapes=image:2x3x8x8"]);
}

#[test]
fn batches_and_inputs_that_do_not_fit_are_refused() {
    let (folder, stand) = ready();
    engine(&folder.path().join("engine"), [2, 8], true);
    let (network, _) = Network::engine(&folder.path().join("engine"), [8, 8]).unwrap();
    let runner = runner(folder.path(), &stand);
    let (class, message, hint) = refused(runner.run(&network, &[0.0; 192], 1, Load::ONCE, || Ok(())));
    assert_eq!(
        (class, message.as_str()),
        (ErrorClass::User, "`image` takes 2 to 8 images at once, 1 are to be run")
    );
    assert!(hint.contains("build the engine with another `batch`"), "{hint}");
    let (class, message, _) = refused(runner.run(&network, &[0.0; 7], 2, Load::ONCE, || Ok(())));
    assert_eq!((class, message.as_str()), (ErrorClass::Internal, "7 values are not 2 images of [3, 8, 8]"));
    assert!(stand.lines("runs").is_empty(), "trtexec was started");
}

#[test]
fn folders_that_are_no_engine_are_refused() {
    let (folder, _stand) = ready();
    let at = folder.path().join("engine");
    let open = || refused(Network::engine(&at, [8, 8]));
    assert!(open().1.starts_with(&format!("cannot read {}", at.join("engine.json").display())));
    engine(&at, [1, 8], true);
    let (class, message, _) = refused(Network::engine(&at, [16, 8]));
    assert_eq!(class, ErrorClass::User);
    assert!(message.ends_with("takes [3, 8, 8] to [3, 8, 8], images are 16×8"), "{message}");
    fs::remove_file(at.join("engine.plan")).unwrap();
    let (_, message, hint) = open();
    assert!(message.ends_with("engine.plan is missing") && hint.contains("tensorrt stage"), "{message}");
    for (text, wanted) in [
        ("{", "engine.json is not JSON"),
        (
            r#"{"format": "stagewright/engine@9"}"#,
            "has the format stagewright/engine@9; stagewright/engine@1 can be read",
        ),
        (r#"{"format": "stagewright/engine@1"}"#, "is not stagewright/engine@1: missing field"),
    ] {
        fs::write(at.join("engine.json"), text).unwrap();
        let (class, message, _) = open();
        assert!(class == ErrorClass::User && message.contains(wanted), "{message}");
    }
}

#[test]
fn failures_of_trtexec_are_told() {
    let (folder, stand) = ready();
    engine(&folder.path().join("engine"), [1, 8], true);
    let (network, _) = Network::engine(&folder.path().join("engine"), [8, 8]).unwrap();
    let runner = runner(folder.path(), &stand);
    let (input, _) = images(1);
    let run = || refused(runner.run(&network, &input, 1, Load::ONCE, || Ok(())));
    let play = |text: &str| {
        stand.file("device-0", text);
        run()
    };
    let (class, message, hint) = play("say '[E] Engine deserialization failed'; fail");
    assert_eq!(class, ErrorClass::Environment);
    assert_eq!(message, "trtexec failed with exit code 1: Engine deserialization failed");
    assert!(hint.contains("build it again here"), "{hint}");
    assert!(play("kill -SEGV $$").1.starts_with("trtexec crashed with signal 11"));
    assert!(play("exit 0").1.starts_with("trtexec ended without saying PASSED"));
    // Files of the run before must not be taken for this one's.
    stand.file("device-0", "");
    runner.run(&network, &input, 1, Load::ONCE, || Ok(())).unwrap();
    let (_, message, _) = play("echo '&&&& PASSED TensorRT.trtexec'; exit 0");
    assert!(message.starts_with("trtexec wrote no ") && message.contains("output.json"), "{message}");
    let (_, message, hint) =
        play("echo '{}' > \"$output\"; echo '[]' > \"$times\"; echo '&&&& PASSED TensorRT.trtexec'; exit 0");
    assert_eq!(message, "cannot read output.json of trtexec: it is not a list of outputs");
    assert!(hint.contains("another format"));
    let one = |name: &str| format!(r#"{{"name": "{name}", "dimensions": "1x3", "values": [1, 2, 3]}}"#);
    let two = format!("[{}, {}]", one("boxes"), one("scores"));
    let (_, message, _) =
        play(&format!("echo '{two}' > \"$output\"; echo '&&&& PASSED TensorRT.trtexec'; exit 0"));
    assert_eq!(message, "the network has the outputs [boxes, scores]; one of logits is wanted");
    // A release that does not know an option that is used.
    stand.file("options", "--loadEngine\n");
    let (class, message, _) = run();
    assert_eq!(class, ErrorClass::Internal);
    assert!(message.contains("Unknown option: --shapes"), "{message}");
}

#[test]
fn a_run_that_is_given_up_ends_trtexec() {
    let (folder, stand) = ready();
    engine(&folder.path().join("engine"), [1, 8], true);
    let (network, _) = Network::engine(&folder.path().join("engine"), [8, 8]).unwrap();
    stand.file("device-0", "echo $$ > \"$here/pid\"; exec sleep 60");
    let pid = || stand.lines("pid").first().cloned();
    let started = Instant::now();
    let fault = runner(folder.path(), &stand)
        .run(&network, &images(1).0, 1, Load::ONCE, || match pid() {
            Some(_) => Err(StageFault::environment("cancelled")),
            None => Ok(()),
        })
        .unwrap_err();
    assert_eq!(fault.to_string(), "cancelled");
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(!Path::new(&format!("/proc/{}", pid().unwrap())).exists(), "trtexec is still there");
}

#[test]
fn nsys_profiles_the_same_run() {
    let (folder, stand) = ready();
    engine(&folder.path().join("engine"), [1, 8], true);
    let (network, _) = Network::engine(&folder.path().join("engine"), [8, 8]).unwrap();
    let runner = runner(folder.path(), &stand);
    let (input, _) = images(4);
    let load = Load::of(Duration::from_secs(5));
    let profile = || nsys::profile(&stand.machine(), &runner, &network, &input, 4, load, || Ok(())).unwrap();
    assert_eq!(profile().unwrap_err(), "nsys (NVIDIA Nsight Systems) was not found");
    stand.with_nsys();
    assert!((profile().unwrap().gpu - 75.0).abs() < 1e-9);
    let argv = stand.lines("nsys-profile");
    assert!(argv.contains(&"--cuda-graph-trace=node".to_owned()));
    assert!(argv.contains(&"--shapes=image:4x3x8x8".to_owned()) && argv.contains(&"--duration=5".to_owned()));
    assert!(stand.lines("nsys-stats").contains(&"cuda_gpu_trace".to_owned()));
    // What a container without the rights says.
    stand.program("nsys", "#!/bin/sh\necho 'Unable to collect CUDA data.' >&2\nexit 1\n");
    assert_eq!(profile().unwrap_err(), "nsys profile failed with exit code 1: Unable to collect CUDA data.");
    stand.program("nsys", "#!/bin/sh\nexit 0\n");
    assert_eq!(profile().unwrap_err(), "nsys profile wrote no report");
}

#[test]
fn memory_of_a_gpu_is_asked_for_by_its_identity() {
    let (_folder, stand) = ready();
    let gpus = gpus(&stand.machine()).unwrap();
    assert_eq!(memory_used(&stand.machine(), &gpus[1].uuid), Ok(500 << 20));
    assert_eq!(memory_used(&stand.machine(), "7"), Err("nvidia-smi said: No devices were found".to_owned()));
    stand.remove("nvidia-smi");
    assert_eq!(memory_used(&stand.machine(), "GPU-1"), Err("nvidia-smi was not found".to_owned()));
}
