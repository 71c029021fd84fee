//! Targets and searches as written, and the metrics they name.

use super::{Name, Span, Spanned, Value};
use crate::spec::expression::StageReference;

/// One gate.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetSpec {
    /// Its key under `targets:`.
    pub name: Name,
    /// `on:`.
    pub stage: StageReference,
    /// `metric:`; without it the key is the metric.
    pub metric: Option<Name>,
    /// What the metric has to satisfy.
    pub bound: BoundSpec,
}

/// What a metric has to satisfy.
#[derive(Debug, Clone, PartialEq)]
pub enum BoundSpec {
    /// `max:`.
    AtMost(Value),
    /// `min:`.
    AtLeast(Value),
    /// `max-drop-vs:` with `value:`.
    MaxDrop(MetricReference, Value),
    /// `max-ratio-vs:` with `value:`.
    MaxRatio(MetricReference, Value),
}

/// `search:`.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchSpec {
    /// Where the key stands.
    pub span: Span,
    /// `over:`, by the place whose value is tried.
    pub over: Vec<(Name, RangeSpec)>,
    /// `trials:`, at least 1.
    pub trials: Option<Spanned<u32>>,
    /// `strategy:`.
    pub strategy: Option<Spanned<Strategy>>,
    /// `seed:`.
    pub seed: Option<Spanned<u32>>,
    /// `minimize:` and `maximize:`.
    pub goals: Vec<GoalSpec>,
    /// Something in it could not be read, so that what is here may not be what is meant.
    pub broken: bool,
}

/// Values to try for one place.
#[derive(Debug, Clone, PartialEq)]
pub enum RangeSpec {
    /// Some values without expressions, at least one.
    Choice(Vec<Value>),
    /// Numbers between two ends, which belong to it.
    Between {
        /// Where the ends stand.
        span: Span,
        /// How they lie.
        scale: Scale,
        /// Whole numbers alone.
        whole: bool,
        /// The smaller end, above 0 on a logarithmic scale.
        low: End,
        /// The larger end, with the same unit.
        high: End,
        /// From one value to the next, above 0.
        step: Option<f64>,
        /// How many values a grid takes, at least 2.
        points: Option<u32>,
    },
}

/// An end of a range.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// The number.
    pub value: f64,
    /// Its unit as written.
    pub unit: Option<String>,
}

/// How the numbers of a range lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences count the same.
    Linear,
    /// Equal ratios count the same.
    Log,
}

/// How a search chooses its trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Every combination.
    Grid,
    /// Combinations drawn at random.
    Random,
    /// Combinations near those that turned out well, by a tree-structured Parzen estimator.
    Tpe,
}

/// One metric to be made better.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalSpec {
    /// The metric; its stage is given.
    pub of: MetricReference,
    /// Large values are better, not small ones.
    pub maximize: bool,
}

/// `metric` of the same stage, `stage:metric`, or `stage` for its metric of the same name.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricReference {
    /// Where it stands.
    pub span: Span,
    /// The stage before the colon.
    pub stage: Option<StageReference>,
    /// The whole text as a stage, where there is no colon and it can be one; a metric of that name goes first.
    pub alone: Option<StageReference>,
    /// The metric.
    pub metric: String,
}
