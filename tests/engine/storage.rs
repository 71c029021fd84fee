//! Disks that are full or can't be written, bits that flip, clocks that jump, names that are no text.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use serde_json::json;
use stagewright::{
    plan::Action,
    record::{Outcome, RunOutcome},
    store::LocalStore,
};

use crate::project::{ActionExt, Project, options, plan, stage, step, write};

/// A file system of a few megabytes in memory; unmounted when dropped.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// None, with a word about it, where mounting is not allowed.
    fn at(folder: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let option = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(&folder).output();
        if mounted.is_ok_and(|done| done.status.success()) {
            return Some(Self { folder });
        }
        eprintln!("SKIPPED: only root can mount a small disk; run this test as root to have it proved");
        None
    }

    fn remount(&self, option: &str) {
        let done =
            Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.folder).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.folder).status());
    }
}

fn big(name: &str, kib: u64) -> Action {
    stage(
        name,
        vec![
            json!({"step": "log", "level": "info", "message": name}),
            json!({"step": "write-many", "port": "out", "path": "out.bin", "bytes": kib << 10}),
        ],
    )
}

/// A project whose store lies on a small disk.
fn with_small_store(size: &str) -> Option<(Project, SmallDisk)> {
    let project = Project::new();
    let disk = SmallDisk::at(project.path("disk"), size)?;
    fs::write(
        project.path("stagewright.toml"),
        "[store]\npath = 'disk/store'\n[sandbox]\nwritable = ['.']\n",
    )
    .unwrap();
    Some((project.reopened(), disk))
}

#[test]
fn a_full_disk_under_the_store_fails_the_stage_and_keeps_the_store_sound() {
    let Some((project, disk)) = with_small_store("3m") else { return };
    let ran = project.run(vec![big("small", 500), big("large", 4000).after("small")]);
    assert_eq!((ran.outcome("small"), ran.outcome("large")), (Outcome::Ran, Outcome::Failed));
    let told = project.neutral(&ran.failure("large"));
    assert!(told.starts_with("Environment/Environment: cannot write <project>/disk/store/tmp/"), "{told}");
    assert!(told.contains("No space left on device") && told.contains("hint: free some space"), "{told}");
    let report = project.store.verify(|_| ()).unwrap();
    assert!(report.damage.is_empty() && report.entries == 1 && report.leftovers == 0, "{report:?}");
    // With room, the run goes on where it was.
    disk.remount("size=20m");
    let ran = project.run(vec![big("small", 500), big("large", 4000).after("small")]);
    assert_eq!((ran.outcome("small"), ran.outcome("large")), (Outcome::Cached, Outcome::Ran));
}

#[test]
fn a_full_disk_under_the_record_fails_the_run() {
    let project = Project::new();
    let Some(disk) = SmallDisk::at(project.path(".stagewright"), "400k") else { return };
    fs::write(project.path("stagewright.toml"), "[store]\npath = 'store'\n[sandbox]\nwritable = ['.']\n")
        .unwrap();
    let project = project.reopened();
    // Each metric is a line of the record.
    let metric = |at: u64| json!({"step": "metric", "at": at, "name": "loss", "value": 0.5});
    let actions = || vec![stage("a", (0..5000).map(metric).chain([write("x")]).collect())];
    let error = project.run_with(plan(actions()), &options()).map(drop).unwrap_err().to_string();
    assert!(error.contains("events.jsonl") && error.contains("No space left on device"), "{error}");
    assert!(project.store.verify(|_| ()).unwrap().damage.is_empty());
    disk.remount("size=50m");
    assert_eq!(project.run(actions()).summary.outcome, RunOutcome::Succeeded);
}

#[test]
fn a_store_that_is_read_only_serves_what_it_has_and_fails_what_it_has_not() {
    let Some((project, disk)) = with_small_store("5m") else { return };
    let actions = |more: bool| {
        let mut actions = vec![stage("a", vec![write("A")])];
        actions.extend(more.then(|| stage("b", vec![step("concatenate")]).reads("a")));
        actions
    };
    project.run(actions(false));
    disk.remount("ro");
    let project = project.reopened();
    let ran = project.run(actions(true));
    assert_eq!((ran.outcome("a"), ran.outcome("b")), (Outcome::Cached, Outcome::Failed));
    assert_eq!(ran.summary.outcome, RunOutcome::Failed);
    let told = project.neutral(&ran.failure("b"));
    assert!(told.contains("Read-only file system") && told.contains("must be writable"), "{told}");
}

/// Changes one bit of a blob, as a write or as a failing disk does it: without a new time.
fn flip(store: &LocalStore, path: &Path, silently: bool) {
    let before = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    if silently {
        File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
    }
    assert_eq!(store.verify(|_| ()).unwrap().damage.len(), 2, "the blob, and the result that leads to it");
}

#[test]
fn a_flipped_bit_is_found_before_use_and_the_blob_made_again() {
    for (tree, silently) in [(false, false), (true, false), (false, true), (true, true)] {
        let project = Project::new();
        let actions = |reader: &str| {
            let note = json!({"step": "log", "level": "info", "message": reader});
            let first =
                if tree { json!({"step": "write-tree", "port": "out", "path": "t"}) } else { write("AAA") };
            vec![
                stage("a", vec![project.tracing("a"), first]),
                stage("b", vec![note, step("concatenate")]).reads("a"),
            ]
        };
        let first = project.run(actions("one"));
        assert_eq!(first.summary.outcome, RunOutcome::Succeeded, "{}", first.failure("a"));
        let artifact = first.stage("a").result.as_ref().unwrap().outputs["out"].artifact;
        let digest = if tree {
            project.store.tree(&artifact.digest).unwrap().entries()[0].digest
        } else {
            artifact.digest
        };
        flip(&project.store, &project.store.blob_path(&digest), silently);

        // `b` has to run now, and reads the blob.
        let second = project.run(actions("two"));
        if silently {
            // Nothing but reading it could find this one: the stage that was about to is not started.
            assert_eq!(second.outcome("b"), Outcome::Failed);
            let told = second.failure("b");
            assert!(
                told.contains(&format!("the blob {digest} is damaged")) && told.contains("run again"),
                "{told}"
            );
        } else {
            assert_eq!((second.outcome("a"), second.outcome("b")), (Outcome::Ran, Outcome::Ran));
            assert_eq!(second.stage("a").reason, "result lost: 1 blob missing");
        }
        let third = project.run(actions("two"));
        assert_eq!(third.summary.outcome, RunOutcome::Succeeded, "{tree} {silently}");
        assert_eq!(project.trace(), ["a", "a"]);
        assert!(project.store.verify(|_| ()).unwrap().damage.is_empty());
        let text = third.stage("b").result.as_ref().unwrap().outputs["out"].artifact.digest;
        let expected =
            project.run(actions("three")).stage("b").result.as_ref().unwrap().outputs["out"].artifact.digest;
        assert_eq!(text, expected);
    }
}

#[test]
fn a_clock_that_jumps_back_costs_nothing() {
    let project = Project::new();
    project.write("data.txt", "raw");
    let actions = || vec![stage("a", vec![project.tracing("a"), step("concatenate")]).reads_path("data.txt")];
    project.run(actions());
    // As after a jump back by years: all that is there seems to come from the future.
    let future = SystemTime::now() + Duration::from_secs(10 * 365 * 86_400);
    for item in walkdir::WalkDir::new(project.path("")).into_iter().flatten() {
        drop(File::open(item.path()).and_then(|file| file.set_modified(future)));
    }
    let again = project.run(actions());
    assert_eq!(again.outcome("a"), Outcome::Cached);
    project.write("data.txt", "new");
    File::open(project.path("data.txt")).unwrap().set_modified(future).unwrap();
    assert_eq!(project.run(actions()).outcome("a"), Outcome::Ran, "content counts, not time");
    let keep = [].into();
    let plan = project.store.plan_gc(&keep, &keep, Duration::from_secs(86_400), SystemTime::now()).unwrap();
    assert_eq!((plan.entries.len(), plan.blobs.len()), (0, 0), "nothing is old because of it");
    assert!(project.store.verify(|_| ()).unwrap().damage.is_empty());
}

#[test]
fn names_with_newlines_are_kept_and_names_that_are_no_text_are_refused() {
    let project = Project::new();
    project.write("data/two\nlines", "x");
    project.write("data/tab\tand \"quotes\"", "y");
    let actions = || vec![stage("a", vec![step("concatenate")]).reads_path("data")];
    let ran = project.run(actions());
    assert_eq!(ran.outcome("a"), Outcome::Ran);
    let copy = |name: &str| json!({"step": "write-named", "port": "out", "path": "t", "name": name});
    let ran = project.run(vec![stage("b", vec![copy("new\nline")])]);
    let tree = ran.stage("b").result.as_ref().unwrap().outputs["out"].artifact;
    assert_eq!(project.store.tree(&tree.digest).unwrap().entries()[0].path, "new\nline");

    fs::write(project.path("data").join(OsStr::from_bytes(b"caf\xe9")), "z").unwrap();
    let ran = project.run(actions());
    insta::assert_snapshot!(project.neutral(&ran.failure("a")), @r"
    ExitCode/User: cannot read the input `data` of `a`: cannot store <project>/data/caf�: its name is not UTF-8
    ");
    let ran =
        project.run(vec![stage("c", vec![json!({"step": "write-latin1", "port": "out", "path": "t"})])]);
    let told = ran.failure("c");
    assert!(told.contains("its name is not UTF-8"), "{told}");
}
