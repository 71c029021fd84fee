//! Comparing two models' logits.

use crate::params::Parity;

/// Differences between the logits of ONNX Runtime and of libtorch for the same images.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Number of images.
    pub samples: usize,
    /// Largest difference of a logit.
    pub max_abs: f64,
    /// Mean difference of a logit.
    pub mean_abs: f64,
    /// Smallest cosine of a sample's two logit vectors (1: same direction).
    pub min_cosine: f64,
    /// Share of images with the same largest logit, 0 to 1.
    pub agreement: f64,
    /// The logit that is furthest beyond its tolerance, or closest to it: difference divided by what is allowed.
    pub worst: Worst,
}

/// One logit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worst {
    /// Position of the image among those compared.
    pub sample: usize,
    /// The class.
    pub class: usize,
    /// Difference divided by what is allowed: above 1 it is too large.
    pub ratio: f64,
    /// The reference's value.
    pub reference: f32,
    /// The other's value.
    pub found: f32,
}

impl Comparison {
    /// True if every logit is within the tolerance.
    pub fn within(&self) -> bool {
        self.worst.ratio <= 1.0
    }
}

/// Compares logits `[samples, classes]`. A value that is not finite in one of them is an infinite difference.
pub fn compare(reference: &[f32], found: &[f32], classes: usize, tolerance: &Parity) -> Comparison {
    let classes = classes.max(1);
    let mut comparison = Comparison {
        samples: reference.len() / classes,
        max_abs: 0.0,
        mean_abs: 0.0,
        min_cosine: 1.0,
        agreement: 0.0,
        worst: Worst { sample: 0, class: 0, ratio: 0.0, reference: 0.0, found: 0.0 },
    };
    let mut agreeing = 0usize;
    for (sample, (reference, found)) in
        reference.chunks_exact(classes).zip(found.chunks_exact(classes)).enumerate()
    {
        let largest = reference.iter().fold(0f64, |largest, &value| largest.max(f64::from(value).abs()));
        let allowed = tolerance.atol + tolerance.rtol * largest;
        for (class, (&reference, &found)) in reference.iter().zip(found).enumerate() {
            let difference = (f64::from(reference) - f64::from(found)).abs();
            let difference = if difference.is_finite() { difference } else { f64::INFINITY };
            comparison.max_abs = comparison.max_abs.max(difference);
            comparison.mean_abs += difference;
            // With a tolerance of 0 only equal values are within.
            let ratio = if difference == 0.0 { 0.0 } else { difference / allowed };
            if ratio > comparison.worst.ratio {
                comparison.worst = Worst { sample, class, ratio, reference, found };
            }
        }
        comparison.min_cosine = comparison.min_cosine.min(cosine(reference, found));
        agreeing += usize::from(largest_at(reference) == largest_at(found));
    }
    comparison.mean_abs /= (comparison.samples * classes).max(1) as f64;
    comparison.agreement = agreeing as f64 / comparison.samples.max(1) as f64;
    comparison
}

fn cosine(one: &[f32], other: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let norms = (dot(one, one) * dot(other, other)).sqrt();
    match norms {
        // Two zero vectors point the same way; anything else without a direction does not.
        0.0 => f64::from(u8::from(one == other)),
        norms if norms.is_finite() => (dot(one, other) / norms).clamp(-1.0, 1.0),
        _ => -1.0,
    }
}

/// Position of the largest value, the first of equal ones.
fn largest_at(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}
