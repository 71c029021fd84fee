//! `stagewright lineage diff`.

use clap::Args;
use console::style;
use serde_json::Value;
use stagewright::{
    compare::Change,
    lineage::{self, DataChange, LineageDiff, ModelChanges, StageChanges, TensorChange, TensorFacts},
    record::MetricValue,
    store::LocalStore,
};

use crate::cli::{CliError, Exit, Scene, display, screen};

/// Samples and tensors that are named one by one, unless all are asked for.
const SHOWN: usize = 10;

/// Say what differs between two results: params, code, data sample by sample, metrics, and the tensors of two models
///
/// Both sides are followed back to the data. A side is a file or folder anywhere (its content counts), a SHA-256 or its beginning, a
/// stage, or a stage in a run, `train@last~1`.
#[derive(Args)]
pub struct DiffArgs {
    /// The first result
    from: String,
    /// The second result
    to: String,
    /// Name every sample and tensor, however many there are
    #[arg(short, long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(scene: &Scene, args: &DiffArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let store = LocalStore::open(&config.store_dir)?;
    let (_, library) = lineage::open(&config, &store)?;
    let (from, from_hash) = library.find_in(&args.from, &config, &scene.folder, &store)?;
    let (to, to_hash) = library.find_in(&args.to, &config, &scene.folder, &store)?;
    let found = lineage::diff(&library, &store, [from, to], [from_hash.as_deref(), to_hash.as_deref()]);
    if args.json {
        screen::print_json(&found)?;
    } else {
        print!("{}", text(&found, if args.all { usize::MAX } else { SHOWN }));
    }
    Ok(Exit::Success)
}

fn text(found: &LineageDiff, most: usize) -> String {
    let mut text = String::new();
    for stage in &found.stages {
        text.push_str(&one(stage, most));
    }
    for model in &found.models {
        text.push_str(&tensors(model, most));
    }
    let same = screen::count(found.same as u64, "stage");
    text.push_str(&match found.stages.len() as u64 {
        0 if found.models.is_empty() => "no difference\n".to_owned(),
        0 => format!("{same} the same\n"),
        many => {
            let verb = if many == 1 { "differs" } else { "differ" };
            format!("{} {verb}, {same} the same\n", screen::count(many, "stage"))
        }
    });
    text
}

fn one(stage: &StageChanges, most: usize) -> String {
    let mut text = format!("{}\n", style(&stage.stage).bold());
    match stage.only {
        Some(true) => text.push_str("  only the second descends from it\n"),
        Some(false) => text.push_str("  only the first descends from it\n"),
        None => {}
    }
    let mut rows = Vec::new();
    rows.extend(stage.code.iter().map(|change| row(change, Clone::clone)));
    rows.extend(stage.params.iter().map(|change| row(change, |value: &Value| screen::value(value))));
    let metric = |metric: &MetricValue| display::measured(metric.value, metric.unit.as_deref());
    rows.extend(stage.metrics.iter().map(|change| row(change, metric)));
    text.push_str(&screen::table(&rows));
    for change in &stage.data {
        text.push_str(&data(change, most));
    }
    let short = |hash: &String| hash.get(..12).unwrap_or(hash).to_owned();
    let outputs: Vec<Vec<String>> = stage.outputs.iter().map(|change| row(change, short)).collect();
    text.push_str(&screen::table(&outputs));
    text + "\n"
}

fn row<T>(change: &Change<T>, write: impl Fn(&T) -> String) -> Vec<String> {
    let (sign, values) = match (&change.from, &change.to) {
        (None, Some(to)) => (style("  +").green(), write(to)),
        (Some(from), None) => (style("  -").red(), write(from)),
        (from, to) => {
            let side = |value: &Option<T>| value.as_ref().map(&write).unwrap_or_default();
            (style("  ~").yellow(), format!("{} → {}", side(from), side(to)))
        }
    };
    vec![sign.to_string(), change.name.clone(), values]
}

fn data(change: &DataChange, most: usize) -> String {
    let side = |hash: &Option<String>| {
        hash.as_ref().map_or_else(|| "nothing".to_owned(), |hash| hash.get(..12).unwrap_or(hash).to_owned())
    };
    let mut text = format!(
        "{}  {}  {} → {}\n",
        style("  ~").yellow(),
        change.input,
        side(&change.from),
        side(&change.to)
    );
    let Some(samples) = &change.samples else { return text };
    text.push_str(&format!(
        "      {} added, {} removed, {} changed, {} the same\n",
        samples.added.len(),
        samples.removed.len(),
        samples.changed.len(),
        samples.same
    ));
    for (sign, paths) in [("+", &samples.added), ("-", &samples.removed), ("~", &samples.changed)] {
        for path in paths.iter().take(most) {
            text.push_str(&format!("      {sign} {path}\n"));
        }
        if paths.len() > most {
            text.push_str(&format!("      {sign} … and {} more\n", paths.len() - most));
        }
    }
    text
}

fn tensors(model: &ModelChanges, most: usize) -> String {
    let mut text = format!("{}\n", style(&model.name).bold());
    let mut rows: Vec<Vec<String>> = Vec::new();
    let counts = |change: &Change<u64>, what: &str| {
        let side = |count: Option<u64>| count.unwrap_or(0);
        vec![
            style("  ~").yellow().to_string(),
            format!("{what} {}", change.name),
            format!("{} → {}", side(change.from), side(change.to)),
        ]
    };
    rows.extend(model.operators.iter().map(|change| counts(change, "nodes")));
    rows.extend(model.types.iter().map(|change| counts(change, "tensors of")));
    rows.extend(model.tensors.iter().take(most).map(tensor));
    text.push_str(&screen::table(&rows));
    if model.tensors.len() > most {
        text.push_str(&format!("  … and {} more; --all names them\n", model.tensors.len() - most));
    }
    let differ = screen::count(model.tensors.len() as u64, "tensor");
    let verb = if model.tensors.len() == 1 { "differs" } else { "differ" };
    text + &format!("  {differ} {verb}, {} the same\n\n", model.same)
}

fn tensor(change: &TensorChange) -> Vec<String> {
    let facts = |facts: &TensorFacts| {
        let shape: Vec<String> = facts.shape.iter().map(u64::to_string).collect();
        let mut text = format!("{}[{}]", facts.kind, shape.join("×"));
        match (facts.value, facts.sparsity) {
            (Some(value), _) => text.push_str(&format!(" = {}", screen::number(value))),
            (None, Some(zeros)) if zeros > 0.0 => {
                text.push_str(&format!(" {} % zeros", screen::number((zeros * 1000.0).round() / 10.0)));
            }
            _ => {}
        }
        text
    };
    let as_change = Change { name: change.name.clone(), from: change.from.clone(), to: change.to.clone() };
    let mut cells = row(&as_change, facts);
    cells.extend(change.largest_difference.map(|by| format!("by at most {}", screen::number(by))));
    cells
}
