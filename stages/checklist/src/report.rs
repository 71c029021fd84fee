//! The checklist as Markdown.

use std::fmt::Write;

use stagewright_sdk::GateStatus;

use crate::finding::Finding;

/// What the report is about.
pub struct Subject<'a> {
    /// Variant to deploy.
    pub candidate: &'a str,
    /// Its FP32 origin.
    pub baseline: &'a str,
    /// `quick`, `standard` or `release`.
    pub duration: &'a str,
}

/// Renders the findings for people.
pub fn markdown(subject: &Subject<'_>, findings: &[Finding]) -> String {
    let count = |status| findings.iter().filter(|finding| finding.status == status).count();
    let mut text = format!(
        "# Deployment checklist\n\nCandidate **{}**, made from **{}**; tests of `{}` length. {} passed, {} failed, {} not applicable.\n\n\
         | check | verdict | what was found |\n| --- | --- | --- |\n",
        cell(subject.candidate),
        cell(subject.baseline),
        subject.duration,
        count(GateStatus::Passed),
        count(GateStatus::Failed),
        count(GateStatus::NotApplicable),
    );
    for finding in findings {
        let _ =
            writeln!(text, "| {} | {} | {} |", finding.check, word(finding.status), cell(&finding.reason));
    }
    for finding in findings.iter().filter(|finding| !finding.evidence.is_empty()) {
        let _ = write!(
            text,
            "\n## {}: {}\n\n| evidence | found | wanted |\n| --- | --- | --- |\n",
            finding.check,
            word(finding.status)
        );
        for evidence in &finding.evidence {
            let mark = if evidence.holds { "" } else { " **(not so)**" };
            let _ = writeln!(
                text,
                "| {} | {}{mark} | {} |",
                cell(&evidence.what),
                cell(&evidence.found),
                cell(&evidence.bound)
            );
        }
    }
    text.push_str(
        "\n*Not applicable* means that the check could not be made here; it does not count as passed. A check of `quick` length is a \
         look; run it with `duration: release` before a release.\n",
    );
    text
}

fn word(status: GateStatus) -> &'static str {
    match status {
        GateStatus::Passed => "passed",
        GateStatus::Failed => "**failed**",
        GateStatus::NotApplicable => "not applicable",
    }
}

/// Text that can't break out of a table cell, nor steer the terminal it is shown on.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(char::is_control, " ").replace('<', "&lt;")
}
