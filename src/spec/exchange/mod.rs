//! Findings in the formats that other programs read: JSON of our own, SARIF, and the workflow commands of GitHub Actions.

mod github;
mod json;
mod sarif;
#[cfg(test)]
mod tests;

pub use github::{github, workflow_command};
pub use json::{REPORT_VERSION, json};
pub use sarif::sarif;

use super::diagnostic::{Diagnostic, LineIndex, Severity};

/// What a check of one pipeline gave.
#[derive(Debug, Default)]
pub struct Report<'a> {
    /// Findings in the order in which they are to be told.
    pub findings: Vec<Located<'a>>,
    /// Set when the check came to no end for a reason that is not in the file.
    pub failure: Option<Failure>,
}

/// Why a check came to no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What failed.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// A finding and the file it is about.
#[derive(Debug, Clone, Copy)]
pub struct Located<'a> {
    /// The finding.
    pub diagnostic: &'a Diagnostic,
    /// The file as the reader of the report knows it, with `/` between folders.
    pub file: &'a str,
    /// The file's text, to turn offsets into lines.
    pub text: &'a str,
}

/// A part of a file. Lines and columns count from 1, columns in Unicode code points; the end stands behind the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    start_line: usize,
    start_column: usize,
    end_line: usize,
    end_column: usize,
}

impl Report<'_> {
    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|found| found.diagnostic.severity == severity).count()
    }
}

impl Located<'_> {
    /// Where it happened; none for a finding about the whole file.
    fn region(&self) -> Option<Region> {
        let lines = LineIndex::new(self.text);
        self.diagnostic.labels.first().map(|(span, _)| region(self.text, &lines, span))
    }
}

fn region(text: &str, lines: &LineIndex, span: &std::ops::Range<usize>) -> Region {
    let place = |offset: usize| {
        let line = lines.line(offset);
        let before = text.get(lines.start_of(line)..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    };
    let (start_line, start_column) = place(span.start);
    let (end_line, end_column) = place(span.end.max(span.start));
    Region { start_line, start_column, end_line, end_column }
}
