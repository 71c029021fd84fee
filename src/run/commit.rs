//! From a finished program to a stored result: outputs, log, entry, in this order.

use std::{collections::BTreeMap, fs, path::Path};

use jiff::Timestamp;

use super::{
    failure,
    inputs::{Fingerprints, Input, Place},
    lookup::Miss,
    outs,
    shares::Shares,
};
use crate::{
    digest::Digest,
    lineage::{Attestor, StageInput},
    plan::{Action, Start},
    plugin::Finished,
    record::{ActionResult, Failure, HostState, Measured, ProgramStamp, RESULT_VERSION, RunId, StoredOutput},
    store::{LocalStore, Tree},
};

/// All that a result is made of, beside the outputs.
pub(super) struct Made<'a> {
    pub(super) action: &'a Action,
    pub(super) miss: &'a Miss,
    pub(super) finished: Finished,
    /// What it wrote in the work tree, stored already.
    pub(super) collected: BTreeMap<String, StoredOutput>,
    pub(super) measured: Measured,
    pub(super) started: Timestamp,
    pub(super) run: RunId,
    pub(super) threads: u32,
    pub(super) host: &'a HostState,
    pub(super) log: &'a Path,
    pub(super) attestor: &'a Attestor,
}

/// Stores what a program gave. Takes the outputs out of their folder.
pub(super) fn commit(
    made: Made<'_>,
    store: &LocalStore,
    prints: &Fingerprints,
) -> Result<ActionResult, Failure> {
    let Made { action, miss, finished, collected, mut measured, started, run, threads, host, log, attestor } =
        made;
    let listings = check_sources(action, &miss.inputs, prints)?;
    let stored = |error| failure::from_store(&error);
    let ports = &action.program.manifest.outputs;
    let mut outputs = BTreeMap::new();
    for (port, path) in &finished.outputs {
        let file_name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_else(|| port.clone());
        let artifact_type =
            ports.get(port).map_or_else(|| "file".to_owned(), |port| port.artifact_type.clone());
        let artifact = store.ingest(path).map_err(stored)?;
        outputs.insert(port.clone(), StoredOutput { artifact_type, file_name, artifact, executable: false });
    }
    outputs.extend(collected);
    let log = match fs::read(log) {
        Ok(bytes) => Some(store.put(&bytes).map_err(stored)?),
        Err(error) => return Err(failure::from_io("read", log, &error)),
    };
    let program = match &action.program.start {
        Start::Program(path) => store.fingerprint(path).map_err(stored)?.digest,
        Start::Command(_) => Digest::of_value(&action.params).map_err(|error| {
            failure::user(format!("the command of `{}` has no digest: {error}", action.id), None)
        })?,
    };
    measured.gates = finished.result.gates;
    let mut sources = Vec::new();
    for listing in listings {
        sources.push(store.put(&listing.encode()).map_err(stored)?);
    }
    let mut result = ActionResult {
        format: RESULT_VERSION,
        key: miss.key,
        material: miss.material.clone(),
        stage: action.id.clone(),
        outputs,
        measured,
        run,
        started,
        ended: Timestamp::now(),
        program: ProgramStamp {
            name: action.program.manifest.name.clone(),
            version: action.program.manifest.version.clone(),
            digest: program,
        },
        log,
        threads,
        host: host.clone(),
        attestations: Vec::new(),
        sources,
    };
    let read: Vec<StageInput> = miss.inputs.iter().map(stage_input).collect();
    result.attestations = attestor.stage(&result, &read).map_err(|error| failure::from_lineage(&error))?;
    let entry = result.to_entry().map_err(|error| failure::from_record(&error))?;
    store.put_entry(&miss.key.0, &entry).map_err(stored)?;
    Ok(result)
}

fn stage_input(input: &Input) -> StageInput {
    StageInput {
        port: input.port.clone(),
        name: input.binding.name.clone(),
        artifact_type: input.binding.artifact_type.clone(),
        role: input.binding.role.clone(),
        artifact: input.artifact,
        source: input.binding.source.clone(),
    }
}

/// A work-tree input that changed while the stage read it has no digest that the result could be filed under. Gives the
/// listings of those that are folders: they say which files a result was made from.
fn check_sources(action: &Action, inputs: &[Input], prints: &Fingerprints) -> Result<Vec<Tree>, Failure> {
    let mut listings = Vec::new();
    for Input { port, artifact, place, .. } in inputs {
        let Place::Tree(path) = place else { continue };
        let (now, listing) = prints.again(path).map_err(|error| failure::from_store(&error))?;
        if now != *artifact {
            prints.forget();
            return Err(failure::user(
                format!(
                    "the input `{port}` ({}) changed while `{}` ran, so its result was not kept",
                    path.display(),
                    action.id
                ),
                Some("run again once the data is at rest"),
            ));
        }
        listings.extend(listing);
    }
    Ok(listings)
}

/// Places all of a stored result in the work tree: what the stage wrote there itself, then its outputs.
pub(super) fn place_stored(
    action: &Action,
    result: &ActionResult,
    root: &Path,
    store: &LocalStore,
    prints: &Fingerprints,
    shares: &Shares,
) -> Result<Vec<String>, Failure> {
    if outs::restore(action, result, root, store, shares)? {
        prints.forget();
    }
    place_exports(action, result, root, store, prints, shares)
}

/// Places the outputs of a result where the pipeline wants them in the work tree. Gives notes on those that are not there.
pub(super) fn place_exports(
    action: &Action,
    result: &ActionResult,
    root: &Path,
    store: &LocalStore,
    prints: &Fingerprints,
    shares: &Shares,
) -> Result<Vec<String>, Failure> {
    if action.exports.is_empty() {
        return Ok(Vec::new());
    }
    // Another run of the project may place the same outputs.
    let _tree = shares.tree().map_err(|error| failure::from_io("lock the work tree", root, &error))?;
    let mut notes = Vec::new();
    for (port, path) in &action.exports {
        let Some(output) = result.outputs.get(port) else {
            notes.push(format!("it wrote no `{port}`, so {} was not placed", path.display()));
            continue;
        };
        store.export(&output.artifact, &root.join(path)).map_err(|error| failure::from_store(&error))?;
    }
    prints.forget();
    Ok(notes)
}
