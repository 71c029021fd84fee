//! What is done with any input, and what must hold whatever it is. A violation panics.

use std::collections::BTreeMap;

use stagewright::{
    plan::{self, CompileInputs, Overrides, PathKind},
    spec::{self, Diagnostic, FormatError, PipelineSpec, Sources},
};

/// Bytes as a pipeline file: it is read, checked, and brought into canonical form.
pub fn pipeline(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let spec = spec::read("pipeline.yaml", text, &mut |name| Err(format!("there is no {name}")));
    told(&spec.sources, spec.errors.iter().chain(&spec.warnings));
    compile(&spec);
    match spec::format(text) {
        Ok(once) => match spec::format(&once) {
            Ok(twice) => assert_eq!(once, twice, "the canonical form has another canonical form:\n{text}"),
            Err(error) => panic!("the canonical form has none: {error}:\n{text}"),
        },
        Err(FormatError::Unsafe) => panic!("the canonical form means something else:\n{text}"),
        Err(FormatError::Invalid(_) | FormatError::Unsupported { .. }) => {}
    }
}

/// Bytes as an expression: it is parsed, and evaluated as the condition of a stage.
pub fn expression(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = spec::expression::parse(text) {
        told(&Sources::single("expression", text), [&error]);
    }
    // JSON's texts are YAML's.
    let quoted = serde_json::Value::from(format!("${{{{ {text} }}}}"));
    let pipeline = format!(
        "version: 1\nparams: {{ a: 1, b: [x, 2, null], c: {{ d: true }} }}\nenv: {{ E: e }}\nstages:\n  s:\n    uses: none\n    \
         matrix: {{ m: [1, two] }}\n    if: {quoted}\n    env: {{ V: {quoted} }}\n"
    );
    let spec = spec::read("pipeline.yaml", &pipeline, &mut |name| Err(format!("there is no {name}")));
    told(&spec.sources, spec.errors.iter().chain(&spec.warnings));
    compile(&spec);
}

fn compile(spec: &PipelineSpec) {
    let compiled = plan::compile(
        spec,
        CompileInputs {
            overrides: &Overrides::default(),
            catalog: &BTreeMap::new(),
            host: &BTreeMap::from([("cpus".to_owned(), 2.into())]),
            git: serde_json::json!({ "commit": "c0ffee", "dirty": false }),
            env: BTreeMap::new(),
            file: "pipeline.yaml".into(),
            path_exists: &|_| PathKind::Missing,
            hash_files: &|_| Ok(String::new()),
            release: None,
        },
    );
    if let Err(findings) = compiled {
        told(&spec.sources, &findings);
    }
}

/// Every finding can be shown, and its places are places of the file.
fn told<'d>(sources: &Sources, findings: impl IntoIterator<Item = &'d Diagnostic>) {
    for finding in findings {
        assert!(!sources.render(finding).is_empty());
        for (span, _) in &finding.labels {
            if let Some(place) = sources.locate(span) {
                assert!(place.file.text().get(place.range.clone()).is_some(), "{finding:?} cuts a character");
            }
        }
    }
}
