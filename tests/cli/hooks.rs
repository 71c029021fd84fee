//! `stagewright install`, with the real git calling what it put in.

use std::{fs, os::unix::fs::PermissionsExt};

use insta::assert_snapshot;

use crate::{
    bench::Project,
    git::{Git, run},
};

const PIPELINE: &str = r#"version: 1
name: demo
params: { words: hello }
stages:
  greet:
    uses: fake
    with: { do: [ { step: write, port: out, path: out.txt, text: "${{ params.words }}" } ] }
    outputs: { out: results/greeting.txt }
  other:
    uses: fake
    with: { do: [ { step: write, port: out, path: out.txt, text: fixed } ] }
"#;

fn words(text: &str) -> String {
    PIPELINE.replace("words: hello", &format!("words: {text}"))
}

/// All that git keeps beside objects, by path: configuration, hooks, attributes.
fn settings(git: &Git) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in [".git", ".git/hooks", ".git/info"] {
        for item in fs::read_dir(git.project.path(folder)).unwrap() {
            let path = item.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_ours = folder != ".git" || name == "config";
            if path.is_file() && is_ours && !name.ends_with(".sample") {
                found.push((format!("{folder}/{name}"), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn executable(git: &Git, name: &str, text: &str) {
    git.project.write(name, text);
    fs::set_permissions(git.project.path(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_is_put_in_is_taken_out_again() {
    let git = Git::new(PIPELINE);
    executable(&git, ".git/hooks/pre-commit", "#!/bin/sh\necho mine\nexit 0");
    executable(&git, ".git/hooks/pre-push", "#!/usr/bin/env python3\nprint('mine')\n");
    git.project.write(".git/info/attributes", "*.bin -diff\n");
    git.git(&["config", "merge.mine.driver", "true"]);
    let before = settings(&git);
    assert_snapshot!("install", git.project.run(&["install"]));
    assert_snapshot!("installed", git.project.read(".git/hooks/pre-commit"));
    assert_snapshot!("installed-attributes", git.project.read(".git/info/attributes"));
    let after = settings(&git);
    assert_ne!(after, before);
    assert_snapshot!("install-again", git.project.run(&["install"]));
    assert_eq!(settings(&git), after);
    // The user's hook still runs, and the one in another language is theirs to change.
    git.project.write("a.txt", "a");
    git.git(&["add", "a.txt"]);
    assert!(git.git(&["commit", "-m", "first"]).contains("mine\n"));
    assert_snapshot!("uninstall", git.project.run(&["install", "--uninstall"]));
    assert_eq!(settings(&git), before);
    git.project.run(&["install", "--uninstall"]);
    assert_eq!(settings(&git), before);
}

#[test]
fn hooks_lie_where_git_looks_for_them() {
    // core.hooksPath of the repository, relative to its top.
    let git = Git::new(PIPELINE);
    git.git(&["config", "core.hooksPath", "tools/hooks"]);
    assert_snapshot!("install-hooks-path", git.project.run(&["install"]));
    assert!(git.project.path("tools/hooks/post-checkout").is_file());
    // That of a user is every repository's.
    let git = Git::new(PIPELINE);
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".gitconfig"), "[core]\n\thooksPath = ~/hooks\n").unwrap();
    let home_path = home.path().to_string_lossy().into_owned();
    let said = git.project.run_env(&["install"], &[("HOME", &home_path)]);
    assert_snapshot!("install-hooks-of-user", said.replace(&home_path, "<home>"));
    assert!(!home.path().join("hooks").exists());
    // A link, and a hook that git does not run.
    fs::write(git.project.path("mine.sh"), "#!/bin/sh\n").unwrap();
    std::os::unix::fs::symlink("../../mine.sh", git.project.path(".git/hooks/pre-commit")).unwrap();
    git.project.write(".git/hooks/pre-push", "#!/bin/sh\n");
    assert_snapshot!("install-left", git.project.run(&["install"]));
    assert_eq!(git.project.read("mine.sh"), "#!/bin/sh\n");
    // No repository at all.
    assert_snapshot!("install-no-git", Project::new(PIPELINE).run(&["install"]));
}

#[test]
fn git_checks_out_commits_and_pushes_with_data_and_results() {
    let git = Git::new(PIPELINE);
    let project = &git.project;
    let (shared, origin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    project.run(&["remote", "add", "disk", &shared.path().to_string_lossy(), "--dvc"]);
    project.run(&["install"]);
    project.write("data/a.txt", "first");
    project.run(&["add", "data"]);
    project.run(&["run"]);
    git.commit("first");
    project.write("data/a.txt", "second");
    let (code, said) = git.try_git(&["commit", "-q", "--allow-empty", "-m", "nothing"]);
    assert_snapshot!("hook-pre-commit", format!("exit {code}\n{said}"));
    project.run(&["add", "data"]);
    project.write("pipeline.yaml", &words("bye"));
    project.run(&["run"]);
    git.commit("second");

    git.git(&["checkout", "-q", "-b", "old", "HEAD~2"]);
    assert_eq!(
        (project.read("data/a.txt"), project.read("results/greeting.txt")),
        ("first".into(), "hello".into())
    );
    git.git(&["checkout", "-q", "main"]);
    assert_eq!(
        (project.read("data/a.txt"), project.read("results/greeting.txt")),
        ("second".into(), "bye".into())
    );
    // A change that is nowhere else stays, and git's own work is no failure.
    project.write("data/a.txt", "by hand");
    let (code, said) = git.try_git(&["checkout", "-q", "old"]);
    assert_snapshot!(
        "hook-post-checkout-changed",
        format!(
            "exit {code}\n{}",
            said.replace(&*fs::canonicalize(project.path("")).unwrap().to_string_lossy(), "<project>")
        )
    );
    assert_eq!(project.read("data/a.txt"), "by hand");
    project.run(&["checkout", "--force"]);

    git.git(&["init", "-q", "--bare", &origin.path().to_string_lossy()]);
    git.git(&["remote", "add", "origin", &origin.path().to_string_lossy()]);
    git.git(&["push", "-q", "origin", "old"]);
    let clone = git.clone(&["-b", "old"]);
    assert!(clone.project.run(&["pull"]).starts_with("exit 0\n"));
    assert_eq!(clone.project.read("data/a.txt"), "first");
    // Where the data can't be pushed, the commits that name it stay too.
    git.git(&["checkout", "-q", "main"]);
    fs::remove_dir_all(shared.path()).unwrap();
    fs::write(shared.path(), "in the way").unwrap();
    let (code, _) = git.try_git(&["push", "-q", "origin", "main"]);
    assert_ne!(code, 0);
    assert_eq!(run(origin.path(), &["branch", "--list", "main"]).1, "");
    fs::remove_file(shared.path()).unwrap();
    fs::create_dir(shared.path()).unwrap();
}

#[test]
fn git_merges_lock_files_and_pointers() {
    let git = Git::new(PIPELINE);
    let project = &git.project;
    project.run(&["install"]);
    let change = |file: &str, text: &str| {
        project.write(file, text);
        project.run(&["add", "data"]);
    };
    change("data/a.txt", "1");
    change("data/b.txt", "1");
    project.run(&["run"]);
    git.commit("base");
    // Each side changes another file and another stage.
    git.git(&["checkout", "-q", "-b", "side"]);
    change("data/a.txt", "2");
    project.write("pipeline.yaml", &words("bye"));
    project.run(&["run"]);
    git.commit("side");
    git.git(&["checkout", "-q", "main"]);
    change("data/c.txt", "1");
    project.write("pipeline.yaml", &PIPELINE.replace("fixed", "other"));
    project.run(&["run"]);
    git.commit("main");
    git.git(&["merge", "-q", "-m", "both", "side"]);
    assert!(project.run(&["checkout"]).starts_with("exit 0\n"));
    let data = ["a", "b", "c"].map(|name| project.read(&format!("data/{name}.txt")));
    assert_eq!(data, ["2", "1", "1"]);
    // Both stages as their sides ran them: nothing is left to run.
    let lock = project.read("stagewright.lock");
    project.run(&["run"]);
    assert_eq!(project.read("stagewright.lock"), lock);

    // Both sides change one file and one stage.
    git.git(&["checkout", "-q", "-b", "third"]);
    change("data/a.txt", "3");
    project.write("pipeline.yaml", &words("three"));
    project.run(&["run"]);
    git.commit("third");
    git.git(&["checkout", "-q", "main"]);
    change("data/a.txt", "4");
    project.write("pipeline.yaml", &words("four"));
    project.run(&["run"]);
    git.commit("fourth");
    let (code, said) = git.try_git(&["merge", "-q", "-m", "both", "third"]);
    assert_eq!(code, 1);
    assert_snapshot!("merge-conflict", said);
    let shown = project
        .read("data.dvc")
        .lines()
        .filter(|line| !line.contains(' ') || line.contains("ours") || line.contains("theirs"))
        .collect::<Vec<_>>()
        .join("\n");
    assert_snapshot!("merge-conflict-pointer", shown);
    assert_snapshot!("merge-conflict-lock", project.read("stagewright.lock"));
    assert_snapshot!("status-conflict", project.run(&["checkout"]));
    // One side of the pipeline and of the pointer is taken, and a run brings the lock file up to date.
    git.git(&["checkout", "--ours", "pipeline.yaml", "data.dvc", "stagewright.lock"]);
    project.run(&["run"]);
    git.commit("solved");
    assert_eq!(git.git(&["status", "--porcelain"]), "");
    assert!(project.run(&["checkout"]).starts_with("exit 0\n"));
}

#[test]
fn work_trees_share_hooks_and_submodules_have_their_own() {
    let git = Git::new(PIPELINE);
    let project = &git.project;
    let shared = tempfile::tempdir().unwrap();
    project.run(&["remote", "add", "disk", &shared.path().to_string_lossy(), "--dvc"]);
    project.write("data/a.txt", "first");
    project.run(&["add", "data"]);
    project.run(&["run"]);
    git.commit("first");
    project.run(&["push"]);
    let place = tempfile::tempdir().unwrap();
    let tree = place.path().join("tree").to_string_lossy().into_owned();
    git.git(&["worktree", "add", "-q", "--detach", &tree]);
    // Put in from the linked work tree, they are those of all.
    let said = project.run(&["-C", &tree, "install"]);
    assert_snapshot!(
        "install-worktree",
        said.replace(&*fs::canonicalize(place.path()).unwrap().to_string_lossy(), "<place>")
    );
    assert!(project.path(".git/hooks/post-checkout").is_file());
    assert!(project.run(&["-C", &tree, "pull"]).starts_with("exit 0\n"));
    assert_eq!(fs::read_to_string(format!("{tree}/data/a.txt")).unwrap(), "first");
    assert_eq!(fs::read_to_string(format!("{tree}/results/greeting.txt")).unwrap(), "hello");

    let sup = Git::new(PIPELINE);
    let from = format!("file://{}", project.path("").display());
    sup.git(&["submodule", "--quiet", "add", &from, "part"]);
    sup.commit("with a part");
    assert!(sup.project.run(&["-C", "part", "install"]).starts_with("exit 0\n"));
    assert!(sup.project.path(".git/modules/part/hooks/post-checkout").is_file());
    assert!(!sup.project.path(".git/hooks/post-checkout").exists());
    // What the part tracks is its own business.
    assert_snapshot!("submodule-checkout", sup.project.run(&["checkout"]));
    assert!(sup.project.run(&["-C", "part", "pull"]).starts_with("exit 0\n"));
    assert_eq!(sup.project.read("part/data/a.txt"), "first");
    assert!(
        sup.project.path("part/.stagewright").is_dir()
            && !sup.project.path(".stagewright/store/md5-v1/8b").exists()
    );
}
