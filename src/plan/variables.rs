//! `env:` → variables: those that are fixed before the run and belong to the action key, and those that name the run.

use std::collections::BTreeMap;

use crate::spec::{
    Diagnostic,
    expression::{Context, ExpressionKind, Piece, Step},
    types::{Data, Name, Value as Written},
};

use super::{
    evaluate::Scope,
    values::{piece_text, scalar_text},
};

/// Variables of a stage.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Variables {
    /// Known before the run.
    pub fixed: BTreeMap<String, String>,
    /// Filled in by the run.
    pub late: BTreeMap<String, RunText>,
}

/// Text that names the run: `${{ run.id }}` and `${{ run.attempt }}` are filled in when the stage starts. It is no part of the
/// action key, so a reused result was made under another one.
#[derive(Debug, Clone, PartialEq)]
pub struct RunText(Vec<RunPiece>);

#[derive(Debug, Clone, PartialEq)]
enum RunPiece {
    Text(String),
    Id,
    Attempt,
}

impl RunText {
    /// The text in one run, in one attempt (from 1).
    pub fn fill(&self, run: &str, attempt: u32) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            RunPiece::Text(text) => text.clone(),
            RunPiece::Id => run.to_owned(),
            RunPiece::Attempt => attempt.to_string(),
        });
        pieces.collect()
    }
}

/// Resolves variables on top of others.
pub(super) fn resolve(
    entries: &[(Name, Written)],
    base: &Variables,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Variables {
    let mut variables = base.clone();
    for (name, written) in entries {
        if !is_name(&name.value) {
            findings.push(
                Diagnostic::error("plan::env", format!("`{}` can't be the name of a variable", name.value))
                    .at(name.span.clone(), ""),
            );
            continue;
        }
        variables.fixed.remove(&name.value);
        variables.late.remove(&name.value);
        match late(written, scope, findings) {
            Late::Text(text) => drop(variables.late.insert(name.value.clone(), text)),
            Late::Refused => {}
            Late::No => {
                let what = format!("variable `{}`", name.value);
                if let Some(text) = scalar_text(&what, written, scope, findings) {
                    variables.fixed.insert(name.value.clone(), text);
                }
            }
        }
    }
    variables
}

/// Names that every system takes.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

enum Late {
    Text(RunText),
    /// It names the run, and something else about it is wrong.
    Refused,
    No,
}

fn late(written: &Written, scope: &Scope<'_>, findings: &mut Vec<Diagnostic>) -> Late {
    let Data::Template(template) = &written.data else { return Late::No };
    let fact = |piece: &Piece| match piece {
        Piece::Expression(expression) => match &expression.kind {
            ExpressionKind::Reference(Context::Run, steps) => match &steps[..] {
                [Step::Key(key)] if key.value == "id" => Some(RunPiece::Id),
                [Step::Key(key)] if key.value == "attempt" => Some(RunPiece::Attempt),
                _ => None,
            },
            _ => None,
        },
        Piece::Text(_) => None,
    };
    if !template.pieces.iter().any(|piece| fact(piece).is_some()) {
        return Late::No;
    }
    let before = findings.len();
    let mut pieces = Vec::new();
    for piece in &template.pieces {
        pieces.push(match (fact(piece), piece) {
            (Some(fact), _) => fact,
            (None, Piece::Text(text)) => RunPiece::Text(text.clone()),
            (None, Piece::Expression(expression)) => match piece_text(expression, scope) {
                Ok(text) => RunPiece::Text(text),
                Err(error) => {
                    findings.push(error);
                    continue;
                }
            },
        });
    }
    if findings.len() > before { Late::Refused } else { Late::Text(RunText(pieces)) }
}
