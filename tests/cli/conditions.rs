//! Conditions that the run decides, and files that a pipeline names.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use insta::assert_snapshot;

use crate::bench::Project;

/// A stage of the fake program with these steps before it writes its output.
fn stage(name: &str, more: &str, steps: &str) -> String {
    format!(
        "  {name}:\n    uses: fake\n    {more}\n    with: {{ do: [ {steps} {{ step: write, port: out, path: o.txt, text: {name} }} ] }}\n"
    )
}

#[test]
fn a_metric_decides_what_runs() {
    let text = [
        "version: 1\nparams: { floor: 90 }\nstages:\n".to_owned(),
        stage("measure", "x-note: one", "{ step: metric, name: int8.top1, value: 91.5, unit: \"%\" },"),
        stage("good", "if: ${{ stages.measure.metrics.int8.top1 >= params.floor }}", ""),
        stage("poor", "if: ${{ stages.measure.metrics.int8.top1 < params.floor }}", ""),
        stage("after", "needs: [poor, good]", ""),
        stage("told", "if: ${{ always() && stages.poor.result == 'skipped' }}\n    needs: [after]", ""),
    ]
    .concat();
    let project = Project::new(&text);
    assert_snapshot!("if-check", project.run(&["check"]));
    assert_snapshot!("if-plan-first", project.run(&["plan"]));
    assert_snapshot!("if-run", project.run(&["run", "-j", "1"]));
    assert_snapshot!("if-plan-again", project.run(&["plan"]));
    assert_snapshot!("if-show", project.run(&["show"]));
    assert_snapshot!("if-graph", project.run(&["graph"]));
    assert_snapshot!("if-plan-changed", project.run(&["plan", "-S", "params.floor=92"]));
    // The metric's stage is stored, so that asking it needs no run of it.
    assert!(project.run(&["run", "--only", "good"]).starts_with("exit 0"));
    project.write("pipeline.yaml", &text.replace("metrics.int8.top1 <", "metrics.int8.top5 <"));
    assert_snapshot!("if-no-such-metric", project.run(&["run"]));
}

#[test]
fn a_failure_is_answered() {
    let text = [
        "version: 1\nstages:\n".to_owned(),
        stage("load", "x-note: one", ""),
        stage("train", "needs: [load]", "{ step: fail, class: user, message: out of ideas },"),
        stage("export", "needs: [train]", ""),
        stage("notify", "if: ${{ failure() }}\n    needs: [export]", ""),
        stage("tidy", "if: ${{ always() && stages.train.result == 'failure' }}\n    needs: [notify]", ""),
        stage("reads", "if: ${{ always() }}\n    needs: [tidy]\n    inputs: { data: \"${{ stages.train.outputs.out }}\" }", ""),
        stage("fine", "if: ${{ success() }}\n    needs: [reads, export]", ""),
    ]
    .concat();
    let project = Project::new(&text);
    assert_snapshot!("if-failure", project.run(&["run"]));
    project.write("pipeline.yaml", &text.replace("{ step: fail, class: user, message: out of ideas },", ""));
    assert_snapshot!("if-no-failure", project.run(&["run"]));
    assert_snapshot!("if-no-failure-plan", project.run(&["plan"]));
}

#[test]
fn what_always_runs_does_so_after_ctrl_c() {
    let project = Project::new("");
    let (mark, cleaned) = (project.path("mark"), project.path("cleaned"));
    let text = [
        "version: 1\nstages:\n".to_owned(),
        stage(
            "slow",
            "x-note: one",
            &format!("{{ step: trace, file: {}, text: x }}, {{ step: hang }},", mark.display()),
        ),
        stage("next", "needs: [slow]", ""),
        stage(
            "clean",
            "if: ${{ cancelled() }}\n    needs: [next]",
            &format!("{{ step: trace, file: {}, text: x }},", cleaned.display()),
        ),
    ]
    .concat();
    project.write("pipeline.yaml", &text);
    let mut run = project.start(&["run", "--no-sandbox"]);
    let until = Instant::now() + Duration::from_secs(20);
    while !mark.exists() {
        assert!(Instant::now() < until, "the stage did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_to_string(cleaned).unwrap(), "x\n");
    let shown = project.run(&["show"]);
    assert!(shown.contains("cancelled() = true"), "{shown}");
}

#[test]
fn variables_name_the_run_and_reuse_does_not_mind() {
    let project = Project::new(
        "version: 1\nstages:\n  a: { uses: fake, env: { ID: \"${{ run.id }}:${{ run.attempt }}\" }, outputs: { out: id.txt }, with: { do: [ { step: variable, name: ID } ] } }\n",
    );
    let said = project.run(&["run"]);
    assert!(said.starts_with("exit 0"), "{said}");
    let id = project.read("id.txt");
    assert!(id.len() == 38 && id.ends_with(":1"), "{id}");
    assert!(project.run(&["run"]).contains("nothing changed"));
    assert_eq!(project.read("id.txt"), id);
}

#[test]
fn success_looks_behind_what_dealt_with_a_failure() {
    let text = [
        "version: 1\nstages:\n".to_owned(),
        stage("train", "x-note: one", "{ step: fail, class: user, message: out of ideas },"),
        stage("rescue", "if: ${{ always() }}\n    needs: [train]", ""),
        stage("plain", "needs: [rescue]", ""),
        stage("publish", "if: ${{ success() }}\n    needs: [plain]", ""),
        stage("alarm", "if: ${{ failure() }}\n    needs: [publish]", ""),
    ]
    .concat();
    let project = Project::new(&text);
    assert_snapshot!("if-success-of-all", project.run(&["run", "-k"]));
}
