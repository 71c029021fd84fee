//! `stagewright hook`: what the hooks and merge drivers of `stagewright install` call.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use stagewright::{
    config::{Config, ConfigError},
    lockfile,
    store::LocalStore,
    track::{self, MergedPointer},
};

use super::{CliError, Exit, Scene, checkout, gc, push, screen, status};

#[derive(Args)]
pub struct HookArgs {
    #[command(subcommand)]
    hook: Hook,
}

#[derive(Subcommand)]
enum Hook {
    /// After `git checkout`: old and new commit, and 1 where it was a checkout of a commit
    PostCheckout { old: String, new: String, of_commit: u8 },
    /// Before `git push`: name and place of the remote
    PrePush { remote: Option<String>, url: Option<String> },
    /// Before `git commit`
    PreCommit,
    /// Of two lock files makes one
    MergeLock(Sides),
    /// Of two pointer files makes one
    MergeData(Sides),
}

/// What git gives a merge driver: three files, of which the second one takes the result.
#[derive(Args)]
struct Sides {
    base: PathBuf,
    ours: PathBuf,
    theirs: PathBuf,
    /// Length of git's markers
    marker: usize,
    /// Where the file lies in the work tree
    path: PathBuf,
}

pub fn run(scene: &Scene, args: &HookArgs) -> Result<Exit, CliError> {
    match &args.hook {
        Hook::PostCheckout { of_commit, .. } => post_checkout(scene, *of_commit == 1),
        Hook::PrePush { .. } => pre_push(scene),
        Hook::PreCommit => pre_commit(scene),
        Hook::MergeLock(sides) => merge_lock(scene, sides),
        Hook::MergeData(sides) => merge_data(scene, sides),
    }
}

/// Hooks are all commits', also of those from before the project was one.
fn is_project(scene: &Scene) -> Result<bool, CliError> {
    match Config::discover(&scene.folder, &scene.environment) {
        Ok(_) => Ok(true),
        Err(ConfigError::NoProject { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn post_checkout(scene: &Scene, of_commit: bool) -> Result<Exit, CliError> {
    if !of_commit || !is_project(scene)? || track::is_amid(&scene.config()?.root) {
        return Ok(Exit::Success);
    }
    // What git did is done, so nothing here makes it fail.
    if let Err(error) = checkout::all(scene) {
        eprint!("{}", error.render());
    }
    Ok(Exit::Success)
}

fn pre_push(scene: &Scene) -> Result<Exit, CliError> {
    if !is_project(scene)? {
        return Ok(Exit::Success);
    }
    let config = scene.config()?;
    match config.sync.remote.as_ref().and_then(|name| config.remotes.get(name)) {
        None => eprintln!("no remote is set for data and results, so only git's own is pushed"),
        Some(settings) if !settings.write => {}
        Some(_) => return push::everything(scene),
    }
    Ok(Exit::Success)
}

fn pre_commit(scene: &Scene) -> Result<Exit, CliError> {
    if !is_project(scene)? {
        return Ok(Exit::Success);
    }
    let config = scene.config()?;
    // One with conflicts is not for a commit.
    lockfile::find(&config.root)?;
    let store = LocalStore::open(&config.store_dir)?;
    let tracked = track::find(&config.root, &[])?;
    let rows = status::data_rows(&config, &tracked, &store)?;
    if !rows.is_empty() {
        eprint!("versioned data that this commit does not tell of:\n{}", screen::table(&rows));
    }
    Ok(Exit::Success)
}

fn merge_lock(scene: &Scene, sides: &Sides) -> Result<Exit, CliError> {
    let [base, ours, theirs] = sides.texts(scene)?;
    let merged = lockfile::merge(&base, &ours, &theirs, sides.marker)
        .map_err(|error| CliError::user(error).under(sides.path.display()))?;
    sides.write(scene, &merged.text)?;
    if merged.conflicts.is_empty() {
        return Ok(Exit::Success);
    }
    eprintln!(
        "{}: both sides ran {}; take one of them, and `stagewright run` brings the file up to date",
        sides.path.display(),
        merged.conflicts.join(", ")
    );
    Ok(Exit::Failed)
}

fn merge_data(scene: &Scene, sides: &Sides) -> Result<Exit, CliError> {
    let [base, ours, theirs] = sides.texts(scene)?;
    // Git starts drivers at the top of the work tree, which is not always the project.
    let folder = scene.path(&sides.path)?.parent().map(Path::to_owned).unwrap_or_default();
    let here = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(&scene.folder);
    let config = Config::discover(here, &scene.environment)?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    match track::merge(&base, &ours, &theirs, sides.marker, &store)? {
        MergedPointer::Clean(text) => {
            sides.write(scene, &text)?;
            Ok(Exit::Success)
        }
        MergedPointer::Conflict { text, reason } => {
            sides.write(scene, &text)?;
            eprintln!("{}: {reason}", sides.path.display());
            Ok(Exit::Failed)
        }
    }
}

impl Sides {
    fn texts(&self, scene: &Scene) -> Result<[String; 3], CliError> {
        let read = |path: &PathBuf| {
            let path = scene.path(path)?;
            fs::read_to_string(&path).map_err(|error| {
                CliError::environment(format_args!("cannot read {}: {error}", path.display()))
            })
        };
        Ok([read(&self.base)?, read(&self.ours)?, read(&self.theirs)?])
    }

    fn write(&self, scene: &Scene, text: &str) -> Result<(), CliError> {
        let path = scene.path(&self.ours)?;
        fs::write(&path, text)
            .map_err(|error| CliError::environment(format_args!("cannot write {}: {error}", path.display())))
    }
}
