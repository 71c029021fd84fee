//! The Pareto front: of several goals at once, the points that no other one beats.

/// For each point whether it is on the front. A point is given by its costs, less is better, in the order of the goals; one
/// that lacks a cost, or has one that is no number, competes with none and is never on the front.
///
/// A point dominates another one if it is nowhere worse and somewhere better, so equal points are on the front together.
pub fn front(costs: &[Option<Vec<f64>>]) -> Vec<bool> {
    let usable = |point: &Option<Vec<f64>>| {
        point.clone().filter(|point| !point.is_empty() && point.iter().all(|cost| cost.is_finite()))
    };
    let points: Vec<Option<Vec<f64>>> = costs.iter().map(usable).collect();
    let beaten = |point: &[f64]| points.iter().flatten().any(|other| dominates(other.as_slice(), point));
    points.iter().map(|point| point.as_ref().is_some_and(|point| !beaten(point))).collect()
}

/// Nowhere worse and somewhere better.
pub(super) fn dominates(a: &[f64], b: &[f64]) -> bool {
    let pairs = || a.iter().zip(b);
    pairs().all(|(a, b)| a <= b) && pairs().any(|(a, b)| a < b)
}
