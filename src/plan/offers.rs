//! What would help where an input is not bound, or bound to what does not fit.

use stagewright_protocol::{Manifest, Port};

use crate::spec::{
    Diagnostic,
    nearest::suggestion,
    types::{InputSpec, Span},
};

use super::{
    bind::Binder,
    instances::Instance,
    ports::{accepts, alternatives},
};

impl Binder<'_> {
    pub(super) fn unbound(
        &self,
        instance: &Instance<'_>,
        name: &str,
        port: &Port,
        span: Option<&Span>,
    ) -> Diagnostic {
        let hint = self
            .fitting(instance, port)
            .unwrap_or_else(|| format!("no stage gives {}; bind a path", alternatives(port)));
        Diagnostic::error(
            "plan::unbound",
            format!("input `{name}` of stage `{}` is not bound: {}", instance.spec.name.value, port.summary),
        )
        .at(span.unwrap_or(&instance.spec.name.span).clone(), format!("needs {}", alternatives(port)))
        .hint(hint)
    }

    /// A stage program that makes what a port takes out of what it was given.
    pub(super) fn converter(&self, port: &Port, given: &str) -> Option<String> {
        let (name, _) = self.catalog.iter().find(|(_, program)| {
            let manifest = &program.manifest;
            manifest.inputs.values().any(|input| accepts(input, given))
                && manifest.outputs.values().any(|output| accepts(port, &output.artifact_type))
        })?;
        Some(format!("a stage that uses `{name}` makes {} out of {given}", alternatives(port)))
    }

    /// Outputs of other stages that a port would take.
    pub(super) fn fitting(&self, consumer: &Instance<'_>, port: &Port) -> Option<String> {
        const SHOWN: usize = 4;
        let mut found = Vec::new();
        let mut last = "";
        for instance in self.instances.all.iter().filter(|instance| instance.spec.name != consumer.spec.name)
        {
            // One of a matrix stands for all.
            if instance.spec.name.value == last {
                continue;
            }
            last = instance.spec.name.as_str();
            let outputs = instance.program.iter().flat_map(|program| &program.manifest.outputs);
            for (name, _) in outputs.filter(|(_, output)| accepts(port, &output.artifact_type)) {
                found.push(format!("`${{{{ stages.{}.outputs.{name} }}}}`", instance.id));
            }
        }
        found.truncate(SHOWN);
        (!found.is_empty()).then(|| format!("{} would fit", found.join(" or ")))
    }
}

/// An input that the program has not.
pub(super) fn unknown_port(instance: &Instance<'_>, manifest: &Manifest, input: &InputSpec) -> Diagnostic {
    let name = &input.port.value;
    let error = Diagnostic::error(
        "plan::unknown-port",
        format!("stage `{}` ({}) has no input `{name}`", instance.spec.name.value, manifest.name),
    )
    .at(input.port.span.clone(), "");
    let is_param = manifest.params.get("properties").and_then(|params| params.get(name)).is_some();
    if is_param {
        return error.hint(format!("`{name}` is a param: write it under `with`"));
    }
    error.maybe_hint(suggestion(name, manifest.inputs.keys().map(String::as_str)))
}
