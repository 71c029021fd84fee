//! YAML text → [`PipelineSpec`]: a pipeline as written, every value with its source position.
//!
//! Knows no stage program and touches no file. All errors of a file are reported at once.

pub mod diagnostic;
pub mod exchange;
pub mod expression;
mod fields;
mod input;
pub mod nearest;
mod pipeline;
mod scalar;
mod settings;
mod stage;
mod target;
#[cfg(test)]
mod tests;
mod tree;
pub mod types;
pub mod units;

pub use diagnostic::{Diagnostic, LineIndex, Severity, render_text};
pub use scalar::truth_word;
pub use types::PipelineSpec;

/// Parses a pipeline file. `file_name` is what messages call it.
pub fn parse(file_name: &str, text: &str) -> Result<PipelineSpec, Vec<Diagnostic>> {
    let lines = LineIndex::new(text);
    let mut findings = Vec::new();
    let Some(root) = tree::parse(text, &lines, &mut findings) else {
        if !findings.iter().any(|found| found.severity == Severity::Error) {
            findings.push(pipeline::empty());
        }
        diagnostic::tidy(&mut findings);
        return Err(findings);
    };
    let spec = pipeline::read(file_name, lines, &root, &mut findings);
    if findings.is_empty() {
        return Ok(spec);
    }
    // A value refused as ambiguous was dropped; that what is left has the wrong type is no second error.
    let ambiguous: Vec<_> =
        findings.iter().filter(|found| found.code == "spec::ambiguous").map(Diagnostic::start).collect();
    findings.retain(|found| found.code != "spec::type" || !ambiguous.contains(&found.start()));
    findings.extend(spec.warnings);
    diagnostic::tidy(&mut findings);
    Err(findings)
}
