//! Scales, zero points and ranges against onnxruntime's.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use stagewright_stage_quantize::{
    histogram::Histogram,
    scale::{self, Grid, Noise, Quantizer, Range},
};

#[test]
fn scale_and_zero_point_are_onnxruntimes() {
    for row in common::reference()["scales"].as_array().unwrap() {
        let range =
            Range { min: row["min"].as_f64().unwrap() as f32, max: row["max"].as_f64().unwrap() as f32 };
        for (name, grid) in
            [("unsigned", Grid::Unsigned), ("signed", Grid::Signed), ("symmetric", Grid::Symmetric)]
        {
            let quantizer = Quantizer::of(range, grid);
            let expected = (row[name][0].as_f64().unwrap() as f32, row[name][1].as_i64().unwrap() as i32);
            assert_eq!((quantizer.scale, quantizer.zero), expected, "{name} of {range:?}");
        }
    }
}

#[test]
fn the_range_from_minus_one_to_two_by_hand() {
    let range = Range { min: -1.0, max: 2.0 };
    let unsigned = Quantizer::of(range, Grid::Unsigned);
    assert_eq!((unsigned.scale, unsigned.zero), (3.0 / 255.0, 85));
    assert_eq!(Quantizer::of(range, Grid::Signed).zero, -43);
    assert_eq!(Quantizer::of(range, Grid::Symmetric).scale, 2.0 / 127.0);
    // Halves round to even, ends saturate.
    let unit = Quantizer::of(Range { min: 0.0, max: 255.0 }, Grid::Unsigned);
    assert_eq!([0.5, 1.5, 2.5, -7.0, 300.0].map(|value| unit.quantize(value)), [0, 2, 2, 0, 255]);
    assert_eq!(unsigned.rounded(0.0), 0.0, "0 is always exact");
}

#[test]
fn a_bias_that_would_not_fit_raises_its_weights_scale() {
    assert_eq!(scale::bias(1.0, 0.5, 0.25), 8);
    let (input, weight) = (1e-4, 1e-7);
    assert_eq!(scale::bias(1.0, input, weight), i32::MAX, "saturates");
    let raised = scale::room_for_bias(weight, input, 1.0);
    let fits = scale::bias(1.0, input, raised);
    assert!(raised > weight && fits < i32::MAX && fits > i32::MAX / 20 * 9, "{raised} {fits}");
    assert_eq!(scale::room_for_bias(0.01, 0.01, 1.0), 0.01, "a scale with room stays");
}

#[test]
fn noise_is_in_decibels() {
    let mut noise = Noise::default();
    assert_eq!(noise.sqnr(), f64::INFINITY);
    noise.add(10.0, 9.0);
    assert!((noise.sqnr() - 20.0).abs() < 1e-9);
}

/// The script's numbers: sums of twelve 24-bit fractions of a 64-bit LCG, minus 6.
fn draws(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut draw = || {
        let sum: u64 = (0..12)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 40
            })
            .sum();
        (sum as f64 / f64::from(1 << 24) - 6.0) as f32
    };
    (0..count).map(|_| draw()).collect()
}

fn data() -> Vec<(&'static str, Vec<f32>)> {
    let mut normal = draws(20_000, 1);
    normal.extend([9.5, -12.25, 14.0, 33.75]);
    let relu = normal.iter().map(|value| value.max(0.0)).collect();
    let positive = normal.iter().map(|value| value.abs() + 0.5).collect();
    vec![("normal", normal), ("relu", relu), ("positive", positive)]
}

fn histogram(values: &[f32], batches: usize) -> Histogram {
    let range = values.iter().fold(Range { min: f32::INFINITY, max: f32::NEG_INFINITY }, |range, &value| {
        Range { min: range.min.min(value), max: range.max.max(value) }
    });
    let mut histogram = Histogram::new(range);
    values.chunks(values.len().div_ceil(batches)).for_each(|batch| histogram.add(batch));
    histogram
}

#[test]
fn ranges_are_those_that_onnxruntime_finds_in_one_batch() {
    let reference = common::reference();
    for (name, values) in data() {
        let histogram = histogram(&values, 1);
        let bin = 33.75f32 / 2048.0;
        let close = |found: Range, wanted: &serde_json::Value, what: &str, tolerance: f32| {
            let wanted = common::floats(wanted);
            let off = (found.min - wanted[0]).abs().max((found.max - wanted[1]).abs());
            assert!(off <= tolerance, "{name}, {what}: {found:?} instead of {wanted:?}");
        };
        close(histogram.entropy(), &reference["ranges"][name]["entropy"], "entropy", 1e-5);
        for percentile in ["99.0", "99.9", "99.99", "99.999"] {
            // The reference's grid starts at the smallest magnitude instead of 0, so its edges lie up to a bin apart.
            let found = histogram.percentile(percentile.parse().unwrap());
            close(found, &reference["ranges"][name][percentile], percentile, bin);
        }
    }
}

#[test]
fn order_and_batches_do_not_change_a_range() {
    let (_, mut values) = data().swap_remove(0);
    let whole = histogram(&values, 1);
    values.sort_by(f32::total_cmp);
    let sorted = histogram(&values, 10);
    values.reverse();
    assert_eq!(whole, sorted);
    assert_eq!(whole, histogram(&values, 7));
    assert_eq!(whole.percentile(100.0), Range { min: -12.25, max: 33.75 });
}

#[test]
fn an_activation_that_is_always_zero_has_a_range() {
    let zero = histogram(&[0.0; 100], 2);
    assert_eq!(zero.percentile(99.9), Range { min: 0.0, max: 0.0 });
    assert_eq!(Quantizer::of(zero.entropy(), Grid::Unsigned).scale, 1.0);
}
