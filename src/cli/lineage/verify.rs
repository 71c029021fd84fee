//! `stagewright lineage verify`.

use std::path::PathBuf;

use clap::Args;
use console::style;
use serde_json::json;
use stagewright::{
    lineage::{self, Case, Envelope, FOLDER, FaultKind, TrustPolicy, Verification},
    store::LocalStore,
};

use crate::cli::{CliError, Exit, Scene, screen};

/// Check the evidence behind an artifact: signatures, trusted keys, every byte, completeness, gates, the ledger
#[derive(Args)]
#[command(after_help = "\
Exit codes beside those of all commands, of several faults the first in this order: 10 bad signature · 11 the ledger was \
changed · 12 stored bytes differ · 13 a statement is not readable · 14 not signed by a trusted key · 15 unsigned · 16 a \
statement is missing · 17 bytes are missing · 18 the data in the work tree changed · 3 a gate failed")]
pub struct VerifyArgs {
    /// A file or folder anywhere (its content counts), a SHA-256 or its beginning, or a stage
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    artifact: Option<String>,
    /// Check every statement of the project; data that changed, bytes that were collected and failed gates are no fault then
    #[arg(long)]
    all: bool,
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
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let (ledger, library) = lineage::open(&config, &store)?;
    let folder =
        args.trust.as_ref().map_or_else(|| config.root.join(FOLDER), |folder| scene.folder.join(folder));
    let policy = TrustPolicy::load(&folder)?;
    if args.trust.is_some() && policy.is_none() {
        return Err(CliError::user(format_args!("{} has no trust policy", folder.display()))
            .hint("it should hold policy.toml and keys/, as `stagewright key` makes them"));
    }
    let case = Case {
        config: &config,
        store: &store,
        ledger: &ledger,
        library: &library,
        policy: policy.as_ref(),
        sources: !args.skip_sources,
    };
    let mut found = match &args.artifact {
        None => lineage::verify_all(&case),
        Some(artifact) => {
            let (node, hash) = library.find(artifact, &scene.folder, &store)?;
            lineage::verify_chain(&case, node, hash.as_deref())
        }
    };
    if let Some(file) = &args.since {
        let path = scene.folder.join(file);
        let bytes = std::fs::read(&path)
            .map_err(|error| CliError::user(format_args!("cannot read {}: {error}", file.display())))?;
        let kept = Envelope::decode(&file.display().to_string(), &bytes)?;
        lineage::verify_since(&case, &kept, &mut found);
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
