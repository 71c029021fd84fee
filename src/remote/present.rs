//! Which objects a remote has.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Key, RemoteError, Session, objects::Listed, session::each};

/// Up to this many objects are asked for one by one without thinking about it.
const FEW: usize = 64;
/// A request for a list brings up to this many keys.
const PAGE: usize = 1000;

impl Session {
    /// Sizes of those objects that are there. All keys begin with `prefix`, and a hash in hex follows. Asks for each, or lists all
    /// that the remote has, whatever takes fewer requests.
    pub(super) async fn sizes(
        self: &Arc<Self>,
        prefix: &str,
        keys: Vec<Key>,
    ) -> Result<BTreeMap<Key, u64>, RemoteError> {
        let mut by_list = false;
        if keys.len() > FEW {
            // Hashes are spread evenly, so one shard of 256 tells how many there are in all.
            let shard = self.list(&format!("{prefix}00/")).await?.len();
            by_list = shard * 256 / PAGE + 16 < keys.len();
        }
        let sizes = Arc::new(Mutex::new(BTreeMap::new()));
        let note = |sizes: &Mutex<BTreeMap<Key, u64>>, found: Vec<(Key, u64)>| {
            sizes.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        };
        if by_list {
            // Pages of one list come one after the other, so sixteen lists go on at once.
            each(0..16, |digit| {
                let (session, sizes, prefix) =
                    (Arc::clone(self), Arc::clone(&sizes), format!("{prefix}{digit:x}"));
                async move {
                    note(&sizes, session.list(&prefix).await?);
                    Ok(())
                }
            })
            .await?;
        } else {
            each(keys, |key| {
                let (session, sizes) = (Arc::clone(self), Arc::clone(&sizes));
                async move {
                    if let Some(size) = session.head(&key).await? {
                        note(&sizes, vec![(key, size)]);
                    }
                    Ok(())
                }
            })
            .await?;
        }
        let sizes = std::mem::take(&mut *sizes.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(sizes)
    }

    /// All objects whose key begins with a prefix, with their sizes.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<(Key, u64)>, RemoteError> {
        Ok(self.list_all(prefix).await?.into_iter().map(|object| (object.key, object.size)).collect())
    }

    /// All objects whose key begins with a prefix.
    pub(super) async fn list_all(&self, prefix: &str) -> Result<Vec<Listed>, RemoteError> {
        let (mut all, mut from) = (Vec::new(), None::<String>);
        loop {
            let page = self.ask(0, |objects| objects.list(prefix, from.as_deref())).await?;
            all.extend(page.objects);
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(all),
            }
        }
    }
}
