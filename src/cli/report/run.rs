//! `stagewright report run`.

use clap::Args;
use jiff::Timestamp;
use stagewright::{
    config::Config,
    lineage::{self, Case, Log},
    record::{RunName, RunRecord, find_run, read_run},
    report::{self, Gathering, RunReport, Statements},
    store::LocalStore,
};

use super::OutArgs;
use crate::cli::{CliError, Exit, Scene, signing};

/// Report on one run: its graph, curves, findings, models, checklist, artifacts and lineage
#[derive(Args)]
pub struct ReportRunArgs {
    /// The run: the beginning or end of its id, `last`, `last~1`
    #[arg(default_value = "last")]
    run: RunName,
    #[command(flatten)]
    out: OutArgs,
    /// Do not verify the evidence behind the run, which reads every byte of its artifacts
    #[arg(long)]
    no_verify: bool,
}

pub fn run(scene: &Scene, args: &ReportRunArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let record = read_run(&config.state_dir, find_run(&config.state_dir, &args.run)?)?;
    let report = gathered(&config, &record, !args.no_verify)?;
    let usual = report::page_name(record.run);
    args.out.write(scene, &usual, &report, |report| report::run_page(report, None), report::run_markdown)?;
    Ok(Exit::Success)
}

/// The report on a run as its record tells it.
pub fn gathered(config: &Config, record: &RunRecord, verify: bool) -> Result<RunReport, CliError> {
    let store = LocalStore::open(&config.store_dir)?;
    let (ledger, library) = lineage::open(config, &store)?;
    let policy = signing::policy(config)?;
    let case = Case {
        blobs: &store,
        log: Log::Ledger(&ledger),
        library: &library,
        policy: policy.as_ref(),
        // What has become of the data since is not the run's.
        sources: None,
        bytes: true,
    };
    let gathering = Gathering {
        state_dir: &config.state_dir,
        store: &store,
        evidence: Some(Statements { ledger: &ledger, library: &library, policy: policy.as_ref() }),
        verify: verify.then_some(&case),
    };
    Ok(report::gather(&gathering, record, Timestamp::now()))
}
