//! The few statistics that measurements need, each by the book it names.

/// An estimate with the bounds of its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub estimate: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// Two-sided 95 % quantile of the standard normal distribution.
pub const Z95: f64 = 1.959_963_984_540_054;

/// Arithmetic mean; NaN for no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Median of values in any order (mean of the middle two for an even count); NaN for no values.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

/// Values in ascending order.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Nearest-rank percentile of ascending values: the smallest value that at least `percent` % of them do not exceed (rank
/// ⌈percent/100 · n⌉). NaN for no values.
pub fn percentile(ascending: &[f64], percent: f64) -> f64 {
    // 99.9 % of 1,000 is 999, not the 999.000…1 that binary fractions make of it.
    let rank = (percent * ascending.len() as f64 / 100.0 - 1e-9).ceil() as usize;
    ascending.get(rank.clamp(1, ascending.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

/// A percentile with its distribution-free 95 % interval between order statistics, by the normal approximation of the
/// binomial ranks n·p ± z·√(n·p·(1−p)), rounded outwards (Conover, Practical Nonparametric Statistics, 3.2). Where the sample
/// is too small to bound it, the bound is the smallest or largest value.
pub fn percentile_interval(ascending: &[f64], percent: f64) -> Interval {
    let count = ascending.len() as f64;
    let share = percent / 100.0;
    let spread = Z95 * (count * share * (1.0 - share)).sqrt();
    let at = |rank: f64| {
        let last = ascending.len().saturating_sub(1) as f64;
        ascending.get((rank - 1.0).clamp(0.0, last) as usize).copied().unwrap_or(f64::NAN)
    };
    Interval {
        estimate: percentile(ascending, percent),
        low: at((count * share - spread).floor()),
        high: at((count * share + spread).ceil() + 1.0),
    }
}

/// Slope of y over x by Theil and Sen: the median of the slopes between all pairs of different x, with Sen's 95 % interval
/// (Hollander and Wolfe, Nonparametric Statistical Methods, 9.3) from Kendall's variance n(n−1)(2n+5)/18, ranks rounded
/// outwards. Equal y would make the variance smaller, which is left out: the interval is never too narrow. Robust: up to 29 %
/// of the points may be anything. None for fewer than three points, or where all x are equal.
pub fn theil_sen(points: &[(f64, f64)]) -> Option<Interval> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, (x1, y1)) in points.iter().enumerate() {
        slopes.extend(
            points[index + 1..].iter().filter(|(x2, _)| x2 != x1).map(|(x2, y2)| (y2 - y1) / (x2 - x1)),
        );
    }
    if points.len() < 3 || slopes.is_empty() {
        return None;
    }
    slopes.sort_by(f64::total_cmp);
    let n = points.len() as f64;
    let spread = Z95 * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let pairs = slopes.len() as f64;
    let at = |rank: f64| slopes[(rank.clamp(0.0, pairs - 1.0)) as usize];
    Some(Interval {
        estimate: median(&slopes),
        // Counted from 1 these are the ranks M and N + 1 − M of the N slopes, M = (N − spread)/2.
        low: at(((pairs - spread) / 2.0).floor() - 1.0),
        high: at(((pairs + spread) / 2.0).ceil()),
    })
}

/// How many of the same samples each of two classifiers got right alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Discordant {
    /// Only the first is right.
    pub first_only: u64,
    /// Only the second is right.
    pub second_only: u64,
    /// Samples in all.
    pub samples: u64,
}

impl Discordant {
    /// Compares predictions sample by sample.
    pub fn count(first: &[bool], second: &[bool]) -> Self {
        let mut counts = Self { samples: first.len().min(second.len()) as u64, ..Self::default() };
        for (first, second) in first.iter().zip(second) {
            counts.first_only += u64::from(*first && !*second);
            counts.second_only += u64::from(!*first && *second);
        }
        counts
    }

    /// Accuracy of the first minus accuracy of the second, in points of percent, with the 95 % Wald interval for paired
    /// proportions (Fleiss, Statistical Methods for Rates and Proportions, 13.1): variance (b + c − (b − c)²/n)/n².
    pub fn drop(&self) -> Interval {
        let (only_first, only_second, count) =
            (self.first_only as f64, self.second_only as f64, self.samples as f64);
        let difference = (only_first - only_second) / count;
        let variance =
            (only_first + only_second - (only_first - only_second).powi(2) / count) / count.powi(2);
        let spread = Z95 * variance.max(0.0).sqrt();
        let points = |share: f64| share * 100.0;
        Interval {
            estimate: points(difference),
            low: points(difference - spread),
            high: points(difference + spread),
        }
    }

    /// Exact two-sided McNemar test: probability of so uneven a split of the discordant samples if both were equally good.
    pub fn mcnemar(&self) -> f64 {
        let trials = self.first_only + self.second_only;
        let fewer = self.first_only.min(self.second_only);
        // Sum of binomial probabilities, in logarithms so that thousands of trials do not underflow.
        let mut log_choose = 0.0_f64;
        let mut tail = 0.0;
        for successes in 0..=fewer {
            if successes > 0 {
                log_choose += ((trials - successes + 1) as f64 / successes as f64).ln();
            }
            tail += (log_choose - trials as f64 * std::f64::consts::LN_2).exp();
        }
        (2.0 * tail).min(1.0)
    }
}
