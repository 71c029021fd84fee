//! `stagewright status`.

use clap::Args;
use stagewright::{
    record::{brief, list_runs, read_run},
    run::{self, Preview},
    store::LocalStore,
};

use super::{CliError, Exit, Scene, pipeline, pipeline::PipelineArgs, plan, run::SelectArgs, show};

/// Say where the project stands: the last run, and whether its results are still up to date
#[derive(Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    select: SelectArgs,
}

pub fn run(scene: &Scene, args: &StatusArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let loaded = pipeline::load_in(scene, &config, &args.pipeline)?;
    let store = LocalStore::open(&config.store_dir)?;
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
    let previews = run::preview(&loaded.plan, &options, &store, &config)?;
    println!("{}", plan::summary(&previews));
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
