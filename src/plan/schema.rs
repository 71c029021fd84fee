//! The JSON Schema of the pipeline language, for editors: made from the language's keys and the programs' manifests.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use stagewright_protocol::Manifest;

use crate::spec::units::{Dimension, unit_named};

use super::Program;

/// The dialect in which all of it is written.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// JSON Schema (2020-12) of pipeline files that use these stage programs; of the language alone where there are none.
pub fn schema(catalog: &BTreeMap<String, Program>) -> Value {
    let mut stage = entry();
    let rules: Vec<Value> = catalog
        .iter()
        .map(|(name, program)| {
            json!({
                "if": { "required": ["uses"], "properties": { "uses": { "pattern": uses(name) } } },
                "then": { "properties": of_program(&program.manifest) },
            })
        })
        .collect();
    if !rules.is_empty() {
        let names: Vec<&str> = catalog.keys().map(String::as_str).collect();
        stage["properties"]["uses"]["anyOf"] = json!([{ "enum": names }, { "pattern": "@[0-9]+$" }]);
        stage["allOf"] = rules.into();
    }
    json!({
        "$schema": DIALECT,
        "title": "Stagewright pipeline",
        "type": "object",
        "required": ["version"],
        "anyOf": [{ "required": ["stages"] }, { "required": ["include"] }, { "required": ["params"] }, { "required": ["env"] }, { "required": ["targets"] }],
        "properties": {
            "version": { "const": 1, "description": "Version of the language." },
            "name": { "type": "string", "description": "Name of the pipeline; the file's name where it is missing." },
            "include": one_or_many("Files, relative to this one, whose params, env, targets and stages are added."),
            "params": {
                "description": "A map, the path of a YAML, JSON or TOML file, or a list of paths, of which a later one overrides an earlier one.",
                "anyOf": [{ "type": "object" }, { "type": "string" }, { "type": "array", "items": { "type": "string" } }],
            },
            "env": env(),
            "seed": { "type": ["integer", "string"], "description": "Seed of all stages that do not give one." },
            "defaults": { "type": "object", "description": "What holds for stages that do not say otherwise.", "properties": common(), "additionalProperties": false },
            "targets": { "type": "object", "description": "Gates on metrics.", "additionalProperties": target() },
            "search": search(),
            "stages": {
                "type": "object",
                "description": "The stages by name, in any order: what each reads decides what runs first.",
                "minProperties": 1,
                "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_-]*$" },
                "additionalProperties": stage,
            },
        },
        "patternProperties": { "^x-": true },
        "additionalProperties": false,
        "$defs": definitions(),
    })
}

/// JSON Schema (2020-12) of one entry under `stages` that uses this program.
pub fn stage_schema(program: &Program) -> Value {
    let manifest = &program.manifest;
    let mut schema = entry();
    schema["$schema"] = DIALECT.into();
    schema["required"] = json!(["uses"]);
    schema["title"] = format!("a stage that uses {} {}", manifest.name, manifest.version).into();
    schema["description"] = manifest.summary.as_str().into();
    schema["properties"]["uses"]["pattern"] = uses(&manifest.name).into();
    if let Value::Object(own) = of_program(manifest) {
        for (key, rule) in own {
            // What holds for the key in any stage, and what this program makes of it.
            let general = schema["properties"][&key].take();
            schema["properties"][&key] =
                json!({ "description": general["description"], "allOf": [general, rule] });
        }
    }
    schema["$defs"] = definitions();
    schema
}

/// Pattern of the values of `uses` that name a program.
fn uses(name: &str) -> String {
    format!("^{name}(@[0-9]+)?$")
}

fn definitions() -> Value {
    json!({ "failure": { "enum": ["infra", "oom", "timeout", "exit-code"] } })
}

/// An entry under `stages`, whatever program it uses.
fn entry() -> Value {
    let mut stage = common();
    stage.extend(object(json!({
        "uses": {
            "type": "string",
            "description": "Stage program, optionally with the cache version it must have: `train` or `train@1`.",
            "pattern": "^[A-Za-z0-9_-]+(@[0-9]+)?$",
        },
        "cmd": one_or_many("A command for bash, run in the project; a list runs in order and stops at the first that fails."),
        "run": one_or_many("The same as `cmd`."),
        "wdir": { "type": "string", "description": "Folder that the command runs in and that its paths are relative to." },
        "deps": one_or_many("Paths of the project, and outputs of stages, that the stage reads beside its ports."),
        "outs": outs("Paths of the project that the stage writes itself."),
        "metrics": outs("Files of numbers among them: JSON, YAML or TOML."),
        "plots": outs("Files of points among them."),
        "frozen": { "type": "boolean", "description": "Keeps the last result, whatever changes." },
        "always": { "type": "boolean", "description": "Runs in every run." },
        "always_changed": { "type": "boolean", "deprecated": true, "description": "The same as `always`." },
        "inputs": { "type": "object", "description": "What each input port takes.", "additionalProperties": input() },
        "with": { "type": "object", "description": "Params of the stage program." },
        "outputs": { "type": "object", "description": "Where outputs are placed in the work tree, by port.", "additionalProperties": { "type": "string" } },
        "needs": one_or_many("Stages that must have ended well before."),
        "matrix": matrix(),
        "strategy": { "type": "object", "deprecated": true, "description": "The same as `matrix`, written as `strategy: { matrix: … }`.", "properties": { "matrix": matrix() }, "additionalProperties": false },
        "if": { "type": ["string", "boolean"], "description": "Runs the stage only if this is true: `${{ host.tensorrt }}`, `${{ stages.bench.metrics.top1 > 90 }}`, `${{ failure() }}`." },
        "env": env(),
        "secrets": one_or_many("Names of variables that the program gets from the environment of `stagewright run`; their values are kept nowhere."),
        "seed": { "type": ["integer", "string"], "description": "Seed of every random choice of the stage." },
    })));
    json!({
        "type": "object",
        "anyOf": [{ "required": ["uses"] }, { "required": ["cmd"] }, { "required": ["run"] }],
        "properties": stage,
        "patternProperties": { "^x-": true },
        "additionalProperties": false,
    })
}

/// What a program's manifest says of the stages that use it.
fn of_program(manifest: &Manifest) -> Value {
    let described = |text: &str, kind: &str| Value::from(format!("{text} ({kind})"));
    let inputs: Map<String, Value> = manifest
        .inputs
        .iter()
        .map(|(name, port)| {
            (name.clone(), json!({ "description": described(&port.summary, &port.artifact_type) }))
        })
        .collect();
    let outputs: Map<String, Value> = manifest
        .outputs
        .iter()
        .map(|(name, port)| {
            (name.clone(), json!({ "description": described(&port.summary, &port.artifact_type) }))
        })
        .collect();
    let required: Vec<&String> =
        manifest.inputs.iter().filter(|(_, port)| port.required).map(|(name, _)| name).collect();
    json!({
        "inputs": { "properties": inputs, "required": required, "propertyNames": { "enum": manifest.inputs.keys().collect::<Vec<_>>() } },
        "outputs": { "properties": outputs, "propertyNames": { "enum": manifest.outputs.keys().collect::<Vec<_>>() } },
        "with": written(&manifest.params),
    })
}

/// A schema of values → one of values as written, in which an expression may stand for any value and numbers of a unit
/// carry it.
fn written(schema: &Value) -> Value {
    let Value::Object(words) = schema else { return schema.clone() };
    let mut out: Map<String, Value> = words
        .iter()
        .map(|(word, value)| {
            let value = match (word.as_str(), value) {
                ("properties" | "patternProperties" | "$defs", Value::Object(parts)) => {
                    parts.iter().map(|(name, part)| (name.clone(), written(part))).collect()
                }
                ("items" | "additionalProperties" | "not", part) => written(part),
                ("oneOf" | "anyOf" | "allOf" | "prefixItems", Value::Array(parts)) => {
                    parts.iter().map(written).collect()
                }
                (_, other) => other.clone(),
            };
            (word.clone(), value)
        })
        .filter(|(word, _)| word != "$schema")
        .collect();
    // Whoever reads it sees which keys there are, as the plan does.
    if out.contains_key("properties")
        && !out.contains_key("additionalProperties")
        && !out.contains_key("unevaluatedProperties")
    {
        out.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    let is = |wanted: &str| {
        words.get("type").is_some_and(|kind| {
            kind == wanted || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == wanted))
        })
    };
    let number = is("integer") || is("number");
    let unit = words.get("x-unit").and_then(Value::as_str).and_then(unit_named);
    let mut forms = vec![Value::Object(out)];
    if let (true, Some((dimension, _))) = (number, unit) {
        let units = match dimension {
            Dimension::Time => "us|ms|s|m|min|h|d",
            Dimension::Bytes => "B|[kMGT]B|[KMGT]iB",
            Dimension::Proportion => "%|pp",
            Dimension::Pixels => "px",
            Dimension::Angle => "deg",
        };
        forms.push(
            json!({ "type": "string", "pattern": format!("^[-+]?[0-9.]+([eE][-+]?[0-9]+)? ?({units})$") }),
        );
    }
    let scalar = words.contains_key("type") || words.contains_key("enum") || words.contains_key("const");
    let text = is("string") && !words.contains_key("enum");
    if scalar && !text && !words.contains_key("const") && !words.contains_key("properties") {
        forms.push(json!({ "type": "string", "pattern": "^\\s*\\$\\{\\{.*\\}\\}\\s*$" }));
    }
    let mut forms = forms.into_iter();
    let first = forms.next().unwrap_or_default();
    let rest: Vec<Value> = forms.collect();
    if rest.is_empty() {
        return first;
    }
    let mut any = Map::new();
    for word in ["description", "title", "default"] {
        if let Some(value) = words.get(word) {
            any.insert(word.to_owned(), value.clone());
        }
    }
    any.insert("anyOf".to_owned(), std::iter::once(first).chain(rest).collect());
    Value::Object(any)
}

/// Keys that stages and `defaults` share.
fn common() -> Map<String, Value> {
    object(json!({
        "resources": {
            "type": "object",
            "description": "What a run of the stage occupies.",
            "properties": {
                "cpus": { "type": "integer", "minimum": 0, "description": "Processor cores; 0 is all of them." },
                "memory": { "type": "string", "description": "Main memory with a unit: `16GiB`. A run that takes more is ended." },
                "gpus": { "type": "integer", "minimum": 0, "description": "Number of GPUs." },
                "exclusive": { "type": "boolean", "description": "Wants the machine alone." },
                "output": { "type": "string", "description": "Ends a run that writes more, with a unit: `20GiB`." },
                "network": { "type": "boolean", "description": "May use the network, which is closed otherwise." },
                "cpu": { "type": "integer", "minimum": 0, "deprecated": true, "description": "The same as `cpus`." },
                "gpu": { "type": "integer", "minimum": 0, "deprecated": true, "description": "The same as `gpus`." },
            },
            "additionalProperties": false,
        },
        "timeout-minutes": { "type": "number", "exclusiveMinimum": 0, "description": "Ends a run that takes longer." },
        "silence-minutes": { "type": "number", "exclusiveMinimum": 0, "description": "Ends a run that says nothing for this long." },
        "retry": {
            "type": "object",
            "description": "When a failed run is tried again; a failed gate never is.",
            "properties": {
                "max": { "type": "integer", "minimum": 0, "description": "Runs after the first." },
                "on": {
                    "description": "Classes of failure; without it all of them.",
                    "anyOf": [{ "$ref": "#/$defs/failure" }, { "type": "array", "items": { "$ref": "#/$defs/failure" } }],
                },
                "backoff": { "type": "string", "description": "Pause before the first retry with a unit: `30s`; it doubles." },
            },
            "additionalProperties": false,
        },
        "cache": { "type": "boolean", "description": "False: never reuse a result." },
        "continue-on-error": { "type": "boolean", "description": "A failure does not fail the run." },
        "runs-on": one_or_many("Labels of the machine to run on."),
    }))
}

fn input() -> Value {
    let item = json!({ "anyOf": [
        { "type": "string" },
        {
            "type": "object",
            "properties": {
                "from": { "type": "string", "description": "Output of a stage: `${{ stages.train.outputs.model }}`." },
                "path": { "type": "string", "description": "File or folder, relative to the project's root." },
                "as": { "type": "string", "description": "Name the stage sees." },
                "role": { "enum": ["train", "validation", "test", "calibration"], "description": "What a dataset is for." },
                "type": { "type": "string", "description": "Port type of a path, where the port takes several." },
                "if": { "type": ["string", "boolean"], "description": "Takes the artifact only if this is true." },
            },
            "oneOf": [{ "required": ["from"] }, { "required": ["path"] }],
            "additionalProperties": false,
        },
    ] });
    json!({ "anyOf": [item, { "type": "array", "items": item }] })
}

fn target() -> Value {
    let bound = json!({ "type": ["number", "string"] });
    json!({
        "type": "object",
        "required": ["on"],
        "properties": {
            "on": { "type": "string", "description": "Stage that reports the metric." },
            "metric": { "type": "string", "description": "The metric; without it the target's name." },
            "max": bound,
            "min": bound,
            "max-drop-vs": { "type": "string", "description": "Metric, `stage:metric`, or `stage` for its metric of the same name, below which it may fall by `value`." },
            "max-ratio-vs": { "type": "string", "description": "Metric, `stage:metric`, or `stage` for its metric of the same name, of which it may be `value` times." },
            "value": bound,
        },
        "oneOf": [
            { "required": ["max"] },
            { "required": ["min"] },
            { "required": ["max-drop-vs", "value"] },
            { "required": ["max-ratio-vs", "value"] },
        ],
        "additionalProperties": false,
    })
}

fn search() -> Value {
    let number = json!({ "type": ["number", "string"] });
    let points = json!({ "type": "integer", "minimum": 2, "description": "How many values a grid takes." });
    let between = |kind: &str, description: &str, extras: &[&str]| {
        let mut properties = Map::new();
        properties.insert(kind.to_owned(), json!({ "type": "array", "minItems": 2, "maxItems": 2, "items": number, "description": description }));
        properties.insert("points".to_owned(), points.clone());
        for extra in extras {
            let value = match *extra {
                "step" => {
                    json!({ "type": ["number", "string"], "description": "From one value to the next." })
                }
                _ => {
                    json!({ "enum": ["linear", "log"], "description": "On `log`, equal ratios count the same." })
                }
            };
            properties.insert((*extra).to_owned(), value);
        }
        json!({ "type": "object", "required": [kind], "properties": properties, "additionalProperties": false })
    };
    let range = json!({ "anyOf": [
        { "type": "array", "minItems": 1, "description": "Some values to choose from." },
        { "type": "object", "required": ["choice"], "properties": { "choice": { "type": "array", "minItems": 1 } }, "additionalProperties": false },
        between("int", "Whole numbers from one end to the other.", &["step", "scale"]),
        between("linear", "Numbers from one end to the other.", &["step"]),
        between("log", "Numbers above 0, equal ratios counting the same.", &[]),
    ] });
    json!({
        "type": "object",
        "description": "What `stagewright search` tries, and what is better.",
        "required": ["over"],
        "properties": {
            "over": {
                "type": "object",
                "minProperties": 1,
                "description": "Ranges by param: `train.with.optimizer.lr: { log: [1e-4, 1e-1] }`, `params.epochs: { int: [2, 10] }`.",
                "propertyNames": { "pattern": "^(params|[A-Za-z_][^.]*[.]with)[.].+$" },
                "additionalProperties": range,
            },
            "trials": { "type": "integer", "minimum": 1, "description": "Most trials; 20 where nothing is said, or all of a grid." },
            "strategy": { "enum": ["grid", "random", "tpe"], "description": "How trials are chosen; `tpe` where nothing is said." },
            "seed": { "type": "integer", "minimum": 0, "description": "Seed of all that is drawn at random." },
            "maximize": one_or_many("Metrics that should be large, as `stage:metric`."),
            "minimize": one_or_many("Metrics that should be small, as `stage:metric`."),
        },
        "anyOf": [{ "required": ["maximize"] }, { "required": ["minimize"] }],
        "additionalProperties": false,
    })
}

fn matrix() -> Value {
    let entries = json!({ "type": "array", "items": { "type": "object" } });
    json!({
        "type": "object",
        "description": "Runs the stage once for each combination of values.",
        "properties": { "include": entries, "exclude": entries },
        "additionalProperties": { "type": ["array", "string"] },
    })
}

fn env() -> Value {
    json!({
        "type": "object",
        "description": "Environment variables; part of the action key, but for those that name the run (`${{ run.id }}`).",
        "additionalProperties": { "type": ["string", "number", "boolean"] },
    })
}

fn outs(description: &str) -> Value {
    let options = json!({
        "type": "object",
        "additionalProperties": {
            "type": ["object", "null"],
            "properties": {
                "persist": { "type": "boolean", "description": "Not removed before the stage runs." },
                "cache": { "type": "boolean", "description": "Means something to DVC only: here everything is stored." },
            },
        },
    });
    let item = json!({ "anyOf": [{ "type": "string" }, options] });
    json!({ "description": description, "anyOf": [item, { "type": "array", "items": item }] })
}

fn one_or_many(description: &str) -> Value {
    json!({ "description": description, "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
