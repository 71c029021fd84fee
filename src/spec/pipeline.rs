//! The tree of a whole file → [`PipelineSpec`].

use super::{
    diagnostic::{Diagnostic, LineIndex, Severity},
    fields::{self, Findings},
    settings, stage, target,
    tree::{Node, NodeData},
    types::{Data, ParamsSpec, PipelineSpec, Settings, Value},
};

const KEYS: &[&str] = &["version", "name", "params", "env", "seed", "defaults", "targets", "stages"];

const NOT_BUILT: &[(&str, &str)] = &[("include", "write the stages into this file")];

/// Top-level keys of a GitHub workflow, which means something else.
const WORKFLOW_KEYS: &[&str] = &["on", "jobs", "steps", "permissions", "concurrency", "runs-on"];

/// Version of the language.
const VERSION: u32 = 1;

pub(super) fn read(file: &str, lines: LineIndex, root: &Node, findings: &mut Findings) -> PipelineSpec {
    let mut spec = PipelineSpec {
        file: file.to_owned(),
        lines,
        name: None,
        params: ParamsSpec::None,
        env: Vec::new(),
        seed: None,
        defaults: Settings::default(),
        targets: Vec::new(),
        stages: Vec::new(),
        warnings: Vec::new(),
    };
    let entries = match &root.data {
        NodeData::Map(entries) => entries,
        NodeData::Null => {
            findings.push(empty());
            return spec;
        }
        _ => {
            findings.push(fields::wrong(root, "a pipeline", "a map"));
            return spec;
        }
    };
    let has = |wanted: &str| entries.iter().any(|(key, _)| key.value == wanted);
    let top = root.span.start..root.span.start + 1;
    for (key, node) in entries {
        match key.as_str() {
            "version" => version(node, findings),
            "name" => spec.name = fields::text(node, "`name`", findings),
            "params" => spec.params = params(node, findings),
            "env" => spec.env = fields::named_values(node, "`env`", findings),
            "seed" => spec.seed = Some(fields::value(node, findings)),
            "defaults" => spec.defaults = settings::defaults(node, findings),
            "targets" => spec.targets = target::read(node, findings),
            "stages" => spec.stages = stage::read_all(key, node, findings),
            word if WORKFLOW_KEYS.contains(&word) => findings.push(
                Diagnostic::error(
                    "spec::workflow-key",
                    format!("`{word}` is a key of a GitHub workflow, not of a pipeline"),
                )
                .at(key.span.clone(), "")
                .hint("a pipeline declares `stages`; triggers and jobs live in .github/workflows"),
            ),
            _ => findings.extend(fields::unknown_key(key, "the pipeline", KEYS, NOT_BUILT)),
        }
    }
    if !has("version") {
        findings.push(
            fields::missing(top.clone(), "the pipeline", "version")
                .hint(format!("start the file with `version: {VERSION}`")),
        );
    }
    if !has("stages") {
        findings.push(
            fields::missing(top, "the pipeline", "stages")
                .hint("declare a stage: `stages: { train: { uses: train } }`"),
        );
    }
    findings.retain(|finding| {
        let warning = finding.severity == Severity::Warning;
        if warning {
            spec.warnings.push(finding.clone());
        }
        !warning
    });
    spec
}

/// A file without a document.
pub(super) fn empty() -> Diagnostic {
    Diagnostic::error("spec::empty", "the file is empty")
        .at(0..0, "")
        .hint("a pipeline starts with `version: 1` and declares `stages`")
}

fn version(node: &Node, findings: &mut Findings) {
    let Some(found) = fields::whole(node, "`version`", findings) else { return };
    if found != VERSION {
        findings.push(
            Diagnostic::error("spec::version", format!("version {found} of the language is not known"))
                .at(node.span.clone(), "")
                .hint(format!("this release reads version {VERSION}")),
        );
    }
}

fn params(node: &Node, findings: &mut Findings) -> ParamsSpec {
    match &node.data {
        NodeData::Null => ParamsSpec::None,
        NodeData::Map(_) => {
            let value = fields::value(node, findings);
            literal_only(&value, findings);
            fields::refuse_ambiguous_truth(node, findings);
            ParamsSpec::Inline(value)
        }
        NodeData::Text { .. } | NodeData::List(_) => ParamsSpec::Files(
            fields::items(node)
                .iter()
                .filter_map(|item| fields::text(item, "a file of `params`", findings))
                .collect(),
        ),
        _ => {
            findings.push(fields::wrong(node, "`params`", "a map, the path of a file, or a list of paths"));
            ParamsSpec::None
        }
    }
}

fn literal_only(value: &Value, findings: &mut Findings) {
    match &value.data {
        Data::Template(_) => findings.push(
            Diagnostic::error("spec::no-expression", "a param can't be an expression")
                .at(value.span.clone(), "")
                .hint("params are where values start; compute with them in the stages"),
        ),
        Data::List(items) => items.iter().for_each(|item| literal_only(item, findings)),
        Data::Map(entries) => entries.iter().for_each(|(_, value)| literal_only(value, findings)),
        _ => {}
    }
}
