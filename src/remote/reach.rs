//! What results, versioned data and checkpoints of a remote lead to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use serde::Deserialize;

use super::{Key, RemoteError, Session, layout, session::each};
use crate::{
    digest::Digest,
    store::{Alias, Artifact, ArtifactKind},
};

/// What some objects lead to.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Blobs by what leads to them: files, listings of folders, and the files in those.
    pub(super) by: BTreeMap<Key, Vec<Digest>>,
    /// All of them.
    pub(super) blobs: BTreeSet<Digest>,
    /// Those of them that are listings.
    pub(super) listings: BTreeSet<Digest>,
    /// Objects that can't be read as what they should be, and why.
    pub(super) unreadable: Vec<(Key, String)>,
    /// Listings that are there and damaged; what they lead to is not known.
    pub(super) damaged: Vec<RemoteError>,
}

/// What leads to blobs, as written. What else is in it does not matter here.
#[derive(Deserialize)]
struct Entry {
    artifacts: Vec<Artifact>,
}

/// Artifacts that an object names, and blobs beside them.
fn named(key: &Key, bytes: &[u8]) -> Result<(Vec<Artifact>, Option<Digest>), String> {
    let read = if key.as_str().starts_with(layout::RESULTS) {
        serde_json::from_slice(bytes).map(|Entry { artifacts }| (artifacts, None))
    } else if key.as_str().starts_with(layout::ALIASES) {
        serde_json::from_slice(bytes).map(|Alias { artifact, listing }| (vec![artifact], listing))
    } else {
        serde_json::from_slice(bytes).map(|artifact| (vec![artifact], None))
    };
    read.map_err(|error| error.to_string())
}

impl Session {
    /// What these results, names of versioned data and checkpoints lead to.
    pub(super) async fn reach(self: &Arc<Self>, keys: Vec<Key>) -> Result<Reach, RemoteError> {
        let found = Arc::new(Mutex::new((Reach::default(), BTreeMap::<Digest, Vec<Key>>::new())));
        each(keys, |key| {
            let (session, found) = (Arc::clone(self), Arc::clone(&found));
            async move {
                let bytes = match session.ask(0, |objects| objects.get(&key, None)).await {
                    // Somebody has removed it meanwhile.
                    Err(RemoteError::NotFound { .. }) => return Ok(()),
                    got => got?,
                };
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                match named(&key, &bytes) {
                    Err(reason) => found.0.unreadable.push((key, reason)),
                    Ok((artifacts, listing)) => {
                        for artifact in
                            artifacts.iter().filter(|artifact| artifact.kind == ArtifactKind::Tree)
                        {
                            found.1.entry(artifact.digest).or_default().push(key.clone());
                        }
                        let blobs = artifacts.iter().map(|artifact| artifact.digest).chain(listing);
                        found.0.listings.extend(listing);
                        found.0.by.insert(key, blobs.collect());
                    }
                }
                Ok(())
            }
        })
        .await?;
        let trees = std::mem::take(&mut found.lock().unwrap_or_else(PoisonError::into_inner).1);
        each(trees, |(tree, keys)| {
            let (session, found) = (Arc::clone(self), Arc::clone(&found));
            async move {
                let listing = match session.read_tree(&tree).await {
                    // It may have been damaged on the way.
                    Err(RemoteError::Corrupt { .. }) => session.read_tree(&tree).await,
                    read => read,
                };
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.0.listings.insert(tree);
                match listing {
                    Ok(listing) => {
                        for key in keys {
                            let files = listing.entries().iter().map(|entry| entry.digest);
                            found.0.by.entry(key).or_default().extend(files);
                        }
                    }
                    // Without it, what leads to it serves nobody, until a push brings it and then looks at every file as well.
                    Err(RemoteError::NotFound { .. }) => {}
                    Err(error) if error.is_about_one_object() => found.0.damaged.push(error),
                    Err(error) => return Err(error),
                }
                Ok(())
            }
        })
        .await?;
        let mut reach = std::mem::take(&mut found.lock().unwrap_or_else(PoisonError::into_inner).0);
        reach.blobs = reach.by.values().flatten().copied().collect();
        Ok(reach)
    }
}
