//! Tracked data between the store and a remote, in the layout that the remote has for it.
//!
//! In the layout `dvc` the bytes lie where DVC 3 puts them, so one remote serves both tools. In the others they are blobs like all
//! others, and an alias says which blob an MD5 means.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use rayon::prelude::*;

use super::{
    Key, RemoteError, Session, TransferEvent,
    download::{Content, Promise},
    layout,
    lease::Lease,
    objects::When,
    session::{blocking, each},
};
use crate::{
    config::Layout,
    digest::{Digest, Md5},
    store::{Alias, Artifact, ArtifactKind, LocalStore, StoreError, Tree, TreeEntry},
    track::{DirListing, ObjectName},
};

/// What a push of tracked data did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushedData {
    /// Objects sent.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that went to the remote for them; fewer where they were packed together or shared pieces with what was there.
    pub sent: u64,
    /// Objects that were there already.
    pub known: u64,
    /// Data that is not whole in this store, so that it was not pushed.
    pub incomplete: Vec<ObjectName>,
}

/// What a fetch of tracked data brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchedData {
    /// Objects that came.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Data that the remote has not.
    pub absent: Vec<ObjectName>,
}

/// Tracked data as objects: files first, what leads to them after.
#[derive(Debug, Default)]
struct Load {
    files: BTreeMap<Key, Digest>,
    listings: BTreeMap<Key, Digest>,
    aliases: Vec<(ObjectName, Alias)>,
    incomplete: Vec<ObjectName>,
}

impl Session {
    /// Brings tracked data to the remote: files first, then the listings of folders, so that a listing never promises what is not
    /// there.
    pub async fn push_tracked(
        self: &Arc<Self>,
        store: &LocalStore,
        names: Vec<ObjectName>,
    ) -> Result<PushedData, RemoteError> {
        self.begin_writing().await?;
        self.sharing(async |lease| self.push_tracked_under(store, names, lease).await).await
    }

    async fn push_tracked_under(
        self: &Arc<Self>,
        store: &LocalStore,
        names: Vec<ObjectName>,
        lease: &Lease,
    ) -> Result<PushedData, RemoteError> {
        let layout = self.layout();
        let load = {
            let store = store.clone();
            blocking(move || load(&store, names, layout)).await?
        };
        let count = (load.files.len() + load.listings.len()) as u64;
        let there: BTreeSet<Key> = if layout == Layout::Dvc {
            let all: BTreeMap<&Key, &Digest> = load.files.iter().chain(&load.listings).collect();
            let sizes = self.sizes(layout::DVC_FILES, all.keys().copied().cloned().collect()).await?;
            let whole = |(key, size): &(Key, u64)| all.get(key).is_some_and(|digest| digest.size() == *size);
            sizes.into_iter().filter(whole).map(|(key, _)| key).collect()
        } else {
            let all = load.files.values().chain(load.listings.values()).copied().collect();
            self.present(&all).await?.iter().map(layout::blob).collect()
        };
        let mut pushed = PushedData { incomplete: load.incomplete, ..PushedData::default() };
        let missing = |wave: BTreeMap<Key, Digest>| -> Vec<(Key, Digest)> {
            wave.into_iter().filter(|(key, _)| !there.contains(key)).collect()
        };
        let waves = [missing(load.files), missing(load.listings)];
        for (_, digest) in waves.iter().flatten() {
            pushed.objects += 1;
            pushed.bytes += digest.size();
        }
        pushed.known = count - pushed.objects;
        self.tell(TransferEvent::Planned { objects: pushed.objects, bytes: pushed.bytes });
        if layout == Layout::Dvc {
            pushed.sent = pushed.bytes;
            for wave in waves {
                each(wave, |(key, digest)| Arc::clone(self).upload(store.clone(), digest, key)).await?;
                self.ask(0, |objects| objects.settle()).await?;
            }
        } else {
            let [files, listings] = waves.map(|wave| wave.into_iter().map(|(_, digest)| digest).collect());
            pushed.sent = self.send(store, files, listings).await?;
        }
        lease.check()?;
        each(load.aliases, |(name, alias)| {
            let session = Arc::clone(self);
            async move { session.push_alias(&name, &alias).await }
        })
        .await?;
        Ok(pushed)
    }

    async fn push_alias(&self, name: &ObjectName, alias: &Alias) -> Result<(), RemoteError> {
        let key = layout::alias(name);
        let bytes = serde_json::to_vec(alias).map_err(|error| self.bad_alias(&key, error.to_string()))?;
        if self.head(&key).await? != Some(bytes.len() as u64) {
            self.ask(0, |objects| objects.put(&key, bytes.clone().into(), When::Always)).await?;
        }
        Ok(())
    }

    fn bad_alias(&self, key: &Key, reason: String) -> RemoteError {
        RemoteError::Format { place: self.place(), key: key.clone(), what: "an alias", reason }
    }

    /// Brings tracked data into the store. Every file is compared with the MD5 that the pointer or listing names.
    pub async fn fetch_tracked(
        self: &Arc<Self>,
        store: &LocalStore,
        names: &[ObjectName],
    ) -> Result<FetchedData, RemoteError> {
        let mut fetched = FetchedData::default();
        for name in names {
            let known = {
                let (store, name) = (store.clone(), *name);
                blocking(move || is_whole(&store, &name)).await?
            };
            if known {
                continue;
            }
            let found = match self.layout() {
                Layout::Dvc => self.fetch_dvc(store, name, &mut fetched).await?,
                Layout::Packed | Layout::Native => self.fetch_aliased(store, name, &mut fetched).await?,
            };
            if !found {
                fetched.absent.push(*name);
            }
        }
        Ok(fetched)
    }

    async fn fetch_aliased(
        self: &Arc<Self>,
        store: &LocalStore,
        name: &ObjectName,
        fetched: &mut FetchedData,
    ) -> Result<bool, RemoteError> {
        let key = layout::alias(name);
        let bytes = match self.ask(0, |objects| objects.get(&key, None)).await {
            Ok(bytes) => bytes,
            Err(RemoteError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let alias: Alias =
            serde_json::from_slice(&bytes).map_err(|error| self.bad_alias(&key, error.to_string()))?;
        let mut artifacts = vec![alias.artifact];
        artifacts.extend(alias.listing.map(file_artifact));
        let came = self.fetch_artifacts(store, &artifacts).await?;
        fetched.objects += came.blobs;
        fetched.bytes += came.bytes;
        // The blobs are what their digests say; whether they are what the MD5 says, only reading tells.
        let checked = {
            let (store, name) = (store.clone(), *name);
            blocking(move || check_alias(&store, &name, &alias)).await?
        };
        checked.map_err(|reason| self.bad_alias(&key, reason))?;
        store.put_alias(&name.md5, name.folder, &alias)?;
        Ok(true)
    }

    async fn fetch_dvc(
        self: &Arc<Self>,
        store: &LocalStore,
        name: &ObjectName,
        fetched: &mut FetchedData,
    ) -> Result<bool, RemoteError> {
        let key = layout::dvc(name);
        let Some(size) = self.head(&key).await? else { return Ok(false) };
        self.tell(TransferEvent::Planned { objects: 1, bytes: size });
        let promise = Promise { key: key.clone(), size, content: Content::Md5(name.md5) };
        let blob = Arc::clone(self).keep_promise(store.clone(), promise).await?;
        fetched.objects += 1;
        fetched.bytes += size;
        if !name.folder {
            store.put_alias(&name.md5, false, &Alias { artifact: file_artifact(blob), listing: None })?;
            return Ok(true);
        }
        let format = |reason| RemoteError::Format {
            place: self.place(),
            key: key.clone(),
            what: "a folder's listing",
            reason,
        };
        let listing = DirListing::decode(&store.read(&blob)?).map_err(format)?;
        let mut known = {
            let (store, wanted) = (store.clone(), listing.clone());
            blocking(move || known_files(&store, &wanted)).await?
        };
        let missing: BTreeSet<Md5> =
            listing.entries().iter().map(|entry| entry.md5).filter(|md5| !known.contains_key(md5)).collect();
        let file_key = |md5: Md5| layout::dvc(&ObjectName { md5, folder: false });
        let sizes = self.sizes(layout::DVC_FILES, missing.iter().map(|md5| file_key(*md5)).collect()).await?;
        let mut promises = Vec::with_capacity(missing.len());
        for md5 in missing {
            let key = file_key(md5);
            let Some(size) = sizes.get(&key).copied() else {
                return Err(RemoteError::NotFound { place: self.place(), key });
            };
            promises.push((md5, Promise { key, size, content: Content::Md5(md5) }));
        }
        let bytes = promises.iter().map(|(_, promise)| promise.size).sum();
        self.tell(TransferEvent::Planned { objects: promises.len() as u64, bytes });
        fetched.objects += promises.len() as u64;
        fetched.bytes += bytes;
        let came = Arc::new(Mutex::new(Vec::new()));
        each(promises, |(md5, promise)| {
            let (session, store, came) = (Arc::clone(self), store.clone(), Arc::clone(&came));
            async move {
                let digest = session.keep_promise(store, promise).await?;
                came.lock().unwrap_or_else(PoisonError::into_inner).push((md5, digest));
                Ok(())
            }
        })
        .await?;
        known.extend(std::mem::take(&mut *came.lock().unwrap_or_else(PoisonError::into_inner)));
        let entries = listing.entries().iter().filter_map(|entry| {
            let digest = *known.get(&entry.md5)?;
            Some(TreeEntry { path: entry.path.clone(), digest, executable: false })
        });
        let tree = Tree::new(entries.collect());
        store.put(&tree.encode())?;
        store.put_alias(&name.md5, true, &Alias { artifact: tree.artifact(), listing: Some(blob) })?;
        Ok(true)
    }
}

fn file_artifact(digest: Digest) -> Artifact {
    Artifact { kind: ArtifactKind::File, digest, files: 1, bytes: digest.size() }
}

fn is_whole(store: &LocalStore, name: &ObjectName) -> Result<bool, StoreError> {
    match store.alias(&name.md5, name.folder)? {
        Some(alias) => Ok(store.missing(&alias.artifact)?.is_empty()),
        None => Ok(false),
    }
}

/// Files of a listing that the store has, from folders that it knows: a new version of a folder mostly has the files of an old one.
fn known_files(store: &LocalStore, wanted: &DirListing) -> Result<BTreeMap<Md5, Digest>, StoreError> {
    let wanted: BTreeSet<Md5> = wanted.entries().iter().map(|entry| entry.md5).collect();
    let mut known = BTreeMap::new();
    for alias in store.folder_aliases()? {
        for (md5, digest) in pairs(store, &alias)?.unwrap_or_default() {
            if wanted.contains(&md5) && store.contains(&digest) {
                known.insert(md5, digest);
            }
        }
    }
    Ok(known)
}

/// MD5 and digest of each file of a folder; none where the store lacks one of the two listings, or they do not fit.
fn pairs(store: &LocalStore, alias: &Alias) -> Result<Option<Vec<(Md5, Digest)>>, StoreError> {
    let Some(blob) = alias.listing.filter(|blob| store.contains(blob)) else { return Ok(None) };
    if !store.contains(&alias.artifact.digest) {
        return Ok(None);
    }
    let Ok(listing) = DirListing::decode(&store.read(&blob)?) else { return Ok(None) };
    let tree = store.tree(&alias.artifact.digest)?;
    let same = listing.entries().len() == tree.entries().len()
        && listing.entries().iter().zip(tree.entries()).all(|(theirs, ours)| theirs.path == ours.path);
    let both = listing.entries().iter().zip(tree.entries()).map(|(theirs, ours)| (theirs.md5, ours.digest));
    Ok(same.then(|| both.collect()))
}

/// Reads what an alias leads to and says how it is not what the MD5 names.
fn check_alias(
    store: &LocalStore,
    name: &ObjectName,
    alias: &Alias,
) -> Result<Result<(), String>, StoreError> {
    let md5 = |digest: &Digest| {
        let path = store.blob_path(digest);
        Md5::of_file(&path).map_err(StoreError::io("read", &path))
    };
    let wrong = |what: &str| Ok(Err(format!("{what} has another MD5 than {name}")));
    if !name.folder {
        return if md5(&alias.artifact.digest)? == name.md5 { Ok(Ok(())) } else { wrong("the file") };
    }
    let Some(listing) = alias.listing else { return Ok(Err("it has no listing".to_owned())) };
    if md5(&listing)? != name.md5 {
        return wrong("the listing");
    }
    let Some(pairs) = pairs(store, alias)? else {
        return Ok(Err("its two listings are not of the same files".to_owned()));
    };
    let right = pairs
        .par_iter()
        .map(|(wanted, digest)| Ok(md5(digest)? == *wanted))
        .collect::<Result<Vec<bool>, StoreError>>()?;
    Ok(if right.iter().all(|right| *right) {
        Ok(())
    } else {
        Err("a file has another MD5 than its listing says".to_owned())
    })
}

fn load(store: &LocalStore, names: Vec<ObjectName>, layout: Layout) -> Result<Load, StoreError> {
    let mut load = Load::default();
    for name in names.into_iter().collect::<BTreeSet<_>>() {
        let alias = store.alias(&name.md5, name.folder)?;
        let Some(alias) =
            alias.filter(|alias| store.missing(&alias.artifact).is_ok_and(|missing| missing.is_empty()))
        else {
            load.incomplete.push(name);
            continue;
        };
        let files = match name.folder {
            false => vec![(name.md5, alias.artifact.digest)],
            true => match pairs(store, &alias)? {
                Some(pairs) => pairs,
                None => {
                    load.incomplete.push(name);
                    continue;
                }
            },
        };
        match layout {
            Layout::Dvc => {
                let key = |md5| layout::dvc(&ObjectName { md5, folder: false });
                load.files.extend(files.into_iter().map(|(md5, digest)| (key(md5), digest)));
                load.listings.extend(alias.listing.map(|listing| (layout::dvc(&name), listing)));
            }
            Layout::Packed | Layout::Native => {
                load.files.extend(files.into_iter().map(|(_, digest)| (layout::blob(&digest), digest)));
                if name.folder {
                    let listings = alias.listing.into_iter().chain([alias.artifact.digest]);
                    load.listings.extend(listings.map(|digest| (layout::blob(&digest), digest)));
                }
                load.aliases.push((name, alias));
            }
        }
    }
    Ok(load)
}
