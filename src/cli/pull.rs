//! `stagewright pull` and `stagewright fetch`.

use std::{collections::BTreeSet, sync::Arc};

use clap::Args;
use console::style;
use stagewright::{
    config::{Config, Rate, RemoteName, RemoteSettings, Trust},
    lockfile::{self as locks, LockedStage},
    plan::{ActionKey, StageId},
    project::{self, Pipeline},
    remote::{FetchedData, Session, Supply},
    run::{self, Preview, Pull, RunOptions, StagePreview},
    store::LocalStore,
    track::{self, ObjectName, Tracked},
};

use super::{
    CliError, Exit, Scene, checkout,
    checkout::Item,
    exchange, gc, lockfile, pipeline,
    pipeline::PipelineArgs,
    run::SelectArgs,
    screen,
    transfer::{self, Transfer},
};

/// Bring versioned data and the results of a pipeline from a remote and place them, without running anything
///
/// First the data that pointer files name. Then, for every stage whose result is not stored here, the remote is asked; what others have
/// run need not run again. Where a pipeline can't be compiled here, the results that its lock file names are brought. Bytes are compared
/// with their digests. Files that you changed are not overwritten. Last come the ledgers of others: the signed statements on their runs,
/// and what they decided.
#[derive(Args)]
pub struct PullArgs {
    #[command(flatten)]
    what: WhatArgs,
}

/// Bring versioned data and the results of a pipeline from a remote into the store, and nothing else
///
/// As `pull`, but the work tree stays as it is.
#[derive(Args)]
pub struct FetchArgs {
    #[command(flatten)]
    what: WhatArgs,
}

#[derive(Args)]
struct WhatArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Only these stages and all they depend on
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    until: Vec<String>,
    /// The remote [default: the default one]
    #[arg(short, long, value_name = "NAME")]
    remote: Option<RemoteName>,
    /// Move at most so many bytes a second, for example 20MiB/s [default: `bandwidth` of the remote]
    #[arg(long, value_name = "RATE")]
    bandwidth: Option<Rate>,
    /// Only the versioned data, no results
    #[arg(long, conflicts_with_all = ["pipeline", "until"])]
    data: bool,
    /// Only the ledgers of others: signed statements on runs, and what people decided; needs no pipeline and no stage program
    #[arg(long, conflicts_with_all = ["pipeline", "until", "data"])]
    lineage: bool,
}

pub fn pull(scene: &Scene, args: &PullArgs) -> Result<Exit, CliError> {
    bring(scene, &args.what, Pull::Place)
}

pub fn fetch(scene: &Scene, args: &FetchArgs) -> Result<Exit, CliError> {
    bring(scene, &args.what, Pull::Store)
}

fn bring(scene: &Scene, args: &WhatArgs, how: Pull) -> Result<Exit, CliError> {
    let config = scene.config()?.with_bandwidth(args.bandwidth);
    let settings = config.remote(args.remote.as_ref())?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    if args.lineage {
        if !exchange::pull(&config, settings, &store)? {
            println!("the remote `{}` has no statement that is not here", settings.name);
        }
        return Ok(Exit::Success);
    }
    let done = bring_all(scene, args, how, &config, settings, &store)?;
    if !args.data {
        exchange::pull(&config, settings, &store)?;
    }
    Ok(done)
}

fn bring_all(
    scene: &Scene,
    args: &WhatArgs,
    how: Pull,
    config: &Config,
    settings: &RemoteSettings,
    store: &LocalStore,
) -> Result<Exit, CliError> {
    let tracked = track::find(&config.root, &[])?;
    if !tracked.is_empty() {
        bring_data(config, settings, &tracked, store, how)?;
        let only_data = args.data || settings.results == Trust::Ignore || pipeline::has_none(scene, config);
        if args.pipeline.file().is_none() && only_data {
            return Ok(Exit::Success);
        }
    }
    if args.data {
        println!("no file here is versioned");
        return Ok(Exit::Success);
    }
    if settings.results == Trust::Ignore {
        return Err(CliError::user(format_args!(
            "the results of the remote `{}` are set to be ignored",
            settings.name
        ))
        .hint("`results = \"ignore\"` of the remote in stagewright.toml says so"));
    }
    let locks = match args.pipeline.file() {
        None => locks::find(&config.root)?,
        Some(_) => Vec::new(),
    };
    let named: Vec<_> = lockfile::stages(&locks).collect();
    let by_lock = args.until.is_empty() && !named.is_empty();
    let loaded = match pipeline::load_in(scene, config, &args.pipeline) {
        Ok(loaded) => loaded,
        // A lock file says by itself which results belong here, without programs, sources or a choice of pipeline.
        Err(error) if by_lock => {
            let first = error.message().lines().next().unwrap_or_default().to_owned();
            println!("only what {} names is brought: {first}", lockfile::names(config, &locks));
            let open: Vec<_> = named.iter().map(|(_, stage, entry)| (*stage, *entry)).collect();
            return locked(config, settings, &open, store, how);
        }
        Err(error) => return Err(error),
    };
    let (exit, done) = planned(config, settings, args, &loaded, store, how)?;
    let file = config.root.join(&loaded.plan.file);
    let open = named.iter().filter(|(pipeline, stage, _)| *pipeline != file || !done.contains(stage));
    let open: Vec<_> = open.map(|(_, stage, entry)| (*stage, *entry)).collect();
    if by_lock && !open.is_empty() {
        locked(config, settings, &open, store, how)?;
    }
    Ok(exit)
}

/// Brings the results that a plan leads to. Gives the stages that have theirs.
fn planned(
    config: &Config,
    settings: &RemoteSettings,
    args: &WhatArgs,
    loaded: &Pipeline,
    store: &LocalStore,
    how: Pull,
) -> Result<(Exit, BTreeSet<StageId>), CliError> {
    let display = Transfer::new(if how == Pull::Place { "pulling" } else { "fetching" });
    let session = Arc::new(Session::open(settings, config, display.listener()));
    let runtime = transfer::runtime()?;
    runtime.block_on(session.check_format())?;
    let supply = Arc::new(Supply::new(session, runtime.handle().clone()));
    let options = RunOptions { supplier: Some(supply.clone()), ..SelectArgs::until(&args.until).options() };
    let store = project::store_for(store.clone(), config, &loaded.plan.file);
    let previews = run::pull(&loaded.plan, &options, &store, config, how);
    let moved = display.finish();
    let previews = previews?;
    if let Some(error) = supply.take_error() {
        return Err(error.into());
    }
    let rows: Vec<Vec<String>> = previews.iter().map(row).collect();
    print!("{}", screen::table(&rows));
    let brought = previews.iter().filter(|stage| stage.from.is_some()).count() as u64;
    let missing =
        previews.iter().any(|stage| matches!(stage.preview, Preview::Miss { .. } | Preview::Unknown { .. }));
    if brought > 0 || missing {
        println!(
            "brought {} from the remote `{}`: {} with {}",
            screen::count(brought, "result"),
            settings.name,
            screen::count(moved.objects, "blob"),
            screen::bytes(moved.bytes)
        );
    } else {
        println!("every result was here already");
    }
    if missing {
        println!("`stagewright run` makes what is missing");
    }
    for note in previews.iter().flat_map(|stage| &stage.notes) {
        eprintln!("{} {note}", style("warning:").for_stderr().yellow().bold());
    }
    let mut fails = false;
    for stage in &previews {
        let Preview::Fails { failure } = &stage.preview else { continue };
        fails = true;
        if let Some(hint) = &failure.fault.hint {
            eprintln!("{} {hint}", style("hint:").for_stderr().cyan());
        }
    }
    // One that could not be placed was told of already.
    let has = |stage: &&StagePreview| match stage.preview {
        Preview::Hit { .. } | Preview::Locked | Preview::Skipped { .. } => true,
        Preview::Fails { .. } => stage.key.is_some(),
        _ => false,
    };
    let done = previews.iter().filter(has).map(|stage| stage.stage.clone()).collect();
    Ok((if fails { Exit::User } else { Exit::Success }, done))
}

/// Brings the results that lock files name for stages.
fn locked(
    config: &Config,
    settings: &RemoteSettings,
    stages: &[(&StageId, &LockedStage)],
    store: &LocalStore,
    how: Pull,
) -> Result<Exit, CliError> {
    let display = Transfer::new(if how == Pull::Place { "pulling" } else { "fetching" });
    let session = Arc::new(Session::open(settings, config, display.listener()));
    let runtime = transfer::runtime()?;
    runtime.block_on(session.check_format())?;
    let (mut rows, mut outputs) = (Vec::new(), Vec::new());
    let mut absent = false;
    for (stage, entry) in stages {
        let word = if is_whole(store, &entry.key)? {
            style("stored").cyan()
        } else if runtime.block_on(session.fetch_result(store, &entry.key.0))?.is_some() {
            style("brought").green()
        } else {
            absent = true;
            rows.push(vec![
                stage.0.clone(),
                style("missing").yellow().to_string(),
                "not in the remote".to_owned(),
            ]);
            continue;
        };
        rows.push(vec![stage.0.clone(), word.to_string(), "as the lock file names it".to_owned()]);
        outputs.extend(entry.outputs.values());
    }
    display.finish();
    print!("{}", screen::table(&rows));
    if absent {
        println!("`stagewright push` brings what is missing there from a machine that has it");
    }
    if how == Pull::Place {
        let placed = outputs.into_iter().filter(|output| output.at.is_some()).map(Item::Result);
        checkout::check_out(&config.root, placed, store, false)?;
    }
    Ok(Exit::Success)
}

/// The store has a result with all it leads to.
fn is_whole(store: &LocalStore, key: &ActionKey) -> Result<bool, CliError> {
    let Ok(Some(entry)) = store.entry(&key.0) else { return Ok(false) };
    for artifact in &entry.artifacts {
        if !store.missing(artifact)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn bring_data(
    config: &Config,
    settings: &RemoteSettings,
    tracked: &[Tracked],
    store: &LocalStore,
    how: Pull,
) -> Result<(), CliError> {
    let display = Transfer::new(if how == Pull::Place { "pulling" } else { "fetching" });
    let session = Arc::new(Session::open(settings, config, display.listener()));
    let names: Vec<ObjectName> = tracked.iter().map(|item| item.pointer.name).collect();
    let fetched = transfer::block_on(async {
        session.check_format().await?;
        session.fetch_tracked(store, &names).await
    });
    display.finish();
    let FetchedData { objects, bytes, absent } = fetched??;
    let (there, gone): (Vec<Tracked>, Vec<Tracked>) =
        tracked.iter().cloned().partition(|item| !absent.contains(&item.pointer.name));
    let (paths, name) = (screen::count(there.len() as u64, "tracked path"), &settings.name);
    if objects > 0 {
        let objects = screen::count(objects, "object");
        println!("{paths}, brought {objects} with {} from the remote `{name}`", screen::bytes(bytes));
    } else if !there.is_empty() {
        println!("{paths} in the store already");
    }
    if how == Pull::Place {
        checkout::check_out(&config.root, there.iter().map(Item::Data), store, false)?;
    }
    if gone.is_empty() {
        return Ok(());
    }
    let gone: Vec<String> = gone.iter().map(|item| checkout::shown(&config.root, &item.data)).collect();
    Err(CliError::environment(format_args!("the remote `{name}` does not have {}", gone.join(", ")))
        .hint("`stagewright push` brings it there from a machine that has it"))
}

fn row(stage: &StagePreview) -> Vec<String> {
    let (word, why) = match (&stage.preview, &stage.from) {
        (Preview::Hit { made_in }, Some(_)) => (style("brought").green(), format!("made in run {made_in}")),
        (Preview::Hit { .. } | Preview::Locked, _) => (style("stored").cyan(), "was here already".to_owned()),
        (Preview::Miss { .. }, _) => (style("missing").yellow(), "not in the remote".to_owned()),
        (Preview::Unknown { waits_for }, _) => {
            let stages: Vec<&str> = waits_for.iter().map(|stage| stage.0.as_str()).collect();
            (style("unknown").yellow(), format!("its inputs come from {}", stages.join(", ")))
        }
        (Preview::Conditional { condition, .. }, _) => {
            (style("unknown").yellow(), format!("`if: {condition}` is decided during a run"))
        }
        (Preview::Hanging { waits_for }, _) => {
            let stages: Vec<&str> = waits_for.iter().map(|stage| stage.0.as_str()).collect();
            (style("unknown").yellow(), format!("skipped if {} is", stages.join(" or ")))
        }
        (Preview::Skipped { reason }, _) => (style("skipped").dim(), reason.clone()),
        (Preview::Fails { failure }, _) => (style("fails").red().bold(), failure.fault.message.clone()),
    };
    vec![stage.stage.0.clone(), word.to_string(), why]
}
