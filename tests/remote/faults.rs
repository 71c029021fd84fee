//! Servers and networks that fail: nothing wrong gets through, nothing half is left, and what helps is done.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_s3::config::Credentials;
use stagewright::{
    config::RemoteName,
    remote::{Objects, PART_SIZE, RemoteError, Retry, Session, TransferEvent, Verdict},
};

use super::{
    places::{LAYOUTS, Place, Shelf, client, s3, session, session_in},
    server::{Fault, Seen, Server, files},
};

const LARGE: usize = PART_SIZE as usize * 3 + 77;

/// Every request fails now and then in this way, and everything comes to a good end.
async fn weathers(fault: impl Fn(&Seen) -> Option<Fault> + Send + Clone + 'static) {
    for layout in LAYOUTS {
        let place = s3("p");
        let server = place.server.unwrap();
        let (here, there) = (Shelf::new(), Shelf::new());
        let key = here.result("a", 20, LARGE);
        let remote = session_in(place.objects, layout);
        server.fail(fault.clone());
        let pushed = remote.push(&here.store, vec![key]).await.unwrap();
        // A result whose answer was lost is found there the second time.
        assert_eq!((pushed.results + pushed.known_results, pushed.incomplete.len()), (1, 0));
        remote.fetch_result(&there.store, &key).await.unwrap().unwrap();
        there.assert_has(&key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_server_are_tried_again() {
    weathers(|seen| (seen.number % 5 == 1).then_some(Fault::Error(500, "InternalError"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_gets_fewer_requests() {
    weathers(|seen| (seen.number % 4 == 2).then_some(Fault::Error(503, "SlowDown"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_are_made_again() {
    weathers(|seen| (seen.number % 5 == 3).then_some(Fault::Reset)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_break_off_are_asked_for_again() {
    weathers(|seen| (seen.method == "GET" && seen.number % 3 == 0).then_some(Fault::CutBody)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_do_no_harm() {
    weathers(|seen| (seen.method != "GET" && seen.number % 3 == 0).then_some(Fault::LostAnswer)).await;
}

/// A fault that the first so many matching requests have.
fn at_first(
    count: usize,
    matches: fn(&Seen) -> bool,
    fault: Fault,
) -> impl Fn(&Seen) -> Option<Fault> + Send {
    let left = AtomicUsize::new(count);
    move |seen| {
        let hit = matches(seen)
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        hit.then_some(fault)
    }
}

async fn pushed(files: usize, large: usize) -> (Place, Shelf, stagewright::digest::Digest, Arc<Session>) {
    let place = s3("");
    let here = Shelf::new();
    let key = here.result("a", files, large);
    let remote = session(Arc::clone(&place.objects));
    remote.push(&here.store, vec![key]).await.unwrap();
    (place, here, key, remote)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_byte_on_the_way_is_noticed_and_asked_for_again() {
    let (place, _here, key, remote) = pushed(4, LARGE).await;
    for matches in [
        (|seen| seen.is("GET", "blobs-v1") && seen.query.contains("GetObject")) as fn(&Seen) -> bool,
        |seen| seen.is("GET", "blobs-v1"),
    ] {
        place.server.as_ref().unwrap().fail(at_first(1, matches, Fault::FlipByte));
        let there = Shelf::new();
        remote.fetch_result(&there.store, &key).await.unwrap().unwrap();
        there.assert_has(&key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_that_stay_wrong_never_get_into_the_store() {
    let (place, _here, key, remote) = pushed(4, LARGE).await;
    for fault in [Fault::FlipByte, Fault::ShortBody] {
        place.server.as_ref().unwrap().fail(move |seen| seen.is("GET", "blobs-v1").then_some(fault));
        let there = Shelf::new();
        let error = remote.fetch_result(&there.store, &key).await.unwrap_err();
        assert!(matches!(error, RemoteError::Corrupt { .. } | RemoteError::GaveUp { .. }), "{error}");
        assert_eq!(there.store.entry(&key).unwrap(), None);
        assert_eq!(there.store.verify(|_| {}).unwrap().damage, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_named() {
    let (place, _here, key, remote) = pushed(0, LARGE).await;
    let server = place.server.as_ref().unwrap();
    let blobs = server.bucket();
    let name = files(&blobs)
        .into_iter()
        .find(|name| fs::metadata(blobs.join(name)).unwrap().len() == LARGE as u64)
        .unwrap();
    let mut bytes = fs::read(blobs.join(&name)).unwrap();
    bytes[LARGE / 2] ^= 1;
    fs::write(blobs.join(&name), bytes).unwrap();
    let there = Shelf::new();
    let error = remote.fetch_result(&there.store, &key).await.unwrap_err();
    assert!(error.is_about_one_object() && matches!(error, RemoteError::Corrupt { .. }), "{error}");
    assert_eq!(files(&there.store.folder().join("tmp")), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_vanishes_is_named() {
    let (place, _here, key, remote) = pushed(4, LARGE).await;
    place
        .server
        .as_ref()
        .unwrap()
        .fail(|seen| (seen.is("GET", "blobs-v1")).then_some(Fault::Error(404, "NoSuchKey")));
    let there = Shelf::new();
    let error = remote.fetch_result(&there.store, &key).await.unwrap_err();
    assert!(matches!(error, RemoteError::NotFound { .. }), "{error}");
    assert_eq!(there.store.entry(&key).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_says_how_often_and_why() {
    let place = s3("");
    place.server.as_ref().unwrap().fail(|_| Some(Fault::Error(500, "InternalError")));
    let retries = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&retries);
    let listener = move |event| {
        if let TransferEvent::Retried { attempt, .. } = event {
            heard.lock().unwrap().push(attempt);
        }
    };
    let name: RemoteName = "test".parse().unwrap();
    let retry =
        Retry { attempts: 3, first_pause: Duration::from_millis(1), longest_pause: Duration::from_millis(1) };
    let remote = Arc::new(Session::over(name, place.objects, Arc::new(listener)).with_retry(retry));
    let error = remote.check_format().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "gave up after 3 attempts in 0 s: s3://bucket could not read stagewright-remote.json: InternalError: on order"
    );
    assert_eq!(*retries.lock().unwrap(), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_attempt_can_not_mend_is_told_at_once() {
    let place = s3("");
    let server = place.server.as_ref().unwrap();
    let remote = session(Arc::clone(&place.objects));
    for (status, code, wanted) in [
        (403, "ExpiredToken", "Credentials"),
        (403, "InvalidAccessKeyId", "Credentials"),
        (403, "AccessDenied", "Denied"),
        (403, "RequestTimeTooSkewed", "Clock"),
        (301, "PermanentRedirect", "Region"),
        (400, "AuthorizationHeaderMalformed", "Region"),
        (404, "NoSuchBucket", "NoBucket"),
        (400, "InvalidRequest", "Refused"),
    ] {
        server.forget();
        server.fail(move |_| Some(Fault::Error(status, code)));
        let error = remote.check_format().await.unwrap_err();
        assert!(format!("{error:?}").starts_with(wanted), "{code}: {error:?}");
        assert_eq!(server.count("GET", ""), 1, "{code}");
        let probes = remote.check(true).await;
        assert!(matches!(probes.last().unwrap().verdict, Verdict::Fails(_)), "{probes:?}");
        assert_eq!(probes.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_the_credentials_fault() {
    let server = Server::start();
    let objects =
        client(&server, "").with_credentials(Credentials::new("AKEXAMPLE", "wrong", None, None, "test"));
    let error = session(Arc::new(objects)).check_format().await.unwrap_err();
    assert!(matches!(error, RemoteError::Credentials { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_tried_and_named() {
    let server = Server::start();
    let objects = client(&server, "");
    drop(server);
    let error = session(Arc::new(objects)).check_format().await.unwrap_err();
    assert!(matches!(error, RemoteError::GaveUp { attempts: 6, .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_fails_leaves_no_result_and_goes_on_from_where_it_was() {
    let place = s3("");
    let server = place.server.as_ref().unwrap();
    let here = Shelf::new();
    let key = here.result("a", 10, LARGE);
    let remote = session(Arc::clone(&place.objects));
    // The last part of the large file is refused for good.
    server.fail(|seen| {
        (seen.method == "PUT" && seen.query.contains("partNumber=4"))
            .then_some(Fault::Error(403, "AccessDenied"))
    });
    let error = remote.push(&here.store, vec![key]).await.unwrap_err();
    assert!(matches!(error, RemoteError::Denied { .. }), "{error}");
    assert!(files(&server.bucket()).iter().all(|name| !name.starts_with("actions-v1")));
    server.heal();
    let sent = server.count("PUT", "partNumber=");
    server.forget();
    remote.push(&here.store, vec![key]).await.unwrap();
    assert!(
        server.count("PUT", "partNumber=") < 4 + 4 - sent.min(4) + 1
            && server.count("PUT", "partNumber=4") == 1
    );
    let there = Shelf::new();
    remote.fetch_result(&there.store, &key).await.unwrap().unwrap();
    there.assert_has(&key);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pushers_at_once_leave_one_whole_result() {
    for layout in LAYOUTS {
        let place = s3("");
        let (one, two) = (Shelf::new(), Shelf::new());
        let key = one.result("a", 60, LARGE);
        assert_eq!(two.result("a", 60, LARGE), key);
        let (first, second) =
            (session_in(Arc::clone(&place.objects), layout), session_in(Arc::clone(&place.objects), layout));
        let (a, b) = tokio::join!(first.push(&one.store, vec![key]), second.push(&two.store, vec![key]));
        assert!((1..=2).contains(&(a.unwrap().results + b.unwrap().results)));
        let there = Shelf::new();
        first.fetch_result(&there.store, &key).await.unwrap().unwrap();
        there.assert_has(&key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_fetchers_of_one_store_share_the_work() {
    for layout in LAYOUTS {
        let (place, here, there) = (s3(""), Shelf::new(), Shelf::new());
        let key = here.result("a", 20, LARGE);
        session_in(Arc::clone(&place.objects), layout).push(&here.store, vec![key]).await.unwrap();
        let open = || session_in(Arc::clone(&place.objects), layout);
        let (first, second) = (open(), open());
        let (a, b) =
            tokio::join!(first.fetch_result(&there.store, &key), second.fetch_result(&there.store, &key));
        assert!(a.unwrap().is_some() && b.unwrap().is_some());
        there.assert_has(&key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_spoils_no_remote() {
    let place = s3("");
    let here = Shelf::new();
    let key = here.result("a", 2, LARGE);
    let entry = here.store.entry(&key).unwrap().unwrap();
    let large = here.store.blob_path(&entry.artifacts[1].digest);
    let mut bytes = fs::read(&large).unwrap();
    bytes[5] ^= 1;
    fs::remove_file(&large).unwrap();
    fs::write(&large, bytes).unwrap();
    let remote = session(Arc::clone(&place.objects));
    // Written to since it was stored: that is seen before anything is sent.
    let pushed = remote.push(&here.store, vec![key]).await.unwrap();
    assert_eq!((pushed.incomplete, pushed.blobs), (vec![key], 0));
    // As a failing disk does it, the file system knowing nothing.
    let sealed = here.store.blob_path(&entry.artifacts[2].digest).metadata().unwrap().modified().unwrap();
    fs::File::options().append(true).open(&large).unwrap().set_modified(sealed).unwrap();
    let error = remote.push(&here.store, vec![key]).await.unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    let bucket = place.server.as_ref().unwrap().bucket();
    assert!(files(&bucket).iter().all(|name| fs::metadata(bucket.join(name)).unwrap().len() != LARGE as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_of_a_later_release_is_left_alone() {
    let place = s3("");
    let bucket = place.server.as_ref().unwrap().bucket();
    let here = Shelf::new();
    let key = here.result("a", 2, 10);
    for (marker, wanted) in [
        (
            r#"{"format": 99, "layout": "native", "new": true}"#,
            "has format 99, and this release reads up to 1",
        ),
        (r#"{"format": 1, "layout": "knots"}"#, "the layout `knots` is not known to this release"),
        ("{", "is not readable as the remote's format"),
    ] {
        fs::write(bucket.join("stagewright-remote.json"), marker).unwrap();
        let error = session(Arc::clone(&place.objects)).push(&here.store, vec![key]).await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    assert_eq!(files(&bucket), ["stagewright-remote.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_lies_about_sizes_costs_nothing() {
    let (place, here, key, remote) = pushed(0, 10).await;
    let bucket = place.server.as_ref().unwrap().bucket();
    let name = files(&bucket).into_iter().find(|name| name.starts_with("actions-v1")).unwrap();
    let entry = here.store.entry(&key).unwrap().unwrap();
    let digest = entry.artifacts[1].digest.to_string();
    let lie = digest.trim_end_matches(":10").to_owned() + ":99999999999999";
    let text = fs::read_to_string(bucket.join(&name)).unwrap().replace(&digest, &lie);
    fs::write(bucket.join(&name), text).unwrap();
    let there = Shelf::new();
    let error = remote.fetch_result(&there.store, &key).await.unwrap_err();
    assert!(matches!(error, RemoteError::Corrupt { .. }), "{error}");
    // What else was on its way may still be being written, or about to be, when the error comes.
    let tmp = there.store.folder().join("tmp");
    let mut quiet = 0;
    for _ in 0..500 {
        quiet = if files(&tmp).is_empty() { quiet + 1 } else { 0 };
        if quiet == 30 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((quiet, files(&tmp)), (30, Vec::<String>::new()));
    assert!(there.path().is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_never_seen_half() {
    let place = s3("");
    let objects: &dyn Objects = &*place.objects;
    let server = place.server.as_ref().unwrap();
    server.fail(|seen| (seen.method == "PUT").then_some(Fault::Reset));
    let key = stagewright::remote::Key::new("x").unwrap();
    assert!(
        objects
            .put(&key, vec![1; 100_000].into(), stagewright::remote::When::Always)
            .await
            .unwrap_err()
            .is_transient()
    );
    server.heal();
    assert_eq!(objects.head(&key).await.unwrap(), None);
}
