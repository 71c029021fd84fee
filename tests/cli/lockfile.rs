//! `stagewright.lock`: written by runs, read by everything that asks what a commit's results are.

use std::{fs, os::unix::fs::MetadataExt};

use insta::assert_snapshot;

use crate::{
    bench::Project,
    git::{Git, sizeless},
};

const PIPELINE: &str = r#"version: 1
name: demo
params: { words: hello }
stages:
  greet:
    uses: fake
    with: { do: [ { step: write, port: out, path: out.txt, text: "${{ params.words }}" } ] }
    outputs: { out: results/greeting.txt }
  measure:
    uses: fake
    inputs: { data: "${{ stages.greet.outputs.out }}" }
    with:
      do:
        - { step: metric, name: size, value: 5, unit: kB }
        - { step: write, port: out, path: size.txt, text: five }
"#;

fn words(text: &str) -> String {
    PIPELINE.replace("words: hello", &format!("words: {text}"))
}

#[test]
fn a_run_writes_what_its_stages_resolved_to() {
    let project = Project::new(PIPELINE);
    project.run(&["run"]);
    assert_snapshot!("lock", project.read("stagewright.lock"));
    let first = project.read("stagewright.lock");
    let written = || fs::metadata(project.path("stagewright.lock")).unwrap().ino();
    let inode = written();
    project.run(&["run"]);
    project.run(&["run", "--force"]);
    project.run(&["run", "--only", "greet"]);
    assert_eq!((written(), project.read("stagewright.lock")), (inode, first.clone()), "nothing changed");
    // What `--set` gives is nowhere in the files beside it.
    project.run(&["run", "--set", "params.words=bye"]);
    assert_eq!(project.read("stagewright.lock"), first);
    assert_snapshot!("status-after-set", project.run(&["status"]));

    // A failed stage keeps what it was; the others do not wait for it.
    project.write(
        "pipeline.yaml",
        &words("good day")
            .replace("- { step: metric, name: size, value: 5, unit: kB }", "- { step: fail, message: no }"),
    );
    assert!(project.run(&["run"]).starts_with("exit 1\n"));
    let failed = project.read("stagewright.lock");
    let part = |text: &str, from: &str| text[text.find(from).unwrap()..].to_owned();
    assert_eq!(part(&failed, "    measure:"), part(&first, "    measure:"));
    assert_ne!(failed, first);

    // A stage that is no more is not named; another pipeline in the folder has a section of its own.
    let other =
        words("else").replace("name: demo", "name: other").replace("results/greeting", "results/other");
    project.write("other.yaml", &other[..other.find("  measure:").unwrap()]);
    project.write("pipeline.yaml", &PIPELINE[..PIPELINE.find("  measure:").unwrap()]);
    project.run(&["run"]);
    project.run(&["run", "other.yaml"]);
    let keys: Vec<String> = project
        .read("stagewright.lock")
        .lines()
        .filter(|line| line.ends_with(':') && line.len() - line.trim_start().len() < 5)
        .map(str::to_owned)
        .collect();
    assert_eq!(keys, ["pipelines:", "  other.yaml:", "    greet:", "  pipeline.yaml:", "    greet:"]);
    fs::remove_file(project.path("other.yaml")).unwrap();
    project.write("pipeline.yaml", PIPELINE);
    project.run(&["run"]);
    assert_eq!(project.read("stagewright.lock"), first);
}

#[test]
fn a_lock_file_that_can_not_be_used_is_told() {
    let project = Project::new(PIPELINE);
    project.run(&["run"]);
    let good = project.read("stagewright.lock");
    let mut seen = String::new();
    for (from, to) in [
        ("results/greeting.txt", "../greeting.txt"),
        ("results/greeting.txt", "/etc/passwd"),
        ("results/greeting.txt", ".git/hooks/post-checkout"),
        ("version: 1\n", "version: 2\n"),
        ("  pipeline.yaml:\n", "<<<<<<< ours\n  pipeline.yaml:\n"),
        ("key: \"sha256:", "key: \"md5:"),
    ] {
        assert!(good.contains(from), "{from}");
        project.write("stagewright.lock", &good.replacen(from, to, 1));
        seen.push_str(&project.run(&["checkout"]));
    }
    assert_snapshot!("lock-refused", seen);
    // What a run found out is not written over what it can't read.
    project.write("stagewright.lock", "not a lock file\n");
    project.write("pipeline.yaml", &words("bye"));
    assert_snapshot!("lock-refused-run", project.run(&["run", "--only", "greet"]));
    assert_eq!(project.read("stagewright.lock"), "not a lock file\n");
}

#[test]
fn a_link_on_the_way_to_a_result_is_not_followed_out_of_the_project() {
    let (project, outside) = (Project::new(PIPELINE), tempfile::tempdir().unwrap());
    project.run(&["run"]);
    fs::remove_dir_all(project.path("results")).unwrap();
    std::os::unix::fs::symlink(outside.path(), project.path("results")).unwrap();
    assert_snapshot!("checkout-outside", project.run(&["checkout"]));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // A link that leads to itself is replaced like any file; the link is nobody's content.
    fs::remove_file(project.path("results")).unwrap();
    fs::create_dir(project.path("results")).unwrap();
    std::os::unix::fs::symlink("greeting.txt", project.path("results/greeting.txt")).unwrap();
    assert_snapshot!("checkout-loop", project.run(&["checkout", "--force"]));
    assert_eq!(project.read("results/greeting.txt"), "hello");
}

#[test]
fn a_commit_is_restored_with_its_results() {
    let git = Git::new(PIPELINE);
    let project = &git.project;
    assert_snapshot!("run-in-git", project.run(&["run"]));
    git.commit("first");
    project.write("pipeline.yaml", &words("bye"));
    project.run(&["run"]);
    git.commit("second");
    assert_eq!(git.git(&["status", "--porcelain"]), "");

    git.git(&["checkout", "-q", "HEAD~1"]);
    assert_snapshot!("status-older", project.run(&["status"]));
    assert_snapshot!("plan-older", project.run(&["plan"]));
    assert_snapshot!("checkout-results", project.run(&["checkout"]));
    assert_eq!(project.read("results/greeting.txt"), "hello");
    assert_eq!(git.git(&["status", "--porcelain"]), "");
    assert_snapshot!("checkout-results-again", project.run(&["checkout", "results"]));

    project.write("results/greeting.txt", "by hand");
    assert_snapshot!("checkout-results-changed", project.run(&["checkout"]));
    assert_eq!(project.read("results/greeting.txt"), "by hand");
    assert_snapshot!(
        "checkout-results-forced",
        project.run(&["checkout", "--force", "results/greeting.txt"])
    );
    assert_eq!(project.read("results/greeting.txt"), "hello");
    // What the lock file of a commit names is not removed, however long ago it was made.
    fs::remove_dir_all(project.path(".stagewright/last-v1")).unwrap();
    project.run(&["gc", "--older-than", "0"]);
    fs::remove_dir_all(project.path("results")).unwrap();
    assert!(project.run(&["checkout"]).starts_with("exit 0\n"));
}

#[test]
fn a_clone_gets_the_results_of_its_lock_file() {
    let git = Git::new(PIPELINE);
    let here = &git.project;
    let shared = tempfile::tempdir().unwrap();
    here.run(&["remote", "add", "disk", &shared.path().to_string_lossy()]);
    here.run(&["run"]);
    git.commit("first");
    here.run(&["push"]);

    let clone = git.clone(&[]);
    let there = &clone.project;
    assert_snapshot!("status-clone", there.run(&["status"]));
    assert_snapshot!("checkout-clone", there.run(&["checkout"]));
    // With no program that could compile the pipeline.
    let empty = tempfile::tempdir().unwrap();
    assert_snapshot!("pull-by-lock", sizeless(&there.run_with(&["pull"], empty.path())));
    assert_eq!(there.read("results/greeting.txt"), "hello");
    assert_snapshot!("pull-after-lock", sizeless(&there.run(&["pull"])));
    assert_snapshot!("run-after-lock", there.run(&["run"]));

    // A pipeline that has moved on since: the lock file still says what it was.
    let later = git.clone(&["--depth", "1"]);
    later.project.write("pipeline.yaml", &words("bye"));
    assert_snapshot!("plan-since", later.project.run(&["plan"]));
    assert_snapshot!("pull-since", sizeless(&later.project.run(&["pull"])));
    assert_eq!(later.project.read("results/greeting.txt"), "hello");
    fs::remove_dir_all(shared.path()).unwrap();
    fs::create_dir(shared.path()).unwrap();
    let without = git.clone(&[]);
    assert_snapshot!("pull-nothing", sizeless(&without.project.run_with(&["pull"], empty.path())));
}

#[test]
fn a_work_tree_with_changes_is_recorded_or_refused() {
    let git = Git::new(PIPELINE);
    let project = &git.project;
    project.write("stagewright.toml", "[git]\ndirty = \"refuse\"\n");
    git.commit("first");
    assert!(project.run(&["run"]).starts_with("exit 0\n"));
    // What a run wrote is no reason to refuse the next one, committed before or not.
    git.commit("with the lock file");
    project.write("stagewright.lock", "version: 1\n");
    assert!(project.run(&["run"]).starts_with("exit 0\n"));
    assert!(!project.run(&["show"]).contains("uncommitted"));
    project.write("pipeline.yaml", &words("bye"));
    let said = project.run(&["run"]);
    let commit = git.git(&["rev-parse", "HEAD"])[..12].to_owned();
    assert_snapshot!("run-dirty", said.replace(&commit, "<commit>"));
    assert!(project.run(&["plan"]).starts_with("exit 0\n"));
    project.write("stagewright.toml", "");
    git.git(&["checkout", "-q", "--detach"]);
    assert!(project.run(&["run"]).starts_with("exit 0\n"));
    let shown = project.run(&["show"]);
    assert!(shown.contains("with uncommitted changes") && !shown.contains("main"), "{shown}");
}
