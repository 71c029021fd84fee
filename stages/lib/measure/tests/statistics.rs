//! The statistics against scipy, statsmodels and numpy (fixture `statistics.json`, made by the script beside it), and their
//! properties.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use stagewright_measure::{
    Latency,
    statistics::{Discordant, mean, median, percentile, percentile_interval, sorted, theil_sen},
};

fn reference(part: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fixtures/measure/statistics.json");
    let whole: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    whole[part].as_array().unwrap().clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

#[track_caller]
fn assert_close(found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= 1e-9 * wanted.abs().max(1e-3), "{found} is not {wanted}");
}

#[test]
fn percentiles_are_numpys_inverted_cdf() {
    for case in reference("percentiles") {
        let values = numbers(&case["values"]);
        let ascending = sorted(&values);
        for (percent, wanted) in case["expected"].as_object().unwrap() {
            assert_eq!(
                percentile(&ascending, percent.parse().unwrap()),
                number(wanted),
                "{percent} % of {values:?}"
            );
        }
        assert_close(median(&values), number(&case["median"]));
        assert_close(mean(&values), number(&case["mean"]));
    }
}

#[test]
fn a_rank_that_is_a_whole_number_is_not_lifted_by_binary_fractions() {
    let ascending: Vec<f64> = (1..=1000).map(f64::from).collect();
    // 99.9 / 100 · 1000 is 999.0000000000001, 0.07 · 100 is 7.000000000000001.
    assert_eq!(percentile(&ascending, 99.9), 999.0);
    assert_eq!(percentile(&ascending[..100], 7.0), 7.0);
    assert_eq!(percentile(&ascending[..100], 99.0), 99.0);
    assert_eq!(percentile(&ascending[..100], 99.1), 100.0);
}

#[test]
fn nothing_measured_is_no_number() {
    assert!(percentile(&[], 50.0).is_nan() && median(&[]).is_nan() && mean(&[]).is_nan());
    assert!(percentile_interval(&[], 99.0).low.is_nan());
    let nothing = Latency::of(&[]);
    assert!(nothing.runs == 0 && nothing.max.is_nan() && nothing.p99.is_nan());
    assert_eq!(theil_sen(&[(0.0, 1.0), (1.0, 2.0)]), None);
    assert_eq!(theil_sen(&[(3.0, 1.0), (3.0, 2.0), (3.0, 5.0)]), None);
    assert_eq!(Discordant::count(&[], &[]).mcnemar(), 1.0);
}

#[test]
fn the_interval_of_a_percentile_covers_it_with_95_percent() {
    for case in reference("binomial") {
        let (count, percent, cdf) = (number(&case["count"]), number(&case["percent"]), numbers(&case["cdf"]));
        // Values that are their own rank.
        let ascending: Vec<f64> = (1..=count as usize).map(|rank| rank as f64).collect();
        let interval = percentile_interval(&ascending, percent);
        // Beyond the last value nothing is covered; there the bound is the largest value and the promise ends.
        let above = if interval.high < count { 1.0 - cdf[interval.high as usize - 1] } else { 0.0 };
        let covered = 1.0 - above - cdf[interval.low as usize - 1];
        assert!(
            (0.95..0.99).contains(&covered),
            "{count} values, {percent} %: {interval:?} covers {covered}"
        );
    }
}

/// scipy rounds the ranks to the nearest and takes ties into the variance; here they are rounded outwards, without ties. So
/// the estimate is equal, and a bound equal or, without ties, the next slope outwards.
#[test]
fn theil_sen_is_scipys_with_bounds_rounded_outwards() {
    for case in reference("slopes") {
        let points: Vec<(f64, f64)> = case["points"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (number(&pair[0]), number(&pair[1])))
            .collect();
        let found = theil_sen(&points).unwrap();
        let (low, high) = (number(&case["low"]), number(&case["high"]));
        assert_close(found.estimate, number(&case["slope"]));
        assert!(found.low <= low + 1e-12 && found.high >= high - 1e-12, "{case}: {found:?}");
        if case["ties"] == true {
            continue;
        }
        let mut slopes = Vec::new();
        for (index, one) in points.iter().enumerate() {
            slopes.extend(points[index + 1..].iter().map(|other| (other.1 - one.1) / (other.0 - one.0)));
        }
        let between = |from: f64, to: f64| {
            slopes.iter().filter(|slope| **slope > from + 1e-12 && **slope < to - 1e-12).count()
        };
        assert_eq!((between(found.low, low), between(high, found.high)), (0, 0), "{}", case["name"]);
    }
}

#[test]
fn paired_accuracy_is_statsmodels_and_the_variance_of_the_differences() {
    for case in reference("pairs") {
        let count = |name: &str| case[name].as_u64().unwrap();
        let (first_only, second_only, samples) =
            (count("first-only"), count("second-only"), count("samples"));
        let sample = |right: bool, number: u64| std::iter::repeat_n(right, number as usize);
        let both = samples - first_only - second_only;
        let first: Vec<bool> =
            sample(true, first_only).chain(sample(false, second_only)).chain(sample(true, both)).collect();
        let second: Vec<bool> =
            sample(false, first_only).chain(sample(true, second_only)).chain(sample(true, both)).collect();
        let found = Discordant::count(&first, &second);
        assert_eq!(found, Discordant { first_only, second_only, samples });
        assert_close(found.mcnemar(), number(&case["p"]));
        let wanted = numbers(&case["drop"]);
        let drop = found.drop();
        assert_close(drop.estimate, wanted[0]);
        assert_close(drop.low, wanted[1]);
        assert_close(drop.high, wanted[2]);
    }
}

#[test]
fn thousands_of_discordant_samples_do_not_underflow() {
    let even = Discordant { first_only: 20_000, second_only: 20_000, samples: 100_000 };
    assert!((even.mcnemar() - 1.0).abs() < 1e-9);
    let uneven = Discordant { first_only: 20_000, second_only: 19_000, samples: 100_000 };
    // Normal approximation: z = (1000 − 1)/√39000.
    assert!((uneven.mcnemar().log10() - (4.2187e-7_f64).log10()).abs() < 0.01, "{}", uneven.mcnemar());
}

proptest! {
    #[test]
    fn a_percentile_is_one_of_the_values_and_monotone(
        values in prop::collection::vec(-1e6..1e6_f64, 1..200), one in 0.0..=100.0_f64, other in 0.0..=100.0_f64,
    ) {
        let ascending = sorted(&values);
        let (low, high) = (percentile(&ascending, one.min(other)), percentile(&ascending, one.max(other)));
        prop_assert!(values.contains(&low) && values.contains(&high) && low <= high);
        // The definition: enough values lie at or below it, and too few below.
        let share = |count: usize| 100.0 * count as f64 / values.len() as f64;
        let found = percentile(&ascending, one);
        prop_assert!(share(values.iter().filter(|value| **value <= found).count()) >= one - 1e-6);
        prop_assert!(share(values.iter().filter(|value| **value < found).count()) <= one + 1e-6);
    }

    #[test]
    fn an_interval_contains_its_estimate(
        values in prop::collection::vec(-1e6..1e6_f64, 3..80), percent in 0.0..=100.0_f64, only in 0_u64..500, other in 0_u64..500,
        both in 1_u64..500,
    ) {
        let rank = percentile_interval(&sorted(&values), percent);
        prop_assert!(rank.low <= rank.estimate && rank.estimate <= rank.high);
        let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
        let slope = theil_sen(&points).unwrap();
        prop_assert!(slope.low <= slope.estimate && slope.estimate <= slope.high);
        let pairs = Discordant { first_only: only, second_only: other, samples: only + other + both };
        let drop = pairs.drop();
        prop_assert!(drop.low <= drop.estimate && drop.estimate <= drop.high);
        let swapped = Discordant { first_only: other, second_only: only, ..pairs };
        prop_assert!((0.0..=1.0).contains(&pairs.mcnemar()) && pairs.mcnemar() == swapped.mcnemar());
        prop_assert!((swapped.drop().low + drop.high).abs() < 1e-9);
    }

    #[test]
    fn a_line_has_its_slope_whatever_a_quarter_of_the_points_are(
        slope in -100.0..100.0_f64, wrong in prop::collection::vec(-1e5..1e5_f64, 0..5),
    ) {
        let mut points: Vec<(f64, f64)> = (0..24).map(|x| (f64::from(x), slope * f64::from(x) + 7.0)).collect();
        for (index, value) in wrong.iter().enumerate() {
            points[index * 5 + 1].1 = *value;
        }
        prop_assert!((theil_sen(&points).unwrap().estimate - slope).abs() < 1e-6);
    }

    #[test]
    fn a_summary_does_not_depend_on_the_order(mut times in prop::collection::vec(0.01..100.0_f64, 1..300)) {
        let forwards = Latency::of(&times);
        times.reverse();
        let backwards = Latency::of(&times);
        prop_assert!((forwards.mean - backwards.mean).abs() < 1e-9);
        prop_assert_eq!(&forwards, &Latency { mean: forwards.mean, ..backwards });
        prop_assert!(forwards.p50 <= forwards.p90 && forwards.p90 <= forwards.p99 && forwards.p99 <= forwards.p99_9);
        prop_assert!(forwards.p99_9 <= forwards.max);
    }
}
