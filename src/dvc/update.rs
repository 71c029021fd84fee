//! Results of a run → `dvc.lock`, and the objects that DVC wants to have beside it.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use serde_yaml::{Mapping, Value as Yaml};

use crate::{
    plan::{Action, DEPS, Source, Start},
    record::ActionResult,
    spec::types::{Data, DvcSpec, Value},
    store::{Artifact, ArtifactKind, LocalStore},
    track::{self, Kept, TrackError},
};

use super::{
    FILE_NAME, FOLDER, cache,
    context::relative,
    emit,
    hash::{Fact, HashError, Hashes, Scheme},
    lock::{Lock, LockError, SCHEMA},
    settings::Settings,
};

/// Why a lock file was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A file can't be written.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What DVC would say of a path can't be found out.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The old one can't be read.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A `.gitignore` can't be brought up to date.
    #[error(transparent)]
    Ignore(#[from] TrackError),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The file was written anew.
    pub written: bool,
    /// Stages whose entry was left as it was, with the reason.
    pub notes: Vec<String>,
}

/// Brings the lock file up to date with the results of a run, and what DVC keeps beside it: the objects of its cache, and the rules
/// that have git leave cached outs alone. Entries of other stages stay as they are.
pub fn update(
    lock: &Lock,
    results: &[(&Action, &ActionResult)],
    store: &LocalStore,
) -> Result<Updated, UpdateError> {
    let mut files = |name: &str| fs::read_to_string(lock.root.join(name)).map_err(|error| error.to_string());
    let cache = lock.root.join(Settings::read(&mut files).cache);
    let cache = lock.root.join(FOLDER).is_dir().then_some(cache);
    let mut notes = Vec::new();
    let mut text = lock.text.clone().unwrap_or_default();
    if text.is_empty() {
        text.insert("schema".into(), SCHEMA.into());
        text.insert("stages".into(), Mapping::new().into());
    }
    let mut hashes = lock.hashes.lock().unwrap_or_else(PoisonError::into_inner);
    for (action, result) in results {
        let Some(declared) = lock.declared.get(&action.id.0) else { continue };
        let entry = match entry(lock, action, result, declared, store, cache.as_deref(), &mut hashes) {
            Ok(entry) => entry,
            Err(UpdateError::Hash(HashError::Changed(path))) => {
                notes.push(format!(
                    "{} says nothing new of `{}`: {} changed after it was read",
                    lock.path.display(),
                    action.id,
                    path.display()
                ));
                continue;
            }
            Err(error) => return Err(error),
        };
        for out in action.outs.iter().filter(|out| out.cache && cache.is_some()) {
            if track::ignore_out(&lock.root, &out.path)? == Kept::Tracked {
                let path = out.path.display();
                notes.push(format!(
                    "{path} is kept by git, and DVC refuses to run `{}` so; `git rm -r --cached {path}`, or `cache: false` in {FILE_NAME}",
                    action.id
                ));
            }
        }
        let stages = text.entry("stages".into()).or_insert_with(|| Mapping::new().into());
        if let Yaml::Mapping(stages) = stages {
            stages.insert(action.id.0.as_str().into(), entry.into());
        }
    }
    hashes.save()?;
    let written = lock.text.as_ref() != Some(&text)
        && text.get("stages").and_then(Yaml::as_mapping).is_some_and(|stages| !stages.is_empty());
    if written {
        write(&lock.path, &emit::document(&text))?;
    }
    Ok(Updated { written, notes })
}

/// A lock file that is whole at any instant.
fn write(path: &Path, text: &str) -> Result<(), UpdateError> {
    let failed = |source| UpdateError::Io { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".dvc.lock.").tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn entry(
    lock: &Lock,
    action: &Action,
    result: &ActionResult,
    declared: &DvcSpec,
    store: &LocalStore,
    cache: Option<&Path>,
    hashes: &mut Hashes,
) -> Result<Mapping, UpdateError> {
    let folder = match &action.program.start {
        Start::Command(command) => command.folder.clone(),
        Start::Program(_) => PathBuf::new(),
    };
    let mut deps: Vec<(String, Yaml)> = Vec::new();
    for binding in action.inputs.get(DEPS).into_iter().flatten() {
        let (Source::Path(path) | Source::Placed { path, .. }) = &binding.source else { continue };
        let full = lock.root.join(path);
        let read = result.material.inputs.get(DEPS).into_iter().flatten();
        let then = read.into_iter().find(|input| input.name == binding.name).map(|input| input.digest);
        let now = store.fingerprint(&full).map_err(HashError::from)?;
        // A frozen stage has other deps now than it had then, and DVC does not look at them.
        if then != Some(now.digest) && !action.frozen {
            return Err(HashError::Changed(full).into());
        }
        let fact = hashes.of_path(&full, Scheme::Plain, store)?;
        deps.push(item(&folder, path, &fact, is_executable(&full)));
    }
    let mut outs: Vec<(String, Yaml)> = Vec::new();
    for out in &action.outs {
        let Some(output) = result.outputs.get(&out.port()) else { continue };
        let full = lock.root.join(&out.path);
        let fact = hashes.of_artifact(&output.artifact, &full, store)?;
        if let Some(cache) = cache.filter(|_| out.cache) {
            keep(cache, &output.artifact, &fact, &full, store, hashes)?;
        }
        outs.push(item(&folder, &out.path, &fact, output.executable));
    }
    let mut entry = Mapping::new();
    entry.insert("cmd".into(), yaml_of(&declared.command));
    if !deps.is_empty() {
        entry.insert("deps".into(), sorted(deps));
    }
    if !declared.params.is_empty() {
        let mut params = Mapping::new();
        for (file, values) in &declared.params {
            let values = values.iter().map(|(key, value)| (key.as_str().into(), yaml(value)));
            params.insert(file.as_str().into(), Yaml::Mapping(values.collect()));
        }
        entry.insert("params".into(), params.into());
    }
    if !outs.is_empty() {
        entry.insert("outs".into(), sorted(outs));
    }
    Ok(entry)
}

fn sorted(mut items: Vec<(String, Yaml)>) -> Yaml {
    items.sort_by(|(a, _), (b, _)| a.cmp(b));
    Yaml::Sequence(items.into_iter().map(|(_, item)| item).collect())
}

/// One path in the order that DVC writes.
fn item(folder: &Path, path: &Path, fact: &Fact, executable: bool) -> (String, Yaml) {
    let shown = relative(folder, path);
    let mut item = Mapping::new();
    item.insert("path".into(), shown.as_str().into());
    item.insert("hash".into(), "md5".into());
    item.insert("md5".into(), fact.md5.as_str().into());
    item.insert("size".into(), fact.size.into());
    if let Some(files) = fact.files {
        item.insert("nfiles".into(), files.into());
    } else if executable {
        item.insert("isexec".into(), true.into());
    }
    (shown, item.into())
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Gives DVC the objects of an out.
fn keep(
    cache: &Path,
    artifact: &Artifact,
    fact: &Fact,
    path: &Path,
    store: &LocalStore,
    hashes: &mut Hashes,
) -> Result<(), UpdateError> {
    let failed = |source| UpdateError::Io { path: cache.to_owned(), source };
    match (artifact.kind, &fact.listing) {
        (ArtifactKind::Tree, Some(listing)) => {
            for file in store.tree(&artifact.digest).map_err(HashError::from)?.entries() {
                let blob = store.blob_path(&file.digest);
                let md5 = hashes.md5(&file.digest, &blob, Scheme::Plain)?;
                cache::add_file(cache, &md5, &blob).map_err(failed)?;
            }
            // Last, since whoever finds the listing counts on its files.
            cache::add_listing(cache, &fact.md5, listing).map_err(failed)
        }
        _ => {
            let blob = store.blob_path(&artifact.digest);
            let content = if store.contains(&artifact.digest) { &blob } else { path };
            cache::add_file(cache, &fact.md5, content).map_err(failed)
        }
    }
}

fn yaml(value: &Value) -> Yaml {
    match &value.data {
        Data::Map(entries) => {
            Yaml::Mapping(entries.iter().map(|(key, value)| (key.as_str().into(), yaml(value))).collect())
        }
        Data::List(items) => Yaml::Sequence(items.iter().map(yaml).collect()),
        _ => yaml_of(&value.literal().unwrap_or_default()),
    }
}

fn yaml_of(value: &serde_json::Value) -> Yaml {
    serde_yaml::to_value(value).unwrap_or(Yaml::Null)
}
