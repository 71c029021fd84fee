//! A remote as a place that a run takes results from.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::runtime::Handle;

use super::{RemoteError, Session};
use crate::{
    config::Trust,
    digest::Digest,
    store::{LocalStore, Supplied, Supplier},
};

/// Takes results from a remote until that fails as a whole: a run goes on without it.
#[derive(Debug)]
pub struct Supply {
    session: Arc<Session>,
    runtime: Handle,
    /// Why the remote is not asked any more.
    broken: Mutex<Option<RemoteError>>,
    /// Results are looked at and not brought.
    looks: bool,
}

/// A run waits this long for a remote that does not answer before it goes on without it.
const PATIENCE: Duration = Duration::from_secs(60);

impl Supply {
    /// Takes results through this session; what waits is run by that runtime.
    pub fn new(session: Arc<Session>, runtime: Handle) -> Self {
        Self { session, runtime, broken: Mutex::new(None), looks: false }
    }

    /// As [`Supply::new`], but brings nothing: for who wants to know what is there, not to have it.
    pub fn looking(session: Arc<Session>, runtime: Handle) -> Self {
        Self { looks: true, ..Self::new(session, runtime) }
    }

    /// Why the remote is not asked any more, if it is not.
    pub fn take_error(&self) -> Option<RemoteError> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn ask(&self, store: &LocalStore, key: &Digest) -> Result<Supplied, RemoteError> {
        self.runtime.block_on(async {
            // Whether it answers at all; the transfer itself may take as long as it needs.
            let there = tokio::time::timeout(PATIENCE, self.session.read_entry(key)).await;
            let place = self.session.place();
            let there = there.unwrap_or(Err(RemoteError::Transient {
                place,
                action: "look for a result".to_owned(),
                reason: format!("no answer within {} s", PATIENCE.as_secs()),
                throttled: false,
            }));
            match there? {
                None => Ok(Supplied::Absent),
                Some(entry) if self.looks => {
                    let whole = self.session.has_artifacts(&entry).await?;
                    Ok(if whole { Supplied::Known(Box::new(entry)) } else { Supplied::Absent })
                }
                Some(entry) => self.session.fetch_entry(store, key, entry).await.map(|_| Supplied::Here),
            }
        })
    }
}

impl Supplier for Supply {
    fn name(&self) -> String {
        self.session.name().to_string()
    }

    fn checkpoint(&self, store: &LocalStore, key: &Digest, folder: &Path) -> Result<bool, String> {
        if self.looks
            || self.session.trust() == Trust::Ignore
            || self.broken.lock().unwrap_or_else(PoisonError::into_inner).is_some()
        {
            return Ok(false);
        }
        let fetched = self.runtime.block_on(self.session.fetch_checkpoint(store, key, folder));
        fetched.map_err(|error| {
            format!("a checkpoint in the remote `{}` is of no use: {error}", self.session.name())
        })
    }

    fn supply(&self, store: &LocalStore, key: &Digest) -> Supplied {
        if self.session.trust() == Trust::Ignore
            || self.broken.lock().unwrap_or_else(PoisonError::into_inner).is_some()
        {
            return Supplied::Absent;
        }
        match self.ask(store, key) {
            Ok(supplied) => supplied,
            Err(error) if error.is_about_one_object() => Supplied::Failed(format!(
                "the result in the remote `{}` is of no use: {error}",
                self.session.name()
            )),
            Err(error) => {
                let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
                if broken.is_some() {
                    return Supplied::Absent;
                }
                let text = format!("the run goes on without the remote `{}`: {error}", self.session.name());
                *broken = Some(error);
                Supplied::Failed(text)
            }
        }
    }
}
