//! JSON for scripts: one object, stable keys.

use serde::Serialize;

use super::{LineIndex, Located, Region, Report, Severity, region};

/// Version of the object's shape. A key may be added within a version; none is renamed or removed.
pub const REPORT_VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    format: u32,
    errors: usize,
    warnings: usize,
    findings: Vec<Finding<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failed<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Finding<'a> {
    severity: String,
    code: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
    file: &'a str,
    range: Option<Range>,
    /// Every place with its remark; the first is `range`.
    labels: Vec<Label<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Label<'a> {
    range: Range,
    remark: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Position {
    line: usize,
    column: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Failed<'a> {
    message: &'a str,
    hint: Option<&'a str>,
}

impl From<Region> for Range {
    fn from(region: Region) -> Self {
        Self {
            start: Position { line: region.start_line, column: region.start_column },
            end: Position { line: region.end_line, column: region.end_column },
        }
    }
}

/// The report as one JSON object, indented, with a final newline.
pub fn json(report: &Report<'_>) -> String {
    let document = Document {
        format: REPORT_VERSION,
        errors: report.count(Severity::Error),
        warnings: report.count(Severity::Warning),
        findings: report.findings.iter().map(finding).collect(),
        failure: report
            .failure
            .as_ref()
            .map(|failure| Failed { message: &failure.message, hint: failure.hint.as_deref() }),
    };
    // Texts and numbers only: there is nothing in it that JSON has no words for.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn finding<'a>(found: &Located<'a>) -> Finding<'a> {
    let lines = LineIndex::new(found.text);
    Finding {
        severity: found.diagnostic.severity.to_string(),
        code: found.diagnostic.code,
        message: &found.diagnostic.message,
        hint: found.diagnostic.hint.as_deref(),
        file: found.file,
        range: found.region().map(Range::from),
        labels: found
            .diagnostic
            .labels
            .iter()
            .map(|(span, remark)| Label { range: region(found.text, &lines, span).into(), remark })
            .collect(),
    }
}
