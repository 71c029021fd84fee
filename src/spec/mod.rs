//! YAML text → [`PipelineSpec`]: a pipeline as written, every value with its source position.
//!
//! Knows no stage program and touches no file. All errors of a file are reported at once.

pub mod diagnostic;
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
pub use types::PipelineSpec;

/// Parses a pipeline file. `file_name` is what messages call it.
pub fn parse(file_name: &str, text: &str) -> Result<PipelineSpec, Vec<Diagnostic>> {
    // Some editors start a file with a byte order mark; blanking it keeps all offsets right.
    let owned = text.strip_prefix('\u{feff}').map(|rest| format!("   {rest}"));
    let text = owned.as_deref().unwrap_or(text);
    let lines = LineIndex::new(text);
    let mut findings = Vec::new();
    let before = |findings: &Vec<Diagnostic>| findings.iter().any(|found| found.severity == Severity::Error);
    let root = match tree::parse(text, &lines, &mut findings) {
        Some(root) => root,
        None => {
            if !before(&findings) {
                findings.push(pipeline::empty());
            }
            diagnostic::tidy(&mut findings);
            return Err(findings);
        }
    };
    let spec = pipeline::read(file_name, lines, &root, &mut findings);
    if findings.is_empty() {
        return Ok(spec);
    }
    findings.extend(spec.warnings);
    diagnostic::tidy(&mut findings);
    Err(findings)
}
