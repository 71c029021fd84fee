//! `stagewright diff-data`.

use clap::Args;
use console::style;
use stagewright::{
    store::LocalStore,
    track::{self, Change, Pointer},
};

use super::{CliError, Exit, Scene, checkout, screen};

/// Say what changed in versioned data between two commits
///
/// Compares pointer files, and file by file what they name as far as the store knows it.
#[derive(Args)]
pub struct DiffDataArgs {
    /// A commit, branch or tag
    #[arg(default_value = "HEAD")]
    old: String,
    /// Another one [default: the pointer files in the work tree]
    new: Option<String>,
    /// Name every file
    #[arg(short, long)]
    files: bool,
}

pub fn run(scene: &Scene, args: &DiffDataArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let changes = track::diff(&config.root, &args.old, args.new.as_deref(), &store)?;
    if changes.is_empty() {
        println!("no tracked data differs");
        return Ok(Exit::Success);
    }
    print!("{}", screen::table(&changes.iter().map(row).collect::<Vec<_>>()));
    if args.files {
        for change in &changes {
            let Some(files) = &change.files else { continue };
            let all = [("+", &files.added), ("-", &files.removed), ("~", &files.modified)];
            for (mark, paths) in all {
                for path in paths {
                    println!("{mark} {}/{path}", change.path.display());
                }
            }
        }
    }
    Ok(Exit::Success)
}

fn row(change: &Change) -> Vec<String> {
    let word = match (&change.old, &change.new) {
        (None, _) => style("added").green(),
        (_, None) => style("removed").red(),
        _ => style("modified").yellow(),
    };
    let size =
        |pointer: &Option<Pointer>| pointer.as_ref().and_then(|pointer| pointer.size).map(screen::bytes);
    let sizes = match (size(&change.old), size(&change.new)) {
        (Some(old), Some(new)) => format!("{old} → {new}"),
        (one, other) => one.or(other).unwrap_or_default(),
    };
    let files = change.files.as_ref().map_or_else(String::new, checkout::changes);
    vec![word.to_string(), change.path.display().to_string(), sizes, files]
}
