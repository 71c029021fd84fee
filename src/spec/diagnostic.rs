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

    /// Adds a line to the hint.
    pub fn also(&mut self, note: &str) {
        self.hint = Some(match self.hint.take() {
            Some(hint) => format!("{hint}\n{note}"),
            None => note.to_owned(),
        });
    }

    /// No mere warning.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// An error that happened inside of a range.
    pub(super) fn is_error_in(&self, region: &Range<usize>) -> bool {
        self.is_error() && self.labels.first().is_some_and(|(span, _)| region.contains(&span.start))
    }

    /// Moves all places, for a file that is not the first of a pipeline.
    pub(crate) fn shift(&mut self, by: usize) {
        self.labels.iter_mut().for_each(|(span, _)| *span = span.start + by..span.end + by);
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

/// A finding about a single file as text; see [`super::Sources::render`].
pub fn render_text(diagnostic: &Diagnostic, file: &str, text: &str) -> String {
    super::Sources::single(file, text).render(diagnostic)
}
