//! `stagewright checkout`.

use std::path::{Path, PathBuf};

use clap::Args;
use stagewright::{
    config::Config,
    store::LocalStore,
    track::{self, CheckedOut, TrackError, Tracked},
};

use super::{CliError, Exit, Scene, gc, screen};

/// Make versioned data what its pointer files say, for example after `git checkout`
///
/// Data that you changed and did not add is not overwritten; everything else is brought in place first.
#[derive(Args)]
pub struct CheckoutArgs {
    /// Data, pointer files or folders [default: all of the project]
    paths: Vec<PathBuf>,
    /// Give up changes that were not added
    #[arg(short, long)]
    force: bool,
}

pub fn run(scene: &Scene, args: &CheckoutArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    let tracked = find(scene, &config, &args.paths)?;
    if tracked.is_empty() {
        println!("no data is tracked; `stagewright add PATH` tracks some");
        return Ok(Exit::Success);
    }
    check_out(&config.root, &tracked, &store, args.force)?;
    Ok(Exit::Success)
}

/// Tracked data that paths name, as a user in the scene's folder means them.
pub fn find(scene: &Scene, config: &Config, paths: &[PathBuf]) -> Result<Vec<Tracked>, CliError> {
    let paths = paths.iter().map(|path| scene.path(path)).collect::<Result<Vec<PathBuf>, CliError>>()?;
    Ok(track::find(&config.root, &paths)?)
}

/// Checks out everything that can be and says what came of it; what can't be is told of together at the end.
pub fn check_out(root: &Path, tracked: &[Tracked], store: &LocalStore, force: bool) -> Result<(), CliError> {
    let (mut same, mut left) = (0, Vec::new());
    for item in tracked {
        let shown = shown(root, &item.data);
        match track::checkout(item, store, force) {
            Ok(CheckedOut::Same) => same += 1,
            Ok(CheckedOut::Placed) => println!("placed   {shown}"),
            Ok(CheckedOut::Replaced) => println!("replaced {shown}"),
            Err(error @ (TrackError::UserChanged { .. } | TrackError::Absent { .. })) => {
                left.push((shown, error))
            }
            Err(error) => return Err(error.into()),
        }
    }
    if same > 0 {
        println!(
            "{} as it should be",
            if same == 1 { "1 path is".to_owned() } else { format!("{same} paths are") }
        );
    }
    let count = left.len();
    for (shown, _) in left.iter().take(count.saturating_sub(1)) {
        println!("left as it is: {shown}");
    }
    match left.pop() {
        Some((_, error)) => Err(error.into()),
        None => Ok(()),
    }
}

/// A path as the user knows it.
pub fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// `3 added, 1 removed`.
pub fn changes(changes: &track::FileChanges) -> String {
    let parts = [
        (changes.added.len(), "added"),
        (changes.removed.len(), "removed"),
        (changes.modified.len(), "modified"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", screen::count(*count as u64, "file")))
        .collect();
    parts.join(", ")
}
