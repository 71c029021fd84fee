//! Pipelines in several files, and values from the command line.

use insta::assert_snapshot;

use crate::bench::Project;

const STAGE: &str = "with: { do: [ { step: write, port: out, path: o.txt, text: \"${{ params.text }}\" } ] }";

#[test]
fn a_pipeline_of_several_files() {
    let project = Project::new(&format!(
        "version: 1\ninclude: parts/common.yaml\nstages:\n  a: {{ uses: fake, {STAGE}, inputs: {{ data: \"${{{{ stages.b.outputs.out }}}}\" }} }}\n"
    ));
    project.write(
        "parts/common.yaml",
        &format!(
            "version: 1\nparams: [params.yaml, params/local.toml]\nstages:\n  b: {{ uses: fake, {STAGE} }}\n"
        ),
    );
    project.write("params.yaml", "text: one\nunused: 1\n");
    project.write("params/local.toml", "text = \"two\"\n");
    assert_snapshot!("files-run", project.run(&["run"]));
    project.write("params.yaml", "text: one\nunused: 2\n");
    assert!(project.run(&["plan"]).contains("2 cached"));
    project.write("params/local.toml", "text = \"three\"\n");
    assert_snapshot!("files-plan", project.run(&["plan"]));
    project.write("parts/common.yaml", "version: 1\nparams: [params.yaml, gone.json]\nstages:\n  a: { uses: fake }\n  b: { uses: fake, wiht: {} }\n");
    assert_snapshot!("files-mistakes", project.run(&["check"]));
    assert_snapshot!("files-mistakes-github", project.run(&["check", "--format", "github"]));
    project.write("parts/common.yaml", "version: 1\ninclude: ../pipeline.yaml\n");
    assert_snapshot!("files-circle", project.run(&["check"]));
}

#[test]
fn warnings_of_a_plan_are_told_to_programs() {
    let step = "with: { do: [ { step: write, port: out, path: o.txt, text: x } ] }";
    let project = Project::new(&format!(
        "version: 1\nstages:\n  off: {{ uses: fake, if: false, {step} }}\n  on: {{ uses: fake, {step}, inputs: {{ more: [ {{ from: \"${{{{ stages.off.outputs.out }}}}\", if: true }} ] }} }}\n"
    ));
    assert_snapshot!("warning-json", project.run(&["check", "--format", "json"]));
}

#[test]
fn values_from_the_command_line() {
    let project = Project::new(&format!(
        "version: 1\nparams: {{ text: one }}\nstages:\n  a: {{ uses: fake, {STAGE} }}\n"
    ));
    assert!(project.run(&["run"]).starts_with("exit 0"));
    assert_snapshot!("set-plan", project.run(&["plan", "-S", "params.text=two"]));
    assert_snapshot!("set-with", project.run(&["plan", "--set", "a.with.do=[]"]));
    assert_snapshot!("set-unknown", project.run(&["check", "-S", "params.txet=two", "-S", "b.with.do=[]"]));
    assert_snapshot!("set-nonsense", project.run(&["plan", "-S", "text=two"]));
    assert_snapshot!("set-yes", project.run(&["run", "-S", "params.text=yes"]));
}

#[test]
fn files_are_hashed() {
    let stage = "with: { do: [ { step: write, port: out, path: o.txt, text: \"${{ hashFiles('src/**/*.py', '!src/skip/**') }}\" } ] }";
    let project = Project::new(&format!("version: 1\nstages:\n  a: {{ uses: fake, {stage} }}\n"));
    project.write("src/a.py", "a");
    project.write("src/skip/b.py", "b");
    assert!(project.run(&["run"]).starts_with("exit 0"));
    project.write("src/skip/b.py", "c");
    assert!(project.run(&["plan"]).contains("1 cached"));
    project.write("src/deep/c.py", "c");
    assert!(project.run(&["plan"]).contains("1 to run"));
}
