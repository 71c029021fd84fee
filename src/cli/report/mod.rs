//! `stagewright report`.

mod annex;
mod card;
mod compare;
mod release;
mod run;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use stagewright::report::figures;

use super::{CliError, Exit, Scene, screen};

/// Make a report to look at: one HTML file that needs nothing else, Markdown or JSON
#[derive(Args)]
pub struct ReportArgs {
    #[command(subcommand)]
    command: ReportCommand,
}

#[derive(Subcommand)]
enum ReportCommand {
    Run(run::ReportRunArgs),
    Compare(compare::ReportCompareArgs),
    Release(release::ReportReleaseArgs),
    Card(card::CardArgs),
    Annex(annex::AnnexArgs),
}

/// Where a report goes, and in what form.
#[derive(Args)]
struct OutArgs {
    /// Write it here; `-` prints it [default: a file `report-….html` in this folder; Markdown and JSON are printed]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = Format::Html)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One page that needs no network
    Html,
    /// For a comment or a job summary
    Markdown,
    /// All of its data
    Json,
}

pub fn run(scene: &Scene, args: &ReportArgs) -> Result<Exit, CliError> {
    match &args.command {
        ReportCommand::Run(args) => run::run(scene, args),
        ReportCommand::Compare(args) => compare::run(scene, args),
        ReportCommand::Release(args) => release::run(scene, args),
        ReportCommand::Card(args) => card::run(scene, args),
        ReportCommand::Annex(args) => annex::run(scene, args),
    }
}

/// Where a text goes, and in what form.
#[derive(Args)]
struct TextArgs {
    /// Write it here [default: print it]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = TextFormat::Markdown)]
    format: TextFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TextFormat {
    /// For people
    Markdown,
    /// For programs
    Json,
}

impl TextArgs {
    /// Writes a text, and says where it is.
    fn write<T: Serialize>(
        &self,
        scene: &Scene,
        value: &T,
        markdown: impl Fn(&T) -> String,
    ) -> Result<(), CliError> {
        let format = match self.format {
            TextFormat::Markdown => Format::Markdown,
            TextFormat::Json => Format::Json,
        };
        OutArgs { out: self.out.clone(), format }.write(scene, Path::new("-"), value, &markdown, &markdown)
    }
}

impl OutArgs {
    /// Writes a report, and says where it is.
    fn write<T: Serialize>(
        &self,
        scene: &Scene,
        usual: &Path,
        report: &T,
        html: impl Fn(&T) -> String,
        markdown: impl Fn(&T) -> String,
    ) -> Result<(), CliError> {
        let text = match self.format {
            Format::Html => html(report),
            Format::Markdown => markdown(report),
            Format::Json => screen::json(report)?,
        };
        let file = match (&self.out, self.format) {
            (Some(file), _) => file.as_path(),
            (None, Format::Html) => usual,
            (None, Format::Markdown | Format::Json) => Path::new("-"),
        };
        if file == Path::new("-") {
            let mut out = io::stdout().lock();
            return Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?);
        }
        fs::write(scene.folder.join(file), &text).map_err(|error| {
            CliError::environment(format_args!("cannot write {}: {error}", file.display()))
        })?;
        println!("{}  {}", file.display(), figures::bytes(text.len() as u64));
        Ok(())
    }
}
