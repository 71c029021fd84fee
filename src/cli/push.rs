//! `stagewright push`.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use clap::Args;
use stagewright::{
    config::{Config, Rate, RemoteName},
    digest::Digest,
    lockfile as locks,
    record::{WhichError, all_results, results_of},
    remote::{Pushed, PushedData, Session},
    store::LocalStore,
    track::{Pointer, Tracked},
};

use super::{
    CliError, Exit, Scene, checkout, exchange, gc, lockfile, screen,
    transfer::{self, Transfer},
};

/// Bring results and versioned data to a remote, so that other machines have them
///
/// Without arguments, the last result of every stage, those that lock files name, and all data that pointer files name. What the remote
/// has already is not sent again; a push that was stopped goes on where it was. With results goes the ledger: the signed statements on
/// all runs, and what people decided.
#[derive(Args)]
pub struct PushArgs {
    /// Stages (their last results), runs (the end of an id), or versioned data
    #[arg(value_name = "STAGE|RUN|PATH")]
    names: Vec<String>,
    /// Every result in the store
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// The remote [default: the default one]
    #[arg(short, long, value_name = "NAME")]
    remote: Option<RemoteName>,
    /// Move at most so many bytes a second, for example 20MiB/s [default: `bandwidth` of the remote]
    #[arg(long, value_name = "RATE")]
    bandwidth: Option<Rate>,
}

pub fn run(scene: &Scene, args: &PushArgs) -> Result<Exit, CliError> {
    let config = scene.config()?.with_bandwidth(args.bandwidth);
    config.remote(args.remote.as_ref())?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    // A path that is tracked is meant as such, everything else is a stage or run.
    let (paths, names): (Vec<String>, Vec<String>) = args.names.iter().cloned().partition(|name| {
        let path = scene.folder.join(name.trim_end_matches('/'));
        path.is_file() && name.ends_with(".dvc") || Pointer::file_of(&path).is_file()
    });
    let tracked = if paths.is_empty() && !args.names.is_empty() {
        Vec::new()
    } else {
        checkout::find(scene, &config, &paths.iter().map(PathBuf::from).collect::<Vec<_>>())?
    };
    let keys: Vec<Digest> = match (args.all, names.is_empty() && !paths.is_empty()) {
        (true, _) => all_results(&store)?.into_iter().map(|key| key.0).collect(),
        (false, true) => Vec::new(),
        (false, false) => {
            let mut keys: BTreeSet<Digest> =
                results_of(&config.state_dir, &names)?.into_iter().map(|key| key.0).collect();
            if names.is_empty() {
                // What was made in another work tree that shares the store, or was pulled, is as good.
                let locks = locks::find(&config.root)?;
                let named = lockfile::stages(&locks).map(|(_, _, locked)| locked.key.0);
                keys.extend(named.filter(|key| store.entry(key).is_ok_and(|entry| entry.is_some())));
            }
            keys.into_iter().collect()
        }
    };
    if keys.is_empty() && tracked.is_empty() {
        println!("no results yet; `stagewright run` makes some");
    }
    if !tracked.is_empty() {
        push_data(&config, args.remote.as_ref(), &store, &tracked)?;
    }
    if !keys.is_empty() {
        push(&config, args.remote.as_ref(), &store, keys)?;
    } else if args.names.is_empty() {
        exchange::push(&config, args.remote.as_ref(), &store)?;
    }
    Ok(Exit::Success)
}

/// Pushes all that is pushed without arguments.
pub fn everything(scene: &Scene) -> Result<Exit, CliError> {
    run(scene, &PushArgs { names: Vec::new(), all: false, remote: None, bandwidth: None })
}

/// Pushes results and the ledger, and says what came of it.
pub fn push(
    config: &Config,
    remote: Option<&RemoteName>,
    store: &LocalStore,
    keys: Vec<Digest>,
) -> Result<(), CliError> {
    let display = Transfer::new("pushing");
    let session = Arc::new(Session::open(config.remote(remote)?, config, display.listener()));
    let pushed = transfer::block_on(session.push(store, keys));
    display.finish();
    let Pushed { results, known_results, blobs, bytes, sent, known_blobs, incomplete } = pushed??;
    if results == 0 && blobs == 0 && known_results > 0 {
        println!("the remote `{}` has {} already", session.name(), screen::count(known_results, "result"));
    } else {
        println!(
            "pushed {} to the remote `{}`: {} with {}; {} and {} were there",
            screen::count(results, "result"),
            session.name(),
            screen::count(blobs, "blob"),
            transfer::sizes(bytes, sent),
            screen::count(known_results, "result"),
            screen::count(known_blobs, "blob")
        );
    }
    if !incomplete.is_empty() {
        println!(
            "{} not whole in the store, so not pushed; `stagewright run` makes what is missing",
            if incomplete.len() == 1 {
                "1 result is".to_owned()
            } else {
                format!("{} results are", incomplete.len())
            },
        );
    }
    exchange::push(config, remote, store)
}

fn push_data(
    config: &Config,
    remote: Option<&RemoteName>,
    store: &LocalStore,
    tracked: &[Tracked],
) -> Result<(), CliError> {
    let display = Transfer::new("pushing");
    let session = Arc::new(Session::open(config.remote(remote)?, config, display.listener()));
    let names = tracked.iter().map(|item| item.pointer.name).collect();
    let pushed = transfer::block_on(session.push_tracked(store, names));
    display.finish();
    let PushedData { objects, bytes, sent, known, incomplete } = pushed??;
    let (paths, name) =
        (screen::count((tracked.len() - incomplete.len()) as u64, "tracked path"), session.name());
    if objects == 0 && incomplete.len() < tracked.len() {
        println!("the remote `{name}` has {paths} already");
    } else if objects > 0 {
        println!(
            "pushed {paths} to the remote `{name}`: {} with {}; {known} were there",
            screen::count(objects, "object"),
            transfer::sizes(bytes, sent)
        );
    }
    for item in tracked.iter().filter(|item| incomplete.contains(&item.pointer.name)) {
        println!(
            "not pushed, because the store has not all of it: {}",
            checkout::shown(&config.root, &item.data)
        );
    }
    Ok(())
}

impl From<WhichError> for CliError {
    fn from(error: WhichError) -> Self {
        match error {
            WhichError::Record(error) => error.into(),
            WhichError::Store(error) => error.into(),
            WhichError::Several { .. } => Self::user(&error).hint("give more of the id"),
            WhichError::Unknown { ref stages, .. } if stages.is_empty() => {
                Self::user(&error).hint("no stage has a result yet; `stagewright run` makes some")
            }
            WhichError::Unknown { ref stages, .. } => {
                let stages = stages.join(", ");
                Self::user(&error).hint(format!("stages with a result: {stages}"))
            }
        }
    }
}
