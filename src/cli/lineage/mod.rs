//! `stagewright lineage`.

mod diff;
mod export;
mod impact;
mod show;
mod subject;
mod tree;
mod verify;

use clap::{Args, Subcommand};

use super::{CliError, Exit, Scene};

/// Ask where an artifact came from, what came from it, and whether the evidence holds
#[derive(Args)]
pub struct LineageArgs {
    #[command(subcommand)]
    command: LineageCommand,
}

#[derive(Subcommand)]
enum LineageCommand {
    Show(show::ShowArgs),
    Diff(diff::DiffArgs),
    Export(export::ExportArgs),
    Impact(impact::ImpactArgs),
    Verify(verify::VerifyArgs),
}

pub fn run(scene: &Scene, args: &LineageArgs) -> Result<Exit, CliError> {
    match &args.command {
        LineageCommand::Show(args) => show::run(scene, args),
        LineageCommand::Diff(args) => diff::run(scene, args),
        LineageCommand::Export(args) => export::run(scene, args),
        LineageCommand::Impact(args) => impact::run(scene, args),
        LineageCommand::Verify(args) => verify::run(scene, args),
    }
}
