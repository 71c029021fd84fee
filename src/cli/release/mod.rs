//! `stagewright release`.

mod create;
mod rollback;
mod show;

use clap::{Args, Subcommand};
use stagewright::release::ReleaseError;

use super::{CliError, Exit, Scene};

/// Name results that are meant to be deployed, compare such releases, and bring one back
///
/// A release is an annotated tag of the commit that the pipeline ran from, and its message holds the digests, metrics, gates and
/// statements. `git push --tags` shares it. What it names is not removed by `gc`.
#[derive(Args)]
pub struct ReleaseArgs {
    #[command(subcommand)]
    command: ReleaseCommand,
}

#[derive(Subcommand)]
enum ReleaseCommand {
    Create(create::CreateArgs),
    List(show::ListArgs),
    Show(show::ShowArgs),
    Diff(show::DiffArgs),
    Rollback(rollback::RollbackArgs),
}

pub fn run(scene: &Scene, args: &ReleaseArgs) -> Result<Exit, CliError> {
    match &args.command {
        ReleaseCommand::Create(args) => create::run(scene, args),
        ReleaseCommand::List(args) => show::list(scene, args),
        ReleaseCommand::Show(args) => show::show(scene, args),
        ReleaseCommand::Diff(args) => show::diff(scene, args),
        ReleaseCommand::Rollback(args) => rollback::run(scene, args),
    }
}

impl From<ReleaseError> for CliError {
    fn from(error: ReleaseError) -> Self {
        Self::from(&error)
    }
}

impl From<&ReleaseError> for CliError {
    fn from(error: &ReleaseError) -> Self {
        let names = |known: &[String], nothing: &str| match known {
            [] => nothing.to_owned(),
            known => format!("there are {}", known.join(", ")),
        };
        match error {
            ReleaseError::NoRepository => Self::user(error).hint("`git init` makes one"),
            ReleaseError::Name { .. } => Self::user(error).hint("take one without blanks, such as v1.2"),
            ReleaseError::Exists { .. } => {
                Self::user(error).hint("a release is never changed: take the next number")
            }
            ReleaseError::Unknown { known, .. } => Self::user(error)
                .hint(names(known, "there are none; `git fetch --tags` brings those of others")),
            ReleaseError::Run { hint, .. } => Self::user(error).hint(hint.clone()),
            ReleaseError::Stage { known, .. } => Self::user(error).hint(names(known, "it has none")),
            ReleaseError::Format { name, .. } => Self::environment(error).hint(format!(
                "`git fetch --tags --force` brings the tag as others have it; `git show {name}` shows it"
            )),
            ReleaseError::Newer { .. } => {
                Self::environment(error).hint("use that release of stagewright, or a later one")
            }
            ReleaseError::Nobody => Self::user(error)
                .hint("tell it with `git config user.name NAME` and `git config user.email ADDRESS`"),
            ReleaseError::Git(_) => Self::environment(error),
        }
    }
}
