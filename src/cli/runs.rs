//! `stagewright runs`.

use clap::{Args, Subcommand};

use super::{CliError, Exit, Scene, compare, diff, log};

/// List, compare and tell apart the runs there were
#[derive(Args)]
pub struct RunsArgs {
    #[command(subcommand)]
    command: RunsCommand,
}

#[derive(Subcommand)]
enum RunsCommand {
    /// The same as `stagewright log`
    List(log::LogArgs),
    /// The same as `stagewright compare`
    Compare(compare::CompareArgs),
    /// The same as `stagewright diff`
    Diff(diff::DiffArgs),
}

pub fn run(scene: &Scene, args: &RunsArgs) -> Result<Exit, CliError> {
    match &args.command {
        RunsCommand::List(args) => log::run(scene, args),
        RunsCommand::Compare(args) => compare::run(scene, args),
        RunsCommand::Diff(args) => diff::run(scene, args),
    }
}
