//! `dvc.lock`: what each stage was the last time, as DVC notes it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde_json::Value as Json;
use serde_yaml::{Mapping, Value as Yaml};

use crate::{
    plan::{Action, DEPS, Source, Start},
    spec::{
        PipelineSpec,
        types::{Dialect, DvcSpec},
    },
    store::LocalStore,
};

use super::{
    LOCK_NAME,
    context::relative,
    hash::{HashError, Hashes, Scheme},
};

/// The version of the format that is read and written.
pub(super) const SCHEMA: &str = "2.0";

/// Why a lock file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The operating system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no lock file.
    #[error("{path} is no lock file of DVC: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// A lock file, with what the dvc.yaml beside it says.
#[derive(Debug)]
pub struct Lock {
    pub(super) path: PathBuf,
    pub(super) root: PathBuf,
    /// The whole file; none where there is none.
    pub(super) text: Option<Mapping>,
    pub(super) declared: BTreeMap<String, DvcSpec>,
    pub(super) hashes: Mutex<Hashes>,
}

/// What a lock file says of one path.
struct Locked<'a> {
    path: &'a str,
    md5: &'a str,
    scheme: Scheme,
}

impl Lock {
    /// Reads the lock file beside a dvc.yaml, whose path is relative to the project's root.
    pub fn open(root: &Path, file: &Path, spec: &PipelineSpec, state_dir: &Path) -> Result<Self, LockError> {
        let path = root.join(file).with_file_name(LOCK_NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => Some(parse(&path, &text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(LockError::Io { path, source }),
        };
        let declared = spec.stages.iter().filter_map(|stage| match &stage.command()?.dialect {
            Dialect::Dvc(dvc) => Some((stage.name.value.clone(), dvc.clone())),
            Dialect::Native => None,
        });
        let (declared, hashes) = (declared.collect(), Mutex::new(Hashes::load(state_dir)));
        Ok(Self { path, root: root.to_owned(), text, declared, hashes })
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn stage(&self, name: &str) -> Option<&Mapping> {
        self.text.as_ref()?.get("stages")?.as_mapping()?.get(name)?.as_mapping()
    }

    /// Whether the work tree holds exactly what the lock file says of a stage, so that DVC would not run it. A frozen one keeps
    /// what it wrote, whatever it was made of.
    pub fn serves(&self, action: &Action, store: &LocalStore) -> Result<bool, HashError> {
        let (Some(entry), Some(declared)) = (self.stage(&action.id.0), self.declared.get(&action.id.0))
        else {
            return Ok(false);
        };
        let Start::Command(command) = &action.program.start else { return Ok(false) };
        if !action.frozen {
            if !same_json(entry.get("cmd"), &declared.command) || !params_match(entry, declared) {
                return Ok(false);
            }
            let deps = locked(entry, "deps");
            for binding in action.inputs.get(DEPS).into_iter().flatten() {
                let (Source::Path(path) | Source::Placed { path, .. }) = &binding.source else {
                    return Ok(false);
                };
                if !self.matches(&deps, &command.folder, path, store)? {
                    return Ok(false);
                }
            }
        }
        let outs = locked(entry, "outs");
        for out in &action.outs {
            if !self.matches(&outs, &command.folder, &out.path, store)? {
                return Ok(false);
            }
        }
        Ok(!action.outs.is_empty())
    }

    fn matches(
        &self,
        items: &[Locked<'_>],
        folder: &Path,
        path: &Path,
        store: &LocalStore,
    ) -> Result<bool, HashError> {
        let shown = relative(folder, path);
        let Some(item) = items.iter().find(|item| item.path == shown) else { return Ok(false) };
        let path = self.root.join(path);
        if !path.exists() || path.is_dir() != item.md5.ends_with(".dir") {
            return Ok(false);
        }
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(hashes.of_path(&path, item.scheme, store)?.md5 == item.md5)
    }

    /// Keeps the digests that were taken.
    pub fn save_hashes(&self) -> Result<(), HashError> {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).save()
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Mapping, LockError> {
    let wrong = |reason: String| LockError::Format { path: path.to_owned(), reason };
    let value: Yaml = serde_yaml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let Yaml::Mapping(map) = value else { return Err(wrong("it is no map".to_owned())) };
    if let Some(stages) = map.get("stages")
        && !matches!(stages, Yaml::Mapping(_) | Yaml::Null)
    {
        return Err(wrong("its `stages` are no map".to_owned()));
    }
    match map.get("schema").and_then(Yaml::as_str) {
        Some(SCHEMA) => Ok(map),
        Some(other) => Err(wrong(format!("its schema is {other}; {SCHEMA} is wanted"))),
        None => Err(wrong(format!("it has no `schema: '{SCHEMA}'`; DVC 3 brings an older one up to date"))),
    }
}

fn locked<'a>(entry: &'a Mapping, key: &str) -> Vec<Locked<'a>> {
    let items = entry.get(key).and_then(Yaml::as_sequence).map_or(&[][..], Vec::as_slice);
    let item = |item: &'a Yaml| {
        let get = |key: &str| item.get(key).and_then(Yaml::as_str);
        // Without `hash`, it is of DVC 2.
        let scheme = if get("hash") == Some("md5") { Scheme::Plain } else { Scheme::DosToUnix };
        Some(Locked { path: get("path")?, md5: get("md5")?, scheme })
    };
    items.iter().filter_map(item).collect()
}

fn same_json(locked: Option<&Yaml>, now: &Json) -> bool {
    locked.and_then(|locked| serde_json::to_value(locked).ok()).is_some_and(|locked| same(&locked, now))
}

/// Equality as Python has it: 1 is 1.0.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

fn params_match(entry: &Mapping, declared: &DvcSpec) -> bool {
    let locked = entry.get("params").and_then(|params| serde_json::to_value(params).ok()).unwrap_or_default();
    declared.params.iter().all(|(file, values)| {
        values.iter().all(|(key, value)| {
            let found = locked.get(file).and_then(|of_file| of_file.get(key));
            found.is_some_and(|found| same(found, &value.literal().unwrap_or_default()))
        })
    })
}
