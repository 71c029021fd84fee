//! `stagewright remote gc`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use clap::Args;
use stagewright::{
    config::{Config, RemoteName},
    lockfile,
    record::History,
    release,
    remote::{Keep, RemoteGc, Session},
    track,
};

use crate::cli::{
    CliError, Exit, screen,
    transfer::{self, Transfer},
};

/// Remove from a remote what nothing leads to, and results that are old
///
/// Whatever its age, this stays: results that releases name, the last result of every stage here, what lock files and pointer files of
/// branches, tags and the work tree name, and the statements of all ledgers. So fetch all branches and tags first, and choose an age that covers what others have pushed and not yet
/// committed. Waits for pushes that are going on.
#[derive(Args)]
pub struct GcArgs {
    /// The remote [default: the default one]
    name: Option<RemoteName>,
    /// Say what would be removed, remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Keep what was pushed within this time, for example 14d or 36h
    #[arg(long, value_name = "AGE", default_value = "14d", value_parser = age)]
    older_than: Duration,
}

fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no age: days as 14d, hours as 36h, weeks as 2w");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

pub fn run(config: &Config, args: &GcArgs) -> Result<Exit, CliError> {
    let settings = config.remote(args.name.as_ref())?;
    let mut results: BTreeSet<_> =
        History::all_keys(&config.state_dir)?.into_iter().map(|key| key.0).collect();
    results.extend(release::pinned(&config.root)?.into_iter().map(|key| key.0));
    results.extend(lockfile::named_by_git(&config.root)?.into_iter().map(|key| key.0));
    let tracked = track::named_by_git(&config.root)?;
    let keep = Keep { results, tracked, younger_than: args.older_than };
    let display = Transfer::new("gathering");
    let session = Arc::new(Session::open(settings, config, display.listener()));
    let done = transfer::block_on(async {
        if args.dry_run { session.plan_gc(&keep).await } else { session.gc(&keep).await }
    });
    display.finish();
    tell(&done??, args.dry_run);
    Ok(Exit::Success)
}

fn tell(gc: &RemoteGc, dry_run: bool) {
    let (removed, kept) = if dry_run { ("would remove", "would keep") } else { ("removed", "kept") };
    let mut parts = vec![
        screen::count(gc.results.len() as u64, "result"),
        screen::count(gc.tracked.len() as u64, "version of data")
            .replace("version of datas", "versions of data"),
    ];
    if !gc.checkpoints.is_empty() {
        parts.push(screen::count(gc.checkpoints.len() as u64, "checkpoint"));
    }
    let (packs, gathered) = gc.packs();
    if !gc.blobs.is_empty() {
        parts.push(screen::count(gc.blobs.len() as u64, "blob"));
    }
    if packs > 0 {
        parts.push(screen::count(packs, "pack"));
    }
    let nothing = gc.results.is_empty() && gc.tracked.is_empty() && gc.checkpoints.is_empty();
    if nothing && gc.blobs.is_empty() && packs == 0 {
        println!("nothing to remove");
    } else {
        println!("{removed} {}: {}", parts.join(", "), screen::bytes(gc.bytes()));
    }
    if gathered > 0 {
        let what = if dry_run { "would gather" } else { "gathered" };
        println!("{what} what is needed of {} in new ones", screen::count(gathered, "pack"));
    }
    println!(
        "{kept} {} and {}",
        screen::count(gc.kept_results, "result"),
        screen::count(gc.kept_blobs, "blob")
    );
}
