//! `stagewright diff`.

mod data;

use clap::Args;
use console::style;
use serde_json::Value;
use stagewright::{
    compare::{Change, OutputIdentity, RunDiff, StageDiff, diff},
    record::{MetricValue, RunName, RunRecord, find_run, read_run},
    track,
};

use super::{CliError, Exit, Scene, display, screen};

/// Show what differs between two runs, or in versioned data between two commits
///
/// A run is named by the beginning or end of its id, or as `last`, `last~1`, … Without names, the last run is compared with
/// the one before it; with one, that run with the last one: params, inputs, metrics and artifacts of each stage. Names that are
/// commits, branches or tags compare the pointer files of versioned data, with one name those of the work tree with it.
#[derive(Args)]
pub struct DiffArgs {
    /// The first run, or a commit, branch or tag [default: last~1, or HEAD]
    from: Option<String>,
    /// The second one [default: last, or the work tree]
    to: Option<String>,
    /// Compare versioned data
    #[arg(long)]
    data: bool,
    /// Name every file of versioned data
    #[arg(short, long)]
    files: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(scene: &Scene, args: &DiffArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let names = [&args.from, &args.to].into_iter().flatten();
    let is_run =
        |name: &str| name.parse::<RunName>().is_ok_and(|name| find_run(&config.state_dir, &name).is_ok());
    let is_commit = |name: &&String| !is_run(name) && track::is_commit(&config.root, name);
    if args.data || args.files || names.into_iter().any(|name| is_commit(&name)) {
        return data::run(&config, args);
    }
    let read = |name: &Option<String>, default: RunName| -> Result<RunRecord, CliError> {
        let name = name.as_ref().map_or(Ok(default), |name| name.parse::<RunName>())?;
        Ok(read_run(&config.state_dir, find_run(&config.state_dir, &name)?)?)
    };
    let from = read(&args.from, RunName::Last(1))?;
    let to = read(&args.to, RunName::Last(0))?;
    let found = diff(&from, &to);
    if args.json {
        screen::print_json(&found)?;
    } else {
        print!("{}", text(&found, &heading(&from, &to)));
    }
    Ok(Exit::Success)
}

fn heading(from: &RunRecord, to: &RunRecord) -> String {
    format!(
        "{} → {}  {}",
        style(from.run.short()).bold(),
        style(to.run.short()).bold(),
        if from.pipeline == to.pipeline {
            to.pipeline.clone()
        } else {
            format!("{} → {}", from.pipeline, to.pipeline)
        }
    )
}

/// What differs, under a heading.
pub fn text(found: &RunDiff, heading: &str) -> String {
    let mut text = format!("{heading}\n");
    for stage in &found.stages {
        text.push_str(&one(stage));
    }
    if !found.stages.is_empty() {
        text.push('\n');
    }
    let same = screen::count(found.same as u64, "stage");
    text.push_str(&match (found.stages.len() as u64, found.same) {
        (0, _) => "no difference\n".to_owned(),
        (count, 0) => {
            format!("{} differ{}\n", screen::count(count, "stage"), if count == 1 { "s" } else { "" })
        }
        (count, _) => format!(
            "{} differ{}, {same} the same\n",
            screen::count(count, "stage"),
            if count == 1 { "s" } else { "" }
        ),
    });
    text
}

fn one(stage: &StageDiff) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    if let Some(Change { from, to, .. }) = &stage.outcome {
        let word = |outcome: &Option<_>| outcome.as_ref().map(ToString::to_string);
        rows.push(row("outcome", word(from), word(to), String::new()));
    }
    if stage.params_unknown {
        rows.push(vec![
            "  ?".to_owned(),
            "params".to_owned(),
            "not recorded by the release that ran it".to_owned(),
        ]);
    }
    let value = |value: &Option<Value>| value.as_ref().map(screen::value);
    for change in &stage.params {
        rows.push(row(&change.name, value(&change.from), value(&change.to), String::new()));
    }
    for change in &stage.inputs {
        rows.push(row(
            &change.name,
            value(&change.from).map(digest),
            value(&change.to).map(digest),
            String::new(),
        ));
    }
    for change in &stage.metrics {
        let shown = |metric: &Option<MetricValue>| {
            metric.as_ref().map(|metric| display::measured(metric.value, metric.unit.as_deref()))
        };
        let by = change.from.as_ref().zip(change.to.as_ref()).map(|(from, to)| difference(from, to));
        rows.push(row(&change.name, shown(&change.from), shown(&change.to), by.unwrap_or_default()));
    }
    for change in &stage.artifacts {
        let shown = |output: &Option<OutputIdentity>| {
            output.as_ref().map(|output| format!("{} {}", output.digest.short(), screen::bytes(output.bytes)))
        };
        rows.push(row(
            &format!("output {}", change.name),
            shown(&change.from),
            shown(&change.to),
            String::new(),
        ));
    }
    format!("\n{}\n{}", style(&stage.stage).bold(), screen::table(&rows))
}

fn row(name: &str, from: Option<String>, to: Option<String>, by: String) -> Vec<String> {
    let (sign, values) = match (from, to) {
        (None, Some(to)) => (style("  +").green(), to),
        (Some(from), None) => (style("  -").red(), from),
        (from, to) => {
            (style("  ~").yellow(), format!("{} → {}", from.unwrap_or_default(), to.unwrap_or_default()))
        }
    };
    vec![sign.to_string(), name.to_owned(), values, by]
}

/// `+1.1 pp`, `-0.3 ms (-12 %)`.
fn difference(from: &MetricValue, to: &MetricValue) -> String {
    if from.unit != to.unit {
        return String::new();
    }
    let by = to.value - from.value;
    let sign = if by > 0.0 { "+" } else { "" };
    // Percentages differ by percentage points.
    if to.unit.as_deref() == Some("%") {
        return format!("{sign}{} pp", screen::number(by));
    }
    let share = if from.value == 0.0 {
        String::new()
    } else {
        format!(" ({sign}{} %)", screen::number((100.0 * by / from.value.abs() * 10.0).round() / 10.0))
    };
    format!("{sign}{}{share}", display::measured(by, to.unit.as_deref()))
}

/// The beginning of a digest; anything else as it is.
fn digest(text: String) -> String {
    text.parse::<stagewright::digest::Digest>().map_or(text, |digest| digest.short())
}
