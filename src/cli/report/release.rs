//! `stagewright report release`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use stagewright::{
    config::Config,
    record::{RecordError, read_run},
    release,
    report::{self, ReleaseView, RunReport},
};

use super::{OutArgs, run::gathered};
use crate::cli::{CliError, Exit, Scene};

/// Folder of the project with what people wrote for a release.
const DOCUMENTS: &str = "evidence";

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
    let (name, report) = on_release(&config, args.name.as_deref(), !args.no_verify)?;
    // Names of tags may have slashes, and a file's name may not.
    let usual = format!("report-{}.html", name.replace('/', "-"));
    args.out.write(
        scene,
        Path::new(&usual),
        &report,
        |report| report::run_page(report, None),
        report::run_markdown,
    )?;
    Ok(Exit::Success)
}

/// Name of a release, or of the last one, and the report on it.
pub fn on_release(
    config: &Config,
    name: Option<&str>,
    verify: bool,
) -> Result<(String, RunReport), CliError> {
    let all = release::list(&config.root)?.all;
    let released = match name {
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
    let mut report = gathered(config, &record, verify)?;
    report.release = Some(ReleaseView::new(&released, before));
    Ok((manifest.name.clone(), report))
}

/// What people wrote for a release: files of a folder by their names without ending.
pub fn documents(config: &Config) -> Result<BTreeMap<String, PathBuf>, CliError> {
    let folder = config.root.join(DOCUMENTS);
    let failed =
        |error: io::Error| CliError::environment(format_args!("cannot read {}: {error}", folder.display()));
    let items = match fs::read_dir(&folder) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = BTreeMap::new();
    for item in items {
        let path = item.map_err(failed)?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
        if let Some(name) = name.filter(|_| path.is_file())
            && let Some(other) = found.insert(name.clone(), path)
        {
            return Err(CliError::user(format_args!(
                "{} and another file in {DOCUMENTS} both are the document `{name}`",
                other.display()
            ))
            .hint("keep one of them"));
        }
    }
    Ok(found)
}
