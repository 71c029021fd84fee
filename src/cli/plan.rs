//! `stagewright plan`.

use std::time::Duration;

use clap::Args;
use console::style;
use stagewright::{
    config::Config,
    run::{self, Preview, StagePreview},
};

use super::{
    CliError, Exit, Scene, lockfile, pipeline, pipeline::PipelineArgs, run::SelectArgs, screen, sweep,
};

/// Say what a run would do: for each stage hit or miss, and exactly what changed
#[derive(Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    select: SelectArgs,
}

pub fn run(scene: &Scene, args: &PlanArgs) -> Result<Exit, CliError> {
    show(scene, &scene.config()?, &args.pipeline, &args.select)
}

/// Shows what a run would do, or the runs of a sweep.
pub fn show(
    scene: &Scene,
    config: &Config,
    args: &PipelineArgs,
    select: &SelectArgs,
) -> Result<Exit, CliError> {
    let assignments = args.assignments()?;
    if assignments.iter().any(|assignment| assignment.values.len() > 1) {
        return sweep::preview(scene, config, args, &select.options(), &assignments);
    }
    let (loaded, ahead) = pipeline::load_ahead(scene, config, args, false)?;
    let store = pipeline::store(config, &loaded.plan.file)?;
    let options = run::RunOptions { lock: loaded.lock.clone(), ahead: Some(ahead), ..select.options() };
    let previews = run::preview(&loaded.plan, &options, &store, config)?;
    for warning in &loaded.plan.warnings {
        println!("{} {warning}", style("warning:").yellow().bold());
    }
    let rows: Vec<Vec<String>> = previews.iter().map(row).collect();
    print!("{}", screen::table(&rows));
    println!("{}", summary(&previews));
    if loaded.lock.is_none() && assignments.is_empty() {
        lockfile::differences(config, &loaded.plan, &previews, &store)?
            .iter()
            .for_each(|line| println!("{line}"));
    }
    let fails = previews.iter().any(|stage| matches!(stage.preview, Preview::Fails { .. }));
    Ok(if fails { Exit::User } else { Exit::Success })
}

/// One line about a stage.
pub fn row(stage: &StagePreview) -> Vec<String> {
    let (word, why) = match &stage.preview {
        Preview::Hit { made_in } => (style("cached").cyan(), format!("made in run {made_in}")),
        Preview::Locked => (style("cached").cyan(), "up to date, as dvc.lock says".to_owned()),
        Preview::Miss { reasons } => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            (style("run").green(), reasons.join(", "))
        }
        Preview::Conditional { condition, waits_for } => {
            let stages: Vec<&str> = waits_for.iter().map(|stage| stage.0.as_str()).collect();
            let when = match &stages[..] {
                [] => "during the run".to_owned(),
                stages => format!("after {}", stages.join(", ")),
            };
            (style("decided later").yellow(), format!("`if: {condition}` is decided {when}"))
        }
        Preview::Hanging { waits_for } => {
            let stages: Vec<&str> = waits_for.iter().map(|stage| stage.0.as_str()).collect();
            (style("decided later").yellow(), format!("skipped if {} is", stages.join(" or ")))
        }
        Preview::Unknown { waits_for } => {
            let stages: Vec<&str> = waits_for.iter().map(|stage| stage.0.as_str()).collect();
            (
                style("decided later").yellow(),
                format!("reused if the outputs of {} stay the same", stages.join(", ")),
            )
        }
        Preview::Skipped { reason } => (style("skipped").dim(), reason.clone()),
        Preview::Fails { failure } => (style("fails").red().bold(), failure.fault.message.clone()),
    };
    let usual = match stage.preview {
        Preview::Miss { .. }
        | Preview::Unknown { .. }
        | Preview::Conditional { .. }
        | Preview::Hanging { .. } => stage.usual.map(|time| format!("usually {}", screen::duration(time))),
        _ => None,
    };
    let copies = (stage.copies > 0).then(|| format!("copies {}", screen::bytes(stage.copies)));
    let cost: Vec<String> = usual.into_iter().chain(copies).collect();
    vec![stage.stage.0.clone(), word.to_string(), why, cost.join(", ")]
}

/// One line that sums a preview up.
pub fn summary(previews: &[StagePreview]) -> String {
    let count =
        |wanted: fn(&Preview) -> bool| previews.iter().filter(|stage| wanted(&stage.preview)).count() as u64;
    let parts = [
        (count(|p| matches!(p, Preview::Miss { .. })), "to run"),
        (
            count(|p| {
                matches!(p, Preview::Unknown { .. } | Preview::Conditional { .. } | Preview::Hanging { .. })
            }),
            "decided later",
        ),
        (count(|p| matches!(p, Preview::Hit { .. } | Preview::Locked)), "cached"),
        (count(|p| matches!(p, Preview::Skipped { .. })), "skipped"),
        (count(|p| matches!(p, Preview::Fails { .. })), "can't run"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let total = format!("{}: {}", screen::count(previews.len() as u64, "stage"), parts.join(", "));
    [Some(total), work(previews), copies(previews)].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The time that what may run took the last time, all in all; less by the wall where stages run side by side.
fn work(previews: &[StagePreview]) -> Option<String> {
    let open = previews
        .iter()
        .filter(|stage| matches!(stage.preview, Preview::Miss { .. } | Preview::Unknown { .. }));
    let times: Vec<Option<Duration>> = open.map(|stage| stage.usual).collect();
    let known: Duration = times.iter().flatten().sum();
    let unknown = times.iter().filter(|time| time.is_none()).count();
    match (times.len() - unknown, unknown) {
        (0, _) => None,
        (_, 0) => Some(format!("usually {} of work", screen::duration(known))),
        (_, unknown) => Some(format!("usually {} of work, and {unknown} never ran", screen::duration(known))),
    }
}

fn copies(previews: &[StagePreview]) -> Option<String> {
    let bytes: u64 = previews.iter().map(|stage| stage.copies).sum();
    (bytes > 0).then(|| format!("{} to copy", screen::bytes(bytes)))
}
