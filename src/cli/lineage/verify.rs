//! `stagewright lineage verify`.

use std::path::{Path, PathBuf};

use clap::Args;
use console::style;
use serde_json::json;
use stagewright::{
    digest::Digest,
    lineage::{
        self, Case, Envelope, FaultKind, Log, TrustPolicy, Verification, WorkTree,
        bundle::{self, Judgement},
    },
    store::LocalStore,
};

use super::subject;
use crate::cli::{CliError, Exit, Scene, screen, signing};

/// Check the evidence behind an artifact: signatures, trusted keys, every byte, completeness, gates, the ledger
#[derive(Args)]
#[command(after_help = "\
Exit codes beside those of all commands, of several faults the first in this order: 10 bad signature · 11 the ledger was \
changed · 12 stored bytes differ · 13 a statement is not readable · 14 not signed by a trusted key · 15 unsigned · 16 a \
statement is missing · 17 bytes are missing · 18 the data in the work tree changed · 3 a gate failed")]
pub struct VerifyArgs {
    /// A file or folder anywhere (its content counts), a SHA-256 or its beginning, a stage, or a release; with `--bundle`, what the
    /// bundle has to be about
    #[arg(required_unless_present_any = ["all", "bundle"], conflicts_with = "all")]
    artifact: Option<String>,
    /// Check every statement of the project; data that changed, bytes that were collected and failed gates are no fault then
    #[arg(long)]
    all: bool,
    /// Check this archive of `lineage export --format bundle`, which needs no project and no store
    #[arg(long, value_name = "FILE", conflicts_with_all = ["all", "since", "keep", "skip_sources"])]
    bundle: Option<PathBuf>,
    /// Trust the keys of this folder instead of the project's own policy
    #[arg(long, value_name = "FOLDER")]
    trust: Option<PathBuf>,
    /// Do not compare the data in the work tree with what the stages read
    #[arg(long)]
    skip_sources: bool,
    /// A checkpoint of the ledger that was kept elsewhere; the ledger must be its continuation
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Write the last checkpoint of the ledger to this file, to be kept elsewhere
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(scene: &Scene, args: &VerifyArgs) -> Result<Exit, CliError> {
    if let Some(file) = &args.bundle {
        return verify_bundle(scene, args, file);
    }
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let (ledger, library) = lineage::open(&config, &store)?;
    let policy = match &args.trust {
        Some(folder) => Some(trust(scene, folder)?),
        None => signing::policy(&config)?,
    };
    let case = Case {
        blobs: &store,
        log: Log::Ledger(&ledger),
        library: &library,
        policy: policy.as_ref(),
        sources: (!args.skip_sources).then_some(WorkTree { root: &config.root, store: &store }),
        bytes: true,
    };
    let mut found = match &args.artifact {
        None => lineage::verify_all(&case),
        Some(artifact) => {
            let subjects = subject::find(artifact, &library, &config, &scene.folder, &store)?;
            let starts: Vec<_> = subjects.iter().map(|(node, hash)| (*node, hash.as_deref())).collect();
            lineage::verify_chains(&case, &starts)
        }
    };
    if let Some(file) = &args.since {
        let path = scene.folder.join(file);
        let bytes = std::fs::read(&path)
            .map_err(|error| CliError::user(format_args!("cannot read {}: {error}", file.display())))?;
        let kept = Envelope::decode(&file.display().to_string(), &bytes)?;
        lineage::verify_since(&case, &ledger, &kept, &mut found);
    }
    if args.json {
        println!(
            "{:#}",
            json!({ "faults": found.faults, "notes": found.notes, "statements": found.statements,
            "files": found.files, "gates": found.gates })
        );
    } else {
        print!("{}", report(&found));
    }
    if let Some(file) = &args.keep {
        let checkpoints = ledger.checkpoints()?;
        let last = checkpoints.last().ok_or_else(|| CliError::user("the ledger has no checkpoint yet"))?;
        let path = scene.folder.join(file);
        std::fs::write(&path, last.encode()?).map_err(|error| {
            CliError::environment(format_args!("cannot write {}: {error}", file.display()))
        })?;
    }
    Ok(found.gravest().map_or(Exit::Success, exit))
}

/// The policy in a folder that the user names.
fn trust(scene: &Scene, folder: &Path) -> Result<TrustPolicy, CliError> {
    let folder = scene.folder.join(folder);
    TrustPolicy::load(&folder)?.ok_or_else(|| {
        CliError::user(format_args!("{} has no trust policy", folder.display()))
            .hint("it should hold policy.toml and keys/, as `stagewright key` makes them")
    })
}

fn verify_bundle(scene: &Scene, args: &VerifyArgs, file: &Path) -> Result<Exit, CliError> {
    let policy = args.trust.as_deref().map(|folder| trust(scene, folder)).transpose()?;
    let asked = args.artifact.as_deref().map(|artifact| hash(scene, artifact)).transpose()?;
    let judged = bundle::judge(&scene.folder.join(file), policy.as_ref(), asked.as_deref())?;
    let Judgement { found, proven, keys, own_policy, members } = &judged;
    if args.json {
        let proven: Vec<_> = proven
            .iter()
            .map(|one| json!({ "name": one.name, "stage": one.stage, "sha256": one.sha256, "hashed": one.hashed }))
            .collect();
        let keys: Vec<_> = keys.iter().map(|(name, id)| json!({ "name": name, "id": id })).collect();
        println!(
            "{:#}",
            json!({ "about": proven, "keys": keys, "own-policy": own_policy, "members": members,
            "faults": found.faults, "notes": found.notes, "statements": found.statements,
            "files": found.files, "gates": found.gates })
        );
        return Ok(found.gravest().map_or(Exit::Success, exit));
    }
    for one in proven {
        let hashed = if one.hashed { "" } else { ", its bytes are not in the bundle" };
        println!("about {} of stage {}  sha256:{}{hashed}", one.name, one.stage, one.sha256);
    }
    for (name, id) in keys {
        let whose = if *own_policy { "the bundle's own policy" } else { "your policy" };
        println!("{whose} trusts {name}, key {id}");
    }
    if *own_policy && !keys.is_empty() {
        println!(
            "note: whoever made the bundle chose these keys; compare their ids, or judge by your own: `--trust FOLDER`"
        );
    }
    print!("{}", report(found));
    Ok(found.gravest().map_or(Exit::Success, exit))
}

/// SHA-256, in hex, of a file or folder, or of a digest as it is written.
fn hash(scene: &Scene, artifact: &str) -> Result<String, CliError> {
    let path = scene.folder.join(artifact);
    let cannot =
        |error: &dyn std::fmt::Display| CliError::user(format_args!("cannot read {artifact}: {error}"));
    match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => {
            let place = tempfile::tempdir()?;
            let store = LocalStore::open(&place.path().join("store"))?;
            Ok(store.fingerprint(&path)?.digest.hex())
        }
        Ok(_) => Ok(Digest::of_file(&path).map_err(|error| cannot(&error))?.hex()),
        Err(error) => {
            let text = artifact.strip_prefix("sha256:").unwrap_or(artifact);
            let text = text.split(':').next().unwrap_or_default();
            let whole =
                text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if whole {
                Ok(text.to_owned())
            } else {
                Err(cannot(&error)
                    .hint("a file or folder is wanted, or a SHA-256 of 64 lower-case hex digits"))
            }
        }
    }
}

fn report(found: &Verification) -> String {
    let mut text = String::new();
    for fault in &found.faults {
        text.push_str(&format!(
            "{}  {}: {}\n",
            style(fault.kind.to_string()).red().bold(),
            fault.link,
            fault.what
        ));
    }
    for note in &found.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text.push_str(&format!(
        "{}, {}, {} checked\n",
        screen::count(found.statements as u64, "statement"),
        screen::count(found.files as u64, "file"),
        screen::count(found.gates as u64, "gate")
    ));
    text.push_str(&match found.faults.len() {
        0 => "the evidence holds\n".to_owned(),
        many => format!("{} found\n", screen::count(many as u64, "fault")),
    });
    text
}

fn exit(kind: FaultKind) -> Exit {
    match kind {
        FaultKind::Signature => Exit::BadSignature,
        FaultKind::Ledger => Exit::LedgerChanged,
        FaultKind::Bytes => Exit::BytesDiffer,
        FaultKind::Malformed => Exit::NotReadable,
        FaultKind::Untrusted => Exit::NotTrusted,
        FaultKind::Unsigned => Exit::Unsigned,
        FaultKind::Incomplete => Exit::StatementMissing,
        FaultKind::Missing => Exit::BytesMissing,
        FaultKind::Source => Exit::SourceChanged,
        FaultKind::Gate => Exit::Gate,
    }
}
