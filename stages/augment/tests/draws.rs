//! The draws have the distributions of Albumentations: histograms of 20000 draws on each side, compared by chi-square.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::Deserialize;
use serde_json::json;
use stagewright_dataset::augment::{Drawn, Draws, Transform};

#[derive(Deserialize)]
struct Fixtures {
    count: usize,
    height: usize,
    width: usize,
    transforms: BTreeMap<String, BTreeMap<String, Histogram>>,
}

#[derive(Deserialize)]
struct Histogram {
    low: f64,
    high: f64,
    counts: Vec<f64>,
}

impl Histogram {
    /// Chi-square of two samples divided by its degrees of freedom, and those; bins with few entries are joined.
    fn compare(&self, values: &[f64]) -> (f64, usize) {
        let mut counts = vec![0.0; self.counts.len()];
        for value in values {
            let share = (value - self.low) / (self.high - self.low);
            // numpy's histogram counts the upper bound in the last bin and drops what is outside.
            if (0.0..=1.0).contains(&share) {
                let bins = self.counts.len();
                counts[((share * bins as f64) as usize).min(bins - 1)] += 1.0;
            }
        }
        let totals = (counts.iter().sum::<f64>(), self.counts.iter().sum::<f64>());
        assert!(
            (totals.0 / values.len() as f64 - 1.0).abs() < 0.01,
            "{} of {} in range",
            totals.0,
            values.len()
        );
        let (mut sum, mut bins) = (0.0, 0usize);
        let mut pending = (0.0, 0.0);
        for (mine, other) in counts.iter().zip(&self.counts) {
            pending = (pending.0 + mine, pending.1 + other);
            if pending.0 + pending.1 >= 20.0 {
                let (mine, other) = (pending.0 / totals.0, pending.1 / totals.1);
                sum += (mine - other).powi(2) / (pending.0 / totals.0.powi(2) + pending.1 / totals.1.powi(2));
                bins += 1;
                pending = (0.0, 0.0);
            }
        }
        let freedom = bins.saturating_sub(1).max(1);
        (sum / freedom as f64, freedom)
    }
}

fn fixtures() -> Fixtures {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/augment/draws.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The numbers of each draw under the names of the fixture.
fn numbers(drawn: &Drawn) -> Vec<(&'static str, f64)> {
    match drawn {
        Drawn::ResizedCrop(plan) => vec![
            ("width", plan.width as f64),
            ("height", plan.height as f64),
            ("x", plan.x as f64),
            ("y", plan.y as f64),
            ("log-ratio", (plan.width as f64 / plan.height as f64).ln()),
        ],
        Drawn::Crop(plan) => vec![("x", plan.x as f64), ("y", plan.y as f64)],
        Drawn::Affine(plan) => vec![
            ("x", plan.shift[0] as f64),
            ("y", plan.shift[1] as f64),
            ("scale-x", plan.scale[0]),
            ("scale-y", plan.scale[1]),
            ("scale-quotient", plan.scale[0] / plan.scale[1]),
            ("angle", plan.angle),
        ],
        Drawn::HueSaturationValue { hue, saturation, value } => {
            vec![("hue", *hue), ("saturation", *saturation), ("value", *value)]
        }
        Drawn::BrightnessContrast { alpha, brightness, .. } => {
            vec![("alpha", *alpha), ("brightness", *brightness)]
        }
        Drawn::Dropout(plan) => {
            let sides = plan.holes.iter().flat_map(|hole| {
                let sides = [("width", hole.width), ("height", hole.height), ("x", hole.x), ("y", hole.y)];
                sides.map(|(name, value)| (name, value as f64))
            });
            std::iter::once(("count", plan.holes.len() as f64)).chain(sides).collect()
        }
        Drawn::Transpose | Drawn::HorizontalFlip | Drawn::VerticalFlip => Vec::new(),
    }
}

fn params() -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("random-resized-crop", json!({"transform": "random-resized-crop", "size": [32, 32]})),
        (
            "random-resized-crop-wide",
            json!({"transform": "random-resized-crop", "size": [32, 32], "scale": [0.5, 0.9], "ratio": [2.0, 4.0]}),
        ),
        ("random-crop", json!({"transform": "random-crop", "height": 50, "width": 30})),
        (
            "random-crop-padded",
            json!({"transform": "random-crop", "height": 70, "width": 110, "pad-if-needed": true, "pad-position": "random"}),
        ),
        ("shift-scale-rotate", json!({"transform": "shift-scale-rotate", "p": 1})),
        ("hue-saturation-value", json!({"transform": "hue-saturation-value", "p": 1})),
        (
            "random-brightness-contrast",
            json!({"transform": "random-brightness-contrast", "p": 1, "contrast-limit": [-0.1, 0.3]}),
        ),
        ("coarse-dropout", json!({"transform": "coarse-dropout", "p": 1})),
        (
            "coarse-dropout-pixels",
            json!({
                "transform": "coarse-dropout", "p": 1, "num-holes-range": [3, 6], "hole-height-range": [5, 80],
                "hole-width-range": [0, 7],
            }),
        ),
    ]
}

#[test]
fn draws_are_distributed_like_the_reference() {
    let fixtures = fixtures();
    let params = params();
    assert_eq!(params.len(), fixtures.transforms.len());
    let mut wrong = Vec::new();
    for (name, params) in params {
        let transform: Transform = serde_json::from_value(params).unwrap();
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut draws = Draws::new(11, 0, 0);
        for _ in 0..fixtures.count {
            let drawn = transform.draw(&mut draws, fixtures.width, fixtures.height).unwrap();
            numbers(&drawn)
                .into_iter()
                .for_each(|(number, value)| values.entry(number).or_default().push(value));
        }
        for (number, histogram) in &fixtures.transforms[name] {
            let (ratio, freedom) = histogram.compare(&values[number.as_str()]);
            // Five standard deviations of chi-square over its degrees of freedom.
            if ratio > 1.0 + 5.0 * (2.0 / freedom as f64).sqrt() {
                wrong.push(format!("{name}, {number}: {ratio:.2} with {freedom} degrees of freedom"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_comparison_notices_a_skew() {
    let fixtures = fixtures();
    let histogram = &fixtures.transforms["shift-scale-rotate"]["angle"];
    let mut draws = Draws::new(1, 2, 3);
    let skewed: Vec<f64> = (0..20_000).map(|_| 90.0 * draws.unit().powf(1.2) - 45.0).collect();
    assert!(histogram.compare(&skewed).0 > 3.0);
}

#[test]
fn probability_and_independence_of_keys() {
    let flip: Transform = serde_json::from_value(json!({"transform": "horizontal-flip", "p": 0.3})).unwrap();
    for key in [0usize, 1, 2] {
        let applied = (0..10_000u64).filter(|number| {
            let mut words = [7, 7, 7];
            words[key] = *number;
            let [seed, epoch, sample] = words;
            flip.draw(&mut Draws::new(seed, epoch, sample), 5, 5).is_some()
        });
        // Four standard deviations are 0.018.
        let share = applied.count() as f64 / 10_000.0;
        assert!((share - 0.3).abs() < 0.018, "{share} for word {key} of the key");
    }
    let [always, never] = [1.0, 0.0]
        .map(|p| serde_json::from_value::<Transform>(json!({"transform": "transpose", "p": p})).unwrap());
    let mut draws = Draws::new(0, 0, 0);
    assert!(
        (0..1000).all(|_| always.draw(&mut draws, 5, 5).is_some() && never.draw(&mut draws, 5, 5).is_none())
    );
}

/// The stream is part of what a policy means: it may only change with the format.
#[test]
fn the_stream_is_fixed() {
    let mut draws = Draws::new(1, 2, 3);
    let words = [draws.word(), draws.word()];
    assert_eq!(words, STREAM);
    assert!((0..1000).all(|_| (3..=5).contains(&draws.integer(3, 5))));
    assert_eq!(draws.integer(4, 4), 4);
}

/// First words of ChaCha8 with the key (1, 2, 3, "augment1") in little-endian words.
const STREAM: [u64; 2] = [0xe357_806b_dc8d_5957, 0x0d6d_fef0_c9ba_e7e2];
