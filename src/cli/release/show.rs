//! `stagewright release list`, `show` and `diff`.

use clap::Args;
use console::style;
use jiff::Timestamp;
use serde_json::json;
use stagewright::{
    compare,
    release::{self, Release},
};
use stagewright_protocol::GateStatus;

use crate::cli::{CliError, Exit, Scene, diff, display, screen};

/// List the releases, the newest first
#[derive(Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show a release: its files with their digests, metrics, gates and targets
#[derive(Args)]
pub struct ShowArgs {
    /// The release
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show what differs between two releases: params, inputs, metrics and artifacts of each stage
#[derive(Args)]
pub struct DiffArgs {
    /// The first release
    from: String,
    /// The second release
    to: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn list(scene: &Scene, args: &ListArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let found = release::list(&config.root)?;
    if args.json {
        let all: Vec<_> = found.all.iter().rev().map(encoded).collect();
        screen::print_json(&all)?;
    } else if found.all.is_empty() && found.broken.is_empty() {
        println!("no release; `stagewright release create v1 --stage STAGE` makes one of the last run");
    } else {
        let rows: Vec<Vec<String>> = found.all.iter().rev().map(row).collect();
        print!("{}", screen::table(&rows));
    }
    for error in &found.broken {
        eprintln!("{} {error}", style("warning:").for_stderr().yellow().bold());
    }
    Ok(Exit::Success)
}

fn row(release: &Release) -> Vec<String> {
    let manifest = &release.manifest;
    let files: usize = manifest.delivered().map(|(_, stage)| stage.outputs.len()).sum();
    vec![
        style(&manifest.name).bold().to_string(),
        screen::ago(manifest.created, Timestamp::now()),
        manifest.pipeline.clone(),
        format!("run {}", manifest.run.short()),
        format!("commit {}{}", short(&release.commit), if manifest.dirty { " with changes" } else { "" }),
        screen::count(files as u64, "output"),
        release.message.lines().next().unwrap_or_default().to_owned(),
    ]
}

fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}

fn encoded(release: &Release) -> serde_json::Value {
    json!({
        "commit": release.commit,
        "tagger": release.tagger,
        "message": release.message,
        "manifest": release.manifest,
    })
}

pub fn show(scene: &Scene, args: &ShowArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let found = release::find(&config.root, &args.name)?;
    if args.json {
        screen::print_json(&encoded(&found))?;
    } else {
        print!("{}", text(&found));
    }
    Ok(Exit::Success)
}

/// A release as a screen.
pub fn text(release: &Release) -> String {
    let manifest = &release.manifest;
    let by = release.tagger.as_ref().map_or_else(String::new, |tagger| format!(" by {tagger}"));
    let changes = if manifest.dirty { ", from files that differed from it" } else { "" };
    let mut text = format!(
        "{}  {}{by}\n{}, run {}, commit {}{changes}\n",
        style(&manifest.name).bold(),
        screen::ago(manifest.created, Timestamp::now()),
        manifest.pipeline,
        manifest.run.short(),
        short(&release.commit),
    );
    if release.message != manifest.name {
        text.push_str(&format!("{}\n", release.message));
    }
    let signed = match manifest.signed_by.len() as u64 {
        0 => "the run's statements are not signed".to_owned(),
        count => format!("the run's statements are signed by {}", screen::count(count, "key")),
    };
    text.push_str(&format!("{signed}\n\n"));
    let mut rows = Vec::new();
    for (id, stage) in manifest.delivered() {
        for (port, output) in &stage.outputs {
            rows.push(vec![
                format!("{id}.{port}"),
                output.file_name.clone(),
                screen::bytes(output.artifact.bytes),
                format!("sha256:{}", output.artifact.digest.hex()),
            ]);
        }
    }
    text.push_str(&screen::table(&rows));
    let metrics: Vec<Vec<String>> = manifest
        .stages
        .iter()
        .flat_map(|(id, stage)| {
            stage.metrics.iter().map(move |(name, metric)| {
                vec![id.clone(), name.clone(), display::measured(metric.value, metric.unit.as_deref())]
            })
        })
        .collect();
    let gates: Vec<Vec<String>> = manifest
        .stages
        .iter()
        .flat_map(|(id, stage)| {
            stage
                .gates
                .iter()
                .map(move |gate| verdict(&gate.status, &format!("{}: {id}", gate.name), &gate.reason))
        })
        .chain(manifest.targets.iter().map(|target| verdict(&target.status, &target.target, &target.reason)))
        .collect();
    for rows in [metrics, gates] {
        if !rows.is_empty() {
            text.push_str(&format!("\n{}", screen::table(&rows)));
        }
    }
    text
}

fn verdict(status: &GateStatus, name: &str, reason: &str) -> Vec<String> {
    let word = match status {
        GateStatus::Passed => style("passed").green().to_string(),
        GateStatus::Failed => style("failed").red().to_string(),
        GateStatus::NotApplicable => style("not applicable").yellow().to_string(),
    };
    vec![word, name.to_owned(), reason.to_owned()]
}

pub fn diff(scene: &Scene, args: &DiffArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let from = release::find(&config.root, &args.from)?;
    let to = release::find(&config.root, &args.to)?;
    let found = compare::diff(&from.manifest.record(), &to.manifest.record());
    if args.json {
        screen::print_json(&found)?;
    } else {
        let heading = format!("{} → {}", style(&args.from).bold(), style(&args.to).bold());
        print!("{}", diff::text(&found, &heading));
    }
    Ok(Exit::Success)
}
