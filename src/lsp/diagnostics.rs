//! Findings as the protocol has them.

use std::path::Path;

use lsp_types::{
    Diagnostic as LspDiagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, Location, NumberOrString,
    Uri,
};

use super::{server::uri, text::Text};
use crate::spec::{Diagnostic, Located, Severity, Sources};

/// Findings whose place is in the first of the files, which is the open one; those in other files stand where this one
/// begins, with the place beside them.
pub(super) fn diagnostics(
    findings: &[Diagnostic],
    sources: &Sources,
    root: Option<&Path>,
    open: &Uri,
) -> Vec<LspDiagnostic> {
    findings.iter().map(|finding| diagnostic(finding, sources, root, open)).collect()
}

fn diagnostic(finding: &Diagnostic, sources: &Sources, root: Option<&Path>, open: &Uri) -> LspDiagnostic {
    let first = sources.files().first();
    let located: Vec<(Located<'_>, &str)> = finding
        .labels
        .iter()
        .filter_map(|(span, remark)| Some((sources.locate(span)?, remark.as_str())))
        .collect();
    let here = located.first().filter(|(place, _)| Some(place.file) == first);
    let underlined = here.map(|(place, _)| range(place)).unwrap_or_default();
    let mut related: Vec<DiagnosticRelatedInformation> = located
        .iter()
        .skip(usize::from(here.is_some()))
        .filter_map(|(place, remark)| {
            let uri =
                if Some(place.file) == first { open.clone() } else { uri(&root?.join(place.file.name()))? };
            let message = if remark.is_empty() { "here".to_owned() } else { (*remark).to_owned() };
            Some(DiagnosticRelatedInformation { location: Location::new(uri, range_of(place)), message })
        })
        .collect();
    let remark = here.map(|(_, remark)| *remark).filter(|remark| !remark.is_empty());
    let mut message = finding.message.clone();
    if let Some(remark) = remark {
        message.push_str(&format!(": {remark}"));
    }
    if let Some(hint) = &finding.hint {
        message.push_str(&format!("\nhelp: {hint}"));
    }
    related.dedup_by(|a, b| a == b);
    LspDiagnostic {
        range: underlined,
        severity: Some(match finding.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
        }),
        code: Some(NumberOrString::String(finding.code.to_owned())),
        source: Some("stagewright".to_owned()),
        message,
        related_information: (!related.is_empty()).then_some(related),
        ..LspDiagnostic::default()
    }
}

/// At least one character, so that there is something to underline.
fn range(place: &Located<'_>) -> lsp_types::Range {
    let text = Text::new(place.file.text().to_owned());
    let mut range = place.range.clone();
    if range.is_empty() {
        let next = text.as_str().get(range.start..).and_then(|rest| rest.chars().next());
        range.end += next.filter(|c| *c != '\n').map_or(0, char::len_utf8);
    }
    text.range(&range)
}

fn range_of(place: &Located<'_>) -> lsp_types::Range {
    Text::new(place.file.text().to_owned()).range(&place.range)
}
