//! The results of a run → the lock file beside its pipeline.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
};

use super::{LockFile, LockFileError, LockedStage, LockedStages};
use crate::{
    config::LOCK_NAME,
    digest::Digest,
    plan::{Action, Plan, StageId},
    record::{ActionResult, StoredOutput},
    track,
};

/// Says which lock file, by its digest, was written for which results: `<state>/lockfile.known`.
const KNOWN: &str = "lockfile.known";

/// Brings the lock file beside a plan's pipeline up to date with results of its stages. True when it was written, which it is only
/// when it says something else. Stages of the plan without a result here keep what the file says of them; stages and pipelines that
/// are no more go out of it the next time that it is written.
pub fn update(
    root: &Path,
    state_dir: &Path,
    plan: &Plan,
    results: &[(&Action, &ActionResult)],
) -> Result<bool, LockFileError> {
    let path = root.join(&plan.file).with_file_name(LOCK_NAME);
    let name = plan.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if results.is_empty() && !path.exists() {
        return Ok(false);
    }
    // Two runs of one project may end at once.
    let _held = hold(state_dir)?;
    let old = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(LockFileError::io("read", &path)(error)),
    };
    let said = said(&name, results);
    let known = state_dir.join(KNOWN);
    let in_one = |text: &str| format!("{} {said}\n", Digest::of(text.as_bytes()));
    let all = results.len() == plan.actions.len();
    let remember = |text: &str| {
        if all {
            // Only time is lost without it.
            let _ = fs::write(&known, in_one(text));
        }
    };
    if let Some(text) = &old
        && all
        && fs::read_to_string(&known).is_ok_and(|known| known == in_one(text))
    {
        return Ok(false);
    }
    let mut stages: LockedStages = results
        .iter()
        .map(|(action, result)| (action.id.clone(), LockedStage::new(action, result)))
        .collect();
    if all {
        // Mostly nothing changed, and this tells it without reading the file field by field.
        let whole = LockFile { pipelines: [(name.clone(), stages.clone())].into() };
        if let Some(text) = old.as_ref().filter(|text| **text == whole.render()) {
            remember(text);
            return Ok(false);
        }
    }
    let mut file = match &old {
        Some(text) => LockFile::parse(text).map_err(|fault| fault.of(&path))?,
        None => LockFile::default(),
    };
    let before = file.pipelines.remove(&name).unwrap_or_default();
    let there: BTreeSet<&StageId> = plan.actions.iter().map(|action| &action.id).collect();
    for (stage, locked) in before {
        if there.contains(&stage) {
            stages.entry(stage).or_insert(locked);
        }
    }
    file.pipelines.retain(|other, _| path.with_file_name(other).exists());
    if !stages.is_empty() {
        file.pipelines.insert(name, stages);
    }
    let text = file.render();
    let changed = old.as_deref() != Some(&text);
    if changed {
        track::write_whole(&path, &text)?;
    }
    remember(&text);
    Ok(changed)
}

/// Stands for all that a lock file says of these results, without writing it: which takes a run with nothing to do longer than all
/// else. What a key was made of is in the key.
fn said(pipeline: &str, results: &[(&Action, &ActionResult)]) -> Digest {
    let mut text = format!("{} {pipeline}", env!("CARGO_PKG_VERSION"));
    for (action, result) in results {
        text.push_str(&format!("\n{:?} {} {:?}", action.id.0, result.key, result.program.version));
        for (port, StoredOutput { artifact, executable, artifact_type: _, file_name: _ }) in &result.outputs {
            text.push_str(&format!(" {port:?} {} {:?} {executable}", artifact.digest, artifact.kind));
            text.push_str(&format!(" {:?}", action.exports.get(port)));
        }
        action.outs.iter().for_each(|out| text.push_str(&format!(" {:?}", out.path)));
    }
    Digest::of(text.as_bytes())
}

fn hold(state_dir: &Path) -> Result<File, LockFileError> {
    fs::create_dir_all(state_dir).map_err(LockFileError::io("create", state_dir))?;
    let path = state_dir.join("lockfile.lock");
    let opened = File::options().write(true).create(true).truncate(false).open(&path);
    let file = opened.map_err(LockFileError::io("open", &path))?;
    file.lock().map_err(LockFileError::io("lock", &path))?;
    Ok(file)
}
