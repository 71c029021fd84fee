#![allow(clippy::unwrap_used)]
//! Completion, hover and definition at a cursor, which is `|` in the texts.

use std::{collections::BTreeMap, sync::Arc};

use lsp_types::CompletionTextEdit;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    analysis::{Analysis, Project, form},
    completion::complete,
    definition::define,
    hover::hover,
    knowledge::Knowledge,
    outline::Outline,
    text::Text,
};
use crate::catalog::{Program, Start};

struct World {
    programs: BTreeMap<String, Program>,
    host: BTreeMap<String, Value>,
    language: Value,
}

fn program(manifest: Value) -> (String, Program) {
    let manifest: stagewright_protocol::Manifest = serde_json::from_value(manifest).unwrap();
    let name = manifest.name.clone();
    let path = format!("/programs/stagewright-stage-{name}").into();
    (name, Program { start: Start::Program(path), manifest: Arc::new(manifest), platform: Arc::default() })
}

impl World {
    fn new() -> Self {
        let train = program(json!({
            "name": "train", "version": "1.0.0", "cache-version": 1, "summary": "trains a network",
            "inputs": {
                "data": { "type": "dataset/images", "summary": "images" },
                "policy": { "type": "augment/policy", "summary": "augmentation", "required": false },
            },
            "outputs": { "model": { "type": "model/checkpoint", "summary": "the network" } },
            "params": { "type": "object", "properties": {
                "epochs": { "type": "integer", "minimum": 1, "default": 10, "description": "Passes over the data." },
                "precision": { "type": "string", "enum": ["fp32", "bf16"], "default": "fp32", "description": "Numbers." },
                "nesterov": { "type": "boolean", "default": false, "description": "Looks ahead.", "x-source": "Sutskever 2013" },
                "size": { "type": "integer", "x-unit": "px", "default": 48, "description": "Height and width." },
                "optimizer": { "description": "How steps are made.", "oneOf": [
                    { "type": "object", "properties": { "kind": { "const": "sgd", "description": "Plain." }, "momentum": { "type": "number", "description": "Keeps going." } } },
                    { "type": "object", "properties": { "kind": { "const": "adamw" }, "betas": { "type": "array", "description": "Decay." } } },
                ] },
            } },
            "metrics": { "validation.top1": "right answers, %" },
        }));
        let images = program(json!({
            "name": "images", "version": "2.0.0", "cache-version": 1, "summary": "makes images",
            "outputs": { "data": { "type": "dataset/images", "summary": "PNG files" }, "log": { "type": "report/text", "summary": "a log" } },
            "params": { "type": "object", "properties": {} },
        }));
        Self {
            programs: [train, images].into(),
            host: BTreeMap::from([("gpus".to_owned(), json!(2)), ("os".to_owned(), json!("linux"))]),
            language: Project::language(),
        }
    }

    /// Calls `ask` with all that is known of a text whose cursor is taken out, and the cursor's offset.
    fn ask<T>(&self, marked: &str, ask: impl Fn(&Knowledge<'_>, usize) -> T) -> T {
        let offset = marked.find('|').expect("a cursor");
        let text = Text::new(marked.replacen('|', "", 1));
        let outline = Outline::new(text.as_str());
        let analysis: Analysis = form("pipeline.yaml", text.as_str());
        let known = Knowledge {
            text: &text,
            outline: &outline,
            analysis: &analysis,
            programs: &self.programs,
            host: &self.host,
            language: &self.language,
        };
        ask(&known, offset)
    }

    /// Labels, with what would be written where that is something else.
    fn complete(&self, marked: &str) -> String {
        self.ask(marked, |known, offset| {
            let labels: Vec<String> = complete(known, offset)
                .into_iter()
                .map(|item| match item.text_edit {
                    Some(CompletionTextEdit::Edit(edit)) if edit.new_text != item.label => {
                        format!("{} → {:?}", item.label, edit.new_text)
                    }
                    _ => item.label,
                })
                .collect();
            labels.join(", ")
        })
    }

    fn hover(&self, marked: &str) -> String {
        self.ask(marked, |known, offset| {
            hover(known, offset).map_or_else(|| "nothing".to_owned(), |(text, _)| text)
        })
    }

    /// The line that the definition is on.
    fn define(&self, marked: &str) -> String {
        self.ask(marked, |known, offset| {
            let Some(target) = define(known, None, &|_| None, offset) else { return "nowhere".to_owned() };
            let text = known.text.as_str();
            let line = text[..target.range.start].rfind('\n').map_or(0, |at| at + 1);
            text[line..].lines().next().unwrap_or_default().trim().to_owned()
        })
    }
}

const HEAD: &str = "version: 1\nparams: { epochs: 20, deep: { er: 1 } }\nstages:\n  images: { uses: images }\n  train:\n    uses: train\n";

#[test]
fn keys_are_completed_where_they_may_stand() {
    let world = World::new();
    let said = [
        world.complete("|"),
        world.complete("version: 1\nta|"),
        world.complete(&format!("{HEAD}    inp|")),
        world.complete(&format!("{HEAD}    inputs:\n      |")),
        world.complete(&format!("{HEAD}    inputs: {{ da|")),
        world.complete(&format!("{HEAD}    inputs: {{ data: x, | }}\n    with: {{}}")),
        world.complete(&format!("{HEAD}    with:\n      epochs: 3\n      |")),
        world.complete(&format!("{HEAD}    with:\n      pre|cision: bf16")),
        world.complete(&format!("{HEAD}    with:\n      optimizer:\n        kind: adamw\n        |")),
        world.complete(&format!("{HEAD}    with: {{ optimizer: {{ kind: sgd, |")),
        world.complete(&format!("{HEAD}    outputs: {{ |")),
        world.complete(&format!("{HEAD}    inputs:\n      data:\n        - from: x\n          |")),
        world.complete(&format!("{HEAD}    retry: {{ ma|")),
    ];
    insta::assert_snapshot!(said.join("\n---\n"), @r#"
    version → "version: ", name → "name: ", include → "include: ", params → "params: ", env → "env:", seed → "seed: ", defaults → "defaults:", targets → "targets:", stages → "stages:", search → "search:"
    ---
    name → "name: ", include → "include: ", params → "params: ", env → "env:", seed → "seed: ", defaults → "defaults:", targets → "targets:", stages → "stages:", search → "search:"
    ---
    env → "env:", seed → "seed: ", cmd → "cmd: ", wdir → "wdir: ", deps → "deps: ", outs → "outs: ", metrics → "metrics: ", plots → "plots: ", inputs → "inputs:", with → "with:", outputs → "outputs:", needs → "needs: ", matrix → "matrix:", if → "if: ", always → "always: ", cache → "cache: ", continue-on-error → "continue-on-error: ", frozen → "frozen: ", resources → "resources:", retry → "retry:", run → "run: ", runs-on → "runs-on: ", secrets → "secrets: ", silence-minutes → "silence-minutes: ", timeout-minutes → "timeout-minutes: "
    ---
    data → "data: ", policy → "policy: "
    ---
    data → "data: ", policy → "policy: "
    ---
    policy → "policy: "
    ---
    nesterov → "nesterov: ", optimizer → "optimizer:", precision → "precision: ", size → "size: "
    ---
    epochs, nesterov, optimizer, precision, size
    ---
    betas → "betas:"
    ---
    momentum → "momentum: "
    ---
    model → "model: "
    ---
    if → "if: ", path → "path: ", as → "as: ", role → "role: ", type → "type: "
    ---
    backoff → "backoff: ", max → "max: ", on → "on: "
    "#);
}

#[test]
fn values_are_completed_by_kind() {
    let world = World::new();
    let said = [
        world.complete("stages:\n  a:\n    uses: |"),
        world.complete("stages:\n  a: { uses: im| }"),
        world.complete(&format!("{HEAD}    with:\n      precision: |")),
        world.complete(&format!("{HEAD}    with: {{ nesterov: |")),
        world.complete(&format!("{HEAD}    with:\n      size: |")),
        world.complete(&format!("{HEAD}    inputs:\n      data: |")),
        world.complete(&format!("{HEAD}    inputs: {{ data: | }}")),
        world.complete(&format!("{HEAD}    needs: [|]")),
        world.complete(&format!("targets:\n  t:\n    on: |\n{}", HEAD.replace("version: 1\n", ""))),
        world.complete(&format!(
            "targets:\n  t:\n    on: train\n    metric: |\n{}",
            HEAD.replace("version: 1\n", "")
        )),
        world.complete(&format!("{HEAD}    retry:\n      on: [|")),
        world.complete(&format!("{HEAD}    inputs: {{ data: {{ path: x, role: | }} }}")),
    ];
    insta::assert_snapshot!(said.join("\n---\n"), @r#"
    images, train
    ---
    images, train
    ---
    fp32, bf16
    ---
    true, false
    ---
    48px
    ---
    ${{ stages.images.outputs.data }}
    ---
    ${{ stages.images.outputs.data }} → "\"${{ stages.images.outputs.data }}\""
    ---
    images
    ---
    images, train
    ---
    validation.top1
    ---
    infra, oom, timeout, exit-code
    ---
    train, validation, test, calibration
    "#);
}

#[test]
fn expressions_are_completed_step_by_step() {
    let world = World::new();
    let with = |expression: &str| {
        world.complete(&format!(
            "{HEAD}    matrix: {{ seed: [0, 1] }}\n    env: {{ A: x }}\n    if: ${{{{ {expression}"
        ))
    };
    let said = [
        with("par|"),
        with("params.|"),
        with("params.deep.|"),
        with("stages.|"),
        with("stages.images.|"),
        with("stages.images.outputs.|"),
        with("stages.train.metrics.|"),
        with("matrix.| }}"),
        with("env.|"),
        with("host.gpus > 1 && host.|"),
    ];
    insta::assert_snapshot!(said.join("\n---\n"), @r#"
    params, matrix, stages, env, git, run, host, success(), failure(), always(), cancelled(), contains(search, item) → "contains(", startsWith(text, prefix) → "startsWith(", endsWith(text, suffix) → "endsWith(", format('{0} {1}', a, b) → "format(", join(list, separator) → "join(", fromJSON(text) → "fromJSON(", toJSON(value) → "toJSON(", hashFiles('glob', …) → "hashFiles("
    ---
    deep, epochs
    ---
    er
    ---
    images
    ---
    outputs, result, metrics
    ---
    data, log
    ---
    validation.top1
    ---
    seed
    ---
    A
    ---
    gpus, os
    "#);
}

#[test]
fn nothing_is_offered_where_nothing_fits() {
    let world = World::new();
    for marked in [
        "# com|ment",
        "version: 1 # |",
        "stages:\n  |",
        "name: gr|öße",
        &format!("{HEAD}    with:\n      epochs: 3 # |"),
    ] {
        assert_eq!(world.complete(marked), "", "{marked}");
    }
}

#[test]
fn hover_tells_meaning_unit_range_default_and_value() {
    let world = World::new();
    let said = [
        world.hover(&format!("{HEAD}    with:\n      ep|ochs: 3")),
        world.hover(&format!("{HEAD}    with: {{ nest|erov: true }}")),
        world.hover(&format!("{HEAD}    with: {{ optimizer: {{ kind: sg|d }} }}")),
        world.hover(&HEAD.replace("uses: train", "uses: tr|ain")),
        world.hover(&HEAD.replace("  images:", "  ima|ges:")),
        world.hover(&format!("{HEAD}    inputs: {{ po|licy: p }}")),
        world.hover(&format!("{HEAD}    timeout-minutes|: 3")),
        world.hover(&format!("{HEAD}    with: {{ epochs: \"${{{{ params.deep.e|r }}}}\" }}")),
        world.hover(&format!("{HEAD}    if: ${{{{ host.gp|us > 1 }}}}")),
        world.hover(&format!("{HEAD}    inputs: {{ data: \"${{{{ stages.images.outputs.da|ta }}}}\" }}")),
        world.hover(&format!("{HEAD}    if: ${{{{ cont|ains('a', 'b') }}}}")),
        world.hover("params:\n  lea|rning: 0.5\nstages: {}"),
        world.hover("ver|sion: 1"),
        world.hover("nothing|here"),
    ];
    insta::assert_snapshot!(said.join("\n---\n"), @r"
    **epochs** — integer, 1 or more, default 10

    Passes over the data.
    ---
    **nesterov** — boolean, default false

    Looks ahead.

    Source: Sutskever 2013
    ---
    **sgd** — Plain.
    ---
    **train** 1.0.0 (cache version 1)

    trains a network

    Takes `data` (dataset/images), `policy` (augment/policy); gives `model` (model/checkpoint).
    ---
    stage **images**

    **images** 2.0.0 (cache version 1)

    makes images

    Takes nothing; gives `data` (dataset/images), `log` (report/text).
    ---
    **policy** — input, `augment/policy`, optional

    augmentation
    ---
    **timeout-minutes** — number, above 0

    Ends a run that takes longer.
    ---
    **params.deep.er** = `1`
    ---
    **host.gpus** = `2`
    ---
    **data** — output of `images`, `dataset/images`

    PNG files
    ---
    **contains(search, item)**

    Whether a text holds a text, or a list an item; case does not matter.
    ---
    **learning** = `0.5`
    ---
    **version** = 1

    Version of the language.
    ---
    nothing
    ");
}

#[test]
fn definitions_are_found_also_in_half_written_files() {
    let world = World::new();
    let said = [
        world.define(&format!("{HEAD}    inputs: {{ data: \"${{{{ stages.ima|ges.outputs.data }}}}\"")),
        world.define(&format!("{HEAD}    inputs:\n      data: ${{{{ stages.images.outputs.da|")),
        world.define(&format!("{HEAD}    needs: [ima|ges]")),
        world.define("stages:\n  a:\n    matrix: { seed: [1] }\n    seed: ${{ matrix.se|ed }}"),
        world.define("env: { A: 1 }\nstages:\n  a:\n    if: ${{ env.A| }}"),
        world.define("params:\n  lr:\n    warm: 1\nstages:\n  a:\n    if: ${{ params.lr.wa|rm }}"),
        world.define("targets:\n  fast: { on: ben|ch[*], max: 1ms }\nstages:\n  bench: { uses: x }"),
        world.define("stages:\n  a:\n    if: ${{ env.NO|NE }}"),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    images: { uses: images }
    images: { uses: images }
    images: { uses: images }
    matrix: { seed: [1] }
    env: { A: 1 }
    warm: 1
    bench: { uses: x }
    nowhere
    ");
}

proptest! {
    /// Every question can be asked at every offset of any text.
    #[test]
    fn nothing_panics(text in "(version: 1\n|stages:\n|  a:\n|    uses: |train|\\$\\{\\{ |params\\.|stages\\.a\\.|\\}\\}|[ \\{\\}\\[\\],:\"'#|\n-]|ü|🦀){0,24}", at in 0_usize..200) {
        let world = World::new();
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let marked = format!("{}|{}", text[..at].replace('|', ">"), text[at..].replace('|', ">"));
        world.complete(&marked);
        world.hover(&marked);
        world.define(&marked);
    }

    /// In a file that is YAML, the outline has the keys that YAML has.
    #[test]
    fn the_outline_of_yaml_is_that_of_yaml(value in yaml_value()) {
        let text = serde_yaml::to_string(&value).unwrap();
        prop_assert_eq!(Outline::new(&text).json(&[]), Value::Null);
        let wrapped = json!({ "root": value });
        let text = serde_yaml::to_string(&wrapped).unwrap();
        let outline = Outline::new(&text);
        let found = outline.json(&super::outline::keys(["root"]));
        prop_assert_eq!(found, wrapped["root"].clone(), "{}", text);
        let inline = format!("root: {}\n", wrapped["root"]);
        let found = Outline::new(&inline).json(&super::outline::keys(["root"]));
        prop_assert_eq!(found, wrapped["root"].clone(), "{}", inline);
    }
}

fn yaml_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z][a-z ]{0,8}[a-z]".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,6}", inner, 1..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
