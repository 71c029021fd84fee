//! Distribution of an activation on a fixed grid, and the ranges that follow from it.
//!
//! The grid is laid before anything is counted (over the range of all calibration images), so the counts do not depend on the
//! order of the images or the size of the batches, and partial counts can be added.

use crate::scale::Range;

/// Bins on each side of 0.
const HALF: usize = 2048;
/// Bins of the histogram the entropy method works on, over both sides.
const ENTROPY_BINS: usize = 2048;
/// Bins of an 8-bit value's histogram that the entropy method compares with.
const QUANTIZED_BINS: usize = 128;
/// Levels of an unsigned 8-bit value, for values that are never negative.
const UNSIGNED_LEVELS: usize = 256;
/// Share of probability given to empty bins, so that the divergence stays finite.
const SMOOTHING: f32 = 0.0001;

/// Counts of values between −limit and limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    range: Range,
    limit: f64,
    counts: Vec<u64>,
}

impl Histogram {
    /// An empty histogram for values in `range`.
    pub fn new(range: Range) -> Self {
        let limit = f64::from(range.min.abs().max(range.max.abs()));
        Self { range, limit, counts: vec![0; 2 * HALF] }
    }

    /// Counts values. One outside the range is counted in the outermost bin.
    pub fn add(&mut self, values: &[f32]) {
        if self.limit == 0.0 {
            self.counts[HALF] += values.len() as u64;
            return;
        }
        let bins_per_unit = HALF as f64 / self.limit;
        for &value in values {
            let bin = (f64::from(value) + self.limit) * bins_per_unit;
            // Negative numbers become 0 in the cast.
            self.counts[(bin as usize).min(2 * HALF - 1)] += 1;
        }
    }

    /// The range that covers `percentile` (0 to 100) of the magnitudes, at most what was seen.
    pub fn percentile(&self, percentile: f64) -> Range {
        let total: u64 = self.counts.iter().sum();
        let wanted = percentile / 100.0;
        let mut seen = 0u64;
        let mut edge = HALF;
        for bin in 0..HALF {
            seen += self.counts[HALF + bin] + self.counts[HALF - 1 - bin];
            // Equal counts give equal quotients, so 100 % is reached exactly.
            if seen as f64 / total as f64 >= wanted {
                // The lower edge of the bin that reaches it, as ONNX Runtime; the first bin still has a width.
                edge = bin.max(1);
                break;
            }
        }
        let threshold = (self.limit * edge as f64 / HALF as f64) as f32;
        if wanted >= 1.0 { self.range } else { self.within(-threshold, threshold) }
    }

    /// The range whose quantized histogram diverges the least from the real one (Kullback-Leibler).
    ///
    /// For values of both signs every symmetric range of at least [`QUANTIZED_BINS`] bins is tried: its values, with all
    /// outside cut to its ends, against the same values merged into as many bins as a signed activation has (the scheme of
    /// ONNX Runtime's tool). Values that are never negative, as after a Relu, have all 256 levels for themselves, and a
    /// symmetric search would cut off far too much: for them every range from 0 up is tried against [`UNSIGNED_LEVELS`] levels.
    pub fn entropy(&self) -> Range {
        if self.range.min >= 0.0 {
            return self.one_sided_entropy();
        }
        let merge = 2 * HALF / ENTROPY_BINS;
        let counts: Vec<u64> = self.counts.chunks_exact(merge).map(|bins| bins.iter().sum()).collect();
        let zero = ENTROPY_BINS / 2;
        let mut best = (f32::INFINITY, zero - QUANTIZED_BINS / 2, zero + QUANTIZED_BINS / 2 + 1);
        for half in QUANTIZED_BINS / 2..=zero {
            let (start, end) = (zero - half, (zero + half + 1).min(ENTROPY_BINS));
            let divergence = divergence(&counts, start, end);
            if divergence < best.0 {
                best = (divergence, start, end);
            }
        }
        let edge = |bin: usize| (self.limit * (2.0 * bin as f64 / ENTROPY_BINS as f64 - 1.0)) as f32;
        self.within(edge(best.1), edge(best.2))
    }

    fn one_sided_entropy(&self) -> Range {
        let mut counts = self.counts[HALF..].to_vec();
        // Zeros are exact whatever the range; their spike must not decide it.
        counts[0] = counts[1];
        let mut outside: u64 = counts[UNSIGNED_LEVELS..].iter().sum();
        let mut best = (f64::INFINITY, UNSIGNED_LEVELS);
        for end in UNSIGNED_LEVELS..=HALF {
            let divergence = one_sided_divergence(&counts[..end], outside);
            // Of equal ones the widest.
            if divergence <= best.0 {
                best = (divergence, end);
            }
            outside -= counts.get(end).copied().unwrap_or(0);
        }
        let edge = (self.limit * best.1 as f64 / HALF as f64) as f32;
        self.within(0.0, edge)
    }

    /// At most what was seen.
    fn within(&self, min: f32, max: f32) -> Range {
        Range { min: min.max(self.range.min), max: max.min(self.range.max) }
    }
}

/// Divergence of the cut distribution `counts[start..end]` from its quantized form.
fn divergence(counts: &[u64], start: usize, end: usize) -> f32 {
    let slice = &counts[start..end];
    let mut cut = slice.to_vec();
    cut[0] += counts[..start].iter().sum::<u64>();
    let last = cut.len() - 1;
    cut[last] += counts[end..].iter().sum::<u64>();

    let width = slice.len() / QUANTIZED_BINS;
    let mut spread = vec![0u64; slice.len()];
    for bin in 0..QUANTIZED_BINS {
        let here = bin * width..(bin + 1) * width;
        let mut sum: u64 = slice[here.clone()].iter().sum();
        if bin == QUANTIZED_BINS - 1 {
            sum += slice[QUANTIZED_BINS * width..].iter().sum::<u64>();
        }
        let filled = cut[here.clone()].iter().filter(|&&count| count != 0).count() as u64;
        // Whole counts, as the reference implementation keeps them.
        if let Some(each) = sum.checked_div(filled) {
            spread[here].fill(each);
        }
    }
    match (smooth(&cut), smooth(&spread)) {
        (Some(cut), Some(spread)) => relative_entropy(&cut, &spread),
        _ => f32::INFINITY,
    }
}

/// Divergence of `counts`, with what lies outside added to the last bin, from the same counts in [`UNSIGNED_LEVELS`] levels,
/// each spread evenly over its filled bins. Infinite where a bin has something in one of the two alone.
fn one_sided_divergence(counts: &[u64], outside: u64) -> f64 {
    let bins = counts.len();
    let total: u64 = counts.iter().sum();
    let mut divergence = 0.0;
    let mut start = 0;
    for level in 1..=UNSIGNED_LEVELS {
        // Bins whose lower edge lies inside the level.
        let end = (level * bins).div_ceil(UNSIGNED_LEVELS).min(bins);
        let level = &counts[start..end];
        let filled = level.iter().filter(|&&count| count != 0).count();
        let each = level.iter().sum::<u64>() as f64 / filled.max(1) as f64 / total as f64;
        for (offset, &count) in level.iter().enumerate() {
            let cut = if start + offset == bins - 1 { count + outside } else { count };
            if cut != 0 {
                let share = cut as f64 / (total + outside) as f64;
                divergence += if count == 0 { f64::INFINITY } else { share * (share / each).ln() };
            }
        }
        start = end;
    }
    divergence
}

/// Moves a little from the filled bins to the empty ones; `None` if all are empty.
fn smooth(counts: &[u64]) -> Option<Vec<f32>> {
    let empty = counts.iter().filter(|&&count| count == 0).count();
    let filled = counts.len() - empty;
    if filled == 0 {
        return None;
    }
    let taken = SMOOTHING * empty as f32 / filled as f32;
    Some(counts.iter().map(|&count| if count == 0 { SMOOTHING } else { count as f32 - taken }).collect())
}

/// Σ p·ln(p/q) of two distributions, each scaled to sum to 1.
fn relative_entropy(one: &[f32], other: &[f32]) -> f32 {
    let total = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>();
    let (one_total, other_total) = (total(one), total(other));
    let terms = one.iter().zip(other).map(|(&p, &q)| {
        let (p, q) = (f64::from(p) / one_total, f64::from(q) / other_total);
        p * (p / q).ln()
    });
    terms.sum::<f64>() as f32
}
