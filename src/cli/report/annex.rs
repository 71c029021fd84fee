//! `stagewright report annex`.

use clap::Args;
use stagewright::{
    digest::Digest,
    report::{Document, Documents, annex_index, annex_markdown},
};

use super::{TextArgs, release};
use crate::cli::{CliError, Exit, Scene};

/// List the evidence for a release by the points of Annex IV of the EU AI Act: what is there, what is to be signed, what is missing
///
/// What people have to write are files of the folder `evidence`, named by the point: 1a.md, 2e.pdf. The list names each with its SHA-256.
/// It says what evidence there is, and is no assessment of it.
#[derive(Args)]
pub struct AnnexArgs {
    /// The release [default: the last one]
    name: Option<String>,
    #[command(flatten)]
    text: TextArgs,
    /// Do not verify the evidence behind the release, which reads every byte of its artifacts
    #[arg(long)]
    no_verify: bool,
}

pub fn run(scene: &Scene, args: &AnnexArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let (_, report) = release::on_release(&config, args.name.as_deref(), !args.no_verify)?;
    let mut documents = Documents::new();
    for (name, path) in release::documents(&config)? {
        let digest = Digest::of_file(&path).map_err(|error| {
            CliError::environment(format_args!("cannot read {}: {error}", path.display()))
        })?;
        let path = path.strip_prefix(&config.root).unwrap_or(&path).display().to_string();
        documents.insert(name, Document { path, digest });
    }
    args.text.write(scene, &annex_index(&report, &documents), annex_markdown)?;
    Ok(Exit::Success)
}
