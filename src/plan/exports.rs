//! `outputs:` and `outs:` of the stages → places in the work tree, each with one writer.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use crate::spec::{Diagnostic, nearest::suggestion};

use super::{
    evaluate::Scope,
    instances::{Instance, Instances},
    values::scalar_text,
};

/// Where an instance places its outputs, by port.
pub(super) fn of_instance(
    instance: &Instance<'_>,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> BTreeMap<String, PathBuf> {
    let mut exports = BTreeMap::new();
    for (port, written) in &instance.spec.outputs {
        if let Some(program) = instance.program
            && !program.manifest.outputs.contains_key(&port.value)
        {
            let known = program.manifest.outputs.keys().map(String::as_str);
            findings.push(
                Diagnostic::error(
                    "plan::unknown-port",
                    format!(
                        "stage `{}` ({}) has no output `{}`",
                        instance.spec.name.value, program.manifest.name, port.value
                    ),
                )
                .at(port.span.clone(), "")
                .maybe_hint(suggestion(&port.value, known)),
            );
            continue;
        }
        let what = format!("the place of output `{}`", port.value);
        let Some(text) = scalar_text(&what, written, scope, findings) else { continue };
        match place(&text) {
            Some(path) => drop(exports.insert(port.value.clone(), path)),
            None => findings.push(
                Diagnostic::error(
                    "plan::export",
                    format!("{what} is `{text}`, which is no place for results"),
                )
                .at(written.span.clone(), "")
                .hint(
                    "write a path inside of the project, relative to its root, such as `results/model.onnx`",
                ),
            ),
        }
    }
    exports
}

/// A path inside of the project that is not the project's own or git's.
pub(crate) fn place(text: &str) -> Option<PathBuf> {
    let inside = !text.trim().is_empty()
        && Path::new(text).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path: PathBuf = Path::new(text).components().filter(|part| *part != Component::CurDir).collect();
    let taken = path.as_os_str().is_empty() || path.starts_with(".stagewright") || path.starts_with(".git");
    (inside && !taken).then_some(path)
}

/// Places in the work tree with the instance that writes there; two at one place are an error, and so is one inside the
/// other.
pub(super) fn of_all(
    instances: &Instances<'_>,
    exports: &[BTreeMap<String, PathBuf>],
    findings: &mut Vec<Diagnostic>,
) -> BTreeMap<PathBuf, (usize, String)> {
    let span = |index: usize, port: &str| {
        let instance = &instances.all[index];
        let placed = instance.spec.outputs.iter().find(|(name, _)| name.value == *port);
        let written = || instance.outs.iter().find(|(out, _)| out.port() == port).map(|(_, span)| span);
        placed.map(|(_, value)| &value.span).or_else(written).cloned().unwrap_or_default()
    };
    let mut places: BTreeMap<PathBuf, (usize, &str)> = BTreeMap::new();
    for (index, exports) in exports.iter().enumerate() {
        for (port, path) in exports {
            // Folders sort right before what is in them, so the neighbours are the only ones to look at.
            let above = path.ancestors().find_map(|above| Some((above, places.get(above)?)));
            let below = places.range(path.clone()..).next().filter(|(below, _)| below.starts_with(path));
            if let Some((other, &(first, first_port))) =
                above.or(below.map(|(below, place)| (below.as_path(), place)))
            {
                let (id, other_id) = (&instances.all[index].id, &instances.all[first].id);
                let message = if other == path {
                    format!("stages `{other_id}` and `{id}` both place an output at `{}`", path.display())
                } else {
                    format!(
                        "stages `{other_id}` and `{id}` place outputs inside each other: `{}` and `{}`",
                        other.display(),
                        path.display()
                    )
                };
                let hint = if instances.all[index].spec.matrix.is_some() && first_port == port {
                    "put a value of the matrix into the path: `results/${{ matrix.<axis> }}.json`"
                } else {
                    "give each its own path"
                };
                let mut error =
                    Diagnostic::error("plan::two-writers", message).at(span(index, port), "").hint(hint);
                if span(first, first_port) != span(index, port) {
                    error = error.at(span(first, first_port), "first here");
                }
                findings.push(error);
                continue;
            }
            places.insert(path.clone(), (index, port));
        }
    }
    places.into_iter().map(|(path, (index, port))| (path, (index, port.to_owned()))).collect()
}
