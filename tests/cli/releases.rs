//! Releases from the command line: made, listed, compared, brought back, kept, and compared with by targets.

use std::fs;

use git2::{IndexAddOption, Repository, Signature};
use insta::assert_snapshot;

use crate::bench::Project;

const PIPELINE: &str = r#"version: 1
name: demo
params: { top1: 91.5 }
targets:
  accuracy: { on: measure, metric: top1, max-drop-vs: release, value: 1pp }
stages:
  train:
    uses: fake
    with: { do: [ { step: write, port: out, path: model.bin, text: "weights ${{ params.top1 }}" } ] }
  measure:
    uses: fake
    inputs: { data: "${{ stages.train.outputs.out }}" }
    with:
      do:
        - { step: metric, name: top1, value: "${{ params.top1 }}", unit: "%" }
        - { step: write, port: out, path: report.md, text: fine }
"#;

struct Repo {
    project: Project,
    repository: Repository,
}

impl Repo {
    fn new() -> Self {
        let project = Project::new(PIPELINE);
        project.write(".gitignore", "/.stagewright/\n/releases/\n");
        let repository = Repository::init(project.path("")).unwrap();
        let repo = Self { project, repository };
        repo.commit();
        repo
    }

    fn commit(&self) {
        let who = Signature::now("Ann", "ann@example.org").unwrap();
        let mut index = self.repository.index().unwrap();
        index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
        index.write().unwrap();
        let tree = self.repository.find_tree(index.write_tree().unwrap()).unwrap();
        let parent = self.repository.head().ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        self.repository.commit(Some("HEAD"), &who, &who, "x", &tree, &parents).unwrap();
    }

    /// Another value of the one param, committed.
    fn change(&self, top1: &str) {
        self.project.write("pipeline.yaml", &PIPELINE.replace("91.5", top1));
        self.commit();
    }

    fn run(&self, arguments: &[&str]) -> String {
        self.project.run(arguments)
    }
}

#[test]
fn a_release_from_its_making_to_its_return() {
    let repo = Repo::new();
    assert_snapshot!("release-list-none", repo.run(&["release", "list"]));
    assert_snapshot!("release-no-run", repo.run(&["release", "create", "v1", "--stage", "train"]));
    assert_snapshot!("release-first-run", repo.run(&["run"]));
    // git has not been told who we are.
    assert_snapshot!("release-nobody", repo.run(&["release", "create", "v1", "--stage", "train"]));
    let mut config = repo.repository.config().unwrap();
    config.set_str("user.name", "Ann").unwrap();
    config.set_str("user.email", "ann@example.org").unwrap();
    assert_snapshot!(
        "release-create",
        repo.run(&["release", "create", "v1", "-s", "train", "-m", "For Ulm"])
    );
    assert_snapshot!("release-create-again", repo.run(&["release", "create", "v1", "-s", "train"]));
    assert_snapshot!("release-stage-unknown", repo.run(&["release", "create", "v2", "-s", "export"]));

    // Worse than the release by more than the target allows.
    repo.change("90.25");
    assert_snapshot!("release-target-missed", repo.run(&["run"]));
    assert_snapshot!("release-gate-failed", repo.run(&["release", "create", "v2", "-s", "train"]));
    repo.change("91.25");
    repo.run(&["run"]);
    repo.project.write("pipeline.yaml", PIPELINE);
    repo.run(&["run"]);
    assert_snapshot!("release-dirty", repo.run(&["release", "create", "v2", "-s", "train"]));
    assert_snapshot!(
        "release-run",
        repo.run(&["release", "create", "v2", "-s", "train,measure", "--run", "last~1"])
    );
    assert_snapshot!("release-list", repo.run(&["release", "list"]));
    assert_snapshot!("release-show-unknown", repo.run(&["release", "show", "v3"]));
    assert_snapshot!("release-diff", repo.run(&["release", "diff", "v1", "v2"]));
    let shown: serde_json::Value =
        serde_json::from_str(&repo.project.output(&["release", "show", "v1", "--json"])).unwrap();
    assert_eq!(shown["manifest"]["delivers"], serde_json::json!(["train"]));

    assert_snapshot!("release-rollback", repo.run(&["release", "rollback", "v1"]));
    assert_eq!(repo.project.read("releases/v1/train/model.bin"), "weights 91.5");
    // Again is fine, what the user wrote meanwhile is not lost.
    repo.run(&["release", "rollback", "v1"]);
    repo.project.write("releases/v1/train/model.bin", "my own");
    assert_snapshot!("release-rollback-changed", repo.run(&["release", "rollback", "v1"]));
    assert_eq!(repo.project.read("releases/v1/train/model.bin"), "my own");
}

#[test]
fn a_machine_that_has_nothing_gets_a_release_from_the_remote() {
    let repo = Repo::new();
    let shared = tempfile::tempdir().unwrap();
    let folder = shared.path().to_string_lossy().into_owned();
    let mut config = repo.repository.config().unwrap();
    config.set_str("user.name", "Ann").unwrap();
    config.set_str("user.email", "ann@example.org").unwrap();
    repo.project.run(&["run"]);
    repo.project.run(&["release", "create", "v1", "-s", "train"]);
    assert_snapshot!("release-drill-no-remote", repo.run(&["release", "rollback", "v1", "--drill"]));
    repo.project.run(&["remote", "add", "disk", &folder]);
    let drilled = repo.run(&["release", "rollback", "v1", "--drill"]);
    assert!(drilled.starts_with("exit 4") || drilled.starts_with("exit 2"), "nothing was pushed: {drilled}");
    repo.project.run(&["push"]);
    assert_snapshot!("release-drill", repo.run(&["release", "rollback", "v1", "--drill"]));
    fs::remove_dir_all(repo.project.path(".stagewright/store")).unwrap();
    assert_snapshot!("release-rollback-remote", repo.run(&["release", "rollback", "v1", "--to", "back"]));
    assert_eq!(repo.project.read("back/train/model.bin"), "weights 91.5");
}

#[test]
fn what_a_release_names_is_not_collected() {
    let repo = Repo::new();
    let mut config = repo.repository.config().unwrap();
    config.set_str("user.name", "Ann").unwrap();
    config.set_str("user.email", "ann@example.org").unwrap();
    repo.project.run(&["run"]);
    repo.project.run(&["release", "create", "v1", "-s", "train"]);
    // Another run's results are the last ones now, so that only the release keeps those of the first.
    repo.change("91.75");
    repo.project.run(&["run"]);
    repo.change("92.5");
    repo.project.run(&["run"]);
    let collected = repo.project.run(&["gc", "--older-than", "0"]);
    assert!(collected.contains("removed 2 results"), "{collected}");
    let back = repo.run(&["release", "rollback", "v1"]);
    assert!(back.starts_with("exit 0"), "{back}");
}

#[test]
fn a_release_has_a_page_of_its_own() {
    let repo = Repo::new();
    let none = repo.run(&["report", "release"]);
    assert!(none.starts_with("exit 2\n") && none.contains("no release yet"), "{none}");
    let mut config = repo.repository.config().unwrap();
    config.set_str("user.name", "Ann").unwrap();
    config.set_str("user.email", "ann@example.org").unwrap();
    repo.project.run(&["run"]);
    repo.project.run(&["release", "create", "team/v1", "-s", "train", "-m", "For Ulm"]);
    repo.change("91.75");
    repo.project.run(&["run"]);
    repo.project.run(&["release", "create", "team/v2", "-s", "train,measure"]);
    let made = repo.run(&["report", "release"]);
    assert!(made.starts_with("exit 0\n--- stdout\nreport-team-v2.html"), "{made}");
    let page = repo.project.read("report-team-v2.html");
    for part in ["demo team/v2", "From team/v1", "91.75 %", "Delivers", "Released"] {
        assert!(page.contains(part), "{part} is missing");
    }
    // In a clone there are no records of runs.
    fs::remove_dir_all(repo.project.path(".stagewright/runs-v1")).unwrap();
    let text = repo.run(&["report", "release", "team/v1", "--format", "markdown", "--no-verify"]);
    let is_commit = |part: &&str| part.len() == 40 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let commit = text.split('`').find(is_commit).unwrap();
    assert_snapshot!("report-release", text.replace(commit, "<commit>"));
    let unknown = repo.run(&["report", "release", "v9"]);
    assert!(unknown.starts_with("exit 2\n") && unknown.contains("v9"), "{unknown}");
}
