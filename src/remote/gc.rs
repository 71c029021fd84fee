//! Dropping what nothing leads to from a remote.
//!
//! A remote belongs to many machines, and each knows only some of what the others want. So a collection keeps, whatever its age, what the
//! one who asks for it names (the results of releases, the last results, the data and results that branches and tags name), the statements
//! that ledgers name, and all else that was written not long ago. Nothing that a push relies on is removed under it: see [`lease`](super::lease). Blobs and packs that nothing leads to
//! stay for a day, so that a push that was cut off goes on where it was.
//!
//! Order: results, data and checkpoints that go; packs that are gathered anew, with their index; the indexes that this replaces;
//! blobs and packs. So no instant has a result without its bytes, and what is cut off is finished by the next collection.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Key, RemoteError, Session,
    layout::{self, Arrangement},
    lease::Lease,
    objects::Listed,
    packed::Rewrite,
    reach::Reach,
    session::each,
};
use crate::{digest::Digest, track::ObjectName};

/// What nothing leads to stays for so long: it may be of a push that was cut off and will go on.
pub(super) const GRACE: Duration = Duration::from_secs(86_400);

/// What a collection keeps.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Results by key, whatever their age.
    pub results: BTreeSet<Digest>,
    /// Versioned data, whatever its age.
    pub tracked: BTreeSet<ObjectName>,
    /// Results, data and checkpoints written within this time.
    pub younger_than: Duration,
}

/// What a collection removes, or would.
#[derive(Debug, Default)]
pub struct RemoteGc {
    /// Results.
    pub results: Vec<Key>,
    /// Names of versioned data.
    pub tracked: Vec<Key>,
    /// Checkpoints of stages that were cut off.
    pub checkpoints: Vec<Key>,
    /// Blobs, with their sizes; in the layout `packed` there are packs instead.
    pub blobs: Vec<(Key, u64)>,
    /// Results that stay.
    pub kept_results: u64,
    /// Blobs that something leads to.
    pub kept_blobs: u64,
    pub(super) rewrite: Rewrite,
}

impl RemoteGc {
    /// Bytes of the blobs and packs that go, without those that packs gathered anew take.
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, size)| size).sum::<u64>() + self.rewrite.freed()
    }

    /// Packs that go, and how many of them because what is left in them is gathered anew.
    pub fn packs(&self) -> (u64, u64) {
        self.rewrite.packs()
    }

    /// Indexes that become one.
    pub fn indexes(&self) -> u64 {
        self.rewrite.indexes()
    }
}

impl Session {
    /// Says what a collection would remove.
    pub async fn plan_gc(self: &Arc<Self>, keep: &Keep) -> Result<RemoteGc, RemoteError> {
        let now = self.server_time();
        let young = |object: &Listed| is_young(object, now, keep.younger_than);
        let mut plan = RemoteGc::default();
        let rooted: BTreeSet<Key> = keep.results.iter().map(layout::result).collect();
        let split = |objects: Vec<Listed>, rooted: &BTreeSet<Key>| -> (Vec<Key>, Vec<Key>) {
            let (kept, gone): (Vec<Listed>, Vec<Listed>) =
                objects.into_iter().partition(|object| rooted.contains(&object.key) || young(object));
            let keys = |objects: Vec<Listed>| objects.into_iter().map(|object| object.key).collect();
            (keys(kept), keys(gone))
        };
        let (results, gone) = split(self.list_all(layout::RESULTS).await?, &rooted);
        plan.results = gone;
        let named = keep.tracked.iter().map(layout::alias).collect();
        let (tracked, gone) = split(self.list_all(layout::ALIASES).await?, &named);
        plan.tracked = gone;
        let (checkpoints, gone) = split(self.list_all(layout::CHECKPOINTS).await?, &BTreeSet::new());
        plan.checkpoints = gone;
        plan.kept_results = results.len() as u64;
        let named = results.into_iter().chain(tracked).chain(checkpoints);
        let Reach { blobs, unreadable, damaged, .. } = self.reach(named.collect()).await?;
        // What these lead to is not known, so nothing can be told from what they do not.
        if let Some((key, reason)) = unreadable.into_iter().next() {
            return Err(RemoteError::Format {
                place: self.place(),
                key,
                what: "what leads to blobs",
                reason,
            });
        }
        if let Some(error) = damaged.into_iter().next() {
            return Err(error);
        }
        // What proves a result is kept for ever, as are the ledgers that name it.
        let live: HashSet<Digest> = blobs.into_iter().chain(self.logged().await?).collect();
        plan.kept_blobs = live.len() as u64;
        match self.arrangement().await? {
            Arrangement::Native => {
                let keys: HashSet<Key> = live.iter().map(layout::blob).collect();
                let dead = self.list_all(layout::BLOBS).await?.into_iter();
                let dead = dead.filter(|object| !keys.contains(&object.key) && !is_young(object, now, GRACE));
                plan.blobs = dead.map(|object| (object.key, object.size)).collect();
            }
            Arrangement::Packed => plan.rewrite = self.plan_rewrite(&live, now).await?,
        }
        Ok(plan)
    }

    /// Removes what nothing leads to; says what that was. Waits for pushes that are going on.
    pub async fn gc(self: &Arc<Self>, keep: &Keep) -> Result<RemoteGc, RemoteError> {
        self.begin_writing().await?;
        let lease = self.alone().await?;
        let done = async {
            let plan = self.plan_gc(keep).await?;
            self.collect(&plan, &lease).await?;
            Ok(plan)
        };
        let done = done.await;
        lease.release().await;
        done
    }

    async fn collect(self: &Arc<Self>, plan: &RemoteGc, lease: &Lease) -> Result<(), RemoteError> {
        for keys in [&plan.results, &plan.tracked, &plan.checkpoints] {
            self.remove(keys.clone(), lease).await?;
        }
        self.rewrite(&plan.rewrite, lease).await?;
        self.remove(plan.blobs.iter().map(|(key, _)| key.clone()).collect(), lease).await
    }

    /// Removes objects, as long as the lease lasts.
    pub(super) async fn remove(self: &Arc<Self>, keys: Vec<Key>, lease: &Lease) -> Result<(), RemoteError> {
        for keys in keys.chunks(256) {
            lease.check()?;
            each(keys.to_vec(), |key| {
                let session = Arc::clone(self);
                async move { session.ask(0, |objects| objects.delete(&key)).await }
            })
            .await?;
        }
        self.ask(0, |objects| objects.settle()).await
    }

    /// What time it is to the remote.
    pub(super) fn server_time(&self) -> SystemTime {
        let ahead = self.objects().clock_ahead().unwrap_or_default();
        let seconds = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 { SystemTime::now() - seconds } else { SystemTime::now() + seconds }
    }
}

/// Written within this time; also where the remote does not say when.
pub(super) fn is_young(object: &Listed, now: SystemTime, age: Duration) -> bool {
    object.modified.is_none_or(|modified| now.duration_since(modified).is_ok_and(|since| since < age))
}
