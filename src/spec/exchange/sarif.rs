//! SARIF 2.1.0, which code hosts read: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{LineIndex, Located, Region, Report, Severity, region};

/// The report as one SARIF log with one run, indented, with a final newline.
pub fn sarif(report: &Report<'_>) -> String {
    // A rule's level is that of its findings; no code is used with both.
    let rules: BTreeMap<&str, Severity> =
        report.findings.iter().map(|found| (found.diagnostic.code, found.diagnostic.severity)).collect();
    let indices: BTreeMap<&str, usize> =
        rules.keys().enumerate().map(|(index, code)| (*code, index)).collect();
    let invocation = match &report.failure {
        None => json!({ "executionSuccessful": true }),
        Some(failure) => {
            let hint = failure.hint.as_deref();
            json!({
                "executionSuccessful": false,
                "toolExecutionNotifications": [
                    { "level": "error", "message": { "text": text(&failure.message, hint) } },
                ],
            })
        }
    };
    let log = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "Stagewright",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|(code, severity)| rule(code, *severity)).collect::<Vec<_>>(),
            } },
            // Says whether the findings are all there are.
            "invocations": [invocation],
            "columnKind": "unicodeCodePoints",
            "results": report.findings.iter().map(|found| result(found, &indices)).collect::<Vec<_>>(),
        }],
    });
    // A JSON value is always encodable.
    serde_json::to_string_pretty(&log).unwrap_or_default() + "\n"
}

fn rule(code: &str, severity: Severity) -> Value {
    let (area, name) = code.split_once("::").unwrap_or(("", code));
    let name = name.replace('-', " ");
    let area = match area {
        "spec" => "How the pipeline file is written",
        "plan" => "What the pipeline means",
        _ => "The pipeline",
    };
    json!({
        "id": code,
        "shortDescription": { "text": name },
        "fullDescription": { "text": format!("{area}: {name}") },
        "defaultConfiguration": { "level": severity.to_string() },
    })
}

fn result(found: &Located<'_>, indices: &BTreeMap<&str, usize>) -> Value {
    let finding = found.diagnostic;
    let lines = LineIndex::new(found.text);
    let location = |region: Option<Region>| {
        let mut physical = json!({
            "artifactLocation": { "uri": uri(found.file), "uriBaseId": "%SRCROOT%" },
        });
        if let Some(region) = region {
            physical["region"] = json!({
                "startLine": region.start_line,
                "startColumn": region.start_column,
                "endLine": region.end_line,
                "endColumn": region.end_column,
            });
        }
        physical
    };
    let related: Vec<Value> = finding
        .labels
        .iter()
        .skip(1)
        .map(|(span, remark)| {
            let mut place = json!({ "physicalLocation": location(Some(region(found.text, &lines, span))) });
            if !remark.is_empty() {
                place["message"] = json!({ "text": remark });
            }
            place
        })
        .collect();
    let mut result = json!({
        "ruleId": finding.code,
        "ruleIndex": indices.get(finding.code),
        "level": finding.severity.to_string(),
        "message": { "text": text(&finding.message, finding.hint.as_deref()) },
        "locations": [{ "physicalLocation": location(found.region()) }],
    });
    if !related.is_empty() {
        result["relatedLocations"] = related.into();
    }
    result
}

fn text(message: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message}\nhelp: {hint}"),
        None => message.to_owned(),
    }
}

/// A relative path as a URI reference (RFC 3986): all but unreserved characters and `/` percent-encoded.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
