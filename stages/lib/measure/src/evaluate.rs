//! What a model answers, sample by sample.

use stagewright_dataset::{Decoded, Preprocess};
use stagewright_onnx::Session;
use stagewright_sdk::Result;

/// A classifier's answers for a set of samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// True class of each sample.
    pub labels: Vec<usize>,
    /// Class with the largest logit (the first of equal ones); none where a logit is not finite.
    pub top1: Vec<Option<usize>>,
    /// The true class is among the five largest logits.
    pub in_top5: Vec<bool>,
    /// Number of classes.
    pub classes: usize,
}

/// Runs every image through the model, `batch` at a time; `progress` is told how many are done.
///
/// # Errors
/// The model can't be run on these images, or `progress` fails.
pub fn evaluate(
    session: &mut Session,
    images: &Decoded,
    contract: &Preprocess,
    batch: usize,
    mut progress: impl FnMut(u64) -> Result<()>,
) -> Result<Predictions> {
    let stride = 3 * contract.size[0] * contract.size[1];
    let step = session.input().batch.unwrap_or(batch.max(1));
    let mut predictions = Predictions { classes: session.classes(), ..Predictions::default() };
    let indices: Vec<usize> = (0..images.len()).collect();
    let mut input = vec![0.0; step * stride];
    for chunk in indices.chunks(step) {
        // A model of fixed batch size gets its last batch filled up with repetitions, which are not counted.
        let padded: Vec<usize> = match session.input().batch {
            Some(fixed) => chunk.iter().cycle().take(fixed).copied().collect(),
            None => chunk.to_vec(),
        };
        let input = &mut input[..padded.len() * stride];
        images.normalized_batch(&padded, contract, input);
        let logits = session.run_sized(input, padded.len(), contract.size)?;
        for (&index, logits) in chunk.iter().zip(logits.chunks_exact(session.classes())) {
            predictions.add(images.labels[index] as usize, logits);
        }
        progress(predictions.labels.len() as u64)?;
    }
    Ok(predictions)
}

impl Predictions {
    /// Adds a sample: its true class and the logits it got, one for each class.
    pub fn add(&mut self, label: usize, logits: &[f32]) {
        let finite = logits.iter().all(|logit| logit.is_finite());
        let best = |from: usize, to: usize| if logits[to] > logits[from] { to } else { from };
        self.top1.push(finite.then(|| (0..logits.len()).reduce(best)).flatten());
        // Ties count against the model, so that equal logits everywhere are no success.
        let rank = |own: f32| logits.iter().filter(|logit| **logit >= own).count();
        self.in_top5.push(finite && logits.get(label).is_some_and(|own| rank(*own) <= 5));
        self.labels.push(label);
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True when there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Which samples the model got right.
    pub fn correct(&self) -> Vec<bool> {
        self.top1.iter().zip(&self.labels).map(|(top1, label)| *top1 == Some(*label)).collect()
    }

    /// Share of samples whose largest logit is the true class, in percent.
    pub fn top1_percent(&self) -> f64 {
        percent(self.correct().into_iter().filter(|right| *right).count(), self.len())
    }

    /// Share of samples whose true class is among the five largest logits, in percent.
    pub fn top5_percent(&self) -> f64 {
        percent(self.in_top5.iter().filter(|hit| **hit).count(), self.len())
    }

    /// Samples with a logit that is not finite.
    pub fn not_finite(&self) -> usize {
        self.top1.iter().filter(|top1| top1.is_none()).count()
    }

    /// Share of samples for which two models name the same class, in percent.
    pub fn agreement_percent(&self, other: &Self) -> f64 {
        let same =
            self.top1.iter().zip(&other.top1).filter(|(one, other)| one.is_some() && one == other).count();
        percent(same, self.len())
    }

    /// Accuracy within each class in percent; none for a class without samples.
    pub fn class_percent(&self) -> Vec<Option<f64>> {
        let mut counts = vec![(0_usize, 0_usize); self.classes];
        for (right, label) in self.correct().into_iter().zip(&self.labels) {
            if let Some((hits, all)) = counts.get_mut(*label) {
                *hits += usize::from(right);
                *all += 1;
            }
        }
        counts.into_iter().map(|(hits, all)| (all > 0).then(|| percent(hits, all))).collect()
    }

    /// Samples by true class and by the class that was named. A sample with a logit that is not finite is in none.
    pub fn confusion(&self) -> Vec<Vec<u64>> {
        let mut counts = vec![vec![0; self.classes]; self.classes];
        for (label, top1) in self.labels.iter().zip(&self.top1) {
            let cell = top1.and_then(|named| counts.get_mut(*label)?.get_mut(named));
            cell.into_iter().for_each(|count| *count += 1);
        }
        counts
    }

    /// Class that lost most against another model, and how much in points of percent. None without classes.
    pub fn worst_class_drop(&self, baseline: &Self) -> Option<(usize, f64)> {
        let (own, theirs) = (self.class_percent(), baseline.class_percent());
        let drops = own.into_iter().zip(theirs).map(|(own, theirs)| Some(theirs? - own?)).enumerate();
        drops.filter_map(|(class, drop)| Some((class, drop?))).max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn predictions(rows: &[(usize, [f32; 6])]) -> Predictions {
        let mut predictions = Predictions { classes: 6, ..Predictions::default() };
        rows.iter().for_each(|(label, logits)| predictions.add(*label, logits));
        predictions
    }

    #[test]
    fn ties_and_numbers_that_are_none_are_no_success() {
        let all_equal = [1.0; 6];
        let nan = [f32::NAN, 0.0, 0.0, 0.0, 0.0, 9.0];
        let answered = predictions(&[(0, all_equal), (5, all_equal), (5, nan)]);
        assert_eq!(answered.top1, [Some(0), Some(0), None]);
        assert_eq!(answered.in_top5, [false, false, false]);
        assert_eq!(answered.not_finite(), 1);
    }

    #[test]
    fn shares_and_the_class_that_lost_most() {
        let class =
            |class: usize| std::array::from_fn(|index| if index == class { 9.0 } else { -(index as f32) });
        let base = predictions(&[(0, class(0)), (0, class(0)), (1, class(1)), (1, class(2))]);
        let small = predictions(&[(0, class(0)), (0, class(1)), (1, class(1)), (1, class(2))]);
        assert_eq!((base.top1_percent(), small.top1_percent()), (75.0, 50.0));
        assert_eq!(small.agreement_percent(&base), 75.0);
        assert_eq!(base.class_percent()[..3], [Some(100.0), Some(50.0), None]);
        assert_eq!(small.worst_class_drop(&base), Some((0, 50.0)));
        assert_eq!(base.top5_percent(), 100.0);
        assert_eq!(small.confusion()[..2], [[1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0]]);
        assert_eq!(predictions(&[(0, [f32::NAN; 6])]).confusion().concat().iter().sum::<u64>(), 0);
    }
}
