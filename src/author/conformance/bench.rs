//! The folders of one run, and what changed outside of them.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::{Value, json};
use stagewright_protocol::{Limits, Manifest, NamedInput, RunRequest};
use tempfile::TempDir;

use super::{ConformanceError, Subject};
use crate::{digest::Digest, plugin::PASSED_VARIABLES};

/// Folders that a run may write to, below the bench's root.
const OWN: &[&str] = &["work", "out", "scratch", "checkpoints"];

/// Folders for one run. The program's home is an empty one among them, so that what it writes there shows.
pub(super) struct Bench {
    root: TempDir,
    env: BTreeMap<OsString, OsString>,
    /// Everything outside of the run's own folders, as it was before.
    before: BTreeMap<PathBuf, Stamp>,
    watched: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    folder: bool,
}

impl Bench {
    pub fn new(subject: &Subject) -> Result<Self, ConformanceError> {
        let place = std::env::temp_dir();
        let root = tempfile::Builder::new()
            .prefix("stagewright-test-")
            .tempdir_in(&place)
            .map_err(|source| ConformanceError::Folder { path: place, source })?;
        for name in OWN.iter().chain(&["home"]) {
            let path = root.path().join(name);
            fs::create_dir(&path).map_err(|source| ConformanceError::Folder { path, source })?;
        }
        let passed =
            PASSED_VARIABLES.iter().filter_map(|(name, _)| Some(((*name).into(), std::env::var_os(name)?)));
        let mut env: BTreeMap<OsString, OsString> = passed.collect();
        env.insert("HOME".into(), root.path().join("home").into());
        env.insert("TMPDIR".into(), root.path().join("work").into());
        // Compiled modules beside a script are a matter of the interpreter.
        env.insert("PYTHONDONTWRITEBYTECODE".into(), "1".into());
        let watched = std::iter::once(root.path().to_owned())
            .chain(subject.inputs.values().flatten().cloned())
            .collect();
        let mut bench = Self { root, env, before: BTreeMap::new(), watched };
        bench.before = bench.look()?;
        Ok(bench)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn env(&self) -> &BTreeMap<OsString, OsString> {
        &self.env
    }

    /// Sets a variable that the engine would not pass on by itself.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.into(), value.into());
    }

    /// A run in these folders, with the fields that a later version of the protocol may add.
    pub fn request(
        &self,
        manifest: &Manifest,
        params: &Value,
        inputs: &BTreeMap<String, Vec<PathBuf>>,
    ) -> Value {
        let bound = inputs.iter().map(|(port, paths)| {
            let types = manifest.inputs.get(port).map_or("file", |port| port.artifact_type.as_str());
            let artifact_type = types.split('|').next().unwrap_or(types).trim().to_owned();
            let named = paths.iter().map(|path| NamedInput {
                name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
                path: path.clone(),
                artifact_type: artifact_type.clone(),
                role: None,
            });
            (port.clone(), named.collect())
        });
        let request = RunRequest {
            stage: "conformance".to_owned(),
            params: params.clone(),
            inputs: bound.collect(),
            output_dir: self.path("out"),
            scratch_dir: self.path("scratch"),
            checkpoint_dir: self.path("checkpoints"),
            seed: 7,
            limits: Limits { threads: 2, memory: 0 },
        };
        let mut message = json!(request);
        message["kind"] = "run".into();
        message
    }

    /// What was made, changed or removed outside of the run's own folders since the bench was set up.
    pub fn strays(&self) -> Result<Vec<String>, ConformanceError> {
        let after = self.look()?;
        let home = self.root.path();
        let show = |path: &Path| {
            path.strip_prefix(home).map_or_else(
                |_| path.display().to_string(),
                |inner| {
                    inner.strip_prefix("home").map_or_else(
                        |_| inner.display().to_string(),
                        |inner| format!("~/{}", inner.display()),
                    )
                },
            )
        };
        let changed = after.iter().filter_map(|(path, stamp)| match self.before.get(path) {
            None => Some(format!("made {}", show(path))),
            // A folder's time changes with what is in it, which shows by itself.
            Some(before) if before != stamp && !stamp.folder => Some(format!("changed {}", show(path))),
            Some(_) => None,
        });
        let removed = self.before.keys().filter(|path| !after.contains_key(*path));
        Ok(changed.chain(removed.map(|path| format!("removed {}", show(path)))).collect())
    }

    /// Digests of all files in the output folder, by path.
    pub fn outputs(&self) -> Result<BTreeMap<PathBuf, Digest>, ConformanceError> {
        let root = self.path("out");
        let failed =
            |path: &Path, source: io::Error| ConformanceError::Folder { path: path.to_owned(), source };
        let mut found = BTreeMap::new();
        for item in walkdir::WalkDir::new(&root) {
            let item = item.map_err(|error| failed(&root, error.into()))?;
            if item.file_type().is_file() {
                let bytes = fs::read(item.path()).map_err(|source| failed(item.path(), source))?;
                let place = item.path().strip_prefix(&root).unwrap_or(item.path()).to_owned();
                found.insert(place, Digest::of(&bytes));
            }
        }
        Ok(found)
    }

    fn look(&self) -> Result<BTreeMap<PathBuf, Stamp>, ConformanceError> {
        let mut found = BTreeMap::new();
        for place in &self.watched {
            let own = |path: &Path| OWN.iter().any(|name| path == self.root.path().join(name));
            let walk = walkdir::WalkDir::new(place).min_depth(usize::from(place == self.root.path()));
            for item in walk.into_iter().filter_entry(|item| !own(item.path())) {
                let failed = |source| ConformanceError::Folder { path: place.clone(), source };
                let item = item.map_err(|error| failed(error.into()))?;
                let meta = item.metadata().map_err(|error| failed(error.into()))?;
                let stamp =
                    Stamp { length: meta.len(), modified: meta.modified().ok(), folder: meta.is_dir() };
                found.insert(item.into_path(), stamp);
            }
        }
        Ok(found)
    }
}
