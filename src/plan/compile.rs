//! [`compile`]: all checks of a pipeline at once, and the plan if there is nothing to say.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use stagewright_protocol::Resources;

use crate::spec::{
    Diagnostic, PipelineSpec,
    diagnostic::tidy,
    nearest::suggestion,
    types::{ParamsSpec, RetryOn, Settings, Span, StageSpec},
};

use super::{
    Action, CompileInputs, FailureClass, Limits, Plan, Program, Retry,
    bind::{Binder, Bindings},
    evaluate::{Scope, truthy},
    instances::{Instance, Instances},
    order::Graph,
    params::{Schemas, Subject},
    skip, targets,
    values::{environment, resolve, scalar_text, seed},
};

/// Compiles a pipeline. All that is wrong with it comes back at once, in the order of the file.
pub fn compile(spec: &PipelineSpec, inputs: CompileInputs<'_>) -> Result<Plan, Vec<Diagnostic>> {
    let mut findings = Vec::new();
    let plan = Compilation::new(spec, &inputs).run(&mut findings);
    match plan {
        Some(plan) if findings.is_empty() => Ok(plan),
        _ => {
            findings.extend(spec.warnings.iter().cloned());
            tidy(&mut findings);
            Err(findings)
        }
    }
}

struct Compilation<'a> {
    spec: &'a PipelineSpec,
    inputs: &'a CompileInputs<'a>,
    params: Value,
}

/// What is resolved of one instance before the graph is known.
#[derive(Default)]
struct Resolved {
    params: Option<Value>,
    exports: BTreeMap<String, PathBuf>,
    env: BTreeMap<String, String>,
    seed: u64,
    needs: Vec<(usize, Span)>,
    skip: Option<String>,
}

impl<'a> Compilation<'a> {
    fn new(spec: &'a PipelineSpec, inputs: &'a CompileInputs<'a>) -> Self {
        let mut params = match &spec.params {
            ParamsSpec::Inline(value) => value.literal().unwrap_or_default(),
            ParamsSpec::None | ParamsSpec::Files(_) => Value::Null,
        };
        if !inputs.params.is_null() {
            overlay(&mut params, &inputs.params);
        }
        if params.is_null() {
            params = Value::Object(Default::default());
        }
        Self { spec, inputs, params }
    }

    fn run(&self, findings: &mut Vec<Diagnostic>) -> Option<Plan> {
        let CompileInputs { params: _, catalog: _, host, git, env, file, path_exists: _ } = self.inputs;
        let outer = Scope { params: &self.params, host, git, env, matrix: None, stages: None };
        let pipeline_env = environment(&self.spec.env, &BTreeMap::new(), &outer, findings);
        let pipeline_seed =
            self.spec.seed.as_ref().and_then(|written| seed(written, &outer, findings)).unwrap_or(0);
        let mut visible = env.clone();
        visible.extend(pipeline_env.clone());
        let scope = Scope { env: &visible, ..outer };

        let programs: BTreeMap<&str, &Program> = self
            .spec
            .stages
            .iter()
            .filter_map(|stage| Some((stage.name.as_str(), self.program(stage, findings)?)))
            .collect();
        let instances = Instances::new(
            &self.spec.stages,
            |stage| programs.get(stage.name.as_str()).copied(),
            &scope,
            findings,
        );

        let mut schemas = Schemas::default();
        let mut resolved: Vec<Resolved> = instances
            .all
            .iter()
            .map(|instance| {
                self.resolve(
                    instance,
                    &instances,
                    &scope,
                    (&pipeline_env, pipeline_seed),
                    &mut schemas,
                    findings,
                )
            })
            .collect();
        let exports = self.exports(&instances, &resolved, findings);
        let mut bindings: Vec<Bindings> = instances
            .all
            .iter()
            .enumerate()
            .map(|(index, instance)| {
                let scope = Scope {
                    matrix: Some((&instance.combination, instances.keys(instance.spec.name.as_str()))),
                    stages: Some(&instances),
                    ..scope
                };
                let skipped = resolved[index].skip.is_some();
                let binder = Binder {
                    instances: &instances,
                    scope,
                    catalog: self.inputs.catalog,
                    path_exists: self.inputs.path_exists,
                    exports: &exports,
                    skipped,
                };
                binder.bind(instance, findings)
            })
            .collect();
        let mut warnings = Vec::new();
        let line = |at| self.spec.lines.line(at);
        let targets =
            targets::resolve_all(&self.spec.targets, &instances, &scope, line, findings, &mut warnings);

        let order = graph(&bindings, &resolved).order(&instances, findings)?;
        let mut skips: Vec<_> = resolved.iter_mut().map(|resolved| resolved.skip.take()).collect();
        let needs: Vec<_> = resolved.iter().map(|resolved| resolved.needs.clone()).collect();
        skip::propagate(&order, &instances, &mut bindings, &needs, &mut skips, &mut warnings);
        for (instance, _) in instances.all.iter().zip(&skips).filter(|(_, skip)| skip.is_none()) {
            missing_platform(instance, findings);
            self.missing_gpus(instance, findings);
        }
        if !findings.is_empty() {
            return None;
        }

        let mut parts: Vec<_> = resolved.into_iter().zip(bindings).zip(skips).map(Some).collect();
        let actions = order
            .into_iter()
            .filter_map(|index| {
                let ((resolved, bindings), skip) = parts[index].take()?;
                self.action(&instances, &instances.all[index], resolved, bindings, skip)
            })
            .collect();
        let name = match &self.spec.name {
            Some(name) => name.value.clone(),
            None => file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
        };
        Some(Plan { name, file: file.clone(), actions, targets, warnings })
    }

    /// Devices a stage asks for and the machine does not have.
    fn missing_gpus(&self, instance: &Instance<'_>, findings: &mut Vec<Diagnostic>) {
        let Some(program) = instance.program else { return };
        let wanted =
            resources(&program.manifest.resources, &self.spec.defaults, &instance.spec.settings).gpus;
        let Some(found) = self.inputs.host.get("gpus").and_then(Value::as_u64) else { return };
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

    fn program(&self, stage: &StageSpec, findings: &mut Vec<Diagnostic>) -> Option<&'a Program> {
        let wanted = &stage.uses.program;
        let catalog = self.inputs.catalog;
        let Some(program) = catalog.get(wanted.as_str()) else {
            findings.push(
                Diagnostic::error(
                    "plan::unknown-program",
                    format!("there is no stage program `{}`", wanted.value),
                )
                .at(wanted.span.clone(), "")
                .maybe_hint(suggestion(&wanted.value, catalog.keys().map(String::as_str))),
            );
            return None;
        };
        if let Some(version) = &stage.uses.cache_version
            && version.value != program.manifest.cache_version
        {
            findings.push(
                Diagnostic::error(
                    "plan::cache-version",
                    format!(
                        "stage program `{}` has cache version {}, the pipeline asks for {}",
                        wanted.value, program.manifest.cache_version, version.value
                    ),
                )
                .at(version.span.clone(), "")
                .hint(format!(
                    "install the version the pipeline was written for, or write `{}@{}` if the change is fine",
                    wanted.value, program.manifest.cache_version
                )),
            );
        }
        Some(program)
    }

    fn resolve(
        &self,
        instance: &Instance<'_>,
        instances: &Instances<'_>,
        scope: &Scope<'_>,
        (pipeline_env, pipeline_seed): (&BTreeMap<String, String>, u64),
        schemas: &mut Schemas,
        findings: &mut Vec<Diagnostic>,
    ) -> Resolved {
        let spec = instance.spec;
        let matrix = Some((&instance.combination, instances.keys(spec.name.as_str())));
        // Outputs can be named but not read here, which says more than that there are none.
        let scope = Scope { matrix, stages: Some(instances), ..*scope };
        let env = environment(&spec.env, pipeline_env, &scope, findings);
        let mut visible = scope.env.clone();
        visible.extend(env.clone());
        let scope = Scope { env: &visible, ..scope };

        let with = match &spec.with {
            Some(written) => resolve(written, &scope, findings),
            None => Some(Value::Object(Default::default())),
        };
        let subject = instance.program.map(|program| Subject {
            stage: spec.name.as_str(),
            stage_span: &spec.name.span,
            program,
            written: spec.with.as_ref(),
        });
        let params = subject.zip(with).and_then(|(subject, with)| schemas.complete(&subject, with, findings));
        let mut needs = Vec::new();
        for reference in &spec.needs {
            match instances.referred(reference, &scope) {
                Ok(found) => {
                    needs.extend(found.into_iter().map(|index| (index, reference.stage.span.clone())))
                }
                Err(error) => findings.push(error),
            }
        }
        Resolved {
            params,
            exports: self.outputs(instance, &scope, findings),
            seed: spec
                .seed
                .as_ref()
                .and_then(|written| seed(written, &scope, findings))
                .unwrap_or(pipeline_seed),
            skip: skip::by_condition(instance, &scope, findings),
            env,
            needs,
        }
    }

    fn outputs(
        &self,
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
            let inside = !text.trim().is_empty()
                && Path::new(&text)
                    .components()
                    .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            let path: PathBuf =
                Path::new(&text).components().filter(|part| *part != Component::CurDir).collect();
            if !inside
                || path.as_os_str().is_empty()
                || path.starts_with(".stagewright")
                || path.starts_with(".git")
            {
                findings.push(
                    Diagnostic::error("plan::export", format!("{what} is `{text}`, which is no place for results"))
                        .at(written.span.clone(), "")
                        .hint("write a path inside of the project, relative to its root, such as `results/model.onnx`"),
                );
                continue;
            }
            exports.insert(port.value.clone(), path);
        }
        exports
    }

    /// Places in the work tree with the instance that writes there; two at one place are an error, and so is one
    /// inside the other.
    fn exports(
        &self,
        instances: &Instances<'_>,
        resolved: &[Resolved],
        findings: &mut Vec<Diagnostic>,
    ) -> BTreeMap<PathBuf, (usize, String)> {
        let span = |index: usize, port: &str| {
            let outputs = &instances.all[index].spec.outputs;
            outputs
                .iter()
                .find(|(name, _)| name.value == *port)
                .map(|(_, value)| value.span.clone())
                .unwrap_or_default()
        };
        let mut places: BTreeMap<PathBuf, (usize, &str)> = BTreeMap::new();
        for (index, resolved) in resolved.iter().enumerate() {
            for (port, path) in &resolved.exports {
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

    fn action(
        &self,
        instances: &Instances<'_>,
        instance: &Instance<'_>,
        resolved: Resolved,
        bindings: Bindings,
        skip: Option<String>,
    ) -> Option<Action> {
        let Resolved { params, exports, env, seed, needs, skip: _ } = resolved;
        let program = instance.program?.clone();
        let settings = |read: fn(&Settings) -> bool| {
            if read(&instance.spec.settings) { &instance.spec.settings } else { &self.spec.defaults }
        };
        let mut waits: Vec<_> = Vec::new();
        for (index, _) in needs {
            let id = &instances.all[index].id;
            if !waits.contains(id) {
                waits.push(id.clone());
            }
        }
        Some(Action {
            id: instance.id.clone(),
            line: self.spec.lines.line(instance.spec.name.span.start),
            params: params?,
            inputs: bindings
                .into_iter()
                .map(|(port, bound)| (port, bound.into_iter().map(|bound| bound.binding).collect()))
                .collect(),
            needs: waits,
            skip,
            exports,
            env,
            seed,
            resources: resources(&program.manifest.resources, &self.spec.defaults, &instance.spec.settings),
            timeout: settings(|settings| settings.timeout.is_some()).timeout,
            limits: limits(&self.spec.defaults, &instance.spec.settings),
            retry: retry(settings(|settings| settings.retry.is_some())),
            cache: settings(|settings| settings.cache.is_some()).cache.unwrap_or(true),
            continue_on_error: settings(|settings| settings.continue_on_error.is_some())
                .continue_on_error
                .unwrap_or(false),
            program,
        })
    }
}

fn graph(bindings: &[Bindings], resolved: &[Resolved]) -> Graph {
    let data = bindings.iter().enumerate().flat_map(|(to, bindings)| {
        bindings.values().flatten().filter_map(move |bound| Some((bound.producer?, to, bound.span.clone())))
    });
    let order = resolved
        .iter()
        .enumerate()
        .flat_map(|(to, resolved)| resolved.needs.iter().map(move |(from, span)| (*from, to, span.clone())));
    Graph::new(bindings.len(), data.chain(order))
}

fn missing_platform(instance: &Instance<'_>, findings: &mut Vec<Diagnostic>) {
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
            .at(instance.spec.uses.program.span.clone(), "")
            .maybe_hint(hint),
        );
    }
}

fn resources(manifest: &Resources, defaults: &Settings, own: &Settings) -> Resources {
    let (own, defaults) = (&own.resources, &defaults.resources);
    Resources {
        cpus: own.cpus.or(defaults.cpus).unwrap_or(manifest.cpus),
        memory: own.memory.or(defaults.memory).unwrap_or(manifest.memory),
        gpus: own.gpus.or(defaults.gpus).unwrap_or(manifest.gpus),
        exclusive: own.exclusive.or(defaults.exclusive).unwrap_or(manifest.exclusive),
        network: own.network.or(defaults.network).unwrap_or(manifest.network),
    }
}

fn limits(defaults: &Settings, own: &Settings) -> Limits {
    let (wants, usual) = (&own.resources, &defaults.resources);
    Limits {
        // 0 is how a pipeline lifts what its `defaults:` set.
        memory: wants.memory.or(usual.memory).filter(|bytes| *bytes > 0),
        output: wants.output.or(usual.output).filter(|bytes| *bytes > 0),
        silence: own.silence.or(defaults.silence),
    }
}

fn retry(settings: &Settings) -> Retry {
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

/// Lays one map over another, key by key.
fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}
