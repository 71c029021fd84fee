//! Checks of params, with what a person needs to mend one.

/// A param that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{param}` is {value}, but {allowed}")]
pub(super) struct Problem {
    /// Name as written in the pipeline.
    pub param: &'static str,
    /// The value given.
    pub value: String,
    /// What is allowed, as the rest of a sentence that starts with "but".
    pub allowed: String,
}

impl Problem {
    pub fn new(param: &'static str, value: impl std::fmt::Display, allowed: impl Into<String>) -> Self {
        Self { param, value: value.to_string(), allowed: allowed.into() }
    }

    pub fn range(param: &'static str, [low, high]: [f64; 2], allowed: impl Into<String>) -> Self {
        Self::new(param, format_args!("[{low}, {high}]"), allowed)
    }
}

/// `p` is a probability.
pub(super) fn probability(p: f64) -> Result<(), Problem> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Problem::new("p", p, "a probability lies between 0 and 1"))
}

/// Two bounds in order, both between `low` and `high`.
pub(super) fn range(param: &'static str, bounds: [f64; 2], low: f64, high: f64) -> Result<(), Problem> {
    ordered(param, bounds)?;
    if bounds[0] < low || bounds[1] > high {
        return Err(Problem::range(param, bounds, format!("both bounds must lie between {low} and {high}")));
    }
    Ok(())
}

/// Two finite bounds in order.
pub(super) fn ordered(param: &'static str, bounds: [f64; 2]) -> Result<(), Problem> {
    if !bounds.iter().all(|bound| bound.is_finite()) {
        return Err(Problem::range(param, bounds, "both bounds must be finite numbers"));
    }
    if bounds[0] > bounds[1] {
        return Err(Problem::range(param, bounds, "the first bound must not be above the second"));
    }
    Ok(())
}

/// Longest side of an image that a transform may be asked for.
pub(super) const MAX_SIDE: usize = 16_384;

/// A side length in pixels.
pub(super) fn side(param: &'static str, length: usize) -> Result<(), Problem> {
    if (1..=MAX_SIDE).contains(&length) {
        return Ok(());
    }
    Err(Problem::new(param, length, format!("a side has 1 to {MAX_SIDE} pixels")))
}
