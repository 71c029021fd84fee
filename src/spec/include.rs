//! A pipeline file and all it names → one [`PipelineSpec`]: included files merged, params files read.

use std::collections::BTreeSet;

use super::{
    data,
    diagnostic::{self, Diagnostic, LineIndex},
    pipeline::{self, Role},
    tree,
    types::{Gaps, Name, ParamsFile, PipelineSpec},
};

/// Most files of one pipeline.
const MAX_FILES: usize = 256;

/// Gives the text of a file, or why it can't be read. Paths are relative to the project root, with `/` between their parts.
pub type Reader<'a> = dyn FnMut(&str) -> Result<String, String> + 'a;

pub(super) struct Assembly<'a, 'r> {
    spec: PipelineSpec,
    findings: Vec<Diagnostic>,
    reader: &'a mut Reader<'r>,
    /// Files that are being read, each included by the one before it.
    open: Vec<String>,
    /// All files seen; one that several include is read once.
    seen: BTreeSet<String>,
}

impl<'a, 'r> Assembly<'a, 'r> {
    pub(super) fn new(reader: &'a mut Reader<'r>) -> Self {
        Self {
            spec: PipelineSpec::default(),
            findings: Vec::new(),
            reader,
            open: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Reads everything, beginning with the pipeline file.
    pub(super) fn run(mut self, name: &str, text: &str) -> PipelineSpec {
        self.file(name, text, Role::Pipeline);
        self.params_files();
        if self.spec.stages.is_empty() && self.findings.iter().all(|finding| !finding.is_error()) {
            self.findings.push(pipeline::no_stages());
        }
        let Self { mut spec, findings, .. } = self;
        // A value refused as ambiguous was dropped; that what is left has the wrong type is no second error.
        let ambiguous: BTreeSet<_> =
            findings.iter().filter(|found| found.code == "spec::ambiguous").map(Diagnostic::start).collect();
        let second = |found: &Diagnostic| found.code == "spec::type" && ambiguous.contains(&found.start());
        let kept = findings.into_iter().filter(|found| !second(found));
        (spec.errors, spec.warnings) = kept.partition(Diagnostic::is_error);
        diagnostic::tidy(&mut spec.errors);
        diagnostic::tidy(&mut spec.warnings);
        spec
    }

    fn file(&mut self, name: &str, text: &str, role: Role) {
        self.seen.insert(name.to_owned());
        self.open.push(name.to_owned());
        let base = self.spec.sources.add(name, text);
        let mut findings = Vec::new();
        let root = tree::parse(text, &LineIndex::new(text), &mut findings);
        findings.iter_mut().for_each(|finding| finding.shift(base));
        let includes = match root {
            Some(mut root) => {
                root.shift(base);
                pipeline::read(&mut self.spec, &root, role, &mut findings)
            }
            None => {
                self.spec.gaps = Gaps::ALL;
                if !findings.iter().any(Diagnostic::is_error) {
                    findings.push(pipeline::empty(base));
                }
                Vec::new()
            }
        };
        self.findings.append(&mut findings);
        for written in includes {
            self.include(name, &written);
        }
        self.open.pop();
    }

    fn include(&mut self, from: &str, written: &Name) {
        let problem = match beside(from, &written.value) {
            None => {
                Diagnostic::error("spec::include", format!("`{}` leads out of the project", written.value))
                    .hint("an included file is named by its path relative to the file that includes it")
            }
            Some(path) if self.open.contains(&path) => {
                let start = self.open.iter().position(|open| *open == path).unwrap_or_default();
                let way: Vec<_> =
                    self.open[start..].iter().map(String::as_str).chain([path.as_str()]).collect();
                Diagnostic::error(
                    "spec::include-cycle",
                    format!("files include each other: {}", way.join(" → ")),
                )
                .hint("remove one of these entries of `include`")
            }
            Some(path) if self.seen.contains(&path) => return,
            Some(_) if self.seen.len() >= MAX_FILES => Diagnostic::error(
                "spec::include",
                format!("the pipeline includes more than {MAX_FILES} files"),
            ),
            Some(path) => match (self.reader)(&path) {
                Ok(text) => return self.file(&path, &text, Role::Included),
                Err(reason) => Diagnostic::error(
                    "spec::include",
                    format!("cannot read the included file `{path}`: {reason}"),
                )
                .hint("the path is relative to the file that includes it"),
            },
        };
        self.spec.gaps = Gaps::ALL;
        self.findings.push(problem.at(written.span.clone(), ""));
    }

    /// Reads the files that `params:` names, wherever it stands.
    fn params_files(&mut self) {
        for index in 0..self.spec.params.files.len() {
            let name = self.spec.params.files[index].name.clone();
            let before = self.findings.len();
            let value = match (self.reader)(&name.value) {
                Ok(text) => {
                    let base = self.spec.sources.add(&name.value, &text);
                    let mut findings = Vec::new();
                    let value = data::params_file(&name.value, &text, &mut findings);
                    findings.iter_mut().for_each(|finding| finding.shift(base));
                    self.findings.append(&mut findings);
                    value.map(|mut value| {
                        value.shift(base);
                        value
                    })
                }
                Err(reason) => {
                    self.findings.push(
                        Diagnostic::error(
                            "spec::params-file",
                            format!("cannot read the params file `{}`: {reason}", name.value),
                        )
                        .at(name.span.clone(), "")
                        .hint("the path is relative to the project's root"),
                    );
                    None
                }
            };
            self.spec.gaps.params |= self.findings.len() > before;
            self.spec.params.files[index] = ParamsFile { name, value };
        }
    }
}

/// A path written in one file, relative to the project root like that file's own; none if it leads out of the project.
fn beside(from: &str, written: &str) -> Option<String> {
    if written.starts_with('/') {
        return None;
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(written.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}
