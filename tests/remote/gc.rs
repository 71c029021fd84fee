//! Collections and checks of a remote: what is needed stays, whatever happens meanwhile.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use stagewright::{
    config::Layout,
    digest::Digest,
    remote::{Folder, Keep, Objects, RemoteDamage, RemoteError, Session},
    store::LocalStore,
    track,
};

use super::{
    dying::Dying,
    packed::noise,
    places::{LAYOUTS, Place, Shelf, every_kind_and_layout, folder, s3, session_in},
    server::files,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Where the far objects of a place lie on disk.
fn root(place: &Place) -> PathBuf {
    match &place.server {
        Some(server) => server.bucket(),
        None => place.folders[0].path().join("made/when/needed"),
    }
}

/// As if everything there had been written so many days ago.
fn age(root: &Path, days: u32) {
    for name in files(root) {
        let file = File::options().write(true).open(root.join(name)).unwrap();
        file.set_modified(SystemTime::now() - DAY * days).unwrap();
    }
}

fn keep(results: &[Digest]) -> Keep {
    Keep { results: results.iter().copied().collect(), younger_than: DAY * 14, ..Keep::default() }
}

fn weight(root: &Path) -> u64 {
    files(root).iter().map(|name| fs::metadata(root.join(name)).unwrap().len()).sum()
}

async fn assert_comes(remote: &Arc<Session>, key: &Digest) {
    let there = Shelf::new();
    remote.fetch_result(&there.store, key).await.unwrap().expect("the result is there");
    there.assert_has(key);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_or_young_stays_and_the_rest_goes() {
    for (place, layout) in every_kind_and_layout() {
        let here = Shelf::new();
        let [named, old, young] = ["named", "old", "young"].map(|name| {
            here.result_of(name, |work| {
                fs::write(work.join(name), noise(name.len() as u64, 900_000)).unwrap()
            })
        });
        let remote = session_in(Arc::clone(&place.objects), layout);
        remote.push(&here.store, vec![named, old]).await.unwrap();
        age(&root(&place), 20);
        remote.push(&here.store, vec![young]).await.unwrap();
        let before = weight(&root(&place));
        let plan = remote.plan_gc(&keep(&[named])).await.unwrap();
        assert_eq!((plan.results.len(), plan.kept_results), (1, 2), "{} {layout:?}", place.name);
        assert!(plan.bytes() > 800_000);
        assert_eq!(weight(&root(&place)), before, "a plan changes nothing");
        let done = remote.gc(&keep(&[named])).await.unwrap();
        assert_eq!(done.results, plan.results);
        let fresh = session_in(Arc::clone(&place.objects), layout);
        assert!(before - weight(&root(&place)) > 800_000, "{} {layout:?}", place.name);
        for key in [named, young] {
            assert_comes(&fresh, &key).await;
            // Whoever has looked before looks again.
            assert_comes(&remote, &key).await;
        }
        assert!(remote.fetch_result(&Shelf::new().store, &old).await.unwrap().is_none());
        let again = fresh.gc(&keep(&[named])).await.unwrap();
        assert_eq!((again.results.len(), again.bytes()), (0, 0));
        // What went can be pushed again.
        remote.push(&here.store, vec![old]).await.unwrap();
        assert_comes(&fresh, &old).await;
        assert!(files(&root(&place)).iter().all(|name| !name.starts_with("leases")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_a_ledger_names_stay_whatever_becomes_of_the_result() {
    for (place, layout) in every_kind_and_layout() {
        let here = Shelf::new();
        let [statement, other] = [1, 2].map(|seed| here.store.put(&noise(seed, 300_000)).unwrap());
        let remote = session_in(Arc::clone(&place.objects), layout);
        let line =
            |blob| serde_json::to_vec(&serde_json::json!({ "statement": blob, "kind": "run" })).unwrap();
        let log = |blob, name| {
            let (remote, store) = (Arc::clone(&remote), here.store.clone());
            async move {
                let blobs = [blob].into();
                remote.push_log((&store, &blobs), name, None, &[line(blob)], serde_json::Value::Null).await
            }
        };
        log(statement, "kept").await.unwrap();
        log(other, "lost").await.unwrap();
        age(&root(&place), 20);
        for name in files(&root(&place)).iter().filter(|name| name.contains("logs/lost")) {
            fs::remove_file(root(&place).join(name)).unwrap();
        }
        remote.gc(&keep(&[])).await.unwrap();
        let (there, fresh) = (Shelf::new(), session_in(Arc::clone(&place.objects), layout));
        fresh.fetch_present(&there.store, &[statement, other].into()).await.unwrap();
        let come = [&statement, &other].map(|blob| there.store.contains(blob));
        assert_eq!(come, [true, false], "{} {layout:?}", place.name);
        assert!(files(&root(&place)).iter().all(|name| !name.starts_with("leases")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versioned_data_stays_that_is_named() {
    for layout in LAYOUTS {
        let place = folder();
        let tree = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&tree.path().join(".stagewright/store")).unwrap();
        let names = ["kept", "dropped"].map(|name| {
            fs::create_dir(tree.path().join(name)).unwrap();
            fs::write(tree.path().join(name).join("file"), noise(name.len() as u64, 500_000)).unwrap();
            fs::write(tree.path().join(name).join("both"), "the same in both").unwrap();
            track::add(tree.path(), &tree.path().join(name), &store).unwrap().tracked.pointer.name
        });
        let remote = session_in(Arc::clone(&place.objects), layout);
        remote.push_tracked(&store, names.to_vec()).await.unwrap();
        age(&root(&place), 20);
        let kept = Keep { tracked: [names[0]].into(), younger_than: DAY * 14, ..Keep::default() };
        assert_eq!(remote.gc(&kept).await.unwrap().tracked.len(), 1);
        let there = LocalStore::open(&tree.path().join("other")).unwrap();
        let fetched = remote.fetch_tracked(&there, &names).await.unwrap();
        assert_eq!(fetched.absent, [names[1]]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_packs_and_indexes_become_few() {
    let (place, here) = (s3(""), Shelf::new());
    let keys: Vec<Digest> = (0..12).map(|index| here.result(&format!("{index}"), 5, 50_000)).collect();
    let remote = session_in(Arc::clone(&place.objects), Layout::Packed);
    for key in &keys {
        remote.push(&here.store, vec![*key]).await.unwrap();
    }
    let count = |prefix: &str| files(&root(&place)).iter().filter(|name| name.starts_with(prefix)).count();
    assert_eq!((count("packs-v1"), count("indexes-v1")), (12, 12));
    remote.gc(&keep(&[])).await.unwrap();
    assert_eq!(count("packs-v1"), 1);
    assert!(count("indexes-v1") <= 2);
    let fresh = session_in(Arc::clone(&place.objects), Layout::Packed);
    for key in &keys {
        assert_comes(&fresh, key).await;
    }
    assert_eq!(fresh.push(&here.store, keys).await.unwrap().sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_off_push_left_goes_only_when_it_is_old() {
    let (place, here) = (folder(), Shelf::new());
    let (key, other) = (here.result("a", 5, 500_000), here.result("b", 1, 10));
    session_in(Arc::clone(&place.objects), Layout::Packed).push(&here.store, vec![other]).await.unwrap();
    // The lease and the pack, and no more.
    let dying = Dying::after(2, Arc::clone(&place.objects));
    session_in(dying, Layout::Packed).push(&here.store, vec![key]).await.unwrap_err();
    let count = || files(&root(&place)).iter().filter(|name| name.starts_with("packs-v1")).count();
    assert_eq!(count(), 2);
    // Its lease counts until it expires.
    age(&root(&place).join("leases-v1"), 1);
    let remote = session_in(Arc::clone(&place.objects), Layout::Packed);
    remote.gc(&keep(&[])).await.unwrap();
    assert_eq!(count(), 2);
    age(&root(&place), 3);
    remote.gc(&keep(&[])).await.unwrap();
    assert_eq!(count(), 1);
    assert_comes(&remote, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_and_a_collection_wait_for_each_other() {
    for (kind, removes) in [("alone", false), ("shared", true)] {
        let (place, here) = (folder(), Shelf::new());
        let key = here.result("a", 2, 10);
        let lease = root(&place).join("leases-v1").join(kind);
        fs::create_dir_all(&lease).unwrap();
        fs::write(lease.join("0123"), "{\"does\":\"x\",\"holder\":\"a test\"}").unwrap();
        let remote = session_in(Arc::clone(&place.objects), Layout::Packed);
        let (store, waits) = (here.store.clone(), Arc::clone(&remote));
        let going = tokio::spawn(async move {
            if removes {
                waits.gc(&keep(&[])).await.map(drop)
            } else {
                waits.push(&store, vec![key]).await.map(drop)
            }
        });
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(!going.is_finished());
        fs::remove_file(lease.join("0123")).unwrap();
        going.await.unwrap().unwrap();
        assert_eq!(files(&root(&place).join("leases-v1")), Vec::<String>::new());
    }
    // Two that remove do not wait for each other.
    let place = folder();
    let lease = root(&place).join("leases-v1/alone");
    fs::create_dir_all(&lease).unwrap();
    fs::write(lease.join("0123"), "{\"does\":\"x\",\"holder\":\"a test\"}").unwrap();
    let error = session_in(Arc::clone(&place.objects), Layout::Packed).gc(&keep(&[])).await.unwrap_err();
    assert!(matches!(&error, RemoteError::Busy { holder, .. } if holder == "a test"), "{error}");
    // One that is gone counts no more, and is taken away.
    age(&lease, 1);
    session_in(Arc::clone(&place.objects), Layout::Packed).gc(&keep(&[])).await.unwrap();
    assert_eq!(files(&lease), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_push_relies_on_is_not_removed_under_it() {
    for (layout, round) in LAYOUTS.into_iter().flat_map(|layout| (0..4).map(move |round| (layout, round))) {
        let (place, here) = (folder(), Shelf::new());
        let old = here.result_of("old", |work| fs::write(work.join("x"), noise(1, 300_000)).unwrap());
        let new = here.result_of("new", |work| {
            fs::write(work.join("x"), noise(1, 300_000)).unwrap();
            fs::write(work.join("y"), noise(2, 300_000)).unwrap();
        });
        let open = || session_in(Arc::clone(&place.objects), layout);
        open().push(&here.store, vec![old]).await.unwrap();
        age(&root(&place), 20);
        let (pushes, removes) = (open(), open());
        let pushed = async {
            tokio::time::sleep(Duration::from_millis(2 * round)).await;
            pushes.push(&here.store, vec![new]).await
        };
        let kept = keep(&[]);
        let (pushed, removed) = tokio::join!(pushed, removes.gc(&kept));
        pushed.unwrap();
        removed.unwrap();
        assert_comes(&open(), &new).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn a_collection_that_is_cut_off_anywhere_loses_nothing(
        sets in prop::collection::vec((prop::collection::vec((0u64..9, 1usize..200_000), 0..5), any::<bool>()), 1..12),
        packed: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let layout = LAYOUTS[usize::from(packed)];
        let (folder, here) = (tempfile::tempdir().unwrap(), Shelf::new());
        let keys: Vec<(Digest, bool)> = sets.iter().enumerate().map(|(position, (files, kept))| {
            let write = |work: &Path| {
                for (position, (seed, size)) in files.iter().enumerate() {
                    fs::write(work.join(format!("{position}")), noise(*seed, *size)).unwrap();
                }
            };
            (here.result_of(&position.to_string(), write), *kept)
        }).collect();
        let kept: Vec<Digest> = keys.iter().filter(|(_, kept)| *kept).map(|(key, _)| *key).collect();
        runtime.block_on(async {
            let objects: Arc<dyn Objects> = Arc::new(Folder::new(folder.path()));
            for (key, _) in &keys {
                session_in(Arc::clone(&objects), layout).push(&here.store, vec![*key]).await.unwrap();
            }
            age(folder.path(), 20);
            for writes in 0.. {
                let dying = Dying::after(writes, Arc::clone(&objects));
                let done = session_in(dying.clone(), layout).gc(&keep(&kept)).await;
                age(&folder.path().join("leases-v1"), 1);
                let there = Shelf::new();
                for (key, kept) in &keys {
                    let came = session_in(Arc::clone(&objects), layout).fetch_result(&there.store, key).await.unwrap();
                    assert!(came.is_some() || !kept);
                }
                if done.is_ok() {
                    break;
                }
                assert!(dying.is_dead() && writes < 200);
            }
            let report = session_in(Arc::clone(&objects), layout).verify(None).await.unwrap();
            assert_eq!(report.damage, []);
            assert_eq!(report.followed, kept.len() as u64);
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_and_mended_from_the_store() {
    for (place, layout) in every_kind_and_layout() {
        let (here, other) = (Shelf::new(), Shelf::new());
        let key = here.result("a", 30, 700_000);
        let theirs = other.result_of("b", |work| fs::write(work.join("x"), noise(4, 400_000)).unwrap());
        let open = || session_in(Arc::clone(&place.objects), layout);
        open().push(&here.store, vec![key]).await.unwrap();
        open().push(&other.store, vec![theirs]).await.unwrap();
        let sound = open().verify(None).await.unwrap();
        assert_eq!((sound.damage.len(), sound.lost.len(), sound.followed), (0, 0, 2), "{sound:?}");
        assert!(sound.bytes > 400_000);
        let prefix = if layout == Layout::Packed { "packs-v1" } else { "blobs-v1" };
        // Every object has a wrong byte, in turn, and then is gone.
        let names: Vec<String> =
            files(&root(&place)).into_iter().filter(|name| name.starts_with(prefix)).collect();
        for (name, gone) in names.iter().take(3).flat_map(|name| [(name, false), (name, true)]) {
            let path = root(&place).join(name);
            let Ok(mut bytes) = fs::read(&path) else { continue };
            if bytes.is_empty() {
                continue;
            }
            if gone {
                fs::remove_file(&path).unwrap();
            } else {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(&path, bytes).unwrap();
            }
            let found = open().verify(None).await.unwrap();
            assert!(!found.damage.is_empty() && !found.lost.is_empty(), "{} {layout:?} {name}", place.name);
            for store in [&here.store, &other.store] {
                open().verify(Some(store)).await.unwrap();
            }
            let mended = open().verify(None).await.unwrap();
            assert_eq!(
                (mended.damage, mended.lost),
                (vec![], vec![]),
                "{} {layout:?} {name} {gone}",
                place.name
            );
            assert_comes(&open(), &key).await;
            assert_comes(&open(), &theirs).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_any_more_is_told_and_spoils_nothing_else() {
    for layout in LAYOUTS {
        let (place, here, other) = (s3(""), Shelf::new(), Shelf::new());
        let key = here.result("a", 3, 300_000);
        let lost = other.result_of("b", |work| fs::write(work.join("x"), noise(4, 400_000)).unwrap());
        let remote = session_in(Arc::clone(&place.objects), layout);
        remote.push(&here.store, vec![key]).await.unwrap();
        let before = files(&root(&place));
        remote.push(&other.store, vec![lost]).await.unwrap();
        let new = files(&root(&place)).into_iter().filter(|name| !before.contains(name));
        let largest = new.max_by_key(|name| fs::metadata(root(&place).join(name)).unwrap().len()).unwrap();
        let mut bytes = fs::read(root(&place).join(&largest)).unwrap();
        bytes[100_000] ^= 1;
        fs::write(root(&place).join(&largest), bytes).unwrap();
        let found = remote.verify(Some(&here.store)).await.unwrap();
        assert!(!found.lost.is_empty() && found.mended == 0, "{found:?}");
        assert!(found.damage.iter().any(|fault| matches!(fault, RemoteDamage::Object { .. })));
        let fresh = session_in(Arc::clone(&place.objects), layout);
        assert_comes(&fresh, &key).await;
        assert!(fresh.fetch_result(&Shelf::new().store, &lost).await.is_err());
        // Whoever has it mends it by pushing.
        fresh.push(&other.store, vec![lost]).await.unwrap();
        if layout == Layout::Packed {
            assert_comes(&session_in(Arc::clone(&place.objects), layout), &lost).await;
        }
    }
}
