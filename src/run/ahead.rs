//! Reading ahead, for speed: while one core reads and compiles a pipeline, another reads what its stages gave last.
//!
//! Nothing is decided by it. A result that was read ahead is found by its action key, like one that is read when it is asked
//! for, and it was looked through in the same way, by the same process, under a hold on the store that lasts until the run has its own.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::JoinHandle,
};

use crate::{
    config::Config,
    lineage::Ledger,
    plan::{ActionKey, prepare_schemas},
    record::{ActionResult, History},
    store::{LocalStore, StoreLock},
};

/// The last results of a pipeline, being read.
pub struct ReadAhead {
    file: PathBuf,
    thread: Mutex<Option<JoinHandle<Found>>>,
    found: OnceLock<Found>,
}

/// What was read.
#[derive(Default)]
struct Found {
    /// Given away once, as is the ledger.
    history: Mutex<Option<History>>,
    ledger: Mutex<Option<Ledger>>,
    /// Results of which everything is at hand.
    results: HashMap<ActionKey, Arc<ActionResult>>,
    /// Keeps `gc` from what was found.
    _hold: Option<StoreLock>,
}

impl ReadAhead {
    /// Begins to read the last results of the stages of a pipeline file, whose path is relative to the project's root.
    ///
    /// With `ledger`, the project's ledger is read as well, which only a run needs.
    pub fn start(config: &Config, file: &Path, ledger: bool) -> Self {
        let (store, state_dir, path) = (config.store_dir.clone(), config.state_dir.clone(), file.to_owned());
        let thread = std::thread::Builder::new().spawn(move || {
            prepare_schemas();
            read(&store, &state_dir, &path, ledger).unwrap_or_default()
        });
        // Without a thread, everything is read when it is asked for.
        Self { file: file.to_owned(), thread: Mutex::new(thread.ok()), found: OnceLock::new() }
    }

    /// The result of a key, if it was among them.
    pub(super) fn result(&self, key: &ActionKey) -> Option<Arc<ActionResult>> {
        self.found().results.get(key).cloned()
    }

    /// What was read of the history of a pipeline file, once.
    pub(super) fn history(&self, file: &Path) -> Option<History> {
        if self.file == file { take(&self.found().history) } else { None }
    }

    /// The project's ledger, once.
    pub(super) fn ledger(&self) -> Option<Ledger> {
        take(&self.found().ledger)
    }

    fn found(&self) -> &Found {
        self.found.get_or_init(|| {
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            // A panic in there costs only what was gained by it, and shows again when the same is read in earnest.
            thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
        })
    }
}

impl fmt::Debug for ReadAhead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReadAhead").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Whatever can't be read is left to whoever asks for it, and with it the error. Makes nothing: a store that is not there yet has
/// no results.
fn read(store: &Path, state_dir: &Path, file: &Path, ledger: bool) -> Option<Found> {
    let store = LocalStore::open_existing(store)?;
    let hold = store.share().ok()??;
    let history = History::load(state_dir, file).ok()?;
    let mut results = HashMap::new();
    for key in history.keys() {
        let Ok(Some(Ok(result))) = ActionResult::stored(&store, &key) else { continue };
        if is_whole(&result, &store) {
            results.insert(key, Arc::new(result));
        }
    }
    let ledger = Mutex::new(if ledger { Ledger::load(state_dir).ok() } else { None });
    Some(Found { history: Mutex::new(Some(history)), ledger, results, _hold: Some(hold) })
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// All outputs of a result are at hand.
pub(super) fn is_whole(result: &ActionResult, store: &LocalStore) -> bool {
    result.outputs.values().all(|output| store.is_at_hand(&output.artifact))
}
