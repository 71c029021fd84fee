//! Blobs out of the packs of a remote into the store.
//!
//! Chunks that lie near each other in a pack come in one request. A pack or recipe that turns out to be other than an index says is
//! passed over, and what it was to bring is looked for elsewhere; only when there is no other place is that an error.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Catalog, Chunk, Grain, catalog::Location, chunk::decode, load::Fresh, pack_key};
use crate::{
    digest::Digest,
    remote::{
        PART_SIZE, RemoteError, Session, TransferEvent, layout,
        session::{blocking, each},
    },
    store::{Incoming, LocalStore},
};

/// Bytes between two chunks up to which both come in one request.
const GAP: u32 = 128 << 10;
/// Blobs that are planned together: more would need much memory.
const BLOBS_AT_ONCE: usize = 50_000;
/// Bytes of them.
const BYTES_AT_ONCE: u64 = 4 << 30;
/// Of these, blobs of several chunks, each of which keeps files open.
const PIECED_AT_ONCE: usize = 100;
/// How often a process looks whether another one has finished with the blob that both want.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Where a chunk goes.
#[derive(Clone)]
enum Target {
    /// It is a blob.
    Blob,
    /// It is a piece of one, which begins there.
    Piece(Arc<Incoming>, u64),
}

/// A chunk that is wanted.
struct Wanted {
    chunk: Chunk,
    place: Location,
    targets: Vec<Target>,
}

/// One request.
struct Job {
    pack: u32,
    range: Range<u32>,
    wanted: Vec<Wanted>,
}

/// A blob of several chunks that is on its way.
struct Pieced {
    blob: Digest,
    incoming: Arc<Incoming>,
    pieces: Vec<Range<u64>>,
    source: Option<u32>,
}

/// Why some blobs did not come: a pack, or the recipe of one blob.
struct Failure {
    pack: Option<u32>,
    error: RemoteError,
}

impl Session {
    /// Brings blobs into the store, which has each only when it is what its name says.
    pub(in crate::remote) async fn bring_packed(
        self: &Arc<Self>,
        store: &LocalStore,
        blobs: Vec<Digest>,
    ) -> Result<(), RemoteError> {
        let (mut group, mut bytes, mut pieced) = (Vec::new(), 0, 0);
        for blob in blobs {
            group.push(blob);
            bytes += blob.size();
            pieced += usize::from(blob.size() > Grain::Listing.whole());
            if group.len() >= BLOBS_AT_ONCE || bytes >= BYTES_AT_ONCE || pieced >= PIECED_AT_ONCE {
                self.bring_group(store, std::mem::take(&mut group)).await?;
                (bytes, pieced) = (0, 0);
            }
        }
        self.bring_group(store, group).await
    }

    async fn bring_group(
        self: &Arc<Self>,
        store: &LocalStore,
        blobs: Vec<Digest>,
    ) -> Result<(), RemoteError> {
        let (mut left, mut fresh) = (blobs, Fresh::Enough);
        let (mut failed, mut again) = (None, BTreeSet::new());
        while !left.is_empty() {
            let mut catalog = self.catalog(fresh).await?;
            if fresh == Fresh::Enough && left.iter().any(|blob| !catalog.has(blob)) {
                // Another machine may have pushed, or gathered packs anew, since we looked.
                catalog = self.catalog(Fresh::Now).await?;
            }
            if let Some(blob) = left.iter().find(|blob| !catalog.has(blob)) {
                let absent = RemoteError::NotFound { place: self.place(), key: layout::blob(blob) };
                return Err(failed.unwrap_or(absent));
            }
            let failures = self.bring_once(store, &catalog, &left, failed.is_none()).await?;
            let store = store.clone();
            left = blocking(move || {
                left.retain(|blob| !store.is_sound(blob));
                left
            })
            .await;
            fresh = Fresh::Enough;
            if let (true, Some(blob)) = (failures.is_empty(), left.first()) {
                return Err(self.corrupt(&layout::blob(blob), "it came, and is not in the store".to_owned()));
            }
            for Failure { pack, error } in failures {
                let gone = matches!(error, RemoteError::NotFound { .. });
                if gone {
                    fresh = Fresh::Now;
                }
                // Once may be the way's fault.
                if let Some(pack) = pack
                    && (gone || !again.insert(pack))
                {
                    catalog.pass_over_pack(pack);
                }
                failed = Some(error);
            }
        }
        Ok(())
    }

    /// One attempt at all of them; says what failed. `first` tells of pieces that are here already.
    async fn bring_once(
        self: &Arc<Self>,
        store: &LocalStore,
        catalog: &Arc<Catalog>,
        blobs: &[Digest],
        first: bool,
    ) -> Result<Vec<Failure>, RemoteError> {
        let (wanted, pieced) = self.want(store, catalog, blobs, first).await?;
        let failures = Arc::new(Mutex::new(Vec::new()));
        each(jobs(wanted), |job| {
            let (session, store, catalog) = (Arc::clone(self), store.clone(), Arc::clone(catalog));
            let failures = Arc::clone(&failures);
            async move {
                let pack = Some(job.pack);
                match session.do_job(store, &catalog, job).await {
                    Err(error) if error.is_about_one_object() => {
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(Failure { pack, error });
                        Ok(())
                    }
                    done => done,
                }
            }
        })
        .await?;
        let mut failures = std::mem::take(&mut *failures.lock().unwrap_or_else(PoisonError::into_inner));
        for Pieced { blob, incoming, pieces, source } in pieced {
            let Some(incoming) = Arc::into_inner(incoming) else { continue };
            if !pieces.iter().all(|piece| incoming.has(piece)) {
                continue;
            }
            let store = store.clone();
            let accepted = blocking(move || {
                store.accept(incoming, |path| {
                    let found = Digest::of_file(path)?;
                    Ok(if found == blob { Ok(found) } else { Err(format!("its content is {found}")) })
                })
            });
            match accepted.await? {
                Ok(_) => self.tell(TransferEvent::Finished),
                Err(found) => {
                    if let Some(source) = source {
                        catalog.pass_over_recipe(source, &blob);
                    }
                    let found = format!("the chunks that an index names for it make something else: {found}");
                    let error = self.corrupt(&layout::blob(&blob), found);
                    failures.push(Failure { pack: None, error });
                }
            }
        }
        Ok(failures)
    }

    /// Which chunks are wanted for what.
    async fn want(
        self: &Arc<Self>,
        store: &LocalStore,
        catalog: &Arc<Catalog>,
        blobs: &[Digest],
        first: bool,
    ) -> Result<(Vec<Wanted>, Vec<Pieced>), RemoteError> {
        let (mut wanted, mut pieced) = (HashMap::<Chunk, Wanted>::new(), Vec::new());
        let mut want = |chunk: Chunk, place: Location, target: Target| {
            let new = || Wanted { chunk, place, targets: Vec::new() };
            wanted.entry(chunk).or_insert_with(new).targets.push(target);
        };
        for blob in blobs {
            if blob.size() == 0 {
                store.put(b"")?;
                self.tell(TransferEvent::Finished);
                continue;
            }
            let Some(found) = catalog.pieces(blob) else { continue };
            if let (None, [(chunk, place)]) = (found.source, &found.chunks[..]) {
                want(*chunk, *place, Target::Blob);
                continue;
            }
            let Some(incoming) = self.receive(store, blob).await? else {
                self.tell(TransferEvent::Moved { bytes: blob.size() });
                self.tell(TransferEvent::Finished);
                continue;
            };
            let (mut start, mut pieces, mut here) = (0, Vec::with_capacity(found.chunks.len()), 0);
            for (chunk, place) in found.chunks {
                let piece = start..start + u64::from(place.raw);
                if incoming.has(&piece) {
                    here += u64::from(place.raw);
                } else {
                    want(chunk, place, Target::Piece(Arc::clone(&incoming), start));
                }
                start = piece.end;
                pieces.push(piece);
            }
            if first {
                self.tell(TransferEvent::Moved { bytes: here });
            }
            pieced.push(Pieced { blob: *blob, incoming, pieces, source: found.source });
        }
        Ok((wanted.into_values().collect(), pieced))
    }

    /// Begins to receive a blob. None when another process has brought it meanwhile.
    async fn receive(&self, store: &LocalStore, blob: &Digest) -> Result<Option<Arc<Incoming>>, RemoteError> {
        loop {
            if let Some(incoming) = store.receive(&blob.hex(), blob.size())? {
                return Ok(Some(Arc::new(incoming)));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            let (store, blob) = (store.clone(), *blob);
            if blocking(move || store.is_sound(&blob)).await {
                return Ok(None);
            }
        }
    }

    /// Gets a piece of a pack and brings its chunks where they are wanted.
    async fn do_job(
        self: &Arc<Self>,
        store: LocalStore,
        catalog: &Catalog,
        job: Job,
    ) -> Result<(), RemoteError> {
        let pack = catalog.pack(job.pack);
        let key = pack_key(&pack.hash);
        let length = u64::from(job.range.end - job.range.start);
        // A small one is asked for whole, so that a near remote keeps it.
        let whole = u64::from(pack.size) <= PART_SIZE && length * 2 >= u64::from(pack.size);
        let range = (!whole).then(|| u64::from(job.range.start)..u64::from(job.range.end));
        let _memory = self.memory(length).await;
        let got = self.ask(length, |objects| objects.get(&key, range.clone())).await;
        let bytes = match got {
            Err(RemoteError::Refused { reason, .. }) => return Err(self.corrupt(&key, reason)),
            got => got?,
        };
        let start = if whole { 0 } else { job.range.start };
        let session = Arc::clone(self);
        let placed = blocking(move || {
            let mut wrong = None;
            for wanted in job.wanted {
                match take(&bytes, start, &wanted) {
                    Ok(chunk) => session.deliver(&store, &chunk, wanted.targets)?,
                    Err(found) => wrong = Some(format!("at byte {}, {found}", wanted.place.offset)),
                }
            }
            Ok::<_, RemoteError>(wrong)
        });
        match placed.await? {
            None => Ok(()),
            Some(found) => Err(self.corrupt(&key, found)),
        }
    }

    fn deliver(&self, store: &LocalStore, chunk: &[u8], targets: Vec<Target>) -> Result<(), RemoteError> {
        for target in targets {
            match target {
                Target::Blob => {
                    store.put(chunk)?;
                    self.tell(TransferEvent::Finished);
                }
                Target::Piece(incoming, start) => incoming.write(start, chunk)?,
            }
            self.tell(TransferEvent::Moved { bytes: chunk.len() as u64 });
        }
        Ok(())
    }

    /// Reads a blob into memory, for what is looked at and not kept.
    pub(in crate::remote) async fn read_packed(
        self: &Arc<Self>,
        blob: &Digest,
    ) -> Result<Vec<u8>, RemoteError> {
        let absent = || RemoteError::NotFound { place: self.place(), key: layout::blob(blob) };
        let catalog = self.catalog(Fresh::Enough).await?;
        let (catalog, pieces) = match catalog.pieces(blob) {
            Some(pieces) => (catalog, pieces),
            None if blob.size() == 0 => return Ok(Vec::new()),
            None => {
                let catalog = self.catalog(Fresh::Now).await?;
                let pieces = catalog.pieces(blob).ok_or_else(absent)?;
                (catalog, pieces)
            }
        };
        let places: HashMap<Chunk, Location> = pieces.chunks.iter().copied().collect();
        let wanted = places.into_iter().map(|(chunk, place)| Wanted { chunk, place, targets: Vec::new() });
        let chunks = Arc::new(Mutex::new(HashMap::new()));
        each(jobs(wanted.collect()), |job| {
            let (session, catalog, chunks) = (Arc::clone(self), Arc::clone(&catalog), Arc::clone(&chunks));
            async move {
                let key = pack_key(&catalog.pack(job.pack).hash);
                let range = u64::from(job.range.start)..u64::from(job.range.end);
                let got =
                    session.ask(range.end - range.start, |objects| objects.get(&key, Some(range.clone())));
                let bytes = got.await?;
                for wanted in job.wanted {
                    let piece = take(&bytes, job.range.start, &wanted);
                    let piece = piece.map_err(|found| session.corrupt(&key, found))?;
                    chunks.lock().unwrap_or_else(PoisonError::into_inner).insert(wanted.chunk, piece);
                }
                Ok(())
            }
        })
        .await?;
        let chunks = std::mem::take(&mut *chunks.lock().unwrap_or_else(PoisonError::into_inner));
        let mut bytes = Vec::with_capacity(usize::try_from(blob.size()).unwrap_or(0));
        for (chunk, _) in &pieces.chunks {
            bytes.extend_from_slice(chunks.get(chunk).map_or(&[], Vec::as_slice));
        }
        let found = Digest::of(&bytes);
        if found == *blob {
            Ok(bytes)
        } else {
            Err(self.corrupt(&layout::blob(blob), format!("its content is {found}")))
        }
    }
}

/// The chunk out of bytes of its pack that begin at `start`, compared with its SHA-256.
fn take(bytes: &[u8], start: u32, wanted: &Wanted) -> Result<Vec<u8>, String> {
    let Location { offset, stored, raw, .. } = wanted.place;
    let begin = offset.saturating_sub(start) as usize;
    let stored = bytes.get(begin..begin + stored as usize).ok_or("the pack ends before it")?;
    let chunk = decode(stored, raw)?;
    let found = Digest::of(&chunk);
    let wanted = &wanted.chunk.0;
    if found.hash() == wanted {
        Ok(chunk)
    } else {
        Err(format!("where {} is to lie is {}", hex::encode(wanted), found.hex()))
    }
}

/// Requests for these chunks, each for one stretch of a pack.
fn jobs(mut wanted: Vec<Wanted>) -> Vec<Job> {
    wanted.sort_by_key(|wanted| (wanted.place.pack, wanted.place.offset));
    let mut jobs: Vec<Job> = Vec::new();
    for wanted in wanted {
        let Location { pack, offset, stored, .. } = wanted.place;
        let end = offset + stored;
        match jobs.last_mut() {
            Some(job)
                if job.pack == pack
                    && offset <= job.range.end.saturating_add(GAP)
                    && u64::from(end - job.range.start) <= PART_SIZE =>
            {
                job.range.end = job.range.end.max(end);
                job.wanted.push(wanted);
            }
            _ => jobs.push(Job { pack, range: offset..end, wanted: vec![wanted] }),
        }
    }
    jobs
}
