//! The pipeline's gates: metrics of stages against their bounds.

use stagewright_protocol::GateStatus;

use super::inputs::Settled;
use crate::{
    plan::{Against, Bound, StageId, Target},
    record::{MetricValue, Outcome, TargetVerdict},
};

/// The verdict on a target, once every stage it asks has ended. A stage without a result makes it not applicable, which is
/// not passed; a result without the metric is a failure.
pub(super) fn check<'a>(
    target: &Target,
    settled: impl Fn(&StageId) -> Option<&'a Settled>,
) -> Option<TargetVerdict> {
    let (mut value, mut bound) = (None, None);
    let (status, reason) = judge(target, settled, &mut value, &mut bound)?;
    Some(TargetVerdict {
        target: target.name.clone(),
        line: target.line,
        stage: target.stage.clone(),
        metric: target.metric.clone(),
        value,
        bound,
        status,
        reason,
    })
}

fn judge<'a>(
    target: &Target,
    settled: impl Fn(&StageId) -> Option<&'a Settled>,
    value: &mut Option<f64>,
    bound: &mut Option<f64>,
) -> Option<(GateStatus, String)> {
    let own = settled(&target.stage)?;
    let against = match &target.bound {
        Bound::AtMost(_) | Bound::AtLeast(_) => None,
        Bound::DropAtMost { against, .. } | Bound::RatioAtMost { against, .. } => Some(against),
    };
    // Both have to have ended before anything is said.
    let other = match against {
        Some(Against::Stage { stage, .. }) => Some(settled(stage)?),
        Some(Against::Release { .. }) | None => None,
    };
    let found = match metric(own, &target.stage, &target.metric) {
        Ok(found) => found,
        Err(verdict) => return Some(verdict),
    };
    *value = Some(found.value);
    let reference = match (against, other) {
        (Some(Against::Stage { stage, metric: name }), Some(settled)) => match metric(settled, stage, name) {
            Ok(found) => Some((format!("{name} of `{stage}`"), found.value)),
            Err(verdict) => return Some(verdict),
        },
        (Some(Against::Release { release, metric, value }), _) => {
            match released(target, release.as_deref(), metric, *value) {
                Ok(found) => Some(found),
                Err(reason) => return Some((GateStatus::NotApplicable, reason)),
            }
        }
        _ => None,
    };
    let unit = found.unit.as_deref().map_or_else(String::new, |unit| format!(" {unit}"));
    let show = |value: f64| format!("{}{unit}", number(value));
    // Percentages differ by percentage points.
    let apart = |value: f64| if unit == " %" { format!("{} pp", number(value)) } else { show(value) };
    let (limit, spare, wanted) = match (&target.bound, reference) {
        (Bound::AtMost(limit), _) => {
            (*limit, limit - found.value, format!("at most {} is wanted", show(*limit)))
        }
        (Bound::AtLeast(limit), _) => {
            (*limit, found.value - limit, format!("at least {} is wanted", show(*limit)))
        }
        (Bound::DropAtMost { value, .. }, Some((name, other))) => (
            other - value,
            found.value - (other - value),
            format!("{name} is {}, from which it may drop by {}", show(other), apart(*value)),
        ),
        (Bound::RatioAtMost { value, .. }, Some((name, other))) => (
            other * value,
            other * value - found.value,
            format!("{name} is {}, of which it may be {} times", show(other), number(*value)),
        ),
        (Bound::DropAtMost { .. } | Bound::RatioAtMost { .. }, None) => return None,
    };
    *bound = Some(limit);
    let what = format!("{} of `{}` is {}", target.metric, target.stage, show(found.value));
    // Not `spare < 0`: with a value that is no number, neither would hold.
    Some(if spare >= 0.0 {
        (GateStatus::Passed, format!("{what}; {wanted}: {} to spare", apart(spare)))
    } else {
        (GateStatus::Failed, format!("{what}; {wanted}: missed by {}", apart(-spare)))
    })
}

/// What the last release had, in words and as a number. A first release has none to be compared with.
fn released(
    target: &Target,
    release: Option<&str>,
    metric: &str,
    value: Option<f64>,
) -> Result<(String, f64), String> {
    let Some(release) = release else { return Err("there is no release to compare with yet".to_owned()) };
    match value {
        Some(value) => Ok((format!("{metric} of release `{release}`"), value)),
        None => Err(format!("release `{release}` has no {metric} of `{}` to compare with", target.stage)),
    }
}

fn metric<'a>(
    settled: &'a Settled,
    stage: &StageId,
    name: &str,
) -> Result<&'a MetricValue, (GateStatus, String)> {
    let not_applicable = |why: &str| Err((GateStatus::NotApplicable, format!("`{stage}` {why}")));
    match settled {
        Settled::Skipped => not_applicable("was skipped"),
        Settled::Unwanted => not_applicable("was not asked for"),
        Settled::NoResult(Outcome::Cancelled) => not_applicable("was cancelled"),
        Settled::NoResult(Outcome::Blocked) => not_applicable("was blocked"),
        Settled::NoResult(_) => not_applicable("failed"),
        Settled::Result(result) => match result.measured.metrics.get(name) {
            Some(metric) if metric.value.is_finite() => Ok(metric),
            Some(metric) => Err((GateStatus::Failed, format!("{name} of `{stage}` is {}", metric.value))),
            None => {
                let known: Vec<&str> = result.measured.metrics.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "no metric".to_owned() } else { known.join(", ") };
                Err((GateStatus::Failed, format!("`{stage}` reported no metric {name}; it reported {known}")))
            }
        },
    }
}

/// A number to about five digits.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-3..1e9).contains(&magnitude) {
        return format!("{value:.4e}");
    }
    let decimals = if magnitude >= 1000.0 { 1 } else { 4 };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
