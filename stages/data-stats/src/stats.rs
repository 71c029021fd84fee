//! The artifact `stats/dataset`: everything that was measured.

use std::collections::BTreeMap;

use serde::Serialize;

/// Value of [`Stats::format`].
pub const STATS_FORMAT: &str = "stagewright/stats@1";
/// Most ids listed per kind of suspicious image; the count is always whole.
pub const LISTED: usize = 1000;

/// What `data-stats` measured.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stats {
    /// [`STATS_FORMAT`].
    pub format: &'static str,
    /// Identity and extent.
    pub dataset: Identity,
    /// Every class.
    pub classes: Vec<Class>,
    /// Balance of classes by split; a split without samples is left out.
    pub balance: BTreeMap<&'static str, Balance>,
    /// Pixels of the train split at the contract's size.
    pub pixels: PixelStats,
    /// Image sizes, formats, colour modes.
    pub images: Images,
    /// What is wrong with files.
    pub files: Files,
    /// Images with the same pixels.
    pub duplicates: Duplicates,
    /// Images with nearly the same look; absent when switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near_duplicates: Option<NearDuplicateStats>,
    /// Samples of one split that another has too.
    pub leakage: LeakageStats,
    /// Suspicious single images by kind.
    pub quality: BTreeMap<&'static str, Flagged>,
    /// Ids that the contract excludes from every split.
    pub excluded: Vec<String>,
}

/// Identity and extent of the dataset.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// Merkle root (RFC 6962, SHA-256) over the lines of the sample manifest, lowercase hex.
    pub digest: String,
    /// How the digest is made.
    pub digest_algorithm: &'static str,
    /// Samples, excluded ones among them.
    pub samples: usize,
    /// Bytes of all samples.
    pub bytes: u64,
    /// Samples by split; excluded ones are in none.
    pub splits: BTreeMap<&'static str, usize>,
}

/// One class.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Class {
    /// Name.
    pub name: String,
    /// Samples by split.
    pub samples: BTreeMap<&'static str, usize>,
    /// Effective number of training samples (1 − βⁿ)/(1 − β), β = 0.9999 (Cui et al., 2019).
    pub effective_samples: f64,
}

/// How evenly samples spread over classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Balance {
    /// Shannon entropy of the class shares, in bits.
    pub entropy: f64,
    /// Entropy divided by its maximum, log₂ of the number of classes; 1 is perfectly even.
    pub evenness: f64,
    /// 2^entropy: the number of equally large classes with the same entropy.
    pub effective_classes: f64,
    /// Samples of the largest class per sample of the smallest; absent when a class has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imbalance: Option<f64>,
}

impl Balance {
    /// Of samples by class; `None` without samples.
    pub fn of(counts: &[usize]) -> Option<Self> {
        let total: usize = counts.iter().sum();
        let (most, least) = (*counts.iter().max()?, *counts.iter().min()?);
        if total == 0 {
            return None;
        }
        let share = |&count: &usize| count as f64 / total as f64;
        let term = |share: f64| -share * share.log2();
        // `+ 0.0` turns the −0 of a single class into 0.
        let entropy = counts.iter().filter(|&&count| count > 0).map(share).map(term).sum::<f64>() + 0.0;
        let evenness = if counts.len() > 1 { entropy / (counts.len() as f64).log2() } else { 1.0 };
        let imbalance = (least > 0).then(|| most as f64 / least as f64);
        Some(Self { entropy, evenness, effective_classes: entropy.exp2(), imbalance })
    }
}

/// Pixels of the train split.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PixelStats {
    /// What was summed over.
    pub over: &'static str,
    /// Height and width at which pixels were summed.
    pub size: [usize; 2],
    /// Images summed.
    pub images: usize,
    /// Pixels summed.
    pub pixels: u64,
    /// Σx per channel, x of 0–255.
    pub sum: [u64; 3],
    /// Σx² per channel.
    pub sum_of_squares: [u64; 3],
    /// Mean per channel, scale 0–1.
    pub mean: [f64; 3],
    /// Standard deviation over all pixels per channel, scale 0–1.
    pub std: [f64; 3],
    /// Mean of the standard deviations of single images: another statistic, here so that it can be recognized.
    pub mean_of_image_std: [f64; 3],
}

/// Image sizes, formats, colour modes.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Images {
    /// Different sizes.
    pub different_sizes: usize,
    /// The most common sizes (at most 20), `[height, width]` with their counts.
    pub common_sizes: Vec<SizeCount>,
    /// Least height and least width.
    pub smallest: [usize; 2],
    /// Greatest height and greatest width.
    pub largest: [usize; 2],
    /// Images by format.
    pub formats: BTreeMap<String, usize>,
    /// Images by colour mode.
    pub modes: BTreeMap<String, usize>,
    /// Images by bits of a channel.
    pub bits: BTreeMap<u8, usize>,
}

/// Images of one size.
#[derive(Debug, Clone, Serialize)]
pub struct SizeCount {
    /// Height and width.
    pub size: [usize; 2],
    /// Images of that size.
    pub images: usize,
}

/// What is wrong with files.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Files {
    /// Files that can't be decoded.
    pub corrupt: Vec<Finding>,
    /// Files whose name says another format than their first bytes.
    pub wrong_extension: Vec<Finding>,
    /// Images with an EXIF orientation other than upright; their pixels are used as stored.
    pub rotated: Vec<Finding>,
    /// Files in class folders that are not images by their name.
    pub ignored: Vec<String>,
}

/// A sample and what is the matter with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Id.
    pub id: String,
    /// In words.
    pub reason: String,
}

/// One member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Id.
    pub id: String,
    /// Class name.
    pub class: String,
    /// Split; absent when excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<&'static str>,
}

/// Images with the same pixels.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Duplicates {
    /// Samples beyond the first of their group, by decoded pixels.
    pub samples: usize,
    /// The same by the files' bytes.
    pub samples_by_bytes: usize,
    /// Groups whose members have different classes.
    pub label_conflicts: usize,
    /// Groups by decoded pixels.
    pub groups: Vec<Vec<Member>>,
}

/// Images with nearly the same look.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NearDuplicateStats {
    /// Bits in which the perceptual hashes of neighbours may differ.
    pub distance: u32,
    /// Samples beyond the first of their group, exact duplicates not counted.
    pub samples: usize,
    /// Groups with at least two different images.
    pub groups: Vec<Vec<Member>>,
}

/// Samples of one split that another has too.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeakageStats {
    /// By equal pixels.
    pub exact: Leakage,
    /// By equal or nearly equal look; absent when switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<Leakage>,
}

/// Leaks of one kind.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Leakage {
    /// Validation and test samples that an earlier split has too.
    pub samples: usize,
    /// The same as a share of all validation and test samples.
    pub fraction: f64,
    /// Groups that reach over splits.
    pub groups: Vec<Vec<Member>>,
}

/// Suspicious images of one kind.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Flagged {
    /// How many.
    pub samples: usize,
    /// The rule.
    pub rule: String,
    /// Their ids, at most [`LISTED`].
    pub ids: Vec<String>,
}
