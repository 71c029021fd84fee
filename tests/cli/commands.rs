//! Commands around a run that succeeds, is cached, changes, fails.

use std::fs;

use insta::assert_snapshot;

use crate::bench::Project;

const PIPELINE: &str = r#"version: 1
name: demo
params: { greeting: hello }
targets:
  small: { on: measure, metric: size, max: 10 }
stages:
  greet:
    uses: fake
    with: { do: [ { step: write, port: out, path: out.txt, text: "${{ params.greeting }}" } ] }
    outputs: { out: results/greeting.txt }
  measure:
    uses: fake
    inputs: { data: "${{ stages.greet.outputs.out }}" }
    with:
      do:
        - { step: metric, name: size, value: 5, unit: kB }
        - { step: log, level: warning, message: the scale is old }
        - { step: gate, name: sane, status: passed, reason: 5 kB is a size }
        - { step: write, port: out, path: size.txt, text: five }
  never:
    uses: fake
    if: ${{ params.greeting == 'goodbye' }}
    with: { do: [ { step: write, port: out, path: out.txt, text: never } ] }
"#;

#[test]
fn a_project_from_its_first_run_to_a_change() {
    let project = Project::new(PIPELINE);
    assert_snapshot!("check", project.run(&["check"]));
    assert_snapshot!("plan-first", project.run(&["plan"]));
    assert_snapshot!("status-first", project.run(&["status"]));
    assert_snapshot!("run-first", project.run(&["run"]));
    assert_eq!(project.read("results/greeting.txt"), "hello");
    assert_snapshot!("run-again", project.run(&["run"]));
    assert_snapshot!("status-again", project.run(&["status"]));
    project.write("pipeline.yaml", &PIPELINE.replace("greeting: hello", "greeting: welcome"));
    assert_snapshot!("plan-changed", project.run(&["plan"]));
    assert_snapshot!("run-changed", project.run(&["run", "--until", "greet"]));
    assert_eq!(project.read("results/greeting.txt"), "welcome");
    assert_snapshot!("show", project.run(&["show"]));
    assert_snapshot!("show-stage", project.run(&["show", "greet"]));
    assert_snapshot!("show-unknown-stage", project.run(&["show", "great"]));
    assert_snapshot!("verify", project.run(&["verify"]));
    assert_snapshot!("gc", project.run(&["gc", "--dry-run"]));
    let json = project.run(&["show", "greet", "--json"]);
    let body = json.strip_prefix("exit 0\n--- stdout\n").unwrap();
    let shown: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&shown["stage"], &shown["outcome"]), (&"greet".into(), &"ran".into()));
}

#[test]
fn a_run_without_the_sandbox_says_so() {
    let project = Project::new(PIPELINE);
    project.run(&["run", "--no-sandbox", "--silence", "90s"]);
    let json = project.run(&["show", "--json"]);
    let shown: serde_json::Value =
        serde_json::from_str(json.strip_prefix("exit 0\n--- stdout\n").unwrap()).unwrap();
    assert_eq!(
        shown["isolation"],
        serde_json::json!({"writes": false, "network": false, "why": "the sandbox was switched off"})
    );
    assert_snapshot!("run-silence-without-unit", project.run(&["run", "--silence", "90"]));
}

#[test]
fn hits_are_verified_and_a_difference_is_told() {
    // The stage reads a file that it does not declare.
    let project = Project::new("");
    let hidden = project.path("hidden");
    project.write("hidden", "first");
    project.write(
        "pipeline.yaml",
        &format!(
            "version: 1\nstages:\n  sly:\n    uses: fake\n    with: {{ do: [ {{ step: copy, file: '{}', port: out, path: \
             out.txt }}, {{ step: metric-from, name: top1, unit: '%', file: '{}' }} ] }}\n",
            hidden.display(),
            project.path("top1").display()
        ),
    );
    project.write("top1", "90");
    project.run(&["run"]);
    assert_snapshot!("verify-hits", project.run(&["run", "--verify-hits", "100%", "--verify-seed", "7"]));
    fs::remove_file(project.path("top1")).unwrap();
    assert_snapshot!("verify-hits-fails", project.run(&["run", "--verify-hits", "5%", "--verify-seed", "7"]));
    assert_snapshot!("verify-hits-show", project.run(&["show"]));
    assert_snapshot!("verify-hits-share", project.run(&["run", "--verify-hits", "5"]));
}

#[test]
fn graph_in_every_format() {
    let project = Project::new(PIPELINE);
    for format in ["text", "mermaid", "dot"] {
        assert_snapshot!(format!("graph-{format}"), project.run(&["graph", "--format", format]));
    }
}

#[test]
fn stages_are_listed_and_described() {
    let project = Project::new(PIPELINE);
    assert_snapshot!("stage-list", project.run(&["stage", "list"]));
    assert_snapshot!("stage-describe", project.run(&["stage", "describe", "fake"]));
    assert_snapshot!("stage-describe-unknown", project.run(&["stage", "describe", "fakes"]));
    let nothing = tempfile::tempdir().unwrap();
    assert_snapshot!("stage-list-nothing", project.run_with(&["stage", "list"], nothing.path()));
}

#[test]
fn a_failing_stage_says_what_why_and_what_to_do() {
    let failing = r#"version: 1
stages:
  broken:
    uses: fake
    with: { do: [ { step: fail, class: user, message: "the image cat.jpg is truncated", hint: "copy it again" } ] }
  after:
    uses: fake
    inputs: { data: "${{ stages.broken.outputs.out }}" }
    with: { do: [ { step: write, port: out, path: out.txt, text: x } ] }
"#;
    let project = Project::new(failing);
    assert_snapshot!("run-failing", project.run(&["run"]));
    assert_snapshot!("show-failing", project.run(&["show", "broken"]));
}

#[test]
fn a_failed_gate_has_an_exit_code_of_its_own() {
    let project = Project::new(&PIPELINE.replace("max: 10", "max: 4"));
    assert_snapshot!("run-gate", project.run(&["run"]));
}

#[test]
fn damage_is_found_discarded_and_made_again() {
    let project = Project::new(PIPELINE);
    project.run(&["run"]);
    let blob = walkdir::WalkDir::new(project.path(".stagewright/store/blobs-v1"))
        .into_iter()
        .map(Result::unwrap)
        .find(|item| item.file_type().is_file() && fs::read(item.path()).unwrap() == b"hello")
        .unwrap()
        .into_path();
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, "hullo").unwrap();
    let found = project.run(&["verify"]);
    assert!(
        found.starts_with("exit 1\n") && found.contains("holds other bytes than its name says"),
        "{found}"
    );
    let discarded = project.run(&["verify", "--discard"]);
    assert!(discarded.starts_with("exit 1\n") && discarded.contains("discarded"), "{discarded}");
    assert_snapshot!("run-after-damage", project.run(&["run"]));
    assert!(project.run(&["verify"]).starts_with("exit 0\n"));
}

#[test]
fn outside_of_a_project_and_in_a_new_one() {
    let project = Project::new(PIPELINE);
    fs::remove_file(project.path("stagewright.toml")).unwrap();
    let lost = project.run(&["status"]);
    assert_snapshot!("no-project", lost);
    fs::remove_file(project.path("pipeline.yaml")).unwrap();
    assert_snapshot!("init", project.run(&["init"]));
    assert_snapshot!("init-again", project.run(&["init"]));
    assert_eq!(project.read(".gitignore"), "/.stagewright/\n");
}

#[test]
fn doctor_tells_good_from_broken() {
    let project = Project::new(PIPELINE);
    let told = project.run(&["doctor"]);
    assert!(told.starts_with("exit 0\n") && told.contains("ok  stage fake 1.0.0 in <programs>"), "{told}");
    let broken = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/true", broken.path().join("stagewright-stage-true")).unwrap();
    let told = project.run_with(&["doctor"], broken.path());
    assert!(told.starts_with("exit 4\n") && told.contains("ended without a hello"), "{told}");
}

#[test]
fn help_of_every_command() {
    let project = Project::new(PIPELINE);
    let commands = [
        "init", "check", "fmt", "plan", "run", "search", "status", "show", "log", "diff", "compare", "runs",
        "graph", "stage", "schema", "lsp", "doctor", "gc", "verify",
    ];
    let pages: Vec<String> = std::iter::once(project.run(&["--help"]))
        .chain(commands.map(|command| project.run(&[command, "--help"])))
        .collect();
    assert_snapshot!("help", pages.join("\n"));
}

#[test]
fn kill_9_leaves_a_sound_store_and_a_run_that_resumes() {
    let project = Project::new(
        r#"version: 1
stages:
  first:
    uses: fake
    with: { do: [ { step: write, port: out, path: out.txt, text: kept } ] }
  second:
    uses: fake
    inputs: { data: "${{ stages.first.outputs.out }}" }
    with:
      do:
        - { step: checkpoint }
        - { step: request, file: started }
        - { step: hang-while, file: wait }
        - { step: write, port: out, path: out.txt, text: done }
"#,
    );
    project.write("stagewright.toml", "[sandbox]\nwritable = ['.']\n");
    // The steps' files are relative to the stage's private folder otherwise.
    let text = project.read("pipeline.yaml");
    let text = text.replace("file: started", &format!("file: {}", project.path("started").display()));
    project.write(
        "pipeline.yaml",
        &text.replace("file: wait", &format!("file: {}", project.path("wait").display())),
    );
    project.write("wait", "");

    let mut run = project.start(&["run"]);
    while !project.path("started").exists() {
        assert!(run.try_wait().unwrap().is_none(), "the run ended before its second stage began");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_snapshot!("gc-during-a-run", project.run(&["gc"]));
    run.kill().unwrap();
    run.wait().unwrap();
    let verified = project.run(&["verify"]);
    assert!(verified.starts_with("exit 0\n"), "{verified}");
    let status = project.run(&["status"]);
    assert!(status.contains("killed before its end"), "{status}");

    fs::remove_file(project.path("wait")).unwrap();
    assert_snapshot!("run-after-kill", project.run(&["run"]));
    let shown = project.run(&["show", "second"]);
    assert!(shown.contains("resumed-at  1"), "the checkpoint of the killed run is used: {shown}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::Stdio;
    let project = Project::new("version: 1\n");
    let mut command = project.here(&["schema"]);
    let mut started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(started.stdout.take());
    let done = started.wait_with_output().unwrap();
    assert_eq!((done.status.code(), String::from_utf8(done.stderr).unwrap()), (Some(0), String::new()));
}
