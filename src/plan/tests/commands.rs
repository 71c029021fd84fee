//! Stages that run a command: edges by path, and what is refused.

use serde_json::json;

use super::*;

const PIPELINE: &str = r#"version: 1
params: { rows: 5 }
stages:
  train:
    cmd: python train.py ${{ stages.stats.outputs.stats }} "${HOME}" $(pwd)
    deps: [data/clean, data/raw/notes.txt]
    outs: [models/m.bin]
    metrics: [ results/scores.json: { cache: false } ]
  clean:
    run:
      - head -${{ params.rows }} ../data/raw/a > ../data/clean/a
      - "true"
    wdir: scripts/
    deps: [../data/raw, ./clean.py]
    outs: [ ../data/clean: { persist: true } ]
  stats:
    uses: data-stats
    inputs: { data: data/clean }
    deps: [data/raw/notes.txt]
    outs: [extra/log.txt]
  report:
    cmd: [ "cat data models" ]
    deps: [data, "${{ stages.train.outputs.m }}"]
    outs: [report.txt]
    always: true
"#;

fn machine() -> Machine {
    let mut machine = Machine::new();
    for name in ["data/raw", "data", "scripts/clean.py", "data/raw/notes.txt"] {
        machine.files.push((name, PathKind::Folder));
    }
    machine
}

fn said(text: &str) -> String {
    match machine().compile(text) {
        Ok(plan) => panic!("was not refused: {plan:#?}"),
        Err(found) => rendered(&found, text),
    }
}

#[test]
fn edges_follow_from_paths() {
    let plan = machine().compile(PIPELINE).unwrap_or_else(|found| panic!("{}", rendered(&found, PIPELINE)));
    let order: Vec<_> = plan.actions.iter().map(|action| action.id.0.as_str()).collect();
    assert_eq!(order, ["clean", "stats", "train", "report"]);
    insta::assert_snapshot!(shown(&plan));
    let action = |id: &str| plan.actions.iter().find(|action| action.id.0 == id).unwrap();
    assert!(action("clean").outs[0].persist && !action("report").cache);
    assert_eq!(action("clean").params["wdir"], json!("scripts"));
    let Start::Command(command) = &action("train").program.start else { panic!("no command") };
    assert_eq!(command.lines[0][1], Piece::Input("stats.stats".to_owned()));
}

#[test]
fn what_can_not_be_is_refused_with_its_place() {
    let one = |body: &str| said(&format!("version: 1\nstages:\n  a:\n    cmd: make\n{body}"));
    let cases = [
        one("    outs: [../up, /etc/x, .git/x, s3://b/c, '']\n"),
        one("    deps: [m, data/raw/, x/../m/y]\n    outs: [m, data]\n"),
        one("    outs: [x, ./x]\n"),
        one("    deps: [nothing, 's3://bucket/x', '']\n"),
        one("    wdir: ..\n    outs: [x]\n"),
        one("    wdir: scripts\n    deps: [data/raw]\n"),
        one("    outs: [x]\n  b:\n    cmd: make\n    outs: [x/y]\n"),
        one("    deps: [y]\n    outs: [x]\n  b:\n    cmd: make\n    deps: [x]\n    outs: [y]\n"),
        one("    deps: [\"${{ stages.b.outputs.z }}\"]\n  b:\n    cmd: make\n    outs: [x/y.bin]\n"),
        one("    matrix: { n: [1, 2] }\n    outs: [x]\n"),
        one("    outs: [y]\n  b:\n    uses: onnx\n    inputs: { model: { path: y, type: dir } }\n"),
    ];
    insta::assert_snapshot!(cases.join("\n------\n"));
}

#[test]
fn deps_of_a_program_that_calls_a_port_so_are_refused() {
    let mut machine = machine();
    let program = program("picky", &[("deps", optional("file"))], &[], json!({}), &[]);
    machine.catalog.insert("picky".to_owned(), program);
    let text = "version: 1\nstages:\n  a: { uses: picky, deps: [data/raw] }\n";
    let found = machine.compile(text).unwrap_err();
    insta::assert_snapshot!(rendered(&found, text), @r"
    pipeline.yaml:3:28: error[plan::deps-port]: stage program `picky` has an input `deps` of its own
      3 |   a: { uses: picky, deps: [data/raw] }
        |                            ^^^^^^^^
      help: bind paths to it under `inputs`
    ");
}
