//! Text with `${{ … }}` in it.

use super::super::{diagnostic::Diagnostic, types::Span};
use super::{Expression, parser::expression};

/// A text cut into what stands there and what is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Pieces in order; at least one is an expression.
    pub pieces: Vec<Piece>,
}

/// One piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Stands as it is.
    Text(String),
    /// Is computed.
    Expression(Expression),
}

impl Template {
    /// The expression, where the text is nothing else: then its value keeps its type.
    pub fn whole(&self) -> Option<&Expression> {
        let mut found = None;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) if text.trim().is_empty() => {}
                Piece::Expression(expression) if found.is_none() => found = Some(expression),
                _ => return None,
            }
        }
        found
    }
}

/// A scalar's text and where it stands in the file.
#[derive(Debug, Clone)]
pub(in super::super) struct Text<'a> {
    pub text: &'a str,
    /// The whole scalar.
    pub whole: Span,
    /// Where the text stands unchanged, if it does.
    pub verbatim: Option<usize>,
}

impl Text<'_> {
    /// Place of a part of the text; the whole scalar where escapes or folding hide it.
    pub fn span(&self, start: usize, end: usize) -> Span {
        match self.verbatim {
            Some(offset) => offset + start..offset + end.max(start),
            None => self.whole.clone(),
        }
    }
}

/// Cuts a text into pieces; none where there is no expression in it. Errors of several expressions are all reported.
pub(in super::super) fn template(text: &Text<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<Template> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(open) = text.text[at..].find("${{").map(|found| at + found) {
        if open > at {
            pieces.push(Piece::Text(text.text[at..open].to_owned()));
        }
        let Some(close) = end_of_expression(&text.text[open + 3..]).map(|found| open + 3 + found) else {
            diagnostics.push(
                Diagnostic::error("spec::expression", "an expression is not closed")
                    .at(text.span(open, text.text.len()), "its `}}` is missing"),
            );
            return Some(Template { pieces });
        };
        match expression(text, open + 3, close) {
            Ok(found) => pieces.push(Piece::Expression(found)),
            Err(error) => diagnostics.push(error),
        }
        at = close + 2;
    }
    if at == 0 {
        return None;
    }
    if at < text.text.len() {
        pieces.push(Piece::Text(text.text[at..].to_owned()));
    }
    Some(Template { pieces })
}

/// The first `}}` outside of a quoted text.
fn end_of_expression(text: &str) -> Option<usize> {
    let mut quoted = false;
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|&at| {
        quoted ^= bytes[at] == b'\'';
        !quoted && bytes[at..].starts_with(b"}}")
    })
}

/// `${x}` means nothing here; gives the right spelling.
pub(in super::super) fn bare_dollar(text: &Text<'_>) -> Option<Diagnostic> {
    let found =
        text.text.match_indices("${").map(|(at, _)| at).find(|&at| !text.text[at..].starts_with("${{"))?;
    let rest = &text.text[found + 2..];
    let end = rest.find('}').unwrap_or(rest.len());
    let name = rest[..end].trim();
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'));
    let rooted = name.split('.').next().is_some_and(|first| super::Context::from_word(first).is_some());
    let spelling = match (plain, rooted) {
        (true, true) => format!("${{{{ {name} }}}}"),
        (true, false) => format!("${{{{ params.{name} }}}}"),
        (false, _) => "${{ params.x }}".to_owned(),
    };
    let length = (2 + end + 1).min(text.text.len() - found);
    Some(
        Diagnostic::error(
            "spec::bare-dollar",
            format!("`{}` is not an expression", &text.text[found..found + length]),
        )
        .at(text.span(found, found + length), "")
        .hint(format!("write `{spelling}`")),
    )
}
