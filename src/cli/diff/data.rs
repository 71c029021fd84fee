//! `stagewright diff` on versioned data.

use console::style;
use serde_json::json;
use stagewright::{
    config::Config,
    store::LocalStore,
    track::{self, Change, Pointer},
};

use super::DiffArgs;
use crate::cli::{CliError, Exit, checkout, screen};

pub fn run(config: &Config, args: &DiffArgs) -> Result<Exit, CliError> {
    let store = LocalStore::open(&config.store_dir)?;
    let from = args.from.as_deref().unwrap_or("HEAD");
    let changes = track::diff(&config.root, from, args.to.as_deref(), &store)?;
    if args.json {
        screen::print_json(&changes.iter().map(encoded).collect::<Vec<_>>())?;
        return Ok(Exit::Success);
    }
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

fn encoded(change: &Change) -> serde_json::Value {
    let side = |pointer: &Option<Pointer>| {
        pointer.as_ref().map(|pointer| json!({ "md5": pointer.name.to_string(), "size": pointer.size }))
    };
    let files = change
        .files
        .as_ref()
        .map(|files| json!({ "added": files.added, "removed": files.removed, "modified": files.modified }));
    json!({ "path": change.path, "old": side(&change.old), "new": side(&change.new), "files": files })
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
