//! A stage program that is killed and started again ends in the same weights, bit for bit.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use stagewright_protocol::{Event, Hello, Limits, NamedInput, Request, Response, RunRequest};
use tempfile::TempDir;

/// Starts the program on a run under `folder`, with a checkpoint folder that outlives it.
fn start(folder: &Path, attempt: u32, params: &Value) -> Child {
    let make = |name: String| {
        let path = folder.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let input = |path: &str, artifact_type: &str| {
        let path = folder.parent().unwrap().join(path);
        vec![NamedInput { name: "x".to_owned(), path, artifact_type: artifact_type.to_owned(), role: None }]
    };
    let request = Request::Run(Box::new(RunRequest {
        stage: "train".to_owned(),
        params: params.clone(),
        inputs: [
            ("data".to_owned(), input("images", "dataset/images")),
            ("preprocess".to_owned(), input("preprocess.json", "preprocess")),
            ("policy".to_owned(), input("policy.json", "augment/policy")),
        ]
        .into(),
        output_dir: make(format!("out-{attempt}")),
        scratch_dir: make(format!("scratch-{attempt}")),
        checkpoint_dir: make("checkpoints".to_owned()),
        seed: 5,
        limits: Limits { threads: 2, memory: 0 },
    }));
    let mut child = Command::new(env!("CARGO_BIN_EXE_stagewright-stage-train"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = child.stdin.as_mut().unwrap();
    let hello = Hello { versions: vec![1], speaker: "test".to_owned() };
    writeln!(stdin, "{}", serde_json::to_string(&hello).unwrap()).unwrap();
    writeln!(stdin, "{}", serde_json::to_string(&request).unwrap()).unwrap();
    child
}

/// How a test ends a run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// SIGKILL.
    Kill,
    /// Closes stdin, which asks it to stop.
    Ask,
}

/// Reads on until the gradient norm of step `at` comes, ends the run there, and reads to the end of its output. Gives the log
/// lines, and the error if it closed with one.
fn listen(mut child: Child, at: Option<(u64, End)>) -> (Vec<String>, Option<String>) {
    let (mut logs, mut error) = (Vec::new(), None);
    for line in BufReader::new(child.stdout.take().unwrap()).lines().skip(1) {
        match serde_json::from_str(&line.unwrap()).unwrap() {
            Response::Event(Event::Log { message, .. }) => logs.push(message),
            Response::Event(Event::Metric { name, step: Some(step), .. }) if name == "gradient.norm" => {
                match at {
                    Some((wanted, End::Kill)) if step == wanted => {
                        child.kill().unwrap();
                        break;
                    }
                    Some((wanted, End::Ask)) if step == wanted => drop(child.stdin.take()),
                    _ => {}
                }
            }
            Response::Error(fault) => error = Some(fault.message),
            _ => {}
        }
    }
    let success = child.wait().unwrap().success();
    assert_eq!(success, at.is_none(), "{logs:?} {error:?}");
    (logs, error)
}

/// A dataset with its contract and policy: 54 images to train on, 6 steps per epoch.
fn work() -> TempDir {
    let work = tempfile::tempdir().unwrap();
    common::dataset(&work.path().join("images"), 24);
    fs::write(work.path().join("preprocess.json"), common::contract().to_string()).unwrap();
    let policy = json!({
        "format": "stagewright/policy@1",
        "train": [{ "transform": "horizontal-flip", "p": 0.5 }, { "transform": "vertical-flip", "p": 0.5 }],
    });
    fs::write(work.path().join("policy.json"), policy.to_string()).unwrap();
    work
}

fn params(checkpoint_every_steps: u32) -> Value {
    common::params_with(json!({
        "precision": "bf16",
        "ema-decay": 0.9,
        "checkpoint-every-steps": checkpoint_every_steps,
        "gradient-norms-every": 1,
    }))
}

fn outputs(folder: &Path) -> [Vec<u8>; 3] {
    ["model/model.safetensors", "curves.json", "metrics.json"]
        .map(|name| fs::read(folder.join(name)).unwrap())
}

fn assert_same(expected: &Path, found: &Path) {
    let (expected, found) = (outputs(expected), outputs(found));
    assert!(expected[0] == found[0], "the weights differ");
    assert_eq!(String::from_utf8_lossy(&expected[1]), String::from_utf8_lossy(&found[1]));
    assert_eq!(expected[2], found[2]);
}

fn resumed(logs: &[String]) -> Option<&String> {
    logs.iter().find(|log| log.starts_with("resumed after"))
}

#[test]
fn a_killed_training_resumes_to_the_same_bytes() {
    let (work, params) = (work(), params(1));
    let (whole, parts) = (work.path().join("whole"), work.path().join("parts"));
    listen(start(&whole, 0, &params), None);

    // Killed in the middle of the second epoch, about the end of the third, then left alone.
    let (logs, _) = listen(start(&parts, 0, &params), Some((9, End::Kill)));
    assert_eq!(resumed(&logs), None);
    let (logs, _) = listen(start(&parts, 1, &params), Some((18, End::Kill)));
    assert!(resumed(&logs).is_some(), "{logs:?}");
    let (logs, _) = listen(start(&parts, 2, &params), None);
    assert!(resumed(&logs).is_some(), "{logs:?}");
    assert_same(&whole.join("out-0"), &parts.join("out-2"));
}

#[test]
fn a_training_that_is_asked_to_stop_keeps_its_last_step() {
    let (work, params) = (work(), params(0));
    let (whole, parts) = (work.path().join("whole"), work.path().join("parts"));
    listen(start(&whole, 0, &params), None);

    let (_, error) = listen(start(&parts, 0, &params), Some((2, End::Ask)));
    assert_eq!(error.as_deref(), Some("cancelled"));
    let (logs, _) = listen(start(&parts, 1, &params), None);
    assert!(resumed(&logs).is_some(), "{logs:?}");
    assert_same(&whole.join("out-0"), &parts.join("out-1"));
}
