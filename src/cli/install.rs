//! `stagewright install`.

use clap::Args;
use stagewright::track::{self, Done};

use super::{CliError, Exit, Scene, checkout, screen};

/// Have git look after data and results: hooks, and merge drivers for stagewright.lock and pointer files
///
/// After `git checkout`, data and results are checked out; before `git push`, they are pushed; before `git commit`, data that was not added
/// is told. Hooks that are there stay as they are but for a block of lines. Each clone needs this once.
#[derive(Args)]
pub struct InstallArgs {
    /// Take out what this command put in
    #[arg(long)]
    uninstall: bool,
}

pub fn run(scene: &Scene, args: &InstallArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let steps = match args.uninstall {
        true => track::uninstall(&config.root)?,
        false => track::install(&config.root)?,
    };
    let word = |done: &Done| match done {
        Done::Written => "installed".to_owned(),
        Done::Same if args.uninstall => "was not there".to_owned(),
        Done::Same => "was there".to_owned(),
        Done::Removed => "taken out".to_owned(),
        Done::Left(reason) => format!("left as it is: {reason}"),
    };
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| vec![step.what.clone(), checkout::shown(&config.root, &step.path), word(&step.done)])
        .collect();
    print!("{}", screen::table(&rows));
    let left = steps.iter().any(|step| matches!(step.done, Done::Left(_)));
    Ok(if left { Exit::User } else { Exit::Success })
}
