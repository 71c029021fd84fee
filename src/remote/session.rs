//! A remote in use: requests that are paced, tried again, and told of.

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OnceCell, Semaphore, SemaphorePermit},
    task::JoinSet,
};

use super::{
    Folder, Key, PART_SIZE, RemoteError, S3, Tiered,
    bandwidth::Bandwidth,
    layout::{self, Arrangement, FORMAT, Marker},
    objects::{Objects, Pending, When},
    pace::Limit,
    packed::Known,
};
use crate::config::{Config, Layout, Rate, RemoteName, RemoteSettings, RemoteUrl, Trust};

/// Most requests at once.
const MOST_REQUESTS: usize = 64;
/// Most bytes of bodies in memory at once, in units of [`UNIT`]; the peak of a transfer is about this and half as much again.
const MEMORY_UNITS: u32 = 2048;
const UNIT: u64 = 65_536;
/// Tasks that wait for a place at once.
const MOST_TASKS: usize = 256;

/// What a transfer does, for whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferEvent {
    /// So many objects with so many bytes are to be moved, beyond those told of before.
    Planned {
        /// Objects.
        objects: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Bytes have arrived.
    Moved {
        /// How many.
        bytes: u64,
    },
    /// An object has arrived whole.
    Finished,
    /// Others are at work in the remote, and are waited for.
    Waiting {
        /// Who, and at what.
        what: String,
    },
    /// Something in the remote is not what it should be, and is passed over.
    Distrusted {
        /// What, and why.
        what: String,
    },
    /// Something went wrong and is tried again.
    Retried {
        /// What went wrong.
        error: String,
        /// Attempts made so far.
        attempt: u32,
        /// Time until the next one.
        pause: Duration,
    },
}

/// Takes events of a transfer; called from several threads.
pub type Listener = Arc<dyn Fn(TransferEvent) + Send + Sync>;

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Longest pause after the first attempt; it doubles with each. The pause is drawn between none and this, so that many who
    /// failed together do not come back together.
    pub first_pause: Duration,
    /// Longest pause of all.
    pub longest_pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 8, first_pause: Duration::from_millis(500), longest_pause: Duration::from_secs(20) }
    }
}

impl Retry {
    /// The pause after the `attempt`-th attempt; `draw` is between 0 and 1.
    fn pause(&self, attempt: u32, draw: f64) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << (attempt - 1).min(16));
        doubled.min(self.longest_pause).mul_f64(draw)
    }
}

/// A remote in use.
pub struct Session {
    name: RemoteName,
    objects: Arc<dyn Objects>,
    write: bool,
    trust: Trust,
    layout: Layout,
    /// How the remote says that it is arranged, once it has been asked.
    arrangement: OnceCell<Arrangement>,
    known: Known,
    copies: Option<PathBuf>,
    limit: Limit,
    bandwidth: Option<Arc<Bandwidth>>,
    memory: Semaphore,
    retry: Retry,
    listener: Listener,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("name", &self.name).field("objects", &self.objects).finish()
    }
}

impl Session {
    /// The remote with these settings. Nothing is asked yet.
    pub fn open(settings: &RemoteSettings, config: &Config, listener: Listener) -> Self {
        let far: Arc<dyn Objects> = match &settings.url {
            RemoteUrl::Folder(path) => Arc::new(Folder::new(path)),
            RemoteUrl::S3 { bucket, prefix } => Arc::new(
                S3::new(settings, bucket, prefix, config.ca_bundle.clone()).unsigned(config.unsigned),
            ),
        };
        let objects = match &settings.cache {
            Some(path) => Arc::new(Tiered::new(Arc::new(Folder::new(path)), far)),
            None => far,
        };
        Self::over(settings.name.clone(), objects, listener)
            .with_write(settings.write)
            .with_layout(settings.layout)
            .with_trust(settings.results)
            .with_copies(config.store_dir.join("remotes-v1"))
            .with_bandwidth(settings.bandwidth)
    }

    /// A session over any objects, which may be written and whose results count.
    pub fn over(name: RemoteName, objects: Arc<dyn Objects>, listener: Listener) -> Self {
        Self {
            name,
            objects,
            write: true,
            trust: Trust::Use,
            layout: Layout::default(),
            arrangement: OnceCell::new(),
            known: Known::default(),
            copies: None,
            limit: Limit::new(MOST_REQUESTS),
            bandwidth: None,
            memory: Semaphore::new(MEMORY_UNITS as usize),
            retry: Retry::default(),
            listener,
        }
    }

    /// With another rule for trying again.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    fn with_write(self, write: bool) -> Self {
        Self { write, ..self }
    }

    /// Whether results of the remote count.
    #[must_use]
    pub fn with_trust(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// With no more than so many bytes a second, together with all others of this process that have the same limit.
    #[must_use]
    pub fn with_bandwidth(self, rate: Option<Rate>) -> Self {
        Self { bandwidth: rate.map(Bandwidth::shared), ..self }
    }

    /// Keeps copies of the remote's indexes in that folder.
    #[must_use]
    pub fn with_copies(self, folder: PathBuf) -> Self {
        Self { copies: Some(folder), ..self }
    }

    /// In this layout: tracked data in any case, all other content where the remote has none yet.
    #[must_use]
    pub fn with_layout(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// Where copies of indexes are kept.
    pub(super) fn copies_in(&self) -> Option<&Path> {
        self.copies.as_deref()
    }

    /// The same remote without copies that are nearer; none where there are none.
    pub(super) fn beneath(&self) -> Option<Self> {
        let objects = self.objects.beneath()?;
        let session = Self::over(self.name.clone(), objects, Arc::clone(&self.listener));
        let (write, trust, layout) = (self.write, self.trust, self.layout);
        let (copies, bandwidth) = (self.copies.clone(), self.bandwidth.clone());
        Some(Self { write, trust, layout, copies, bandwidth, retry: self.retry, ..session })
    }

    /// Name of the remote.
    pub fn name(&self) -> &RemoteName {
        &self.name
    }

    /// The place in words.
    pub fn place(&self) -> String {
        self.objects.place()
    }

    /// Whether results of the remote count.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    pub(super) fn objects(&self) -> &dyn Objects {
        &*self.objects
    }

    pub(super) fn tell(&self, event: TransferEvent) {
        (self.listener)(event);
    }

    /// Does a request when there is a place for it, again if another attempt may help. `bytes` is what it moves.
    pub(super) async fn ask<'a, T>(
        &'a self,
        bytes: u64,
        request: impl Fn(&'a dyn Objects) -> Pending<'a, T>,
    ) -> Result<T, RemoteError> {
        let began = Instant::now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            if let Some(bandwidth) = &self.bandwidth {
                bandwidth.turn(bytes).await;
            }
            let place = self.limit.place().await;
            let error = match request(&*self.objects).await {
                Ok(answer) => {
                    place.done(bytes);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            match error {
                RemoteError::Transient { throttled: true, .. } => place.throttled(),
                _ => drop(place),
            }
            if !error.is_transient() {
                return Err(error);
            }
            if attempt >= self.retry.attempts {
                return Err(RemoteError::GaveUp {
                    attempts: attempt,
                    time: began.elapsed(),
                    last: Box::new(error),
                });
            }
            let pause = self.retry.pause(attempt, draw());
            tracing::debug!(%error, attempt, ?pause, at_once = self.limit.now(), "again");
            self.tell(TransferEvent::Retried { error: error.to_string(), attempt, pause });
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until there is memory for a body of that size.
    pub(super) async fn memory(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, MEMORY_UNITS / 2);
        // Fails only when the semaphore is closed, which never happens.
        self.memory.acquire_many(units).await.ok()
    }

    /// Refuses a remote that a later release wrote; true when the remote says that it is one of ours.
    pub async fn check_format(&self) -> Result<bool, RemoteError> {
        Ok(self.read_marker().await?.is_some())
    }

    /// How the remote is arranged: as it says, or as it will be by the first push.
    pub(super) async fn arrangement(&self) -> Result<Arrangement, RemoteError> {
        if let Some(known) = self.arrangement.get() {
            return Ok(*known);
        }
        Ok(self.read_marker().await?.unwrap_or_else(|| Arrangement::wanted(self.layout)))
    }

    async fn read_marker(&self) -> Result<Option<Arrangement>, RemoteError> {
        let key = layout::marker();
        let bytes = match self.ask(0, |objects| objects.get(&key, None)).await {
            Ok(bytes) => bytes,
            Err(RemoteError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let format = |reason: String| RemoteError::Format {
            place: self.place(),
            key: key.clone(),
            what: "the remote's format",
            reason,
        };
        let marker: Marker = serde_json::from_slice(&bytes).map_err(|error| format(error.to_string()))?;
        if marker.format > u64::from(FORMAT) {
            return Err(RemoteError::Newer { place: self.place(), found: marker.format, readable: FORMAT });
        }
        let known = Arrangement::named(&marker.layout);
        let known = known
            .ok_or_else(|| format(format!("the layout `{}` is not known to this release", marker.layout)))?;
        // Whoever was first has set it.
        let _ = self.arrangement.set(known);
        Ok(Some(known))
    }

    /// Makes sure that the remote may be written and says what it is.
    pub(super) async fn begin_writing(&self) -> Result<(), RemoteError> {
        if !self.write {
            return Err(RemoteError::ReadOnly { name: self.name.to_string() });
        }
        if !self.check_format().await? {
            let marker = Marker::of(Arrangement::wanted(self.layout));
            let bytes = serde_json::to_vec(&marker).unwrap_or_default();
            let key = layout::marker();
            self.ask(0, |objects| objects.put(&key, bytes.clone().into(), When::Absent)).await?;
            // Another machine may have been first, and want another layout.
            self.check_format().await?;
        }
        Ok(())
    }

    /// Size of an object.
    pub(super) async fn head(&self, key: &Key) -> Result<Option<u64>, RemoteError> {
        self.ask(0, |objects| objects.head(key)).await
    }
}

/// Does something with each item, many at once; the first failure ends all.
pub(super) async fn each<T, F, W>(items: impl IntoIterator<Item = T>, work: W) -> Result<(), RemoteError>
where
    F: Future<Output = Result<(), RemoteError>> + Send + 'static,
    W: Fn(T) -> F,
{
    let mut tasks = JoinSet::new();
    for item in items {
        while tasks.len() >= MOST_TASKS {
            next(&mut tasks).await?;
        }
        tasks.spawn(work(item));
    }
    while !tasks.is_empty() {
        next(&mut tasks).await?;
    }
    Ok(())
}

async fn next(tasks: &mut JoinSet<Result<(), RemoteError>>) -> Result<(), RemoteError> {
    match tasks.join_next().await {
        // A panic in there is a defect of ours and goes on as one.
        Some(done) => done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())),
        None => Ok(()),
    }
}

/// Runs what reads or writes files where it may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Each `RandomState` has keys of its own, which is random enough for a pause or a name.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Between 0 and 1.
fn draw() -> f64 {
    random() as f64 / u64::MAX as f64
}

/// Size of the parts of an object: S3 takes up to 10,000 of them.
pub(super) fn part_size(size: u64) -> u64 {
    const MOST_PARTS: u64 = 10_000;
    const MIB: u64 = 1 << 20;
    PART_SIZE.max(size.div_ceil(MOST_PARTS).div_ceil(MIB) * MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let retry = Retry {
            attempts: 9,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(2),
        };
        let pauses = [1, 2, 3, 6, 60].map(|attempt| retry.pause(attempt, 1.0).as_millis());
        assert_eq!(pauses, [100, 200, 400, 2000, 2000]);
        assert_eq!(retry.pause(3, 0.0), Duration::ZERO);
        assert!((0..100).map(|_| draw()).all(|draw| (0.0..=1.0).contains(&draw)));
    }

    #[test]
    fn parts_are_few_enough_for_any_size() {
        assert_eq!(part_size(1), PART_SIZE);
        for size in [80_000_000_000, 5_000_000_000_000_u64] {
            assert!(size.div_ceil(part_size(size)) <= 10_000, "{size}");
        }
    }
}
