//! `stagewright import dvc` and `export dvc`: a project changes hands, and both tools see the same.

use std::{collections::BTreeMap, fs, path::Path};

use insta::assert_snapshot;
use stagewright::digest::Md5;

use crate::{bench::Project, dvc::dvc};

/// A project of DVC with a cache, as DVC leaves it.
fn of_dvc(objects: &[(&str, &str)]) -> Project {
    let project = Project::new("");
    fs::remove_file(project.path("pipeline.yaml")).unwrap();
    fs::remove_file(project.path("stagewright.toml")).unwrap();
    git2::Repository::init(project.path("")).unwrap();
    project.write(".dvc/config", "[core]\n    remote = lab\n['remote \"lab\"']\n    url = s3://bucket/data\n    endpointurl = http://127.0.0.1:1\n['remote \"disk\"']\n    url = ../../shared\n['remote \"old\"']\n    url = ssh://host/x\n");
    project.write(
        ".dvc/config.local",
        "['remote \"lab\"']\n    access_key_id = AKIA\n    secret_access_key = hush-hush\n",
    );
    for (content, name) in objects {
        let md5 = Md5::of(content.as_bytes()).to_string();
        let (name, end) = if name.is_empty() {
            (md5.as_str(), "")
        } else {
            (name.trim_end_matches(".dir"), &name[name.len() - 4..])
        };
        project.write(&format!(".dvc/cache/files/md5/{}/{}{end}", &name[..2], &name[2..]), content);
    }
    project
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|item| item.file_type().is_file())
        .map(|item| (item.path().display().to_string(), fs::read(item.path()).unwrap()))
        .collect()
}

#[test]
fn a_project_of_dvc_is_turned_over_and_left_as_it_is() {
    let md5 = |text: &str| Md5::of(text.as_bytes()).to_string();
    let listing = format!(
        "[{{\"md5\": \"{}\", \"relpath\": \"a.txt\"}}, {{\"md5\": \"{}\", \"relpath\": \"sub/b.txt\"}}]",
        md5("a"),
        md5("b")
    );
    let outside = format!("[{{\"md5\": \"{}\", \"relpath\": \"../../a.txt\"}}]", md5("a"));
    let gone = format!("[{{\"md5\": \"{}\", \"relpath\": \"gone.txt\"}}]", md5("gone"));
    let names: Vec<String> =
        [&listing, &outside, &gone].iter().map(|text| format!("{}.dir", md5(text))).collect();
    let wrong = md5("right");
    let project = of_dvc(&[
        ("a", ""),
        ("b", ""),
        (&listing, &names[0]),
        (&outside, &names[1]),
        (&gone, &names[2]),
        ("damaged", &format!("{wrong}.dir")),
    ]);
    // A link in the cache is no object, and a name of another kind neither.
    std::os::unix::fs::symlink("loop", project.path(".dvc/cache/files/md5/aa")).unwrap();
    project.write(".dvc/cache/files/md5/bb/.x.tmp", "");
    project.write(
        "data.dvc",
        &format!("outs:\n- md5: {}\n  size: 2\n  nfiles: 2\n  hash: md5\n  path: data\n", names[0]),
    );
    project.write("old.dvc", &format!("outs:\n- md5: {}\n  path: old\n", md5("a")));
    let before = files(&project.path(".dvc"));
    assert_snapshot!("import-dvc", project.run(&["import", "dvc"]));
    assert_eq!(files(&project.path(".dvc")), before);
    assert_snapshot!("import-dvc-settings", project.read("stagewright.toml"));
    assert_eq!(project.read(".gitignore"), "/.stagewright\n");
    fs::remove_file(project.path("old.dvc")).unwrap();
    assert!(project.run(&["checkout"]).starts_with("exit 0\n"));
    assert_eq!((project.read("data/a.txt"), project.read("data/sub/b.txt")), ("a".into(), "b".into()));
    assert_snapshot!("import-dvc-again", project.run(&["import", "dvc"]));
    assert_snapshot!("import-dvc-none", Project::new("").run(&["import", "dvc"]));
}

#[test]
fn a_project_is_given_to_dvc_without_secrets() {
    let project = Project::new("");
    fs::remove_file(project.path("pipeline.yaml")).unwrap();
    project.write("stagewright.toml", "[sync]\nremote = \"disk\"\n[remotes.disk]\nurl = \"shared\"\nlayout = \"dvc\"\n[remotes.lab]\nurl = \"s3://bucket/x\"\nendpoint = \"http://127.0.0.1:1\"\nprofile = \"lab\"\nlayout = \"dvc\"\n[remotes.packs]\nurl = \"packs\"\n");
    project.write("data/a.txt", "a");
    project.write("one.bin", "one");
    project.run(&["add", "data", "one.bin"]);
    project.write(
        "gone.dvc",
        &format!("outs:\n- md5: {}\n  size: 4\n  hash: md5\n  path: gone\n", Md5::of(b"gone")),
    );
    assert_snapshot!("export-dvc", project.run(&["export", "dvc"]));
    assert_snapshot!("export-dvc-config", project.read(".dvc/config"));
    let made = files(&project.path(".dvc"));
    assert_eq!(made.keys().filter(|path| path.contains("/files/md5/")).count(), 3);
    assert_snapshot!("export-dvc-again", project.run(&["export", "dvc"]));
    assert_eq!(files(&project.path(".dvc")), made);
}

#[test]
#[ignore = "full: asks the tool `dvc`, which has to be installed"]
fn full_dvc_agrees_about_what_changed_hands() {
    // From DVC.
    let project = Project::new("");
    fs::remove_file(project.path("pipeline.yaml")).unwrap();
    fs::remove_file(project.path("stagewright.toml")).unwrap();
    git2::Repository::init(project.path("")).unwrap();
    let said = |arguments: &[&str]| dvc(&project, arguments);
    said(&["init", "-q"]);
    project.write("data/a.txt", "first");
    project.write("data/sub/ü.txt", "umlaut");
    project.write("one.bin", "one");
    said(&["add", "-q", "data", "one.bin"]);
    project.run(&["import", "dvc"]);
    fs::remove_dir_all(project.path(".dvc/cache")).unwrap();
    fs::remove_dir_all(project.path("data")).unwrap();
    assert!(project.run(&["checkout"]).starts_with("exit 0\n"));
    assert_eq!(project.read("data/sub/ü.txt"), "umlaut");
    // Back to it.
    project.write("data/a.txt", "second");
    project.run(&["add", "data"]);
    project.run(&["export", "dvc"]);
    assert!(said(&["status"]).contains("up to date"));
    fs::remove_dir_all(project.path("data")).unwrap();
    fs::remove_file(project.path("one.bin")).unwrap();
    said(&["checkout", "-q"]);
    assert_eq!((project.read("data/a.txt"), project.read("one.bin")), ("second".into(), "one".into()));

    // A project that never was DVC's.
    let fresh = Project::new("");
    fs::remove_file(fresh.path("pipeline.yaml")).unwrap();
    git2::Repository::init(fresh.path("")).unwrap();
    fresh.run(&["remote", "add", "disk", "shared", "--dvc"]);
    fresh.write("data/a.txt", "first");
    fresh.run(&["add", "data"]);
    fresh.run(&["push"]);
    fresh.run(&["export", "dvc"]);
    assert!(dvc(&fresh, &["status"]).contains("up to date"));
    assert!(dvc(&fresh, &["status", "--cloud"]).contains("in sync"));
    fs::remove_dir_all(fresh.path(".dvc/cache")).unwrap();
    fs::remove_dir_all(fresh.path("data")).unwrap();
    dvc(&fresh, &["pull", "-q"]);
    assert_eq!(fresh.read("data/a.txt"), "first");
}
