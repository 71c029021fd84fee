//! Commands for the shell: how they fail, and that nothing of them is left.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use stagewright::{
    plan::{Action, Command, FailureClass, Out, OutKind, Piece, Program, Retry, Shell, Start},
    plugin::Canceller,
    record::{Outcome, RunOutcome},
    run::RunOptions,
};

use crate::project::{Project, lives, options, plan, stage, wait_for};

/// A stage that runs these lines and writes these paths.
fn command(id: &str, lines: &[&str], outs: &[&str]) -> Action {
    let fake = stage(id, Vec::new());
    let command = Command {
        lines: lines.iter().map(|line| vec![Piece::Text((*line).to_owned())]).collect(),
        folder: "".into(),
        shell: Shell::Strict,
    };
    let mut manifest = (*fake.program.manifest).clone();
    manifest.name = "cmd".to_owned();
    manifest.outputs.clear();
    Action {
        program: Program {
            start: Start::Command(Arc::new(command)),
            manifest: Arc::new(manifest),
            ..fake.program
        },
        params: json!({ "cmd": lines }),
        outs: outs
            .iter()
            .map(|path| Out { path: path.into(), kind: OutKind::Out, persist: false, cache: true })
            .collect(),
        ..fake
    }
}

#[test]
fn retries_go_by_the_class_of_the_failure() {
    let project = Project::new();
    let count = "echo x >> tries; n=$(wc -l < tries)";
    let tries = |script: &str, on: &[FailureClass], timeout: f64| {
        let _ = fs::remove_file(project.path("tries"));
        let mut action = command("a", &[&format!("{count}; {script}")], &[]);
        action.retry = Retry { max: 2, on: on.to_vec(), backoff: Duration::ZERO };
        action.timeout = Some(Duration::from_secs_f64(timeout));
        let ran = project.run(vec![action]);
        (ran.outcome("a"), project.read("tries").lines().count())
    };
    let code = [FailureClass::ExitCode];
    assert_eq!(tries("exit 1", &code, 60.0), (Outcome::Failed, 3));
    assert_eq!(tries("test $n -gt 1", &code, 60.0), (Outcome::Ran, 2));
    assert_eq!(tries("kill -KILL $$", &code, 60.0), (Outcome::Failed, 1));
    assert_eq!(tries("kill -KILL $$", &[FailureClass::Memory], 60.0), (Outcome::Failed, 3));
    assert_eq!(tries("sleep 30", &code, 0.3), (Outcome::Failed, 1));
    assert_eq!(tries("sleep 30", &[FailureClass::Timeout], 0.3), (Outcome::Failed, 3));
}

#[test]
fn cancelling_ends_all_that_a_command_started() {
    let project = Project::new();
    let (handle, cancel) = Canceller::new();
    let options = RunOptions { cancel, ..options() };
    let script = "trap '' TERM; (trap '' TERM; echo $BASHPID > child; sleep 600) & wait";
    std::thread::scope(|scope| {
        let run =
            scope.spawn(|| project.run_with(plan(vec![command("a", &[script], &[])]), &options).unwrap());
        wait_for("the child", || !project.read("child").is_empty());
        let asked = Instant::now();
        handle.cancel();
        let ran = run.join().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(10));
        assert_eq!(ran.summary.outcome, RunOutcome::Cancelled);
    });
    let child = project.read("child");
    wait_for("the child to go", || !lives(&child));
}

#[test]
fn what_a_command_leaves_behind_is_ended() {
    let project = Project::new();
    let ran = project.run(vec![command("a", &["sleep 600 & echo $! > child"], &["child"])]);
    assert_eq!(ran.outcome("a"), Outcome::Ran);
    let child = project.read("child");
    wait_for("the child to go", || !lives(&child));
}

#[test]
fn outs_are_removed_before_and_kept_after() {
    let project = Project::new();
    project.write("made/old", "of an earlier run");
    let write = "test ! -e made && mkdir made && echo new > made/new && ln -s new made/link";
    let ran = project.run(vec![command("a", &[write], &["made"])]);
    assert_eq!(ran.outcome("a"), Outcome::Ran, "{}", project.read("logs"));
    assert_eq!(project.read("made/new"), "new\n");
    let output = &ran.stage("a").result.as_ref().unwrap().outputs["made"];
    assert_eq!((output.artifact.files, output.artifact_type.as_str()), (2, "dir"));

    // An out behind a link is not the project's.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("precious"), "").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), project.path("way")).unwrap();
    let ran = project.run(vec![command("b", &["true"], &["way/precious"])]);
    insta::assert_snapshot!(project.neutral(&ran.failure("b")), @r"
    ExitCode/User: the out `way/precious` of `b` lies outside of the project, behind a link
      hint: let the stage write to a folder of the project
    ");
    assert!(elsewhere.path().join("precious").exists());
}
