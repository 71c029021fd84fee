//! From measurements to the preprocessing contract.

use std::collections::{BTreeMap, HashSet};

use stagewright_dataset::{Channels, Dataset, PREPROCESS_FORMAT, Preprocess, SplitRule, Splits};
use stagewright_sdk::{Result, StageFault};

use crate::{
    Params, Size,
    duplicates::Group,
    measure::{File, Pixels},
    moments::Moments,
};

/// Splits by their place in the order train, validation, test.
pub const SPLIT_NAMES: [&str; 3] = ["train", "validation", "test"];

/// A contract that lacks only mean, standard deviation and exclusions.
pub fn draft(dataset: &Dataset, params: &Params, size: [usize; 2]) -> Preprocess {
    Preprocess {
        format: PREPROCESS_FORMAT.to_owned(),
        size,
        resize: params.resize,
        interpolation: params.interpolation,
        channels: Channels::Rgb,
        mean: [0.0; 3],
        std: [1.0; 3],
        classes: dataset.classes.clone(),
        splits: SplitRule {
            validation_fraction: params.validation_fraction,
            test_fraction: params.test_fraction,
            seed: params.split_seed,
            exclude: Vec::new(),
        },
    }
}

/// The input size: as the params say, or the most common size (of equally common ones the larger area, then the
/// greater height), scaled down in its shape until no side is above `max-size`. `None` if no file has a header.
pub fn input_size(params: &Params, files: &[File]) -> Option<[usize; 2]> {
    if let Size::Fixed(size) = params.size {
        return Some(size);
    }
    let mut counts: BTreeMap<[usize; 2], usize> = BTreeMap::new();
    for header in files.iter().filter_map(|file| file.header.as_ref().ok()) {
        *counts.entry([header.height, header.width]).or_default() += 1;
    }
    let (&[height, width], _) =
        counts.iter().max_by_key(|&(&[height, width], &count)| (count, height * width, height))?;
    let longest = height.max(width);
    if longest <= params.max_size {
        return Some([height, width]);
    }
    let scale = |side: usize| ((side * params.max_size * 2 + longest) / (longest * 2)).max(1);
    Some([scale(height), scale(width)])
}

/// Place of every sample in [`SPLIT_NAMES`]; `None` for an excluded one.
pub fn places(dataset: &Dataset, splits: &Splits) -> Vec<Option<usize>> {
    let mut places = vec![None; dataset.len()];
    for (place, indices) in [&splits.train, &splits.validation, &splits.test].into_iter().enumerate() {
        for &index in indices {
            places[index] = Some(place);
        }
    }
    places
}

/// All members of each group but one: of the last split that the group reaches, so that test data stays comparable, the
/// lowest id.
pub fn redundant(groups: &[Group], places: &[Option<usize>]) -> Vec<usize> {
    let mut redundant = Vec::new();
    for group in groups {
        let kept = group.iter().copied().min_by_key(|&index| (std::cmp::Reverse(places[index]), index));
        redundant.extend(group.iter().copied().filter(|&index| Some(index) != kept));
    }
    redundant.sort_unstable();
    redundant
}

/// Adds samples to the exclusions of the contract.
pub fn exclude(contract: &mut Preprocess, dataset: &Dataset, indices: &[usize]) {
    let ids = indices.iter().map(|&index| dataset.samples[index].id.clone());
    let mut all: Vec<String> = contract.splits.exclude.drain(..).chain(ids).collect();
    all.sort();
    all.dedup();
    contract.splits.exclude = all;
}

/// Sums over the train split.
pub fn train_moments(splits: &Splits, pixels: &[Result<Pixels, String>]) -> Moments {
    let mut total = Moments::default();
    for measured in splits.train.iter().filter_map(|&index| pixels[index].as_ref().ok()) {
        total.add(&measured.moments);
    }
    total
}

/// Mean over the train split's images of each image's own standard deviation: not what normalizing needs, but often
/// published as if it were.
pub fn mean_of_image_std(splits: &Splits, pixels: &[Result<Pixels, String>]) -> [f64; 3] {
    let mut sum = [0.0; 3];
    let mut count = 0.0;
    for measured in splits.train.iter().filter_map(|&index| pixels[index].as_ref().ok()) {
        let std = measured.moments.std();
        for channel in 0..3 {
            sum[channel] += std[channel];
        }
        count += 1.0;
    }
    sum.map(|sum| sum / count)
}

/// Sets mean and standard deviation: as the params say, else as measured.
pub fn normalize(contract: &mut Preprocess, params: &Params, moments: &Moments) -> Result<()> {
    contract.mean = params.mean.unwrap_or(moments.mean().map(|value| value as f32));
    contract.std = params.std.unwrap_or(moments.std().map(|value| value as f32));
    match contract.std.iter().position(|std| *std <= 0.0) {
        Some(channel) => {
            let name = ["red", "green", "blue"][channel];
            Err(StageFault::user(format!(
                "every pixel of the train split has the same {name} value, so it can't be normalized by its standard deviation"
            ))
            .hint("check that the images are what they should be, or set `std`"))
        }
        None => Ok(()),
    }
}

/// True when `std` from the params looks like [`mean_of_image_std`] and not like the standard deviation over pixels.
pub fn looks_like_image_std(std: [f32; 3], measured: [f64; 3], of_images: [f64; 3]) -> bool {
    let distance = |other: [f64; 3]| {
        std.iter().zip(other).map(|(std, other)| (f64::from(*std) - other).abs()).fold(0.0, f64::max)
    };
    distance(of_images) < 0.003 && distance(measured) > 0.006
}

/// Classes without a sample in the train split.
pub fn untrained<'a>(dataset: &'a Dataset, splits: &Splits) -> Vec<&'a str> {
    let trained: HashSet<usize> = splits.train.iter().map(|&index| dataset.samples[index].label).collect();
    let missing = dataset.classes.iter().enumerate().filter(|(label, _)| !trained.contains(label));
    missing.map(|(_, name)| name.as_str()).collect()
}
