//! Results that were made elsewhere: DVC's lock file says what a stage wrote, and the work tree holds it.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;

use super::{failure, lookup::Miss, metrics, outs};
use crate::{
    digest::Digest,
    plan::Action,
    plugin::Secrets,
    record::{ActionResult, Failure, HostState, Measured, ProgramStamp, RESULT_VERSION, RunId, StoredOutput},
    store::{ArtifactKind, LocalStore},
};

/// What an adopted result is filed under.
pub(super) struct Adopter<'a> {
    pub(super) run: RunId,
    pub(super) host: &'a HostState,
    pub(super) root: &'a Path,
}

/// Makes what lies in the work tree the stored result of an action, as if it had been made in this run.
pub(super) fn adopt(
    action: &Action,
    miss: &Miss,
    by: &Adopter<'_>,
    store: &LocalStore,
) -> Result<ActionResult, Failure> {
    let outputs = outs::collect(action, by.root, store, &Secrets::default())?;
    let result = describe(action, miss, by, outputs)?;
    let entry = result.to_entry().map_err(|error| failure::from_record(&error))?;
    store.put_entry(&miss.key.0, &entry).map_err(|error| failure::from_store(&error))?;
    Ok(result)
}

/// The same without storing anything.
pub(super) fn look_at(
    action: &Action,
    miss: &Miss,
    by: &Adopter<'_>,
    store: &LocalStore,
) -> Result<ActionResult, Failure> {
    let mut outputs = BTreeMap::new();
    for out in &action.outs {
        let artifact =
            store.fingerprint(&by.root.join(&out.path)).map_err(|error| failure::from_store(&error))?;
        let artifact_type = if artifact.kind == ArtifactKind::Tree { "dir" } else { "file" };
        let file_name = out.path.file_name().map(|name| name.to_string_lossy().into_owned());
        outputs.insert(
            out.port(),
            StoredOutput {
                artifact_type: artifact_type.to_owned(),
                file_name: file_name.unwrap_or_default(),
                artifact,
                executable: false,
            },
        );
    }
    describe(action, miss, by, outputs)
}

fn describe(
    action: &Action,
    miss: &Miss,
    by: &Adopter<'_>,
    outputs: BTreeMap<String, StoredOutput>,
) -> Result<ActionResult, Failure> {
    let (metrics, warnings) = metrics::read(action, by.root);
    let digest = Digest::of_value(&action.params).map_err(|error| {
        failure::user(format!("the command of `{}` has no digest: {error}", action.id), None)
    })?;
    let now = Timestamp::now();
    Ok(ActionResult {
        format: RESULT_VERSION,
        key: miss.key,
        material: miss.material.clone(),
        stage: action.id.clone(),
        outputs,
        measured: Measured { metrics, warnings, ..Measured::default() },
        run: by.run,
        started: now,
        ended: now,
        program: ProgramStamp {
            name: action.program.manifest.name.clone(),
            version: action.program.manifest.version.clone(),
            digest,
        },
        log: None,
        threads: 0,
        host: by.host.clone(),
        // Nobody here saw it being made.
        attestations: Vec::new(),
        sources: Vec::new(),
    })
}
