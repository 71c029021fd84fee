//! What came of a case.

/// A case with its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// Short name, for example `bad-params`.
    pub name: &'static str,
    /// What a program that passes does.
    pub proves: &'static str,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The program keeps the rule; a remark for its author, which may be empty.
    Passed(String),
    /// It does not.
    Failed {
        /// What it did.
        why: String,
        /// What to do about it.
        hint: Option<String>,
        /// Last lines of its stderr.
        tail: Vec<String>,
    },
    /// It could not be tried, and why.
    Skipped(String),
}

impl Verdict {
    /// Failed, without a hint yet.
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Failed { why: why.into(), hint: None, tail: Vec::new() }
    }

    /// Passed, without a remark.
    pub(super) fn passed() -> Self {
        Self::Passed(String::new())
    }

    /// Adds what to do, where the verdict is a failure.
    #[must_use]
    pub(super) fn hint(mut self, text: &str) -> Self {
        if let Self::Failed { hint, .. } = &mut self {
            *hint = Some(text.to_owned());
        }
        self
    }

    /// Adds what the program wrote to stderr, where the verdict is a failure.
    #[must_use]
    pub(super) fn tail(mut self, lines: &[String]) -> Self {
        if let Self::Failed { tail, .. } = &mut self {
            *tail = lines.to_vec();
        }
        self
    }
}
