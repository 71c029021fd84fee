//! What a user is told about a pipeline file.

use insta::assert_snapshot;

use crate::bench::Project;

#[test]
fn all_mistakes_of_a_file_are_told_at_once_with_their_place() {
    let project = Project::new(
        r#"version: 1
stages:
  a:
    uses: fak
  b:
    uses: fake
    wiht: { do: [] }
    inputs: { daat: "${{ stages.a.outputs.out }}" }
  c:
    uses: fake
    inputs: { data: no/such/file }
    with: { doo: [] }
"#,
    );
    assert_snapshot!("mistakes", project.run(&["check"]));
}

#[test]
fn which_pipeline_is_asked_when_there_are_several() {
    let project = Project::new("version: 1\n");
    std::fs::remove_file(project.path("pipeline.yaml")).unwrap();
    assert_snapshot!("no-pipeline", project.run(&["check"]));
    project.write("pipelines/a.yaml", "");
    project.write("pipelines/b.yaml", "");
    assert_snapshot!("two-pipelines", project.run(&["check"]));
    assert_snapshot!("missing-pipeline", project.run(&["check", "pipelines/c.yaml"]));
}

#[test]
fn an_unknown_selection_names_the_stages_there_are() {
    let project = Project::new(
        "version: 1\nstages:\n  a: { uses: fake, with: { do: [ { step: write, port: out, path: o, text: x } ] } }\n",
    );
    assert_snapshot!("unknown-selection", project.run(&["run", "--only", "b"]));
}
