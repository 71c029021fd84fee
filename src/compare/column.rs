//! Columns of a comparison: which there are, which are meant, which are worth showing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    plan::{Direction, StageId},
    record::{RunRecord, StageRecord},
    spec::nearest::{nearest, suggestion},
};

/// Most columns of a kind that nobody asked for.
const UNASKED: usize = 4;

/// One column of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Column {
    /// Its heading: `top1`, `train:top1` where several stages report it, `train.with.lr`, `seed`.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Unit of its values.
    pub unit: Option<String>,
    /// Which way is better, where it is a goal.
    pub goal: Option<Direction>,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ColumnKind {
    /// A value that stood in for one of the pipeline, `params.epochs` or `train.with.lr`.
    Set,
    /// A param of a stage.
    Param {
        /// Name of the declared stage.
        stage: String,
        /// Field of the material: `with.lr`.
        field: String,
    },
    /// A metric of a stage.
    Metric {
        /// Name of the declared stage, or the id of one combination of its matrix.
        stage: String,
        /// The metric.
        metric: String,
    },
    /// An axis of a matrix.
    Axis,
}

/// Why a comparison can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// There is no run to compare.
    #[error("there are no runs to compare")]
    Nothing,
    /// No run has such a metric or param.
    #[error("none of these runs has a {what} `{name}`")]
    Unknown {
        /// `metric` or `param`.
        what: &'static str,
        /// As written.
        name: String,
        /// What could have been meant.
        hint: Option<String>,
    },
    /// The column to sort by is not in the table.
    #[error("the table has no column `{name}` to sort by")]
    NoColumn {
        /// As written.
        name: String,
        /// What could have been meant.
        hint: Option<String>,
    },
}

/// `train` of `train[seed=0]`.
pub(super) fn declared(stage: &StageId) -> &str {
    stage.0.split('[').next().unwrap_or_default()
}

/// `seed=0` of `train[seed=0]`, empty for a stage without a matrix.
pub(super) fn combination(stage: &StageId) -> &str {
    stage.0.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']')).unwrap_or_default()
}

/// Does a column's stage name this stage?
pub(super) fn names(column: &str, stage: &StageId) -> bool {
    column == stage.0 || column == declared(stage)
}

/// All there is to choose from in some records.
pub(super) struct Offer<'a> {
    records: &'a [RunRecord],
    metrics: BTreeSet<(String, String)>,
    params: BTreeSet<(String, String)>,
    set: Vec<String>,
}

impl<'a> Offer<'a> {
    pub(super) fn of(records: &'a [RunRecord]) -> Self {
        let (mut metrics, mut params, mut set) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for record in records {
            for stage in &record.stages {
                let name = declared(&stage.stage);
                metrics.extend(stage.measured.metrics.keys().map(|metric| (name.to_owned(), metric.clone())));
                let fields = stage.material.keys().filter(|field| !field.starts_with("inputs."));
                params.extend(fields.map(|field| (name.to_owned(), field.clone())));
            }
            for setting in &record.set {
                if !set.contains(&setting.key) {
                    set.push(setting.key.clone());
                }
            }
        }
        Self { records, metrics, params, set }
    }

    /// Columns for a metric as written: `top1` of every stage that reports it, or `train:top1`.
    pub(super) fn metric(&self, written: &str) -> Result<Vec<Column>, CompareError> {
        let (stage, metric) = match written.split_once(':') {
            Some((stage, metric)) => (Some(stage), metric),
            None => (None, written),
        };
        let found: Vec<(String, String)> = match stage {
            // The id of one combination is a column of its own.
            Some(stage) if stage.contains('[') => {
                let id = StageId(stage.to_owned());
                let has =
                    |record: &StageRecord| record.stage == id && record.measured.metrics.contains_key(metric);
                let known = self.records.iter().flat_map(|record| &record.stages).any(has);
                known.then(|| (stage.to_owned(), metric.to_owned())).into_iter().collect()
            }
            _ => {
                let fits = |(name, found): &&(String, String)| {
                    found == metric && stage.is_none_or(|stage| stage == name)
                };
                self.metrics.iter().filter(fits).cloned().collect()
            }
        };
        if found.is_empty() {
            let known: BTreeSet<String> = self
                .metrics
                .iter()
                .map(
                    |(name, metric)| {
                        if stage.is_some() { format!("{name}:{metric}") } else { metric.clone() }
                    },
                )
                .collect();
            let hint = suggestion(written, known.iter().map(String::as_str));
            return Err(CompareError::Unknown { what: "metric", name: written.to_owned(), hint });
        }
        Ok(found.into_iter().map(|(stage, metric)| self.metric_column(stage, metric)).collect())
    }

    /// Columns for a param as written: `train.with.optimizer.lr`, or its end, `lr`.
    pub(super) fn param(&self, written: &str) -> Result<Vec<Column>, CompareError> {
        let fits = |name: &str| {
            name == written || name.strip_suffix(written).is_some_and(|before| before.ends_with('.'))
        };
        let mut found: Vec<Column> =
            self.set.iter().filter(|key| fits(key)).map(|key| set_column(key)).collect();
        for (stage, field) in &self.params {
            let name = format!("{stage}.{field}");
            if fits(&name) && !found.iter().any(|column| column.name == name) {
                found.push(param_column(stage, field));
            }
        }
        if found.is_empty() {
            let known: BTreeSet<String> = self.set.iter().cloned().chain(self.param_names()).collect();
            // A name is mostly given by its end.
            let ends = known.iter().filter_map(|name| name.rsplit('.').next());
            let hint = nearest(written, ends)
                .map(|end| format!("did you mean `{end}`?"))
                .or_else(|| suggestion(written, known.iter().map(String::as_str)));
            return Err(CompareError::Unknown { what: "param", name: written.to_owned(), hint });
        }
        Ok(found)
    }

    /// Metrics worth showing where nobody asked: those of the targets, then those that differ; if there are none, any.
    /// Second comes how many more there are.
    pub(super) fn usual_metrics(&self) -> (Vec<Column>, usize) {
        let mut judged: Vec<(String, String)> = Vec::new();
        for target in self.records.iter().flat_map(|record| &record.targets) {
            let key = (declared(&target.stage).to_owned(), target.metric.clone());
            if self.metrics.contains(&key) && !judged.contains(&key) {
                judged.push(key);
            }
        }
        let mut chosen = judged;
        let differing = self.metrics.iter().filter(|key| self.metric_differs(key));
        for key in differing {
            if !chosen.contains(key) {
                chosen.push(key.clone());
            }
        }
        if chosen.is_empty() {
            chosen = self.metrics.iter().cloned().collect();
        }
        let shown = chosen.iter().take(UNASKED).cloned();
        let columns: Vec<Column> = shown.map(|(stage, metric)| self.metric_column(stage, metric)).collect();
        let more = self.metrics.len() - columns.len();
        (columns, more)
    }

    /// Params worth showing where nobody asked: what was set, if it differs, else what differs. Second comes how many
    /// more differ.
    pub(super) fn usual_params(&self) -> (Vec<Column>, usize) {
        let set: Vec<Column> =
            self.set.iter().filter(|key| self.set_differs(key)).map(|key| set_column(key)).collect();
        if !set.is_empty() {
            return (set, 0);
        }
        let differing: Vec<_> = self.params.iter().filter(|key| self.param_differs(key)).collect();
        let columns: Vec<Column> =
            differing.iter().take(UNASKED).map(|(stage, field)| param_column(stage, field)).collect();
        let more = differing.len() - columns.len();
        (columns, more)
    }

    fn param_names(&self) -> impl Iterator<Item = String> {
        self.params.iter().map(|(stage, field)| format!("{stage}.{field}"))
    }

    fn metric_column(&self, stage: String, metric: String) -> Column {
        let shared = self.metrics.iter().filter(|(_, other)| *other == metric).count() > 1;
        let name = if shared || stage.contains('[') { format!("{stage}:{metric}") } else { metric.clone() };
        let unit = self
            .records
            .iter()
            .flat_map(|record| &record.stages)
            .filter(|record| names(&stage, &record.stage))
            .find_map(|record| record.measured.metrics.get(&metric)?.unit.clone());
        Column { name, kind: ColumnKind::Metric { stage, metric }, unit, goal: None }
    }

    /// Two runs have other values in the same stage.
    fn metric_differs(&self, (stage, metric): &(String, String)) -> bool {
        self.differs(stage, |record| {
            record.measured.metrics.get(metric).map(|metric| metric.value.to_string())
        })
    }

    fn param_differs(&self, (stage, field): &(String, String)) -> bool {
        self.differs(stage, |record| record.material.get(field).map(ToString::to_string))
    }

    fn differs(&self, stage: &str, value: impl Fn(&StageRecord) -> Option<String>) -> bool {
        let mut first: BTreeMap<&StageId, Option<String>> = BTreeMap::new();
        let stages = self.records.iter().flat_map(|record| &record.stages);
        // A stage that gave no result says nothing of the others' values.
        for record in stages.filter(|record| declared(&record.stage) == stage && !record.material.is_empty())
        {
            let found = value(record);
            if first.entry(&record.stage).or_insert_with(|| found.clone()) != &found {
                return true;
            }
        }
        false
    }

    fn set_differs(&self, key: &str) -> bool {
        let value = |record: &RunRecord| {
            record.set.iter().find(|setting| setting.key == key).map(|setting| setting.value.clone())
        };
        self.records.windows(2).any(|pair| value(&pair[0]) != value(&pair[1]))
    }
}

fn set_column(key: &str) -> Column {
    Column { name: key.to_owned(), kind: ColumnKind::Set, unit: None, goal: None }
}

fn param_column(stage: &str, field: &str) -> Column {
    Column {
        name: format!("{stage}.{field}"),
        kind: ColumnKind::Param { stage: stage.to_owned(), field: field.to_owned() },
        unit: None,
        goal: None,
    }
}
