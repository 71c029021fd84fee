//! Which samples are for training, validation and test.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Dataset, Part};

/// How a dataset's samples are split where its folders do not say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SplitRule {
    /// Part of each class that becomes the validation split where the dataset has none; 0 to below 1.
    pub validation_fraction: f64,
    /// Part of each class that becomes the test split where the dataset has none; 0 to below 1.
    pub test_fraction: f64,
    /// Seed of the choice.
    pub seed: u64,
    /// Ids that belong to no split (damaged files, duplicates), sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

impl SplitRule {
    /// Checks ranges; the error names the field.
    pub(crate) fn check(&self) -> Result<(), String> {
        let fractions =
            [("validation-fraction", self.validation_fraction), ("test-fraction", self.test_fraction)];
        for (name, value) in fractions {
            if !(0.0..1.0).contains(&value) {
                return Err(format!("`splits.{name}` is {value}; it must be at least 0 and below 1"));
            }
        }
        Ok(())
    }
}

/// Indices into [`Dataset::samples`], each list ascending; no index is in two of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Splits {
    /// Samples that weights are fitted to.
    pub train: Vec<usize>,
    /// Samples that choices (epoch, calibration check) are made by.
    pub validation: Vec<usize>,
    /// Samples that only the last measurement sees.
    pub test: Vec<usize>,
}

impl Dataset {
    /// Splits the dataset by a rule. A part that the folders give is kept as it is. Where there is no test part,
    /// `test-fraction` of each class becomes it; where there is no validation part, `validation-fraction` of what is
    /// left of each class becomes it. Within a class, samples are ordered by SHA-256 of `<seed>/<id>` and the first
    /// ⌊fraction·n + ½⌋ are taken, so a sample nearly always keeps its split when others come or go.
    pub fn splits(&self, rule: &SplitRule) -> Splits {
        let exclude: HashSet<&str> = rule.exclude.iter().map(String::as_str).collect();
        let mut splits = Splits::default();
        let mut pools: Vec<Vec<usize>> = vec![Vec::new(); self.classes.len()];
        for (index, sample) in self.samples.iter().enumerate() {
            if exclude.contains(sample.id.as_str()) {
                continue;
            }
            match sample.part {
                Part::Validation => splits.validation.push(index),
                Part::Test => splits.test.push(index),
                Part::Train | Part::Unsplit => pools[sample.label].push(index),
            }
        }
        let has = |part| self.samples.iter().any(|sample| sample.part == part);
        let test_fraction = if has(Part::Test) { 0.0 } else { rule.test_fraction };
        let validation_fraction = if has(Part::Validation) { 0.0 } else { rule.validation_fraction };
        for pool in pools {
            let mut ordered = if test_fraction > 0.0 || validation_fraction > 0.0 {
                self.shuffled(pool, &format!("{}/", rule.seed))
            } else {
                pool
            };
            let rest = ordered.split_off(share(test_fraction, ordered.len()));
            splits.test.append(&mut ordered);
            ordered = rest;
            let rest = ordered.split_off(share(validation_fraction, ordered.len()));
            splits.validation.append(&mut ordered);
            splits.train.extend(rest);
        }
        for list in [&mut splits.train, &mut splits.validation, &mut splits.test] {
            list.sort_unstable();
        }
        splits
    }

    /// Orders samples by SHA-256 of `<prefix><id>`.
    fn shuffled(&self, indices: Vec<usize>, prefix: &str) -> Vec<usize> {
        let mut keyed: Vec<([u8; 32], usize)> = indices
            .into_iter()
            .map(|index| {
                let mut hash = Sha256::new();
                hash.update(prefix);
                hash.update(&self.samples[index].id);
                (hash.finalize().into(), index)
            })
            .collect();
        keyed.sort_unstable();
        keyed.into_iter().map(|(_, index)| index).collect()
    }
}

/// ⌊fraction·n + ½⌋, at most n.
fn share(fraction: f64, count: usize) -> usize {
    ((fraction * count as f64 + 0.5).floor() as usize).min(count)
}

/// Picks `count` of the samples `from` so that each class has its share: proportional by largest remainder (of equal
/// remainders, the lower label first). Within a class, the order of SHA-256 of `sample/<seed>/<id>` decides. Ascending;
/// all of `from` if it has no more than `count`.
pub fn stratified(dataset: &Dataset, from: &[usize], count: usize, seed: u64) -> Vec<usize> {
    let mut picked: Vec<usize> = if count >= from.len() {
        from.to_vec()
    } else {
        let mut classes: Vec<Vec<usize>> = vec![Vec::new(); dataset.classes.len()];
        for &index in from {
            classes[dataset.samples[index].label].push(index);
        }
        let sizes: Vec<usize> = classes.iter().map(Vec::len).collect();
        let quotas = largest_remainder(&sizes, count);
        let prefix = format!("sample/{seed}/");
        let pick =
            |(class, quota): (Vec<usize>, usize)| dataset.shuffled(class, &prefix).into_iter().take(quota);
        classes.into_iter().zip(quotas).flat_map(pick).collect()
    };
    picked.sort_unstable();
    picked
}

/// Shares `count` (at most the sum of `sizes`) out in proportion to `sizes`.
fn largest_remainder(sizes: &[usize], count: usize) -> Vec<usize> {
    let total: u128 = sizes.iter().map(|&size| size as u128).sum();
    if total == 0 {
        return vec![0; sizes.len()];
    }
    let exact = |size: usize| size as u128 * count as u128;
    let mut quotas: Vec<usize> = sizes.iter().map(|&size| (exact(size) / total) as usize).collect();
    let left = count - quotas.iter().sum::<usize>();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&class| std::cmp::Reverse(exact(sizes[class]) % total));
    for &class in order.iter().take(left) {
        quotas[class] += 1;
    }
    quotas
}
