//! `deps:` → bindings: paths of the work tree, and what other stages make there or elsewhere.

use std::path::Path;

use serde_json::Value;

use crate::spec::{Diagnostic, types::Span};

use super::{
    Binding, PathKind, Source,
    bind::{Binder, Bound},
    command::{ANY, Commanded, Declared, input_name, normal},
    evaluate::Operand,
    instances::{Instance, OutputReference},
    values::{kind, operand},
};

impl Binder<'_> {
    /// Binds what the instance `index` lists under `deps:`, and the outputs that its command names.
    pub(super) fn deps(
        &self,
        index: usize,
        instance: &Instance<'_>,
        declared: &Declared,
        commanded: Option<&Commanded>,
        findings: &mut Vec<Diagnostic>,
    ) -> Vec<Bound> {
        let mut found: Vec<Bound> = Vec::new();
        let mut add = |bound: Bound| {
            if found.iter().all(|other| other.binding.name != bound.binding.name) {
                found.push(bound);
            }
        };
        for written in &instance.spec.deps {
            let span = &written.span;
            match operand(written, &self.scope, findings) {
                Some(Operand::Outputs(outputs)) => {
                    outputs.into_iter().for_each(|output| add(self.output_dep(output, span)))
                }
                Some(Operand::Json(Value::String(text))) => {
                    self.path_dep(index, instance, declared, &text, span, findings)
                        .into_iter()
                        .for_each(&mut add);
                }
                Some(Operand::Json(value)) => findings.push(
                    Diagnostic::error(
                        "plan::source",
                        format!("a dep is a path or an output of a stage; here it is {}", kind(&value)),
                    )
                    .at(span.clone(), ""),
                ),
                None => {}
            }
        }
        for named in commanded.iter().flat_map(|commanded| &commanded.inputs) {
            add(self.output_dep(named.reference.clone(), &named.span));
        }
        found
    }

    fn output_dep(&self, output: OutputReference, span: &Span) -> Bound {
        let producer = &self.instances.all[output.instance];
        let name = input_name(&output, self.instances);
        // What lies in the work tree is read there.
        let placed = producer.outs.iter().find(|(out, _)| out.port() == output.port);
        let stage = producer.id.clone();
        let source = match placed {
            Some((out, _)) => {
                Source::Placed { path: out.path.clone(), stages: vec![stage], port: Some(output.port) }
            }
            None => Source::Output { stage, port: output.port },
        };
        self.dep(name, source, vec![output.instance], span)
    }

    fn path_dep(
        &self,
        index: usize,
        instance: &Instance<'_>,
        declared: &Declared,
        text: &str,
        span: &Span,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<Bound> {
        let wrong = |code, message: String| Diagnostic::error(code, message).at(span.clone(), "");
        if text.trim().is_empty() {
            findings.push(wrong("plan::missing-path", "a dep is an empty path".to_owned()));
            return None;
        }
        if text.contains("://") {
            findings.push(
                wrong("plan::remote-dep", format!("the dep `{text}` is not in the work tree"))
                    .hint("let a stage of its own fetch it, with `always: true` if it may change there"),
            );
            return None;
        }
        let path = normal(&declared.folder, text);
        if let Some((out, first)) =
            declared.outs.iter().find(|(out, _)| out.path.starts_with(&path) || path.starts_with(&out.path))
        {
            let (name, shown) = (&instance.spec.name.value, out.path.display());
            let message = if out.path == path {
                format!("`{shown}` is both a dep and an out of stage `{name}`")
            } else {
                format!(
                    "the dep `{}` and the out `{shown}` of stage `{name}` lie in each other",
                    path.display()
                )
            };
            findings.push(
                wrong("plan::own-dep", message)
                    .at(first.clone(), "written by the stage itself")
                    .hint("a stage can't wait for what it makes; leave it out of `deps`, and write `persist: true` for the out if the command goes on with what it wrote the last time"),
            );
            return None;
        }
        let name = path.to_string_lossy().into_owned();
        if let Some((source, producers)) = self.produced(&path) {
            if producers.contains(&index) {
                // A place under `outputs` of the stage itself.
                findings
                    .push(wrong("plan::own-dep", format!("the dep `{name}` is placed by the stage itself")));
                return None;
            }
            return Some(self.dep(name, source, producers, span));
        }
        if !self.skipped && (self.path_exists)(&path) == PathKind::Missing {
            let folder = declared.folder.display().to_string();
            let relative = if folder.is_empty() {
                "paths are relative to the project's root".to_owned()
            } else {
                format!("paths are relative to `wdir`, {folder}")
            };
            findings.push(
                wrong("plan::missing-path", format!("there is no file or folder `{name}`"))
                    .hint(format!("no stage writes it either; {relative}")),
            );
            return None;
        }
        Some(self.dep(name, Source::Path(path), Vec::new(), span))
    }

    fn dep(&self, name: String, source: Source, producers: Vec<usize>, span: &Span) -> Bound {
        let binding = Binding { name, source, artifact_type: ANY.to_owned(), role: None };
        Bound { binding, producers, span: span.clone(), optional: false }
    }

    /// What stages of this pipeline write at a path, above it or below it.
    pub(super) fn produced(&self, path: &Path) -> Option<(Source, Vec<usize>)> {
        let id = |producer: usize| self.instances.all[producer].id.clone();
        let placed = |stages, port| Source::Placed { path: path.to_owned(), stages, port };
        if let Some((producer, port)) = self.exports.get(path) {
            return Some((placed(vec![id(*producer)], Some(port.clone())), vec![*producer]));
        }
        if let Some((producer, _)) = path.ancestors().find_map(|above| self.exports.get(above)) {
            return Some((placed(vec![id(*producer)], None), vec![*producer]));
        }
        let below = self.exports.range(path.to_owned()..).take_while(|(below, _)| below.starts_with(path));
        let mut producers: Vec<usize> = below.map(|(_, (producer, _))| *producer).collect();
        producers.sort_unstable();
        producers.dedup();
        if producers.is_empty() {
            return None;
        }
        Some((placed(producers.iter().map(|producer| id(*producer)).collect(), None), producers))
    }
}
