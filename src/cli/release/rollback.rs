//! `stagewright release rollback`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use clap::Args;
use stagewright::{
    config::{Config, RemoteName},
    release::{self, Manifest},
    remote::Session,
    store::{Artifact, LocalStore},
};

use crate::cli::{
    CliError, Exit, Scene, gc, screen,
    transfer::{self, Transfer},
};

/// Bring the files of a release back, each compared with its digest
///
/// What the store does not have comes from the remote. Files that you changed are not overwritten.
#[derive(Args)]
pub struct RollbackArgs {
    /// The release
    name: String,
    /// Where to: a folder for each stage is made in it [default: releases/NAME]
    #[arg(long, value_name = "FOLDER", conflicts_with = "drill")]
    to: Option<PathBuf>,
    /// Only try whether it would work on a machine that has nothing: everything comes from the remote into an empty place, is
    /// compared with its digest and removed again
    #[arg(long)]
    drill: bool,
    /// The remote [default: the default one]
    #[arg(short, long, value_name = "NAME")]
    remote: Option<RemoteName>,
}

/// A file or folder of a release.
struct Wanted {
    /// Relative to the folder of the release.
    path: PathBuf,
    artifact: Artifact,
}

pub fn run(scene: &Scene, args: &RollbackArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let found = release::find(&config.root, &args.name)?;
    let wanted = wanted(&found.manifest);
    let started = Instant::now();
    if args.drill {
        let place = tempfile::tempdir()?;
        let store = LocalStore::open(&place.path().join("store"))?;
        let brought = fetch(&config, args.remote.as_ref(), &store, &wanted)?;
        place_all(&store, &wanted, &place.path().join("files"))?;
        println!(
            "{} can be restored: {} with {} from the remote, every byte as the digests say, in {}",
            args.name,
            screen::count(wanted.len() as u64, "output"),
            screen::bytes(brought),
            screen::duration(started.elapsed()),
        );
        println!("no model was loaded; the check `rollback` of the stage `checklist` does that");
        return Ok(Exit::Success);
    }
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    let missing = wanted.iter().any(|wanted| !is_whole(&store, &wanted.artifact));
    let brought = if missing { fetch(&config, args.remote.as_ref(), &store, &wanted)? } else { 0 };
    let folder = match &args.to {
        Some(to) => scene.folder.join(to),
        None => config.root.join("releases").join(&args.name),
    };
    place_all(&store, &wanted, &folder)?;
    let rows: Vec<Vec<String>> = wanted
        .iter()
        .map(|wanted| {
            vec![
                wanted.path.display().to_string(),
                screen::bytes(wanted.artifact.bytes),
                format!("sha256:{}", wanted.artifact.digest.hex()),
            ]
        })
        .collect();
    print!("{}", screen::table(&rows));
    let from = if brought > 0 {
        format!(", {} of it from the remote", screen::bytes(brought))
    } else {
        String::new()
    };
    println!(
        "restored {} to {} in {}{from}",
        args.name,
        folder.display(),
        screen::duration(started.elapsed())
    );
    Ok(Exit::Success)
}

fn wanted(manifest: &Manifest) -> Vec<Wanted> {
    let outputs = manifest.delivered().flat_map(|(id, stage)| {
        stage.outputs.iter().map(move |(port, output)| {
            // Names come from a tag that anybody may have pushed: they name one file below the folder and nothing else.
            let name = Path::new(&output.file_name).file_name().unwrap_or(port.as_ref());
            let stage = id.0.replace(['/', '\\'], "-");
            Wanted { path: Path::new(&stage).join(name), artifact: output.artifact }
        })
    });
    outputs.collect()
}

/// Whether the store has all bytes of an artifact.
fn is_whole(store: &LocalStore, artifact: &Artifact) -> bool {
    store.is_sound(&artifact.digest)
        && match artifact.kind {
            stagewright::store::ArtifactKind::File => true,
            stagewright::store::ArtifactKind::Tree => store
                .tree(&artifact.digest)
                .is_ok_and(|tree| tree.entries().iter().all(|entry| store.is_sound(&entry.digest))),
        }
}

/// Brings what is missing; gives its bytes.
fn fetch(
    config: &Config,
    remote: Option<&RemoteName>,
    store: &LocalStore,
    wanted: &[Wanted],
) -> Result<u64, CliError> {
    let settings = config.remote(remote)?;
    let display = Transfer::new("restoring");
    let session = Arc::new(Session::open(settings, config, display.listener()));
    let artifacts: Vec<Artifact> = wanted.iter().map(|wanted| wanted.artifact).collect();
    let fetched = transfer::block_on(async {
        session.check_format().await?;
        session.fetch_artifacts(store, &artifacts).await
    });
    display.finish();
    Ok(fetched??.bytes)
}

/// Places every file and reads it again.
fn place_all(store: &LocalStore, wanted: &[Wanted], folder: &Path) -> Result<(), CliError> {
    for one in wanted {
        let to = folder.join(&one.path);
        store.export(&one.artifact, &to)?;
        if store.fingerprint(&to)? != one.artifact {
            return Err(CliError::environment(format_args!(
                "{} is not what the release names: its bytes changed on the way to the disk",
                to.display()
            ))
            .hint("`stagewright verify` reads the store again; try another disk"));
        }
    }
    Ok(())
}
