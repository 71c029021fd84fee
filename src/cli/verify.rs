//! `stagewright verify`.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use stagewright::store::LocalStore;

use super::{CliError, Exit, Scene, gc, screen};

/// Read every stored byte again and compare it with its digest
///
/// Exits with 1 if something is damaged. Nothing is changed without --discard.
#[derive(Args)]
pub struct VerifyArgs {
    /// Take damaged blobs and results out of the store; the stages that made them run again when wanted
    #[arg(long)]
    discard: bool,
}

pub fn run(scene: &Scene, args: &VerifyArgs) -> Result<Exit, CliError> {
    let store = LocalStore::open(&scene.config()?.store_dir)?;
    let bar = ProgressBar::new_spinner();
    bar.set_style(
        ProgressStyle::with_template("{spinner} {bytes} read, {bytes_per_sec}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    let report = store.verify(|bytes| bar.inc(bytes))?;
    bar.finish_and_clear();
    let (blobs, entries) = (report.blobs as u64, report.entries as u64);
    println!(
        "{} with {}, {}",
        screen::count(blobs, "blob"),
        screen::bytes(report.bytes),
        screen::count(entries, "action result")
    );
    if report.leftovers > 0 {
        println!(
            "{} of stopped writes, harmless; `stagewright gc` removes what is old",
            screen::count(report.leftovers as u64, "leftover")
        );
    }
    if report.damage.is_empty() {
        println!("everything is as its digest says");
        return Ok(Exit::Success);
    }
    for damage in &report.damage {
        println!("damaged: {damage}");
    }
    if args.discard {
        let _alone = gc::alone(&store)?;
        store.discard(&report.damage)?;
        println!("discarded; the stages that made these run again when they are next wanted");
    } else {
        println!(
            "`stagewright verify --discard` takes these out of the store, so that their stages run again"
        );
    }
    Ok(Exit::Failed)
}
