//! A run's hold on the store, and its claim on one action of it.

use std::time::Duration;

use super::{RunError, shares::POLL};
use crate::{
    plan::ActionKey,
    plugin::Cancel,
    record::RunId,
    store::{Claim, LocalStore, StoreError, StoreLock},
};

/// How often a run looks whether the store is free of one who removes things.
const PAUSE: Duration = Duration::from_millis(200);

/// Keeps `gc` from the store for as long as a run lasts; waits for one that goes on.
pub(super) async fn share(store: &LocalStore, cancel: &Cancel) -> Result<StoreLock, RunError> {
    loop {
        if let Some(lock) = store.share()? {
            return Ok(lock);
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = cancel.cancelled() => return Err(RunError::CancelledWaiting),
        }
    }
}

/// Claims an action, waiting for another run that carries the same one out. None if the run was cancelled meanwhile; `waits` is
/// called once if there is one, with what it is.
pub(super) async fn claim(
    store: &LocalStore,
    key: &ActionKey,
    run: RunId,
    cancel: &Cancel,
    mut waits: impl FnMut(String),
) -> Result<Option<StoreLock>, StoreError> {
    let mut told = false;
    loop {
        match store.claim(&key.0, &format!("run {run}"))? {
            Claim::Ours(lock) => return Ok(Some(lock)),
            Claim::Theirs { holder } => {
                if !std::mem::replace(&mut told, true) {
                    waits(format!(
                        "{}, which makes the same result",
                        holder.as_deref().unwrap_or("another run")
                    ));
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = cancel.cancelled() => return Ok(None),
        }
    }
}
