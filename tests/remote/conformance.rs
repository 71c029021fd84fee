//! What every kind of remote has to do.

use bytes::Bytes;
use stagewright::remote::{Key, Objects, Put, RemoteError, When};

use super::places::every_kind;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

async fn all(objects: &dyn Objects, prefix: &str) -> Vec<(String, u64)> {
    let (mut found, mut from) = (Vec::new(), None::<String>);
    loop {
        let page = objects.list(prefix, from.as_deref()).await.unwrap();
        found.extend(page.objects.into_iter().map(|object| (object.key.to_string(), object.size)));
        match page.next {
            Some(next) => from = Some(next),
            None => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_come_back_as_they_went() {
    for place in every_kind() {
        let objects = &*place.objects;
        let big = Bytes::from((0..300_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
        for (name, body) in
            [("a", Bytes::from_static(b"first")), ("b/c d/ü", big.clone()), ("empty", Bytes::new())]
        {
            let key = key(name);
            assert_eq!(objects.head(&key).await.unwrap(), None, "{} {name}", place.name);
            assert_eq!(objects.put(&key, body.clone(), When::Always).await.unwrap(), Put::Written);
            assert_eq!(objects.head(&key).await.unwrap(), Some(body.len() as u64));
            assert_eq!(objects.get(&key, None).await.unwrap(), body);
        }
        assert_eq!(objects.get(&key("b/c d/ü"), Some(5..1_000_003)).await.unwrap(), big.slice(5..1_000_003));
        assert_eq!(objects.get(&key("a"), Some(4..5)).await.unwrap(), Bytes::from_static(b"t"));
        assert!(objects.get(&key("a"), Some(3..9)).await.is_err(), "{}", place.name);
        objects.put(&key("a"), Bytes::from_static(b"second"), When::Always).await.unwrap();
        assert_eq!(objects.get(&key("a"), None).await.unwrap(), Bytes::from_static(b"second"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_apart_from_what_fails() {
    for place in every_kind() {
        let objects = &*place.objects;
        let nothing = key("not/there");
        assert_eq!(objects.head(&nothing).await.unwrap(), None);
        assert!(
            matches!(objects.get(&nothing, None).await, Err(RemoteError::NotFound { .. })),
            "{}",
            place.name
        );
        assert!(matches!(objects.get(&nothing, Some(0..1)).await, Err(RemoteError::NotFound { .. })));
        objects.delete(&nothing).await.unwrap();
        assert_eq!(all(objects, "not/").await, []);
        objects.settle().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_keeps_what_is_there() {
    for place in every_kind() {
        let objects = &*place.objects;
        let key = key("once");
        assert_eq!(objects.put(&key, Bytes::from_static(b"one"), When::Absent).await.unwrap(), Put::Written);
        assert_eq!(objects.put(&key, Bytes::from_static(b"two"), When::Absent).await.unwrap(), Put::Existed);
        assert_eq!(objects.get(&key, None).await.unwrap(), Bytes::from_static(b"one"), "{}", place.name);
        objects.delete(&key).await.unwrap();
        assert_eq!(objects.put(&key, Bytes::from_static(b"two"), When::Absent).await.unwrap(), Put::Written);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_whole_and_sorted() {
    for place in every_kind() {
        let objects = &*place.objects;
        let mut names: Vec<String> =
            (0..1100).map(|index| format!("many/{:02x}/{index}", index % 7)).collect();
        names.push("many.x".to_owned());
        names.push("other/1".to_owned());
        for name in &names {
            objects.put(&key(name), Bytes::from_static(b"x"), When::Always).await.unwrap();
        }
        names.sort();
        let listed: Vec<String> = all(objects, "").await.into_iter().map(|(key, _)| key).collect();
        assert_eq!(listed, names, "{}", place.name);
        let some = all(objects, "many/0").await;
        assert_eq!(some.len(), 1100);
        assert!(some.iter().all(|(_, size)| *size == 1));
        assert_eq!(
            all(objects, "many/03/1").await.len(),
            names.iter().filter(|name| name.starts_with("many/03/1")).count()
        );
        assert_eq!(all(objects, "othe").await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_make_one_object_and_may_come_from_two_processes() {
    const PART: usize = 5 << 20;
    for place in every_kind() {
        let objects = &*place.objects;
        let (key, other) = (key("large/object"), key("large/other"));
        let first = Bytes::from(vec![1; PART]);
        let upload = objects.begin(&key).await.unwrap();
        let mut parts = vec![objects.put_part(&key, &upload, 1, 0, first.clone()).await.unwrap()];
        assert_eq!(
            objects.head(&key).await.unwrap(),
            None,
            "{}: nothing is there before the end",
            place.name
        );
        assert_eq!(all(objects, "").await, []);
        // Another process finds what the first one left.
        let found = objects.parts(&key, &upload).await.unwrap().unwrap();
        assert_eq!(found.iter().map(|part| (part.number, part.size)).collect::<Vec<_>>(), [(1, PART as u64)]);
        let last = Bytes::from_static(b"the end");
        parts.push(objects.put_part(&key, &upload, 2, PART as u64, last.clone()).await.unwrap());
        objects.complete(&key, &upload, &parts).await.unwrap();
        let size = (PART + last.len()) as u64;
        assert_eq!(objects.head(&key).await.unwrap(), Some(size));
        assert_eq!(objects.get(&key, Some(PART as u64 - 2..size)).await.unwrap()[..], *b"\x01\x01the end");
        assert_eq!(objects.parts(&key, &upload).await.unwrap().unwrap_or_default(), []);
        let dropped = objects.begin(&other).await.unwrap();
        objects.put_part(&other, &dropped, 1, 0, last).await.unwrap();
        objects.abort(&other, &dropped).await.unwrap();
        assert_eq!(objects.head(&other).await.unwrap(), None);
        assert_eq!(objects.parts(&other, &dropped).await.unwrap().unwrap_or_default(), [], "{}", place.name);
    }
}

#[test]
fn keys_are_plain_relative_paths() {
    for wrong in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a\\b", "a\nb", &"x".repeat(2000)] {
        assert!(Key::new(wrong).is_err(), "{wrong:?}");
    }
    for right in ["a", "a/b.c", "ü/ä", ".hidden", "a b"] {
        assert_eq!(Key::new(right).unwrap().as_str(), right);
    }
}
