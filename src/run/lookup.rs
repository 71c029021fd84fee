//! Does a stored result serve?

use std::{path::PathBuf, sync::Arc};

use stagewright_protocol::{Determinism, GateStatus};

use super::{
    failure,
    inputs::{Fingerprints, Input, StoredInput, key_inputs},
};
use crate::{
    dvc::Lock,
    plan::{Action, ActionKey, Binding, KeyMaterial},
    record::{ActionResult, Failure, LastResult, Reason, differences},
    store::{LocalStore, StoreError, Supplied, Supplier},
};

/// What a look at the cache found.
#[derive(Debug)]
pub(super) enum Looked {
    /// A stored result, with all its blobs; `from` names the place that it was just brought from.
    Hit { key: ActionKey, result: Arc<ActionResult>, from: Option<String> },
    /// None, but DVC's lock file says that the work tree holds what the stage would write.
    Locked(Box<Miss>),
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
    /// What else there is to say.
    pub(super) notes: Vec<String>,
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
    pub(super) lock: Option<&'a Lock>,
    /// Asked for what is not stored here.
    pub(super) supplier: Option<&'a dyn Supplier>,
}

/// Looks for a stored result; may hash files. A failure is the stage's.
pub(super) fn look_up(
    action: &Action,
    question: Question<'_>,
    prints: &Fingerprints,
    store: &LocalStore,
) -> Result<Looked, Failure> {
    let Question { known, last, forced, salt, lock, supplier } = question;
    let locked = |miss| match lock.map(|lock| lock.serves(action, store)) {
        Some(Ok(true)) => Ok(Looked::Locked(Box::new(miss))),
        None | Some(Ok(false)) => Ok(Looked::Miss(Box::new(miss))),
        Some(Err(error)) => Err(failure::environment(error.to_string(), None)),
    };
    if action.frozen {
        return frozen(action, last, store, salt, locked);
    }
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
                Ok(result) => return Ok(Looked::Hit { key, result: Arc::new(result), from: None }),
                Err(reason) => vec![reason],
            },
        }
    };
    let told = forced || !action.cache;
    // A failed gate is to be measured again here, not to be looked up elsewhere.
    let supplier = supplier.filter(|_| !matches!(reasons[..], [Reason::GateFailed { .. }]));
    let miss = Miss { key, material, inputs, reasons, notes: Vec::new() };
    if told {
        return Ok(Looked::Miss(Box::new(miss)));
    }
    let (mut miss, supplier) = match (locked(miss)?, supplier) {
        (Looked::Miss(miss), Some(supplier)) => (miss, supplier),
        (looked, _) => return Ok(looked),
    };
    match supplier.supply(store, &key.0) {
        Supplied::Absent => {}
        Supplied::Failed(why) => miss.notes.push(why),
        Supplied::Here => {
            if let Some(result) = stored(action, key, store)? {
                let (result, from) = (Arc::new(result), Some(supplier.name()));
                return Ok(Looked::Hit { key, result, from });
            }
        }
    }
    Ok(Looked::Miss(miss))
}

/// A frozen stage keeps what it gave the last time, whatever it was made of.
fn frozen(
    action: &Action,
    last: Option<&LastResult>,
    store: &LocalStore,
    salt: &str,
    locked: impl Fn(Miss) -> Result<Looked, Failure>,
) -> Result<Looked, Failure> {
    let thaw = Some("remove `frozen` for one run, so that there is a result to keep");
    let Some(last) = last else {
        // What it was made of is not asked, so it must not be taken for what a run would give.
        let mut material = KeyMaterial::new(action, Default::default(), salt);
        if let Some(params) = material.params.as_object_mut() {
            params.insert("frozen".to_owned(), true.into());
        }
        let key = material.key().map_err(|error| failure::user(error.to_string(), None))?;
        let miss =
            Miss { key, material, inputs: Vec::new(), reasons: vec![Reason::FirstRun], notes: Vec::new() };
        if let found @ Looked::Locked(_) = locked(miss)? {
            return Ok(found);
        }
        return Err(failure::user(format!("`{}` is frozen, and it has never run here", action.id), thaw));
    };
    let lost = |why: String| {
        Err(failure::user(format!("`{}` is frozen, and its last result {why}", action.id), thaw))
    };
    match store.entry(&last.key.0) {
        Err(StoreError::Format { reason, .. }) => lost(format!("is not readable: {reason}")),
        Err(error) => Err(failure::from_store(&error)),
        Ok(None) => lost("is no longer stored".to_owned()),
        Ok(Some(entry)) => match usable(action, last.key, &entry, store)? {
            Ok(result) => Ok(Looked::Hit { key: last.key, result: Arc::new(result), from: None }),
            Err(reason) => lost(format!("does not serve: {reason}")),
        },
    }
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
    if let Some(out) = action.outs.iter().find(|out| !result.outputs.contains_key(&out.port())) {
        return unreadable(format!("it has no out `{}`", out.path.display()));
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
