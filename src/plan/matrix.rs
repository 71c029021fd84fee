//! `matrix:` → the combinations a stage is run for, and their ids.

use serde_json::Value;

use crate::spec::{
    Diagnostic,
    types::{Data, MatrixSpec, StageSpec, Value as Written},
};

use super::{
    StageId,
    evaluate::{Scope, shown},
    values::resolve,
};

/// Most combinations of one stage.
const MAX_COMBINATIONS: usize = 10_000;

/// Values of one combination in the order of the axes.
pub(super) type Combination = Vec<(String, Value)>;

/// Combinations of a stage in the order written; a stage without a matrix has one, which is empty.
pub(super) fn expand(
    stage: &StageSpec,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Combination> {
    let Some(matrix) = &stage.matrix else { return vec![Vec::new()] };
    let before = findings.len();
    let axes: Vec<(&str, Vec<Value>)> = matrix
        .axes
        .iter()
        .filter_map(|(name, written)| Some((name.as_str(), axis(name.as_str(), written, scope, findings)?)))
        .collect();
    let exclude: Vec<Combination> =
        matrix.exclude.iter().filter_map(|written| entry("exclude", written, scope, findings)).collect();
    let include: Vec<Combination> =
        matrix.include.iter().filter_map(|written| entry("include", written, scope, findings)).collect();
    for (written, combination) in matrix.exclude.iter().zip(&exclude) {
        if let Some((key, _)) = combination.iter().find(|(key, _)| !axes.iter().any(|(axis, _)| axis == key))
        {
            findings.push(
                Diagnostic::error(
                    "plan::matrix",
                    format!("`exclude` names `{key}`, which is no axis of the matrix"),
                )
                .at(written.span.clone(), ""),
            );
        }
    }
    if findings.len() > before {
        return Vec::new();
    }
    let size = axes.iter().fold(1_usize, |size, (_, values)| size.saturating_mul(values.len()));
    if size.saturating_add(include.len()) > MAX_COMBINATIONS {
        findings.push(
            Diagnostic::error(
                "plan::matrix",
                format!(
                    "the matrix of stage `{}` has more than {MAX_COMBINATIONS} combinations",
                    stage.name.value
                ),
            )
            .at(matrix.span.clone(), ""),
        );
        return Vec::new();
    }
    let combinations = combine(&axes, &exclude, include);
    if combinations.is_empty() {
        findings.push(
            Diagnostic::error(
                "plan::matrix",
                format!("the matrix of stage `{}` has no combination", stage.name.value),
            )
            .at(matrix.span.clone(), ""),
        );
    }
    report_twins(stage, matrix, &combinations, findings);
    combinations
}

fn combine(
    axes: &[(&str, Vec<Value>)],
    exclude: &[Combination],
    include: Vec<Combination>,
) -> Vec<Combination> {
    let mut combinations: Vec<Combination> = if axes.is_empty() { Vec::new() } else { vec![Vec::new()] };
    for (axis, values) in axes {
        combinations = combinations
            .iter()
            .flat_map(|combination| {
                values.iter().map(move |value| {
                    let mut longer = combination.clone();
                    longer.push(((*axis).to_owned(), value.clone()));
                    longer
                })
            })
            .collect();
    }
    let has = |combination: &Combination, (key, value): &(String, Value)| {
        combination.iter().any(|(other, theirs)| other == key && theirs == value)
    };
    combinations.retain(|combination| {
        !exclude.iter().any(|excluded| excluded.iter().all(|pair| has(combination, pair)))
    });
    // An entry of `include` extends the combinations none of whose axes it would change, else it is one of its own.
    let original = combinations.len();
    for entry in include {
        let is_axis = |key: &str| axes.iter().any(|(axis, _)| *axis == key);
        let mut fits = false;
        for combination in &mut combinations[..original] {
            if entry.iter().filter(|(key, _)| is_axis(key)).all(|pair| has(combination, pair)) {
                fits = true;
                for (key, value) in entry.iter().filter(|(key, _)| !is_axis(key)) {
                    match combination.iter_mut().find(|(other, _)| other == key) {
                        Some((_, theirs)) => *theirs = value.clone(),
                        None => combination.push((key.clone(), value.clone())),
                    }
                }
            }
        }
        if !fits {
            combinations.push(entry);
        }
    }
    combinations
}

/// `train`, or `train[seed=0,lr=0.1]`. Keys that `include` added to a combination of the axes do not name it.
pub(super) fn id(stage: &StageSpec, combination: &Combination) -> StageId {
    let name = &stage.name.value;
    let Some(matrix) = &stage.matrix else { return StageId(name.clone()) };
    let is_axis = |key: &str| matrix.axes.iter().any(|(axis, _)| axis.value == key);
    let complete = !matrix.axes.is_empty()
        && matrix.axes.iter().all(|(axis, _)| combination.iter().any(|(key, _)| *key == axis.value));
    let parts: Vec<_> = combination
        .iter()
        .filter(|(key, _)| !complete || is_axis(key))
        .map(|(key, value)| format!("{key}={}", shown(value)))
        .collect();
    StageId(format!("{name}[{}]", parts.join(",")))
}

fn axis(
    name: &str,
    written: &Written,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Vec<Value>> {
    let found = resolve(written, scope, findings)?;
    let Value::Array(values) = found else {
        findings.push(
            Diagnostic::error(
                "plan::matrix",
                format!("axis `{name}` is a list of values; here it is {}", written.kind()),
            )
            .at(written.span.clone(), "")
            .hint("write `[…]` around the values"),
        );
        return None;
    };
    let mut fine = true;
    for (index, value) in values.iter().enumerate() {
        let span = match &written.data {
            Data::List(items) => items.get(index).map_or(&written.span, |item| &item.span),
            _ => &written.span,
        };
        fine &= usable(name, value, span.clone(), findings);
    }
    fine.then_some(values)
}

fn entry(
    what: &str,
    written: &Written,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Combination> {
    let Data::Map(pairs) = &written.data else {
        findings.push(
            Diagnostic::error(
                "plan::matrix",
                format!("an entry of `{what}` is a map; here it is {}", written.kind()),
            )
            .at(written.span.clone(), ""),
        );
        return None;
    };
    pairs
        .iter()
        .map(|(key, written)| {
            let value = resolve(written, scope, findings)?;
            usable(&key.value, &value, written.span.clone(), findings).then_some((key.value.clone(), value))
        })
        .collect()
}

/// Values become part of ids, so they are short scalars without the marks of a selector.
fn usable(name: &str, value: &Value, span: std::ops::Range<usize>, findings: &mut Vec<Diagnostic>) -> bool {
    let error = match value {
        Value::Array(_) | Value::Object(_) | Value::Null => {
            format!(
                "a value of `{name}` is text, a number or a boolean; here it is {}",
                super::values::kind(value)
            )
        }
        Value::String(text) if text.is_empty() || text.len() > 80 => {
            format!("a text of `{name}` has 1 to 80 bytes, here it has {}", text.len())
        }
        Value::String(text)
            if text.contains(|c: char| c.is_control() || matches!(c, '[' | ']' | ',' | '=' | '\'')) =>
        {
            format!(
                "`{text}` of `{name}` holds one of [ ] , = ' or a control character, which can't stand in a stage's id"
            )
        }
        _ => return true,
    };
    findings.push(Diagnostic::error("plan::matrix", error).at(span, ""));
    false
}

fn report_twins(
    stage: &StageSpec,
    matrix: &MatrixSpec,
    combinations: &[Combination],
    findings: &mut Vec<Diagnostic>,
) {
    let mut seen = std::collections::HashSet::new();
    for combination in combinations {
        let id = id(stage, combination);
        if !seen.insert(id.clone()) {
            findings.push(
                Diagnostic::error("plan::matrix", format!("the matrix gives `{id}` twice"))
                    .at(matrix.span.clone(), ""),
            );
        }
    }
}
