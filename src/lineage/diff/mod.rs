//! What differs between two results: everything they were made from, stage by stage, and the tensors of two models.

mod onnx;
mod safetensors;
mod samples;
mod tensors;

use std::collections::{BTreeMap, BTreeSet};

pub use samples::SampleChanges;
use serde::Serialize;
use serde_json::Value;
pub use tensors::{ModelChanges, TensorChange, TensorFacts};

use super::{Library, Node, Resource};
use crate::{
    compare::{Change, changes},
    record::{MetricValue, flatten_value},
    store::LocalStore,
};

/// What differs between two results.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LineageDiff {
    /// Stages with a difference, in the order of what was made first.
    pub stages: Vec<StageChanges>,
    /// Stages without one.
    pub same: usize,
    /// Models among the two results, by the name of the file.
    pub models: Vec<ModelChanges>,
}

/// What differs in one stage that both results descend from, or that only one has.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StageChanges {
    /// The stage.
    pub stage: String,
    /// Only the second result has it (true), or only the first (false).
    pub only: Option<bool>,
    /// Params, environment, seed.
    pub params: Vec<Change<Value>>,
    /// Programs, pipeline file, commit.
    pub code: Vec<Change<String>>,
    /// Data of the work tree.
    pub data: Vec<DataChange>,
    /// Metrics.
    pub metrics: Vec<Change<MetricValue>>,
    /// Outputs.
    pub outputs: Vec<Change<String>>,
}

/// Data that a stage read.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DataChange {
    /// The port, and the path in the work tree.
    pub input: String,
    /// SHA-256 in the first result.
    pub from: Option<String>,
    /// SHA-256 in the second result.
    pub to: Option<String>,
    /// File by file; none where a listing is not in the store.
    pub samples: Option<SampleChanges>,
}

impl StageChanges {
    fn is_empty(&self) -> bool {
        let Self { stage: _, only, params, code, data, metrics, outputs } = self;
        only.is_none()
            && params.is_empty()
            && code.is_empty()
            && data.is_empty()
            && metrics.is_empty()
            && outputs.is_empty()
    }
}

/// Compares what two statements are about, with all that it was made from. Of the results themselves, `hashes` says which file is
/// meant, where one is.
pub fn diff(
    library: &Library,
    store: &LocalStore,
    sides: [&Node; 2],
    hashes: [Option<&str>; 2],
) -> LineageDiff {
    let chains = sides.map(|side| library.ancestry(side));
    let by_stage = |chain: &[&Node]| -> BTreeMap<String, usize> {
        let named = chain.iter().enumerate().filter_map(|(at, node)| Some((node.stage()?.to_owned(), at)));
        // Of several runs of one stage, the one that is nearest to the result.
        named.rev().collect()
    };
    let [from, to] = [by_stage(&chains[0]), by_stage(&chains[1])];
    let mut names: Vec<&String> = from.keys().chain(to.keys()).collect::<BTreeSet<_>>().into_iter().collect();
    let place = |node: Option<&Node>| {
        node.and_then(|node| library.nodes().iter().position(|one| one.digest == node.digest))
    };
    let side = |chain: &[&'_ Node], at: Option<&usize>| at.map(|&at| chain[at].digest);
    names.sort_by_key(|name| {
        let digest = side(&chains[1], to.get(*name)).or(side(&chains[0], from.get(*name)));
        digest.and_then(|digest| place(library.blob(&digest.hex())))
    });
    let all: Vec<StageChanges> = names
        .into_iter()
        .map(|name| {
            let old = from.get(name).map(|&at| chains[0][at]);
            let new = to.get(name).map(|&at| chains[1][at]);
            stage(store, name, old, new)
        })
        .collect();
    let total = all.len();
    let stages: Vec<StageChanges> = all.into_iter().filter(|stage| !stage.is_empty()).collect();
    let models = tensors::models(store, sides.map(|side| &side.statement.subject[..]), hashes);
    LineageDiff { same: total - stages.len(), stages, models }
}

fn stage(store: &LocalStore, name: &str, from: Option<&Node>, to: Option<&Node>) -> StageChanges {
    let only = match (from, to) {
        (Some(_), Some(_)) => None,
        (old, _) => Some(old.is_none()),
    };
    let same_metric = |a: &MetricValue, b: &MetricValue| a == b || a.value.is_nan() && b.value.is_nan();
    StageChanges {
        stage: name.to_owned(),
        only,
        params: if only.is_some() { Vec::new() } else { changes(&params(from), &params(to), PartialEq::eq) },
        code: if only.is_some() { Vec::new() } else { changes(&code(from), &code(to), PartialEq::eq) },
        data: data(store, from, to),
        metrics: if only.is_some() { Vec::new() } else { changes(&metrics(from), &metrics(to), same_metric) },
        outputs: if only.is_some() {
            Vec::new()
        } else {
            changes(&outputs(from), &outputs(to), PartialEq::eq)
        },
    }
}

fn params(node: Option<&Node>) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let Some(definition) = node.and_then(|node| node.provenance.as_ref()).map(|one| &one.build_definition)
    else {
        return found;
    };
    for (prefix, key) in [("with", "params"), ("env", "env")] {
        if let Some(value) = definition.external_parameters.get(key) {
            flatten_value(&mut found, prefix, value);
        }
    }
    for key in ["seed", "platform", "threads"] {
        if let Some(value) = definition.internal_parameters.get(key) {
            flatten_value(&mut found, key, value);
        }
    }
    found
}

fn code(node: Option<&Node>) -> BTreeMap<String, String> {
    let dependencies = node.and_then(|node| node.provenance.as_ref()).into_iter();
    let dependencies = dependencies.flat_map(|one| &one.build_definition.resolved_dependencies);
    let others = dependencies.filter(|one| !one.name.starts_with("input:"));
    let told = others.map(|one| {
        let hash = one.digest.get("gitCommit").map(String::as_str).or(one.sha256()).unwrap_or_default();
        let mut text = hash.get(..12).unwrap_or(hash).to_owned();
        if let Some(version) = one.note("version") {
            text = format!("{version} ({text})");
        }
        if one.annotations.get("uncommitted-changes") == Some(&Value::Bool(true)) {
            text.push_str(" with uncommitted changes");
        }
        let name = if one.name == "source" { "commit" } else { one.name.as_str() };
        (name.to_owned(), text)
    });
    told.collect()
}

fn metrics(node: Option<&Node>) -> BTreeMap<String, MetricValue> {
    let byproducts = node.and_then(|node| node.provenance.as_ref()).into_iter();
    let metrics = byproducts.flat_map(|one| &one.run_details.byproducts).find(|one| one.name == "metrics");
    metrics.and_then(Resource::inline_value).unwrap_or_default()
}

fn outputs(node: Option<&Node>) -> BTreeMap<String, String> {
    let subjects = node.into_iter().flat_map(|node| &node.statement.subject);
    let whole = subjects.filter(|one| one.to_artifact().is_some());
    whole.map(|one| (one.name.clone(), one.sha256().unwrap_or_default().to_owned())).collect()
}

/// Inputs of the work tree that differ.
fn data(store: &LocalStore, from: Option<&Node>, to: Option<&Node>) -> Vec<DataChange> {
    let read = |node: Option<&'_ Node>| -> BTreeMap<String, Resource> {
        let inputs = node.into_iter().flat_map(Node::inputs);
        let placed = inputs.filter(|one| one.note("stage").is_none());
        placed
            .filter_map(|one| {
                Some((format!("{} ← {}", one.name.strip_prefix("input:")?, one.note("path")?), one.clone()))
            })
            .collect()
    };
    let changed = changes(&read(from), &read(to), |a, b| a.sha256() == b.sha256());
    let change = |change: Change<Resource>| {
        let sha256 = |side: &Option<Resource>| side.as_ref().and_then(|one| one.sha256().map(str::to_owned));
        DataChange {
            from: sha256(&change.from),
            to: sha256(&change.to),
            samples: samples::compare(store, change.from.as_ref(), change.to.as_ref()),
            input: change.name,
        }
    };
    changed.into_iter().map(change).collect()
}
