//! The check `multi-gpu` against stand-ins for trtexec and nvidia-smi. Not against real GPUs.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/fixtures/tensorrt/stand_in.rs"]
mod stand_in;

use std::{cell::RefCell, path::Path};

use serde_json::json;
use stagewright_measure::Samples;
use stagewright_onnx::{Session, SessionOptions};
use stagewright_sdk::{
    Context, GateStatus, Manifest, ManifestExt, Port, PortExt, Result, Stage, manifest, testing::Bench,
};
use stagewright_stage_checklist::{Finding, Machine, gpus};
use stand_in::{StandIns, channel_means};
use tempfile::TempDir;

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::new(Machine::default());
    static FOUND: RefCell<Option<Finding>> = const { RefCell::new(None) };
}

/// The check alone, inside a stage.
struct OnlyGpus;

impl Stage for OnlyGpus {
    type Params = serde_json::Value;

    fn manifest() -> Manifest {
        manifest::<serde_json::Value>("only-gpus", "0", 1, "").input("model", Port::input("model/onnx", ""))
    }

    fn run(context: &mut Context, _: serde_json::Value) -> Result<()> {
        let model = context.input("model")?.to_owned();
        let mut session = Session::open(&model, &SessionOptions::default())?;
        // Forty images; the brightest channel is that of the image's number, by far.
        let inputs: Vec<f32> = (0..40 * 192)
            .map(|i| {
                let (image, channel) = (i / 192, i % 192 / 64);
                if channel == image % 3 { 2.0 + image as f32 / 40.0 } else { (i % 5) as f32 / 10.0 }
            })
            .collect();
        let samples = Samples { inputs: &inputs, stride: 192, size: [8, 8] };
        let golden = gpus::Golden::ask(&mut session, &samples)?;
        let found = gpus::check(context, &MACHINE.with_borrow(Clone::clone), &model, &golden)?;
        FOUND.set(Some(found));
        Ok(())
    }
}

fn ready(batch: Option<i64>) -> (TempDir, StandIns) {
    let folder = tempfile::tempdir().unwrap();
    channel_means(&folder.path().join("means.onnx"), batch);
    let stand = StandIns::new(folder.path());
    MACHINE.set(stand.machine());
    (folder, stand)
}

fn check(folder: &Path) -> Finding {
    Bench::new(folder.join("run"), json!({}))
        .input("model", "means", "model/onnx", folder.join("means.onnx"))
        .run::<OnlyGpus>()
        .unwrap();
    FOUND.take().unwrap()
}

fn found<'a>(finding: &'a Finding, what: &str) -> &'a str {
    let evidence = finding.evidence.iter().find(|evidence| evidence.what == what);
    evidence
        .map(|evidence| evidence.found.as_str())
        .unwrap_or_else(|| panic!("{what} is not in {finding:#?}"))
}

#[test]
fn gpus_that_answer_alike_pass() {
    let (folder, stand) = ready(None);
    stand.file("device-1", "factor=3");
    let finding = check(folder.path());
    assert_eq!(finding.status, GateStatus::Passed, "{finding:#?}");
    assert_eq!(found(&finding, "GPU 0 (NVIDIA H100 80GB HBM3): images named unlike ONNX Runtime"), "0 of 32");
    assert_eq!(found(&finding, "GPU 1 (NVIDIA L4): images named unlike GPU 0"), "0 of 32");
    // Computing takes 0.82 ms on one and three times as long on the other, transfers 0.375 ms on both.
    assert_eq!(found(&finding, "GPU 1 (NVIDIA L4): median latency of 32 images"), "2.835 ms, 2.37× of GPU 0");
    assert_eq!(stand.lines("runs").len(), 2);
    let argv = stand.lines("argv");
    assert!(argv.contains(&"--device=1".to_owned()) && argv.contains(&"--shapes=image:32x3x8x8".to_owned()));
    assert!(argv[0].starts_with("--onnx=") && argv[1] == "--stronglyTyped");
}

#[test]
fn a_gpu_that_differs_fails() {
    let (folder, stand) = ready(None);
    // The largest logit is 2.775: 1 % is 0.028, 5 % are 0.139.
    stand.file("device-1", "offset=0.05");
    let finding = check(folder.path());
    assert_eq!(finding.status, GateStatus::Failed);
    assert!(
        finding.reason.starts_with("GPU 1 (NVIDIA L4): largest difference from GPU 0 is 1.8")
            && finding.reason.ends_with("at most 1 % is wanted"),
        "{}",
        finding.reason
    );
    stand.file("device-1", "offset=0.2");
    assert!(check(folder.path()).reason.contains("largest difference from ONNX Runtime is 7.2"));
    // Numbers that are none, and other classes.
    stand.file("device-1", "offset=nan");
    let finding = check(folder.path());
    assert_eq!(finding.status, GateStatus::Failed);
    assert_eq!(found(&finding, "GPU 1 (NVIDIA L4): images named unlike GPU 0"), "32 of 32", "{finding:#?}");
}

#[test]
fn a_gpu_that_can_not_run_it_fails() {
    let (folder, stand) = ready(None);
    stand.file("device-1", "say '[E] [TRT] Error Code 1: Cuda Runtime (out of memory)'; fail");
    let finding = check(folder.path());
    assert_eq!(finding.status, GateStatus::Failed);
    assert_eq!(
        finding.reason,
        "GPU 1 (NVIDIA L4): running it is trtexec failed with exit code 1: Error Code 1: Cuda Runtime (out of memory), \
         that it runs is wanted"
    );
    // The first one: the others are still held against ONNX Runtime.
    stand.file("device-0", "fail").file("device-1", "offset=0.5");
    let finding = check(folder.path());
    assert!(finding.reason.contains("GPU 0 (NVIDIA H100 80GB HBM3): running it"), "{}", finding.reason);
    assert!(
        finding.reason.contains("GPU 1 (NVIDIA L4): largest difference from ONNX Runtime"),
        "{}",
        finding.reason
    );
}

#[test]
fn a_fixed_batch_is_filled() {
    let (folder, stand) = ready(Some(50));
    let finding = check(folder.path());
    assert_eq!(finding.status, GateStatus::Passed, "{finding:#?}");
    assert_eq!(found(&finding, "GPU 1 (NVIDIA L4): images named unlike ONNX Runtime"), "0 of 50");
    assert!(stand.lines("argv").iter().all(|argument| !argument.starts_with("--shapes")));
}

#[test]
fn where_nothing_can_be_compared_it_does_not_apply_and_says_why() {
    let (folder, stand) = ready(None);
    let reason = || {
        let finding = check(folder.path());
        assert_eq!(finding.status, GateStatus::NotApplicable);
        finding.reason
    };
    MACHINE.set(Machine { visible_devices: Some("1".to_owned()), ..stand.machine() });
    assert_eq!(reason(), "1 GPU is visible here (NVIDIA L4); two are needed to compare");
    MACHINE.set(stand.machine());
    stand.remove("trtexec");
    let said = reason();
    assert!(
        said.starts_with("2 GPUs are visible (NVIDIA H100 80GB HBM3, NVIDIA L4), but nothing here runs the candidate on them: trtexec was not found"),
        "{said}"
    );
    stand.remove("nvidia-smi");
    assert_eq!(
        reason(),
        "no GPU is visible here (nvidia-smi was not found: there is no NVIDIA driver), so nothing was compared"
    );
    assert!(stand.lines("runs").is_empty());
}
