//! `stagewright lineage export`.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use stagewright::{
    lineage::{self, export::Subject},
    store::LocalStore,
};

use crate::cli::{CliError, Exit, Scene, screen, signing};

/// Write the evidence behind a result in a format that other tools read
///
/// Only the in-toto bundle holds the statements as they were signed; the others are derived from them.
#[derive(Args)]
pub struct ExportArgs {
    /// A file or folder anywhere (its content counts), a SHA-256 or its beginning, a stage, or a stage in a run, `train@last~1`
    artifact: String,
    /// The format
    #[arg(long, value_enum)]
    format: Format,
    /// Write it here [default: print it]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// The signed statements: an in-toto bundle, a DSSE envelope a line
    InToto,
    /// A bill of materials: CycloneDX 1.6 in JSON
    Cyclonedx,
    /// W3C PROV in JSON
    Prov,
}

pub fn run(scene: &Scene, args: &ExportArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let (_, library) = lineage::open(&config, &store)?;
    let (node, hash) = library.find_in(&args.artifact, &config, &scene.folder, &store)?;
    let subject = Subject { node, sha256: hash.as_deref() };
    let bytes = match args.format {
        Format::InToto => lineage::export::in_toto(&library, &subject)?,
        Format::Cyclonedx => screen::json(&lineage::export::cyclonedx(&library, &subject)?)?.into_bytes(),
        Format::Prov => {
            let policy = signing::policy(&config)?;
            screen::json(&lineage::export::prov(&library, &subject, policy.as_ref()))?.into_bytes()
        }
    };
    match args.out.as_deref().filter(|file| *file != Path::new("-")) {
        Some(file) => fs::write(scene.folder.join(file), &bytes).map_err(|error| {
            CliError::environment(format_args!("cannot write {}: {error}", file.display()))
        })?,
        None => {
            let mut out = io::stdout().lock();
            out.write_all(&bytes).and_then(|()| out.flush())?;
        }
    }
    Ok(Exit::Success)
}
