//! What a release says to people who did not make it: its model card, and the evidence for Annex IV.

use std::{fs, process::Command};

use git2::{IndexAddOption, Repository, Signature};
use insta::assert_snapshot;
use serde_json::Value;

use crate::bench::Project;

const PIPELINE: &str = r#"version: 1
name: cats
targets:
  accuracy: { on: train, metric: top1, min: "80%" }
stages:
  train:
    uses: fake
    inputs: { more: { path: data, type: dir } }
    with:
      do:
        - { step: metric, name: top1, value: 90, unit: "%" }
        - { step: gate, name: sane, status: passed, reason: "90 % | <b>enough</b>" }
        - { step: write, port: out, path: model.onnx, text: weights }
    outputs: { out: results/model.onnx }
"#;

/// A project with a signed run and a release of it.
fn released() -> Project {
    let project = Project::with_keys(PIPELINE);
    project.write("data/cat/1.png", "one");
    project.write("data/dog/2.png", "two");
    project.write(".gitignore", "/.stagewright/\n/results/\n");
    project.run(&["key", "new", "ada"]);
    let repository = Repository::init(project.path("")).unwrap();
    let mut index = repository.index().unwrap();
    index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
    index.write().unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let who = Signature::now("Ann", "ann@example.org").unwrap();
    repository.commit(Some("HEAD"), &who, &who, "x", &tree, &[]).unwrap();
    let mut config = repository.config().unwrap();
    config.set_str("user.name", "Ann").unwrap();
    config.set_str("user.email", "ann@example.org").unwrap();
    assert!(project.run(&["run"]).starts_with("exit 0\n"));
    let made = project.run(&["release", "create", "v1", "--stage", "train"]);
    assert!(made.starts_with("exit 0\n"), "{made}");
    project
}

/// Hashes of commits and statements, and times, differ from run to run.
fn plain(text: &str) -> String {
    let is_hash = |word: &str| {
        (word.len() == 40 || word.len() == 64) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        out.push_str(if is_hash(&word) { "<hash>" } else { &word });
        word.clear();
        out.push(c);
    }
    out
}

const HUB: &str = r#"
import sys
from huggingface_hub import ModelCard
card = ModelCard.load(sys.argv[1])
result = card.data.eval_results[0]
print(card.data.library_name, result.metric_type, result.metric_value, result.dataset_name)
"#;

#[test]
fn a_release_has_a_model_card() {
    let project = released();
    let card = project.output(&["report", "card"]);
    assert_snapshot!("card", plain(&card));
    project.write("evidence/1a.md", "For sorting pictures of pets.\n");
    project.write("evidence/3.pdf", "a file that no card takes in");
    let told = project.output(&["report", "card", "v1"]);
    assert!(told.contains("## Intended use\n\nFor sorting pictures of pets.\n"), "{told}");
    assert!(told.contains("*To be written: where it fails"), "{told}");
    let json: Value = serde_json::from_str(&project.output(&["report", "card", "--format", "json"])).unwrap();
    assert_eq!(json["files"][0]["sha256"], stagewright::digest::Digest::of(b"weights").hex());
    assert_eq!(json["metadata"]["model-index"][0]["results"][0]["metrics"][0]["value"], 90.0);
    let Some(python) = std::env::var_os("STAGEWRIGHT_TEST_PYTHON") else {
        eprintln!("NOT TESTED: STAGEWRIGHT_TEST_PYTHON names no Python with the validators");
        return;
    };
    fs::write(project.path("README.md"), card).unwrap();
    let done = Command::new(python).arg("-c").arg(HUB).arg(project.path("README.md")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert_eq!(said.trim(), "onnx top1 90.0 data");
}

/// Status of each point.
fn statuses(project: &Project) -> Vec<(String, String)> {
    let json: Value =
        serde_json::from_str(&project.output(&["report", "annex", "--format", "json"])).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    json["rows"].as_array().unwrap().iter().map(|row| (text(row, "point"), text(row, "status"))).collect()
}

fn status(project: &Project, point: &str) -> String {
    statuses(project).into_iter().find(|(of, _)| of == point).unwrap().1
}

#[test]
fn the_evidence_for_annex_iv_is_listed_point_by_point() {
    let project = released();
    let list = project.output(&["report", "annex", "v1"]);
    // When it was verified.
    let list: String = list
        .lines()
        .map(|line| match line.find(" verified at ") {
            Some(at) => format!("{} verified at <date> …\n", &line[..at]),
            None => format!("{line}\n"),
        })
        .collect();
    let list = list.lines().filter(|line| !line.contains("took") && !line.contains("program:"));
    let list: Vec<&str> = list.collect();
    assert_snapshot!("annex", plain(&list.join("\n")));
    assert!(!list.join("\n").to_lowercase().contains("complian"));
    assert_eq!(status(&project, "2(e)"), "missing");
    assert_eq!(status(&project, "2(g)"), "to-be-signed");
    project.write("evidence/2e.pdf", "people look at every tenth picture");
    assert_eq!(status(&project, "2(e)"), "to-be-signed");
    assert!(project.run(&["approve", "train"]).starts_with("exit 0\n"));
    assert_eq!(status(&project, "2(g)"), "auto");
    // Evidence that does not hold is none.
    assert_eq!(status(&project, "2(h)"), "auto");
    project.run(&["key", "revoke", "ada", "--reason", "leaked"]);
    assert_eq!(status(&project, "2(h)"), "missing");
    project.write("evidence/2e.md", "and another one");
    let twice = project.run(&["report", "annex"]);
    assert!(twice.starts_with("exit 2\n") && twice.contains("both are the document `2e`"), "{twice}");
}

#[test]
fn without_a_release_there_is_nothing_to_tell() {
    let project = Project::new(PIPELINE);
    let told = ["card", "annex"].map(|what| project.run(&["report", what]));
    assert_snapshot!("none", told.join("\n"));
    assert_snapshot!(
        "help",
        ["card", "annex"].map(|what| project.run(&["report", what, "--help"])).join("\n")
    );
}
