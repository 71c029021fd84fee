//! Does a stored result serve?
//!
//! [`look_up`] gives every answer and may take as long as hashing a dataset takes; [`Glance`] knows only the easiest one.

use std::{path::PathBuf, sync::Arc};

use stagewright_protocol::{Determinism, GateStatus};

use super::{
    ahead::{ReadAhead, is_whole},
    failure,
    inputs::{Fingerprints, Input, StoredInput, key_inputs},
};
use crate::{
    dvc::Lock,
    plan::{Action, ActionKey, Binding, KeyMaterial, KeyParts},
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
        match ActionResult::stored(store, &key).map_err(|error| failure::from_store(&error))? {
            // A file that is no entry is as good as none: running the stage again replaces it.
            Some(Err(why)) => vec![Reason::Unreadable { why }],
            None => {
                why_new(last, &material, key).into_iter().map(|reason| reason.named(&action.reads)).collect()
            }
            Some(Ok(result)) => match usable(action, key, &result, store)? {
                None => return Ok(Looked::Hit { key, result: Arc::new(result), from: None }),
                Some(reason) => vec![reason],
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
        Supplied::Known(entry) => {
            let result = ActionResult::from_entry(&entry).ok();
            let serves = |result: &ActionResult| {
                unfit(action, key, result).is_none() && stuck(action, result).is_none()
            };
            if let Some(result) = result.filter(serves) {
                let (result, from) = (Arc::new(result), Some(supplier.name()));
                return Ok(Looked::Hit { key, result, from });
            }
        }
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
    match ActionResult::stored(store, &last.key).map_err(|error| failure::from_store(&error))? {
        Some(Err(reason)) => lost(format!("is not readable: {reason}")),
        None => lost("is no longer stored".to_owned()),
        Some(Ok(result)) => match usable(action, last.key, &result, store)? {
            None => Ok(Looked::Hit { key: last.key, result: Arc::new(result), from: None }),
            Some(reason) => lost(format!("does not serve: {reason}")),
        },
    }
}

/// The stored result of a key, if it serves. For a look when the miss is known already, and may be one no more.
pub(super) fn stored(
    action: &Action,
    key: ActionKey,
    store: &LocalStore,
) -> Result<Option<ActionResult>, Failure> {
    match ActionResult::stored(store, &key).map_err(|error| failure::from_store(&error))? {
        Some(Ok(result)) if usable(action, key, &result, store)?.is_none() => Ok(Some(result)),
        _ => Ok(None),
    }
}

fn why_new(last: Option<&LastResult>, material: &KeyMaterial, key: ActionKey) -> Vec<Reason> {
    match last {
        None => vec![Reason::FirstRun],
        Some(last) if last.key == key => vec![Reason::Dropped],
        Some(last) => differences(&last.material, material),
    }
}

/// Why a stored result does not serve; none if it does.
fn usable(
    action: &Action,
    key: ActionKey,
    result: &ActionResult,
    store: &LocalStore,
) -> Result<Option<Reason>, Failure> {
    if let Some(reason) = unfit(action, key, result) {
        return Ok(Some(reason));
    }
    let mut lost = 0;
    for output in result.outputs.values() {
        lost += store.missing(&output.artifact).map_err(|error| failure::from_store(&error))?.len() as u64;
    }
    if lost > 0 {
        return Ok(Some(Reason::Lost { blobs: lost }));
    }
    Ok(stuck(action, result))
}

/// What a stored result lacks, whatever else is stored.
fn unfit(action: &Action, key: ActionKey, result: &ActionResult) -> Option<Reason> {
    let unreadable = |why: String| Some(Reason::Unreadable { why });
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
    None
}

/// A verdict on a measurement that failed on a busy machine must not stick to the pipeline for ever.
fn stuck(action: &Action, result: &ActionResult) -> Option<Reason> {
    if action.program.manifest.determinism != Determinism::None {
        return None;
    }
    let failed = result.measured.gates.iter().find(|gate| gate.status == GateStatus::Failed);
    failed.map(|gate| Reason::GateFailed { gate: gate.name.clone() })
}

/// What a glance needs beside the action and its inputs.
pub(super) struct Glance<'a> {
    pub(super) prints: &'a Fingerprints,
    pub(super) store: &'a LocalStore,
    pub(super) salt: &'a str,
    pub(super) ahead: Option<&'a ReadAhead>,
}

impl Glance<'_> {
    /// Looks for a stored result where it takes a few questions to the file system and nothing else: no file of the work tree is
    /// read or written, no blob hashed, nobody else asked. Only a hit is told; whatever else it is, [`look_up`] says.
    ///
    /// For speed: a run with nothing to do is this once a stage, so the loop that owns the run does it itself, where handing it
    /// to another thread would take longer than it does.
    pub(super) fn at(
        &self,
        action: &Action,
        inputs: &[(String, Binding, Option<StoredInput>)],
    ) -> Option<(ActionKey, Arc<ActionResult>)> {
        let reads_only = action.outs.is_empty() && action.exports.is_empty();
        if !reads_only || !action.cache || action.frozen {
            return None;
        }
        let inputs = self.prints.key_inputs(inputs)?;
        let key = KeyParts::new(action, &inputs, self.salt).key().ok()?;
        let result = match self.ahead.and_then(|ahead| ahead.result(&key)) {
            Some(result) => result,
            None => {
                let result = ActionResult::stored(self.store, &key).ok()??.ok()?;
                Arc::new(is_whole(&result, self.store).then_some(result)?)
            }
        };
        let serves = unfit(action, key, &result).is_none() && stuck(action, &result).is_none();
        serves.then_some((key, result))
    }
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
