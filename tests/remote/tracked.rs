//! Tracked data over remotes in every layout.

use std::{fs, sync::Arc};

use stagewright::{
    config::Layout,
    remote::{RemoteError, Retry, Session},
    store::LocalStore,
    track::{self, CheckedOut, ObjectName, State, Tracked},
};
use tempfile::TempDir;

use super::{
    places::{Place, every_kind, s3},
    server::files,
};

struct Tree {
    folder: TempDir,
    store: LocalStore,
}

impl Tree {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&folder.path().join(".stagewright/store")).unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    fn add(&self, name: &str) -> Tracked {
        track::add(self.folder.path(), &self.path(name), &self.store).unwrap().tracked
    }

    /// The pointer files of another tree, as git would bring them.
    fn take_pointers(&self, from: &Self) -> Vec<Tracked> {
        for tracked in track::find(from.folder.path(), &[]).unwrap() {
            let relative = tracked.file.strip_prefix(from.folder.path()).unwrap();
            self.write(relative.to_str().unwrap(), &fs::read(&tracked.file).unwrap());
        }
        track::find(self.folder.path(), &[]).unwrap()
    }
}

fn session(place: &Place, layout: Layout) -> Arc<Session> {
    let session = Session::over("test".parse().unwrap(), Arc::clone(&place.objects), Arc::new(|_| {}));
    Arc::new(session.with_layout(layout).with_retry(Retry { attempts: 1, ..Retry::default() }))
}

fn names(tracked: &[Tracked]) -> Vec<ObjectName> {
    tracked.iter().map(|tracked| tracked.pointer.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_clone_pushes_another_checks_out() {
    for layout in [Layout::Dvc, Layout::Native, Layout::Packed] {
        for place in every_kind() {
            let (here, there) = (Tree::new(), Tree::new());
            for index in 0..80 {
                here.write(&format!("data/sub {}/{index}", index % 3), format!("content {index}").as_bytes());
            }
            here.write("data/empty", b"");
            here.write("one.bin", &vec![7; 9_000_000]);
            here.add("data");
            here.add("one.bin");
            let remote = session(&place, layout);
            let tracked = track::find(here.folder.path(), &[]).unwrap();
            let pushed = remote.push_tracked(&here.store, names(&tracked)).await.unwrap();
            assert!(
                pushed.objects >= 83 && pushed.incomplete.is_empty(),
                "{layout:?} {}: {pushed:?}",
                place.name
            );
            assert_eq!(remote.push_tracked(&here.store, names(&tracked)).await.unwrap().objects, 0);
            let tracked = there.take_pointers(&here);
            assert_eq!(tracked.len(), 2);
            let fetched = remote.fetch_tracked(&there.store, &names(&tracked)).await.unwrap();
            assert_eq!(fetched.absent, []);
            for item in &tracked {
                assert_eq!(track::state(item, &there.store).unwrap(), State::Missing);
                assert_eq!(track::checkout(item, &there.store, false).unwrap(), CheckedOut::Placed);
                assert_eq!(track::state(item, &there.store).unwrap(), State::Same);
            }
            assert_eq!(files(&there.path("data")), files(&here.path("data")));
            assert_eq!(fs::read(there.path("one.bin")).unwrap(), fs::read(here.path("one.bin")).unwrap());
            assert_eq!(there.store.verify(|_| {}).unwrap().damage, []);
            // A second version costs what changed.
            here.write("data/new", b"new");
            here.add("data");
            let second = track::find(here.folder.path(), &[]).unwrap();
            remote.push_tracked(&here.store, names(&second)).await.unwrap();
            let came = remote.fetch_tracked(&there.store, &names(&there.take_pointers(&here))).await.unwrap();
            assert!((2..=3).contains(&came.objects), "{came:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_layout_of_dvc_is_its_bytes() {
    let place = s3("");
    let here = Tree::new();
    here.write("data/a", b"hello\r\nworld\r\n");
    here.write("data/b/c", b"");
    let tracked = here.add("data");
    session(&place, Layout::Dvc).push_tracked(&here.store, vec![tracked.pointer.name]).await.unwrap();
    let bucket = place.server.as_ref().unwrap().bucket();
    let listing = "[{\"md5\": \"7ac062d8a84466e70d9b899c0821a51c\", \"relpath\": \"a\"}, {\"md5\": \"d41d8cd98f00b204e9800998ecf8427e\", \"relpath\": \"b/c\"}]";
    let name = tracked.pointer.name.to_string();
    let dir = format!("files/md5/{}/{}", &name[..2], &name[2..]);
    assert_eq!(fs::read_to_string(bucket.join(&dir)).unwrap(), listing);
    assert_eq!(
        fs::read(bucket.join("files/md5/7a/c062d8a84466e70d9b899c0821a51c")).unwrap(),
        b"hello\r\nworld\r\n"
    );
    assert_eq!(fs::read(bucket.join("files/md5/d4/1d8cd98f00b204e9800998ecf8427e")).unwrap(), b"");
    assert_eq!(files(&bucket.join("files")).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_and_damaged_objects_get_nowhere() {
    let place = s3("");
    let bucket = place.server.as_ref().unwrap().bucket();
    let remote = session(&place, Layout::Dvc);
    let there = Tree::new();
    let put = |bytes: &[u8], folder: bool| {
        let name = ObjectName { md5: stagewright::digest::Md5::of(bytes), folder };
        let text = name.to_string();
        let path = bucket.join("files/md5").join(&text[..2]).join(&text[2..]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        (name, path)
    };
    let (evil, _) = put(b"evil", false);
    for relpath in ["../../../outside", "/etc/passwd", "a/../../outside"] {
        let listing = format!("[{{\"md5\": \"{}\", \"relpath\": \"{relpath}\"}}]", evil.md5);
        let (name, _) = put(listing.as_bytes(), true);
        let error = remote.fetch_tracked(&there.store, &[name]).await.unwrap_err();
        assert!(error.to_string().contains("leaves the folder"), "{error}");
        assert_eq!(there.store.alias(&name.md5, true).unwrap(), None);
    }
    let (damaged, path) = put(b"as it was", false);
    fs::write(path, b"as it is!").unwrap();
    let error = remote.fetch_tracked(&there.store, &[damaged]).await.unwrap_err();
    assert!(matches!(error, RemoteError::Corrupt { .. }), "{error}");
    // A listing whose file is gone.
    let gone = stagewright::digest::Md5::of(b"gone");
    let (name, _) = put(format!("[{{\"md5\": \"{gone}\", \"relpath\": \"x\"}}]").as_bytes(), true);
    let error = remote.fetch_tracked(&there.store, &[name]).await.unwrap_err();
    assert!(matches!(error, RemoteError::NotFound { .. }), "{error}");
    let unknown = ObjectName { md5: gone, folder: true };
    assert_eq!(remote.fetch_tracked(&there.store, &[unknown]).await.unwrap().absent, [unknown]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_lies_is_found_out() {
    let place = s3("");
    let here = Tree::new();
    here.write("a", b"what was added");
    here.write("b", b"something else");
    let (a, b) = (here.add("a").pointer.name, here.add("b").pointer.name);
    let remote = session(&place, Layout::Native);
    remote.push_tracked(&here.store, vec![a, b]).await.unwrap();
    let bucket = place.server.as_ref().unwrap().bucket();
    let path = |name: ObjectName| {
        let text = name.to_string();
        bucket.join("md5-v1").join(&text[..2]).join(&text[2..])
    };
    fs::copy(path(b), path(a)).unwrap();
    let there = Tree::new();
    let error = remote.fetch_tracked(&there.store, &[a]).await.unwrap_err();
    assert!(error.to_string().contains("has another MD5"), "{error}");
    assert_eq!(there.store.alias(&a.md5, false).unwrap(), None);
}
