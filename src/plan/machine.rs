//! What a stage asks of the machine: tools and devices that are not there are told before anything runs.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use stagewright_protocol::Resources;

use crate::spec::{
    Diagnostic,
    types::{RetryOn, Settings},
};

use super::{FailureClass, Limits, Retry, evaluate::truthy, instances::Instance};

/// Faults that the program's probe found on this machine.
pub(super) fn missing_platform(instance: &Instance<'_>, findings: &mut Vec<Diagnostic>) {
    let Some(program) = instance.program else { return };
    for fault in &program.platform.missing {
        // A fact that is false here is what a pipeline for several machines asks for.
        let absent = program.platform.facts.iter().find(|(_, value)| !truthy(value));
        let skipping = absent.map(|(fact, _)| {
            format!("or skip the stage on machines like this one: `if: ${{{{ host.{fact} }}}}`")
        });
        let hint = match (&fault.hint, skipping) {
            (Some(hint), Some(skipping)) => Some(format!("{hint}\n{skipping}")),
            (hint, skipping) => hint.clone().or(skipping),
        };
        findings.push(
            Diagnostic::error(
                "plan::platform",
                format!("stage `{}` can't run here: {}", instance.spec.name.value, fault.message),
            )
            .at(instance.spec.uses().map_or(&instance.spec.name.span, |uses| &uses.program.span).clone(), "")
            .maybe_hint(hint),
        );
    }
}

/// Devices a stage asks for and the machine does not have.
pub(super) fn missing_gpus(
    instance: &Instance<'_>,
    defaults: &Settings,
    host: &BTreeMap<String, Value>,
    findings: &mut Vec<Diagnostic>,
) {
    let Some(program) = instance.program else { return };
    let wanted = resources(&program.manifest.resources, defaults, &instance.spec.settings).gpus;
    let Some(found) = host.get("gpus").and_then(Value::as_u64) else { return };
    if u64::from(wanted) > found {
        findings.push(
            Diagnostic::error(
                "plan::gpus",
                format!(
                    "stage `{}` asks for GPUs: {wanted}; this machine has {found}",
                    instance.spec.name.value
                ),
            )
            .at(instance.spec.name.span.clone(), "")
            .hint(format!(
                "skip the stage on machines like this one: `if: ${{{{ host.gpus >= {wanted} }}}}`"
            )),
        );
    }
}

/// What a stage occupies: by its own word, else by `defaults:`, else by its manifest.
pub(super) fn resources(manifest: &Resources, defaults: &Settings, own: &Settings) -> Resources {
    let (own, defaults) = (&own.resources, &defaults.resources);
    Resources {
        cpus: own.cpus.or(defaults.cpus).unwrap_or(manifest.cpus),
        memory: own.memory.or(defaults.memory).unwrap_or(manifest.memory),
        gpus: own.gpus.or(defaults.gpus).unwrap_or(manifest.gpus),
        exclusive: own.exclusive.or(defaults.exclusive).unwrap_or(manifest.exclusive),
        network: own.network.or(defaults.network).unwrap_or(manifest.network),
    }
}

/// What a run of a stage may take before it is ended.
pub(super) fn limits(defaults: &Settings, own: &Settings) -> Limits {
    let (wants, usual) = (&own.resources, &defaults.resources);
    Limits {
        // 0 is how a pipeline lifts what its `defaults:` set.
        memory: wants.memory.or(usual.memory).filter(|bytes| *bytes > 0),
        output: wants.output.or(usual.output).filter(|bytes| *bytes > 0),
        silence: own.silence.or(defaults.silence),
    }
}

/// Labels of the machine it wants.
pub(super) fn runs_on(defaults: &Settings, own: &Settings) -> Vec<String> {
    let written = if own.runs_on.is_empty() { &defaults.runs_on } else { &own.runs_on };
    written.iter().map(|label| label.value.clone()).collect()
}

/// When a failed run is tried again.
pub(super) fn retry(settings: &Settings) -> Retry {
    let Some(retry) = &settings.retry else {
        return Retry { max: 0, on: Vec::new(), backoff: Duration::ZERO };
    };
    let on = retry.on.iter().map(|class| match class {
        RetryOn::Infra => FailureClass::Environment,
        RetryOn::OutOfMemory => FailureClass::Memory,
        RetryOn::Timeout => FailureClass::Timeout,
        RetryOn::ExitCode => FailureClass::ExitCode,
    });
    Retry { max: retry.max, on: on.collect(), backoff: retry.backoff }
}
