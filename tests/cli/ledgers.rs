//! Ledgers that travel: what was run and decided on one machine, seen on another one.

use std::{fs, path::Path};

use insta::assert_snapshot;
use serde_json::Value;

use crate::bench::Project;

const PIPELINE: &str = r#"version: 1
name: cats
targets:
  accuracy: { on: train, metric: top1, min: "95%" }
stages:
  train:
    uses: fake
    with:
      do:
        - { step: metric, name: top1, value: 90, unit: "%" }
        - { step: write, port: out, path: model.bin, text: weights }
    outputs: { out: results/model.bin }
"#;

/// Brings what is committed from one clone to another.
fn share(from: &Project, to: &Project) {
    fs::create_dir_all(to.path("trust/keys")).unwrap();
    for item in fs::read_dir(from.path("trust/keys")).unwrap().map(Result::unwrap) {
        fs::copy(item.path(), to.path("trust/keys").join(item.file_name())).unwrap();
    }
    fs::copy(from.path("trust/policy.toml"), to.path("trust/policy.toml")).unwrap();
}

/// Two clones with a remote between them, each with a person's key that both trust; `here` has run and decided.
fn clones(remote: &Path) -> (Project, Project) {
    let (here, there) = (Project::with_keys(PIPELINE), Project::with_keys(PIPELINE));
    here.run(&["key", "new", "ada"]);
    share(&here, &there);
    there.run(&["key", "new", "eva"]);
    share(&there, &here);
    for project in [&here, &there] {
        project.run(&["remote", "add", "disk", &remote.to_string_lossy()]);
    }
    assert!(here.run(&["run"]).starts_with("exit 3\n"));
    here.run(&["waive", "accuracy", "--until", "2999-12-31", "--reason", "new data in May"]);
    assert!(here.run(&["run"]).starts_with("exit 0\n"));
    here.run(&["approve", "train", "--reason", "looked at"]);
    (here, there)
}

fn without_sizes(text: &str) -> String {
    let lines = text.lines().map(|line| match line.find(" with ") {
        Some(at) if line.contains("remote `disk`") => format!("{} …\n", &line[..at]),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// Where the remote keeps the ledger of a project.
fn log_of(project: &Project, remote: &Path) -> std::path::PathBuf {
    let name = project.read(".stagewright/lineage-v1/name");
    remote.join("documents-v1/logs").join(name.trim())
}

#[test]
fn decisions_and_runs_are_seen_on_another_machine() {
    let remote = tempfile::tempdir().unwrap();
    let (here, there) = clones(remote.path());
    assert_snapshot!("push-ledger", without_sizes(&here.run(&["push"])));
    assert!(!here.run(&["push"]).contains("of the ledger"), "nothing is new");
    assert_snapshot!("pull-ledger", without_sizes(&there.run(&["pull"])));
    assert_snapshot!("pull-ledger-again", there.run(&["pull", "--lineage"]));
    assert_snapshot!("verify-pulled", there.run(&["lineage", "verify", "train"]));
    assert!(there.run(&["lineage", "show", "train"]).contains("approved by ada"));
    // The waiver that was signed there lets the run here pass.
    let ran = there.run(&["run"]);
    assert!(ran.starts_with("exit 0\n") && ran.contains("waived target accuracy: by ada"), "{ran}");
    let all = there.run(&["lineage", "verify", "--all"]);
    assert!(all.starts_with("exit 0\n"), "{all}");
    // And back: each has what both have done, in its own order.
    there.run(&["approve", "train", "--as", "eva"]);
    there.run(&["push"]);
    let pulled = here.run(&["pull", "--lineage"]);
    assert!(pulled.contains("1 other ledger, among them 1 run and 1 decision"), "{pulled}");
    assert!(here.run(&["run"]).starts_with("exit 0\n"));
    for project in [&here, &there] {
        let all = project.run(&["lineage", "verify", "--all"]);
        assert!(all.starts_with("exit 0\n"), "{all}");
    }
    assert!(here.run(&["push"]).contains("of the ledger"));
    let more = there.run(&["pull"]);
    assert!(more.contains("took over") && more.contains("1 run and 0 decisions"), "{more}");
    // A bundle of a result whose last run was another machine's, once a checkpoint here has seen that.
    let export = ["lineage", "export", "train", "--format", "bundle", "-o", "b.tar"];
    let early = there.run(&export);
    assert!(early.starts_with("exit 2\n") && early.contains("no checkpoint of the ledger covers"), "{early}");
    there.run(&["approve", "train", "--as", "eva"]);
    assert!(there.run(&export).starts_with("exit 0\n"));
    let bundle = there.run(&["lineage", "verify", "--bundle", "b.tar"]);
    assert!(
        bundle.starts_with("exit 0\n") && bundle.contains("was made elsewhere, and the ledger"),
        "{bundle}"
    );
}

#[test]
fn an_auditor_needs_no_stage_program() {
    let remote = tempfile::tempdir().unwrap();
    let (here, there) = clones(remote.path());
    here.run(&["push"]);
    let none = tempfile::tempdir().unwrap();
    let pulled = there.run_with(&["pull", "--lineage"], none.path());
    assert!(pulled.starts_with("exit 0\n") && pulled.contains("2 runs and 2 decisions"), "{pulled}");
    let shown: Value = serde_json::from_str(&there.output(&["lineage", "show", "train", "--json"])).unwrap();
    assert_eq!(shown["made-by"][0]["decisions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_ledger_that_was_cut_or_changed_is_told_and_not_merged() {
    let remote = tempfile::tempdir().unwrap();
    let (here, there) = clones(remote.path());
    here.run(&["push"]);
    there.run(&["pull", "--lineage"]);
    let log = log_of(&here, remote.path());
    let before = fs::read(log.join("head.json")).unwrap();
    let ledger = ".stagewright/lineage-v1/ledger.jsonl";
    let known = there.read(ledger);
    here.run(&["approve", "train"]);
    here.run(&["push"]);

    // The remote is set back.
    let name = here.read(".stagewright/lineage-v1/name").trim().to_owned();
    let plain = |text: String| text.replace(&name, "<name>");
    let after = fs::read(log.join("head.json")).unwrap();
    there.run(&["pull", "--lineage"]);
    fs::write(log.join("head.json"), &before).unwrap();
    let seen = there.read(ledger);
    assert!(seen.lines().count() > known.lines().count());
    assert_snapshot!("pull-cut", plain(there.run(&["pull", "--lineage"])));
    assert_eq!(there.read(ledger), seen);
    fs::write(log.join("head.json"), &after).unwrap();

    // A piece says something else; then the head fits it.
    let piece = fs::read_dir(&log).unwrap().map(|item| item.unwrap().path());
    let first = piece.into_iter().find(|path| path.to_string_lossy().contains("/000000000000-")).unwrap();
    let text = fs::read_to_string(&first).unwrap();
    let fresh = Project::with_keys(PIPELINE);
    share(&there, &fresh);
    fresh.run(&["remote", "add", "disk", &remote.path().to_string_lossy()]);
    fs::write(&first, text.replacen("\"kind\":\"stage\"", "\"kind\":\"tests\"", 1)).unwrap();
    let changed = fresh.run(&["pull", "--lineage"]);
    assert!(changed.starts_with("exit 4\n") && changed.contains("its content is not what"), "{changed}");
    let mut head: Value = serde_json::from_slice(&after).unwrap();
    let swapped: Vec<&str> = text.lines().collect();
    let swapped = [&[swapped[1], swapped[0]], &swapped[2..]].concat().join("\n") + "\n";
    let digest = stagewright::digest::Digest::of(swapped.as_bytes());
    head["pieces"][0]["digest"] = digest.to_string().into();
    let moved = log.join(format!("000000000000-{}.jsonl", digest.short()));
    fs::write(moved, swapped).unwrap();
    fs::write(log.join("head.json"), head.to_string()).unwrap();
    let swapped = fresh.run(&["pull", "--lineage"]);
    assert!(swapped.starts_with("exit 11\n") && swapped.contains("are not those"), "{swapped}");
    assert!(!fresh.path(ledger).exists(), "nothing was taken over");
    fs::write(log.join("head.json"), &after).unwrap();
    fs::write(&first, &text).unwrap();
    assert!(fresh.run(&["pull", "--lineage"]).starts_with("exit 0\n"));

    // The writer's own ledger was cut.
    let own = here.read(ledger);
    let shorter: Vec<&str> = own.lines().take(own.lines().count() - 1).collect();
    here.write(ledger, &(shorter.join("\n") + "\n"));
    assert_snapshot!("push-cut", here.run(&["push"]));
}
