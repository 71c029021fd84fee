//! The questions about where things came from, as a user asks them.

use std::fs;

use insta::assert_snapshot;

use crate::{
    bench::Project,
    cats::{project, without_target},
};

#[test]
fn a_file_anywhere_tells_where_it_came_from() {
    let project = project(&without_target());
    let elsewhere = tempfile::tempdir().unwrap();
    let deployed = elsewhere.path().join("deployed");
    fs::copy(project.path("results/model.bin"), &deployed).unwrap();
    assert_snapshot!("lineage-show", project.run(&["lineage", "show", &deployed.display().to_string()]));
    assert_snapshot!("lineage-show-stage", project.run(&["lineage", "show", "prepare"]));
    assert_snapshot!(
        "lineage-show-unknown",
        project
            .run(&["lineage", "show", "data/cat/1.png"])
            .replace(elsewhere.path().to_str().unwrap(), "<elsewhere>")
    );
    let mermaid = project.run(&["lineage", "show", "train", "--mermaid"]);
    assert!(
        mermaid.contains("flowchart LR")
            && mermaid.contains("[(\"data\")]")
            && mermaid.contains("-->|\"out\"|"),
        "{mermaid}"
    );
    let json = project.run(&["lineage", "show", "train", "--json"]);
    let value: serde_json::Value =
        serde_json::from_str(json.strip_prefix("exit 0\n--- stdout\n").unwrap()).unwrap();
    assert_eq!(value["made-by"][0]["stage"], "train");
    assert_eq!(value["made-by"][1]["inputs"][0]["path"], "data");
}

#[test]
fn an_image_tells_what_came_from_it() {
    let project = project(&without_target());
    assert_snapshot!("lineage-impact", project.run(&["lineage", "impact", "data/dog/2.png"]));
    project.write("stranger.png", "unseen");
    assert_snapshot!("lineage-impact-none", project.run(&["lineage", "impact", "stranger.png"]));
    let gone = project.run(&["lineage", "impact", "no.png"]);
    assert!(gone.starts_with("exit 2\n"), "{gone}");
}

#[test]
fn evidence_holds_until_somebody_touches_it() {
    let project = project(&without_target());
    assert_snapshot!("lineage-verify", project.run(&["lineage", "verify", "results/model.bin"]));
    assert_snapshot!(
        "lineage-verify-all",
        project.run(&["lineage", "verify", "--all", "--keep", "kept.json"])
    );
    assert!(project.run(&["lineage", "verify", "--all", "--since", "kept.json"]).starts_with("exit 0\n"));
    project.write("data/dog/2.png", "too");
    assert_snapshot!("lineage-verify-source", project.run(&["lineage", "verify", "train"]));
    assert!(project.run(&["lineage", "verify", "train", "--skip-sources"]).starts_with("exit 0\n"));
    project.write("data/dog/2.png", "two");
    project.run(&["key", "revoke", "ada", "--reason", "leaked"]);
    assert_snapshot!("lineage-verify-revoked", project.run(&["lineage", "verify", "train"]));
    let trust = project.run(&["lineage", "verify", "train", "--trust", "nowhere"]);
    assert!(trust.starts_with("exit 2\n") && trust.contains("has no trust policy"), "{trust}");
    let ledger = project.read(".stagewright/lineage-v1/ledger.jsonl");
    let shorter: Vec<&str> = ledger.lines().skip(1).collect();
    project.write(".stagewright/lineage-v1/ledger.jsonl", &(shorter.join("\n") + "\n"));
    let cut = project.run(&["lineage", "verify", "train"]);
    assert!(cut.starts_with("exit 11\n") && cut.contains("ledger changed"), "{cut}");
}

#[test]
fn help_of_lineage_commands() {
    let project = Project::new(&without_target());
    let pages =
        ["show", "diff", "impact", "verify"].map(|command| project.run(&["lineage", command, "--help"]));
    assert_snapshot!("help-lineage", project.run(&["lineage", "--help"]) + &pages.join("\n"));
}

#[test]
fn two_results_tell_what_differs() {
    let project = project(&without_target());
    project.write("data/dog/2.png", "another");
    project.write("data/dog/3.png", "three");
    fs::remove_file(project.path("data/cat/1.png")).unwrap();
    project.write("pipeline.yaml", &without_target().replace("value: 90", "value: 95"));
    let ran = project.run(&["run"]);
    assert!(ran.starts_with("exit 0\n"), "{ran}");
    assert_snapshot!("lineage-diff", project.run(&["lineage", "diff", "train@last~1", "train"]));
    assert_snapshot!("lineage-diff-same", project.run(&["lineage", "diff", "train", "results/model.bin"]));
    let json: serde_json::Value =
        serde_json::from_str(&project.output(&["lineage", "diff", "train@last~1", "train", "--json"]))
            .unwrap();
    assert_eq!(json["stages"][0]["data"][0]["samples"]["removed"], serde_json::json!(["cat/1.png"]));
    let gone = project.run(&["lineage", "diff", "prepare@last~1", "nothing@last"]);
    assert!(gone.starts_with("exit 2\n") && gone.contains("no statement names stage `nothing`"), "{gone}");
}

#[test]
fn two_models_are_compared_tensor_by_tensor() {
    let file = |values: [f32; 3]| {
        let header = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        bytes
    };
    let project = Project::with_keys(
        "version: 1\nstages:\n  train: { cmd: cp given model.safetensors, deps: [given], outs: [model.safetensors] }\n",
    );
    project.run(&["key", "new", "ada"]);
    fs::write(project.path("given"), file([1.0, 2.0, 3.0])).unwrap();
    project.run(&["run"]);
    fs::write(project.path("given"), file([1.0, 0.0, 3.0])).unwrap();
    project.run(&["run"]);
    assert_snapshot!("lineage-diff-tensors", project.run(&["lineage", "diff", "train@last~1", "train@last"]));
}
