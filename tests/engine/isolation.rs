//! What a stage may touch, take and leave behind.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use stagewright::{
    plan::{Action, FailureClass, Retry},
    plugin::SandboxSupport,
    record::{Outcome, RunEvent, read_run},
    run::RunOptions,
};

use crate::project::{ActionExt, Project, Ran, lives, options, plan, stage, step, wait_for, write};

fn metric(ran: &Ran, stage: &str, name: &str) -> f64 {
    ran.stage(stage).result.as_ref().unwrap().measured.metrics[name].value
}

fn sandboxed(network: bool) -> bool {
    let support = SandboxSupport::detect();
    let there = if network { support.network() } else { support.writes() };
    if !there {
        eprintln!("skipped: Landlock of version {} does not hold a stage to this", support.landlock);
    }
    there
}

#[test]
fn a_stage_writes_to_its_own_folders_and_nowhere_else() {
    if !sandboxed(false) {
        return;
    }
    let project = Project::strict();
    project.write("data.txt", "raw");
    let change = json!({"step": "try-change", "file": project.path("data.txt"), "text": "spoilt"});
    let actions = || {
        vec![
            stage("a", vec![change.clone(), step("checkpoint"), step("concatenate")]).reads_path("data.txt"),
            // What it reads of another stage lies in its own folder, as a link to the store.
            stage("b", vec![step("change-inputs"), step("concatenate")]).reads("a"),
        ]
    };
    let ran = project.run(actions());
    assert_eq!((ran.outcome("a"), ran.outcome("b")), (Outcome::Ran, Outcome::Ran));
    assert_eq!((metric(&ran, "a", "changed"), metric(&ran, "b", "changed")), (0.0, 0.0));
    assert_eq!(project.read("data.txt"), "raw");
    assert!(project.store.verify(|_| ()).unwrap().damage.is_empty());
    let record = read_run(&project.config.state_dir, ran.summary.run).unwrap().isolation.unwrap();
    assert!(record.writes);

    // The same without the sandbox: the source changes under the stage, which is found, and the record tells.
    let open = RunOptions { sandbox: false, force: stagewright::run::Force::All, ..options() };
    let ran = project.run_with(plan(actions()), &open).unwrap();
    assert_eq!((ran.outcome("a"), project.read("data.txt").as_str()), (Outcome::Failed, "spoilt"));
    let record = read_run(&project.config.state_dir, ran.summary.run).unwrap().isolation.unwrap();
    assert_eq!((record.writes, record.network), (false, false));
    assert_eq!(record.why.as_deref(), Some("the sandbox was switched off"));
}

#[test]
fn a_project_may_open_more_folders_to_its_stages() {
    if !sandboxed(false) {
        return;
    }
    let project = Project::strict();
    fs::create_dir(project.path("cache")).unwrap();
    fs::write(project.path("stagewright.toml"), "[sandbox]\nwritable = ['cache']\n").unwrap();
    let reopened = Project::at(&project.path(""));
    let to = |file: &str| json!({"step": "try-change", "file": project.path(file), "text": "x"});
    let ran = reopened.run(vec![
        stage("inside", vec![to("cache/x"), write("1")]),
        stage("outside", vec![to("x"), write("2")]),
    ]);
    assert_eq!((metric(&ran, "inside", "changed"), metric(&ran, "outside", "changed")), (1.0, 0.0));
}

#[test]
fn the_network_is_given_to_those_who_ask() {
    if !sandboxed(true) {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = || json!({"step": "connect", "port": listener.local_addr().unwrap().port()});
    let mut asking = stage("asking", vec![connect(), write("1")]);
    asking.resources.network = true;
    let project = Project::strict();
    let ran = project.run(vec![stage("plain", vec![connect(), write("2")]), asking]);
    assert_eq!((metric(&ran, "plain", "connected"), metric(&ran, "asking", "connected")), (0.0, 1.0));
    let record = read_run(&project.config.state_dir, ran.summary.run).unwrap().isolation.unwrap();
    assert!(record.network);
    assert_eq!(record.networked.iter().map(|stage| stage.0.as_str()).collect::<Vec<_>>(), ["asking"]);
}

fn limited(steps: Vec<Value>, memory: Option<u64>, output: Option<u64>) -> Action {
    let mut action = stage("bad", steps);
    (action.limits.memory, action.limits.output) = (memory, output);
    action
}

#[test]
fn a_stage_that_takes_too_much_memory_is_ended() {
    let project = Project::new();
    let within = limited(
        vec![json!({"step": "take", "bytes": 20 << 20, "ms": 150}), write("x")],
        Some(200 << 20),
        None,
    );
    assert_eq!(project.run(vec![within]).outcome("bad"), Outcome::Ran);
    let beyond =
        limited(vec![json!({"step": "take", "bytes": 300 << 20, "ms": 60_000})], Some(200 << 20), None);
    let ran = project.run(vec![beyond]);
    insta::assert_snapshot!(ran.failure("bad"), @r"
    Memory/User: stage-fake took more than its 200 MiB of memory and was stopped
      hint: raise `resources.memory` of the stage, or lower what it needs: a smaller batch, fewer workers
    ");
    // What its children hold counts as well.
    let children = json!({"step": "children-take", "bytes": 300 << 20});
    let ran = project.run(vec![limited(vec![children], Some(200 << 20), None)]);
    assert_eq!(ran.stage("bad").failure.as_ref().unwrap().class, FailureClass::Memory);
}

#[test]
fn running_out_of_memory_is_tried_again_where_the_pipeline_says_so() {
    let mut action =
        limited(vec![json!({"step": "take", "bytes": 300 << 20, "ms": 60_000})], Some(100 << 20), None);
    action.retry = Retry { max: 1, on: vec![FailureClass::Memory], backoff: Duration::ZERO };
    let ran = Project::new().run(vec![action]);
    let retried = ran.events.iter().filter(|event| matches!(event, RunEvent::StageRetried { .. })).count();
    assert_eq!((ran.outcome("bad"), retried), (Outcome::Failed, 1));
}

#[test]
fn a_stage_that_writes_too_much_is_ended() {
    let fill = |folder: &str, pieces: u32, ms: u32| json!({"step": "fill", "folder": folder, "pieces": pieces, "ms": ms});
    let failure = |steps: Vec<Value>| {
        let ran = Project::new().run(vec![limited(steps, None, Some(1 << 20))]);
        ran.failure("bad")
    };
    // One file: the system ends it at the limit.
    insta::assert_snapshot!(failure(vec![fill("output-dir", 1000, 0)]), @r"
    ExitCode/User: stage-fake wrote more than its 1 MiB to the disk and was stopped
      hint: raise `resources.output` of the stage, or have it write less
    ");
    // Two, neither beyond it, together beyond: found when it ends at the latest.
    let both = failure(vec![fill("output-dir", 10, 0), fill("scratch-dir", 10, 0), write("x")]);
    assert!(both.contains("wrote more than its 1 MiB"), "{both}");
    // The same while it goes on.
    let both = failure(vec![fill("scratch-dir", 10, 0), fill("checkpoint-dir", 10, 0), step("hang")]);
    assert!(both.contains("wrote more than its 1 MiB"), "{both}");
    let within = limited(vec![fill("scratch-dir", 10, 0), write("x")], None, Some(1 << 20));
    assert_eq!(Project::new().run(vec![within]).outcome("bad"), Outcome::Ran);
}

#[test]
fn a_stages_own_patience_goes_before_that_of_the_run() {
    let mut patient = stage("patient", vec![json!({"step": "sleep", "ms": 700}), write("1")]);
    patient.limits.silence = Some(Duration::from_secs(30));
    let hasty = stage("hasty", vec![json!({"step": "sleep", "ms": 60_000}), write("2")]);
    let options = RunOptions { silence: Some(Duration::from_millis(300)), keep_going: true, ..options() };
    let ran = Project::new().run_with(plan(vec![patient, hasty]), &options).unwrap();
    assert_eq!((ran.outcome("patient"), ran.outcome("hasty")), (Outcome::Ran, Outcome::Failed));
}

#[test]
fn what_leaves_its_session_is_ended_with_the_stage() {
    let project = Project::new();
    let leave = |name: &str| json!({"step": "leave", "file": project.path(name)});
    let ran = project.run_with(
        plan(vec![
            stage("good", vec![leave("good"), write("x")]),
            stage("dead", vec![leave("dead"), json!({"step": "die", "code": 1})]),
        ]),
        &RunOptions { keep_going: true, ..options() },
    );
    let ran = ran.unwrap();
    assert_eq!((ran.outcome("good"), ran.outcome("dead")), (Outcome::Ran, Outcome::Failed));
    for name in ["good", "dead"] {
        let child = project.read(name);
        assert!(!child.trim().is_empty());
        wait_for("the process that left to go", || !lives(&child));
    }
}
