//! `stagewright release create`.

use clap::Args;
use stagewright::{
    record::{RunName, find_run, read_run},
    release::{self, Request},
};

use super::show;
use crate::cli::{CliError, Exit, Scene};

/// Make a release of a run that passed all its gates and targets
#[derive(Args)]
pub struct CreateArgs {
    /// Its name, which becomes that of the tag, such as v1.2
    name: String,
    /// Stages whose outputs are released; a matrix by its name
    #[arg(short, long = "stage", value_name = "STAGE", value_delimiter = ',', required = true)]
    stages: Vec<String>,
    /// The run
    #[arg(long, value_name = "RUN", default_value_t)]
    run: RunName,
    /// What to say of it
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// Release also what ran from files that differ from the commit; the release tells of it
    #[arg(long)]
    allow_dirty: bool,
}

pub fn run(scene: &Scene, args: &CreateArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let record = read_run(&config.state_dir, find_run(&config.state_dir, &args.run)?)?;
    let made = release::create(
        &config.root,
        &Request {
            name: &args.name,
            record: &record,
            stages: &args.stages,
            message: &args.message,
            dirty: args.allow_dirty,
        },
    )?;
    print!("{}", show::text(&made));
    println!("\n`git push origin {}` shares it, `stagewright push` its files", args.name);
    Ok(Exit::Success)
}
