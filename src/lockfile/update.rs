//! The results of a run → the lock file beside its pipeline.

use std::{
    fs::{self, File},
    path::Path,
};

use super::{LockFile, LockFileError, LockedStage, LockedStages};
use crate::{
    config::LOCK_NAME,
    plan::{Action, Plan},
    record::ActionResult,
    track,
};

/// Brings the lock file beside a plan's pipeline up to date with results of its stages. True when it was written, which it is only
/// when it says something else. Stages of the plan without a result here keep what the file says of them; stages and pipelines that
/// are no more go out of it.
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
    let mut stages: LockedStages = results
        .iter()
        .map(|(action, result)| (action.id.clone(), LockedStage::new(action, result)))
        .collect();
    if results.len() == plan.actions.len() {
        // Mostly nothing changed, and this tells it without reading the file field by field.
        let whole = LockFile { pipelines: [(name.clone(), stages.clone())].into() };
        if old.as_deref() == Some(&whole.render()) {
            return Ok(false);
        }
    }
    let mut file = match &old {
        Some(text) => LockFile::parse(text).map_err(|fault| fault.of(&path))?,
        None => LockFile::default(),
    };
    let before = file.pipelines.remove(&name).unwrap_or_default();
    for (stage, locked) in before {
        if plan.actions.iter().any(|action| action.id == stage) {
            stages.entry(stage).or_insert(locked);
        }
    }
    file.pipelines.retain(|other, _| path.with_file_name(other).exists());
    if !stages.is_empty() {
        file.pipelines.insert(name, stages);
    }
    let text = file.render();
    if old.as_deref() == Some(&text) {
        return Ok(false);
    }
    track::write_whole(&path, &text)?;
    Ok(true)
}

fn hold(state_dir: &Path) -> Result<File, LockFileError> {
    fs::create_dir_all(state_dir).map_err(LockFileError::io("create", state_dir))?;
    let path = state_dir.join("lockfile.lock");
    let opened = File::options().write(true).create(true).truncate(false).open(&path);
    let file = opened.map_err(LockFileError::io("open", &path))?;
    file.lock().map_err(LockFileError::io("lock", &path))?;
    Ok(file)
}
