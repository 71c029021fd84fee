//! What a user sees of the runs there were.

use insta::assert_snapshot;

use crate::bench::Project;

const PIPELINE: &str = r#"version: 1
name: demo
params: { value: 5, text: five }
stages:
  measure:
    uses: fake
    with:
      do:
        - { step: metric, name: size, value: "${{ params.value }}", unit: kB }
        - { step: metric, name: top1, value: 91.25, unit: "%" }
        - { step: write, port: out, path: size.txt, text: "${{ params.text }}" }
  copy:
    uses: fake
    inputs: { data: "${{ stages.measure.outputs.out }}" }
    with: { do: [ { step: concatenate } ] }
"#;

const MATRIX: &str = r#"version: 1
name: demo
stages:
  measure:
    uses: fake
    matrix: { kind: [small, large], seed: [0, 1] }
    with:
      do:
        - { step: metric, name: size, value: "${{ matrix.kind == 'small' && 2 || 7 }}", unit: kB }
        - { step: metric, name: top1, value: "${{ matrix.kind == 'small' && 90 || 92 }}", unit: "%" }
        - { step: write, port: out, path: size.txt, text: "${{ matrix.seed }}" }
"#;

#[test]
fn runs_are_listed_told_apart_and_compared() {
    let project = Project::new(PIPELINE);
    assert_snapshot!("log-empty", project.run(&["log"]));
    assert_snapshot!("diff-no-runs", project.run(&["diff"]));
    project.run(&["run"]);
    assert_snapshot!("diff-one-run", project.run(&["diff"]));
    project.run(&["run"]);
    assert_snapshot!("diff-none", project.run(&["diff"]));
    project.write(
        "pipeline.yaml",
        &PIPELINE.replace("value: 5,", "value: 4.5,").replace("text: five", "text: 4 ½"),
    );
    project.run(&["run"]);
    assert_snapshot!("log", project.run(&["log"]));
    let two = project.run(&["runs", "list", "-n", "2"]);
    assert_eq!(two.lines().filter(|line| line.contains("demo")).count(), 2, "{two}");
    assert_snapshot!("diff", project.run(&["diff"]));
    assert_snapshot!("compare", project.run(&["compare", "last~2", "last", "--sort", "size"]));
    assert_snapshot!("compare-md", project.run(&["compare", "--metric", "top1,measure:size", "--md"]));
    assert_snapshot!("show-run", project.run(&["show", "last~1"]));
    assert_snapshot!("show-run-stage", project.run(&["show", "last~1", "copy"]));
    assert_snapshot!("show-run-log", project.run(&["show", "last~1", "--log"]));

    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&project.output(arguments)).unwrap()
    };
    let runs = json(&["log", "--json"]);
    assert_eq!(runs[1]["counts"], serde_json::json!({"cached": 2}));
    assert_eq!(runs[0]["counts"], serde_json::json!({"ran": 2}));
    let difference = json(&["diff", "--json"]);
    assert_eq!(difference["stages"][0]["metrics"][0]["to"]["value"], 4.5);
    let table = json(&["runs", "compare", "--json"]);
    assert_eq!(table["rows"].as_array().unwrap().len(), 3);
    let csv = project.output(&["compare", "--csv", "--param", "do.0.value"]);
    let cells: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(
        cells[0],
        ["run", "trial", "measure.with.do.0.value", "size (kB)", "outcome", "seconds", "front"]
    );
    assert_eq!([cells[1][2], cells[1][3], cells[3][2], cells[3][4]], ["5", "5.0", "4.5", "succeeded"]);
}

#[test]
fn a_reused_result_names_the_run_that_made_it() {
    let project = Project::new(PIPELINE);
    project.run(&["run"]);
    project.run(&["run"]);
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&project.output(arguments)).unwrap()
    };
    let (stage, runs) = (json(&["show", "measure", "--json"]), json(&["log", "--json"]));
    assert_eq!(stage["outcome"], "cached");
    assert_eq!(stage["made-in"], runs[1]["run"]);
}

#[test]
fn a_matrix_is_compared_by_combination_and_the_best_are_marked() {
    let project = Project::new(MATRIX);
    project.run(&["run"]);
    assert_snapshot!("compare-matrix", project.run(&["compare", "--sort", "kind"]));
    let goals = ["--maximize", "measure:top1", "--minimize", "measure:size"];
    assert_snapshot!("compare-front", project.run(&[&["compare"], &goals[..]].concat()));
    assert_snapshot!(
        "compare-one",
        project.run(&[
            "compare",
            "--metric",
            "measure[kind=large,seed=1]:top1",
            "--maximize",
            "measure:top1",
            "--front"
        ])
    );
}

#[test]
fn names_of_runs_and_columns_that_do_not_fit() {
    let project = Project::new(PIPELINE);
    project.run(&["run"]);
    project.run(&["run"]);
    let said = [
        project.run(&["diff", "last~7"]),
        project.run(&["diff", "abcdef0123"]),
        project.run(&["diff", "previous"]),
        project.run(&["compare", "--metric", "top2"]),
        project.run(&["compare", "--param", "valu"]),
        project.run(&["compare", "--sort", "sizes"]),
        project.run(&["compare", "--front"]),
        project.run(&["compare", "--sweep"]),
        project.run(&["compare", "--minimize", "size"]),
        project.run(&["show", "last~2"]),
    ];
    assert_snapshot!("records-errors", said.join("\n"));
}
