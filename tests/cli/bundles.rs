//! One archive that proves a result, made in a project and checked where there is none.

use std::{fs, path::Path, process::Command};

use insta::assert_snapshot;
use serde_json::Value;

use crate::{
    bench::Project,
    cats::{PIPELINE, project},
};

/// A folder without a project, with the archive and a copy of the model.
fn elsewhere(project: &Project, bundle: &str) -> Project {
    let auditor = Project::new("");
    for name in ["stagewright.toml", "pipeline.yaml"] {
        fs::remove_file(auditor.path(name)).unwrap();
    }
    fs::copy(project.path(bundle), auditor.path(bundle)).unwrap();
    fs::copy(project.path("results/model.bin"), auditor.path("deployed")).unwrap();
    auditor
}

#[test]
fn an_auditor_without_the_project_checks_a_bundle() {
    let project = project(PIPELINE);
    project.run(&["approve", "results/model.bin", "--reason", "looked at"]);
    let out = project.run(&["lineage", "export", "results/model.bin", "--format", "bundle", "-o", "b.tar"]);
    assert_snapshot!("bundle-export", out);
    let auditor = elsewhere(&project, "b.tar");
    let said = auditor.run(&["lineage", "verify", "--bundle", "b.tar"]);
    assert_snapshot!("bundle-verify", said);
    let deployed = auditor.run(&["lineage", "verify", "deployed", "--bundle", "b.tar"]);
    assert!(deployed.starts_with("exit 0\n") && deployed.contains("about out/model.bin"), "{deployed}");
    auditor.write("other", "other weights");
    assert_snapshot!(
        "bundle-verify-other",
        auditor.run(&["lineage", "verify", "other", "--bundle", "b.tar"])
    );
    let json: Value =
        serde_json::from_str(&auditor.output(&["lineage", "verify", "--bundle", "b.tar", "--json"])).unwrap();
    assert_eq!((&json["about"][0]["stage"], &json["about"][0]["hashed"]), (&"train".into(), &true.into()));
    assert_eq!(json["faults"], Value::Array(Vec::new()));
    // By keys of one's own.
    fs::create_dir_all(auditor.path("mine/keys")).unwrap();
    for name in ["policy.toml", "keys/ada.pem"] {
        fs::copy(project.path("trust").join(name), auditor.path("mine").join(name)).unwrap();
    }
    let mine = auditor.run(&["lineage", "verify", "--bundle", "b.tar", "--trust", "mine"]);
    assert!(mine.starts_with("exit 0\n") && mine.contains("your policy trusts ada"), "{mine}");
}

#[test]
fn a_touched_bundle_is_found_by_its_kind() {
    let project = project(PIPELINE);
    project.run(&["lineage", "export", "train", "--format", "bundle", "-o", "b.tar"]);
    let bytes = fs::read(project.path("b.tar")).unwrap();
    let at = bytes.windows(7).rposition(|window| window == b"weights").unwrap();
    let mut spoiled = bytes.clone();
    spoiled[at] = b'W';
    fs::write(project.path("spoiled.tar"), spoiled).unwrap();
    assert_snapshot!("bundle-spoiled", project.run(&["lineage", "verify", "--bundle", "spoiled.tar"]));
    fs::write(project.path("cut.tar"), &bytes[..at + 3]).unwrap();
    assert_snapshot!("bundle-cut", project.run(&["lineage", "verify", "--bundle", "cut.tar"]));
    assert_snapshot!("bundle-none", project.run(&["lineage", "verify", "--bundle", "no.tar"]));
}

#[test]
fn a_bundle_of_digests_is_small_and_a_tar_unpacks_it() {
    let project = project(PIPELINE);
    project.run(&["lineage", "export", "train", "--format", "bundle", "--no-blobs", "-o", "n.tar"]);
    assert_snapshot!("bundle-named", project.run(&["lineage", "verify", "--bundle", "n.tar"]));
    project.run(&["lineage", "export", "train", "--format", "bundle", "-o", "b.tar"]);
    let there = tempfile::tempdir().unwrap();
    let done = Command::new("tar").arg("-xf").arg(project.path("b.tar")).current_dir(there.path()).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let index: Value = read(&there.path().join("index.json"));
    for member in index["members"].as_array().unwrap() {
        let digest: stagewright::digest::Digest = member["digest"].as_str().unwrap().parse().unwrap();
        let path = there.path().join(member["name"].as_str().unwrap());
        assert_eq!(stagewright::digest::Digest::of_file(&path).unwrap(), digest);
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn what_can_not_be_bundled_is_told() {
    let project = project(PIPELINE);
    let bare = Project::new(PIPELINE);
    let mut told = vec![
        bare.run(&["lineage", "export", "train", "--format", "bundle", "-o", "b.tar"]),
        project.run(&["lineage", "export", "train", "--format", "bundle"]),
        project.run(&["lineage", "export", "train", "--format", "prov", "--no-blobs"]),
        project.run(&["lineage", "verify", "--bundle", "b.tar", "--all"]),
    ];
    let blob = stagewright::digest::Digest::of(b"weights").hex();
    fs::remove_file(project.path(&format!(".stagewright/store/blobs-v1/{}/{}", &blob[..2], &blob[2..])))
        .unwrap();
    told.push(project.run(&["lineage", "export", "train", "--format", "bundle", "-o", "b.tar"]));
    assert!(!project.path("b.tar").exists());
    assert_snapshot!("bundle-mistakes", told.join("\n"));
}

#[test]
fn a_gate_that_was_waived_is_proven_with_its_waiver() {
    let project = Project::with_keys(&PIPELINE.replace("80%", "95%"));
    project.write("data/cat/1.png", "one");
    project.run(&["key", "new", "ada"]);
    assert!(project.run(&["run"]).starts_with("exit 3\n"));
    let failed = ["lineage", "export", "train", "--format", "bundle", "-o", "failed.tar"];
    project.run(&failed);
    let said = project.run(&["lineage", "verify", "--bundle", "failed.tar"]);
    assert!(said.starts_with("exit 3\n") && said.contains("gate `accuracy`"), "{said}");
    project.run(&["waive", "accuracy", "--until", "2999-12-31", "--reason", "the new data comes in May"]);
    assert!(project.run(&["run"]).starts_with("exit 0\n"));
    project.run(&["lineage", "export", "train", "--format", "bundle", "-o", "waived.tar"]);
    let said = project.run(&["lineage", "verify", "--bundle", "waived.tar"]);
    assert!(said.starts_with("exit 0\n") && said.contains("ada waived it until 2999-12-31"), "{said}");
}
