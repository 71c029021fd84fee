//! Hits, misses and their reasons, early cut-off, lost blobs, equal actions, preview.

use std::fs;

use serde_json::json;
use stagewright::{
    record::{Outcome, RunOutcome},
    run::{Force, Preview, RunOptions, preview},
};

use crate::project::{ActionExt, Project, options, plan, stage, step, write};

#[test]
fn a_second_run_starts_nothing() {
    let project = Project::new();
    project.write("data.txt", "raw");
    let actions = || {
        vec![
            stage("a", vec![project.tracing("a"), step("concatenate")]).reads_path("data.txt"),
            stage("b", vec![project.tracing("b"), step("concatenate")]).reads("a"),
        ]
    };
    project.run(actions());
    let ran = project.run(actions());
    assert_eq!(project.trace(), ["a", "b"]);
    insta::assert_snapshot!(ran.table(), @r"
    a        cached    nothing changed
    b        cached    nothing changed
    ");
}

#[test]
fn a_changed_input_runs_what_reads_it_and_an_equal_output_cuts_off() {
    let project = Project::new();
    project.write("data.txt", "raw");
    let actions = || {
        vec![
            // Reads the data, but writes the same whatever is in it.
            stage("stats", vec![project.tracing("stats"), write("same")]).reads_path("data.txt"),
            stage("report", vec![project.tracing("report"), step("concatenate")]).reads("stats"),
            stage("other", vec![project.tracing("other"), write("o")]),
        ]
    };
    project.run(actions());
    project.write("data.txt", "other");
    let ran = project.run(actions());
    insta::assert_snapshot!(ran.table(), @r"
    stats    ran       inputs.data changed
    report   cached    nothing changed
    other    cached    nothing changed
    ");
    assert_eq!(project.trace().iter().filter(|line| *line == "report").count(), 1);
}

#[test]
fn reasons_name_the_param_that_changed_and_going_back_is_a_hit() {
    let project = Project::new();
    let action = |lr: f64| {
        let mut action = stage("train", vec![write("m")]);
        action.params["lr"] = json!(lr);
        vec![action]
    };
    project.run(action(0.1));
    assert_eq!(project.run(action(0.01)).stage("train").reason, "with.lr 0.1 → 0.01");
    let back = project.run(action(0.1));
    assert_eq!(
        (back.outcome("train"), back.stage("train").reason.as_str()),
        (Outcome::Cached, "an equal action has run before")
    );
    assert_eq!(project.run(action(0.5)).stage("train").reason, "with.lr 0.1 → 0.5");
    let mut uncached = action(0.5);
    uncached[0].cache = false;
    assert_eq!(project.run(uncached).stage("train").reason, "never reused, as the pipeline says");
    let forced = project.run_with(plan(action(0.5)), &RunOptions { force: Force::All, ..options() }).unwrap();
    assert_eq!(forced.stage("train").reason, "forced");
}

#[test]
fn a_lost_blob_runs_just_its_producer_again() {
    let project = Project::new();
    let actions = || {
        vec![
            stage("a", vec![project.tracing("a"), write("A")]),
            stage("b", vec![project.tracing("b"), step("concatenate")]).reads("a"),
        ]
    };
    let first = project.run(actions());
    let digest = first.stage("a").result.as_ref().unwrap().outputs["out"].artifact.digest;
    fs::remove_file(project.store.blob_path(&digest)).unwrap();
    let ran = project.run(actions());
    insta::assert_snapshot!(ran.table(), @r"
    a        ran       result lost: 1 blob missing
    b        cached    nothing changed
    ");
    assert_eq!(project.trace(), ["a", "b", "a"]);
    assert!(project.store.contains(&digest));
}

#[test]
fn an_unreadable_entry_is_a_miss() {
    let project = Project::new();
    let actions = || vec![stage("a", vec![write("A")])];
    let key = project.run(actions()).stage("a").key.unwrap().0;
    let hex = key.hex();
    let path =
        project.config.store_dir.join("actions-v1").join(&hex[..2]).join(format!("{}.json", &hex[2..]));
    assert!(path.is_file(), "{path:?}");
    fs::write(&path, "{}").unwrap();
    let ran = project.run(actions());
    assert_eq!(ran.outcome("a"), Outcome::Ran);
    assert!(ran.stage("a").reason.starts_with("stored result not readable"), "{}", ran.stage("a").reason);
    let text = fs::read_to_string(&path).unwrap().replacen("\"format\": 1", "\"format\": 99", 1);
    fs::write(&path, text).unwrap();
    let ran = project.run(actions());
    insta::assert_snapshot!(ran.table(), @"a        ran       stored result not readable: an action result has format 99; this release reads formats up to 1");
    fs::remove_file(&path).unwrap();
    assert_eq!(project.run(actions()).stage("a").reason, "result no longer stored");
}

#[test]
fn equal_actions_of_one_run_run_once() {
    let project = Project::new();
    let actions =
        (0..4).map(|index| stage(&format!("s{index}"), vec![project.tracing("ran"), step("concatenate")]));
    let ran = project.run(actions.collect());
    assert_eq!(ran.summary.outcome, RunOutcome::Succeeded);
    assert_eq!(project.trace(), ["ran"]);
    let outcomes: Vec<_> = ran.summary.stages.iter().map(|stage| stage.outcome).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Ran).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Cached).count(), 3);
}

#[test]
fn what_is_no_part_of_the_key_changes_nothing() {
    let project = Project::new();
    project.run(vec![stage("a", vec![write("A")])]);
    let mut renamed = stage("b", vec![write("A")]);
    renamed.line = 99;
    renamed.resources.cpus = 3;
    renamed.timeout = None;
    renamed.retry.max = 4;
    assert_eq!(project.run(vec![renamed]).outcome("b"), Outcome::Cached);
}

#[test]
fn a_preview_says_what_a_run_would_do() {
    let project = Project::new();
    project.write("data.txt", "raw");
    let actions = |text: &str| {
        let mut off = stage("off", vec![write("x")]);
        off.skip = Some("never".to_owned());
        vec![
            stage("a", vec![step("concatenate")]).reads_path("data.txt"),
            stage("b", vec![step("concatenate"), json!({"step": "log", "level": "info", "message": text})])
                .reads("a"),
            stage("c", vec![step("concatenate")]).reads("b"),
            off,
            stage("ghost", vec![write("g")]).reads_path("nowhere.txt"),
        ]
    };
    let show = |text: &str| {
        let previews = preview(&plan(actions(text)), &options(), &project.store, &project.config).unwrap();
        let line = |preview: &stagewright::run::StagePreview| {
            let what = match &preview.preview {
                Preview::Conditional { waits_for, .. } | Preview::Hanging { waits_for } => {
                    format!("`if` decided after {waits_for:?}")
                }
                Preview::Hit { .. } | Preview::Locked => "hit".to_owned(),
                Preview::Miss { reasons } => format!(
                    "miss: {}",
                    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                ),
                Preview::Unknown { waits_for } => format!(
                    "waits for {}",
                    waits_for.iter().map(|stage| stage.0.as_str()).collect::<Vec<_>>().join(", ")
                ),
                Preview::Skipped { reason } => format!("skipped: {reason}"),
                Preview::Fails { failure } => format!("fails: {}", failure.fault.message),
            };
            format!(
                "{}: {what}{}",
                preview.stage,
                if preview.usual.is_some() { ", usual time known" } else { "" }
            )
        };
        previews.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(show("1"), @r"
    a: miss: first run
    b: waits for a
    c: waits for b
    off: skipped: never
    ghost: fails: the input `data` of `ghost` is nowhere.txt, which does not exist
    ");
    project.run_with(plan(actions("1")), &RunOptions { keep_going: true, ..options() }).unwrap();
    insta::assert_snapshot!(show("1"), @r"
    a: hit, usual time known
    b: hit, usual time known
    c: hit, usual time known
    off: skipped: never
    ghost: fails: the input `data` of `ghost` is nowhere.txt, which does not exist
    ");
    insta::assert_snapshot!(show("2"), @r#"
    a: hit, usual time known
    b: miss: with.do [{"step":"concatenate"},{"level":"info","messag… → [{"step":"concatenate"},{"level":"info","messag…, usual time known
    c: waits for b, usual time known
    off: skipped: never
    ghost: fails: the input `data` of `ghost` is nowhere.txt, which does not exist
    "#);
}

#[test]
fn a_missing_source_is_the_pipelines_fault() {
    let project = Project::new();
    let ran = project.run(vec![stage("a", vec![write("x")]).reads_path("nowhere.txt")]);
    insta::assert_snapshot!(ran.failure("a"), @"ExitCode/User: the input `data` of `a` is nowhere.txt, which does not exist");
}

#[test]
fn a_warm_run_over_many_files_is_quick() {
    let project = Project::in_memory();
    for index in 0..20_000 {
        let folder = project.path(&format!("data/{}", index % 10));
        if index < 10 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(index.to_string()), index.to_string()).unwrap();
    }
    let actions = || {
        let first = stage("s0", vec![write("0")]).reads_path("data");
        let rest = (1..10).map(|index| {
            stage(&format!("s{index}"), vec![step("concatenate"), project.tracing("ran")])
                .reads(&format!("s{}", index - 1))
        });
        std::iter::once(first).chain(rest).collect::<Vec<_>>()
    };
    // Digests of files that were written a moment ago are not remembered.
    std::thread::sleep(std::time::Duration::from_millis(1200));
    project.run(actions());
    let ran = project.run(actions());
    assert!(ran.summary.stages.iter().all(|stage| stage.outcome == Outcome::Cached));
    assert!(ran.summary.duration.as_millis() < 1500, "{:?}", ran.summary.duration);
    println!("ten stages over 20,000 files, all cached: {:?}", ran.summary.duration);
}
