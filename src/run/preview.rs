//! What a run would do, without doing it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    RunError, RunOptions,
    adopt::{Adopter, look_at},
    conditions::{View, undecided},
    drive::host_state,
    inputs::{Fingerprints, Input, Place, Resolved, Settled, resolve},
    lookup::{Glance, Looked, Question, look_up},
    select::{Part, select},
};
use crate::{
    catalog::Host,
    config::Config,
    plan::{Action, ActionKey, Decision, KeyMaterial, Plan, Source, StageId},
    record::{ActionResult, Failure, History, Reason, RunId},
    store::LocalStore,
};

/// What a run would do with one stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StagePreview {
    /// The stage.
    pub stage: StageId,
    /// What.
    pub preview: Preview,
    /// Its action key, where it is known already.
    pub key: Option<ActionKey>,
    /// What that key is made of, where it was needed.
    pub material: Option<Box<KeyMaterial>>,
    /// Key of its last result here.
    pub last: Option<ActionKey>,
    /// How long it took the last time.
    pub usual: Option<Duration>,
    /// Where its result was just brought from, if it was not stored before.
    pub from: Option<String>,
    /// What went wrong in looking for its result elsewhere.
    pub notes: Vec<String>,
    /// Bytes that would be copied: outputs to their places in the work tree, and, where the store lies on another disk than the
    /// project, inputs to the stage's folder. What the stage itself writes is not known before.
    pub copies: u64,
}

/// What a run would do with a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Preview {
    /// Reuse a stored result.
    Hit {
        /// Run that made it.
        made_in: RunId,
    },
    /// Take over what lies in the work tree: DVC's lock file says that it is up to date.
    Locked,
    /// Run it.
    Miss {
        /// Why no stored result serves.
        reasons: Vec<Reason>,
    },
    /// Its `if:` is decided when these stages have ended.
    Conditional {
        /// The condition as written.
        condition: String,
        /// Stages it asks that have to run first.
        waits_for: Vec<StageId>,
    },
    /// Skipped if these stages are, which is not decided yet.
    Hanging {
        /// Stages it needs whose `if:` is still to be decided, or that hang on such a stage themselves.
        waits_for: Vec<StageId>,
    },
    /// Decided when these stages have run.
    Unknown {
        /// Stages it reads from that have to run first.
        waits_for: Vec<StageId>,
    },
    /// Skip it.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It can't run.
    Fails {
        /// Why not.
        failure: Failure,
    },
}

/// Says for each stage what a run with these options would do. Reads inputs and the store, changes nothing but the cache of
/// digests (and the store, where the options have a supplier).
pub fn preview(
    plan: &Plan,
    options: &RunOptions,
    store: &LocalStore,
    config: &Config,
) -> Result<Vec<StagePreview>, RunError> {
    walk(plan, options, store, config, &mut |_, _, _| Ok(()))
}

/// What is done with a stage whose result serves.
pub(super) type OnHit<'a> = dyn FnMut(&Action, &Arc<ActionResult>, &Fingerprints) -> Result<(), Failure> + 'a;

/// Goes through the stages in order, as far as results are stored or can be brought.
pub(super) fn walk(
    plan: &Plan,
    options: &RunOptions,
    store: &LocalStore,
    config: &Config,
    on_hit: &mut OnHit<'_>,
) -> Result<Vec<StagePreview>, RunError> {
    let parts = select(plan, options)?;
    let ahead = options.ahead.as_deref();
    let history = match ahead.and_then(|ahead| ahead.history(&plan.file)) {
        Some(history) => history,
        None => History::load(&config.state_dir, &plan.file)?,
    };
    let host = host_state(&Host::detect());
    let prints = Fingerprints::new(store.clone(), config.root.clone());
    let glance = Glance { prints: &prints, store, salt: &config.salt, ahead };
    let mut settled: BTreeMap<&StageId, Settled> = BTreeMap::new();
    // Stages of which it is open whether they are skipped.
    let mut open: BTreeSet<&StageId> = BTreeSet::new();
    let linked = one_disk(&config.state_dir, store.folder());
    let mut previews = Vec::with_capacity(plan.actions.len());
    for (action, part) in plan.actions.iter().zip(parts) {
        let (mut key, mut copies, mut brought_from, mut notes) = (None, 0, None, Vec::new());
        let (mut material, last) = (None, history.key(&action.id));
        let preview = 'found: {
            if part == Part::Unwanted {
                settled.insert(&action.id, Settled::Unwanted);
                break 'found Preview::Skipped { reason: super::drive::NOT_SELECTED.to_owned() };
            }
            if let Some(reason) = &action.skip {
                settled.insert(&action.id, Settled::Skipped);
                break 'found Preview::Skipped { reason: reason.clone() };
            }
            if let Some(condition) = &action.condition {
                let view = View {
                    plan,
                    action,
                    settled: &|stage| settled.get(stage),
                    cancelled: None,
                    stopping: false,
                    run: None,
                };
                match condition.ask(&view) {
                    Decision::Holds(_) => {}
                    Decision::Fails(reason) => {
                        settled.insert(&action.id, Settled::Skipped);
                        break 'found Preview::Skipped { reason };
                    }
                    Decision::Faulty(why) => {
                        break 'found Preview::Fails { failure: super::failure::user(why, None) };
                    }
                    Decision::Open => {
                        open.insert(&action.id);
                        let waits_for = undecided(action, |stage| settled.contains_key(stage));
                        break 'found Preview::Conditional { condition: condition.text.clone(), waits_for };
                    }
                }
            }
            let mut waits_for: Vec<StageId> = Vec::new();
            for binding in action.inputs.values().flatten().filter(|_| !action.frozen) {
                // What lies there only after a stored result was placed is as good as not known.
                let absent = matches!(&binding.source, Source::Placed { path, port: None, .. } if !config.root.join(path).exists());
                for stage in binding.source.stages() {
                    if (absent || !settled.contains_key(stage)) && !waits_for.contains(stage) {
                        waits_for.push(stage.clone());
                    }
                }
            }
            if !waits_for.is_empty() {
                break 'found Preview::Unknown { waits_for };
            }
            // What may still be skipped skips what needs it.
            let asked = action.condition.iter().flat_map(|condition| &condition.asks);
            let waits_for: Vec<StageId> =
                action.needs.iter().chain(asked).filter(|stage| open.contains(stage)).cloned().collect();
            if !waits_for.is_empty()
                && action.condition.as_ref().is_none_or(|condition| !condition.asks_status)
            {
                open.insert(&action.id);
                break 'found Preview::Hanging { waits_for };
            }
            let known = match resolve(action, |stage| settled.get(stage)) {
                Resolved::Known(known, _) => known,
                Resolved::Skip(reason) => {
                    settled.insert(&action.id, Settled::Skipped);
                    break 'found Preview::Skipped { reason };
                }
                Resolved::Blocked(what) | Resolved::Missing(what) => {
                    break 'found Preview::Fails { failure: super::failure::user(what, None) };
                }
            };
            let forced = part == Part::Wanted { forced: true };
            let glanced = (!forced).then(|| glance.at(action, &known)).flatten();
            let looked = match glanced {
                Some((key, result)) => Ok(Looked::Hit { key, result, from: None }),
                None => {
                    let last = history.last(&action.id);
                    let question = Question {
                        known,
                        last: last.as_ref(),
                        forced,
                        salt: &config.salt,
                        lock: options.lock.as_deref(),
                        supplier: options.supplier.as_deref(),
                    };
                    look_up(action, question, &prints, store)
                }
            };
            match looked {
                Ok(Looked::Hit { key: found, result, from }) => {
                    key = Some(found);
                    let made_in = result.run;
                    copies = exported(action, &result, store, config);
                    settled.insert(&action.id, Settled::Result(Arc::clone(&result)));
                    brought_from = from;
                    match on_hit(action, &result, &prints) {
                        Ok(()) => Preview::Hit { made_in },
                        Err(failure) => Preview::Fails { failure },
                    }
                }
                Ok(Looked::Locked(miss)) => {
                    key = Some(miss.key);
                    let by = Adopter { run: RunId::now(), host: &host, root: &config.root };
                    match look_at(action, &miss, &by, store) {
                        Ok(result) => {
                            settled.insert(&action.id, Settled::Result(Arc::new(result)));
                            Preview::Locked
                        }
                        Err(failure) => Preview::Fails { failure },
                    }
                }
                Ok(Looked::Miss(miss)) if matches!(part, Part::Support | Part::Reused) => {
                    key = Some(miss.key);
                    Preview::Fails { failure: super::drive::not_stored(&action.id, part) }
                }
                Ok(Looked::Miss(miss)) => {
                    key = Some(miss.key);
                    material = Some(Box::new(miss.material));
                    notes = miss.notes;
                    copies = if linked { 0 } else { stored_inputs(&miss.inputs) };
                    Preview::Miss { reasons: miss.reasons }
                }
                Err(failure) => Preview::Fails { failure },
            }
        };
        previews.push(StagePreview {
            stage: action.id.clone(),
            preview,
            key,
            material,
            last,
            usual: history.usual(&action.id),
            from: brought_from,
            notes,
            copies,
        });
    }
    Ok(previews)
}

/// Bytes of outputs that are not in their places in the work tree.
fn exported(action: &Action, result: &ActionResult, store: &LocalStore, config: &Config) -> u64 {
    let outputs = action.exports.iter().filter_map(|(port, path)| Some((result.outputs.get(port)?, path)));
    let missing = outputs.filter(|(output, path)| {
        let path = config.root.join(path);
        store.fingerprint(&path).map_or(true, |there| there != output.artifact)
    });
    missing.map(|(output, _)| output.artifact.bytes).sum()
}

fn stored_inputs(inputs: &[Input]) -> u64 {
    let stored = inputs.iter().filter(|input| matches!(input.place, Place::Stored(_)));
    stored.map(|input| input.artifact.bytes).sum()
}

/// Files of one can be linked into the other.
fn one_disk(a: &Path, b: &Path) -> bool {
    let device = |path: &Path| {
        // What is not there yet will be made where its parent lies.
        path.ancestors().find_map(|path| fs::metadata(path).ok()).map(|meta| meta.dev())
    };
    device(a) == device(b)
}
