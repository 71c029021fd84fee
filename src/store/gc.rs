//! Dropping what nothing leads to.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{ArtifactKind, Entry, LocalStore, StoreError};
use crate::digest::Digest;

/// A file younger than this may belong to a write that is still going on.
const GRACE: Duration = Duration::from_secs(3600);

/// What a collection would remove; printing it is the dry run, [`LocalStore::collect`] performs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcPlan {
    /// Results not used for long and not kept by a root.
    pub entries: Vec<PathBuf>,
    /// Blobs that no remaining result leads to.
    pub blobs: Vec<PathBuf>,
    /// Files of killed processes and stat caches of paths that are gone.
    pub leftovers: Vec<PathBuf>,
    /// Bytes of all these.
    pub bytes: u64,
    /// Results that stay.
    pub kept_entries: usize,
    /// Blobs that stay.
    pub kept_blobs: usize,
}

impl LocalStore {
    /// Plans a collection: results whose key is in `roots` stay, and those used within `max_age`, which is known to within an
    /// hour ([`LocalStore::entry`]); blobs stay that a remaining result leads to, those in `pinned`, and any younger than an hour.
    pub fn plan_gc(
        &self,
        roots: &BTreeSet<Digest>,
        pinned: &BTreeSet<Digest>,
        max_age: Duration,
        now: SystemTime,
    ) -> Result<GcPlan, StoreError> {
        let mut plan = GcPlan::default();
        let rooted: BTreeSet<PathBuf> = roots.iter().map(|key| self.entry_path(key)).collect();
        let mut live: BTreeSet<PathBuf> = pinned.iter().map(|digest| self.blob_path(digest)).collect();
        for (path, used) in self.entries()? {
            if !rooted.contains(&path) && older(now, used, max_age) {
                plan.entries.push(path);
                continue;
            }
            plan.kept_entries += 1;
            let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
            let entry: Entry = serde_json::from_slice(&bytes).map_err(|error| StoreError::Format {
                path: path.clone(),
                what: "an action result",
                reason: error.to_string(),
            })?;
            for artifact in entry.artifacts {
                live.insert(self.blob_path(&artifact.digest));
                if artifact.kind == ArtifactKind::Tree && self.contains(&artifact.digest) {
                    let tree = self.tree(&artifact.digest)?;
                    live.extend(tree.entries().iter().map(|entry| self.blob_path(&entry.digest)));
                }
            }
        }
        for path in self.files_of("blobs-v1")? {
            if live.contains(&path) || !is_older(now, &path, GRACE)? {
                plan.kept_blobs += 1;
            } else {
                plan.blobs.push(path);
            }
        }
        for path in self.files_of("tmp")? {
            if is_older(now, &path, GRACE)? {
                plan.leftovers.push(path);
            }
        }
        for path in plan.entries.iter().chain(&plan.blobs).chain(&plan.leftovers) {
            plan.bytes += fs::metadata(path).map_err(StoreError::io("read", path))?.len();
        }
        Ok(plan)
    }

    /// Performs a planned collection: results before the blobs they lead to, so that no instant has a result without its blobs.
    pub fn collect(&self, plan: &GcPlan) -> Result<(), StoreError> {
        for path in plan.entries.iter().chain(&plan.blobs).chain(&plan.leftovers) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn older(now: SystemTime, then: SystemTime, age: Duration) -> bool {
    now.duration_since(then).is_ok_and(|since| since > age)
}

/// A file's age counts from the last change of anything about it: the time of modification of a blob is a mark.
fn is_older(now: SystemTime, path: &Path, age: Duration) -> Result<bool, StoreError> {
    let meta = fs::metadata(path).map_err(StoreError::io("read", path))?;
    let changed =
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(meta.ctime()).unwrap_or_default());
    Ok(older(now, changed, age))
}
