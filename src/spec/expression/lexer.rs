//! Expression text → tokens.

use super::super::diagnostic::Diagnostic;
use super::template::Text;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Number(serde_json::Number),
    Text(String),
    /// Operators and brackets.
    Mark(&'static str),
    End,
}

/// A token with its byte range in the scalar's text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub token: Token,
    pub start: usize,
    pub end: usize,
}

/// Longest first.
const MARKS: &[&str] =
    &["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ".", ",", "=", "*"];

/// Splits `text[start..end]` into tokens, ending with [`Token::End`].
pub(super) fn tokens(text: &Text<'_>, start: usize, end: usize) -> Result<Vec<Placed>, Diagnostic> {
    let source = text.text.get(..end).unwrap_or_default();
    let mut tokens = Vec::new();
    let mut at = start;
    while let Some(next) = source.get(at..).and_then(|rest| rest.chars().next()) {
        if next.is_whitespace() {
            at += next.len_utf8();
            continue;
        }
        let rest = &source[at..];
        let (token, length) = if next == '\'' {
            quoted(text, rest, at)?
        } else if next.is_ascii_digit() || negative_number(rest, tokens.last()) {
            number(text, rest, at)?
        } else if next.is_alphabetic() || next == '_' {
            let length =
                rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(rest.len());
            (Token::Name(rest[..length].to_owned()), length)
        } else if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            (Token::Mark(mark), mark.len())
        } else {
            return Err(unknown(text, next, at));
        };
        tokens.push(Placed { token, start: at, end: at + length });
        at += length;
    }
    tokens.push(Placed { token: Token::End, start: end, end });
    Ok(tokens)
}

/// There is no subtraction: a minus starts a number where an operand may stand.
fn negative_number(rest: &str, before: Option<&Placed>) -> bool {
    let operand_before = matches!(
        before.map(|placed| &placed.token),
        Some(Token::Name(_) | Token::Number(_) | Token::Text(_) | Token::Mark(")" | "]" | "*"))
    );
    !operand_before
        && rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn quoted(text: &Text<'_>, rest: &str, at: usize) -> Result<(Token, usize), Diagnostic> {
    let mut value = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((index, character)) = characters.next() {
        if character != '\'' {
            value.push(character);
        } else if characters.peek().is_some_and(|(_, next)| *next == '\'') {
            value.push('\'');
            characters.next();
        } else {
            return Ok((Token::Text(value), index + 1));
        }
    }
    Err(Diagnostic::error("spec::expression", "a text in an expression is not closed")
        .at(text.span(at, at + rest.len()), "its closing ' is missing")
        .hint("write '' for a quote inside the text"))
}

fn number(text: &Text<'_>, rest: &str, at: usize) -> Result<(Token, usize), Diagnostic> {
    let mut before = ' ';
    let length = rest
        .char_indices()
        .find(|&(index, c)| {
            let signed = matches!(c, '+' | '-') && (index == 0 || matches!(before, 'e' | 'E'));
            before = c;
            !(c.is_ascii_alphanumeric() || c == '.' || signed)
        })
        .map_or(rest.len(), |(index, _)| index);
    let written = &rest[..length];
    let number = match written.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(Into::into),
        None => match written.parse::<i64>() {
            Ok(integer) => Some(integer.into()),
            Err(_) => written.parse().ok().and_then(serde_json::Number::from_f64),
        },
    };
    number.map(|number| (Token::Number(number), length)).ok_or_else(|| {
        Diagnostic::error("spec::expression", format!("`{written}` is not a number"))
            .at(text.span(at, at + length), "")
            .hint("a text stands in single quotes: '2ms'")
    })
}

fn unknown(text: &Text<'_>, character: char, at: usize) -> Diagnostic {
    let hint = match character {
        '"' => "a text in an expression stands in single quotes: 'text'",
        '+' | '-' | '/' | '%' => {
            "expressions do not calculate; compute the value where the params are written"
        }
        '&' => "write `&&`",
        '|' => "write `||`",
        '$' | '{' | '}' => "inside `${{ }}` names stand alone: `params.x`",
        _ => "see the operators: ( ) [ ] . ! < <= > >= == != && ||",
    };
    Diagnostic::error("spec::expression", format!("`{character}` has no meaning in an expression"))
        .at(text.span(at, at + character.len_utf8()), "")
        .hint(hint)
}
