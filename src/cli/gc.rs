//! `stagewright gc`.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use clap::Args;
use stagewright::{
    lineage::Ledger,
    lockfile,
    record::{self, History},
    release,
    store::{LocalStore, StoreLock},
};

use super::{CliError, Exit, Scene, screen};

/// Remove results that were not used for long, and bytes that nothing leads to
///
/// The last result of every stage stays, whatever its age, and so do the results that a lock file or a release names, data that was ever added,
/// lineage statements, and all that is younger than an hour.
#[derive(Args)]
pub struct GcArgs {
    /// Say what would be removed, remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Keep results used within this many days [default: `keep-days` of stagewright.toml, else 30]
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
}

pub fn run(scene: &Scene, args: &GcArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let _alone = alone(&store)?;
    let days = args.older_than.unwrap_or(config.keep_days);
    let age = Duration::from_secs(u64::from(days) * 86_400);
    let mut roots: BTreeSet<_> = History::all_keys(&config.state_dir)?.into_iter().map(|key| key.0).collect();
    for lock in lockfile::find(&config.root)? {
        let stages = lock.file.pipelines.values().flat_map(|stages| stages.values());
        roots.extend(stages.map(|stage| stage.key.0));
    }
    roots.extend(release::pinned(&config.root)?.into_iter().map(|key| key.0));
    // Evidence outlives what it is about, and data of another branch may be nowhere else.
    let ledger = Ledger::load(&config.state_dir)?;
    let mut pinned = store.tracked_blobs()?;
    pinned.extend(ledger.entries().iter().map(|entry| entry.statement));
    let plan = store.plan_gc(&roots, &pinned, age, SystemTime::now())?;
    let removed = format!(
        "{}, {} and {}: {}",
        screen::count(plan.entries.len() as u64, "result"),
        screen::count(plan.blobs.len() as u64, "blob"),
        screen::count(plan.leftovers.len() as u64, "leftover"),
        screen::bytes(plan.bytes)
    );
    let kept = format!(
        "{} and {}",
        screen::count(plan.kept_entries as u64, "result"),
        screen::count(plan.kept_blobs as u64, "blob")
    );
    if args.dry_run {
        println!("would remove {removed}\nwould keep {kept}");
    } else {
        store.collect(&plan)?;
        record::remove_beginnings(&config.state_dir)?;
        println!("removed {removed}\nkept {kept}");
    }
    Ok(Exit::Success)
}

/// The store without any run beside us.
pub fn alone(store: &LocalStore) -> Result<StoreLock, CliError> {
    store.alone()?.ok_or_else(|| {
        CliError::user("a run that uses this store is going on, and nothing can be removed under it")
            .hint("try again when it has ended; `stagewright status` tells of the last run")
    })
}

/// The store, with nobody who removes something from it meanwhile.
pub fn shared(store: &LocalStore) -> Result<StoreLock, CliError> {
    store.share()?.ok_or_else(|| {
        CliError::user("something is being removed from the store by `stagewright gc` or `verify`")
            .hint("try again when that has ended")
    })
}
