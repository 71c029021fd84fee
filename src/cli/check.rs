//! `stagewright check`.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, Exit, Scene, pipeline, screen};

/// Check a pipeline file: syntax, stages, ports, params, paths; runs nothing
#[derive(Args)]
pub struct CheckArgs {
    /// The pipeline file [default: pipeline.yaml, else the only one in pipelines/]
    pipeline: Option<PathBuf>,
}

pub fn run(scene: &Scene, args: &CheckArgs) -> Result<Exit, CliError> {
    let loaded = pipeline::load(scene, args.pipeline.as_deref())?;
    let plan = &loaded.plan;
    for warning in &plan.warnings {
        println!("warning: {warning}");
    }
    let skipped = plan.actions.iter().filter(|action| action.skip.is_some()).count() as u64;
    let skips = if skipped > 0 {
        format!(", {} skipped here", screen::count(skipped, "stage"))
    } else {
        String::new()
    };
    println!(
        "{}: {} and {}{skips}; all is well",
        loaded.source.file.display(),
        screen::count(plan.actions.len() as u64, "stage"),
        screen::count(plan.targets.len() as u64, "target"),
    );
    Ok(Exit::Success)
}
