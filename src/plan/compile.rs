//! [`compile`]: all checks of a pipeline at once, and the plan if there is nothing to say.

use std::{cell::OnceCell, collections::BTreeMap, path::PathBuf, sync::Arc};

use serde_json::Value;

use crate::spec::{
    Diagnostic, PipelineSpec,
    diagnostic::tidy,
    nearest::suggestion,
    types::{Settings, Span, StageSpec},
};

use super::{
    Action, CompileInputs, DEPS, Overrides, Plan, Program, Start,
    bind::{Binder, Bindings},
    command::{self, Commanded},
    condition::{self, Condition, Decided},
    evaluate::{FOLLOW_UP, Scope},
    exports,
    instances::{Instance, Instances},
    machine,
    order::Graph,
    params::{Schemas, Subject},
    reads, roles, search, secrets,
    skip::{self, Waits},
    targets,
    values::{resolve, seed},
    variables::{self, Variables},
};

/// Compiles a pipeline. All that is wrong with it comes back at once, in the order of the file.
pub fn compile(spec: &PipelineSpec, inputs: CompileInputs<'_>) -> Result<Plan, Vec<Diagnostic>> {
    // Errors of form do not hide those of the plan.
    let mut findings = spec.errors.clone();
    let plan = Compilation::new(spec, &inputs, &mut findings).run(&mut findings);
    match plan {
        Some(plan) if findings.is_empty() => Ok(plan),
        _ => {
            findings.retain(|finding| finding.code != FOLLOW_UP);
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
    commanded: Option<Commanded>,
    exports: BTreeMap<String, PathBuf>,
    variables: Variables,
    seed: u64,
    needs: Vec<(usize, Span)>,
    skip: Option<String>,
    condition: Option<Condition>,
    /// Instances that the condition asks.
    asks: Vec<(usize, Span)>,
}

impl Resolved {
    /// What it waits for beside its inputs.
    fn waits(&self) -> Waits {
        Waits {
            needs: self.needs.iter().map(|(index, _)| *index).collect(),
            asks: self.asks.iter().map(|(index, _)| *index).collect(),
            asks_status: self.condition.as_ref().is_some_and(|condition| condition.asks_status),
        }
    }
}

impl<'a> Compilation<'a> {
    fn new(spec: &'a PipelineSpec, inputs: &'a CompileInputs<'a>, findings: &mut Vec<Diagnostic>) -> Self {
        let mut params = spec.params.merged();
        inputs.overrides.apply_params(&mut params, findings);
        Self { spec, inputs, params }
    }

    fn run(&self, findings: &mut Vec<Diagnostic>) -> Option<Plan> {
        let CompileInputs {
            overrides,
            catalog: _,
            host,
            git,
            env,
            file,
            path_exists: _,
            hash_files,
            release,
        } = self.inputs;
        let outer = Scope {
            params: &self.params,
            host,
            git,
            env,
            hash_files: *hash_files,
            gaps: self.spec.gaps,
            matrix: None,
            stages: None,
        };
        let pipeline_env = variables::resolve(&self.spec.env, &Variables::default(), &outer, findings);
        let pipeline_seed =
            self.spec.seed.as_ref().and_then(|written| seed(written, &outer, findings)).unwrap_or(0);
        let mut visible = env.clone();
        visible.extend(pipeline_env.fixed.clone());
        let scope = Scope { env: &visible, ..outer };

        let programs: BTreeMap<&str, &Program> = self
            .spec
            .stages
            .iter()
            .filter_map(|stage| Some((stage.name.as_str(), self.program(stage, findings)?)))
            .collect();
        let declared = OnceCell::new();
        let mut instances =
            Instances::new(self.spec, |stage| programs.get(stage.name.as_str()).copied(), &scope, findings);
        let all: Vec<_> = instances
            .all
            .iter()
            .map(|instance| {
                let env = variables::resolve(&instance.spec.env, &pipeline_env, &scope, &mut Vec::new());
                let mut visible = scope.env.clone();
                visible.extend(env.fixed);
                let matrix = Some((&instance.combination, instances.keys(instance.spec.name.as_str())));
                command::declare(instance, &Scope { env: &visible, matrix, ..scope }, findings)
            })
            .collect();
        let declared = declared.get_or_init(|| all);
        instances.fill(declared);
        let instances = instances;

        // The combinations of a stage that could not be read are not known.
        if self.spec.errors.is_empty() {
            let ids = instances.all.iter().map(|instance| instance.id.0.as_str());
            let names = self.spec.stages.iter().map(|stage| stage.name.as_str());
            overrides.unknown_stages(names.chain(ids), findings);
        }

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
        let placed: Vec<_> = instances
            .all
            .iter()
            .zip(&resolved)
            .map(|(instance, resolved)| {
                let outs = instance.outs.iter().map(|(out, _)| (out.port(), out.path.clone()));
                resolved.exports.clone().into_iter().chain(outs).collect()
            })
            .collect();
        let exports = exports::of_all(&instances, &placed, findings);
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
                let mut bound = binder.bind(instance, findings);
                if let Some(declared) = &declared[index] {
                    let commanded = resolved[index].commanded.as_ref();
                    let deps = binder.deps(index, instance, declared, commanded, findings);
                    if !deps.is_empty() {
                        bound.insert(DEPS.to_owned(), deps);
                    }
                }
                bound
            })
            .collect();
        let mut warnings = roles::mixed(&instances, &bindings);
        let line = |at| self.spec.sources.line(at);
        let targets = targets::resolve_all(
            &self.spec.targets,
            &instances,
            &scope,
            release.as_ref(),
            line,
            findings,
            &mut warnings,
        );
        let search = search::resolve(self.spec, &instances, &scope, findings);

        for (index, (instance, resolved)) in instances.all.iter().zip(&resolved).enumerate() {
            let Some(condition) = &resolved.condition else { continue };
            let depends = !resolved.needs.is_empty()
                || !resolved.asks.is_empty()
                || bindings[index].values().flatten().any(|bound| !bound.producers.is_empty());
            condition::check(condition, instance, depends, &instances, findings, &mut warnings);
        }

        let order = graph(&bindings, &resolved).order(&instances, findings)?;
        let mut skips: Vec<_> = resolved.iter_mut().map(|resolved| resolved.skip.take()).collect();
        let waits: Vec<_> = resolved.iter().map(Resolved::waits).collect();
        skip::propagate(&order, &instances, &mut bindings, &waits, &mut skips, &mut warnings);
        for (instance, _) in instances.all.iter().zip(&skips).filter(|(_, skip)| skip.is_none()) {
            // What names its machine may be meant for another one; if it comes to its turn here, the run tells what is missing.
            if machine::runs_on(&self.spec.defaults, &instance.spec.settings).is_empty() {
                machine::missing_platform(instance, findings);
                machine::missing_gpus(instance, &self.spec.defaults, host, findings);
            }
        }
        if !findings.is_empty() {
            return None;
        }

        let mut parts: Vec<_> = resolved.into_iter().zip(bindings).zip(skips).map(Some).collect();
        let actions = order
            .into_iter()
            .filter_map(|index| {
                let ((resolved, bindings), skip) = parts[index].take()?;
                self.action(&instances, &instances.all[index], resolved, bindings, skip).map(Arc::new)
            })
            .collect();
        let name = match &self.spec.name {
            Some(name) => name.value.clone(),
            None => file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
        };
        let overrides = Overrides::clone(overrides);
        Some(Plan { name, file: file.clone(), actions, targets, search, overrides, warnings })
    }

    fn program(&self, stage: &StageSpec, findings: &mut Vec<Diagnostic>) -> Option<&'a Program> {
        let uses = stage.uses()?;
        let wanted = &uses.program;
        let catalog = self.inputs.catalog;
        // What names it could not be read.
        if wanted.value.is_empty() {
            return None;
        }
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
        if let Some(version) = &uses.cache_version
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
        (pipeline_env, pipeline_seed): (&Variables, u64),
        schemas: &mut Schemas,
        findings: &mut Vec<Diagnostic>,
    ) -> Resolved {
        let spec = instance.spec;
        let matrix = Some((&instance.combination, instances.keys(spec.name.as_str())));
        // Outputs can be named but not read here, which says more than that there are none.
        let scope = Scope { matrix, stages: Some(instances), ..*scope };
        let variables = variables::resolve(&spec.env, pipeline_env, &scope, findings);
        let mut visible = scope.env.clone();
        visible.extend(variables.fixed.clone());
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
        let params = subject.zip(with).and_then(|(subject, mut with)| {
            let set = self.inputs.overrides.apply_with(&spec.name.value, &instance.id.0, &mut with, findings);
            let before = findings.len();
            let params = schemas.complete(&subject, with, findings);
            if !set.is_empty() {
                let set: Vec<_> = set.iter().map(|place| format!("`{place}`")).collect();
                let note = format!("set on the command line: {}", set.join(", "));
                findings[before..].iter_mut().for_each(|finding| finding.also(&note));
            }
            params
        });
        let mut needs = Vec::new();
        for reference in &spec.needs {
            match instances.referred(reference, &scope) {
                Ok(found) => {
                    needs.extend(found.into_iter().map(|index| (index, reference.stage.span.clone())))
                }
                Err(error) => findings.push(error),
            }
        }
        let decided =
            spec.condition.as_ref().and_then(|written| condition::decide(written, &scope, findings));
        let (skip, condition, asks) = match decided {
            None | Some(Decided::Runs) => (None, None, Vec::new()),
            Some(Decided::Skipped(reason)) => (Some(reason), None, Vec::new()),
            Some(Decided::Later(condition, asks)) => (None, Some(condition), asks),
        };
        let commanded = spec.command().and_then(|written| {
            // Where its `wdir` is wrong, that was said.
            let Some(Start::Command(declared)) = instance.program.map(|program| &program.start) else {
                return None;
            };
            command::resolve(written, &declared.folder, instances, &scope, findings)
        });
        secrets::check(spec, &variables, findings);
        Resolved {
            params,
            commanded,
            exports: exports::of_instance(instance, &scope, findings),
            seed: spec
                .seed
                .as_ref()
                .and_then(|written| seed(written, &scope, findings))
                .unwrap_or(pipeline_seed),
            skip,
            condition,
            asks,
            variables,
            needs,
        }
    }

    fn action(
        &self,
        instances: &Instances<'_>,
        instance: &Instance<'_>,
        resolved: Resolved,
        bindings: Bindings,
        skip: Option<String>,
    ) -> Option<Action> {
        let Resolved { params, commanded, exports, variables, seed, needs, skip: _, condition, asks: _ } =
            resolved;
        let mut program = instance.program?.clone();
        let params = match commanded {
            Some(Commanded { command, params, inputs: _ }) => {
                program.start = Start::Command(Arc::new(command));
                params
            }
            None => params?,
        };
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
            line: self.spec.sources.line(instance.spec.name.span.start),
            params,
            inputs: bindings
                .into_iter()
                .map(|(port, bound)| (port, bound.into_iter().map(|bound| bound.binding).collect()))
                .collect(),
            needs: waits,
            skip,
            condition,
            exports,
            outs: instance.outs.iter().map(|(out, _)| out.clone()).collect(),
            env: variables.fixed,
            run_env: variables.late,
            secrets: instance.spec.secrets.iter().map(|name| name.value.clone()).collect(),
            reads: reads::of_stage(instance.spec, &self.spec.env),
            seed,
            resources: machine::resources(
                &program.manifest.resources,
                &self.spec.defaults,
                &instance.spec.settings,
            ),
            timeout: settings(|settings| settings.timeout.is_some()).timeout,
            limits: machine::limits(&self.spec.defaults, &instance.spec.settings),
            runs_on: machine::runs_on(&self.spec.defaults, &instance.spec.settings),
            retry: machine::retry(settings(|settings| settings.retry.is_some())),
            cache: settings(|settings| settings.cache.is_some()).cache.unwrap_or(true)
                && !instance.spec.always,
            frozen: instance.spec.frozen,
            continue_on_error: settings(|settings| settings.continue_on_error.is_some())
                .continue_on_error
                .unwrap_or(false),
            program,
        })
    }
}

fn graph(bindings: &[Bindings], resolved: &[Resolved]) -> Graph {
    let data = bindings.iter().enumerate().flat_map(|(to, bindings)| {
        bindings.values().flatten().flat_map(move |bound| {
            bound.producers.iter().map(move |producer| (*producer, to, bound.span.clone()))
        })
    });
    let order = resolved.iter().enumerate().flat_map(|(to, resolved)| {
        resolved.needs.iter().chain(&resolved.asks).map(move |(from, span)| (*from, to, span.clone()))
    });
    Graph::new(bindings.len(), data.chain(order))
}
