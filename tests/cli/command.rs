//! Stages that run a command, as a user sees them.

use std::fs;

use insta::assert_snapshot;

use crate::bench::Project;

const PIPELINE: &str = r#"version: 1
name: shell
params: { rows: 2 }
env: { GREETING: hello }
targets:
  rows: { on: count, max: 10 }
stages:
  cut:
    cmd: head -n ${{ params.rows }} data/raw.txt > data/cut.txt
    deps: [data/raw.txt]
    outs: [data/cut.txt]
  count:
    cmd:
      - echo "$GREETING from $STAGEWRIGHT_STAGE"
      - mkdir -p out && cp tools/tool out/tool
      - |
        printf '{"rows": %d}' "$(wc -l < data/cut.txt)" > out/m.json
    deps: [data/cut.txt, tools]
    outs: [out/tool]
    metrics: [ out/m.json: { cache: false } ]
  pack:
    uses: fake
    inputs: { data: out/tool }
    with: { do: [ { step: write, port: out, path: out.txt, text: packed } ] }
"#;

fn project() -> Project {
    let project = Project::new(PIPELINE);
    project.write("data/raw.txt", "a\nb\nc\n");
    project.write("tools/tool", "#!/bin/sh\n");
    let tool = project.path("tools/tool");
    fs::set_permissions(tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    project
}

#[test]
fn commands_run_are_reused_and_their_files_come_back() {
    let project = project();
    assert_snapshot!("check", project.run(&["check"]));
    assert_snapshot!("plan-first", project.run(&["plan"]));
    assert_snapshot!("run-first", project.run(&["run"]));
    assert_eq!(project.read("data/cut.txt"), "a\nb\n");
    assert_snapshot!("run-again", project.run(&["run"]));
    assert_snapshot!("show", project.run(&["show"]));
    assert_snapshot!("show-stage", project.run(&["show", "count"]));
    assert_snapshot!("log", project.run(&["show", "count", "--log"]));
    assert_snapshot!("graph", project.run(&["graph"]));

    // What was deleted or spoiled comes back from the store.
    fs::remove_dir_all(project.path("out")).unwrap();
    project.write("data/cut.txt", "spoiled");
    assert_snapshot!("status-spoiled", project.run(&["status"]));
    assert_snapshot!("run-spoiled", project.run(&["run"]));
    assert_eq!(project.read("data/cut.txt"), "a\nb\n");
    let mode = fs::metadata(project.path("out/tool")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o111, 0o111);

    project.write("pipeline.yaml", &PIPELINE.replace("rows: 2", "rows: 1"));
    project.write("tools/tool", "#!/bin/bash\n");
    assert_snapshot!("plan-changed", project.run(&["plan"]));
    assert_snapshot!("run-changed", project.run(&["run"]));
    assert_eq!(project.read("data/cut.txt"), "a\n");
    // As it was: nothing runs, and everything is as it was.
    project.write("pipeline.yaml", PIPELINE);
    project.write("tools/tool", "#!/bin/sh\n");
    let back = project.run(&["run", "--until", "cut"]);
    assert!(back.contains("1 cached"), "{back}");
    assert_eq!(project.read("data/cut.txt"), "a\nb\n");
}

/// What is told of stages that run one at a time, in this order: which of them is first found to have no result is up to the system.
fn in_order(told: &str, stages: &[&str]) -> String {
    let begins = |line: &str| stages.iter().position(|stage| line.starts_with(&format!("{stage}  started")));
    let (mut place, mut lines) = (None, Vec::new());
    for line in told.split_inclusive('\n') {
        place = begins(line).or(place);
        let end = line.starts_with("failed in");
        lines.push((if end { Some(stages.len()) } else { place }, line));
    }
    lines.sort_by_key(|(place, _)| *place);
    lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn what_goes_wrong_is_told() {
    let failing = r#"version: 1
stages:
  code: { cmd: [ "echo before; echo loudly >&2; exit 3", echo never > never ] }
  pipe: { cmd: "false | true" }
  absent: { cmd: no-such-program --now }
  signal: { cmd: "kill -SEGV $$" }
  missing: { cmd: "true", outs: [out/made.txt] }
  slow: { cmd: sleep 60, timeout-minutes: 0.005 }
"#;
    let project = Project::new(failing);
    let told = project.run(&["run", "--keep-going", "-j", "1"]);
    assert_snapshot!("failing", in_order(&told, &["code", "pipe", "absent", "signal", "missing", "slow"]));
    assert!(!project.path("never").exists());
}

#[test]
fn frozen_keeps_and_always_repeats() {
    let text = r#"version: 1
stages:
  kept: { cmd: "cat in > kept", deps: [in], outs: [kept] }
  each: { cmd: "echo x >> log; cp log each", outs: [each], needs: [kept], always: true }
"#;
    let project = Project::new(text);
    project.write("in", "1");
    let frozen = text.replace("outs: [kept]", "outs: [kept], frozen: true");
    project.write("pipeline.yaml", &frozen);
    assert_snapshot!("frozen-first", project.run(&["run"]));
    project.write("pipeline.yaml", text);
    project.run(&["run"]);
    project.write("pipeline.yaml", &frozen);
    project.write("in", "2");
    assert_snapshot!("frozen-plan", project.run(&["plan"]));
    fs::remove_file(project.path("kept")).unwrap();
    assert_snapshot!("frozen-run", project.run(&["run", "--force"]));
    assert_eq!(project.read("kept"), "1");
}

#[test]
fn mistakes_in_a_command_stage() {
    let project = Project::new(
        r#"version: 1
stages:
  a:
    cmd: python ${train.script} --lr ${params.lr} ${HOME}
    with: { x: 1 }
    outs: [ m.bin: { cash: false } ]
  b: { cmd: x, uses: fake }
  c: { cmd: x, run: y }
  d: { cmd: [], deps: { a: 1 } }
  e: { deps: [x] }
  f: { uses: fake, wdir: x, with: { do: [] } }
  g: { cmd: 7, outs: [1], frozen: yes }
"#,
    );
    assert_snapshot!("mistakes", project.run(&["check"]));
}
