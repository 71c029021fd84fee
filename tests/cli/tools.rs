//! What authors of pipelines get: the schema for editors, findings for code hosts.

use insta::assert_snapshot;

use crate::bench::Project;

const MISTAKES: &str = r#"version: 1
name: größe
stages:
  a:
    usess: fake
    wiht: { do: [] }
  b: { uses: fake, uses: fake }
"#;

#[test]
fn findings_for_programs() {
    let project = Project::new(MISTAKES);
    for format in ["json", "sarif", "github"] {
        assert_snapshot!(format!("check-{format}"), project.run(&["check", "--format", format]));
    }
}

#[test]
fn a_check_without_findings_is_a_report_too() {
    let project = Project::new(
        "version: 1\nstages:\n  a: { uses: fake, with: { do: [ { step: write, port: out, path: o, text: x } ] } }\n",
    );
    assert_snapshot!("check-well-json", project.run(&["check", "--format", "json"]));
    assert_eq!(
        project.run(&["check", "--format", "github"]),
        "exit 0\n--- stderr\npipeline.yaml: 1 stage and 0 targets; all is well\n"
    );
}

#[test]
fn a_check_that_cannot_be_made_is_told_to_the_code_host() {
    let project = Project::new(MISTAKES);
    let told = project.run(&["check", "gone.yaml", "--format", "github"]);
    assert_snapshot!("check-gone-github", told);
    assert_snapshot!("check-gone-sarif", project.run(&["check", "gone.yaml", "--format", "sarif"]));
}

#[test]
fn paths_for_code_hosts_start_at_the_root_of_the_work_tree() {
    let outer = Project::new("version: 1\n");
    git2::Repository::init(outer.path(".")).unwrap();
    outer.write("models/stagewright.toml", "");
    outer.write("models/pipelines/p.yaml", MISTAKES);
    let told = outer.run(&["-C", "models", "check", "--format", "github"]);
    assert!(told.contains("file=models/pipelines/p.yaml,line=5"), "{told}");
}

#[test]
fn the_schema_that_ships_is_the_one_of_the_language() {
    let project = Project::new("version: 1\n");
    let printed = project.output(&["schema", "--language"]);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/pipeline.schema.json");
    // Taken over like a snapshot.
    if std::env::var("INSTA_UPDATE").is_ok_and(|how| how == "always") {
        std::fs::write(&path, &printed).unwrap();
    }
    let shipped = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        printed == shipped,
        "the language has changed: stagewright schema --language > pipelines/pipeline.schema.json"
    );
}

#[test]
fn the_schema_knows_the_programs_found() {
    let project = Project::new("version: 1\n");
    let whole: serde_json::Value = serde_json::from_str(&project.output(&["schema"])).unwrap();
    let stage = &whole["properties"]["stages"]["additionalProperties"];
    assert_eq!(stage["properties"]["uses"]["anyOf"][0]["enum"], serde_json::json!(["fake"]));
    assert_eq!(stage["allOf"].as_array().unwrap().len(), 1);
    let one: serde_json::Value = serde_json::from_str(&project.output(&["schema", "stage", "fake"])).unwrap();
    assert_eq!(one["title"], "a stage that uses fake 1.0.0");
    // What the program declares stands beside what holds for any stage.
    let declared =
        serde_json::json!({ "with": one["properties"]["with"], "outputs": one["properties"]["outputs"] });
    assert_snapshot!("schema-stage", serde_json::to_string_pretty(&declared).unwrap());
    assert_snapshot!("schema-stage-unknown", project.run(&["schema", "stage", "fakes"]));
}
