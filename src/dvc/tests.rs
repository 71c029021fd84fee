#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use crate::spec::{
    PipelineSpec,
    types::{Data, Dialect, Value},
};

use super::*;

fn read_with(text: &str, files: &[(&str, &str)]) -> PipelineSpec {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let mut reader =
        |name: &str| files.get(name).map(|text| (*text).to_owned()).ok_or_else(|| "no such file".to_owned());
    read("dvc.yaml", text, &mut reader)
}

fn shown(value: &Value) -> String {
    match &value.data {
        Data::Text(text) => text.clone(),
        _ => value.literal().unwrap_or_default().to_string(),
    }
}

/// Every stage as it came out.
fn stages(spec: &PipelineSpec) -> String {
    let mut out = String::new();
    for finding in &spec.errors {
        out.push_str(&spec.sources.render(finding));
    }
    for stage in &spec.stages {
        let command = stage.command().unwrap();
        let Dialect::Dvc(dvc) = &command.dialect else { panic!("not of DVC") };
        out.push_str(&format!("{}: {}\n", stage.name.value, dvc.command));
        if let Some(folder) = &command.folder {
            out.push_str(&format!("    in {}\n", shown(folder)));
        }
        let list = |items: Vec<String>| items.join(" ");
        if !stage.deps.is_empty() {
            out.push_str(&format!("    deps {}\n", list(stage.deps.iter().map(shown).collect())));
        }
        for (file, values) in &dvc.params {
            let values = values.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect();
            out.push_str(&format!("    params of {file}: {}\n", list(values)));
        }
        for out_spec in &stage.outs {
            out.push_str(&format!(
                "    {:?} {}{}{}\n",
                out_spec.kind,
                shown(&out_spec.path),
                if out_spec.persist { " persist" } else { "" },
                if out_spec.cache { "" } else { " no-cache" }
            ));
        }
        let flags = [(stage.frozen, "frozen"), (stage.always, "always")];
        let flags: Vec<_> = flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
        if !flags.is_empty() {
            out.push_str(&format!("    {}\n", flags.join(" ")));
        }
    }
    out
}

const PARAMS: &str = r#"
lr: 0.001
big: 1e20
tiny: 1e-07
whole: 2.0
on: yes
models:
  a: { k: 1, s: x y }
  b: { k: 2, s: "it's" }
list: [p, q]
args: { epochs: 3, verbose: true, quiet: false, layers: [1, 2], opt: { name: adam w } }
"#;

#[test]
fn templates_groups_and_params_come_out_as_dvc_has_them() {
    let text = r#"
vars:
  - extra.json:size
  - threads: 4
stages:
  prepare:
    cmd:
      - python prepare.py ${lr} ${big} ${tiny} ${whole} ${on}
      - echo \${HOME} $HOME ${list[1]} ${models.a.s}
    deps: [prepare.py, "data/${list[0]}"]
    params: [lr, models.a, {other.toml: [x.y]}, {whole.yaml: }]
    outs:
      - out/raw: { persist: true, desc: raw data }
    metrics:
      - m.json: { cache: false }
    plots: [ { p.csv: [ { x: step }, { y: loss } ] } ]
    frozen: true
  args:
    cmd: python train.py ${args} --threads ${threads} ${size}
    wdir: sub/dir
    deps: [../x]
  each:
    foreach: ${models}
    do: { cmd: "echo ${key} ${item.k}", outs: ["out/${key}.txt"] }
  list:
    foreach: [u, v]
    do: { cmd: "echo ${item}" , deps: [in], vars: [ { deep: "1" } ] }
  maps:
    foreach: [ { n: 1 }, { n: 2 } ]
    do: { cmd: "echo ${item.n}", outs: ["o${item.n}"] }
  sweep:
    matrix: { m: [ { k: 1 }, { k: 2 } ], l: "${list}" }
    cmd: echo ${item.m.k} ${item.l} ${key}
    outs: ["s/${key}"]
  lines:
    cmd: |
      echo one
      echo two
    always_changed: true
    deps: [in]
metrics: [m.json]
plots: [ p.csv ]
"#;
    let spec = read_with(
        text,
        &[
            ("params.yaml", PARAMS),
            ("extra.json", r#"{"size": 7, "lr": 1}"#),
            ("other.toml", "[x]\ny = 3\n"),
            ("whole.yaml", "b: 2\na: { z: 1, y: [1, 2] }\n"),
        ],
    );
    insta::assert_snapshot!(stages(&spec));
}

#[test]
fn what_is_wrong_has_its_place() {
    let cases = [
        "stages:\n  a:\n    cmd: echo ${nothing} ${models.c} ${list[9]} ${lr.x} ${models} ${} ${{ lr }}\n",
        "stages:\n  a: { cmd: x, dep: [y], frozen: 3 }\n  b: { deps: [x] }\n  c: { foreach: [1] }\n  d: { do: {} }\n  e: { foreach: 3, do: { cmd: x } }\n  f: { matrix: { a: 1 }, cmd: x }\n",
        "vars: [ { lr: 2 }, gone.yaml, 'params.yaml:lr', vars.py ]\nstages:\n  a: { cmd: x, params: [nope, models.a.q, { gone.yaml: [x] }] }\n",
        "stagess: {}\n",
        "",
        "stages:\n  a: { cmd: [], outs: [ { x: { cash: true } } ] }\n",
    ];
    let said: Vec<String> =
        cases.iter().map(|text| stages(&read_with(text, &[("params.yaml", PARAMS)]))).collect();
    insta::assert_snapshot!(said.join("\n======\n"));
}
