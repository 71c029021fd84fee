//! A project of DVC, run by both. `tests/fixtures/dvc/made` is what DVC 3.67 wrote for `tests/fixtures/dvc/project`, by the script
//! beside them; where `dvc` is installed, the tests named `full_…` ask the tool itself.

use std::{fs, path::Path, process::Command};

use insta::assert_snapshot;
use serde_yaml::Value;

use crate::bench::Project;

/// Copies everything below a folder into a project.
fn add(project: &Project, folder: &Path, below: &str) {
    for item in fs::read_dir(folder).unwrap() {
        let item = item.unwrap();
        let to = Path::new(below).join(item.file_name());
        if item.path().is_dir() {
            add(project, &item.path(), to.to_str().unwrap());
        } else {
            project.write(to.to_str().unwrap(), "");
            fs::copy(item.path(), project.path(to.to_str().unwrap())).unwrap();
        }
    }
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dvc").join(name)
}

/// The project as its author wrote it, in a git repository, as `dvc init` leaves it.
fn project() -> Project {
    let project = Project::new("");
    fs::remove_file(project.path("pipeline.yaml")).unwrap();
    add(&project, &fixture("project"), "");
    fs::create_dir(project.path("out")).unwrap();
    project.write(".dvc/config", "");
    project.write(".dvc/.gitignore", "/config.local\n/tmp\n/cache\n");
    git2::Repository::init(project.path(".")).unwrap();
    project
}

/// The same after DVC has run it.
fn run_by_dvc() -> Project {
    let project = project();
    add(&project, &fixture("made"), "");
    let place = |name: &str, to: &str| fs::rename(project.path(name), project.path(to)).unwrap();
    place("gitignore-out", "out/.gitignore");
    place("gitignore-data", "data/.gitignore");
    project
}

fn lock(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

/// What stages that do not wait for each other say comes in any order.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Last line that a run says of itself.
fn ended(said: &str) -> &str {
    said.lines().rfind(|line| line.contains(" in <time>: ")).unwrap_or(said)
}

fn set(project: &Project, file: &str, from: &str, to: &str) {
    let text = project.read(file);
    assert!(text.contains(from), "{text}");
    project.write(file, &text.replacen(from, to, 1));
}

#[test]
fn a_run_writes_what_dvc_writes() {
    let project = project();
    assert_snapshot!("dvc-check", project.run(&["check", "dvc.yaml"]));
    assert_snapshot!("dvc-run", sorted(&project.run(&["run", "dvc.yaml"])));
    let made = |name: &str| fs::read_to_string(fixture("made").join(name)).unwrap();
    assert_eq!(lock(&project.read("dvc.lock")), lock(&made("dvc.lock")));
    assert_eq!(sorted(&project.read("out/.gitignore")), sorted(&made("gitignore-out")));
    assert_eq!(project.read("data/.gitignore"), made("gitignore-data"));
    assert!(!project.path(".gitignore").exists());
    assert_eq!(project.read("out/m_b.bin"), made("out/m_b.bin"));
    // The object that DVC wants to find by it.
    assert_eq!(project.read(".dvc/cache/files/md5/4f/1718bb251bcc0c9b374c1b8d925ba2"), made("out/m_b.bin"));
    assert_snapshot!("dvc-run-again", sorted(&project.run(&["run", "dvc.yaml"])));

    // A frozen stage keeps its result, and the lock file what it was made of.
    set(&project, "dvc.yaml", "frozen: false", "frozen: true");
    project.write("data/in.txt", "two\n");
    assert_snapshot!("dvc-plan-frozen", project.run(&["plan", "dvc.yaml"]));
    project.run(&["run", "dvc.yaml", "-j", "1"]);
    assert_eq!(
        (project.read("out/keep.txt"), project.read("out/raw/1.txt")),
        ("one\n".to_owned(), "two\n".to_owned())
    );
}

#[test]
fn what_dvc_ran_is_up_to_date() {
    let project = run_by_dvc();
    let text = project.read("dvc.lock");
    assert_snapshot!("dvc-plan-locked", project.run(&["plan", "dvc.yaml"]));
    let said = project.run(&["run", "dvc.yaml", "-j", "1"]);
    assert!(ended(&said).contains("1 ran, 9 cached"), "{said}");
    assert_eq!(lock(&project.read("dvc.lock")), lock(&text));
    assert_eq!(project.read("out/.gitignore"), fs::read_to_string(fixture("made/gitignore-out")).unwrap());
    // A param that one stage reads, then a file that it wrote.
    set(&project, "params.yaml", "parts: 2", "parts: 3");
    project.write("out/m_b.bin", "spoiled");
    assert_snapshot!("dvc-plan-changed", project.run(&["plan", "dvc.yaml"]));
    let said = project.run(&["run", "dvc.yaml", "-j", "1"]);
    assert!(ended(&said).contains("cached"), "{said}");
    assert_eq!(project.read("out/n.txt"), "3 4\n");
    assert_eq!(project.read("out/m_b.bin"), "one\n2\n");
}

#[test]
fn what_dvcignore_names_is_not_there() {
    let project = run_by_dvc();
    project.write("data/raw/note.tmp", "of an editor");
    project.write("data/raw/scratch/x", "x");
    project.write("out/raw/note.tmp", "of an editor");
    let said = project.run(&["plan", "dvc.yaml"]);
    assert!(said.contains("1 to run, 9 cached"), "{said}");
    project.write("data/raw/3", "third\n");
    let said = project.run(&["plan", "dvc.yaml"]);
    assert!(said.contains("prepare  run  first run"), "{said}");
}

#[test]
fn mistakes_in_a_dvc_yaml_have_their_place() {
    let project = project();
    assert_snapshot!("dvc-set", project.run(&["run", "dvc.yaml", "--set", "params.lr=0.1"]));
    assert_snapshot!("dvc-fmt", project.run(&["fmt", "dvc.yaml"]));
    set(&project, "dvc.yaml", "frozen: false", "frozen: true");
    assert_snapshot!("dvc-frozen-first", project.run(&["run", "dvc.yaml", "--only", "keep"]));
    project.write("dvc.lock", "schema: '1.0'\n");
    assert_snapshot!("dvc-old-lock", project.run(&["plan", "dvc.yaml"]));
    project.write("dvc.lock", "schema: '2.0'\nstages: {\n");
    assert_snapshot!("dvc-torn-lock", project.run(&["plan", "dvc.yaml"]));
    fs::remove_file(project.path("dvc.lock")).unwrap();
    project.write(
        "dvc.yaml",
        "stages:\n  a:\n    cmd: echo ${nothing} ${models.c}\n    deps: [gone.txt]\n    outs: [b.txt]\n  b: { cmd: x, dep: [y], outs: [b.txt] }\n  c: { foreach: [1] }\n  d: { cmd: x, params: [lrr] }\n",
    );
    assert_snapshot!("dvc-mistakes", project.run(&["check", "dvc.yaml"]));
    project.write("dvc.yaml", "stages:\n  a: { cmd: cat gone.txt, deps: [gone.txt], outs: [b.txt] }\n  b: { cmd: echo x, outs: [b.txt] }\n");
    assert_snapshot!("dvc-plan-mistakes", project.run(&["check", "dvc.yaml"]));
}

#[test]
fn an_out_that_git_keeps_is_told() {
    let project = project();
    let repository = git2::Repository::open(project.path(".")).unwrap();
    project.write("out/always.txt", "old");
    let mut index = repository.index().unwrap();
    index.add_path(Path::new("out/always.txt")).unwrap();
    index.write().unwrap();
    let said = project.run(&["run", "dvc.yaml", "--only", "always"]);
    assert!(said.contains("warning: out/always.txt is kept by git"), "{said}");
    assert!(!project.path("out/.gitignore").exists());
}

/// Answers of the tool, or none where it is not installed.
/// Runs DVC in a project: what it prints.
pub fn dvc(project: &Project, arguments: &[&str]) -> String {
    let site = tempfile::tempdir().unwrap();
    let done = Command::new("dvc")
        .args(arguments)
        .current_dir(project.path("."))
        .env("DVC_NO_ANALYTICS", "1")
        .env("DVC_SITE_CACHE_DIR", site.path())
        .output()
        .unwrap_or_else(|error| panic!("dvc can't be started: {error}; `pip install 'dvc>=3.67'` brings it"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    said
}

#[test]
#[ignore = "full: asks the tool `dvc`, which has to be installed"]
fn full_dvc_calls_what_was_run_up_to_date() {
    let project = project();
    let said = project.run(&["run", "dvc.yaml"]);
    assert!(ended(&said).contains("10 ran"), "{said}");
    assert_eq!(dvc(&project, &["status"]).trim(), "always:\n\talways changed");
    let dry = dvc(&project, &["repro", "--dry"]);
    let running: Vec<&str> = dry.lines().filter(|line| line.starts_with("Running")).collect();
    assert_eq!(running, ["Running stage 'always':"], "{dry}");
    // And again after a change, with one of them frozen.
    set(&project, "dvc.yaml", "frozen: false", "frozen: true");
    project.write("data/in.txt", "two\n");
    set(&project, "params.yaml", "lr: 0.001", "lr: 0.01");
    project.run(&["run", "dvc.yaml"]);
    assert_eq!(dvc(&project, &["status"]).trim(), "always:\n\talways changed");
    // What is gone comes back out of DVC's cache, where the run put it.
    fs::remove_dir_all(project.path("out/raw")).unwrap();
    dvc(&project, &["checkout"]);
    assert_eq!(project.read("out/raw/1.txt"), "two\n");
}

#[test]
#[ignore = "full: asks the tool `dvc`, which has to be installed"]
fn full_what_dvc_runs_now_is_up_to_date() {
    let project = project();
    dvc(&project, &["repro"]);
    let said = project.run(&["run", "dvc.yaml"]);
    assert!(ended(&said).contains("1 ran, 9 cached"), "{said}");
    project.write("data/in.txt", "two\n");
    dvc(&project, &["repro"]);
    let said = project.run(&["run", "dvc.yaml"]);
    assert!(ended(&said).contains("1 ran, 9 cached"), "{said}");
    assert_eq!(dvc(&project, &["status"]).trim(), "always:\n\talways changed");
}
