//! A remote as a place that a run takes results from.

use std::{
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
}

/// A run waits this long for a remote that does not answer before it goes on without it.
const PATIENCE: Duration = Duration::from_secs(60);

impl Supply {
    /// Takes results through this session; what waits is run by that runtime.
    pub fn new(session: Arc<Session>, runtime: Handle) -> Self {
        Self { session, runtime, broken: Mutex::new(None) }
    }

    /// Why the remote is not asked any more, if it is not.
    pub fn take_error(&self) -> Option<RemoteError> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn ask(&self, store: &LocalStore, key: &Digest) -> Result<bool, RemoteError> {
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
                None => Ok(false),
                Some(entry) => self.session.fetch_entry(store, key, entry).await.map(|_| true),
            }
        })
    }
}

impl Supplier for Supply {
    fn name(&self) -> String {
        self.session.name().to_string()
    }

    fn supply(&self, store: &LocalStore, key: &Digest) -> Supplied {
        if self.session.trust() == Trust::Ignore
            || self.broken.lock().unwrap_or_else(PoisonError::into_inner).is_some()
        {
            return Supplied::Absent;
        }
        match self.ask(store, key) {
            Ok(true) => Supplied::Here,
            Ok(false) => Supplied::Absent,
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
