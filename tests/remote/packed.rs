//! The layout `packed`: few requests, little for a second version, nothing believed, nothing lost.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use stagewright::{
    config::Layout,
    digest::Digest,
    remote::{Folder, Objects, PART_SIZE, RemoteError, Session, TransferEvent},
};

use super::{
    dying::Dying,
    places::{LAYOUTS, Place, Shelf, folder, s3, session_in},
    server::{Fault, files},
};

/// Bytes that nothing compresses.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn open(place: &Place) -> Arc<Session> {
    session_in(Arc::clone(&place.objects), Layout::Packed)
}

fn many(work: &Path, count: u64, changed: impl Fn(u64) -> bool) {
    for index in 0..count {
        let seed = if changed(index) { index + 1_000_000 } else { index };
        fs::write(work.join(format!("{index:05}.bin")), noise(seed, 3000)).unwrap();
    }
}

fn names(place: &Place, prefix: &str) -> Vec<String> {
    let bucket = place.server.as_ref().unwrap().bucket();
    files(&bucket).into_iter().filter(|name| name.starts_with(prefix)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_are_a_handful_of_requests() {
    let place = s3("");
    let server = place.server.as_ref().unwrap();
    let (here, there) = (Shelf::new(), Shelf::new());
    let key = here.result_of("first", |work| many(work, 2000, |_| false));
    let pushed = open(&place).push(&here.store, vec![key]).await.unwrap();
    assert_eq!((pushed.blobs, pushed.results), (2001, 1));
    assert!(server.count("", "") < 20, "{}", server.count("", ""));
    assert_eq!((names(&place, "packs-v1").len(), names(&place, "indexes-v1").len()), (1, 1));
    server.forget();
    open(&place).fetch_result(&there.store, &key).await.unwrap().unwrap();
    there.assert_has(&key);
    assert!(server.count("", "") < 20, "{}", server.count("", ""));
    // Nothing is sent or read again, and a copy of the index serves where the remote has its original.
    server.forget();
    let copies = tempfile::tempdir().unwrap();
    let again = || {
        let session = Session::over("test".parse().unwrap(), Arc::clone(&place.objects), Arc::new(|_| {}));
        Arc::new(session.with_layout(Layout::Packed).with_copies(copies.path().to_owned()))
    };
    assert_eq!(again().push(&here.store, vec![key]).await.unwrap().sent, 0);
    // The lease is all that is written.
    assert_eq!((server.count("GET", "indexes-v1/"), server.count("PUT", "")), (1, 1));
    server.forget();
    assert_eq!(again().push(&here.store, vec![key]).await.unwrap().sent, 0);
    assert_eq!(server.count("GET", "indexes-v1/"), 0);
    // What the copies say of a remote that lost everything is not believed.
    for name in names(&place, "packs-v1") {
        fs::remove_file(server.bucket().join(name)).unwrap();
    }
    assert_eq!(again().push(&here.store, vec![key]).await.unwrap().blobs, 2001);
    let late = Shelf::new();
    again().fetch_result(&late.store, &key).await.unwrap().unwrap();
    late.assert_has(&key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_version_costs_what_changed() {
    let place = s3("");
    let (here, there) = (Shelf::new(), Shelf::new());
    let count = 3000;
    let first = here.result_of("first", |work| many(work, count, |_| false));
    let second = here.result_of("second", |work| many(work, count, |index| index % 100 == 7));
    let whole = open(&place).push(&here.store, vec![first]).await.unwrap();
    assert!(whole.sent > count * 3000, "{whole:?}");
    let changed = open(&place).push(&here.store, vec![second]).await.unwrap();
    assert_eq!(changed.blobs, 31);
    assert!(changed.sent * 100 < whole.sent * 2, "{} of {}", changed.sent, whole.sent);
    // A large file with something put into its middle.
    let mut large = noise(1, 6_000_000);
    let before = here.result_of("before", |work| fs::write(work.join("large"), &large).unwrap());
    large.splice(3_000_000..3_000_000, [1, 2, 3]);
    let after = here.result_of("after", |work| fs::write(work.join("large"), &large).unwrap());
    open(&place).push(&here.store, vec![before]).await.unwrap();
    let changed = open(&place).push(&here.store, vec![after]).await.unwrap();
    assert!(changed.sent < 600_000, "{}", changed.sent);
    for key in [first, second, before, after] {
        open(&place).fetch_result(&there.store, &key).await.unwrap().unwrap();
        there.assert_has(&key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_pack_holds_goes_into_several() {
    let place = folder();
    let (here, there) = (Shelf::new(), Shelf::new());
    let key = here.result_of("large", |work| {
        fs::write(work.join("noise"), noise(5, 70 << 20)).unwrap();
        fs::write(work.join("zeros"), vec![0; 30 << 20]).unwrap();
    });
    let pushed = open(&place).push(&here.store, vec![key]).await.unwrap();
    assert!((70 << 20..72 << 20).contains(&pushed.sent), "{pushed:?}");
    let root = place.folders[0].path().join("made/when/needed");
    let packs: Vec<u64> = files(&root.join("packs-v1"))
        .iter()
        .map(|name| fs::metadata(root.join("packs-v1").join(name)).unwrap().len())
        .collect();
    assert_eq!(packs.len(), 2);
    assert!(packs.iter().all(|size| *size <= 64 << 20));
    open(&place).fetch_result(&there.store, &key).await.unwrap().unwrap();
    there.assert_has(&key);
}

/// A result with small and large files, pushed.
async fn pushed() -> (Place, Shelf, Digest) {
    let (place, here) = (s3(""), Shelf::new());
    let key = here.result_of("a", |work| {
        many(work, 30, |_| false);
        fs::write(work.join("large"), noise(9, 1_000_000)).unwrap();
    });
    open(&place).push(&here.store, vec![key]).await.unwrap();
    (place, here, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_byte_on_the_way_is_asked_for_again_and_one_that_stays_is_told() {
    let (place, _here, key) = pushed().await;
    let server = place.server.as_ref().unwrap();
    let first = Mutex::new(true);
    server.fail(move |seen| {
        let hit = seen.is("GET", "packs-v1/") && std::mem::take(&mut *first.lock().unwrap());
        hit.then_some(Fault::FlipByte)
    });
    let there = Shelf::new();
    open(&place).fetch_result(&there.store, &key).await.unwrap().unwrap();
    there.assert_has(&key);
    server.heal();
    let pack = server.bucket().join(&names(&place, "packs-v1")[0]);
    let sound = fs::read(&pack).unwrap();
    for at in [sound.len() / 2, 25] {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        fs::write(&pack, bytes).unwrap();
        let there = Shelf::new();
        let error = open(&place).fetch_result(&there.store, &key).await.unwrap_err();
        assert!(matches!(error, RemoteError::Corrupt { .. }) && error.is_about_one_object(), "{error}");
        assert_eq!(there.store.entry(&key).unwrap(), None);
        assert_eq!(there.store.verify(|_| {}).unwrap().damage, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_gone_is_told_and_healed_by_the_next_push() {
    let (place, here, key) = pushed().await;
    let bucket = place.server.as_ref().unwrap().bucket();
    fs::remove_file(bucket.join(&names(&place, "packs-v1")[0])).unwrap();
    let there = Shelf::new();
    let error = open(&place).fetch_result(&there.store, &key).await.unwrap_err();
    assert!(matches!(error, RemoteError::NotFound { .. }), "{error}");
    let healed = open(&place).push(&here.store, vec![key]).await.unwrap();
    assert_eq!(healed.known_results, 1);
    open(&place).fetch_result(&there.store, &key).await.unwrap().unwrap();
    there.assert_has(&key);
}

/// SHA-256 and size.
type Chunk = ([u8; 32], u32);

/// Writes an index as `docs/remotes.md` describes it.
struct Forged {
    packs: Vec<([u8; 32], u32)>,
    chunks: Vec<([u8; 32], [u32; 4])>,
    recipes: Vec<([u8; 32], u64, Vec<Chunk>)>,
}

impl Forged {
    fn write(&self, bucket: &Path) {
        let mut out = b"stagewright-index 1\n".to_vec();
        for count in [self.packs.len(), self.chunks.len(), self.recipes.len()] {
            out.extend((count as u32).to_le_bytes());
        }
        for (hash, size) in &self.packs {
            out.extend(hash);
            out.extend(size.to_le_bytes());
        }
        for (hash, numbers) in &self.chunks {
            out.extend(hash);
            numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
        }
        for (blob, size, chunks) in &self.recipes {
            out.extend(blob);
            out.extend(size.to_le_bytes());
            out.extend((chunks.len() as u32).to_le_bytes());
            for (hash, raw) in chunks {
                out.extend(hash);
                out.extend(raw.to_le_bytes());
            }
        }
        put(bucket, "indexes-v1", &out);
    }
}

/// The chunks of a blob in an index of one pack.
fn recipe_in(index: &[u8], blob: &[u8; 32]) -> Vec<Chunk> {
    let at = index.windows(32).rposition(|window| window == blob).unwrap();
    let count = u32::from_le_bytes(index[at + 40..at + 44].try_into().unwrap()) as usize;
    let chunk =
        |bytes: &[u8]| (bytes[..32].try_into().unwrap(), u32::from_le_bytes(bytes[32..].try_into().unwrap()));
    index[at + 44..at + 44 + count * 36].chunks(36).map(chunk).collect()
}

fn put(bucket: &Path, folder: &str, bytes: &[u8]) -> [u8; 32] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    let hex = hex::encode(hash);
    let path = bucket.join(folder).join(&hex[..2]).join(&hex[2..]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    hash
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_lies_is_told_and_another_one_still_serves() {
    let (place, here, key) = pushed().await;
    let bucket = place.server.as_ref().unwrap().bucket();
    let entry = here.store.entry(&key).unwrap().unwrap();
    let tree = here.store.tree(&entry.artifacts[0].digest).unwrap();
    let (small, large) = (tree.entries()[0].digest, tree.entries()[30].digest);
    assert_eq!((small.size(), large.size()), (3000, 1_000_000));
    let genuine = fs::read(bucket.join(&names(&place, "indexes-v1")[0])).unwrap();
    // A pack with other bytes, one with a bomb, and one that is not there.
    let other = [&b"stagewright-pack 1\n"[..], &[7; 3000]].concat();
    let bomb = zstd::bulk::compress(&vec![0; 50_000_000], 19).unwrap();
    let bomb_size = bomb.len() as u32;
    assert!(bomb_size < 3000);
    let packs = [
        (put(&bucket, "packs-v1", &other), other.len() as u32, 3000),
        (
            put(&bucket, "packs-v1", &[&b"stagewright-pack 1\n"[..], &bomb].concat()),
            19 + bomb_size,
            bomb_size,
        ),
        ([1; 32], 4000, 3000),
    ];
    for (hash, size, stored) in packs {
        Forged {
            packs: vec![(hash, size)],
            chunks: vec![(*small.hash(), [0, 19, stored, 3000])],
            recipes: vec![],
        }
        .write(&bucket);
    }
    // The large file made of its pieces in another order, and indexes that are none.
    let chunks = recipe_in(&genuine, large.hash());
    assert!(chunks.len() > 5);
    let reversed = chunks.into_iter().rev().collect();
    Forged { packs: vec![], chunks: vec![], recipes: vec![(*large.hash(), 1_000_000, reversed)] }
        .write(&bucket);
    Forged { packs: vec![], chunks: vec![([2; 32], [0, 19, 5, 5])], recipes: vec![] }.write(&bucket);
    put(&bucket, "indexes-v1", b"stagewright-index 9\nfrom the future");
    fs::create_dir_all(bucket.join("indexes-v1/00")).unwrap();
    fs::write(bucket.join("indexes-v1/00").join("00".repeat(31)), b"other bytes than the name says").unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let listener = move |event| {
        if let TransferEvent::Distrusted { what } = event {
            heard.lock().unwrap().push(what);
        }
    };
    let session = Session::over("test".parse().unwrap(), Arc::clone(&place.objects), Arc::new(listener));
    let there = Shelf::new();
    Arc::new(session).fetch_result(&there.store, &key).await.unwrap().unwrap();
    there.assert_has(&key);
    let told = told.lock().unwrap().join("\n");
    for wanted in ["does not name", "a version that this release does not know", "is not what its name says"]
    {
        assert!(told.contains(wanted), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_alone_bring_nothing_into_the_store() {
    let (place, here, key) = pushed().await;
    let bucket = place.server.as_ref().unwrap().bucket();
    let entry = here.store.entry(&key).unwrap().unwrap();
    let tree = here.store.tree(&entry.artifacts[0].digest).unwrap();
    let index = bucket.join(&names(&place, "indexes-v1")[0]);
    let genuine = fs::read(&index).unwrap();
    // Every chunk lies where another one is, or ends too early.
    let (packs, chunks) = (genuine[20], u32::from_le_bytes(genuine[24..28].try_into().unwrap()) as usize);
    assert_eq!(packs, 1);
    let start = 32 + 36;
    for short in [true, false] {
        let mut bytes = genuine.clone();
        for chunk in 0..chunks {
            let at = start + chunk * 48;
            if short {
                let stored = u32::from_le_bytes(bytes[at + 40..at + 44].try_into().unwrap());
                bytes[at + 40..at + 44].copy_from_slice(&(stored - 1).to_le_bytes());
            } else {
                let next = start + (chunk + 1) % chunks * 48;
                bytes[at..at + 32].copy_from_slice(&genuine[next..next + 32]);
            }
        }
        fs::remove_file(bucket.join(&names(&place, "indexes-v1")[0])).unwrap();
        put(&bucket, "indexes-v1", &bytes);
        let there = Shelf::new();
        let error = open(&place).fetch_result(&there.store, &key).await.unwrap_err();
        assert!(error.is_about_one_object(), "{error}");
        assert_eq!(there.store.entry(&key).unwrap(), None);
        assert_eq!(there.store.verify(|_| {}).unwrap().damage, []);
        assert!(!there.store.contains(&tree.entries()[30].digest));
    }
}

/// Files of a random set, some of them in several results, some compressible.
fn sets() -> impl Strategy<Value = Vec<Vec<(u8, u32, bool)>>> {
    let file = (0u8..12, prop_oneof![Just(0u32), 1u32..3000, 100_000u32..400_000], any::<bool>());
    prop::collection::vec(prop::collection::vec(file, 0..6), 1..4)
}

fn fill(work: &Path, files: &[(u8, u32, bool)]) {
    for (position, (seed, size, plain)) in files.iter().enumerate() {
        let bytes =
            if *plain { vec![*seed; *size as usize] } else { noise(u64::from(*seed), *size as usize) };
        fs::write(work.join(format!("{position}")), bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_push_that_is_cut_off_anywhere_loses_nothing(sets in sets(), packed: bool) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let layout = LAYOUTS[usize::from(packed)];
        let (root, here) = (tempfile::tempdir().unwrap(), Shelf::new());
        let keys: Vec<Digest> = sets
            .iter()
            .enumerate()
            .map(|(position, files)| here.result_of(&position.to_string(), |work| fill(work, files)))
            .collect();
        runtime.block_on(async {
            let objects: Arc<dyn Objects> = Arc::new(Folder::new(root.path()));
            for writes in 0.. {
                let dying = Dying::after(writes, Arc::clone(&objects));
                let done = session_in(dying.clone(), layout).push(&here.store, keys.clone()).await;
                // Whatever result is there is there with all its bytes.
                let there = Shelf::new();
                for key in &keys {
                    if session_in(Arc::clone(&objects), layout).fetch_result(&there.store, key).await.unwrap().is_some() {
                        there.assert_has(key);
                    }
                }
                if done.is_ok() {
                    break;
                }
                assert!(dying.is_dead() && writes < 200);
            }
            let there = Shelf::new();
            for key in &keys {
                session_in(Arc::clone(&objects), layout).fetch_result(&there.store, key).await.unwrap().unwrap();
                there.assert_has(key);
            }
            let again = session_in(objects, layout).push(&here.store, keys.clone()).await.unwrap();
            assert_eq!((again.blobs, again.sent, again.results), (0, 0, 0));
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_stays_as_it_was_begun() {
    for (first, then) in [(Layout::Native, Layout::Packed), (Layout::Packed, Layout::Native)] {
        let (place, here, there) = (s3(""), Shelf::new(), Shelf::new());
        let (one, two) = (here.result("a", 3, 10), here.result("b", 3, PART_SIZE as usize + 1));
        session_in(Arc::clone(&place.objects), first).push(&here.store, vec![one]).await.unwrap();
        session_in(Arc::clone(&place.objects), then).push(&here.store, vec![two]).await.unwrap();
        let wanted = if first == Layout::Native { "packs-v1" } else { "blobs-v1" };
        assert_eq!(names(&place, wanted), Vec::<String>::new());
        for key in [one, two] {
            session_in(Arc::clone(&place.objects), then)
                .fetch_result(&there.store, &key)
                .await
                .unwrap()
                .unwrap();
            there.assert_has(&key);
        }
    }
}
