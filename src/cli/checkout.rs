//! `stagewright checkout`.

use std::path::{Path, PathBuf};

use clap::Args;
use stagewright::{
    config::Config,
    lockfile::{self as locks, LockedOutput},
    store::LocalStore,
    track::{self, CheckedOut, TrackError, Tracked},
};

use super::{CliError, Exit, Scene, gc, lockfile, screen};

/// Make versioned data and results what pointer files and lock files say, for example after `git checkout`
///
/// What you changed, and what is nowhere else, is not overwritten; everything else is brought in place first.
#[derive(Args)]
pub struct CheckoutArgs {
    /// Data, pointer files, results or folders [default: all of the project]
    paths: Vec<PathBuf>,
    /// Give up changes that were not added
    #[arg(short, long)]
    force: bool,
}

pub fn run(scene: &Scene, args: &CheckoutArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    let locks = locks::find(&config.root)?;
    let outputs: Vec<_> = lockfile::places(&locks).collect();
    let (tracked, outputs) = match args.paths.is_empty() {
        true => (track::find(&config.root, &[])?, outputs),
        false => named(scene, &config, &args.paths, &outputs)?,
    };
    if tracked.is_empty() && outputs.is_empty() {
        println!("no data is tracked, and no lock file names results; `stagewright add PATH` tracks data");
        return Ok(Exit::Success);
    }
    let items =
        tracked.iter().map(Item::Data).chain(outputs.into_iter().map(|(_, output)| Item::Result(output)));
    check_out(&config.root, items, &store, args.force)?;
    Ok(Exit::Success)
}

/// Checks out all of a project, giving up nothing.
pub fn all(scene: &Scene) -> Result<Exit, CliError> {
    run(scene, &CheckoutArgs { paths: Vec::new(), force: false })
}

type Output<'a> = (&'a Path, &'a LockedOutput);

/// Tracked data and outputs of lock files that paths name.
fn named<'a>(
    scene: &Scene,
    config: &Config,
    paths: &[PathBuf],
    outputs: &[Output<'a>],
) -> Result<(Vec<Tracked>, Vec<Output<'a>>), CliError> {
    let (mut data, mut results) = (Vec::new(), Vec::new());
    for path in paths {
        let full = scene.path(path)?;
        let fits = |output: &&Output<'_>| config.root.join(output.0).starts_with(&full);
        let here: Vec<Output<'_>> = outputs.iter().filter(fits).copied().collect();
        match track::find(&config.root, std::slice::from_ref(&full)) {
            Ok(found) => data.extend(found),
            Err(TrackError::NotTracked { .. }) if !here.is_empty() => {}
            Err(error) => return Err(error.into()),
        }
        results.extend(here);
    }
    Ok((data, results))
}

/// Tracked data that paths name, as a user in the scene's folder means them.
pub fn find(scene: &Scene, config: &Config, paths: &[PathBuf]) -> Result<Vec<Tracked>, CliError> {
    let paths = paths.iter().map(|path| scene.path(path)).collect::<Result<Vec<PathBuf>, CliError>>()?;
    Ok(track::find(&config.root, &paths)?)
}

/// Something that a file in git names, and that has a place in the work tree.
pub enum Item<'a> {
    /// Versioned data.
    Data(&'a Tracked),
    /// A result that a lock file names.
    Result(&'a LockedOutput),
}

/// Checks out everything that can be and says what came of it; what can't be is told of together at the end.
pub fn check_out<'a>(
    root: &Path,
    items: impl Iterator<Item = Item<'a>>,
    store: &LocalStore,
    force: bool,
) -> Result<(), CliError> {
    let (mut same, mut left) = (0, Vec::new());
    for item in items {
        let (shown, done) = match item {
            Item::Data(item) => (shown(root, &item.data), track::checkout(item, store, force)),
            Item::Result(output) => {
                let shown = output.at.as_deref().unwrap_or(Path::new("")).display().to_string();
                (shown, locks::place(root, output, store, force))
            }
        };
        match done {
            Ok(CheckedOut::Same) => same += 1,
            Ok(CheckedOut::Placed) => println!("placed   {shown}"),
            Ok(CheckedOut::Replaced) => println!("replaced {shown}"),
            Err(
                error @ (TrackError::UserChanged { .. }
                | TrackError::Unknown { .. }
                | TrackError::Absent { .. }
                | TrackError::NotStored { .. }),
            ) => left.push((shown, error)),
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
