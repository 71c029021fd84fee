//! What a check found.

use serde::Serialize;
use stagewright_sdk::GateStatus;

/// Verdict of one check with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Name of the check, which is the gate's.
    pub check: &'static str,
    /// Verdict.
    pub status: GateStatus,
    /// One sentence: what was measured against what, or why it does not apply.
    pub reason: String,
    /// The evidence: (what, value, bound; both in words).
    pub evidence: Vec<Evidence>,
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evidence {
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What it had to satisfy; empty where it is only told.
    pub bound: String,
    /// It did.
    pub holds: bool,
}

/// Gathers evidence; the check passes if all of it holds.
#[derive(Default)]
pub struct Case {
    evidence: Vec<Evidence>,
}

impl Case {
    /// Adds a fact that has to hold.
    pub fn must(&mut self, what: &str, found: String, bound: String, holds: bool) {
        self.evidence.push(Evidence { what: what.to_owned(), found, bound, holds });
    }

    /// Adds a fact that is only told.
    pub fn note(&mut self, what: &str, found: String) {
        self.must(what, found, String::new(), true);
    }

    /// The verdict: failed with the first thing that does not hold, passed with `summary` otherwise.
    pub fn close(self, check: &'static str, summary: String) -> Finding {
        let broken: Vec<String> = self
            .evidence
            .iter()
            .filter(|evidence| !evidence.holds)
            .map(|evidence| format!("{} is {}, {} is wanted", evidence.what, evidence.found, evidence.bound))
            .collect();
        let (status, reason) = match broken.is_empty() {
            true => (GateStatus::Passed, summary),
            false => (GateStatus::Failed, broken.join("; ")),
        };
        Finding { check, status, reason, evidence: self.evidence }
    }
}

impl Finding {
    /// A check that could not be made here.
    pub fn not_applicable(check: &'static str, reason: impl Into<String>) -> Self {
        Self { check, status: GateStatus::NotApplicable, reason: reason.into(), evidence: Vec::new() }
    }
}
