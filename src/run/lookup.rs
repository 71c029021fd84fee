//! Does a stored result serve?

use std::{path::PathBuf, sync::Arc};

use stagewright_protocol::{Determinism, GateStatus};

use super::{
    failure,
    inputs::{Fingerprints, Input, StoredInput, key_inputs},
};
use crate::{
    plan::{Action, ActionKey, Binding, KeyMaterial},
    record::{ActionResult, Failure, LastResult, Reason, differences},
    store::{LocalStore, StoreError},
};

/// What a look at the cache found.
#[derive(Debug)]
pub(super) enum Looked {
    /// A stored result, with all its blobs.
    Hit { key: ActionKey, result: Arc<ActionResult> },
    /// None.
    Miss(Box<Miss>),
}

/// Why none, and all that is needed to make one.
#[derive(Debug)]
pub(super) struct Miss {
    pub(super) key: ActionKey,
    pub(super) material: KeyMaterial,
    pub(super) inputs: Vec<Input>,
    pub(super) reasons: Vec<Reason>,
}

impl Miss {
    /// It is to run whatever is stored.
    pub(super) fn is_wanted(&self) -> bool {
        self.reasons.iter().any(|reason| matches!(reason, Reason::Forced | Reason::Uncached))
    }
}

/// What a look needs beside the action.
pub(super) struct Question<'a> {
    pub(super) known: Vec<(String, Binding, Option<StoredInput>)>,
    pub(super) last: Option<&'a LastResult>,
    pub(super) forced: bool,
    pub(super) salt: &'a str,
}

/// Looks for a stored result; may hash files. A failure is the stage's.
pub(super) fn look_up(
    action: &Action,
    question: Question<'_>,
    prints: &Fingerprints,
    store: &LocalStore,
) -> Result<Looked, Failure> {
    let Question { known, last, forced, salt } = question;
    let inputs = prints
        .complete(known)
        .map_err(|(port, path, error)| unreadable_input(action, &port, path, &error))?;
    let material = KeyMaterial::new(action, key_inputs(&inputs), salt);
    let key = material.key().map_err(|error| {
        failure::user(format!("the params of `{}` have no action key: {error}", action.id), None)
    })?;
    let reasons = if forced {
        vec![Reason::Forced]
    } else if !action.cache {
        vec![Reason::Uncached]
    } else {
        match store.entry(&key.0) {
            // A file that is no entry is as good as none: running the stage again replaces it.
            Err(StoreError::Format { reason, .. }) => vec![Reason::Unreadable { why: reason }],
            Err(error) => return Err(failure::from_store(&error)),
            Ok(None) => {
                why_new(last, &material, key).into_iter().map(|reason| reason.named(&action.reads)).collect()
            }
            Ok(Some(entry)) => match usable(action, key, &entry, store)? {
                Ok(result) => return Ok(Looked::Hit { key, result: Arc::new(result) }),
                Err(reason) => vec![reason],
            },
        }
    };
    Ok(Looked::Miss(Box::new(Miss { key, material, inputs, reasons })))
}

/// The stored result of a key, if it serves. For a look when the miss is known already, and may be one no more.
pub(super) fn stored(
    action: &Action,
    key: ActionKey,
    store: &LocalStore,
) -> Result<Option<ActionResult>, Failure> {
    match store.entry(&key.0) {
        Err(StoreError::Format { .. }) | Ok(None) => Ok(None),
        Err(error) => Err(failure::from_store(&error)),
        Ok(Some(entry)) => Ok(usable(action, key, &entry, store)?.ok()),
    }
}

fn why_new(last: Option<&LastResult>, material: &KeyMaterial, key: ActionKey) -> Vec<Reason> {
    match last {
        None => vec![Reason::FirstRun],
        Some(last) if last.key == key => vec![Reason::Dropped],
        Some(last) => differences(&last.material, material),
    }
}

fn usable(
    action: &Action,
    key: ActionKey,
    entry: &crate::store::Entry,
    store: &LocalStore,
) -> Result<Result<ActionResult, Reason>, Failure> {
    let unreadable = |why: String| Ok(Err(Reason::Unreadable { why }));
    let result = match ActionResult::from_entry(entry) {
        Ok(result) => result,
        Err(error) => return unreadable(error.to_string()),
    };
    if result.key != key {
        return unreadable("it belongs to another key".to_owned());
    }
    let ports = &action.program.manifest.outputs;
    if let Some((port, _)) =
        ports.iter().find(|(port, declared)| declared.required && !result.outputs.contains_key(*port))
    {
        return unreadable(format!("it has no output `{port}`"));
    }
    let mut lost = 0;
    for output in result.outputs.values() {
        lost += store.missing(&output.artifact).map_err(|error| failure::from_store(&error))?.len() as u64;
    }
    if lost > 0 {
        return Ok(Err(Reason::Lost { blobs: lost }));
    }
    // A verdict on a measurement that failed on a busy machine must not stick to the pipeline for ever.
    if action.program.manifest.determinism == Determinism::None
        && let Some(gate) = result.measured.gates.iter().find(|gate| gate.status == GateStatus::Failed)
    {
        return Ok(Err(Reason::GateFailed { gate: gate.name.clone() }));
    }
    Ok(Ok(result))
}

fn unreadable_input(action: &Action, port: &str, path: PathBuf, error: &StoreError) -> Failure {
    let (id, path) = (&action.id, path.display());
    match error {
        StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            failure::user(format!("the input `{port}` of `{id}` is {path}, which does not exist"), None)
        }
        error => {
            let mut failure = failure::from_store(error);
            failure.fault.message = format!("cannot read the input `{port}` of `{id}`: {error}");
            failure
        }
    }
}
