#![allow(clippy::unwrap_used)]

mod at_once;
mod bindings;
mod commands;
mod conditions;
mod editor_schema;
mod expressions;
mod full;
mod overrides;
mod params;
mod reads;
mod skips;
mod targets;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use stagewright_protocol::{Determinism, ErrorClass, Fault, Manifest, Platform, Port, Resources};

use super::*;
use crate::spec::{self, Diagnostic, PipelineSpec, render_text};

/// A machine with stage programs and files, to compile against.
pub(super) struct Machine {
    pub catalog: BTreeMap<String, Program>,
    pub host: BTreeMap<String, Value>,
    pub overrides: Vec<&'static str>,
    pub files: Vec<(&'static str, PathKind)>,
    pub release: Option<ReleasedMetrics>,
}

fn port(artifact_type: &str) -> Port {
    Port {
        artifact_type: artifact_type.to_owned(),
        summary: format!("the {artifact_type}"),
        required: true,
        many: false,
        path: None,
        refuses_test_data: false,
    }
}

fn many(artifact_type: &str) -> Port {
    Port { many: true, ..port(artifact_type) }
}

fn optional(artifact_type: &str) -> Port {
    Port { required: false, ..port(artifact_type) }
}

fn training(artifact_type: &str) -> Port {
    Port { refuses_test_data: true, ..port(artifact_type) }
}

fn program(
    name: &str,
    inputs: &[(&str, Port)],
    outputs: &[(&str, &str)],
    properties: Value,
    metrics: &[(&str, &str)],
) -> Program {
    let manifest = Manifest {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        cache_version: 1,
        summary: name.to_owned(),
        inputs: inputs.iter().map(|(name, port)| ((*name).to_owned(), port.clone())).collect(),
        outputs: outputs.iter().map(|(name, kind)| ((*name).to_owned(), port(kind))).collect(),
        params: json!({ "type": "object", "properties": properties, "additionalProperties": false }),
        resources: Resources::default(),
        probes: false,
        determinism: Determinism::Bitwise,
        metrics: metrics.iter().map(|(name, meaning)| ((*name).to_owned(), (*meaning).to_owned())).collect(),
    };
    Program {
        start: Start::Program(PathBuf::from(format!("stagewright-stage-{name}"))),
        manifest: Arc::new(manifest),
        platform: Arc::new(Platform::default()),
    }
}

impl Machine {
    /// The nine stages and the demo's own, on a machine without TensorRT.
    pub fn new() -> Self {
        let int = |default: u64, description: &str| json!({ "type": "integer", "minimum": 1, "default": default, "description": description });
        let transforms = json!({ "type": "array", "default": [], "items": { "oneOf": [
            { "type": "object", "properties": {
                "transform": { "const": "horizontal-flip" }, "p": { "type": "number", "minimum": 0, "maximum": 1, "default": 0.5 } },
              "required": ["transform"], "additionalProperties": false },
            { "type": "object", "properties": {
                "transform": { "const": "random-crop" }, "padding": { "type": "integer", "x-unit": "px", "default": 4 } },
              "required": ["transform"], "additionalProperties": false },
        ] } });
        let programs = [
            program(
                "surfaces",
                &[],
                &[("data", "dataset/images")],
                json!({ "samples": int(100, "Number of images.") }),
                &[],
            ),
            program(
                "data-stats",
                &[("data", port("dataset/images"))],
                &[("stats", "stats/dataset"), ("preprocess", "preprocess")],
                json!({}),
                &[],
            ),
            program(
                "augment",
                &[("data", port("dataset/images")), ("preprocess", port("preprocess"))],
                &[("policy", "augment/policy")],
                json!({ "transforms": transforms }),
                &[],
            ),
            program(
                "train",
                &[
                    ("data", training("dataset/images")),
                    ("preprocess", port("preprocess")),
                    ("policy", optional("augment/policy")),
                ],
                &[("model", "model/checkpoint"), ("metrics", "metrics/json")],
                json!({
                    "epochs": int(10, "Passes over the training data."),
                    "batch-size": { "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1 }], "default": "auto" },
                    "nesterov": { "type": "boolean", "default": false },
                    "precision": { "type": "string", "enum": ["fp32", "bf16"], "default": "fp32" },
                    "budget": { "type": "integer", "x-unit": "bytes", "default": 1_000_000 },
                    "patience": { "type": ["number", "null"], "x-unit": "s", "default": null },
                    "optimizer": { "oneOf": [
                        { "type": "object", "properties": { "name": { "const": "adamw" }, "lr": { "type": "number", "exclusiveMinimum": 0, "default": 0.001 } }, "required": ["name"] },
                        { "type": "object", "properties": { "name": { "const": "sgd" }, "lr": { "type": "number", "default": 0.1 }, "momentum": { "type": "number", "default": 0.9 } }, "required": ["name"] },
                    ], "default": { "name": "adamw" } },
                }),
                &[("validation.top1", "right answers of the validation split, %")],
            ),
            program(
                "prune",
                &[("model", port("model/checkpoint"))],
                &[("model", "model/checkpoint")],
                json!({ "amount": { "type": "number", "x-unit": "fraction", "minimum": 0, "maximum": 1, "default": 0.3 } }),
                &[],
            ),
            program(
                "onnx",
                &[("model", port("model/checkpoint"))],
                &[("model", "model/onnx")],
                json!({ "opset": int(18, "Version of the operator set.") }),
                &[],
            ),
            program(
                "quantize",
                &[("model", port("model/onnx")), ("calibration", training("dataset/images"))],
                &[("model", "model/onnx")],
                json!({ "count": int(512, "Samples.") }),
                &[],
            ),
            program(
                "tensorrt",
                &[("model", port("model/onnx"))],
                &[("engine", "engine/tensorrt")],
                json!({}),
                &[],
            ),
            program(
                "benchmark",
                &[("models", many("model/onnx | engine/tensorrt")), ("data", optional("dataset/images"))],
                &[("table", "report/markdown"), ("metrics", "metrics/json")],
                json!({ "warm-up": { "type": "number", "x-unit": "ms", "default": 100 } }),
                &[
                    ("<variant>.top1", "right answers, %"),
                    ("<variant>.p99", "latency at the 99th percentile, ms"),
                    ("<variant>.size", "file size, MB"),
                ],
            ),
            program(
                "checklist",
                &[("models", many("model/onnx|engine/tensorrt")), ("benchmark", port("metrics/json"))],
                &[("report", "report/html")],
                json!({}),
                &[],
            ),
        ];
        let mut catalog: BTreeMap<_, _> =
            programs.into_iter().map(|program| (program.manifest.name.clone(), program)).collect();
        let rules = json!({ "allOf": [
            { "if": { "properties": { "nesterov": { "const": true } }, "required": ["nesterov"] },
              "then": { "properties": { "precision": { "const": "fp32" }, "patience": { "type": "null" } } },
              "x-because": "look ahead in full precision" },
            { "if": { "properties": { "precision": { "enum": ["bf16", "fp16"] } }, "required": ["precision"] },
              "then": { "properties": { "batch-size": { "type": "integer" } } },
              "else": { "properties": { "epochs": { "maximum": 1000 } } } },
        ], "dependentRequired": { "budget": ["reason"] } });
        let mut ruled = program(
            "ruled",
            &[],
            &[("data", "dataset/images")],
            json!({
                "nesterov": { "type": "boolean", "default": false },
                "precision": { "type": "string", "enum": ["fp32", "bf16"], "default": "fp32" },
                "patience": { "type": ["number", "null"], "default": null },
                "batch-size": { "anyOf": [{ "const": "auto" }, { "type": "integer" }], "default": 8 },
                "epochs": int(10, "Passes over the training data."),
                "budget": { "type": "integer" },
                "reason": { "type": "string", "description": "Why there is a budget." },
            }),
            &[],
        );
        let manifest = Arc::get_mut(&mut ruled.manifest).unwrap();
        manifest.params.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        catalog.insert("ruled".to_owned(), ruled);
        catalog.get_mut("tensorrt").unwrap().platform = Arc::new(Platform {
            facts: BTreeMap::from([("tensorrt".to_owned(), json!(false))]),
            missing: vec![Fault {
                class: ErrorClass::Environment,
                message: "trtexec is not on the PATH".to_owned(),
                hint: Some("install TensorRT 10 or 11".to_owned()),
            }],
            ..Default::default()
        });
        Self {
            catalog,
            host: BTreeMap::from([("tensorrt".to_owned(), json!(false)), ("cpus".to_owned(), json!(2))]),
            overrides: Vec::new(),
            files: vec![
                ("data/cifar10", PathKind::Folder),
                ("data/test", PathKind::Folder),
                ("models/mine.onnx", PathKind::File),
            ],
            release: None,
        }
    }

    pub fn compile(&self, text: &str) -> Result<Plan, Vec<Diagnostic>> {
        self.compile_with(text, &[])
    }

    /// With files beside the pipeline that it includes or takes params from.
    pub fn compile_with(&self, text: &str, files: &[(&str, &str)]) -> Result<Plan, Vec<Diagnostic>> {
        self.compile_spec(&self.read(text, files))
    }

    pub fn read(&self, text: &str, files: &[(&str, &str)]) -> PipelineSpec {
        spec::read("pipeline.yaml", text, &mut |path| {
            let found = files.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "no such file".to_owned())
        })
    }

    fn compile_spec(&self, spec: &PipelineSpec) -> Result<Plan, Vec<Diagnostic>> {
        let assignments: Vec<Assignment> = self.overrides.iter().map(|text| text.parse().unwrap()).collect();
        compile(
            spec,
            CompileInputs {
                overrides: &Overrides::single(&assignments).unwrap(),
                catalog: &self.catalog,
                host: &self.host,
                git: json!({ "commit": "abc123", "branch": "main" }),
                env: BTreeMap::from([("USER".to_owned(), "ann".to_owned())]),
                file: PathBuf::from("pipelines/pipeline.yaml"),
                release: self.release.clone(),
                hash_files: &|patterns| match patterns {
                    [one] if one == "broken[" => Err("no pattern".to_owned()),
                    patterns => Ok(format!("digest of {}", patterns.join(" "))),
                },
                path_exists: &|path: &Path| {
                    self.files
                        .iter()
                        .find(|(name, _)| Path::new(name) == path)
                        .map_or(PathKind::Missing, |(_, kind)| *kind)
                },
            },
        )
    }
}

/// The plan of a pipeline that must be fine.
pub(super) fn plan(text: &str) -> Plan {
    Machine::new().compile(text).unwrap_or_else(|found| panic!("{}", rendered(&found, text)))
}

/// Everything said about a pipeline that must be refused.
pub(super) fn refused(text: &str) -> String {
    match Machine::new().compile(text) {
        Ok(plan) => panic!("was not refused: {plan:#?}"),
        Err(found) => rendered(&found, text),
    }
}

pub(super) fn rendered(found: &[Diagnostic], text: &str) -> String {
    found
        .iter()
        .map(|diagnostic| render_text(diagnostic, "pipeline.yaml", text))
        .collect::<Vec<_>>()
        .join("\n")
}

/// `id <- port=source …` and what else differs between actions.
pub(super) fn shown(plan: &Plan) -> String {
    let mut out = String::new();
    for action in &plan.actions {
        out.push_str(&format!("{} (line {})", action.id, action.line));
        for (port, bound) in &action.inputs {
            let bound: Vec<_> = bound
                .iter()
                .map(|binding| {
                    let source = match &binding.source {
                        Source::Path(path) => path.display().to_string(),
                        Source::Placed { path, stages, .. } => format!("{} of {stages:?}", path.display()),
                        Source::Output { stage, port } => format!("{stage}.{port}"),
                    };
                    let role =
                        binding.role.as_ref().map(|role| format!(" as {role} data")).unwrap_or_default();
                    format!("{}={source}: {}{role}", binding.name, binding.artifact_type)
                })
                .collect();
            let bound = if bound.is_empty() { "nothing".to_owned() } else { bound.join(", ") };
            out.push_str(&format!("\n    {port} <- {bound}"));
        }
        if action.params != json!({}) {
            out.push_str(&format!("\n    with {}", action.params));
        }
        if !action.needs.is_empty() {
            out.push_str(&format!(
                "\n    needs {}",
                action.needs.iter().map(|id| id.0.as_str()).collect::<Vec<_>>().join(" ")
            ));
        }
        if !action.exports.is_empty() {
            out.push_str(&format!("\n    exports {:?}", action.exports));
        }
        if let Some(condition) = &action.condition {
            let asks: Vec<_> = condition.asks.iter().map(|id| id.0.as_str()).collect();
            let whatever = if condition.asks_status { ", whatever becomes of others" } else { "" };
            out.push_str(&format!(
                "\n    the run decides {}, asking [{}]{whatever}",
                condition.text,
                asks.join(" ")
            ));
        }
        if let Some(reason) = &action.skip {
            out.push_str(&format!("\n    skipped: {reason}"));
        }
        out.push('\n');
    }
    for warning in &plan.warnings {
        out.push_str(&format!("warning: {warning}\n"));
    }
    out
}
