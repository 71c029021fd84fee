//! `stagewright add`.

use std::path::PathBuf;

use clap::Args;
use stagewright::{
    store::LocalStore,
    track::{self, TrackError},
};

use super::{CliError, Exit, Scene, gc, screen};

/// Version data with git: the content goes to the store, a pointer file PATH.dvc beside it is for git to keep
///
/// As in DVC 3, and in its format. The data stays where it is and is added to .gitignore. Run it again after a change.
#[derive(Args)]
pub struct AddArgs {
    /// Files and folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

pub fn run(scene: &Scene, args: &AddArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    let mut to_git: Vec<String> = Vec::new();
    for path in &args.paths {
        let added = track::add(&config.root, &scene.path(path)?, &store)?;
        let pointer = &added.tracked.pointer;
        let size = match (pointer.files, pointer.size) {
            (Some(files), Some(size)) => format!("{}, {}", screen::count(files, "file"), screen::bytes(size)),
            (_, size) => screen::bytes(size.unwrap_or(0)),
        };
        println!("{} {} ({size})", if added.changed { "added" } else { "unchanged" }, path.display());
        let beside = track::Pointer::file_of(path);
        let written = [(added.changed, beside.clone()), (added.ignored, beside.with_file_name(".gitignore"))];
        for (_, file) in written.iter().filter(|(written, _)| *written) {
            let file = file.display().to_string();
            if !to_git.contains(&file) {
                to_git.push(file);
            }
        }
    }
    if !to_git.is_empty() {
        println!("for git: git add {}", to_git.join(" "));
    }
    Ok(Exit::Success)
}

impl From<TrackError> for CliError {
    fn from(error: TrackError) -> Self {
        match error {
            TrackError::Store(error) => error.into(),
            TrackError::Io { .. } => Self::environment(&error),
            TrackError::Untrackable { ref hint, .. } => {
                let hint = hint.clone();
                hint.into_iter().fold(Self::user(&error), Self::hint)
            }
            TrackError::Absent { .. } | TrackError::NotStored { .. } => {
                Self::user(&error).hint("`stagewright pull` brings it from the remote, `stagewright fetch` only into the store")
            }
            TrackError::UserChanged { .. } => Self::user(&error)
                .hint("`stagewright add` keeps the change as a new version, `stagewright checkout --force` gives it up"),
            TrackError::InTheWay { .. } => {
                Self::user(&error).hint("`stagewright add` keeps it as a version, `--force` gives it up")
            }
            TrackError::Unknown { .. } => {
                Self::user(&error).hint("move it away, or give it up with `stagewright checkout --force`")
            }
            TrackError::NotTracked { .. } => Self::user(&error).hint("`stagewright add` tracks it"),
            TrackError::Outside { .. } => Self::user(&error).hint("let the pipeline place it in a folder of the project"),
            TrackError::Pointer { .. } | TrackError::Listing { .. } | TrackError::Git(_) => Self::user(&error),
        }
    }
}
