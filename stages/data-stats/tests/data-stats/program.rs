//! The program itself, over its protocol.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::fixtures;

/// Sends a hello and one request; gives the answers after the program's hello.
fn converse(request: Value) -> Vec<Value> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stagewright-stage-data-stats"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept open to the end: closing it would cancel the run.
    let mut stdin = child.stdin.take().unwrap();
    let hello = json!({ "kind": "hello", "versions": [1], "speaker": "test" });
    writeln!(stdin, "{hello}\n{request}").unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let answers = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).skip(1).collect();
    child.wait().unwrap();
    answers
}

fn outputs(folder: &Path, threads: u32, seed: u64) -> BTreeMap<String, Vec<u8>> {
    for name in ["out", "scratch", "checkpoints"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let data = json!({ "name": "data", "path": fixtures().join("data"), "type": "dataset/images" });
    let answers = converse(json!({
        "kind": "run",
        "stage": "stats",
        "params": { "near-duplicates": 4 },
        "inputs": { "data": [data] },
        "output-dir": folder.join("out"),
        "scratch-dir": folder.join("scratch"),
        "checkpoint-dir": folder.join("checkpoints"),
        "seed": seed,
        "limits": { "threads": threads, "memory": 0 },
    }));
    let last = answers.last().unwrap();
    assert_eq!(last["kind"], "result", "{last}");
    assert!(answers.iter().any(|answer| answer["event"] == "progress" && answer["done"] == answer["total"]));
    let outputs: BTreeMap<String, String> = serde_json::from_value(last["outputs"].clone()).unwrap();
    outputs.into_iter().map(|(port, path)| (port, fs::read(folder.join("out").join(path)).unwrap())).collect()
}

#[test]
fn outputs_do_not_depend_on_threads_or_run_seed() {
    let folder = tempfile::tempdir().unwrap();
    let one = outputs(&folder.path().join("one"), 1, 0);
    assert_eq!(one.keys().collect::<Vec<_>>(), ["manifest", "preprocess", "report", "stats"]);
    assert!(one == outputs(&folder.path().join("three"), 3, 99));
}

#[test]
fn the_program_describes_itself() {
    let answers = converse(json!({ "kind": "describe" }));
    let manifest = &answers[0]["manifest"];
    assert_eq!(manifest["name"], "data-stats");
    assert_eq!(manifest["inputs"]["data"]["type"], "dataset/images");
    assert_eq!(manifest["outputs"]["preprocess"]["path"], "preprocess.json");
}
