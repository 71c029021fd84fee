//! Versioned data from the command line.

use std::fs;

use git2::{IndexAddOption, Repository, Signature, build::CheckoutBuilder};
use insta::assert_snapshot;

use crate::bench::Project;

fn commit(project: &Project, message: &str) {
    let repository = Repository::open(project.path("")).unwrap();
    let mut index = repository.index().unwrap();
    index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
    index.update_all(["*"], None).unwrap();
    index.write().unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let who = Signature::now("Test", "test@example.org").unwrap();
    let parent = repository.head().ok().map(|head| head.peel_to_commit().unwrap());
    let parents: Vec<_> = parent.iter().collect();
    repository.commit(Some("HEAD"), &who, &who, message, &tree, &parents).unwrap();
}

fn git_checkout(project: &Project, revision: &str) {
    let repository = Repository::open(project.path("")).unwrap();
    let commit = repository.revparse_single(revision).unwrap();
    repository.checkout_tree(&commit, Some(CheckoutBuilder::new().force())).unwrap();
    repository.set_head_detached(commit.id()).unwrap();
}

#[test]
fn data_goes_with_git_and_changes_are_not_lost() {
    let project = Project::new("");
    Repository::init(project.path("")).unwrap();
    fs::remove_file(project.path("pipeline.yaml")).unwrap();
    project.write(".gitignore", "/.stagewright/\n");
    assert_snapshot!("checkout-nothing", project.run(&["checkout"]));
    project.write("data/a.txt", "first a");
    project.write("data/sub/b.txt", "first b");
    project.write("model.bin", "weights");
    assert_snapshot!("add", project.run(&["add", "data", "model.bin"]));
    assert_snapshot!("add-pointer", project.read("data.dvc"));
    assert_eq!(project.read(".gitignore"), "/.stagewright/\n/data\n/model.bin\n");
    commit(&project, "first");
    assert_snapshot!("add-unchanged", project.run(&["add", "data"]));
    assert_snapshot!("add-inside", project.run(&["add", "data/a.txt"]));
    assert_snapshot!("add-in-git", project.run(&["add", "stagewright.toml"]));
    assert_snapshot!("status-data", project.run(&["status"]));

    project.write("data/a.txt", "second a");
    project.write("data/c.txt", "second c");
    fs::remove_file(project.path("model.bin")).unwrap();
    assert_snapshot!("status-data-changed", project.run(&["status"]));
    assert_snapshot!("checkout-over-changes", project.run(&["checkout"]));
    assert_eq!(project.read("data/a.txt"), "second a");
    project.run(&["add", "data"]);
    assert_snapshot!("diff", project.run(&["diff", "--files"]));
    commit(&project, "second");
    assert_snapshot!("diff-revisions", project.run(&["diff", "HEAD~1", "HEAD"]));
    let json = project.output(&["diff", "HEAD~1", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json.as_array().unwrap().iter().any(|change| change["path"] == "data"), "{json}");
    assert_snapshot!("diff-unknown", project.run(&["diff", "--data", "nowhere"]));

    git_checkout(&project, "HEAD~1");
    assert_snapshot!("checkout-older", project.run(&["checkout"]));
    assert_eq!(project.read("data/a.txt"), "first a");
    assert!(!project.path("data/c.txt").exists());
    project.write("data/a.txt", "by hand");
    assert_snapshot!("checkout-forced", project.run(&["checkout", "--force", "data"]));
    assert_eq!(project.read("data/a.txt"), "first a");
    // Whatever the age, data that was added stays.
    project.run(&["gc", "--older-than", "0"]);
    git_checkout(&project, "HEAD");
    assert!(project.run(&["checkout"]).starts_with("exit 0"));

    project.write("model.bin.dvc", "outs:\n- md5: 6152496c47126ba1079afd2a0b63645d\n  path: model.bin\n");
    assert_snapshot!("checkout-old-pointer", project.run(&["checkout"]));
}

#[test]
fn data_goes_through_a_remote_to_a_clone() {
    let (here, there) = (Project::new(""), Project::new(""));
    let shared = tempfile::tempdir().unwrap();
    let folder = shared.path().to_string_lossy().into_owned();
    for project in [&here, &there] {
        fs::remove_file(project.path("pipeline.yaml")).unwrap();
        project.run(&["remote", "add", "disk", &folder, "--dvc"]);
    }
    here.write("data/a.txt", "first a");
    here.write("data/b.txt", "first b");
    here.run(&["add", "data"]);
    assert_snapshot!("push-data", here.run(&["push"]));
    assert_snapshot!("push-data-again", here.run(&["push", "data"]));
    there.write("data.dvc", &here.read("data.dvc"));
    assert_snapshot!("checkout-absent", there.run(&["checkout"]));
    assert_snapshot!("pull-data", there.run(&["pull"]));
    assert_eq!(there.read("data/b.txt"), "first b");
    there.write("data/b.txt", "by hand");
    assert_snapshot!("pull-data-over-changes", there.run(&["pull"]));
    assert_eq!(there.read("data/b.txt"), "by hand");
    fs::remove_dir_all(shared.path().join("files")).unwrap();
    fs::remove_dir_all(there.path(".stagewright")).unwrap();
    fs::remove_dir_all(there.path("data")).unwrap();
    assert_snapshot!("pull-data-absent", there.run(&["pull"]));
}
