//! `stagewright lineage export`.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use stagewright::{
    digest::Digest,
    lineage::{
        self, LineageError,
        bundle::{self, Evidence},
        export::{self, Subject},
    },
    store::{LocalStore, StoreError},
};

use super::subject;
use crate::cli::{CliError, Exit, Scene, screen, signing};

/// Write the evidence behind a result in a format that other tools read
///
/// Only the in-toto bundle and the archive hold the statements as they were signed; the others are derived from them.
#[derive(Args)]
pub struct ExportArgs {
    /// A file or folder anywhere (its content counts), a SHA-256 or its beginning, a stage, a stage in a run, `train@last~1`, or a
    /// release
    artifact: String,
    /// The format
    #[arg(long, value_enum)]
    format: Format,
    /// Write it here [default: print it]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// With `--format bundle`: leave the artifacts' bytes out, and name them by their digests
    #[arg(long)]
    no_blobs: bool,
    /// With `--format oms`: name of the key that signs, in the trust policy [default: the first ECDSA P-256 key that can]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The signed statements: an in-toto bundle, a DSSE envelope a line
    InToto,
    /// A bill of materials: CycloneDX 1.6 in JSON
    Cyclonedx,
    /// W3C PROV in JSON
    Prov,
    /// The last run that has the result, as OpenLineage events, one a line
    Openlineage,
    /// A signature of the model, for `model_signing verify key`
    Oms,
    /// One archive that proves all of it, for `lineage verify --bundle`
    Bundle,
}

pub fn run(scene: &Scene, args: &ExportArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    if args.no_blobs && args.format != Format::Bundle {
        return Err(CliError::user("`--no-blobs` goes with `--format bundle`; no other format holds bytes"));
    }
    if args.name.is_some() && args.format != Format::Oms {
        return Err(CliError::user("`--as` goes with `--format oms`; the other formats sign nothing anew"));
    }
    let store = LocalStore::open(&config.store_dir)?;
    let (ledger, library) = lineage::open(&config, &store)?;
    let found = subject::find(&args.artifact, &library, &config, &scene.folder, &store)?;
    let subjects: Vec<Subject<'_>> =
        found.iter().map(|(node, hash)| Subject { node, sha256: hash.as_deref() }).collect();
    let one = || match &subjects[..] {
        [one] => Ok(one),
        several => {
            let stages: Vec<&str> = several.iter().filter_map(|one| one.node.stage()).collect();
            Err(CliError::user(format_args!(
                "the release {} delivers {}, and this format is about one result",
                args.artifact,
                screen::count(several.len() as u64, "stage")
            ))
            .hint(format!("name one of {}, or a file", stages.join(", "))))
        }
    };
    let policy = signing::policy(&config)?;
    let bytes = match args.format {
        Format::Bundle => {
            let from =
                Evidence { ledger: &ledger, library: &library, store: &store, policy: policy.as_ref() };
            return write_bundle(scene, args, &from, &subjects);
        }
        Format::InToto => export::in_toto(&library, one()?)?,
        Format::Cyclonedx => screen::json(&export::cyclonedx(&library, one()?)?)?.into_bytes(),
        Format::Prov => screen::json(&export::prov(&library, one()?, policy.as_ref()))?.into_bytes(),
        Format::Openlineage => {
            let events = export::openlineage(&library, one()?)?;
            events.iter().map(|event| format!("{event}\n")).collect::<String>().into_bytes()
        }
        Format::Oms => {
            let signing = signing::open(scene, &config)?;
            let signed = export::oms(&store, one()?, &signing, args.name.as_deref())?;
            screen::json(&signed)?.into_bytes()
        }
    };
    match args.out.as_deref().filter(|file| *file != Path::new("-")) {
        Some(file) => {
            fs::write(scene.folder.join(file), &bytes).map_err(|error| cannot_write(file, &error))?
        }
        None => {
            let mut out = io::stdout().lock();
            out.write_all(&bytes).and_then(|()| out.flush())?;
        }
    }
    Ok(Exit::Success)
}

fn cannot_write(file: &Path, error: &io::Error) -> CliError {
    CliError::environment(format_args!("cannot write {}: {error}", file.display()))
}

/// Writes an archive; the file appears whole or not at all.
fn write_bundle(
    scene: &Scene,
    args: &ExportArgs,
    from: &Evidence<'_>,
    subjects: &[Subject<'_>],
) -> Result<Exit, CliError> {
    let Some(file) = args.out.as_deref().filter(|file| *file != Path::new("-")) else {
        return Err(CliError::user("a bundle is an archive, which is not printed")
            .hint("say where to with `-o FILE`"));
    };
    let package = bundle::pack(from, subjects, !args.no_blobs).map_err(|error| match error {
        LineageError::Store(StoreError::Missing(digest)) => CliError::environment(format_args!(
            "the bundle would not be whole: the blob {digest} is not in the store"
        ))
        .hint("`stagewright fetch` may bring it; `--no-blobs` names the artifacts by their digests alone"),
        error => error.into(),
    })?;
    let path = scene.path(file)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let temp = tempfile::NamedTempFile::new_in(folder).map_err(|error| cannot_write(file, &error))?;
    let mut out = BufWriter::with_capacity(1 << 20, temp);
    package.write(&path, &mut out)?;
    let temp = out.into_inner().map_err(|error| cannot_write(file, error.error()))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    temp.as_file().set_permissions(mode).map_err(|error| cannot_write(file, &error))?;
    let written: File = temp.persist(&path).map_err(|error| cannot_write(file, &error.error))?;
    let digest = Digest::of_file(&path).map_err(|error| cannot_write(file, &error))?;
    drop(written);
    println!(
        "{}  {}, {}, sha256:{}",
        file.display(),
        screen::count(package.statements as u64, "statement"),
        screen::count(package.blobs as u64, "blob"),
        digest.hex()
    );
    println!("`stagewright lineage verify --bundle {}` checks it, anywhere", file.display());
    Ok(Exit::Success)
}
