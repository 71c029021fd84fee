//! Skipped stages: by their own `if:`, or because what they take is not made.

use crate::spec::Diagnostic;

use super::{
    bind::Bindings,
    evaluate::{Scope, truthy},
    instances::{Instance, Instances},
};

/// Reason why a stage is skipped by its own condition.
pub(super) fn by_condition(
    instance: &Instance<'_>,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<String> {
    let condition = instance.spec.condition.as_ref()?;
    let before = findings.len();
    scope.check(&condition.expression, findings);
    if findings.len() > before {
        return None;
    }
    let value = scope.evaluate(&condition.expression).and_then(|value| value.json(&condition.span));
    match value {
        Ok(value) if truthy(&value) => None,
        Ok(_) => {
            let evidence = scope.evidence(&condition.expression);
            let text = &condition.text;
            Some(if evidence.is_empty() {
                format!("`if: {text}`")
            } else {
                format!("`if: {text}` is false here: {evidence}")
            })
        }
        Err(error) => {
            findings.push(error);
            None
        }
    }
}

/// Hands skipping on along the edges, in topological order, and takes lost items out of lists.
pub(super) fn propagate(
    order: &[usize],
    instances: &Instances<'_>,
    bindings: &mut [Bindings],
    needs: &[Vec<(usize, std::ops::Range<usize>)>],
    skips: &mut [Option<String>],
    warnings: &mut Vec<String>,
) {
    for &index in order {
        if skips[index].is_some() {
            continue;
        }
        let instance = &instances.all[index];
        let name = |producer: usize| &instances.all[producer].id;
        let mut reason = needs[index]
            .iter()
            .map(|(producer, _)| *producer)
            .find(|producer| skips[*producer].is_some())
            .map(|producer| format!("it needs `{}`, which is skipped", name(producer)));
        let mut lost = Vec::new();
        for (port_name, bound) in &mut bindings[index] {
            let port = instance.program.and_then(|program| program.manifest.inputs.get(port_name));
            let many = port.is_some_and(|port| port.many);
            let had = bound.len();
            bound.retain(|bound| {
                let Some(producer) = bound.producer.filter(|producer| skips[*producer].is_some()) else {
                    return true;
                };
                if many && bound.optional {
                    lost.push(format!(
                        "input `{port_name}` of stage `{}` goes without `{}`: stage `{}` is skipped",
                        instance.id,
                        bound.binding.name,
                        name(producer)
                    ));
                    return false;
                }
                reason.get_or_insert_with(|| {
                    format!("its input `{port_name}` comes from `{}`, which is skipped", name(producer))
                });
                true
            });
            // Left out by their own conditions, or lost: either way nothing is there to work on.
            if port.is_some_and(|port| port.required) && bound.is_empty() {
                reason.get_or_insert_with(|| {
                    if had > 0 {
                        format!("everything its input `{port_name}` takes is skipped")
                    } else {
                        format!("everything its input `{port_name}` takes is left out by `if`")
                    }
                });
            }
        }
        if reason.is_none() {
            warnings.append(&mut lost);
        }
        skips[index] = reason;
    }
}
