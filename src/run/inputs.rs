//! What an action reads: work-tree paths and the outputs of other stages.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    plan::{Action, Binding, DEPS, KeyInput, Source, StageId},
    record::{ActionResult, Outcome},
    store::{Artifact, LocalStore, StoreError, Tree},
};

/// What is known of a stage that has ended.
#[derive(Debug, Clone)]
pub(super) enum Settled {
    /// It has a result.
    Result(Arc<ActionResult>),
    /// It was skipped by its condition, or for one it needs.
    Skipped,
    /// It is no part of this run.
    Unwanted,
    /// It has none.
    NoResult(Outcome),
}

/// One input with its content known.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) port: String,
    pub(super) binding: Binding,
    pub(super) artifact: Artifact,
    pub(super) place: Place,
}

/// Where the content lies.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In the user's work tree, absolute.
    Tree(PathBuf),
    /// In the store; a stage sees it under this file name.
    Stored(String),
}

/// Inputs of an action before any file is looked at.
#[derive(Debug)]
pub(super) enum Resolved {
    /// All producers have results.
    Known(Vec<(String, Binding, Option<StoredInput>)>, Vec<String>),
    /// A stage it needs was skipped, so it is as well.
    Skip(String),
    /// What it needs to read was not made.
    Blocked(String),
    /// The binding leads to a port that the producer did not write.
    Missing(String),
}

/// A producer's output.
#[derive(Debug, Clone)]
pub(super) struct StoredInput {
    artifact: Artifact,
    file_name: String,
}

/// Finds the producers' outputs. A skipped producer skips its consumers, but a port that takes many, or none, goes on with
/// what is there, and the second list says what is not.
pub(super) fn resolve<'a>(action: &Action, settled: impl Fn(&StageId) -> Option<&'a Settled>) -> Resolved {
    let id = &action.id;
    let asks_status = action.condition.as_ref().is_some_and(|condition| condition.asks_status);
    let asked = action.condition.iter().flat_map(|condition| &condition.asks);
    let needed =
        action.needs.iter().chain(asked).find(|stage| matches!(settled(stage), Some(Settled::Skipped)));
    if let Some(needed) = needed.filter(|_| !asks_status) {
        return Resolved::Skip(format!("`{needed}` was skipped"));
    }
    let (mut known, mut notes) = (Vec::new(), Vec::new());
    for (port, bindings) in &action.inputs {
        let declared = action.program.manifest.inputs.get(port);
        let required = declared.is_none_or(|declared| declared.required);
        let mut bound = 0;
        let mut dropped: Option<&StageId> = None;
        for binding in bindings {
            let (stage, from) = match &binding.source {
                Source::Output { stage, port } => (stage, port),
                Source::Placed { stages, port: Some(port), .. } if stages.len() == 1 => (&stages[0], port),
                Source::Placed { stages, .. } => {
                    if let Some(stage) =
                        stages.iter().find(|stage| matches!(settled(stage), Some(Settled::Skipped)))
                    {
                        return Resolved::Skip(format!("`{stage}` was skipped"));
                    }
                    known.push((port.clone(), binding.clone(), None));
                    bound += 1;
                    continue;
                }
                Source::Path(_) => {
                    known.push((port.clone(), binding.clone(), None));
                    bound += 1;
                    continue;
                }
            };
            match settled(stage) {
                Some(Settled::Result(result)) => match result.outputs.get(from) {
                    Some(output) => {
                        let stored =
                            StoredInput { artifact: output.artifact, file_name: output.file_name.clone() };
                        known.push((port.clone(), binding.clone(), Some(stored)));
                        bound += 1;
                    }
                    None if required => {
                        return Resolved::Missing(format!(
                            "the input `{port}` of `{id}` takes `{from}` of `{stage}`, which did not write it this time"
                        ));
                    }
                    None => notes.push(format!("`{stage}` wrote no `{from}`, so `{port}` goes without it")),
                },
                Some(Settled::Skipped) if port == DEPS => {
                    return Resolved::Skip(format!("`{stage}` was skipped"));
                }
                Some(Settled::Skipped) => {
                    dropped = Some(stage);
                    notes.push(format!("`{stage}` was skipped, so `{port}` goes without its `{from}`"));
                }
                // Its condition holds in spite of that.
                Some(Settled::NoResult(outcome)) if asks_status => {
                    let how = match outcome {
                        Outcome::Cancelled => "was cancelled",
                        Outcome::Blocked => "was blocked",
                        _ => "failed",
                    };
                    if required {
                        return Resolved::Blocked(format!(
                            "`{stage}` {how}, and `{port}` needs its `{from}`"
                        ));
                    }
                    notes.push(format!("`{stage}` {how}, so `{port}` goes without its `{from}`"));
                }
                // The driver comes here only when all producers have settled, and never for a blocked action.
                _ => {
                    return Resolved::Missing(format!(
                        "the input `{port}` of `{id}` has no producer in this run"
                    ));
                }
            }
        }
        if let Some(stage) = dropped.filter(|_| bound == 0 && required) {
            return Resolved::Skip(format!("`{stage}` was skipped"));
        }
    }
    Resolved::Known(known, notes)
}

/// Digests of work-tree paths, each taken once a run.
#[derive(Debug)]
pub(super) struct Fingerprints {
    store: LocalStore,
    root: PathBuf,
    known: Mutex<HashMap<PathBuf, Slot>>,
}

/// A lock of its own for each path: two stages that read one dataset wait for one reading of it, others go ahead.
type Slot = Arc<Mutex<Option<Artifact>>>;

impl Fingerprints {
    pub(super) fn new(store: LocalStore, root: PathBuf) -> Self {
        Self { store, root, known: Mutex::new(HashMap::new()) }
    }

    /// The content of a path at the first time it was asked for.
    fn of(&self, path: &Path) -> Result<Artifact, StoreError> {
        let slot = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(path.to_owned()).or_default())
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match *slot {
            Some(artifact) => Ok(artifact),
            None => Ok(*slot.insert(self.store.fingerprint(&self.root.join(path))?)),
        }
    }

    /// The inputs as the action key sees them, if nothing has to be read for it.
    pub(super) fn key_inputs(
        &self,
        inputs: &[(String, Binding, Option<StoredInput>)],
    ) -> Option<BTreeMap<String, Vec<KeyInput>>> {
        let mut by_port: BTreeMap<String, Vec<KeyInput>> = BTreeMap::new();
        for (port, binding, stored) in inputs {
            let artifact = match (stored, &binding.source) {
                (Some(stored), _) => stored.artifact,
                (None, Source::Path(path) | Source::Placed { path, .. }) => self.remembered(path)?,
                // `resolve` gives a stored input for every output.
                (None, Source::Output { .. }) => continue,
            };
            by_port.entry(port.clone()).or_default().push(key_input(binding, &artifact));
        }
        Some(by_port)
    }

    /// The content of a path, if it was asked for before and is not being read just now.
    fn remembered(&self, path: &Path) -> Option<Artifact> {
        let slot = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.get(path)?)
        };
        slot.try_lock().ok().and_then(|slot| *slot)
    }

    /// The content of a path now.
    pub(super) fn again(&self, path: &Path) -> Result<(Artifact, Option<Tree>), StoreError> {
        self.store.survey(path)
    }

    /// Forgets all, after something was written to the work tree.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Reads what is not known yet of an action's inputs.
    pub(super) fn complete(
        &self,
        known: Vec<(String, Binding, Option<StoredInput>)>,
    ) -> Result<Vec<Input>, (String, PathBuf, StoreError)> {
        let mut inputs = Vec::with_capacity(known.len());
        for (port, binding, stored) in known {
            let (artifact, place) = match (stored, &binding.source) {
                (Some(StoredInput { artifact, .. }), Source::Placed { path, .. }) => {
                    (artifact, Place::Tree(self.root.join(path)))
                }
                (Some(StoredInput { artifact, file_name }), _) => (artifact, Place::Stored(file_name)),
                (None, Source::Path(path) | Source::Placed { path, .. }) => match self.of(path) {
                    Ok(artifact) => (artifact, Place::Tree(self.root.join(path))),
                    Err(error) => return Err((port, path.clone(), error)),
                },
                // `resolve` gives a stored input for every output.
                (None, Source::Output { .. }) => continue,
            };
            inputs.push(Input { port, binding, artifact, place });
        }
        Ok(inputs)
    }
}

/// The inputs as the action key sees them.
pub(super) fn key_inputs(inputs: &[Input]) -> BTreeMap<String, Vec<KeyInput>> {
    let mut by_port: BTreeMap<String, Vec<KeyInput>> = BTreeMap::new();
    for Input { port, binding, artifact, place: _ } in inputs {
        by_port.entry(port.clone()).or_default().push(key_input(binding, artifact));
    }
    by_port
}

fn key_input(binding: &Binding, artifact: &Artifact) -> KeyInput {
    KeyInput {
        name: binding.name.clone(),
        artifact_type: binding.artifact_type.clone(),
        role: binding.role.clone(),
        digest: artifact.digest,
    }
}
