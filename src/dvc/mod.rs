//! `dvc.yaml` as a second front end: a pipeline of DVC → the same [`PipelineSpec`], and its `dvc.lock` read and written.
//!
//! Templates, `foreach`, `matrix` and `vars` are resolved here, as DVC resolves them, so that what comes out has plain values only.
//! What DVC 3 writes is written as it writes it; what it reads is read.

mod cache;
mod context;
mod emit;
mod handover;
mod hash;
mod ignore;
mod ini;
mod interpolate;
mod lock;
mod params;
mod settings;
mod stage;
#[cfg(test)]
mod tests;
mod update;

use std::path::Path;

use crate::spec::{
    Diagnostic, LineIndex, PipelineSpec, Reader, Severity,
    diagnostic::tidy,
    fields::{self, Findings},
    tree::{self, Node, NodeData},
};

pub use handover::{Handover, HandoverError, give_back, turn_over};
pub use hash::{HashError, Hashes};
pub use ignore::hidden;
pub use lock::{Lock, LockError};
pub use update::{UpdateError, Updated, update};

/// Name of a pipeline file of DVC.
pub const FILE_NAME: &str = "dvc.yaml";

/// Name of the lock file beside it.
pub const LOCK_NAME: &str = "dvc.lock";

/// Folder of DVC's own files in a project's root.
pub const FOLDER: &str = ".dvc";

/// Keys of the file that are about showing results, not about making them.
const FOR_PEOPLE: &[&str] = &["params", "metrics", "plots", "artifacts", "datasets"];

/// Whether a file is a pipeline of DVC.
pub fn is_pipeline(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == FILE_NAME)
}

/// Reads a `dvc.yaml` and what it names. What is wrong is in [`PipelineSpec::errors`], as for pipeline files.
pub fn read(name: &str, text: &str, files: &mut Reader<'_>) -> PipelineSpec {
    let mut spec = PipelineSpec::default();
    spec.sources.add(name, text);
    let mut findings = Findings::new();
    match tree::parse(text, &LineIndex::new(text), &mut findings) {
        Some(root) => whole(&mut spec, name, &root, files, &mut findings),
        None if findings.is_empty() => findings.push(no_stages(0..0)),
        None => {}
    }
    for finding in findings {
        let all = if finding.severity == Severity::Error { &mut spec.errors } else { &mut spec.warnings };
        all.push(finding);
    }
    tidy(&mut spec.errors);
    tidy(&mut spec.warnings);
    spec
}

fn whole(spec: &mut PipelineSpec, name: &str, root: &Node, files: &mut Reader<'_>, findings: &mut Findings) {
    let NodeData::Map(entries) = &root.data else {
        findings.push(fields::wrong(root, "a dvc.yaml", "a map"));
        return;
    };
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut context = context::Context::default();
    let mut loader = context::Loader { spec, files, findings };
    loader.default_params(&mut context, folder);
    let mut stages = None;
    for (key, node) in entries {
        match key.as_str() {
            "vars" => loader.vars(&mut context, node, folder),
            "stages" => stages = Some((key, node)),
            known if FOR_PEOPLE.contains(&known) => {}
            _ => {
                let known = ["stages", "vars"].iter().chain(FOR_PEOPLE).copied().collect::<Vec<_>>();
                loader.findings.extend(fields::unknown_key(key, "a dvc.yaml", &known, &[]));
            }
        }
    }
    let Some((key, node)) = stages else {
        findings.push(no_stages(root.span.start..root.span.start + 1));
        return;
    };
    let settings = settings::Settings::read(loader.files);
    let entries = fields::map(node, "`stages`", loader.findings);
    if entries.is_empty() {
        loader.findings.push(no_stages(key.span.clone()));
    }
    for (name, node) in entries {
        stage::expand(name, node, folder, &context, &settings, &mut loader);
    }
}

fn no_stages(span: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::error("dvc::no-stages", "this dvc.yaml declares no stage")
        .at(span, "")
        .hint("`stages:` is a map of stages, each with a `cmd`; single-stage .dvc files are not pipelines")
}
