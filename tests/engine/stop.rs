//! Cancelling, killing, resuming; no process is left behind.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use stagewright::{
    plugin::Canceller,
    record::{Outcome, RunOutcome, RunState, list_runs, read_run},
    run::RunOptions,
};

use crate::project::{ActionExt, Project, Ran, lives, options, plan, stage, step, wait_for, write};

/// Runs until `begun` holds, then cancels.
fn cancel_when(
    project: &Project,
    actions: Vec<stagewright::plan::Action>,
    begun: impl Fn() -> bool + Sync,
) -> (Ran, Duration) {
    let (handle, cancel) = Canceller::new();
    let options = RunOptions { cancel, ..options() };
    std::thread::scope(|scope| {
        let run = scope.spawn(|| project.run_with(plan(actions), &options).unwrap());
        wait_for("the stage to start", &begun);
        let asked = Instant::now();
        handle.cancel();
        (run.join().unwrap(), asked.elapsed())
    })
}

#[test]
fn cancelling_ends_the_whole_group_and_closes_the_record() {
    let project = Project::new();
    let pid = project.path("pid");
    let actions = vec![
        stage("a", vec![json!({"step": "fork", "file": pid}), step("hang-deaf")]),
        stage("b", vec![write("b")]).reads("a"),
    ];
    let (ran, took) = cancel_when(&project, actions, || !project.read("pid").is_empty());
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(ran.summary.outcome, RunOutcome::Cancelled);
    insta::assert_snapshot!(ran.table(), @r"
    a        cancelled cancelled while it ran
    b        cancelled the run was cancelled
    ");
    let child = project.read("pid");
    wait_for("the forked child to go", || !lives(&child));
    let record = read_run(&project.config.state_dir, ran.summary.run).unwrap();
    assert_eq!(record.state, RunState::Ended(RunOutcome::Cancelled));
}

#[test]
fn cancelling_before_the_start_starts_nothing() {
    let project = Project::new();
    let (handle, cancel) = Canceller::new();
    handle.cancel();
    let actions = vec![stage("a", vec![project.tracing("a"), write("x")])];
    let ran = project.run_with(plan(actions), &RunOptions { cancel, ..options() }).unwrap();
    assert_eq!((ran.summary.outcome, ran.outcome("a")), (RunOutcome::Cancelled, Outcome::Cancelled));
    assert!(project.trace().is_empty());
}

#[test]
fn children_a_stage_leaves_behind_are_ended_with_it() {
    let project = Project::new();
    let fork = |name: &str| json!({"step": "fork", "file": project.path(name)});
    let began = Instant::now();
    let ran = project.run_with(
        plan(vec![
            stage("good", vec![fork("good"), write("x")]),
            stage("dead", vec![fork("dead"), json!({"step": "die", "code": 1})]),
        ]),
        &RunOptions { keep_going: true, ..options() },
    );
    let ran = ran.unwrap();
    assert_eq!((ran.outcome("good"), ran.outcome("dead")), (Outcome::Ran, Outcome::Failed));
    assert!(began.elapsed() < Duration::from_secs(15), "a child that keeps a pipe open holds nobody up");
    for name in ["good", "dead"] {
        let child = project.read(name);
        wait_for("the forked child to go", || !lives(&child));
    }
}

/// Not a test of its own: the orchestrator that another test kills. It runs in the project that the variable names.
#[test]
fn victim() {
    let Some(folder) = std::env::var_os("ENGINE_TEST_VICTIM") else { return };
    let project = Project::at(folder.as_ref());
    project.run(chain(&project));
}

fn chain(project: &Project) -> Vec<stagewright::plan::Action> {
    // Whether it hangs is decided by a file, because the steps are part of the key.
    vec![
        stage("a", vec![project.tracing("a"), write("A")]),
        stage(
            "b",
            vec![
                project.tracing("b"),
                step("checkpoint"),
                json!({"step": "fork", "file": project.path("pid")}),
                json!({"step": "hang-while", "file": project.path("hang")}),
                step("concatenate"),
            ],
        )
        .reads("a"),
        stage("c", vec![project.tracing("c"), step("concatenate")]).reads("b"),
    ]
}

#[test]
fn a_killed_run_leaves_a_sound_store_and_resumes() {
    let project = Project::new();
    project.write("hang", "");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["stop::victim", "--exact", "--nocapture"])
        .env("ENGINE_TEST_VICTIM", project.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    wait_for("the second stage to hang", || !project.read("pid").is_empty());
    let run = list_runs(&project.config.state_dir).unwrap()[0];
    assert_eq!(read_run(&project.config.state_dir, run).unwrap().state, RunState::Running);
    victim.kill().unwrap();
    victim.wait().unwrap();

    assert!(project.store.verify(|_| ()).unwrap().damage.is_empty());
    let record = read_run(&project.config.state_dir, run).unwrap();
    assert_eq!(record.state, RunState::Interrupted);
    assert_eq!((record.stages[0].outcome, record.stages[1].outcome), (Some(Outcome::Ran), None));
    let orphan = project.read("pid");
    assert!(lives(&orphan), "the killed run could not end its stage");

    fs::remove_file(project.path("hang")).unwrap();
    let ran = project.run(chain(&project));
    assert_eq!(ran.summary.outcome, RunOutcome::Succeeded);
    assert_eq!(project.trace(), ["a", "b", "b", "c"], "what was committed did not run again");
    assert_eq!(ran.stage("b").result.as_ref().unwrap().measured.metrics["resumed-at"].value, 1.0);
    wait_for("the orphan to go", || !lives(&orphan));
    assert_eq!(fs::read_dir(project.config.state_dir.join("work")).unwrap().count(), 0);
}
