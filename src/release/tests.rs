#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::*;
use crate::{
    digest::Digest,
    record::{GitState, MetricValue, RunId, StageRecord, StoredOutput},
    store::{Artifact, ArtifactKind},
};

struct Project {
    folder: tempfile::TempDir,
    repository: Repository,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init(folder.path()).unwrap();
        let mut config = repository.config().unwrap();
        config.set_str("user.name", "Ann").unwrap();
        config.set_str("user.email", "ann@example.org").unwrap();
        Self { folder, repository }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn commit(&self, on: &[git2::Oid]) -> git2::Oid {
        let who = self.repository.signature().unwrap();
        let tree = self.repository.treebuilder(None).unwrap().write().unwrap();
        let tree = self.repository.find_tree(tree).unwrap();
        let parents: Vec<_> = on.iter().map(|id| self.repository.find_commit(*id).unwrap()).collect();
        let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
        self.repository.commit(None, &who, &who, "x", &tree, &parents).unwrap()
    }

    fn checkout(&self, commit: git2::Oid) {
        self.repository.set_head_detached(commit).unwrap();
    }

    fn create(&self, name: &str, record: &RunRecord) -> Result<Release, ReleaseError> {
        let stages = ["export".to_owned()];
        let request = Request { name, record, stages: &stages, message: "For the line in Ulm", dirty: false };
        create(self.root(), &request)
    }
}

fn record(commit: git2::Oid, top1: f64) -> RunRecord {
    let stage = |id: &str| {
        let digest = Digest::of(id.as_bytes());
        let mut stage = StageRecord::new(StageId(id.to_owned()));
        stage.key = Some(ActionKey(digest));
        stage.made_in = Some(RunId::now());
        stage.outputs.insert(
            "model".to_owned(),
            StoredOutput {
                artifact_type: "model/onnx".to_owned(),
                file_name: "model.onnx".to_owned(),
                artifact: Artifact { kind: ArtifactKind::File, digest, files: 1, bytes: digest.size() },
                executable: false,
            },
        );
        stage
            .measured
            .metrics
            .insert("top1".to_owned(), MetricValue { value: top1, unit: Some("%".to_owned()) });
        stage
    };
    let mut record = RunRecord::new(RunId::now());
    record.pipeline = "demo".to_owned();
    record.file = PathBuf::from("pipelines/demo.yaml");
    record.state = RunState::Ended(RunOutcome::Succeeded);
    record.git = Some(GitState { commit: Some(commit.to_string()), branch: None, dirty: false });
    record.stages = vec![stage("train"), stage("export"), StageRecord::new(StageId("skipped".to_owned()))];
    record
}

#[test]
fn a_release_comes_back_from_its_tag() {
    let project = Project::new();
    let commit = project.commit(&[]);
    let made = project.create("v1", &record(commit, 91.0)).unwrap();
    assert_eq!(find(project.root(), "v1").unwrap(), made);
    assert_eq!(
        (made.message.as_str(), made.tagger.as_deref()),
        ("For the line in Ulm", Some("Ann <ann@example.org>"))
    );
    assert_eq!(made.commit, commit.to_string());
    let delivered: Vec<_> = made.manifest.delivered().map(|(id, _)| id.0.as_str()).collect();
    assert_eq!(delivered, ["export"]);
    assert_eq!(made.manifest.metrics().metrics["train"]["top1"], 91.0);
    // All results of the run stay: they are the evidence.
    assert_eq!(pinned(project.root()).unwrap().len(), 2);
}

#[test]
fn what_can_not_be_released_is_refused() {
    let project = Project::new();
    let commit = project.commit(&[]);
    let good = record(commit, 91.0);
    let refused = |change: &dyn Fn(&mut RunRecord)| {
        let mut record = good.clone();
        change(&mut record);
        project.create("v1", &record).unwrap_err().to_string()
    };
    assert!(
        refused(&|record| record.state = RunState::Ended(RunOutcome::GateFailed)).contains("failed a gate")
    );
    assert!(refused(&|record| record.state = RunState::Interrupted).contains("was interrupted"));
    assert!(refused(&|record| record.git = None).contains("was not made from a commit"));
    assert!(
        refused(&|record| record.git.as_mut().unwrap().dirty = true).contains("differ from their commit")
    );
    let elsewhere = "1234567890123456789012345678901234567890";
    assert!(
        refused(&|record| record.git.as_mut().unwrap().commit = Some(elsewhere.to_owned()))
            .contains("not in this repository")
    );
    assert!(refused(&|record| record.stages.truncate(1)).contains("no stage `export`"));
    for name in ["a b", "-v", "v1..2", ""] {
        assert!(matches!(project.create(name, &good), Err(ReleaseError::Name { .. })), "{name}");
    }
    assert!(list(project.root()).unwrap().all.is_empty());
    project.create("v1", &good).unwrap();
    assert!(matches!(project.create("v1", &good), Err(ReleaseError::Exists { .. })));
}

#[test]
fn the_last_one_is_the_newest_among_the_ancestors() {
    let project = Project::new();
    let first = project.commit(&[]);
    let second = project.commit(&[first]);
    let side = project.commit(&[first, first]);
    let name = |found: Option<Release>| found.map(|release| release.manifest.name);
    assert_eq!(name(last(project.root()).unwrap()), None);
    project.create("v1", &record(first, 1.0)).unwrap();
    project.create("v2", &record(second, 2.0)).unwrap();
    project.create("hotfix", &record(side, 3.0)).unwrap();
    let names: Vec<_> =
        list(project.root()).unwrap().all.into_iter().map(|release| release.manifest.name).collect();
    assert_eq!(names, ["v1", "v2", "hotfix"]);
    for (head, wanted) in [(first, "v1"), (second, "v2"), (side, "hotfix")] {
        project.checkout(head);
        assert_eq!(name(last(project.root()).unwrap()).as_deref(), Some(wanted));
    }
}

#[test]
fn other_tags_are_none_and_broken_ones_are_told() {
    let project = Project::new();
    let commit = project.commit(&[]);
    let object = project.repository.find_object(commit, None).unwrap();
    let who = project.repository.signature().unwrap();
    project.repository.tag_lightweight("light", &object, false).unwrap();
    let tag =
        |name: &str, message: &str| project.repository.tag(name, &object, &who, message, false).unwrap();
    tag("plain", "a tag of git");
    assert!(list(project.root()).unwrap().broken.is_empty());
    tag("torn", "torn\n\nStagewright-Release: 1\n{\"name\": \"to");
    tag("later", "later\n\nStagewright-Release: 99\n{}");
    tag("odd", "odd\n\nStagewright-Release: one\n{}");
    // The manifest of one release under the name of another.
    let made = project.create("v1", &record(commit, 1.0)).unwrap();
    tag("v2", &made.manifest.message("v2").unwrap());
    let found = list(project.root()).unwrap();
    assert_eq!((found.all.len(), found.broken.len()), (1, 4));
    assert!(matches!(find(project.root(), "later"), Err(ReleaseError::Newer { version: 99, .. })));
    assert!(find(project.root(), "v2").unwrap_err().to_string().contains("is that of `v1`"));
    assert!(matches!(find(project.root(), "plain"), Err(ReleaseError::Unknown { .. })));
    // What they name is not known, so nothing may be removed.
    assert!(pinned(project.root()).is_err());
    let outside = tempfile::tempdir().unwrap();
    assert!(list(outside.path()).unwrap().all.is_empty() && last(outside.path()).unwrap().is_none());
}
