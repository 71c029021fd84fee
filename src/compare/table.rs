//! Many runs as a table: one row a run, or one for each combination of a matrix in it.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::Value;

use super::{
    column::{Column, ColumnKind, CompareError, Offer, combination, declared, names},
    pareto::front,
};
use crate::{
    plan::Goal,
    record::{RunId, RunOutcome, RunRecord, RunState, StageRecord},
    spec::nearest::suggestion,
};

/// What to show of the runs.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Metrics as written; none for those worth showing.
    pub metrics: Vec<String>,
    /// Params as written; none for those that differ.
    pub params: Vec<String>,
    /// What is better; none for the goals of the runs' search.
    pub goals: Vec<Goal>,
    /// Order of the rows; none for that of the runs.
    pub sort: Option<Sort>,
    /// Only rows on the Pareto front.
    pub only_front: bool,
}

/// Order of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// Name of a column.
    pub column: String,
    /// The other way round than usual, which is the best first for a goal and the smallest first for all else.
    pub reverse: bool,
}

/// Runs as a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// Columns, params before metrics.
    pub columns: Vec<Column>,
    /// Rows.
    pub rows: Vec<Row>,
    /// How many rows there were before all but the front were left out.
    pub compared: usize,
    /// What is better; a front was computed where there is any.
    pub goals: Vec<Goal>,
    /// Metrics that are not shown.
    pub more_metrics: usize,
    /// Params that differ and are not shown.
    pub more_params: usize,
}

/// One run, or one combination of a matrix in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// The run.
    pub run: RunId,
    /// Its number in its sweep.
    pub trial: Option<u32>,
    /// The combination, `seed=0`; empty for a row of a whole run.
    pub combination: String,
    /// Where the run stands.
    pub state: RunState,
    /// Wall time of the run in milliseconds.
    pub duration_ms: u64,
    /// One value a column, none where the run has none.
    pub values: Vec<Option<Value>>,
    /// No other row is better in one goal and not worse in another. Only runs that met all gates and targets compete.
    pub front: bool,
}

/// Puts runs side by side.
pub fn compare(records: &[RunRecord], choice: &Choice) -> Result<Comparison, CompareError> {
    if records.is_empty() {
        return Err(CompareError::Nothing);
    }
    let offer = Offer::of(records);
    let searched = || {
        records.iter().rev().find_map(|record| record.sweep.as_ref().filter(|sweep| !sweep.goals.is_empty()))
    };
    let goals = if choice.goals.is_empty() {
        searched().map(|sweep| sweep.goals.clone()).unwrap_or_default()
    } else {
        choice.goals.clone()
    };
    let (mut columns, more_params) = if choice.params.is_empty() {
        offer.usual_params()
    } else {
        let mut columns = Vec::new();
        for written in &choice.params {
            add(&mut columns, offer.param(written)?);
        }
        (columns, 0)
    };
    let mut metrics = Vec::new();
    for goal in &goals {
        // A goal that no run reached has nothing to show, unless it was asked for.
        let found = match offer.metric(&goal.of.to_string()) {
            Err(_) if choice.goals.is_empty() => continue,
            found => found?,
        };
        let directed = found.into_iter().map(|column| Column { goal: Some(goal.direction), ..column });
        add(&mut metrics, directed.collect());
    }
    let mut more_metrics = 0;
    if choice.metrics.is_empty() && metrics.is_empty() {
        (metrics, more_metrics) = offer.usual_metrics();
    }
    for written in &choice.metrics {
        add(&mut metrics, offer.metric(written)?);
    }
    columns.extend(metrics);
    let mut rows = rows(records, &mut columns);
    mark_front(&mut rows, &columns, &goals);
    if let Some(sort) = &choice.sort {
        sort_rows(&mut rows, &columns, sort)?;
    }
    let compared = rows.len();
    if choice.only_front {
        rows.retain(|row| row.front);
    }
    Ok(Comparison { columns, rows, compared, goals, more_metrics, more_params })
}

fn add(columns: &mut Vec<Column>, found: Vec<Column>) {
    for column in found {
        if !columns.iter().any(|known| known.name == column.name) {
            columns.push(column);
        }
    }
}

/// The rows; columns for the axes of the matrices come in front, where there are any.
fn rows(records: &[RunRecord], columns: &mut Vec<Column>) -> Vec<Row> {
    let metric_stages: Vec<String> = columns
        .iter()
        .filter_map(|column| match &column.kind {
            // One combination that was asked for by its id is a column of the whole run.
            ColumnKind::Metric { stage, .. } if !stage.contains('[') => Some(stage.clone()),
            _ => None,
        })
        .collect();
    let mut keyed = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let mut combinations: Vec<&str> = Vec::new();
        let shown = record
            .stages
            .iter()
            .filter(|stage| metric_stages.iter().any(|name| name == declared(&stage.stage)));
        for stage in shown {
            let found = combination(&stage.stage);
            if !found.is_empty() && !combinations.contains(&found) {
                combinations.push(found);
            }
        }
        if combinations.is_empty() {
            combinations.push("");
        }
        keyed.extend(combinations.into_iter().map(|combination| (index, combination)));
    }
    let mut axes: Vec<&str> = Vec::new();
    for (axis, _) in keyed.iter().flat_map(|(_, combination)| parts(combination)) {
        if !axes.contains(&axis) {
            axes.push(axis);
        }
    }
    let axis =
        |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::Axis, unit: None, goal: None };
    columns.splice(0..0, axes.iter().map(axis));
    keyed
        .into_iter()
        .map(|(index, combination)| {
            let record = &records[index];
            Row {
                run: record.run,
                trial: record.sweep.as_ref().map(|sweep| sweep.trial),
                combination: combination.to_owned(),
                state: record.state,
                duration_ms: record.duration_ms(),
                values: columns.iter().map(|column| value(record, combination, column)).collect(),
                front: false,
            }
        })
        .collect()
}

/// Axes and values of `seed=0,lr=0.1`. A value may hold a comma, so a part without `=` goes on with the one before it.
fn parts(combination: &str) -> Vec<(&str, &str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    let mut start = 0;
    for (end, _) in combination.match_indices(',').chain([(combination.len(), "")]) {
        let next = &combination[(end + 1).min(combination.len())..];
        let next = next.split(',').next().unwrap_or_default();
        if end < combination.len() && !next.contains('=') {
            continue;
        }
        if let Some((axis, value)) = combination[start..end].split_once('=') {
            found.push((axis.trim(), value.trim()));
        }
        start = (end + 1).min(combination.len());
    }
    found
}

fn value(record: &RunRecord, wanted: &str, column: &Column) -> Option<Value> {
    // Of a matrix the row's own combination, of a plain stage the only one there is.
    let stage = |name: &str, has: &dyn Fn(&StageRecord) -> Option<Value>| {
        let fits = |record: &&StageRecord| {
            let own = combination(&record.stage);
            names(name, &record.stage) && (own == wanted || own.is_empty() || name.contains('['))
        };
        record.stages.iter().filter(fits).find_map(has)
    };
    match &column.kind {
        ColumnKind::Set => {
            let set = record.set.iter().find(|setting| setting.key == column.name);
            set.map(|setting| setting.value.clone()).or_else(|| {
                // A run in which it was not set has the pipeline's own value.
                let (name, field) = column.name.split_once(".with.")?;
                stage(name, &|record| record.material.get(&format!("with.{field}")).cloned())
            })
        }
        ColumnKind::Param { stage: name, field } => {
            stage(name, &|record| record.material.get(field).cloned()).or_else(|| {
                // In a row of a whole run, what all combinations agree on.
                let mut all = record
                    .stages
                    .iter()
                    .filter(|stage| declared(&stage.stage) == name)
                    .map(|stage| stage.material.get(field));
                let first = all.next()??;
                all.all(|other| other == Some(first)).then(|| first.clone())
            })
        }
        ColumnKind::Metric { stage: name, metric } => {
            stage(name, &|record| Some(record.measured.metrics.get(metric)?.value.into()))
        }
        ColumnKind::Axis => {
            let (_, text) = parts(wanted).into_iter().find(|(axis, _)| *axis == column.name)?;
            Some(text.parse::<serde_json::Number>().map_or_else(|_| text.into(), Value::Number))
        }
    }
}

fn mark_front(rows: &mut [Row], columns: &[Column], goals: &[Goal]) {
    if goals.is_empty() {
        return;
    }
    let complete = |row: &Row| {
        let met = row.state == RunState::Ended(RunOutcome::Succeeded);
        let costs = columns.iter().zip(&row.values).filter_map(|(column, value)| {
            let direction = column.goal?;
            Some(value.as_ref().and_then(Value::as_f64).map(|value| direction.cost(value)))
        });
        let costs: Option<Vec<f64>> = costs.collect();
        costs.filter(|costs| met && costs.len() >= goals.len())
    };
    // A goal without a column was reached by no run, so there is no front.
    let costs: Vec<Option<Vec<f64>>> = rows.iter().map(complete).collect();
    for (row, on_front) in rows.iter_mut().zip(front(&costs)) {
        row.front = on_front;
    }
}

/// Sorts rows; those without a value come last whatever the order, and equal ones stay as they were.
fn sort_rows(rows: &mut [Row], columns: &[Column], sort: &Sort) -> Result<(), CompareError> {
    let wanted = sort.column.as_str();
    // The heading, or the metric of a column whose heading names the stage as well.
    let fits = |column: &Column| {
        column.name == wanted
            || column.name.strip_suffix(wanted).is_some_and(|before| before.ends_with(['.', ':']))
            || matches!(&column.kind, ColumnKind::Metric { stage, metric } if *wanted == format!("{stage}:{metric}"))
    };
    let by_time = wanted == "took";
    let position =
        columns.iter().position(|column| column.name == wanted).or_else(|| columns.iter().position(fits));
    let Some(at) = position.or(by_time.then_some(usize::MAX)) else {
        let known = columns.iter().map(|column| column.name.as_str()).chain(["took"]);
        let hint = suggestion(wanted, known.collect::<Vec<_>>());
        return Err(CompareError::NoColumn { name: wanted.to_owned(), hint });
    };
    let best_is_large =
        columns.get(at).and_then(|column| column.goal).is_some_and(|goal| goal.cost(1.0) < 0.0);
    let descending = best_is_large != sort.reverse;
    rows.sort_by(|a, b| {
        let value = |row: &Row| match row.values.get(at) {
            Some(value) => value.clone(),
            None => Some(row.duration_ms.into()),
        };
        match (value(a), value(b)) {
            (Some(a), Some(b)) if descending => order(&b, &a),
            (Some(a), Some(b)) => order(&a, &b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    });
    Ok(())
}

/// Numbers by size and before everything else, the rest by its text.
fn order(a: &Value, b: &Value) -> Ordering {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a_number, b_number) => {
            b_number.is_some().cmp(&a_number.is_some()).then_with(|| text(a).cmp(&text(b)))
        }
    }
}
