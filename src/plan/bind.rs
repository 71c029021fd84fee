//! `inputs:` of an instance → bindings, typed at both ends.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;
use stagewright_protocol::Port;

use crate::spec::{
    Diagnostic,
    nearest::suggestion,
    types::{InputItem, InputSource, InputSpec, Span, Value as Written},
};

use super::{
    Binding, PathKind, Program, Source,
    command::ANY,
    evaluate::{Operand, Scope, truthy},
    instances::{Instance, Instances, OutputReference},
    offers::unknown_port,
    ports::{accepts, alternatives, types},
    values::{kind, operand, scalar_text},
};

/// Roles of a dataset.
const ROLES: &[&str] = &["train", "validation", "test", "calibration"];

/// A binding with what later checks need.
pub(super) struct Bound {
    pub binding: Binding,
    /// The producers.
    pub producers: Vec<usize>,
    /// Where it is written.
    pub span: Span,
    /// Has an `if:` of its own, so that losing it is foreseen.
    pub optional: bool,
}

/// An artifact for a port: where it comes from, its type, and the producers.
type Found = (Source, String, Vec<usize>);

/// Bindings by port.
pub(super) type Bindings = BTreeMap<String, Vec<Bound>>;

/// What binding needs besides the instance.
pub(super) struct Binder<'a> {
    pub instances: &'a Instances<'a>,
    pub scope: Scope<'a>,
    pub catalog: &'a BTreeMap<String, Program>,
    pub path_exists: &'a dyn Fn(&Path) -> PathKind,
    /// Paths where stages place outputs, with the instance and its port.
    pub exports: &'a BTreeMap<PathBuf, (usize, String)>,
    /// The instance itself is skipped, so that missing files do not matter.
    pub skipped: bool,
}

impl Binder<'_> {
    /// Binds all ports of an instance.
    pub fn bind(&self, instance: &Instance<'_>, findings: &mut Vec<Diagnostic>) -> Bindings {
        let mut bindings = Bindings::new();
        let Some(program) = instance.program else {
            // Its ports are not known; what it refers to can be checked all the same.
            for item in instance.spec.inputs.iter().flat_map(|input| &input.items) {
                let (InputSource::Bare(value) | InputSource::From(value) | InputSource::Path(value)) =
                    &item.source;
                operand(value, &self.scope, findings);
            }
            return bindings;
        };
        let manifest = &*program.manifest;
        for input in &instance.spec.inputs {
            let Some(port) = manifest.inputs.get(&input.port.value) else {
                findings.push(unknown_port(instance, manifest, input));
                continue;
            };
            bindings.insert(input.port.value.clone(), self.port(instance, port, input, findings));
        }
        for (name, port) in manifest.inputs.iter().filter(|(_, port)| port.required) {
            let written = instance.spec.inputs.iter().find(|input| input.port.value == *name);
            if written.is_none_or(|input| input.list && input.items.is_empty()) {
                findings.push(self.unbound(instance, name, port, written.map(|input| &input.span)));
            }
        }
        bindings
    }

    fn port(
        &self,
        instance: &Instance<'_>,
        port: &Port,
        input: &InputSpec,
        findings: &mut Vec<Diagnostic>,
    ) -> Vec<Bound> {
        let mut found: Vec<Bound> = Vec::new();
        for item in &input.items {
            let kept = match &item.condition {
                None => true,
                Some(condition) => {
                    let before = findings.len();
                    self.scope.check(&condition.expression, findings);
                    if findings.len() > before {
                        continue;
                    }
                    let value = self.scope.evaluate(&condition.expression);
                    match value.and_then(|value| value.json(&condition.span)) {
                        Ok(value) => truthy(&value),
                        Err(error) => {
                            findings.push(error);
                            continue;
                        }
                    }
                }
            };
            let bound = self.item(instance, port, input, item, kept, findings);
            if kept {
                found.extend(bound);
            }
        }
        if !port.many && found.len() > 1 {
            let shown: Vec<_> = found.iter().map(|bound| describe(&bound.binding.source)).collect();
            findings.push(
                Diagnostic::error(
                    "plan::too-many",
                    format!(
                        "input `{}` of stage `{}` takes one artifact; here are {}",
                        input.port.value,
                        instance.spec.name.value,
                        found.len()
                    ),
                )
                .at(input.span.clone(), shown.join(", "))
                .hint("name one of them"),
            );
        }
        if port.many {
            let mut seen: BTreeMap<&str, &Span> = BTreeMap::new();
            for bound in &found {
                if let Some(first) = seen.insert(&bound.binding.name, &bound.span) {
                    findings.push(
                        Diagnostic::error(
                            "plan::same-name",
                            format!(
                                "two artifacts of input `{}` are called `{}`",
                                input.port.value, bound.binding.name
                            ),
                        )
                        .at(bound.span.clone(), "")
                        .at(first.clone(), "first here")
                        .hint("give them names of their own with `as`"),
                    );
                }
            }
        }
        found
    }

    /// The artifacts an item stands for. Those of an item that is left out are checked, but their files may be missing.
    fn item(
        &self,
        instance: &Instance<'_>,
        port: &Port,
        input: &InputSpec,
        item: &InputItem,
        kept: bool,
        findings: &mut Vec<Diagnostic>,
    ) -> Vec<Bound> {
        let (InputSource::Bare(written) | InputSource::From(written) | InputSource::Path(written)) =
            &item.source;
        let role = item.role.as_ref().map(|role| role.value.clone());
        if let Some(role) = &item.role
            && !ROLES.contains(&role.as_str())
        {
            findings.push(
                Diagnostic::error("plan::unknown-word", format!("`{}` is no role of a dataset", role.value))
                    .at(role.span.clone(), "")
                    .maybe_hint(suggestion(&role.value, ROLES.iter().copied())),
            );
        }
        let name = item.name.as_ref().map(|name| (name, scalar_text("`as`", name, &self.scope, findings)));
        let named = match name {
            Some((_, None)) => return Vec::new(),
            Some((_, Some(name))) => Some(name),
            None => None,
        };
        let Some(found) = operand(written, &self.scope, findings) else { return Vec::new() };
        let sources = match (&item.source, found) {
            (InputSource::Bare(_) | InputSource::From(_), Operand::Outputs(outputs)) => {
                self.take_outputs(instance, port, input, item, outputs, findings)
            }
            (InputSource::Bare(_) | InputSource::Path(_), Operand::Json(Value::String(path))) => self
                .take_path(port, input, item, &path, written, kept && !self.skipped, findings)
                .into_iter()
                .collect(),
            (InputSource::From(_), Operand::Json(value)) => {
                findings.push(
                    Diagnostic::error(
                        "plan::source",
                        format!("`from` takes an output of a stage; here it is {}", kind(&value)),
                    )
                    .at(written.span.clone(), "")
                    .hint(match &value {
                        Value::String(path) => format!("a file or folder is bound with `path: {path}`"),
                        _ => "write \"${{ stages.<stage>.outputs.<port> }}\"".to_owned(),
                    }),
                );
                Vec::new()
            }
            (InputSource::Path(_), Operand::Outputs(_)) => {
                findings.push(
                    Diagnostic::error(
                        "plan::source",
                        "`path` takes a file or folder; here it is an output of a stage",
                    )
                    .at(written.span.clone(), "")
                    .hint("an output is bound with `from`"),
                );
                Vec::new()
            }
            (_, Operand::Json(value)) => {
                findings.push(
                    Diagnostic::error(
                        "plan::source",
                        format!(
                            "input `{}` is a path or an output of a stage; here it is {}",
                            input.port.value,
                            kind(&value)
                        ),
                    )
                    .at(written.span.clone(), ""),
                );
                Vec::new()
            }
        };
        if role.as_deref() == Some("test") && port.refuses_test_data && !sources.is_empty() {
            findings.push(
                Diagnostic::error(
                    "plan::test-data",
                    format!(
                        "input `{}` of stage `{}` may not take test data",
                        input.port.value, instance.spec.name.value
                    ),
                )
                .at(
                    item.role.as_ref().map_or(item.span.clone(), |role| role.span.clone()),
                    "this data has the role `test`",
                )
                .hint("what is trained or calibrated on test data can't be judged by it; bind other data"),
            );
        }
        sources
            .into_iter()
            .map(|(source, artifact_type, producers)| {
                // A port for one artifact calls it by the port, so that renaming a stage does not change keys.
                let name = match &named {
                    _ if !port.many => input.port.value.clone(),
                    Some(name) => name.clone(),
                    None => match &source {
                        Source::Path(path) | Source::Placed { path, .. } => stem(path),
                        Source::Output { stage, .. } => stage.0.clone(),
                    },
                };
                Bound {
                    binding: Binding { name, source, artifact_type, role: role.clone() },
                    producers,
                    span: item.span.clone(),
                    optional: item.condition.is_some(),
                }
            })
            .collect()
    }

    fn take_outputs(
        &self,
        instance: &Instance<'_>,
        port: &Port,
        input: &InputSpec,
        item: &InputItem,
        outputs: Vec<OutputReference>,
        findings: &mut Vec<Diagnostic>,
    ) -> Vec<Found> {
        if let Some(given) = &item.artifact_type {
            findings.push(
                Diagnostic::error(
                    "plan::source",
                    "`type` belongs to a path; an output has the type of its port",
                )
                .at(given.span.clone(), ""),
            );
        }
        let mut found = Vec::new();
        for output in outputs {
            let producer = &self.instances.all[output.instance];
            let Some(port_out) =
                producer.program.and_then(|program| program.manifest.outputs.get(&output.port))
            else {
                continue;
            };
            if !accepts(port, &port_out.artifact_type) {
                findings.push(
                    Diagnostic::error(
                        "plan::port-type",
                        format!(
                            "output `{}` of stage `{}` is {}, but input `{}` takes {}",
                            output.port,
                            producer.spec.name.value,
                            port_out.artifact_type,
                            input.port.value,
                            alternatives(port)
                        ),
                    )
                    .at(item.span.clone(), format!("takes {}", alternatives(port)))
                    .at(producer.spec.name.span.clone(), format!("gives {}", port_out.artifact_type))
                    .maybe_hint(
                        self.fitting(instance, port)
                            .or_else(|| self.converter(port, &port_out.artifact_type)),
                    ),
                );
                continue;
            }
            let source = Source::Output { stage: producer.id.clone(), port: output.port };
            // What has no type of its own is taken for what the port takes, as a path is.
            let artifact_type = match port_out.artifact_type.as_str() {
                ANY => types(port).next().unwrap_or_default().to_owned(),
                known => known.to_owned(),
            };
            found.push((source, artifact_type, vec![output.instance]));
        }
        found
    }

    #[expect(clippy::too_many_arguments, reason = "one call, and each is a part of one written item")]
    fn take_path(
        &self,
        port: &Port,
        input: &InputSpec,
        item: &InputItem,
        path: &str,
        written: &Written,
        must_exist: bool,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<Found> {
        let artifact_type = match &item.artifact_type {
            Some(given) if accepts(port, &given.value) => given.value.clone(),
            Some(given) => {
                findings.push(
                    Diagnostic::error(
                        "plan::port-type",
                        format!(
                            "input `{}` takes {}, not {}",
                            input.port.value,
                            alternatives(port),
                            given.value
                        ),
                    )
                    .at(given.span.clone(), "")
                    .maybe_hint(suggestion(&given.value, types(port))),
                );
                return None;
            }
            None => types(port).next().unwrap_or_default().to_owned(),
        };
        let wrong = |code, message: String| Diagnostic::error(code, message).at(written.span.clone(), "");
        if path.trim().is_empty() {
            findings.push(wrong(
                "plan::missing-path",
                format!("the path of input `{}` is empty", input.port.value),
            ));
            return None;
        }
        let path: PathBuf = Path::new(path).components().filter(|part| *part != Component::CurDir).collect();
        // Placed by a stage of this very pipeline: what lies there now is of an earlier run.
        if let Some((source, producers)) = self.written(&path) {
            return Some((source, artifact_type, producers));
        }
        if let Some((producer, output)) = path.ancestors().find_map(|above| self.exports.get(above)) {
            let producer = &self.instances.all[*producer];
            findings.push(
                wrong(
                    "plan::exported-path",
                    format!(
                        "`{}` is placed by stage `{}` of this pipeline",
                        path.display(),
                        producer.spec.name.value
                    ),
                )
                .hint(format!(
                    "bind the output itself: \"${{{{ stages.{}.outputs.{output} }}}}\"",
                    producer.id
                )),
            );
            return None;
        }
        if must_exist {
            let shown = path.display();
            let (found, wanted) = ((self.path_exists)(&path), artifact_type.as_str());
            let error = match (found, wanted) {
                (PathKind::Missing, _) => format!("there is no file or folder `{shown}`"),
                (PathKind::File, "dir") => {
                    format!("`{shown}` is a file; input `{}` takes a folder", input.port.value)
                }
                (PathKind::Folder, "file") => {
                    format!("`{shown}` is a folder; input `{}` takes a file", input.port.value)
                }
                _ => return Some((Source::Path(path), artifact_type, Vec::new())),
            };
            findings
                .push(wrong("plan::missing-path", error).hint("paths are relative to the project's root"));
            return None;
        }
        Some((Source::Path(path), artifact_type, Vec::new()))
    }

    /// What stages write at a path by `outs`, as a path there: naming it makes the edge.
    fn written(&self, path: &Path) -> Option<(Source, Vec<usize>)> {
        let (source, producers) = self.produced(path)?;
        let is_out = |producer: &usize| {
            let outs = self.instances.all[*producer].outs;
            outs.iter().any(|(out, _)| out.path.starts_with(path) || path.starts_with(&out.path))
        };
        if !producers.iter().all(is_out) {
            return None;
        }
        Some(match source {
            Source::Placed { mut stages, port: Some(port), .. } if stages.len() == 1 => {
                (Source::Output { stage: stages.remove(0), port }, producers)
            }
            source => (source, producers),
        })
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
}

fn describe(source: &Source) -> String {
    match source {
        Source::Path(path) | Source::Placed { path, .. } => path.display().to_string(),
        Source::Output { stage, port } => format!("`{port}` of `{stage}`"),
    }
}
