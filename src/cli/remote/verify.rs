//! `stagewright remote verify`.

use std::sync::Arc;

use clap::Args;
use console::style;
use stagewright::{
    config::{Config, RemoteName},
    remote::Session,
    store::LocalStore,
};

use crate::cli::{
    CliError, Exit, gc, screen,
    transfer::{self, Transfer},
};

/// Lines on what is damaged; more are counted.
const MOST_LINES: usize = 20;

/// Read everything in a remote again, compare it with its digests, and follow every result to its bytes
///
/// With --repair, what is damaged or missing is sent again from this machine's store, as far as that has it. Exits with 4 if something
/// is damaged and was not mended.
#[derive(Args)]
pub struct VerifyArgs {
    /// The remote [default: the default one]
    name: Option<RemoteName>,
    /// Mend what the store of this machine can
    #[arg(long)]
    repair: bool,
}

pub fn run(config: &Config, args: &VerifyArgs) -> Result<Exit, CliError> {
    let settings = config.remote(args.name.as_ref())?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    let display = Transfer::new("reading");
    let session = Arc::new(Session::open(settings, config, display.listener()));
    let report = transfer::block_on(session.verify(args.repair.then_some(&store)));
    display.finish();
    let report = report??;
    println!(
        "read {} with {}, and followed what {} lead to",
        screen::count(report.objects, "object"),
        screen::bytes(report.bytes),
        screen::count(report.followed, "result").replace("results", "results and versions of data"),
    );
    if report.damage.is_empty() {
        println!("everything is as it should be");
        return Ok(Exit::Success);
    }
    for fault in report.damage.iter().take(MOST_LINES) {
        println!("{}  {fault}", style("damaged").red().bold());
    }
    if report.damage.len() > MOST_LINES {
        println!("and {} more", report.damage.len() - MOST_LINES);
    }
    if !args.repair {
        println!(
            "{} `stagewright remote verify --repair` sends again what this machine's store has",
            style("hint:").cyan()
        );
        return Ok(Exit::Environment);
    }
    println!("sent {} again", screen::count(report.mended, "blob"));
    if report.lost.is_empty() {
        println!("everything is whole again");
        return Ok(Exit::Success);
    }
    for (key, blob) in report.lost.iter().take(MOST_LINES) {
        println!(
            "{}  {key} leads to the blob {}, which this store does not have",
            style("lost").red().bold(),
            blob.short()
        );
    }
    println!("{} a machine that has it mends it with `stagewright push`", style("hint:").cyan());
    Ok(Exit::Environment)
}
