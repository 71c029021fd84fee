//! Remotes from the command line: settings, push, pull, and what goes wrong.

use std::fs;

use insta::assert_snapshot;

use crate::{bench::Project, git::sizeless};

const PIPELINE: &str = r#"version: 1
name: demo
stages:
  greet:
    uses: fake
    with: { do: [ { step: write, port: out, path: out.txt, text: hello } ] }
    outputs: { out: results/greeting.txt }
  measure:
    uses: fake
    inputs: { data: "${{ stages.greet.outputs.out }}" }
    with:
      do:
        - { step: metric, name: size, value: 5, unit: kB }
        - { step: write, port: out, path: size.txt, text: five }
"#;

#[test]
fn what_one_project_pushes_another_one_pulls() {
    let (here, there) = (Project::new(PIPELINE), Project::new(PIPELINE));
    let shared = tempfile::tempdir().unwrap();
    let run = |project: &Project, arguments: &[&str]| {
        sizeless(&project.run(arguments).replace(&*shared.path().to_string_lossy(), "<remote>"))
    };
    let folder = shared.path().to_string_lossy().into_owned();
    assert_snapshot!("remote-none", run(&here, &["push"]));
    assert_snapshot!("remote-add", run(&here, &["remote", "add", "disk", &folder]));
    assert_snapshot!("remote-add-again", run(&here, &["remote", "add", "disk", "elsewhere"]));
    run(
        &here,
        &["remote", "add", "bucket", "s3://bucket/p", "--endpoint", "http://localhost:1", "--read-only"],
    );
    assert_snapshot!("remote-list", run(&here, &["remote", "list"]));
    assert_snapshot!("remote-settings", here.read("stagewright.toml").replace(&folder, "<remote>"));
    assert_snapshot!("remote-check", run(&here, &["remote", "check"]));
    assert_snapshot!("push-nothing", run(&here, &["push"]));
    run(&here, &["run"]);
    assert_snapshot!("push-stage", run(&here, &["push", "greet"]));
    assert_snapshot!("push", run(&here, &["push"]));
    assert_snapshot!("push-again", run(&here, &["push", "--all"]));
    assert_snapshot!("push-unknown", run(&here, &["push", "nobody"]));
    assert_snapshot!("push-read-only", run(&here, &["push", "--remote", "bucket"]));
    assert_snapshot!("push-no-remote", run(&here, &["push", "--remote", "nowhere"]));

    run(&there, &["remote", "add", "disk", &folder]);
    assert_snapshot!("fetch", run(&there, &["fetch"]));
    assert!(!there.path("results/greeting.txt").exists());
    assert_snapshot!("pull", run(&there, &["pull"]));
    assert_eq!(there.read("results/greeting.txt"), "hello");
    assert_snapshot!("run-after-pull", run(&there, &["run"]));

    there.write("results/greeting.txt", "my own words");
    assert_snapshot!("pull-over-changes", run(&there, &["pull"]));
    assert_eq!(there.read("results/greeting.txt"), "my own words");
}

#[test]
fn a_run_takes_from_the_remote_and_gives_to_it() {
    let (here, there) = (Project::new(PIPELINE), Project::new(PIPELINE));
    let shared = tempfile::tempdir().unwrap();
    let folder = shared.path().to_string_lossy().into_owned();
    for project in [&here, &there] {
        project.run(&["remote", "add", "disk", &folder]);
    }
    let text = here.read("stagewright.toml").replace("[sync]\n", "[sync]\nrun = \"pull-and-push\"\n");
    here.write("stagewright.toml", &text);
    assert_snapshot!("run-and-push", sizeless(&here.run(&["run"])));
    assert_snapshot!("run-from-remote", there.run(&["run", "--remote"]));
    // A remote that fails holds up no run.
    fs::remove_dir_all(there.path(".stagewright")).unwrap();
    there.write("stagewright.toml", "[remotes.gone]\nurl = 'pipeline.yaml'\n");
    assert_snapshot!("run-without-remote", there.run(&["run", "--remote=gone"]));
}
