//! `stagewright ci plan`.

use std::sync::Arc;

use clap::Args;
use stagewright::{
    ci,
    config::RemoteName,
    remote::{Session, Supply},
    run::{self, RunOptions},
};

use super::super::{
    CliError, Exit, Scene, actions, pipeline, pipeline::PipelineArgs, plan, screen, transfer,
};

/// Decide which jobs of a staged workflow have something to do
///
/// A stage whose result the remote has needs no job. Results are looked at, their bytes stay where they are. In a job of GitHub Actions
/// the step's outputs `jobs` and `stages` say what is to run.
#[derive(Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// The remote to look into; without a name, the default one
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true)]
    remote: Option<Option<RemoteName>>,
}

pub fn run(scene: &Scene, args: &PlanArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let (draft, compiled, ahead) = pipeline::load_with_draft(scene, &config, &args.pipeline, false)?;
    let jobs = ci::jobs(draft.spec(), &compiled.plan)?;
    let store = pipeline::store(&config, &compiled.plan.file)?;
    let runtime = transfer::runtime()?;
    let supply = match config.remote(args.remote.as_ref().and_then(Option::as_ref)) {
        Ok(settings) => {
            let session = Arc::new(Session::open(settings, &config, Arc::new(|_| {})));
            Some(Arc::new(Supply::looking(session, runtime.handle().clone())))
        }
        Err(_) if args.remote.is_none() => None,
        Err(error) => return Err(error.into()),
    };
    let options = RunOptions {
        lock: compiled.lock.clone(),
        ahead: Some(ahead),
        supplier: supply.clone().map(|supply| supply as Arc<dyn stagewright::store::Supplier>),
        ..RunOptions::default()
    };
    let previews = run::preview(&compiled.plan, &options, &store, &config)?;
    // Without the remote every job would run and none could hand its result on.
    if let Some(error) = supply.and_then(|supply| supply.take_error()) {
        return Err(error.into());
    }
    let rows: Vec<Vec<String>> = previews.iter().map(plan::row).collect();
    print!("{}", screen::table(&rows));
    println!("{}", plan::summary(&previews));
    let found = ci::hits(&jobs, &compiled.plan, &previews);
    match found.jobs.len() {
        0 => println!("no job has anything to do"),
        _ => println!("jobs to run: {}", found.jobs.join(", ")),
    }
    let json = |value: serde_json::Result<String>| {
        value.map_err(|error| CliError::environment(format_args!("cannot encode the answer: {error}")))
    };
    actions::outputs(
        scene,
        &[
            ("jobs", json(serde_json::to_string(&found.jobs))?),
            ("stages", json(serde_json::to_string(&found.stages))?),
        ],
    )?;
    Ok(Exit::Success)
}
