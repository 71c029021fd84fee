//! `stagewright ci`.

mod comment;
mod github;
mod plan;

use clap::{Args, Subcommand};
use stagewright::ci::CiError;

use super::{CliError, Exit, Scene};
pub use comment::{base, base_name, reports};

/// GitHub Actions: make the workflow of a pipeline, and what its jobs need
#[derive(Args)]
pub struct CiArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Github(github::GithubArgs),
    Plan(plan::PlanArgs),
    Comment(comment::CommentArgs),
}

pub fn run(scene: &Scene, args: &CiArgs) -> Result<Exit, CliError> {
    match &args.command {
        Command::Github(args) => github::run(scene, args),
        Command::Plan(args) => plan::run(scene, args),
        Command::Comment(args) => comment::run(scene, args),
    }
}

impl From<CiError> for CliError {
    fn from(error: CiError) -> Self {
        let shown = match error {
            CiError::Refused { .. } | CiError::NoAnswer { .. } => Self::environment(&error),
            _ => Self::user(&error),
        };
        shown.hint(error.hint())
    }
}
