//! `stagewright report release`.

use std::path::Path;

use clap::Args;
use stagewright::{
    record::{RecordError, read_run},
    release,
    report::{self, ReleaseView},
};

use super::{OutArgs, run::gathered};
use crate::cli::{CliError, Exit, Scene};

/// Report on a release: all that its run tells, what is delivered, and what changed since the release before
#[derive(Args)]
pub struct ReportReleaseArgs {
    /// The release [default: the last one]
    name: Option<String>,
    #[command(flatten)]
    out: OutArgs,
    /// Do not verify the evidence behind the release, which reads every byte of its artifacts
    #[arg(long)]
    no_verify: bool,
}

pub fn run(scene: &Scene, args: &ReportReleaseArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let all = release::list(&config.root)?.all;
    let released = match &args.name {
        Some(name) => release::find(&config.root, name)?,
        None => all.last().cloned().ok_or_else(|| {
            CliError::user("this project has no release yet").hint("`stagewright release create` makes one")
        })?,
    };
    let manifest = &released.manifest;
    let position = all.iter().position(|one| one.manifest.name == manifest.name);
    let before = position.and_then(|at| at.checked_sub(1)).and_then(|at| all.get(at));
    let record = match read_run(&config.state_dir, manifest.run) {
        Ok(record) => record,
        // In a clone there is no record of the run, and the release itself tells most of it.
        Err(RecordError::NoRun { .. }) => manifest.record(),
        Err(error) => return Err(error.into()),
    };
    let mut report = gathered(&config, &record, !args.no_verify)?;
    report.release = Some(ReleaseView::new(&released, before));
    // Names of tags may have slashes, and a file's name may not.
    let usual = format!("report-{}.html", manifest.name.replace('/', "-"));
    args.out.write(
        scene,
        Path::new(&usual),
        &report,
        |report| report::run_page(report, None),
        report::run_markdown,
    )?;
    Ok(Exit::Success)
}
