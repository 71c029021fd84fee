//! Workflow commands of GitHub Actions, which show findings beside the lines they are about:
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>.

use super::{Located, Report, Severity};

/// GitHub shows ten annotations of a severity for a step; the tenth says how many more there are.
const SHOWN: usize = 9;

/// One command a line, errors first.
pub fn github(report: &Report<'_>) -> String {
    let mut out = String::new();
    if let Some(failure) = &report.failure {
        out.push_str(&workflow_command("error", &[], &with_hint(&failure.message, failure.hint.as_deref())));
    }
    for (severity, word) in [(Severity::Error, "error"), (Severity::Warning, "warning")] {
        let found: Vec<_> =
            report.findings.iter().filter(|found| found.diagnostic.severity == severity).collect();
        for found in found.iter().take(SHOWN) {
            out.push_str(&annotation(word, found));
        }
        if found.len() > SHOWN {
            let more = found.len() - SHOWN;
            let rest = format!("{more} more {word}s; `stagewright check` shows all of them");
            out.push_str(&workflow_command(word, &[("file", found[SHOWN].file.to_owned())], &rest));
        }
    }
    out
}

fn annotation(word: &str, found: &Located<'_>) -> String {
    let mut properties = vec![("file", found.file.to_owned())];
    if let Some(region) = found.region() {
        properties.push(("line", region.start_line.to_string()));
        properties.push(("endLine", region.end_line.to_string()));
        // GitHub takes columns only for what stands on one line; its end column is the last one, not the one behind it.
        if region.start_line == region.end_line {
            properties.push(("col", region.start_column.to_string()));
            let last = (region.end_column - 1).max(region.start_column);
            properties.push(("endColumn", last.to_string()));
        }
    }
    properties.push(("title", found.diagnostic.code.to_owned()));
    workflow_command(
        word,
        &properties,
        &with_hint(&found.diagnostic.message, found.diagnostic.hint.as_deref()),
    )
}

fn with_hint(message: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message}\nhelp: {hint}"),
        None => message.to_owned(),
    }
}

/// A workflow command with its line break; what is given is escaped.
pub fn workflow_command(word: &str, properties: &[(&str, String)], message: &str) -> String {
    let properties: Vec<String> =
        properties.iter().map(|(name, value)| format!("{name}={}", property(value))).collect();
    let space = if properties.is_empty() { "" } else { " " };
    format!("::{word}{space}{}::{}\n", properties.join(","), data(message))
}

/// A line break would end the command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Beyond that, `:` and `,` would end a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
