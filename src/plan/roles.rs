//! Roles of data across stages: what one stage judges by, another must not learn from unawares.

use std::{collections::BTreeMap, path::Path};

use super::{Source, bind::Bindings, instances::Instances};

/// Warns of a path that one stage takes as test data and another one, which may not take such, without saying as what. It may
/// hold several splits, so it is no error; a port that is bound to test data outright is.
pub(super) fn mixed(instances: &Instances<'_>, bindings: &[Bindings]) -> Vec<String> {
    let mut tests: BTreeMap<&Path, usize> = BTreeMap::new();
    let paths = |index: usize| {
        bindings[index].iter().flat_map(|(port, bound)| {
            bound.iter().filter_map(move |bound| match &bound.binding.source {
                Source::Path(path) => Some((port, path.as_path(), bound.binding.role.as_deref())),
                Source::Output { .. } | Source::Placed { .. } => None,
            })
        })
    };
    for index in 0..bindings.len() {
        for (_, path, _) in paths(index).filter(|(.., role)| *role == Some("test")) {
            tests.entry(path).or_insert(index);
        }
    }
    let mut warnings = Vec::new();
    for (index, instance) in instances.all.iter().enumerate() {
        let Some(program) = instance.program else { continue };
        for (port, path, role) in paths(index) {
            let refuses = program.manifest.inputs.get(port).is_some_and(|port| port.refuses_test_data);
            if let (true, None, Some(judge)) = (refuses, role, tests.get(path)) {
                warnings.push(format!(
                    "input `{port}` of stage `{}` takes `{}`, which stage `{}` takes as test data; say with `role` which part it takes",
                    instance.id,
                    path.display(),
                    instances.all[*judge].id
                ));
            }
        }
    }
    warnings
}
