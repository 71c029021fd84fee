//! Who is at work in a remote: many that add, or one that removes.
//!
//! A push relies on what it finds in the remote and does not send again; removing that meanwhile would leave a result without its
//! bytes. So each announces itself with an object of its own, and looks at the others' after that:
//!
//! ```text
//! leases-v1/shared/<random>   a push is going on
//! leases-v1/alone/<random>    something is being removed
//! ```
//!
//! Why no condition on a write is needed: both write first and look afterwards, and a list that is asked for after a write was answered
//! holds what was written (S3 and file systems promise that). Of two that come at the same time, the one that looks later sees the other.
//! A push that sees one that removes takes its own lease back and waits; one that removes waits for the pushes that it sees, and while its
//! lease is there no new push begins. Two that remove both step back.
//!
//! A process that was killed leaves its lease. One that nobody renewed for [`EXPIRES`] counts no more; ages are told by the remote's own
//! clock, as the difference to the lease that was just written. A process that was only asleep must not go on as if it still had one: who
//! holds a lease asks [`Lease::check`] before anything that relies on it, and that fails from half that time after the last renewal on. What
//! may still go wrong is a process that sleeps between that question and the arrival of the request that follows, for half of
//! [`EXPIRES`], and whose connection outlives that.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::{Key, RemoteError, Session, TransferEvent, objects::When, session::random};

/// A lease that was not renewed for so long counts no more.
pub(super) const EXPIRES: Duration = Duration::from_secs(3600);
/// A lease is renewed this often.
const RENEWED: Duration = Duration::from_secs(300);
/// Who has to wait for others looks this often, and at most so long.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(600);

const ALL: &str = "leases-v1/";
const SHARED: &str = "leases-v1/shared/";
const ALONE: &str = "leases-v1/alone/";

/// What a lease says, for people.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Text {
    /// What its holder does.
    does: String,
    /// The holder's machine and process.
    holder: String,
}

/// A lease that this process holds.
#[derive(Debug)]
pub(super) struct Lease {
    session: Arc<Session>,
    key: Key,
    renewed: Arc<Mutex<(Instant, SystemTime)>>,
    renewing: JoinHandle<()>,
}

/// A lease of somebody else.
struct Other {
    key: Key,
    age: Option<Duration>,
}

impl Session {
    /// Adds to the remote while that is announced. Waits while something is being removed.
    pub(super) async fn sharing<T>(
        self: &Arc<Self>,
        work: impl AsyncFnOnce(&Lease) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let lease = self.share().await?;
        let done = work(&lease).await;
        lease.release().await;
        done
    }

    async fn share(self: &Arc<Self>) -> Result<Lease, RemoteError> {
        let began = Instant::now();
        loop {
            let lease = self.take_lease(SHARED, "push").await?;
            let others = lease.others().await?;
            let Some(other) =
                others.iter().find(|other| other.counts() && other.key.as_str().starts_with(ALONE))
            else {
                return Ok(lease);
            };
            let busy = self.busy(other).await;
            lease.release().await;
            self.wait(began, busy).await?;
        }
    }

    /// Announces that something will be removed, and waits until nobody relies on what is there. Leases of processes that are gone
    /// are taken away.
    pub(super) async fn alone(self: &Arc<Self>) -> Result<Lease, RemoteError> {
        let began = Instant::now();
        let lease = self.take_lease(ALONE, "remove").await?;
        loop {
            let (live, dead): (Vec<Other>, Vec<Other>) =
                lease.others().await?.into_iter().partition(Other::counts);
            let Some(other) = live.first() else {
                for other in dead {
                    self.ask(0, |objects| objects.delete(&other.key)).await?;
                }
                return Ok(lease);
            };
            let busy = self.busy(other).await;
            // Two that wait for each other would wait for ever.
            let both = live.iter().any(|other| other.key.as_str().starts_with(ALONE));
            let waited = if both { Err(busy) } else { self.wait(began, busy).await };
            if let Err(error) = waited {
                lease.release().await;
                return Err(error);
            }
        }
    }

    async fn wait(&self, began: Instant, busy: RemoteError) -> Result<(), RemoteError> {
        if began.elapsed() >= PATIENCE {
            return Err(busy);
        }
        self.tell(TransferEvent::Waiting { what: busy.to_string() });
        tokio::time::sleep(LOOK_AGAIN).await;
        Ok(())
    }

    async fn busy(&self, other: &Other) -> RemoteError {
        let text = self.ask(0, |objects| objects.get(&other.key, None)).await.ok();
        let text = text.and_then(|bytes| serde_json::from_slice::<Text>(&bytes).ok());
        let removes = other.key.as_str().starts_with(ALONE);
        RemoteError::Busy {
            place: self.place(),
            what: if removes { "something is being removed" } else { "a push is going on" },
            holder: text.map_or_else(|| "somebody".to_owned(), |text| text.holder),
            minutes: other.age.unwrap_or_default().as_secs() / 60,
        }
    }

    async fn take_lease(self: &Arc<Self>, prefix: &str, does: &str) -> Result<Lease, RemoteError> {
        let key = Key::new(format!("{prefix}{:016x}", random()))?;
        let text = Text { does: does.to_owned(), holder: holder() };
        let bytes = serde_json::to_vec(&text).unwrap_or_default();
        let renewed = Arc::new(Mutex::new((Instant::now(), SystemTime::now())));
        self.ask(0, |objects| objects.put(&key, bytes.clone().into(), When::Always)).await?;
        let renewing = {
            let (session, key, renewed) = (Arc::clone(self), key.clone(), Arc::clone(&renewed));
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(RENEWED).await;
                    let now = (Instant::now(), SystemTime::now());
                    let put = session.ask(0, |objects| objects.put(&key, bytes.clone().into(), When::Always));
                    if put.await.is_ok() {
                        *renewed.lock().unwrap_or_else(PoisonError::into_inner) = now;
                    }
                }
            })
        };
        Ok(Lease { session: Arc::clone(self), key, renewed, renewing })
    }
}

impl Lease {
    /// Fails when others may think that this process is gone.
    pub(super) fn check(&self) -> Result<(), RemoteError> {
        let (steady, wall) = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        // The steady clock stands still while the machine sleeps; the other one may be set.
        let since = steady.elapsed().max(wall.elapsed().unwrap_or_default());
        if since < EXPIRES / 2 {
            return Ok(());
        }
        Err(RemoteError::LeaseLost { place: self.session.place(), minutes: since.as_secs() / 60 })
    }

    /// Leases of others that are there now.
    async fn others(&self) -> Result<Vec<Other>, RemoteError> {
        let listed = self.session.list_all(ALL).await?;
        let mine = listed.iter().find(|object| object.key == self.key).and_then(|object| object.modified);
        let age = |modified: Option<SystemTime>| Some(mine?.duration_since(modified?).unwrap_or_default());
        let others = listed.into_iter().filter(|object| object.key != self.key);
        Ok(others.map(|object| Other { age: age(object.modified), key: object.key }).collect())
    }

    /// Gives it back. Who may not remove objects leaves it until it expires.
    pub(super) async fn release(self) {
        self.renewing.abort();
        if let Err(error) = self.session.ask(0, |objects| objects.delete(&self.key)).await {
            tracing::debug!(%error, key = %self.key, "the lease stays until it expires");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Other {
    /// Somebody may still be at work under it.
    fn counts(&self) -> bool {
        self.age.is_none_or(|age| age < EXPIRES)
    }
}

fn holder() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("process {} of {host}", std::process::id())
}
