//! Making the work tree what its pointers say.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{State, TrackError, Tracked, state::state};
use crate::store::LocalStore;

/// What became of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckedOut {
    /// It was right already.
    Same,
    /// It was not there.
    Placed,
    /// Something else was there, whose content the store has.
    Replaced,
}

/// Makes data what its pointer says. What is there is replaced only if the store has its content, unless `force` gives it up.
pub fn checkout(tracked: &Tracked, store: &LocalStore, force: bool) -> Result<CheckedOut, TrackError> {
    let before = state(tracked, store)?;
    if before == State::Same {
        return Ok(CheckedOut::Same);
    }
    let name = tracked.pointer.name;
    let absent = || TrackError::Absent { path: tracked.data.clone(), name };
    let alias = store.alias(&name.md5, name.folder)?.ok_or_else(absent)?;
    if !store.missing(&alias.artifact)?.is_empty() {
        return Err(absent());
    }
    if before != State::Missing && !force {
        store.check_recoverable(&tracked.data)?;
    }
    store.replace(&alias.artifact, &tracked.data)?;
    if tracked.pointer.executable {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&tracked.data, mode).map_err(TrackError::io("protect", &tracked.data))?;
    }
    Ok(if before == State::Missing { CheckedOut::Placed } else { CheckedOut::Replaced })
}
