//! Push and fetch when nothing goes wrong.

use std::{fs, sync::Arc};

use stagewright::{
    digest::Digest,
    remote::{Fetched, PART_SIZE, Pushed, Verdict},
};

use super::{
    places::{Shelf, every_kind, every_kind_and_layout, s3, session, session_in, tiered},
    server::files,
};

const LARGE: usize = PART_SIZE as usize * 2 + 12_345;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_machine_pushes_another_fetches() {
    for (place, layout) in every_kind_and_layout() {
        let (here, there) = (Shelf::new(), Shelf::new());
        let keys = vec![here.result("a", 40, LARGE), here.result("b", 3, 10)];
        let remote = session_in(Arc::clone(&place.objects), layout);
        let pushed = remote.push(&here.store, keys.clone()).await.unwrap();
        assert_eq!(
            (pushed.results, pushed.known_results, pushed.incomplete.len()),
            (2, 0, 0),
            "{}",
            place.name
        );
        for key in &keys {
            assert!(remote.fetch_result(&there.store, key).await.unwrap().is_some());
            there.assert_has(key);
            assert_eq!(there.store.entry(key).unwrap(), here.store.entry(key).unwrap());
        }
        let again = remote.push(&here.store, keys.clone()).await.unwrap();
        let known_blobs = pushed.blobs + pushed.known_blobs;
        let nothing = Pushed { known_results: 2, known_blobs, ..Pushed::default() };
        assert_eq!(again, nothing);
        assert_eq!(remote.fetch_result(&there.store, &keys[0]).await.unwrap(), Some(Fetched::default()));
        assert_eq!(remote.fetch_result(&there.store, &Digest::of(b"unknown")).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_blobs_are_looked_for_by_listing() {
    let place = s3("p");
    let server = place.server.as_ref().unwrap();
    let here = Shelf::new();
    let key = here.result("a", 300, 10);
    let remote = session(Arc::clone(&place.objects));
    remote.push(&here.store, vec![key]).await.unwrap();
    server.forget();
    let again = remote.push(&here.store, vec![key]).await.unwrap();
    assert_eq!(again.blobs, 0);
    assert!(server.count("HEAD", "blobs-v1") == 0 && server.count("GET", "list-type=2") <= 40);
    assert_eq!((server.count("PUT", ""), server.count("PUT", "leases-v1")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_in_the_remote_is_healed_by_the_next_push() {
    let place = s3("");
    let server = place.server.as_ref().unwrap();
    let (here, there) = (Shelf::new(), Shelf::new());
    let key = here.result("a", 5, 10);
    let remote = session(Arc::clone(&place.objects));
    remote.push(&here.store, vec![key]).await.unwrap();
    let blobs: Vec<String> =
        files(&server.bucket()).into_iter().filter(|name| name.starts_with("blobs-v1")).collect();
    fs::remove_file(server.bucket().join(&blobs[0])).unwrap();
    fs::write(server.bucket().join(&blobs[1]), "a length that no blob has, of all that were made").unwrap();
    assert!(remote.fetch_result(&there.store, &key).await.is_err());
    assert_eq!(there.store.entry(&key).unwrap(), None);
    assert_eq!(remote.push(&here.store, vec![key]).await.unwrap().blobs, 2);
    remote.fetch_result(&there.store, &key).await.unwrap().unwrap();
    there.assert_has(&key);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_result_of_a_key_stays_as_long_as_it_is_whole() {
    let place = s3("");
    let server = place.server.as_ref().unwrap();
    let (first, second) = (Shelf::new(), Shelf::new());
    let key = first.result("a", 2, 10);
    // Another machine has another result of the same key, as of a stage that is not deterministic.
    let mut other = second.store.entry(&second.result("a", 2, 10)).unwrap().unwrap();
    other.artifacts.truncate(1);
    other.body = serde_json::json!({"name": "other"});
    second.store.put_entry(&key, &other).unwrap();
    let remote = session(Arc::clone(&place.objects));
    remote.push(&first.store, vec![key]).await.unwrap();
    assert_eq!(remote.push(&second.store, vec![key]).await.unwrap().known_results, 1);
    let there = Shelf::new();
    remote.fetch_result(&there.store, &key).await.unwrap().unwrap();
    assert_eq!(there.store.entry(&key).unwrap(), first.store.entry(&key).unwrap());
    // Without all its bytes it serves nobody, and the other one takes its place.
    let log = files(&server.bucket())
        .into_iter()
        .find(|name| fs::read(server.bucket().join(name)).unwrap() == b"log of a");
    fs::remove_file(server.bucket().join(log.unwrap())).unwrap();
    assert_eq!(remote.push(&second.store, vec![key]).await.unwrap().results, 1);
    let late = Shelf::new();
    remote.fetch_result(&late.store, &key).await.unwrap().unwrap();
    assert_eq!(late.store.entry(&key).unwrap().unwrap(), other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_not_whole_is_not_pushed() {
    let place = s3("");
    let here = Shelf::new();
    let (whole, broken) = (here.result("a", 2, 10), here.result("b", 2, 10));
    let log = Digest::of(b"log of b");
    fs::remove_file(here.store.blob_path(&log)).unwrap();
    let unknown = Digest::of(b"unknown");
    let remote = session(Arc::clone(&place.objects));
    let pushed = remote.push(&here.store, vec![whole, broken, unknown]).await.unwrap();
    assert_eq!(pushed.results, 1);
    assert!(pushed.incomplete.contains(&broken) && pushed.incomplete.contains(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_near_copy_answers_for_the_far_one() {
    let place = tiered();
    let server = place.server.as_ref().unwrap();
    let here = Shelf::new();
    let key = here.result("a", 5, 10);
    let remote = session(Arc::clone(&place.objects));
    remote.push(&here.store, vec![key]).await.unwrap();
    server.forget();
    let there = Shelf::new();
    remote.fetch_result(&there.store, &key).await.unwrap().unwrap();
    there.assert_has(&key);
    assert_eq!(server.count("GET", "blobs-v1"), 0);
    // A damaged near copy is dropped, and the far one asked.
    let near = place.folders[0].path();
    for name in files(near) {
        fs::write(near.join(name), "damaged").unwrap();
    }
    let again = Shelf::new();
    remote.fetch_result(&again.store, &key).await.unwrap().unwrap();
    again.assert_has(&key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tries_everything_and_leaves_nothing() {
    for place in every_kind() {
        let remote = session(Arc::clone(&place.objects));
        let probes = remote.check(true).await;
        let whats: Vec<&str> = probes.iter().map(|probe| probe.what).collect();
        assert!(
            whats.ends_with(&["write", "read", "range", "conditional writes", "parts", "delete"]),
            "{whats:?}"
        );
        let works = |probe: &stagewright::remote::Probe| matches!(probe.verdict, Verdict::Works(_));
        assert!(probes.iter().all(works), "{}: {probes:?}", place.name);
        assert_eq!(place.objects.list("", None).await.unwrap().objects, []);
    }
}
