//! What the local store promises: content comes back as it went in, nothing is lost, damage shows.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use serde_json::json;
use stagewright::{
    digest::Digest,
    store::{Artifact, ArtifactKind, Damage, Entry, LocalStore, StoreError},
};
use tempfile::TempDir;

struct Bench {
    folder: TempDir,
    store: LocalStore,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> std::path::PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn ingest(&self, name: &str, content: &str) -> Artifact {
        self.store.ingest(&self.write(name, content)).unwrap()
    }

    fn entry(&self, name: &str, artifacts: Vec<Artifact>) -> Digest {
        let key = Digest::of(name.as_bytes());
        self.store.put_entry(&key, &Entry { artifacts, body: json!({ "name": name }) }).unwrap();
        key
    }
}

fn content(folder: &Path) -> Vec<(String, String, bool)> {
    let mut files: Vec<_> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|item| item.file_type().is_file())
        .map(|item| {
            let name = item.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let executable = item.metadata().unwrap().permissions().mode() & 0o111 != 0;
            (name, fs::read_to_string(item.path()).unwrap(), executable)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_folder_comes_back_as_it_went_in() {
    let bench = Bench::new();
    bench.write("out/b/two", "2");
    bench.write("out/one", "1");
    bench.write("out/copy of one", "1");
    fs::create_dir(bench.path("out/empty")).unwrap();
    fs::set_permissions(bench.write("out/tool", "#!"), fs::Permissions::from_mode(0o755)).unwrap();
    let before = content(&bench.path("out"));

    let fingerprint = bench.store.fingerprint(&bench.path("out")).unwrap();
    let artifact = bench.store.ingest(&bench.path("out")).unwrap();
    assert_eq!(artifact, fingerprint);
    assert_eq!((artifact.kind, artifact.files, artifact.bytes), (ArtifactKind::Tree, 4, 5));

    bench.store.materialize(&artifact, &bench.path("in")).unwrap();
    bench.store.export(&artifact, &bench.path("results/out")).unwrap();
    assert_eq!(content(&bench.path("in")), before);
    assert_eq!(content(&bench.path("results/out")), before);
    assert!(fs::metadata(bench.path("in/one")).unwrap().permissions().readonly());
    assert!(!fs::metadata(bench.path("results/out/one")).unwrap().permissions().readonly());
}

#[test]
fn what_has_no_place_in_a_store_is_refused_by_name() {
    let bench = Bench::new();
    bench.write("out/file", "x");
    symlink("file", bench.path("out/link")).unwrap();
    let error = bench.store.ingest(&bench.path("out")).unwrap_err().to_string();
    assert!(error.ends_with("out/link: it is a symbolic link; write the file itself"), "{error}");
    let error = bench.store.fingerprint(&bench.path("nowhere")).unwrap_err().to_string();
    assert!(error.contains("cannot read") && error.contains("nowhere"), "{error}");
}

#[test]
fn the_stat_cache_sees_every_change() {
    let bench = Bench::new();
    let path = bench.write("data/a", "old");
    let old = fs::metadata(&path).unwrap().modified().unwrap() - Duration::from_secs(100);
    let backdate = |path: &Path| fs::File::open(path).unwrap().set_modified(old).unwrap();
    backdate(&path);
    let first = bench.store.fingerprint(&bench.path("data")).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(bench.store.fingerprint(&bench.path("data")).unwrap(), first);
    // Same size, same modification time: only the change time gives it away.
    fs::write(&path, "new").unwrap();
    backdate(&path);
    assert_ne!(bench.store.fingerprint(&bench.path("data")).unwrap(), first);
    fs::write(&path, "old").unwrap();
    assert_eq!(bench.store.fingerprint(&bench.path("data")).unwrap(), first);
    bench.write("data/b", "");
    assert_ne!(bench.store.fingerprint(&bench.path("data")).unwrap(), first);
}

#[test]
fn export_never_loses_what_a_user_wrote() {
    let bench = Bench::new();
    let (first, second) = (bench.ingest("a", "first"), bench.ingest("b", "second"));
    let place = bench.path("results/table.md");
    bench.store.export(&first, &place).unwrap();
    bench.store.export(&second, &place).unwrap();
    assert_eq!(fs::read_to_string(&place).unwrap(), "second");
    fs::write(&place, "edited by hand").unwrap();
    let refused = bench.store.export(&first, &place).unwrap_err();
    assert!(matches!(&refused, StoreError::UserChanged { path } if *path == place), "{refused}");
    assert_eq!(fs::read_to_string(&place).unwrap(), "edited by hand");
    let around: Vec<_> = fs::read_dir(bench.path("results")).unwrap().collect();
    assert_eq!(around.len(), 1, "no temporary file may stay: {around:?}");
}

#[test]
fn an_entry_needs_its_blobs() {
    let bench = Bench::new();
    let kept = bench.ingest("out/f", "kept");
    let key = bench.entry("result", vec![kept]);
    assert_eq!(bench.store.entry(&key).unwrap().unwrap().body, json!({ "name": "result" }));
    assert_eq!(bench.store.entry(&Digest::of(b"other")).unwrap(), None);

    fs::remove_file(bench.store.blob_path(&kept.digest)).unwrap();
    assert_eq!(bench.store.missing(&kept).unwrap(), [kept.digest]);
    let again = Entry { artifacts: vec![kept], body: json!(null) };
    assert!(
        matches!(bench.store.put_entry(&key, &again), Err(StoreError::Missing(digest)) if digest == kept.digest)
    );
}

#[test]
fn a_missing_blob_inside_a_tree_is_found() {
    let bench = Bench::new();
    bench.write("out/a", "a");
    bench.write("out/b", "b");
    let tree = bench.store.ingest(&bench.path("out")).unwrap();
    assert_eq!(bench.store.missing(&tree).unwrap(), []);
    fs::remove_file(bench.store.blob_path(&Digest::of(b"b"))).unwrap();
    assert_eq!(bench.store.missing(&tree).unwrap(), [Digest::of(b"b")]);
}

#[test]
fn verify_finds_each_kind_of_damage_and_discard_takes_it_out() {
    let bench = Bench::new();
    let (good, flipped, lost) =
        (bench.ingest("a", "good"), bench.ingest("b", "flipped"), bench.ingest("c", "lost"));
    bench.entry("good", vec![good]);
    bench.entry("flipped", vec![flipped]);
    bench.entry("lost", vec![lost]);
    let sound = bench.store.verify(|_| ()).unwrap();
    assert_eq!((sound.blobs, sound.bytes, sound.entries, sound.damage), (3, 15, 3, vec![]));

    let blob = bench.store.blob_path(&flipped.digest);
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&blob, "flopped").unwrap();
    fs::remove_file(bench.store.blob_path(&lost.digest)).unwrap();
    fs::write(bench.store.folder().join("tmp/killed"), "half").unwrap();
    let report = bench.store.verify(|_| ()).unwrap();
    assert_eq!(report.leftovers, 1);
    let kinds: BTreeSet<_> = report
        .damage
        .iter()
        .map(|damage| match damage {
            Damage::Blob { path, .. } => format!("blob {}", *path == blob),
            Damage::Missing { digest, .. } => format!("missing {}", digest.short()),
            Damage::Entry { .. } => "entry".to_owned(),
        })
        .collect();
    let missing = |artifact: &Artifact| format!("missing {}", artifact.digest.short());
    assert_eq!(kinds, BTreeSet::from(["blob true".to_owned(), missing(&flipped), missing(&lost)]));

    bench.store.discard(&report.damage).unwrap();
    let after = bench.store.verify(|_| ()).unwrap();
    assert_eq!((after.blobs, after.entries, after.damage), (1, 1, vec![]));
}

#[test]
fn gc_keeps_roots_recent_results_and_young_blobs() {
    let bench = Bench::new();
    let (rooted, stale) = (bench.ingest("a", "rooted"), bench.ingest("b", "stale"));
    let root = bench.entry("rooted", vec![rooted]);
    bench.entry("stale", vec![stale]);
    let day = Duration::from_secs(86_400);
    let later = SystemTime::now() + 10 * day;
    let roots = BTreeSet::from([root]);

    let now = bench.store.plan_gc(&BTreeSet::new(), &BTreeSet::new(), day, SystemTime::now()).unwrap();
    assert_eq!((now.entries.len(), now.blobs.len()), (0, 0), "everything is young");

    let plan = bench.store.plan_gc(&roots, &BTreeSet::new(), day, later).unwrap();
    assert_eq!((plan.entries.len(), plan.blobs.len(), plan.kept_entries, plan.kept_blobs), (1, 1, 1, 1));
    assert!(bench.store.contains(&stale.digest), "planning removes nothing");
    bench.store.collect(&plan).unwrap();
    assert!(bench.store.contains(&rooted.digest) && !bench.store.contains(&stale.digest));

    let pinned = BTreeSet::from([rooted.digest]);
    let plan = bench.store.plan_gc(&BTreeSet::new(), &pinned, day, later).unwrap();
    assert_eq!((plan.entries.len(), plan.blobs.len()), (1, 0));
}

#[test]
fn many_writers_of_one_content_agree() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let bench = &bench;
            scope.spawn(move || {
                for round in 0..50 {
                    assert_eq!(
                        bench.store.put(format!("{round}").as_bytes()).unwrap().size(),
                        format!("{round}").len() as u64
                    );
                    bench.ingest(&format!("w{writer}/{round}"), &format!("file {round}"));
                }
            });
        }
    });
    let report = bench.store.verify(|_| ()).unwrap();
    assert_eq!((report.blobs, report.leftovers, report.damage), (100, 0, vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn equal_folders_and_only_those_have_equal_digests(
        a in prop::collection::btree_map("[a-c](/[a-c]x)?", "[01]{0,2}", 0..4),
        b in prop::collection::btree_map("[a-c](/[a-c]x)?", "[01]{0,2}", 0..4),
    ) {
        // A name can't be a file and a folder at once.
        let possible = |files: &std::collections::BTreeMap<String, String>| {
            !files.keys().any(|name| files.keys().any(|other| other.starts_with(&format!("{name}/"))))
        };
        prop_assume!(possible(&a) && possible(&b));
        let bench = Bench::new();
        for (folder, files) in [("a", &a), ("b", &b)] {
            fs::create_dir_all(bench.path(folder)).unwrap();
            files.iter().for_each(|(name, content)| { bench.write(&format!("{folder}/{name}"), content); });
        }
        let one = bench.store.ingest(&bench.path("a")).unwrap();
        let other = bench.store.ingest(&bench.path("b")).unwrap();
        prop_assert_eq!(one == other, a == b);
    }
}
