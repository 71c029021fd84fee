//! Sweeps and searches, as a user types them.

use insta::assert_snapshot;

use crate::bench::Project;

/// A stage that all runs share, and one whose metrics depend on what is set.
const PIPELINE: &str = r#"version: 1
name: demo
params: { value: 5, loss: 1 }
targets:
  small: { on: measure, metric: size, max: 8 }
search:
  over:
    params.value: { int: [1, 10], step: 3 }
    params.loss: [0.5, 0.25]
  strategy: grid
  minimize: [measure:size, measure:loss]
stages:
  images:
    uses: fake
    with: { do: [ { step: write, port: out, path: images.txt, text: images } ] }
  measure:
    uses: fake
    inputs: { data: "${{ stages.images.outputs.out }}" }
    with:
      do:
        - { step: metric, name: size, value: "${{ params.value }}", unit: kB }
        - { step: metric, name: loss, value: "${{ params.loss }}" }
        - { step: write, port: out, path: size.txt, text: size }
"#;

#[test]
fn a_sweep_runs_every_combination_shares_stages_and_compares() {
    let project = Project::new(PIPELINE);
    let values = ["--set", "params.value=2,9", "-S", "measure.with.do.1.value=0.5,0.25"];
    assert_snapshot!("sweep-plan", project.run(&[&["plan"], &values[..]].concat()));
    let planned = project.run(&[&["plan"], &values[..]].concat());
    assert_eq!(project.run(&[&["run", "--dry-run"], &values[..]].concat()), planned);
    assert_snapshot!("sweep-run", project.run(&[&["run"], &values[..]].concat()));
    assert_snapshot!("sweep-log", project.run(&["log"]));
    assert_snapshot!(
        "sweep-compare",
        project.run(&["compare", "--minimize", "measure:loss", "--sort", "loss"])
    );
    assert_snapshot!("sweep-show", project.run(&["show"]));
    // One value is no sweep, and what it sets is in the record all the same.
    project.run(&["run", "--set", "params.value=3"]);
    assert_snapshot!("sweep-single", project.run(&["diff"]));
    assert_snapshot!("sweep-by-id", project.run(&["compare", "--sweep"]));
}

#[test]
fn a_sweep_ends_with_a_failure_unless_it_is_to_go_on() {
    let text = "path: size.txt, text: size";
    let project =
        Project::new(&PIPELINE.replace(text, &format!("{text}, class: user, message: no more paper")));
    let stopped = project.run(&["run", "--set", "measure.with.do.2.step=fail,write"]);
    assert_snapshot!("sweep-stopped", stopped);
    let went_on = project.run(&["run", "-k", "--set", "measure.with.do.2.step=fail,write"]);
    assert!(went_on.starts_with("exit 1\n") && went_on.contains("2 of 2"), "{went_on}");
}

#[test]
fn a_search_marks_the_front_and_goes_on_where_it_was() {
    let project = Project::new(PIPELINE);
    assert_snapshot!("search-grid", project.run(&["search"]));
    assert_snapshot!("search-front", project.run(&["compare", "--front", "--sort", "size"]));
    // A result is reused, and an estimator with the same seed proposes the same trials again.
    let first =
        project.run(&["search", "--strategy", "tpe", "--over", "params.value={linear: [1, 10]}", "-n", "10"]);
    assert!(first.starts_with("exit 0\n"), "{first}");
    let again =
        project.run(&["search", "--strategy", "tpe", "--over", "params.value={linear: [1, 10]}", "-n", "12"]);
    let made = |text: &str| {
        text.lines().filter(|line| line.starts_with("measure") && line.contains(" ran ")).count()
    };
    assert_eq!(made(&again), 2, "{again}");
    let headings = |text: &str| -> Vec<String> {
        let found = text.lines().filter(|line| line.contains(" of ") && line.contains("params.value="));
        found.map(|line| line.split("  ").last().unwrap().to_owned()).collect()
    };
    assert_eq!(headings(&first), headings(&again)[..10]);
}

#[test]
fn a_search_without_running_anything() {
    let project = Project::new(PIPELINE);
    let arguments = ["search", "--dry-run", "--over", "params.value=[1]", "--over", "params.loss=[1]"];
    assert_snapshot!("search-dry-run", project.run(&arguments));
    let tpe = project.run(&[
        "search",
        "--dry-run",
        "--strategy",
        "tpe",
        "--over",
        "params.value={linear: [1, 10]}",
    ]);
    assert!(tpe.contains("up to 12 more, chosen by what these give"), "{tpe}");
    assert!(project.run(&["log"]).contains("no runs yet"));
}

#[test]
fn a_search_in_which_nothing_meets_the_targets_has_the_exit_code_of_a_gate() {
    let project = Project::new(PIPELINE);
    let nothing = project.run(&["search", "--over", "params.value=[9, 10]", "--over", "params.loss=[1]"]);
    assert_snapshot!("search-nothing", nothing);
}

#[test]
fn what_can_not_be_searched_is_told_before_anything_runs() {
    let project = Project::new(PIPELINE);
    let said = [
        project.run(&["search", "--set", "params.value=1,2"]),
        project.run(&["search", "--over", "params.value"]),
        project.run(&["search", "--over", "params.value={int: [3, 1]}"]),
        project.run(&["search", "--over", "params.valeu=[1]"]),
        project.run(&["search", "--over", "measure.with.dO=[1]"]),
        project.run(&["search", "--over", "params.value={linear: [0, 1]}"]),
        project.run(&["search", "--maximize", "measrue:size"]),
        project.run(&["search", "-n", "2"]),
        project.run(&["run", "--set", "params.value=2,3", "--set", "mesure.with.do=1"]),
    ];
    assert_snapshot!("search-errors", said.join("\n"));
    assert!(project.run(&["log"]).contains("no runs yet"));
}

#[test]
fn mistakes_in_a_search_block_have_their_places() {
    let broken = r#"version: 1
params: { value: 5 }
search:
  over:
    params.vaule: [1, 2]
    params.value: { lin: [1, 2] }
    fake.with.lr: { log: [0, 1] }
    other: [1]
    a.with.x: { int: [1, 2], linear: [1, 2] }
    a.with.y: { int: [1.5, 2] }
    a.with.z: { linear: [1ms, 2s] }
    a.with.u: { log: [1, 2], step: 1 }
    a.with.v: { linear: [1] }
    a.with.w: { choice: ["${{ params.value }}"] }
    a.with.t: 3
    a.with.s: []
    a.with.r: { linear: [1, 2], points: 1 }
    a.with.q: { int: [1, 9], step: 2, points: 3 }
    a.with.p: { int: [1, 9], scale: logarithmic }
  strategy: gird
  trials: 0
  maximise: a:top1
  minimize: [top1]
stages:
  a: { uses: fake, with: { do: [ { step: write, port: out, path: o, text: x } ] } }
"#;
    let project = Project::new(broken);
    assert_snapshot!("search-mistakes", project.run(&["check"]));
    let meaning = r#"version: 1
params: { value: 5 }
search:
  over:
    params.vaule: [1, 2]
    b.with.x: [1]
    value: [1]
  maximize: [a:top1, c:top1]
stages:
  a: { uses: fake, matrix: { seed: [1, 2] }, with: { do: [ { step: write, port: out, path: o, text: x } ] } }
"#;
    project.write("pipeline.yaml", meaning);
    assert_snapshot!("search-mistakes-plan", project.run(&["check"]));
    let empty = meaning
        .replace("  maximize: [a:top1, c:top1]\n", "")
        .replace("  over:\n    params.vaule: [1, 2]\n    b.with.x: [1]\n    value: [1]\n", "  trials: 3\n");
    project.write("pipeline.yaml", &empty);
    assert_snapshot!("search-empty", project.run(&["check"]));
}
