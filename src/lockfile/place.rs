//! Making the work tree what a lock file says.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::LockedOutput;
use crate::{
    store::{LocalStore, StoreError},
    track::{CheckedOut, TrackError},
};

/// How an output lies in the work tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// As the lock file says.
    Same,
    /// Not at all.
    Missing,
    /// Something else is there.
    Other,
}

/// Compares an output with what lies in its place. An output without a place is as it should be.
pub fn state(root: &Path, output: &LockedOutput, store: &LocalStore) -> Result<Placed, TrackError> {
    let Some(at) = &output.at else { return Ok(Placed::Same) };
    let path = root.join(at);
    if fs::symlink_metadata(&path).is_err() {
        return Ok(Placed::Missing);
    }
    // A link that leads nowhere is something else as well.
    let same = path.exists() && store.fingerprint(&path)? == output.artifact;
    Ok(if same { Placed::Same } else { Placed::Other })
}

/// Makes a place in the work tree what the lock file says of it. What is there is replaced only if the store has its content, unless
/// `force` gives it up.
pub fn place(
    root: &Path,
    output: &LockedOutput,
    store: &LocalStore,
    force: bool,
) -> Result<CheckedOut, TrackError> {
    let Some(at) = &output.at else { return Ok(CheckedOut::Same) };
    let path = root.join(at);
    let before = state(root, output, store)?;
    if before != Placed::Same {
        // A link on the way may lead anywhere, and what is there is not the project's.
        let above = path.ancestors().skip(1).find_map(|folder| fs::canonicalize(folder).ok());
        let top = fs::canonicalize(root).map_err(TrackError::io("read", root))?;
        if !above.is_some_and(|above| above.starts_with(&top)) {
            return Err(TrackError::Outside { path });
        }
        if !store.missing(&output.artifact)?.is_empty() {
            return Err(TrackError::NotStored { path, digest: output.artifact.digest });
        }
        if before == Placed::Other && !force {
            store.check_recoverable(&path).map_err(|error| match error {
                StoreError::UserChanged { path } => TrackError::Unknown { path },
                error => error.into(),
            })?;
        }
        store.replace(&output.artifact, &path)?;
    }
    if output.executable {
        let meta = fs::metadata(&path).map_err(TrackError::io("read", &path))?;
        if meta.permissions().mode() & 0o111 == 0 {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&path, mode).map_err(TrackError::io("protect", &path))?;
        }
    }
    Ok(match before {
        Placed::Same => CheckedOut::Same,
        Placed::Missing => CheckedOut::Placed,
        Placed::Other => CheckedOut::Replaced,
    })
}
