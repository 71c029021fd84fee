//! Remotes of every kind for a test, and stores with something in them.

use std::{fs, path::Path, sync::Arc, time::Duration};

use aws_sdk_s3::config::Credentials;
use stagewright::{
    config::{Config, Environment, Layout, RemoteUrl},
    digest::Digest,
    remote::{Folder, Objects, Retry, S3, Session, Tiered, TransferEvent},
    store::{Artifact, ArtifactKind, Entry, LocalStore},
};
use tempfile::TempDir;

use super::server::{ACCESS_KEY, BUCKET, SECRET_KEY, Server};

/// A remote with all that has to live as long as it.
pub struct Place {
    pub name: &'static str,
    pub objects: Arc<dyn Objects>,
    pub server: Option<Server>,
    pub folders: Vec<TempDir>,
}

pub fn every_kind() -> Vec<Place> {
    vec![folder(), s3("some/prefix"), s3(""), tiered()]
}

pub fn every_kind_and_layout() -> Vec<(Place, Layout)> {
    LAYOUTS
        .into_iter()
        .flat_map(|layout| every_kind().into_iter().map(move |place| (place, layout)))
        .collect()
}

pub fn folder() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let objects = Arc::new(Folder::new(&folder.path().join("made/when/needed")));
    Place { name: "folder", objects, server: None, folders: vec![folder] }
}

pub fn s3(prefix: &str) -> Place {
    let server = Server::start();
    let objects = Arc::new(client(&server, prefix));
    Place { name: "s3", objects, server: Some(server), folders: Vec::new() }
}

pub fn tiered() -> Place {
    let far = s3("");
    let near = folder();
    let objects = Arc::new(Tiered::new(near.objects, far.objects));
    Place { name: "tiered", objects, server: far.server, folders: near.folders }
}

pub fn client(server: &Server, prefix: &str) -> S3 {
    let url = if prefix.is_empty() { format!("s3://{BUCKET}") } else { format!("s3://{BUCKET}/{prefix}") };
    let project = tempfile::tempdir().unwrap();
    let text =
        format!("[remotes.test]\nurl = '{url}'\nendpoint = '{}'\nregion = 'here'\n", server.endpoint());
    fs::write(project.path().join("stagewright.toml"), text).unwrap();
    let config = Config::load(project.path(), &Environment::default()).unwrap();
    let settings = config.remote(Some(&"test".parse().unwrap())).unwrap();
    let RemoteUrl::S3 { bucket, prefix } = &settings.url else { panic!("an S3 remote was asked for") };
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
    S3::new(settings, bucket, prefix, None).with_credentials(credentials)
}

/// How content may lie in a remote.
pub const LAYOUTS: [Layout; 2] = [Layout::Native, Layout::Packed];

/// A session that tries again at once, over a remote with an object for each blob.
pub fn session(objects: Arc<dyn Objects>) -> Arc<Session> {
    session_in(objects, Layout::Native)
}

/// A session that tries again at once.
pub fn session_in(objects: Arc<dyn Objects>, layout: Layout) -> Arc<Session> {
    let retry = Retry {
        attempts: 6,
        first_pause: Duration::from_millis(2),
        longest_pause: Duration::from_millis(20),
    };
    let session = Session::over("test".parse().unwrap(), objects, Arc::new(|_: TransferEvent| {}));
    Arc::new(session.with_layout(layout).with_retry(retry))
}

/// A store in a folder of its own.
pub struct Shelf {
    pub store: LocalStore,
    folder: TempDir,
}

impl Shelf {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: LocalStore::open(&folder.path().join("store")).unwrap(), folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A result of what lies in the work folder.
    pub fn result_of(&self, name: &str, write: impl FnOnce(&Path)) -> Digest {
        let work = self.folder.path().join("work");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work).unwrap();
        write(&work);
        let entry = Entry {
            artifacts: vec![self.store.ingest(&work).unwrap()],
            body: serde_json::json!({ "name": name }),
        };
        let key = Digest::of(format!("key of {name}").as_bytes());
        self.store.put_entry(&key, &entry).unwrap();
        key
    }

    /// A result with a folder of so many small files, one file of `large` bytes, and a log.
    pub fn result(&self, name: &str, files: usize, large: usize) -> Digest {
        let work = self.folder.path().join("work");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(work.join("tree/sub")).unwrap();
        for index in 0..files {
            fs::write(work.join(format!("tree/sub/{index}")), format!("{name} {index}")).unwrap();
        }
        fs::write(work.join("tree/empty"), "").unwrap();
        let bytes: Vec<u8> = (0..large).map(|index| (index % 251) as u8 ^ name.as_bytes()[0]).collect();
        fs::write(work.join("large"), bytes).unwrap();
        let tree = self.store.ingest(&work.join("tree")).unwrap();
        let large = self.store.ingest(&work.join("large")).unwrap();
        let log = self.store.put(format!("log of {name}").as_bytes()).unwrap();
        let log = Artifact { kind: ArtifactKind::File, digest: log, files: 1, bytes: log.size() };
        let key = Digest::of(format!("key of {name}").as_bytes());
        let entry = Entry { artifacts: vec![tree, large, log], body: serde_json::json!({"name": name}) };
        self.store.put_entry(&key, &entry).unwrap();
        key
    }

    /// The store is sound and has this result whole.
    pub fn assert_has(&self, key: &Digest) {
        let entry = self.store.entry(key).unwrap().expect("the result is there");
        for artifact in &entry.artifacts {
            assert_eq!(self.store.missing(artifact).unwrap(), []);
        }
        let report = self.store.verify(|_| {}).unwrap();
        assert_eq!(report.damage, []);
    }
}
