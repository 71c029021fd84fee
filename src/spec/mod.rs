//! YAML text → [`PipelineSpec`]: a pipeline as written, every value with its source position.
//!
//! Knows no stage program and touches no file. All errors of a file are reported at once.

pub(crate) mod command;
mod data;
pub mod diagnostic;
pub mod exchange;
pub mod expression;
pub(crate) mod fields;
mod format;
mod include;
mod input;
pub mod nearest;
mod pipeline;
mod scalar;
mod search;
mod settings;
mod sources;
mod stage;
mod target;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
pub mod types;
pub mod units;

pub use data::value;
pub(crate) use data::{data_file, verbatim};
pub use diagnostic::{Diagnostic, LineIndex, Severity, render_text};
pub use format::{FormatError, format};
pub use include::Reader;
pub use scalar::truth_word;
pub use search::range_of_text;
pub use sources::{Located, SourceFile, Sources};
pub use types::PipelineSpec;

/// Reads a pipeline file and all it names. `name` is its path relative to the project root, as messages call it. What is
/// wrong is in [`PipelineSpec::errors`], all of it at once.
pub fn read(name: &str, text: &str, files: &mut Reader<'_>) -> PipelineSpec {
    include::Assembly::new(files).run(name, text)
}

/// Parses a pipeline that is in one file and has no errors of form.
pub fn parse(name: &str, text: &str) -> Result<PipelineSpec, Vec<Diagnostic>> {
    let spec = read(name, text, &mut |_| Err("this is not a project with files".to_owned()));
    if spec.errors.is_empty() {
        return Ok(spec);
    }
    let mut findings = spec.errors;
    findings.extend(spec.warnings);
    diagnostic::tidy(&mut findings);
    Err(findings)
}
