//! Collections and checks of a remote from the command line.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use git2::{IndexAddOption, Repository, Signature};
use insta::assert_snapshot;

use crate::bench::Project;

fn commit(project: &Project) {
    let repository = Repository::open(project.path("")).unwrap();
    let mut index = repository.index().unwrap();
    index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
    index.write().unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let who = Signature::now("Test", "test@example.org").unwrap();
    let parent = repository.head().ok().map(|head| head.peel_to_commit().unwrap());
    let parents: Vec<_> = parent.iter().collect();
    repository.commit(Some("HEAD"), &who, &who, "data", &tree, &parents).unwrap();
}

fn files(folder: &Path, prefix: &str) -> Vec<std::path::PathBuf> {
    let items = walkdir::WalkDir::new(folder.join(prefix)).sort_by_file_name();
    let files = items.into_iter().flatten().filter(|item| item.file_type().is_file());
    files.map(walkdir::DirEntry::into_path).collect()
}

/// Of 200,000 bytes that nothing makes smaller.
fn noise(seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed);
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(200_000).collect()
}

/// What a line names by a hash is another one each time.
fn hashless(text: &str) -> String {
    let hex = |c: char| c.is_ascii_hexdigit() || c == '/';
    text.split_inclusive(' ')
        .map(|word| match word.split_once("-v1/") {
            Some((kind, rest)) => format!("{kind}-v1/…{}", rest.trim_start_matches(hex)),
            None => word.to_owned(),
        })
        .collect()
}

#[test]
fn a_remote_is_cleaned_and_mended() {
    let project = Project::new("");
    fs::remove_file(project.path("pipeline.yaml")).unwrap();
    let repository = Repository::init(project.path("")).unwrap();
    project.write(".gitignore", "/.stagewright/\n");
    let shared = tempfile::tempdir().unwrap();
    project.run(&["remote", "add", "disk", &shared.path().to_string_lossy()]);
    let run = |arguments: &[&str]| {
        hashless(&project.run(arguments).replace(&*shared.path().to_string_lossy(), "<remote>"))
    };
    // One version on a branch of its own, one that no commit names any more, and one that the work tree names.
    for (version, branch) in [(1, Some("old")), (2, None), (3, None)] {
        fs::write(project.path("data.bin"), noise(version)).unwrap();
        project.run(&["add", "data.bin"]);
        project.run(&["push"]);
        if let Some(branch) = branch {
            commit(&project);
            let head = repository.head().unwrap().peel_to_commit().unwrap();
            repository.branch(branch, &head, true).unwrap();
        }
    }
    assert_snapshot!("remote-gc-young", run(&["remote", "gc"]));
    for path in files(shared.path(), "") {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(20 * 86_400)).unwrap();
    }
    assert_snapshot!("remote-gc-dry-run", run(&["remote", "gc", "--dry-run"]));
    assert_snapshot!("remote-gc", run(&["remote", "gc"]));
    assert_snapshot!("remote-gc-age", run(&["remote", "gc", "--older-than", "soon"]));
    assert_snapshot!("remote-verify", run(&["remote", "verify"]));
    let packs = files(shared.path(), "packs-v1");
    assert_eq!(packs.len(), 2);
    for pack in &packs {
        let mut bytes = fs::read(pack).unwrap();
        bytes[100_000] ^= 1;
        fs::write(pack, bytes).unwrap();
    }
    let damaged = run(&["remote", "verify"]);
    assert!(damaged.starts_with("exit 4"), "{damaged}");
    assert_snapshot!("remote-verify-damaged", damaged);
    assert_snapshot!("remote-verify-repair", run(&["remote", "verify", "--repair"]));
    assert!(run(&["remote", "verify"]).starts_with("exit 0"));
    // In another project, whose store has nothing of it.
    let other = Project::new("");
    other.run(&["remote", "add", "disk", &shared.path().to_string_lossy()]);
    let pack = files(shared.path(), "packs-v1").remove(0);
    let mut bytes = fs::read(&pack).unwrap();
    bytes[50_000] ^= 1;
    fs::write(&pack, bytes).unwrap();
    let lost = hashless(&other.run(&["remote", "verify", "--repair"]));
    assert!(lost.starts_with("exit 4") && lost.contains("which this store does not have"), "{lost}");
}
