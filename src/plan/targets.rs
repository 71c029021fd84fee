//! `targets:` → gates with values in the metrics' own units.

use serde_json::Value;
use stagewright_protocol::Manifest;

use crate::spec::{
    Diagnostic,
    expression::StageReference,
    nearest::suggestion,
    types::{BoundSpec, MetricReference, PipelineSpec, TargetSpec, Value as Written},
    units::{Dimension, Quantity, unit_named},
};

use super::{
    Against, Bound, ReleasedMetrics, StageId, Target,
    evaluate::Scope,
    instances::{Instance, Instances},
    values::{described, resolve},
};

/// Words for the last release.
const RELEASE: &[&str] = &["release", "last-release"];

/// Resolves targets; those on skipped stages stay, since the run shows them as not applicable.
pub(super) fn resolve_all(
    specs: &[TargetSpec],
    instances: &Instances<'_>,
    scope: &Scope<'_>,
    release: Option<&ReleasedMetrics>,
    line: impl Fn(usize) -> usize,
    findings: &mut Vec<Diagnostic>,
    warnings: &mut Vec<String>,
) -> Vec<Target> {
    let mut resolver = Resolver { instances, scope, release, warnings };
    specs
        .iter()
        .filter_map(|spec| {
            let line = line(spec.name.span.start);
            resolver.target(spec, line, findings)
        })
        .collect()
}

struct Resolver<'a> {
    instances: &'a Instances<'a>,
    scope: &'a Scope<'a>,
    release: Option<&'a ReleasedMetrics>,
    warnings: &'a mut Vec<String>,
}

/// Whether a target compares with the last release, so that it has to be looked for.
pub fn compares_with_release(spec: &PipelineSpec) -> bool {
    spec.targets.iter().any(|target| match &target.bound {
        BoundSpec::MaxDrop(against, _) | BoundSpec::MaxRatio(against, _) => {
            RELEASE.contains(&release_word(against))
        }
        BoundSpec::AtMost(_) | BoundSpec::AtLeast(_) => false,
    })
}

/// What a reference starts with, which may be a word for the last release.
fn release_word(reference: &MetricReference) -> &str {
    reference.stage.as_ref().map_or(reference.metric.as_str(), |stage| stage.stage.as_str())
}

impl Resolver<'_> {
    fn target(&mut self, spec: &TargetSpec, line: usize, findings: &mut Vec<Diagnostic>) -> Option<Target> {
        let stage = self.one(&spec.stage, findings)?;
        let metric = spec.metric.as_ref().unwrap_or(&spec.name).value.clone();
        let unit = self.unit(&spec.name.value, stage, &metric);
        let what = format!("target `{}`", spec.name.value);
        let bound = match &spec.bound {
            BoundSpec::AtMost(value) => {
                Bound::AtMost(self.amount(&what, value, unit.as_deref(), findings)?)
            }
            BoundSpec::AtLeast(value) => {
                Bound::AtLeast(self.amount(&what, value, unit.as_deref(), findings)?)
            }
            BoundSpec::MaxDrop(against, value) => {
                let against =
                    self.against(&spec.name.value, stage, &metric, against, unit.as_deref(), findings)?;
                let value = not_negative(
                    &what,
                    value,
                    self.amount(&what, value, unit.as_deref(), findings)?,
                    findings,
                )?;
                Bound::DropAtMost { against, value }
            }
            BoundSpec::MaxRatio(against, value) => {
                let against =
                    self.against(&spec.name.value, stage, &metric, against, unit.as_deref(), findings)?;
                let ratio = self.ratio(&what, value, findings)?;
                let value = not_negative(&what, value, ratio, findings)?;
                Bound::RatioAtMost { against, value }
            }
        };
        Some(Target { name: spec.name.value.clone(), line, stage: self.id(stage), metric, bound })
    }

    fn id(&self, stage: usize) -> StageId {
        self.instances.all[stage].id.clone()
    }

    fn one(&self, reference: &StageReference, findings: &mut Vec<Diagnostic>) -> Option<usize> {
        match self.instances.referred(reference, self.scope) {
            Ok(found) if found.len() == 1 => found.first().copied(),
            Ok(found) => {
                let example = found.first().map(|&first| format!("for example `{}`", self.id(first)));
                findings.push(
                    Diagnostic::error(
                        "plan::target",
                        format!(
                            "a target is on one stage; `{}` names {}",
                            reference.stage.value,
                            found.len()
                        ),
                    )
                    .at(reference.stage.span.clone(), "")
                    .maybe_hint(example),
                );
                None
            }
            Err(error) => {
                findings.push(error);
                None
            }
        }
    }

    fn against(
        &mut self,
        target: &str,
        stage: usize,
        metric: &str,
        reference: &MetricReference,
        unit: Option<&str>,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<Against> {
        let word = release_word(reference);
        if RELEASE.contains(&word) && !self.instances.declares(word) {
            let asked = if reference.stage.is_some() { &reference.metric } else { metric };
            return Some(self.released(stage, asked));
        }
        let listed = self.instances.all[stage]
            .program
            .is_some_and(|program| program.manifest.metrics.contains_key(&reference.metric));
        let alone =
            reference.alone.as_ref().filter(|alone| !listed && self.instances.declares(alone.stage.as_str()));
        let (other, metric) = match (&reference.stage, alone) {
            (Some(reference_stage), _) => (self.one(reference_stage, findings)?, reference.metric.clone()),
            // A stage alone: its metric of the same name.
            (None, Some(alone)) => (self.one(alone, findings)?, metric.to_owned()),
            (None, None) => (stage, reference.metric.clone()),
        };
        let theirs = self.unit(target, other, &metric);
        if let (Some(ours), Some(theirs)) = (unit, theirs)
            && unit_named(ours) != unit_named(&theirs)
        {
            findings.push(
                Diagnostic::error(
                    "plan::unit",
                    format!("`{metric}` is in {theirs}, but the target's metric is in {ours}"),
                )
                .at(reference.span.clone(), ""),
            );
            return None;
        }
        Some(Against::Stage { stage: self.id(other), metric })
    }

    /// A metric of the last release. The stage is the target's own: another pipeline may have released another one.
    fn released(&self, stage: usize, metric: &str) -> Against {
        let value = self
            .release
            .and_then(|release| release.metrics.get(&self.instances.all[stage].id.0)?.get(metric).copied());
        Against::Release {
            release: self.release.map(|release| release.name.clone()),
            metric: metric.to_owned(),
            value,
        }
    }

    /// Unit of a metric, if the manifest or its name tells. A manifest need not list every metric, so one that it does
    /// not list is worth a warning and no more; a target whose metric is missing after the run has not passed.
    fn unit(&mut self, target: &str, stage: usize, metric: &str) -> Option<String> {
        let instance: &Instance<'_> = &self.instances.all[stage];
        let manifest = &instance.program?.manifest;
        let known = manifest.metrics.iter().find(|(pattern, _)| matches(pattern, metric));
        if let Some(hint) = unlisted(manifest, metric) {
            self.warnings.push(format!(
                "target `{target}`: the manifest of stage `{}` lists no metric `{metric}`; {hint}",
                instance.spec.name.value
            ));
        }
        known.and_then(|(_, meaning)| unit_in(meaning)).or_else(|| unit_of_name(metric)).map(str::to_owned)
    }

    fn amount(
        &self,
        what: &str,
        written: &Written,
        unit: Option<&str>,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<f64> {
        let value = resolve(written, self.scope, findings)?;
        let error = match (&value, unit.and_then(|unit| Some((unit, unit_named(unit)?.0)))) {
            (Value::Number(number), Some((unit, dimension @ (Dimension::Time | Dimension::Bytes)))) => {
                if number.as_f64() == Some(0.0) {
                    return Some(0.0);
                }
                Diagnostic::error("plan::unit", format!("{what} needs a unit: the metric is in {unit}")).hint(
                    format!("write for example `{number}{unit}`, or another of {}", dimension.choices()),
                )
            }
            (Value::Number(number), _) => return number.as_f64(),
            (Value::String(text), known) => match (Quantity::parse(text), known) {
                (Ok(quantity), Some((unit, dimension))) => match quantity.in_unit(unit) {
                    Some(amount) => return Some(amount),
                    None => Diagnostic::error(
                        "plan::unit",
                        format!(
                            "{what}: `{text}` is {}, but the metric is in {unit}",
                            quantity.dimension.noun()
                        ),
                    )
                    .hint(format!("write a number with one of the units {}", dimension.choices())),
                },
                // What the metric is in is not known: the units that metrics are shown in.
                (Ok(quantity), None) => {
                    let usual = match quantity.dimension {
                        Dimension::Time => "ms",
                        Dimension::Bytes => "MB",
                        Dimension::Proportion => "%",
                        Dimension::Pixels => "px",
                        Dimension::Angle => "deg",
                    };
                    return quantity.in_unit(usual);
                }
                (Err(error), known) => {
                    let dimension = known.map_or(Dimension::Time, |(_, dimension)| dimension);
                    Diagnostic::error("plan::unit", format!("{what}: {error}")).hint(match known {
                        Some(_) => error.hint(dimension),
                        None => "write a number, with a unit where the metric has one".to_owned(),
                    })
                }
            },
            _ => Diagnostic::error(
                "plan::type",
                format!("the bound of {what} is a number; here it is {}", described(&value)),
            ),
        };
        findings.push(error.at(written.span.clone(), ""));
        None
    }

    /// A factor: `0.5`, or `50%`.
    fn ratio(&self, what: &str, written: &Written, findings: &mut Vec<Diagnostic>) -> Option<f64> {
        let value = resolve(written, self.scope, findings)?;
        let found = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => Quantity::parse(text)
                .ok()
                .and_then(|quantity| quantity.in_unit("fraction"))
                .filter(|_| text.trim_end().ends_with('%')),
            _ => None,
        };
        if found.is_none() {
            findings.push(
                Diagnostic::error(
                    "plan::type",
                    format!("`value` of {what} is a ratio; here it is {}", described(&value)),
                )
                .at(written.span.clone(), "")
                .hint("write a factor such as `0.5`, or `50%`"),
            );
        }
        found
    }
}

fn not_negative(what: &str, written: &Written, value: f64, findings: &mut Vec<Diagnostic>) -> Option<f64> {
    if value >= 0.0 {
        return Some(value);
    }
    findings.push(
        Diagnostic::error("plan::target", format!("`value` of {what} is below 0"))
            .at(written.span.clone(), "")
            .hint("it says how much is allowed, as a number from 0"),
    );
    None
}

/// What to say of a metric that a manifest does not list, if it lists any.
pub(super) fn unlisted(manifest: &Manifest, metric: &str) -> Option<String> {
    let listed =
        manifest.metrics.is_empty() || manifest.metrics.keys().any(|pattern| matches(pattern, metric));
    (!listed).then(|| suggestion(metric, manifest.metrics.keys().map(String::as_str)).unwrap_or_default())
}

/// A metric against a name of a manifest, in which `<variant>` stands for anything.
fn matches(pattern: &str, metric: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('<') else { return pattern == metric };
    let Some((_, after)) = rest.split_once('>') else { return pattern == metric };
    let Some(rest) = metric.strip_prefix(before) else { return false };
    // The variant has at least one character; what follows it may hold placeholders of its own.
    rest.char_indices()
        .skip(1)
        .map(|(at, _)| at)
        .chain([rest.len()])
        .any(|at| at > 0 && matches(after, &rest[at..]))
}

/// The unit in a metric's meaning: `latency at the 99th percentile, ms`, `share of right answers (%)`.
fn unit_in(meaning: &str) -> Option<&str> {
    meaning
        .split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | ',' | ';' | ':' | '.'))
        .rfind(|word| {
            matches!(
                *word,
                "ms" | "us"
                    | "s"
                    | "seconds"
                    | "%"
                    | "percent"
                    | "pp"
                    | "points"
                    | "fraction"
                    | "B"
                    | "bytes"
                    | "kB"
                    | "MB"
                    | "GB"
                    | "KiB"
                    | "MiB"
                    | "GiB"
            )
        })
}

/// Accuracies are in percent.
fn unit_of_name(metric: &str) -> Option<&'static str> {
    let last = metric.rsplit('.').next()?;
    matches!(last, "top1" | "top5" | "accuracy").then_some("%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_match_any_name() {
        assert!(matches("<variant>.top1", "int8.top1"));
        assert!(matches("<variant>.top1", "a.b.top1"));
        assert!(!matches("<variant>.top1", ".top1"));
        assert!(!matches("<variant>.top1", "int8.top5"));
        assert!(matches("latency.<variant>.<batch>", "latency.int8.b1"));
        assert!(matches("loss", "loss"));
        assert!(!matches("loss", "losses"));
    }

    #[test]
    fn units_are_read_from_meanings() {
        assert_eq!(unit_in("latency of one image at the 99th percentile, ms"), Some("ms"));
        assert_eq!(unit_in("right answers (%)"), Some("%"));
        assert_eq!(unit_in("images for each class"), None);
        assert_eq!(unit_of_name("int8.top1"), Some("%"));
    }
}
