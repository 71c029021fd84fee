//! Two models on the same images.

use stagewright_onnx::Session;
use stagewright_sdk::Result;

use crate::{images::Images, scale::Noise};

/// How a quantized model does beside the f32 one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Images.
    pub samples: usize,
    /// Share of images that the f32 model gets right, 0 to 1.
    pub reference_top1: f64,
    /// Share of images that the quantized model gets right, 0 to 1.
    pub top1: f64,
    /// Images on which the two predict differently.
    pub flips: usize,
    /// Of the flips, those from right to wrong.
    pub lost: usize,
    /// Signal to noise of the logits, dB.
    pub sqnr: f64,
    /// Largest difference of a logit.
    pub max_abs: f64,
}

impl Evaluation {
    /// Accuracy lost, in percentage points; negative where the quantized model is better.
    pub fn drop(&self) -> f64 {
        100.0 * (self.reference_top1 - self.top1)
    }

    /// Share of images with the same prediction, 0 to 1.
    pub fn agreement(&self) -> f64 {
        1.0 - self.flips as f64 / self.samples.max(1) as f64
    }
}

/// Logits of all images, `[images, classes]`.
///
/// # Errors
/// ONNX Runtime fails, or the run is cancelled.
pub fn logits(
    session: &mut Session,
    images: &Images<'_>,
    batch: usize,
    what: &str,
    progress: &mut dyn FnMut(u64, &str) -> Result<()>,
) -> Result<Vec<f32>> {
    let mut logits = Vec::new();
    images.each(batch, |done, values, [count, _, height, width]| {
        progress(done, what)?;
        logits.extend(session.run_sized(values, count, [height, width])?);
        Ok(())
    })?;
    Ok(logits)
}

/// Compares logits with the reference's and both with the labels.
pub fn compare(reference: &[f32], found: &[f32], labels: &[i64]) -> Evaluation {
    let classes = (reference.len() / labels.len().max(1)).max(1);
    let mut noise = Noise::default();
    let mut max_abs = 0f64;
    for (&one, &other) in reference.iter().zip(found) {
        noise.add(one, other);
        max_abs = max_abs.max((f64::from(one) - f64::from(other)).abs());
    }
    let (mut right, mut reference_right, mut flips, mut lost) = (0usize, 0usize, 0usize, 0usize);
    for ((reference, found), &label) in
        reference.chunks_exact(classes).zip(found.chunks_exact(classes)).zip(labels)
    {
        let (before, after) = (largest_at(reference), largest_at(found));
        let (was_right, is_right) = (before as i64 == label, after as i64 == label);
        reference_right += usize::from(was_right);
        right += usize::from(is_right);
        flips += usize::from(before != after);
        lost += usize::from(was_right && !is_right);
    }
    let share = |count: usize| count as f64 / labels.len().max(1) as f64;
    Evaluation {
        samples: labels.len(),
        reference_top1: share(reference_right),
        top1: share(right),
        flips,
        lost,
        sqnr: noise.sqnr(),
        max_abs,
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
