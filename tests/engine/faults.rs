//! Everything a stage program can do wrong, and what is said of it.

use std::{fs, sync::Arc, time::Duration};

use serde_json::{Value, json};
use stagewright::{
    plan::{Action, FailureClass, Retry, Start},
    record::{Outcome, RunEvent},
    run::RunOptions,
};

use crate::project::{ActionExt, Project, Ran, options, plan, stage, step, write};

fn failing(steps: Vec<Value>) -> String {
    failing_action(stage("bad", steps))
}

fn failing_action(action: Action) -> String {
    let project = Project::new();
    let ran = project.run(vec![action]);
    assert_eq!(ran.outcome("bad"), Outcome::Failed);
    let work = project.config.state_dir.join("work");
    assert_eq!(fs::read_dir(work).map_or(0, Iterator::count), 0, "the private folder is gone");
    assert!(project.store.verify(|_| ()).unwrap().damage.is_empty());
    project.neutral(&ran.failure("bad"))
}

fn hello(kind: &str) -> Action {
    let mut action = stage("bad", vec![write("x")]);
    action.env.insert("FAKE_HELLO".to_owned(), kind.to_owned());
    action
}

#[test]
fn an_orderly_failure_speaks_for_itself() {
    let fail = json!({"step": "fail", "class": "user", "message": "data/cats has no images", "hint": "point `data` at a folder of images"});
    insta::assert_snapshot!(failing(vec![fail]), @r"
    ExitCode/User: data/cats has no images
      hint: point `data` at a folder of images
    ");
    let fail = json!({"step": "fail", "class": "environment", "message": "no libtorch", "hint": null});
    insta::assert_snapshot!(failing(vec![fail]), @r"
    Environment/Environment: no libtorch
      | fake: about to fail
    ");
}

#[test]
fn an_early_death_is_told_with_its_last_words() {
    insta::assert_snapshot!(failing(vec![json!({"step": "die", "code": 3})]), @r"
    ExitCode/Internal: stage-fake died before it answered: exit code 3
      | fake: last words
      hint: this is a defect of the stage program; its log may say more
    ");
    insta::assert_snapshot!(failing(vec![json!({"step": "kill-self", "signal": 6})]), @r"
    ExitCode/Internal: stage-fake died before it answered: SIGABRT (signal 6)
      hint: this is a defect of the stage program; its log may say more
    ");
}

#[test]
fn a_kill_from_nowhere_is_taken_for_memory() {
    insta::assert_snapshot!(failing(vec![json!({"step": "kill-self", "signal": 9})]), @r"
    Memory/Environment: stage-fake died before it answered: SIGKILL (signal 9)
      hint: the system most likely killed it for memory: lower what it needs, or state `resources.memory` so that less runs beside it
    ");
}

#[test]
fn bad_beginnings() {
    insta::assert_snapshot!(failing_action(hello("other-version")), @r"
    Environment/Environment: stage-fake (fake 9.9.9) speaks protocol versions 7, 8, this release of stagewright speaks version 1
      hint: install a stage program of the same release as stagewright
    ");
    insta::assert_snapshot!(failing_action(hello("junk")), @r"
    ExitCode/Internal: stage-fake is not a stage program: it began with `Loading plugins... done` instead of a hello
      | stage-fake: no request
      hint: this is a defect of the stage program; its log may say more
    ");
    insta::assert_snapshot!(failing_action(hello("die")), @r"
    ExitCode/Internal: stage-fake is not a stage program: it ended without a hello (exit code 127)
      | fake: a library is missing
      hint: this is a defect of the stage program; its log may say more
    ");
    let mut missing = stage("bad", vec![]);
    missing.program.start = Start::Program("/nowhere/stagewright-stage-gone".into());
    insta::assert_snapshot!(failing_action(missing), @"Environment/Environment: cannot start /nowhere/stagewright-stage-gone: No such file or directory (os error 2)");
}

#[test]
fn junk_and_floods_end_the_stage() {
    insta::assert_snapshot!(failing(vec![json!({"step": "say", "text": "epoch 1: loss 0.5"})]), @r"
    ExitCode/Internal: stage-fake wrote a line to standard output that is not a protocol message: `epoch 1: loss 0.5`
      hint: this is a defect of the stage program; its log may say more
    ");
    insta::assert_snapshot!(failing(vec![json!({"step": "say", "text": "{\"kind\":\"event\",\"event\":\"metric\",\"name\":\"x\",\"value\":NaN}"})]), @r#"
    ExitCode/Internal: stage-fake wrote a line to standard output that is not a protocol message: `{"kind":"event","event":"metric","name":"x","value":NaN}`
      hint: this is a defect of the stage program; its log may say more
    "#);
    insta::assert_snapshot!(failing(vec![step("flood-line")]), @r"
    ExitCode/Internal: stage-fake flooded the protocol with a line longer than 4 MiB
      hint: this is a defect of the stage program; its log may say more
    ");
}

#[test]
fn unknown_messages_of_later_versions_are_passed_over() {
    let project = Project::new();
    let ran = project.run(vec![stage(
        "new",
        vec![
            json!({"step": "say", "text": "{\"kind\":\"telemetry\",\"x\":1}"}),
            json!({"step": "say", "text": "{\"kind\":\"event\",\"event\":\"sparkle\"}"}),
            write("x"),
        ],
    )]);
    assert_eq!(ran.outcome("new"), Outcome::Ran);
}

#[test]
fn lies_about_outputs_are_found() {
    insta::assert_snapshot!(failing(vec![]), @r"
    ExitCode/Internal: stage-fake gave a false result: the required output `out` is missing
      hint: this is a defect of the stage program; its log may say more
    ");
    let claim = |port: &str, path: &str| json!({"step": "claim", "port": port, "path": path});
    insta::assert_snapshot!(failing(vec![claim("out", "ghost.txt")]), @r"
    ExitCode/Internal: stage-fake gave a false result: the output `out` at `ghost.txt` does not exist
      hint: this is a defect of the stage program; its log may say more
    ");
    insta::assert_snapshot!(failing(vec![claim("out", "../../../stagewright.toml")]), @r"
    ExitCode/Internal: stage-fake gave a false result: the output `out` at `../../../stagewright.toml` is not a path inside its output folder
      hint: this is a defect of the stage program; its log may say more
    ");
    insta::assert_snapshot!(failing(vec![write("x"), claim("secret", "out.txt")]), @r"
    ExitCode/Internal: stage-fake gave a false result: the output `secret` is not a port in its manifest
      hint: this is a defect of the stage program; its log may say more
    ");
    insta::assert_snapshot!(failing(vec![json!({"step": "link-out", "port": "out", "path": "passwd"})]), @r"
    ExitCode/Internal: stage-fake gave a false result: the output `out` holds the link `passwd`, which leads out of its output folder
      hint: this is a defect of the stage program; its log may say more
    ");
    let other = json!({"step": "answer", "message": {"kind": "platform"}});
    insta::assert_snapshot!(failing(vec![other]), @r"
    ExitCode/Internal: stage-fake answered `run` with another kind of message
      hint: this is a defect of the stage program; its log may say more
    ");
}

#[test]
fn hanging_takes_as_long_as_it_may() {
    let mut slow = stage("bad", vec![step("hang")]);
    slow.timeout = Some(Duration::from_millis(300));
    insta::assert_snapshot!(failing_action(slow), @r"
    Timeout/User: stage-fake took longer than 300 ms and was stopped
      hint: raise `timeout-minutes` if it needs longer; what it saved as a checkpoint is taken up again by the next run
    ");
    let mut deaf = stage("bad", vec![step("hang-deaf")]);
    deaf.timeout = Some(Duration::from_millis(300));
    insta::assert_snapshot!(failing_action(deaf), @r"
    Timeout/User: stage-fake took longer than 300 ms and was stopped
      hint: raise `timeout-minutes` if it needs longer; what it saved as a checkpoint is taken up again by the next run
    ");
    insta::assert_snapshot!(failing(vec![step("mute")]), @r"
    ExitCode/Internal: stage-fake closed its standard output without an answer
      hint: this is a defect of the stage program; its log may say more
    ");
}

#[test]
fn silence_has_a_limit_of_its_own() {
    let project = Project::new();
    let talk = || {
        vec![
            json!({"step": "progress", "done": 1, "total": 9, "unit": "x", "message": ""}),
            json!({"step": "sleep", "ms": 150}),
        ]
    };
    let talkative: Vec<Value> = (0..6).flat_map(|_| talk()).chain([write("x")]).collect();
    let run = |steps| {
        let options = RunOptions { silence: Some(Duration::from_millis(600)), ..options() };
        project.run_with(plan(vec![stage("s", steps)]), &options).unwrap()
    };
    assert_eq!(run(talkative).outcome("s"), Outcome::Ran);
    insta::assert_snapshot!(run(vec![step("hang")]).failure("s"), @r"
    Timeout/User: stage-fake said nothing for 600 ms and was stopped
      hint: its log may say where it stands; allow a longer silence if it is only slow
    ");
}

#[test]
fn a_noisy_log_is_bounded_and_does_not_stop_the_stage() {
    let project = Project::new();
    let ran =
        project.run(vec![stage("noisy", vec![json!({"step": "flood-stderr", "lines": 20_000}), write("x")])]);
    assert_eq!(ran.outcome("noisy"), Outcome::Ran);
    let log = ran.stage("noisy").result.as_ref().unwrap().log.unwrap();
    assert!(log.size() > 60 << 20 && log.size() < 65 << 20, "{}", log.size());
}

fn attempts(ran: &Ran) -> usize {
    ran.events.iter().filter(|event| matches!(event, RunEvent::StageStarted { .. })).count()
}

fn flaky(project: &Project, class: &str, times: u64, retry: Retry) -> Ran {
    let step = json!({"step": "fail-times", "file": project.path("count"), "times": times, "class": class});
    let mut action = stage("flaky", vec![step, write("x")]);
    action.retry = retry;
    project.run(vec![action])
}

#[test]
fn retries_go_by_the_class_of_failure() {
    let retry =
        |max: u32, on: &[FailureClass]| Retry { max, on: on.to_vec(), backoff: Duration::from_millis(10) };
    let ran = flaky(&Project::new(), "environment", 2, retry(2, &[FailureClass::Environment]));
    assert_eq!((ran.outcome("flaky"), attempts(&ran)), (Outcome::Ran, 3));
    let pauses: Vec<u64> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            RunEvent::StageRetried { pause_ms, .. } => Some(*pause_ms),
            _ => None,
        })
        .collect();
    assert_eq!(pauses, [10, 20]);
    let ran = flaky(&Project::new(), "environment", 2, retry(1, &[]));
    assert_eq!((ran.outcome("flaky"), attempts(&ran)), (Outcome::Failed, 2));
    assert_eq!(ran.failure("flaky").lines().next().unwrap(), "Environment/Environment: flaky failure 2");
    let ran = flaky(&Project::new(), "user", 1, retry(5, &[FailureClass::Environment, FailureClass::Memory]));
    assert_eq!((ran.outcome("flaky"), attempts(&ran)), (Outcome::Failed, 1));
    let ran = flaky(&Project::new(), "internal", 1, retry(1, &[FailureClass::ExitCode]));
    assert_eq!((ran.outcome("flaky"), attempts(&ran)), (Outcome::Ran, 2));
}

#[test]
fn a_failed_gate_is_not_tried_again() {
    let project = Project::new();
    let gate = json!({"step": "gate", "name": "g", "status": "failed", "reason": "too slow"});
    let mut action = stage("gated", vec![gate, write("x")]);
    action.retry = Retry { max: 3, on: Vec::new(), backoff: Duration::ZERO };
    assert_eq!(attempts(&project.run(vec![action])), 1);
}

#[test]
fn a_checkpoint_outlives_a_failure_and_not_a_success() {
    let project = Project::new();
    let crash = json!({"step": "fail-times", "file": project.path("count"), "times": 2, "class": "internal"});
    let actions = || vec![stage("train", vec![step("checkpoint"), crash.clone(), write("model")])];
    assert_eq!(project.run(actions()).outcome("train"), Outcome::Failed);
    assert_eq!(project.run(actions()).outcome("train"), Outcome::Failed);
    let ran = project.run(actions());
    assert_eq!(ran.outcome("train"), Outcome::Ran);
    assert_eq!(ran.stage("train").result.as_ref().unwrap().measured.metrics["resumed-at"].value, 2.0);
    assert_eq!(fs::read_dir(project.config.state_dir.join("checkpoints")).unwrap().count(), 0);
}

#[test]
fn a_source_that_changes_under_a_stage_spoils_its_result() {
    let project = Project::new();
    project.write("data.txt", "before");
    let change = json!({"step": "change", "file": project.path("data.txt"), "text": "after"});
    let ran = project.run(vec![stage("a", vec![step("concatenate"), change]).reads_path("data.txt")]);
    insta::assert_snapshot!(project.neutral(&ran.failure("a")), @r"
    ExitCode/User: the input `data` (<project>/data.txt) changed while `a` ran, so its result was not kept
      hint: run again once the data is at rest
    ");
    assert_eq!(project.store.verify(|_| ()).unwrap().entries, 0);
}

#[test]
fn a_machine_without_gpus_says_so() {
    let mut action = stage("bad", vec![write("x")]);
    action.resources.gpus = 99;
    let text = failing_action(action);
    assert!(
        text.starts_with("Environment/Environment: `bad` asks for 99 GPUs, and this machine has "),
        "{text}"
    );
}

#[test]
fn a_store_that_can_not_be_written_fails_the_run() {
    let project = Project::new();
    project.run(vec![stage("a", vec![write("x")])]);
    // A file where the store wants a folder: what no permission of root's can get around.
    let temporary = project.config.store_dir.join("tmp");
    fs::remove_dir_all(&temporary).unwrap();
    fs::write(&temporary, "").unwrap();
    let ran = project.run(vec![stage("b", vec![write("y")])]);
    assert_eq!(ran.outcome("b"), Outcome::Failed);
    assert!(ran.failure("b").starts_with("Environment/Environment: cannot "), "{}", ran.failure("b"));
}

#[test]
fn private_folders_can_be_kept() {
    let project = Project::new();
    let options = RunOptions { keep_folders: true, ..options() };
    let ran =
        project.run_with(plan(vec![stage("a", vec![json!({"step": "die", "code": 1})])]), &options).unwrap();
    let kept = project.config.state_dir.join("kept").join(ran.summary.run.to_string()).join("a");
    assert!(kept.join("scratch").is_dir() && kept.join("out").is_dir());
}

#[test]
fn a_program_that_changed_its_ports_is_not_served_an_old_result() {
    let project = Project::new();
    project.run(vec![stage("a", vec![write("x")])]);
    let mut newer = stage("a", vec![write("x")]);
    let mut manifest = (*newer.program.manifest).clone();
    manifest.outputs.get_mut("extra").unwrap().required = true;
    newer.program.manifest = Arc::new(manifest);
    let ran = project.run(vec![newer]);
    assert_eq!(ran.outcome("a"), Outcome::Failed);
    assert_eq!(ran.stage("a").reason, "stored result not readable: it has no output `extra`");
}
