//! `stagewright lineage impact`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use stagewright::{digest::Digest, lineage, store::LocalStore};

use crate::cli::{CliError, Exit, Scene, screen};

/// Name everything that descends from one file of the data, for example an image that is withdrawn
#[derive(Args)]
pub struct ImpactArgs {
    /// The file (its content counts, wherever it lies), or its SHA-256
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(scene: &Scene, args: &ImpactArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let (_, library) = lineage::open(&config, &store)?;
    let hash = sha256(scene, args)?;
    let impact = lineage::impact(&library, &hash, &store);
    let shown = args.file.display();
    if args.json {
        let found = impact.found.iter().map(|(node, path)| json!({ "stage": node.stage(), "path": path }));
        let made = impact.descends.iter().map(|node| {
            let outputs =
                node.statement.subject.iter().map(|one| json!({ "name": one.name, "sha256": one.sha256() }));
            json!({ "stage": node.stage(), "statement": node.digest, "outputs": outputs.collect::<Vec<_>>() })
        });
        let value = json!({
            "sha256": hash, "read": found.collect::<Vec<_>>(), "made": made.collect::<Vec<_>>(),
            "runs": impact.runs, "untold": impact.untold,
        });
        println!("{value:#}");
        return Ok(Exit::Success);
    }
    for folder in &impact.untold {
        eprintln!("warning: the listing of {folder} is not in the store, so it can't be said what was in it");
    }
    if impact.found.is_empty() {
        println!("nothing that is recorded was made from {shown} (sha256:{})", &hash[..12]);
        return Ok(Exit::Success);
    }
    println!("{shown} (sha256:{}) was read by", &hash[..12]);
    let read = impact.found.iter().map(|(node, path)| vec![stage(node), format!("as {path}"), run_of(node)]);
    print!("{}", screen::table(&read.collect::<Vec<_>>()));
    println!("\nand these descend from it");
    let mut rows = Vec::new();
    for node in &impact.descends {
        let whole = node.statement.subject.iter().filter(|one| one.to_artifact().is_some());
        rows.extend(whole.map(|one| {
            let hash = one.sha256().map_or("?", |hash| hash.get(..12).unwrap_or(hash));
            vec![stage(node), one.name.clone(), format!("sha256:{hash}"), run_of(node)]
        }));
    }
    print!("{}", screen::table(&rows));
    println!(
        "\n{} of {} have such a result",
        impact.runs.len(),
        screen::count(
            library.nodes().iter().filter(|node| node.kind == lineage::Kind::Run).count() as u64,
            "recorded run"
        )
    );
    Ok(Exit::Success)
}

fn sha256(scene: &Scene, args: &ImpactArgs) -> Result<String, CliError> {
    let path = scene.folder.join(&args.file);
    let text = args.file.display().to_string();
    let hash = text.strip_prefix("sha256:").unwrap_or(&text);
    let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if is_hash && !path.exists() {
        return Ok(hash.to_owned());
    }
    let digest = Digest::of_file(&path)
        .map_err(|error| CliError::user(format_args!("cannot read {}: {error}", args.file.display())))?;
    Ok(digest.hex())
}

fn stage(node: &lineage::Node) -> String {
    format!("stage {}", node.stage().unwrap_or("?"))
}

fn run_of(node: &lineage::Node) -> String {
    let id = node.provenance.as_ref().map(|one| one.run_details.metadata.invocation_id.as_str());
    format!("run {}", id.and_then(|id| id.split('/').next()).unwrap_or("?"))
}
