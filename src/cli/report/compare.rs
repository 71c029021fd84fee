//! `stagewright report compare`.

use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use stagewright::{record::RunRecord, report, store::LocalStore};

use super::OutArgs;
use crate::cli::{
    CliError, Exit, Scene,
    compare::{ChoiceArgs, chosen},
};

/// Report on several runs side by side: params, metrics, curves, models, differences
///
/// Without names these are the runs of the last sweep or search if the last run belongs to one, else the last 10 runs of the last
/// run's pipeline.
#[derive(Args)]
pub struct ReportCompareArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    out: OutArgs,
}

pub fn run(scene: &Scene, args: &ReportCompareArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let records: Vec<RunRecord> = chosen(&config, &args.choice)?;
    let store = LocalStore::open(&config.store_dir)?;
    let choice = args.choice.choice();
    let report = report::compare_runs(&config.state_dir, &store, &records, &choice, Timestamp::now())?;
    let usual = Path::new("report-compare.html");
    args.out.write(
        scene,
        usual,
        &report,
        |report| report::compare_page(report, None),
        report::compare_markdown,
    )?;
    Ok(Exit::Success)
}
