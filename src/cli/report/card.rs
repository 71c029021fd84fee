//! `stagewright report card`.

use std::fs;

use clap::Args;
use stagewright::report::{CardSection, Words, card_markdown, model_card};

use super::{TextArgs, release};
use crate::cli::{CliError, Exit, Scene};

/// Make a model card for a release: its files, data, metrics and gates, with the front matter of a model hub
///
/// What only people can tell is taken from Markdown files of the folder `evidence`: 1a.md (intended use), 3.md (limits and risks),
/// 2e.md (human oversight). Without them the card says what is to be written.
#[derive(Args)]
pub struct CardArgs {
    /// The release [default: the last one]
    name: Option<String>,
    #[command(flatten)]
    text: TextArgs,
}

pub fn run(scene: &Scene, args: &CardArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let (_, report) = release::on_release(&config, args.name.as_deref(), false)?;
    let documents = release::documents(&config)?;
    let mut words = Words::new();
    for (section, name) in CardSection::ALL {
        let Some(path) = documents.get(name).filter(|path| path.extension().is_some_and(|end| end == "md"))
        else {
            continue;
        };
        let text = fs::read_to_string(path).map_err(|error| {
            CliError::environment(format_args!("cannot read {}: {error}", path.display()))
        })?;
        words.insert(section, text);
    }
    args.text.write(scene, &model_card(&report, words), card_markdown)?;
    Ok(Exit::Success)
}
