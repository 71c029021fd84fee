//! `targets:`: gates on metrics.

use super::{
    diagnostic::Diagnostic,
    expression::{Text, stage_reference},
    fields::{self, Findings},
    stage::stage_name,
    tree::Node,
    types::{BoundSpec, MetricReference, Name, TargetSpec, Value},
};

const KEYS: &[&str] = &["on", "metric", "max", "min", "max-drop-vs", "max-ratio-vs", "value"];

const NOT_BUILT: &[(&str, &str)] = &[("scenario", "the metric's name says which scenario it measures")];

/// Reads `targets:`.
pub(super) fn read(node: &Node, findings: &mut Findings) -> Vec<TargetSpec> {
    fields::map(node, "`targets`", findings)
        .iter()
        .filter_map(|(name, node)| target(name, node, findings))
        .collect()
}

fn target(name: &Name, node: &Node, findings: &mut Findings) -> Option<TargetSpec> {
    let what = format!("target `{}`", name.value);
    let (mut stage, mut metric, mut value) = (None, None, None);
    let mut has_stage = false;
    let mut bounds: Vec<(&Name, &Node)> = Vec::new();
    for (key, node) in fields::map(node, &what, findings) {
        match key.as_str() {
            "on" => {
                has_stage = true;
                stage = stage_name(node, "`on`", findings);
            }
            "metric" => metric = fields::text(node, "`metric`", findings),
            "value" => value = Some(fields::value(node, findings)),
            "max" | "min" | "max-drop-vs" | "max-ratio-vs" => bounds.push((key, node)),
            _ => findings.extend(fields::unknown_key(key, &what, KEYS, NOT_BUILT)),
        }
    }
    if !has_stage {
        findings.push(
            fields::missing(name.span.clone(), &what, "on")
                .hint("name the stage that reports the metric: `on: bench`"),
        );
    }
    let &(key, bound) = match &bounds[..] {
        [one] => one,
        [] => {
            findings.push(
                Diagnostic::error("spec::target", format!("{what} has no bound"))
                    .at(name.span.clone(), "")
                    .hint(
                        "write one of `max`, `min`, `max-drop-vs` with `value`, `max-ratio-vs` with `value`",
                    ),
            );
            return None;
        }
        [(first, _), (second, _), ..] => {
            findings.push(
                Diagnostic::error("spec::target", format!("{what} has two bounds"))
                    .at(second.span.clone(), "a second one")
                    .at(first.span.clone(), "first here")
                    .hint("make two targets of it"),
            );
            return None;
        }
    };
    let bound = match key.as_str() {
        "max" | "min" => {
            if let Some(value) = &value {
                findings.push(
                    Diagnostic::error(
                        "spec::target",
                        format!("`value` of {what} belongs to `max-drop-vs` or `max-ratio-vs`"),
                    )
                    .at(value.span.clone(), "")
                    .hint(format!("the bound is the value of `{}`", key.value)),
                );
            }
            let bound = fields::value(bound, findings);
            if key.value == "max" { BoundSpec::AtMost(bound) } else { BoundSpec::AtLeast(bound) }
        }
        _ => {
            let against = metric_reference(bound, findings)?;
            let value: Value = value.or_else(|| {
                findings.push(
                    fields::missing(key.span.clone(), &what, "value")
                        .hint("say how much is allowed: `value: 1pp`"),
                );
                None
            })?;
            if key.value == "max-drop-vs" {
                BoundSpec::MaxDrop(against, value)
            } else {
                BoundSpec::MaxRatio(against, value)
            }
        }
    };
    Some(TargetSpec { name: name.clone(), stage: stage?, metric, bound })
}

/// `metric`, `stage:metric` or `stage`.
pub(super) fn metric_reference(node: &Node, findings: &mut Findings) -> Option<MetricReference> {
    let written = fields::text(node, "the metric compared with", findings)?;
    let Some((stage, metric)) = written.value.split_once(':') else {
        let place = Text { text: &written.value, whole: written.span.clone(), verbatim: None };
        let alone = stage_reference(&place).ok();
        return Some(MetricReference { span: written.span, stage: None, alone, metric: written.value });
    };
    let place = Text { text: stage, whole: written.span.clone(), verbatim: None };
    match stage_reference(&place) {
        Ok(stage) => Some(MetricReference {
            span: written.span.clone(),
            stage: Some(stage),
            alone: None,
            metric: metric.to_owned(),
        }),
        Err(error) => {
            findings.push(error);
            None
        }
    }
}
