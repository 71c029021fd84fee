//! Two runs of one project at once.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::json;
use stagewright::{
    plan::Action,
    plugin::Canceller,
    record::{Outcome, RunEvent, RunOutcome, list_runs, read_run},
    run::{Force, RunError, RunOptions},
};

use crate::project::{ActionExt, Project, Ran, options, plan, stage, step, wait_for, write};

/// `shared` runs as long as the file `hold` is there; `own` has a key of the caller's own.
fn graph(project: &Project, own: &str) -> Vec<Action> {
    vec![
        stage(
            "shared",
            vec![
                project.tracing("shared"),
                json!({"step": "hang-while", "file": project.path("hold")}),
                write("shared"),
            ],
        ),
        stage("own", vec![project.tracing(own), write(own)]),
        stage("last", vec![project.tracing("last"), step("concatenate")]).reads("shared"),
    ]
}

/// Some run's record has an event of this kind.
fn recorded(project: &Project, event: &str) -> bool {
    let runs = list_runs(&project.config.state_dir).unwrap();
    let folder = project.config.state_dir.join("runs-v1");
    runs.iter().any(|run| {
        let events = fs::read_to_string(folder.join(run.to_string()).join("events.jsonl"));
        events.is_ok_and(|events| events.contains(&format!("\"event\":\"{event}\"")))
    })
}

fn waits(ran: &Ran) -> Vec<String> {
    let waits = ran.events.iter().filter_map(|event| match event {
        RunEvent::StageWaits { stage, waits_for, .. } => Some(format!("{stage} waits for {waits_for}")),
        _ => None,
    });
    waits.collect()
}

#[test]
fn what_differs_goes_on_and_the_same_is_made_once() {
    let project = Project::new();
    project.write("hold", "");
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| project.run(graph(&project, "one")));
        wait_for("the first run to be at it", || project.trace().contains(&"shared".to_owned()));
        let second = scope.spawn(|| project.run(graph(&project, "two")));
        // The second one's own stage does not wait for the first run.
        wait_for("the second run's own stage", || project.trace().contains(&"two".to_owned()));
        // Not before it has met the first one at `shared`, however slow this machine is.
        wait_for("the second run to wait", || recorded(&project, "stage-waits"));
        assert!(!first.is_finished() && !second.is_finished());
        fs::remove_file(project.path("hold")).unwrap();
        (first.join().unwrap(), second.join().unwrap())
    });
    assert_eq!(first.summary.outcome, RunOutcome::Succeeded);
    assert_eq!(second.summary.outcome, RunOutcome::Succeeded);
    assert_eq!((first.outcome("shared"), second.outcome("shared")), (Outcome::Ran, Outcome::Cached));
    assert_eq!(second.stage("shared").reason, "another run made it meanwhile");
    let run = first.summary.run;
    // It may meet the first run once more, at `last`, and nowhere else.
    let lines =
        ["shared", "last"].map(|stage| format!("{stage} waits for run {run}, which makes the same result"));
    let waits = waits(&second);
    assert!(waits == lines[..1] || waits == lines, "{waits:?}");
    let record = read_run(&project.config.state_dir, second.summary.run).unwrap();
    assert_eq!(record.stages[0].made_in, Some(run));
    let mut trace = project.trace();
    trace.sort();
    assert_eq!(trace, ["last", "one", "shared", "two"], "nothing ran twice");
    let report = project.store.verify(|_| ()).unwrap();
    assert!(report.damage.is_empty() && report.entries == 4, "{report:?}");
}

#[test]
fn a_run_that_was_forced_makes_its_own_after_the_other() {
    let project = Project::new();
    project.write("hold", "");
    let force = RunOptions { force: Force::All, ..options() };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| project.run(graph(&project, "one")));
        wait_for("the first run to be at it", || project.trace().contains(&"shared".to_owned()));
        let second = scope.spawn(|| project.run_with(plan(graph(&project, "two")), &force).unwrap());
        wait_for("the second run's own stage", || project.trace().contains(&"two".to_owned()));
        fs::remove_file(project.path("hold")).unwrap();
        assert_eq!(first.join().unwrap().outcome("shared"), Outcome::Ran);
        assert_eq!(second.join().unwrap().outcome("shared"), Outcome::Ran);
    });
}

#[test]
fn waiting_for_another_run_can_be_cancelled() {
    let project = Project::new();
    project.write("hold", "");
    let (handle, cancel) = Canceller::new();
    let options = RunOptions { cancel, ..options() };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| project.run(graph(&project, "one")));
        wait_for("the first run to be at it", || project.trace().contains(&"shared".to_owned()));
        let second = scope.spawn(|| project.run_with(plan(graph(&project, "two")), &options).unwrap());
        wait_for("the second run's own stage", || project.trace().contains(&"two".to_owned()));
        handle.cancel();
        let second = second.join().unwrap();
        assert_eq!(
            (second.summary.outcome, second.outcome("shared")),
            (RunOutcome::Cancelled, Outcome::Cancelled)
        );
        assert!(!first.is_finished());
        fs::remove_file(project.path("hold")).unwrap();
        assert_eq!(first.join().unwrap().summary.outcome, RunOutcome::Succeeded);
    });
}

#[test]
fn a_stage_that_wants_the_machine_alone_has_it_among_all_runs() {
    let project = Project::new();
    project.write("hold", "");
    let mut alone = stage("alone", vec![project.tracing("alone"), write("alone")]);
    alone.resources.exclusive = true;
    std::thread::scope(|scope| {
        let first = scope.spawn(|| project.run(graph(&project, "one")));
        wait_for("the first run to be at it", || project.trace().contains(&"shared".to_owned()));
        let second = scope.spawn(|| project.run(vec![alone]));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!project.trace().contains(&"alone".to_owned()));
        fs::remove_file(project.path("hold")).unwrap();
        assert_eq!(first.join().unwrap().summary.outcome, RunOutcome::Succeeded);
        let second = second.join().unwrap();
        assert_eq!(second.outcome("alone"), Outcome::Ran);
        assert_eq!(
            waits(&second),
            ["alone waits for another run's stages to end, to have the machine alone"]
        );
    });
}

/// Not a test of its own: a run in another process, in the project that the variable names.
#[test]
fn other() {
    let Some(folder) = std::env::var_os("ENGINE_TEST_OTHER") else { return };
    let project = Project::at(folder.as_ref());
    project.run(graph(&project, "one"));
}

#[test]
fn a_killed_run_holds_nothing_and_a_living_one_keeps_its_folders() {
    let project = Project::new();
    project.write("hold", "");
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["together::other", "--exact", "--nocapture"])
        .env("ENGINE_TEST_OTHER", project.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the other process to be at it", || project.trace().contains(&"shared".to_owned()));
    let other_run = list_runs(&project.config.state_dir).unwrap()[0];
    let folder = project.config.state_dir.join("work").join(other_run.to_string());
    assert!(folder.is_dir());
    // A run beside it leaves the living run's folders alone, and nothing may be removed from the store.
    assert_eq!(project.run(vec![stage("x", vec![write("x")])]).outcome("x"), Outcome::Ran);
    assert!(folder.is_dir() && project.store.alone().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
    // Its claim and its hold on the store went with it; what it left is removed.
    fs::remove_file(project.path("hold")).unwrap();
    let ran = project.run(graph(&project, "one"));
    assert_eq!((ran.outcome("shared"), waits(&ran)), (Outcome::Ran, Vec::new()));
    assert!(!folder.exists());
    assert!(project.store.alone().unwrap().is_some());
}

#[test]
fn a_run_waits_while_something_is_removed_from_the_store() {
    let project = Project::new();
    let alone = project.store.alone().unwrap().unwrap();
    let (handle, cancel) = Canceller::new();
    let actions = || plan(vec![stage("a", vec![write("x")])]);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| project.run_with(actions(), &options()).unwrap().summary.outcome);
        let stopped =
            scope.spawn(|| project.run_with(actions(), &RunOptions { cancel, ..options() }).map(drop));
        std::thread::sleep(Duration::from_millis(150));
        assert!(!run.is_finished());
        handle.cancel();
        assert!(matches!(stopped.join().unwrap(), Err(RunError::CancelledWaiting)));
        drop(alone);
        assert_eq!(run.join().unwrap(), RunOutcome::Succeeded);
    });
}
