//! Skipped stages: what they would have made is not there for others.

use super::{DEPS, bind::Bindings, instances::Instances};

/// What an instance waits for beside its inputs, and how it takes the loss of it.
pub(super) struct Waits {
    /// `needs:`.
    pub needs: Vec<usize>,
    /// Asked by its `if:`.
    pub asks: Vec<usize>,
    /// Its `if:` says itself what becomes of it when something it depends on has no result.
    pub asks_status: bool,
}

/// Hands skipping on along the edges, in topological order, and takes lost items out of lists.
pub(super) fn propagate(
    order: &[usize],
    instances: &Instances<'_>,
    bindings: &mut [Bindings],
    waits: &[Waits],
    skips: &mut [Option<String>],
    warnings: &mut Vec<String>,
) {
    for &index in order {
        if skips[index].is_some() {
            continue;
        }
        let instance = &instances.all[index];
        let name = |producer: usize| &instances.all[producer].id;
        let Waits { needs, asks, asks_status } = &waits[index];
        let skipped = |all: &[usize]| all.iter().copied().find(|producer| skips[*producer].is_some());
        let mut reason = match (skipped(needs), skipped(asks)) {
            _ if *asks_status => None,
            (Some(producer), _) => Some(format!("it needs `{}`, which is skipped", name(producer))),
            (None, Some(producer)) => Some(format!("its `if` asks `{}`, which is skipped", name(producer))),
            (None, None) => None,
        };
        let mut lost = Vec::new();
        for (port_name, bound) in &mut bindings[index] {
            let port = instance.program.and_then(|program| program.manifest.inputs.get(port_name));
            let many = port.is_some_and(|port| port.many);
            let required = port.is_some_and(|port| port.required);
            let had = bound.len();
            bound.retain(|bound| {
                let Some(producer) =
                    bound.producers.iter().copied().find(|producer| skips[*producer].is_some())
                else {
                    return true;
                };
                if many && bound.optional || *asks_status && (many || !required) {
                    lost.push(format!(
                        "input `{port_name}` of stage `{}` goes without `{}`: stage `{}` is skipped",
                        instance.id,
                        bound.binding.name,
                        name(producer)
                    ));
                    return false;
                }
                reason.get_or_insert_with(|| match port_name.as_str() {
                    DEPS => format!(
                        "its dep `{}` comes from `{}`, which is skipped",
                        bound.binding.name,
                        name(producer)
                    ),
                    port => format!("its input `{port}` comes from `{}`, which is skipped", name(producer)),
                });
                true
            });
            // Left out by their own conditions, or lost: either way nothing is there to work on.
            if required && bound.is_empty() {
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
