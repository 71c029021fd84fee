//! The stages of a pipeline as jobs: one a declared stage, whose matrix is the job's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::CiError;
use crate::{
    plan::{Action, Plan, StageId},
    spec::{
        PipelineSpec,
        expression::{Context, Expression, ExpressionKind, Piece, Step},
        types::{Data, InputSource, StageSpec, Value},
    },
};

/// Ids of jobs that are no stages.
pub(super) const PLAN: &str = "plan";
pub(super) const REPORT: &str = "report";
pub(super) const PULL_REQUEST: &str = "pull-request";

/// A declared stage as a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageJob {
    /// Id of the job.
    pub id: String,
    /// The declared stage.
    pub stage: String,
    /// Its line in its file, from 1.
    pub line: usize,
    /// Its combinations; one without brackets where it has no matrix.
    pub stages: Vec<StageId>,
    /// Ids of the jobs of stages that it reads or waits for.
    pub needs: Vec<String>,
    /// Labels of the machine it asks for; none is any.
    pub runs_on: Vec<String>,
    /// Ends one attempt of it.
    pub timeout: Option<Duration>,
    /// Attempts at most.
    pub attempts: u32,
    /// A failure does not fail the run.
    pub continue_on_error: bool,
    /// Names of the secrets that it is given.
    pub secrets: Vec<String>,
    /// Its result can be had by another job.
    pub reusable: bool,
}

impl StageJob {
    /// It has combinations.
    pub fn is_matrix(&self) -> bool {
        self.stages.len() != 1 || self.stages.iter().any(|stage| stage.0 != self.stage)
    }
}

/// The jobs, each after those it needs; ties in the order of the file. What jobs are there and which need which is the same on every
/// machine: a stage counts also where its `if:` is false here, and an input also where it would not be taken here.
pub fn jobs(spec: &PipelineSpec, plan: &Plan) -> Result<Vec<StageJob>, CiError> {
    let names = declared(spec, plan);
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for action in &plan.actions {
        let name = names[&action.id];
        let asked = action.condition.iter().flat_map(|condition| &condition.asks);
        let sources = action.inputs.values().flatten().flat_map(|binding| binding.source.stages());
        let before = sources.chain(&action.needs).chain(asked).filter_map(|stage| names.get(stage).copied());
        edges.entry(name).or_default().extend(before.filter(|before| *before != name));
    }
    for stage in &spec.stages {
        let named: BTreeSet<String> = references(stage);
        let before = spec.stages.iter().map(|other| other.name.as_str());
        let before = before.filter(|other| named.contains(*other) && *other != stage.name.as_str());
        edges.entry(stage.name.as_str()).or_default().extend(before);
    }
    let order = order(spec.stages.iter().map(|stage| stage.name.as_str()).collect(), &edges)?;
    let ids = ids(&order);
    Ok(order
        .iter()
        .filter_map(|name| {
            let actions: Vec<&Action> =
                plan.actions.iter().map(Arc::as_ref).filter(|action| names[&action.id] == *name).collect();
            let first = actions.first()?;
            let mut secrets: Vec<String> =
                actions.iter().flat_map(|action| action.secrets.iter().cloned()).collect();
            secrets.sort_unstable();
            secrets.dedup();
            Some(StageJob {
                id: ids[name].clone(),
                stage: (*name).to_owned(),
                line: first.line,
                stages: actions.iter().map(|action| action.id.clone()).collect(),
                needs: order
                    .iter()
                    .filter(|other| edges.get(name).is_some_and(|before| before.contains(*other)))
                    .map(|other| ids[other].clone())
                    .collect(),
                runs_on: first.runs_on.clone(),
                timeout: first.timeout,
                attempts: first.retry.max + 1,
                continue_on_error: first.continue_on_error,
                secrets,
                reusable: first.cache,
            })
        })
        .collect())
}

/// The declared stage of each action.
fn declared<'a>(spec: &'a PipelineSpec, plan: &'a Plan) -> BTreeMap<&'a StageId, &'a str> {
    let names: BTreeSet<&str> = spec.stages.iter().map(|stage| stage.name.as_str()).collect();
    let name = |id: &'a StageId| -> &'a str {
        let whole = id.0.as_str();
        if names.contains(whole) { whole } else { whole.split('[').next().unwrap_or(whole) }
    };
    plan.actions.iter().map(|action| (&action.id, name(&action.id))).collect()
}

/// Declared stages that a stage names anywhere.
fn references(stage: &StageSpec) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = stage.needs.iter().map(|need| need.stage.value.clone()).collect();
    let mut expression = |written: &Expression| {
        written.walk(&mut |part| {
            if let ExpressionKind::Reference(Context::Stages, steps) = &part.kind
                && let Some(Step::Key(name)) = steps.first()
            {
                found.insert(name.value.clone());
            }
        });
    };
    stage.condition.iter().for_each(|condition| expression(&condition.expression));
    for item in stage.inputs.iter().flat_map(|input| &input.items) {
        item.condition.iter().for_each(|condition| expression(&condition.expression));
        let (InputSource::Bare(value) | InputSource::Path(value) | InputSource::From(value)) = &item.source;
        each(value, &mut expression);
    }
    stage.deps.iter().for_each(|dep| each(dep, &mut expression));
    let lines = stage.command().into_iter().flat_map(|command| &command.lines);
    lines.for_each(|line| each(line, &mut expression));
    found
}

fn each(value: &Value, visit: &mut dyn FnMut(&Expression)) {
    match &value.data {
        Data::Template(template) => {
            for piece in &template.pieces {
                if let Piece::Expression(expression) = piece {
                    visit(expression);
                }
            }
        }
        Data::List(items) => items.iter().for_each(|item| each(item, visit)),
        Data::Map(entries) => entries.iter().for_each(|(_, value)| each(value, visit)),
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {}
    }
}

fn order<'a>(
    mut waiting: Vec<&'a str>,
    edges: &BTreeMap<&'a str, BTreeSet<&'a str>>,
) -> Result<Vec<&'a str>, CiError> {
    let mut done: Vec<&str> = Vec::new();
    while !waiting.is_empty() {
        let ready = |name: &&str| {
            edges.get(name).is_none_or(|before| before.iter().all(|other| !waiting.contains(other)))
        };
        let Some(at) = waiting.iter().position(ready) else {
            return Err(CiError::Circle { stages: waiting.iter().map(|name| (*name).to_owned()).collect() });
        };
        done.push(waiting.remove(at));
    }
    Ok(done)
}

/// Ids of jobs: letters, digits, `-` and `_`, a letter or `_` first.
fn ids<'a>(names: &[&'a str]) -> BTreeMap<&'a str, String> {
    let mut taken: BTreeSet<String> = [PLAN, REPORT, PULL_REQUEST].map(str::to_owned).into();
    let mut ids = BTreeMap::new();
    for name in names {
        let plain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' })
            .collect();
        let free = |id: &String| {
            !taken.contains(id) && id.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        };
        let numbered = (2..).map(|number| format!("stage-{plain}-{number}"));
        let id = [plain.clone(), format!("stage-{plain}")].into_iter().chain(numbered).find(free);
        let id = id.unwrap_or_default();
        taken.insert(id.clone());
        ids.insert(*name, id);
    }
    ids
}
