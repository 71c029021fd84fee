//! The values that a search tries at one place.

use serde_json::{Number, Value};

use crate::spec::types::{End, RangeSpec, Scale};

use super::Place;

/// Most values that one axis may have on a grid.
pub(super) const MOST_POINTS: f64 = 1000.0;

/// One place and the values to try there.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The place.
    pub place: Place,
    /// Its values.
    pub range: Range,
}

/// Values to try.
#[derive(Debug, Clone, PartialEq)]
pub enum Range {
    /// Some values, at least one.
    Choice(Vec<Value>),
    /// Numbers between two ends.
    Between {
        /// How they lie.
        scale: Scale,
        /// Whole numbers alone.
        whole: bool,
        /// The smaller end.
        low: f64,
        /// The larger end.
        high: f64,
        /// From one value to the next, above 0.
        step: Option<f64>,
        /// How many values a grid takes, at least 2.
        points: Option<u32>,
        /// Unit in which the values are written.
        unit: Option<String>,
    },
}

impl Range {
    /// All values that a grid takes; none if that is not said.
    pub fn grid(&self) -> Option<Vec<Value>> {
        match self {
            Self::Choice(values) => Some(values.clone()),
            Self::Between { points: Some(points), whole, .. } => {
                let last = f64::from(points - 1);
                let mut values: Vec<Value> =
                    (0..*points).map(|at| self.number(self.along(f64::from(at) / last, *whole))).collect();
                // Whole numbers may coincide.
                values.dedup();
                Some(values)
            }
            Self::Between { step: Some(step), low, high, .. } => {
                let count = steps(*low, *high, *step);
                (count <= MOST_POINTS)
                    .then(|| (0..count as u32).map(|at| self.number(low + f64::from(at) * step)).collect())
            }
            Self::Between { whole: true, scale: Scale::Linear, low, high, .. } => {
                let count = high - low + 1.0;
                (count <= MOST_POINTS)
                    .then(|| (0..count as u32).map(|at| self.number(low + f64::from(at))).collect())
            }
            Self::Between { .. } => None,
        }
    }

    /// How many different values there are; none if they are not counted.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Choice(values) => Some(values.len() as u64),
            Self::Between { step: Some(step), low, high, .. } => Some(steps(*low, *high, *step) as u64),
            Self::Between { whole: true, low, high, .. } => Some((high - low + 1.0) as u64),
            Self::Between { .. } => None,
        }
    }

    /// The value at a coordinate from 0 (inclusive) to 1 (exclusive): equal stretches are equally likely. Numbers with a
    /// fraction are rounded to 4 digits, so that what is written into a record is what a person can repeat.
    pub fn at(&self, coordinate: f64) -> Value {
        let share = |count: f64| (coordinate * count).floor().clamp(0.0, count - 1.0);
        match self {
            Self::Choice(values) => {
                values.get(share(values.len() as f64) as usize).cloned().unwrap_or_default()
            }
            Self::Between { step: Some(step), low, high, .. } => {
                self.number(low + share(steps(*low, *high, *step)) * step)
            }
            Self::Between { whole: true, scale: Scale::Linear, low, high, .. } => {
                self.number(low + share(high - low + 1.0))
            }
            Self::Between { whole, .. } => self.number(self.along(coordinate, *whole)),
        }
    }

    /// The value at a share of the way from the smaller to the larger end, on the range's scale.
    fn along(&self, share: f64, whole: bool) -> f64 {
        let Self::Between { scale, low, high, .. } = self else { return 0.0 };
        let found = match scale {
            Scale::Linear => low + share * (high - low),
            Scale::Log => (low.ln() + share * (high.ln() - low.ln())).exp(),
        };
        let found = if whole { found.round() } else { digits(found, 4) };
        found.clamp(*low, *high)
    }

    fn number(&self, amount: f64) -> Value {
        let Self::Between { unit, whole, .. } = self else { return Value::Null };
        // What sums of steps add in the last places is not meant.
        let amount = if *whole { amount.round() } else { digits(amount, 12) };
        match unit {
            Some(unit) => Value::String(format!("{amount}{unit}")),
            None if *whole => Value::from(amount as i64),
            None => Number::from_f64(amount).map_or(Value::Null, Value::Number),
        }
    }
}

/// How many values there are from one end to the other.
fn steps(low: f64, high: f64, step: f64) -> f64 {
    // The last step may miss the end by a rounding error.
    ((high - low) / step + 1e-9).floor() + 1.0
}

fn digits(amount: f64, digits: usize) -> f64 {
    format!("{amount:.*e}", digits - 1).parse().unwrap_or(amount)
}

impl Axis {
    /// An axis as written.
    pub fn new(place: Place, spec: &RangeSpec) -> Self {
        let range = match spec {
            RangeSpec::Choice(values) => {
                Range::Choice(values.iter().map(|value| value.literal().unwrap_or_default()).collect())
            }
            RangeSpec::Between { span: _, scale, whole, low, high, step, points } => {
                let End { value: low, unit } = low;
                Range::Between {
                    scale: *scale,
                    whole: *whole,
                    low: *low,
                    high: high.value,
                    step: *step,
                    points: *points,
                    unit: unit.clone(),
                }
            }
        };
        Self { place, range }
    }
}
