//! Where stages work: private folders, checkpoints, logs, and what dead runs left of them.
//!
//! ```text
//! <state>/work/<run>/<stage>/{in,out,scratch}   private to one attempt, removed after it
//! <state>/work/<run>/<stage>/group              names the process group while it lives
//! <state>/checkpoints/<action key>/             outlives a failed or killed attempt, removed after success
//! <state>/kept/<run>/<stage>/                   private folders that the user wanted to keep
//! ```

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{RunError, shares::Shares};
use crate::{
    config::Config,
    digest::Digest,
    plan::{ActionKey, StageId},
    plugin::end_leftover,
    record::{RunId, is_running},
};

/// Longest folder name made of a stage's id; file systems stop at 255 bytes.
const LONGEST_NAME: usize = 120;

/// The folders of one run.
#[derive(Debug)]
pub(super) struct Folders {
    state_dir: PathBuf,
    run: RunId,
    keep: bool,
}

/// The private folder of one attempt.
#[derive(Debug)]
pub(super) struct StageFolder {
    root: PathBuf,
}

impl Folders {
    /// Removes what dead runs left, ending stages of theirs that still run.
    pub(super) fn open(config: &Config, run: RunId, keep: bool, shares: &Shares) -> Result<Self, RunError> {
        let state_dir = &config.state_dir;
        // Nothing of this belongs into a repository, also where nobody ran `stagewright init`.
        let ignore = state_dir.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(RunError::io("write", &ignore))?;
        }
        // Two runs that start at once do not clean up under each other's hands.
        let _cleaning = shares.leftovers().map_err(RunError::io("lock", state_dir))?;
        let mut others = false;
        for left in list(&state_dir.join("work"))? {
            let owner = left.file_name().and_then(|name| name.to_str()?.parse::<RunId>().ok());
            if let Some(owner) = owner
                && is_running(state_dir, owner)?
            {
                others = true;
                continue;
            }
            for stage in list(&left)? {
                if end_leftover(&stage.join("group")) {
                    tracing::info!(folder = %stage.display(), "ended a stage that a killed run had left behind");
                }
            }
            remove(&left).map_err(RunError::io("remove", &left))?;
        }
        if !others {
            drop_old_checkpoints(config)?;
        }
        Ok(Self { state_dir: state_dir.clone(), run, keep })
    }

    /// A fresh private folder.
    pub(super) fn stage(&self, stage: &StageId) -> io::Result<StageFolder> {
        let root = self.state_dir.join("work").join(self.run.to_string()).join(file_name(stage));
        remove(&root)?;
        let folder = StageFolder { root };
        for part in [folder.inputs(), folder.outputs(), folder.scratch()] {
            fs::create_dir_all(part)?;
        }
        Ok(folder)
    }

    /// The folder for an action's checkpoints.
    pub(super) fn checkpoint(&self, key: &ActionKey) -> PathBuf {
        checkpoint_folder(&self.state_dir, key)
    }

    /// Removes a private folder, or moves it to where the user finds it.
    pub(super) fn close(&self, stage: &StageId, folder: &StageFolder) -> io::Result<()> {
        if !self.keep {
            return remove(&folder.root);
        }
        let kept = self.state_dir.join("kept").join(self.run.to_string());
        fs::create_dir_all(&kept)?;
        let kept = kept.join(file_name(stage));
        remove(&kept)?;
        fs::rename(&folder.root, kept)
    }

    /// Removes the run's folder.
    pub(super) fn finish(&self) -> io::Result<()> {
        remove(&self.state_dir.join("work").join(self.run.to_string()))
    }
}

/// The folder for an action's checkpoints.
pub fn checkpoint_folder(state_dir: &Path, key: &ActionKey) -> PathBuf {
    state_dir.join("checkpoints").join(key.to_string())
}

/// Removes checkpoints of actions that nobody came back to. No other run may be going on: it may be using one.
fn drop_old_checkpoints(config: &Config) -> Result<(), RunError> {
    let age = Duration::from_secs(u64::from(config.keep_days) * 86_400);
    for checkpoint in list(&config.state_dir.join("checkpoints"))? {
        let modified = fs::metadata(&checkpoint).and_then(|meta| meta.modified());
        if modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|since| since > age)) {
            remove(&checkpoint).map_err(RunError::io("remove", &checkpoint))?;
        }
    }
    Ok(())
}

impl StageFolder {
    pub(super) fn inputs(&self) -> PathBuf {
        self.root.join("in")
    }

    pub(super) fn outputs(&self) -> PathBuf {
        self.root.join("out")
    }

    pub(super) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    pub(super) fn mark(&self) -> PathBuf {
        self.root.join("group")
    }
}

/// A file name for a stage: its id, with everything unusual replaced and, then, a piece of its digest to stay unique.
pub(super) fn file_name(stage: &StageId) -> String {
    let usual = |c: char| c.is_ascii_alphanumeric() || "-_=[],.".contains(c);
    let plain: String = stage.0.chars().map(|c| if usual(c) { c } else { '_' }).take(LONGEST_NAME).collect();
    if plain == stage.0 && !plain.starts_with('.') {
        return plain;
    }
    format!("{}-{}", plain.trim_start_matches('.'), Digest::of(stage.0.as_bytes()).short())
}

/// Removes a file or folder, also one whose folders a stage has made unwritable.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let folders =
                walkdir::WalkDir::new(path).into_iter().flatten().filter(|item| item.file_type().is_dir());
            // Each folder is opened up before the walk goes into it.
            folders.for_each(|folder| {
                drop(fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)))
            });
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    match fs::read_dir(folder) {
        Ok(items) => items
            .map(|item| item.map(|item| item.path()))
            .collect::<io::Result<_>>()
            .map_err(RunError::io("read", folder)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(RunError::io("read", folder)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_ids_become_distinct_file_names() {
        let name = |id: &str| file_name(&StageId(id.to_owned()));
        assert_eq!(name("train[seed=0,lr=0.1]"), "train[seed=0,lr=0.1]");
        assert_eq!(name("a/b"), "a_b-c14cddc033f6");
        assert_ne!(name("a/b"), name("a_b"));
        assert_ne!(name("a/b"), name("a:b"));
        assert!(!name("..").starts_with('.'));
        let long = name(&"x".repeat(500));
        assert!(long.len() < 140 && long != name(&"x".repeat(501)));
    }
}
