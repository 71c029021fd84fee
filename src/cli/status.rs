//! `stagewright status`.

use clap::Args;
use stagewright::{
    config::Config,
    lockfile as locks, project,
    record::{brief, list_runs, read_run},
    run::{self, Preview},
    store::LocalStore,
    track::{self, State, Tracked},
};

use super::{
    CliError, Exit, Scene, checkout, import_url, lockfile, pipeline, pipeline::PipelineArgs, plan,
    run::SelectArgs, screen, show,
};

/// Say where the project stands: versioned data, the last run, and whether its results are still up to date
#[derive(Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    select: SelectArgs,
    /// Ask the servers that data was imported from whether they have something else now
    #[arg(long)]
    origins: bool,
}

pub fn run(scene: &Scene, args: &StatusArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let tracked = track::find(&config.root, &[])?;
    let locks = locks::find(&config.root)?;
    lockfile::status(&config, &locks, &store)?;
    if !tracked.is_empty() {
        data(&config, &tracked, &store)?;
        let moved = import_url::changed(&config, &tracked, &store, args.origins)?;
        print!("{}", screen::table(&moved));
        if args.pipeline.file().is_none() && pipeline::has_none(scene, &config) {
            return Ok(Exit::Success);
        }
    }
    let loaded = pipeline::load_in(scene, &config, &args.pipeline)?;
    let mut last = None;
    for run in list_runs(&config.state_dir)?.into_iter().rev() {
        if brief(&config.state_dir, run)?.file == loaded.plan.file {
            last = Some(read_run(&config.state_dir, run)?);
            break;
        }
    }
    match &last {
        Some(record) => println!("last {}", show::headline(record)),
        None => println!("{} has not been run yet", loaded.plan.file.display()),
    }
    let options = run::RunOptions { lock: loaded.lock.clone(), ..args.select.options() };
    let store = project::store_for(store, &config, &loaded.plan.file);
    let previews = run::preview(&loaded.plan, &options, &store, &config)?;
    println!("{}", plan::summary(&previews));
    if loaded.lock.is_none() {
        let lines = lockfile::differences(&config, &loaded.plan, &previews, &store)?;
        lines.iter().for_each(|line| println!("{line}"));
    }
    let stale: Vec<&str> = previews
        .iter()
        .filter(|stage| {
            !matches!(stage.preview, Preview::Hit { .. } | Preview::Locked | Preview::Skipped { .. })
        })
        .map(|stage| stage.stage.0.as_str())
        .collect();
    if stale.is_empty() {
        println!("everything is up to date");
    } else {
        println!(
            "not up to date: {}\n`stagewright plan` says why, `stagewright run` brings it up to date",
            stale.join(", ")
        );
    }
    Ok(Exit::Success)
}

/// How tracked data stands to its pointers.
fn data(config: &Config, tracked: &[Tracked], store: &LocalStore) -> Result<(), CliError> {
    let rows = data_rows(config, tracked, store)?;
    let all = screen::count(tracked.len() as u64, "tracked path");
    if rows.is_empty() {
        println!("{all}, as the pointer files say");
    } else {
        println!("{all}, {} to look at:", rows.len());
        print!("{}", screen::table(&rows));
    }
    Ok(())
}

/// Tracked data that is not as its pointer says, with words.
pub fn data_rows(
    config: &Config,
    tracked: &[Tracked],
    store: &LocalStore,
) -> Result<Vec<Vec<String>>, CliError> {
    let mut rows = Vec::new();
    for item in tracked {
        let name = item.pointer.name;
        let stored = match store.alias(&name.md5, name.folder)? {
            Some(alias) => store.missing(&alias.artifact)?.is_empty(),
            None => false,
        };
        let word = match track::state(item, store)? {
            State::Same if stored => continue,
            State::Same => "not in the store; `stagewright add` takes it in".to_owned(),
            State::Missing if stored => "missing; `stagewright checkout` places it".to_owned(),
            State::Missing => "missing, and not in the store; `stagewright pull` brings it".to_owned(),
            State::Changed(files) if files.is_empty() => "changed".to_owned(),
            State::Changed(files) => format!("changed: {}", checkout::changes(&files)),
        };
        rows.push(vec![checkout::shown(&config.root, &item.data), word]);
    }
    Ok(rows)
}
