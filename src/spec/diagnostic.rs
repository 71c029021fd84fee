//! What is wrong in a pipeline file, where, and what would fit: plain data, shown by whoever has the screen.

use std::{fmt, ops::Range};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The pipeline can be run all the same.
    Warning,
    /// The pipeline can't be run.
    Error,
}

/// One finding about a pipeline file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{message}")]
pub struct Diagnostic {
    /// Stable code such as `spec::unknown-key`.
    pub code: &'static str,
    /// What failed on which named thing.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// Places in the file (byte ranges), each with a remark; the first is where it happened.
    pub labels: Vec<(Range<usize>, String)>,
    /// How bad it is.
    pub severity: Severity,
}

impl Diagnostic {
    /// An error without a place yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, labels: Vec::new(), severity: Severity::Error }
    }

    /// A warning without a place yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds a place; the remark may be empty.
    #[must_use]
    pub fn at(mut self, span: Range<usize>, remark: impl Into<String>) -> Self {
        self.labels.push((span, remark.into()));
        self
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the hint where there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Where it happened first, for sorting.
    pub fn start(&self) -> usize {
        self.labels.first().map_or(0, |(span, _)| span.start)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Sorts by place and drops repetitions (a stage of a matrix is checked once for each combination).
pub fn tidy(diagnostics: &mut Vec<Diagnostic>) {
    let mut seen = std::collections::HashSet::new();
    diagnostics.retain(|diagnostic| seen.insert(diagnostic.clone()));
    diagnostics.sort_by_key(Diagnostic::start);
}

/// Starts of the lines of a text, to turn byte offsets into lines and columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    /// Indexes a text.
    pub fn new(text: &str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { starts }
    }

    /// Line of a byte offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset).max(1)
    }

    /// Byte offset at which a line (from 1) starts.
    pub fn start_of(&self, line: usize) -> usize {
        line.checked_sub(1).and_then(|index| self.starts.get(index)).copied().unwrap_or(0)
    }
}

/// Compact text form, for logs and pipes:
///
/// ```text
/// pipeline.yaml:3:5: error[spec::unknown-key]: unknown key `useing` in stage `a`
///   3 |     useing: train
///     |     ^^^^^^ did you mean `uses`?
///   help: …
/// ```
pub fn render_text(diagnostic: &Diagnostic, file: &str, text: &str) -> String {
    let lines = LineIndex::new(text);
    let Diagnostic { code, message, hint, labels, severity } = diagnostic;
    let mut out = String::new();
    match labels.first() {
        Some((span, _)) => {
            let line = lines.line(span.start);
            let column = before(text, lines.start_of(line), span.start).chars().count() + 1;
            out.push_str(&format!("{file}:{line}:{column}: "));
        }
        None => out.push_str(&format!("{file}: ")),
    }
    out.push_str(&format!("{severity}[{code}]: {message}\n"));
    let width =
        labels.iter().map(|(span, _)| lines.line(span.start).to_string().len()).max().unwrap_or_default();
    for (span, remark) in labels {
        let line = lines.line(span.start);
        let start = lines.start_of(line);
        let source = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let indent = before(text, start, span.start);
        let length = text
            .get(span.clone())
            .map_or(1, |covered| covered.lines().next().unwrap_or_default().chars().count())
            .clamp(1, source.chars().count().saturating_sub(indent.chars().count()).max(1));
        // Tabs keep their place, so that the carets stand below what they mean.
        let indent: String = indent.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        out.push_str(&format!("  {line:>width$} | {source}\n"));
        let under = format!("  {:>width$} | {indent}{} {remark}", "", "^".repeat(length));
        out.push_str(under.trim_end());
        out.push('\n');
    }
    if let Some(hint) = hint {
        out.push_str(&format!("  help: {}\n", hint.replace('\n', "\n        ")));
    }
    out
}

fn before(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end.max(start)).unwrap_or_default()
}
