//! The tree of one file → its part of a [`PipelineSpec`].

use super::{
    data,
    diagnostic::Diagnostic,
    fields::{self, Findings},
    search, settings, stage, target,
    tree::{Node, NodeData},
    types::{Data, Gaps, Name, ParamsFile, PipelineSpec, Span, Value},
};

const KEYS: &[&str] =
    &["version", "name", "include", "params", "env", "seed", "defaults", "targets", "search", "stages"];

/// Keys that belong to the pipeline file alone.
const OWN_KEYS: &[&str] = &["name", "seed", "defaults", "search"];

/// Top-level keys of a GitHub workflow, which means something else.
const WORKFLOW_KEYS: &[&str] = &["on", "jobs", "steps", "permissions", "concurrency", "runs-on"];

/// Version of the language.
const VERSION: u32 = 1;

/// What a file is to the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The pipeline file itself.
    Pipeline,
    /// One that it includes.
    Included,
}

/// Adds what a file declares; gives the files it includes. The findings hold what was said of its tree already.
pub(super) fn read(spec: &mut PipelineSpec, root: &Node, role: Role, findings: &mut Findings) -> Vec<Name> {
    let entries = match &root.data {
        NodeData::Map(entries) => entries,
        NodeData::Null => {
            findings.push(empty(root.span.start));
            spec.gaps = Gaps::ALL;
            return Vec::new();
        }
        _ => {
            findings.push(fields::wrong(root, "a pipeline", "a map"));
            spec.gaps = Gaps::ALL;
            return Vec::new();
        }
    };
    let has = |wanted: &str| entries.iter().any(|(key, _)| key.value == wanted);
    // Nothing of the file's own is wrong there, and a first character of several bytes must not be cut.
    let top = root.span.start..root.span.start;
    let mut includes = Vec::new();
    for (key, node) in entries {
        match key.as_str() {
            word if role == Role::Included && OWN_KEYS.contains(&word) => findings.push(
                Diagnostic::error(
                    "spec::include-key",
                    format!("`{word}` belongs into the pipeline file, not into one that it includes"),
                )
                .at(key.span.clone(), "")
                .hint("an included file gives `params`, `env`, `targets` and `stages`"),
            ),
            "version" => version(node, findings),
            "name" => spec.name = fields::text(node, "`name`", findings),
            "include" => {
                includes = fields::items(node)
                    .iter()
                    .filter_map(|item| fields::text(item, "a file of `include`", findings))
                    .collect();
            }
            "params" => params(spec, node, findings),
            "env" => {
                let entries = fields::named_values(node, "`env`", findings);
                add(&mut spec.env, entries, "variable", |(name, _)| name, findings);
            }
            "seed" => spec.seed = Some(fields::value(node, findings)),
            "defaults" => spec.defaults = settings::defaults(node, findings),
            "targets" => {
                let targets = target::read(node, findings);
                add(&mut spec.targets, targets, "target", |target| &target.name, findings);
            }
            "search" => spec.search = Some(search::read(key, node, findings)),
            "stages" => {
                spec.gaps.stages |= !matches!(node.data, NodeData::Map(_));
                let stages = stage::read_all(key, node, findings);
                add(&mut spec.stages, stages, "stage", |stage| &stage.name, findings);
            }
            word if WORKFLOW_KEYS.contains(&word) => findings.push(
                Diagnostic::error(
                    "spec::workflow-key",
                    format!("`{word}` is a key of a GitHub workflow, not of a pipeline"),
                )
                .at(key.span.clone(), "")
                .hint("a pipeline declares `stages`; triggers and jobs live in .github/workflows"),
            ),
            _ => {
                let unknown = fields::unknown_key(key, "the pipeline", KEYS, &[]);
                // It may have been meant as one that declares names.
                if unknown.is_some() {
                    spec.gaps = Gaps::ALL;
                }
                findings.extend(unknown);
            }
        }
    }
    if !has("version") {
        findings.push(
            fields::missing(
                top.clone(),
                if role == Role::Included { "the included file" } else { "the pipeline" },
                "version",
            )
            .hint(format!("start the file with `version: {VERSION}`")),
        );
    }
    if !has("stages") && role == Role::Pipeline && includes.is_empty() {
        findings.push(no_stages().at(top, ""));
    }
    let broken = |key: &str| {
        let region =
            entries.iter().find(|(name, _)| name.value == key).map(|(name, node)| region(name, node));
        region.is_some_and(|region| findings.iter().any(|finding| finding.is_error_in(&region)))
    };
    spec.gaps.params |= broken("params");
    spec.gaps.env |= broken("env");
    includes
}

/// From the start of a key to the end of its value.
pub(super) fn region(key: &Name, node: &Node) -> Span {
    key.span.start..node.span.end.max(key.span.end)
}

/// Adds what a file declares to what others did; the same name twice is an error with both places.
fn add<T>(all: &mut Vec<T>, added: Vec<T>, what: &str, name: impl Fn(&T) -> &Name, findings: &mut Findings) {
    // Within one file the tree has told already.
    let others = all.len();
    for item in added {
        let clash = all[..others].iter().map(&name).find(|other| other.value == name(&item).value);
        match clash {
            Some(first) => findings.push(
                Diagnostic::error(
                    "spec::name-clash",
                    format!("{what} `{}` is declared in two files", first.value),
                )
                .at(name(&item).span.clone(), "a second time")
                .at(first.span.clone(), "first here")
                .hint("give one of them another name, or remove it"),
            ),
            None => all.push(item),
        }
    }
}

/// A file without a document.
pub(super) fn empty(base: usize) -> Diagnostic {
    Diagnostic::error("spec::empty", "the file is empty")
        .at(base..base, "")
        .hint("a pipeline starts with `version: 1` and declares `stages`")
}

/// A pipeline without stages.
pub(super) fn no_stages() -> Diagnostic {
    Diagnostic::error("spec::missing-key", "the pipeline has no `stages`")
        .hint("declare a stage: `stages: { train: { uses: train } }`")
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

fn params(spec: &mut PipelineSpec, node: &Node, findings: &mut Findings) {
    match &node.data {
        NodeData::Null => {}
        NodeData::Map(_) => {
            fields::refuse_ambiguous_truth(node, findings);
            let entries = fields::named_values(node, "`params`", findings);
            entries.iter().for_each(|(_, value)| literal_only(value, findings));
            add(&mut spec.params.inline, entries, "param", |(name, _)| name, findings);
        }
        NodeData::Text { .. } | NodeData::List(_) => spec.params.files.extend(
            fields::items(node)
                .iter()
                .filter_map(|item| fields::text(item, "a file of `params`", findings))
                .map(|name| ParamsFile { name, value: None }),
        ),
        _ => {
            findings.push(fields::wrong(node, "`params`", "a map, the path of a file, or a list of paths"));
        }
    }
}

fn literal_only(value: &Value, findings: &mut Findings) {
    match &value.data {
        Data::Template(_) => findings.push(data::no_expression().at(value.span.clone(), "")),
        Data::List(items) => items.iter().for_each(|item| literal_only(item, findings)),
        Data::Map(entries) => entries.iter().for_each(|(_, value)| literal_only(value, findings)),
        _ => {}
    }
}
