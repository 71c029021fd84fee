//! Tokens → [`Expression`], by precedence climbing.

use super::super::{
    diagnostic::Diagnostic,
    nearest::suggestion,
    types::{Name, Spanned},
};
use super::{
    Context, Expression, ExpressionKind, Function, Operator, Selector, Step, WantedValue,
    lexer::{Placed, Token, tokens},
    template::Text,
};

/// Deepest nesting of an expression.
const MAX_DEPTH: usize = 32;

/// Parses `text[start..end]` as one expression.
pub(super) fn expression(text: &Text<'_>, start: usize, end: usize) -> Result<Expression, Diagnostic> {
    let mut parser = Parser { text, tokens: tokens(text, start, end)?, at: 0, depth: 0 };
    if parser.peek() == &Token::End {
        return Err(Diagnostic::error("spec::expression", "the expression is empty")
            .at(text.span(start, end), "")
            .hint("write for example `${{ params.x }}`"));
    }
    let found = parser.binary(Operator::Or)?;
    if parser.peek() != &Token::End {
        return Err(parser.unexpected("an operator or the end of the expression"));
    }
    Ok(found)
}

/// Parses what stands behind the `[` of a stage: `*`, or `axis=value` with commas; also takes the `]`.
pub(super) fn selector(text: &Text<'_>, start: usize, end: usize) -> Result<Selector, Diagnostic> {
    let mut parser = Parser { text, tokens: tokens(text, start, end)?, at: 0, depth: 0 };
    let found = parser.selector()?;
    if parser.peek() != &Token::End {
        return Err(parser.unexpected("the end of the name"));
    }
    Ok(found)
}

struct Parser<'a> {
    text: &'a Text<'a>,
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn placed(&self) -> &Placed {
        // The list ends with `End`, and nothing steps past it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &Token {
        &self.placed().token
    }

    fn next(&mut self) -> Placed {
        let placed = self.placed().clone();
        if placed.token != Token::End {
            self.at += 1;
        }
        placed
    }

    fn take(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Token::Mark(found) if *found == mark);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, mark: &str, what: &str) -> Result<(), Diagnostic> {
        if self.take(mark) { Ok(()) } else { Err(self.unexpected(what)) }
    }

    fn unexpected(&self, wanted: &str) -> Diagnostic {
        let placed = self.placed();
        let found = match &placed.token {
            Token::End => "the end of the expression".to_owned(),
            Token::Mark(mark) => format!("`{mark}`"),
            Token::Name(name) => format!("`{name}`"),
            Token::Number(number) => format!("`{number}`"),
            Token::Text(text) => format!("'{text}'"),
        };
        let error = Diagnostic::error("spec::expression", format!("expected {wanted}, found {found}"))
            .at(self.text.span(placed.start, placed.end), "");
        match &placed.token {
            Token::Mark("=") => error.hint("write `==` to compare"),
            Token::Mark("*") => {
                error.hint("`[*]` gathers the stages of a matrix: `stages.train[*].outputs.model`")
            }
            _ => error,
        }
    }

    fn since(&self, start: usize) -> std::ops::Range<usize> {
        let end = self
            .at
            .checked_sub(1)
            .and_then(|index| self.tokens.get(index))
            .map_or(start, |placed| placed.end);
        self.text.span(start, end)
    }

    fn binary(&mut self, level: Operator) -> Result<Expression, Diagnostic> {
        self.depth += 1;
        if self.depth > MAX_DEPTH * 4 {
            let placed = self.placed();
            return Err(Diagnostic::error("spec::expression", "the expression is nested too deeply")
                .at(self.text.span(placed.start, placed.end), ""));
        }
        let start = self.placed().start;
        let mut left = match level {
            Operator::Or => self.binary(Operator::And)?,
            Operator::And => self.binary(Operator::Equal)?,
            Operator::Equal => self.binary(Operator::Less)?,
            _ => self.unary()?,
        };
        while let Some(operator) = self.operator(level) {
            self.at += 1;
            let right = match level {
                Operator::Or => self.binary(Operator::And)?,
                Operator::And => self.binary(Operator::Equal)?,
                Operator::Equal => self.binary(Operator::Less)?,
                _ => self.unary()?,
            };
            let span = self.since(start);
            left =
                Expression { span, kind: ExpressionKind::Binary(operator, Box::new(left), Box::new(right)) };
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The next token, if it is an operator of this level of precedence.
    fn operator(&self, level: Operator) -> Option<Operator> {
        let Token::Mark(mark) = self.peek() else { return None };
        let (operator, its_level) = match *mark {
            "||" => (Operator::Or, Operator::Or),
            "&&" => (Operator::And, Operator::And),
            "==" => (Operator::Equal, Operator::Equal),
            "!=" => (Operator::NotEqual, Operator::Equal),
            "<" => (Operator::Less, Operator::Less),
            "<=" => (Operator::AtMost, Operator::Less),
            ">" => (Operator::Greater, Operator::Less),
            ">=" => (Operator::AtLeast, Operator::Less),
            _ => return None,
        };
        (its_level == level).then_some(operator)
    }

    fn unary(&mut self) -> Result<Expression, Diagnostic> {
        let start = self.placed().start;
        let mut negations = 0_usize;
        while self.take("!") {
            negations += 1;
        }
        let mut found = self.postfix()?;
        // Twice is a conversion to a boolean; more adds nothing.
        let negations = if negations > 2 { 2 - negations % 2 } else { negations };
        for _ in 0..negations {
            found = Expression { span: self.since(start), kind: ExpressionKind::Not(Box::new(found)) };
        }
        Ok(found)
    }

    fn postfix(&mut self) -> Result<Expression, Diagnostic> {
        let start = self.placed().start;
        let base = self.primary()?;
        let mut steps = Vec::new();
        loop {
            if self.take(".") {
                let placed = self.next();
                let Token::Name(name) = placed.token else {
                    self.at = self.at.saturating_sub(usize::from(placed.token != Token::End));
                    return Err(self.unexpected("a name behind `.`"));
                };
                steps.push(Step::Key(Spanned::new(name, self.text.span(placed.start, placed.end))));
            } else if self.take("[") {
                let stage = matches!(base.kind, ExpressionKind::Reference(Context::Stages, _))
                    && matches!(steps[..], [Step::Key(_)]);
                if stage {
                    steps.push(Step::Select(self.selector()?));
                } else {
                    let index = self.binary(Operator::Or)?;
                    self.expect("]", "`]`")?;
                    steps.push(match index.kind {
                        ExpressionKind::Literal(serde_json::Value::String(key)) => {
                            Step::Key(Spanned::new(key, index.span))
                        }
                        kind => Step::Index(Box::new(Expression { span: index.span, kind })),
                    });
                }
            } else {
                break;
            }
        }
        let span = self.since(start);
        let kind = match base.kind {
            ExpressionKind::Reference(context, _) => ExpressionKind::Reference(context, steps),
            _ if steps.is_empty() => return Ok(base),
            kind => ExpressionKind::Access(Box::new(Expression { span: base.span, kind }), steps),
        };
        Ok(Expression { span, kind })
    }

    fn primary(&mut self) -> Result<Expression, Diagnostic> {
        let placed = self.next();
        let span = self.text.span(placed.start, placed.end);
        let kind = match placed.token {
            Token::Number(number) => ExpressionKind::Literal(number.into()),
            Token::Text(text) => ExpressionKind::Literal(text.into()),
            Token::Mark("(") => {
                let inner = self.binary(Operator::Or)?;
                self.expect(")", "`)`")?;
                return Ok(inner);
            }
            Token::Name(name) if self.take("(") => return self.call(&name, span, placed.start),
            Token::Name(name) => match name.as_str() {
                "true" => ExpressionKind::Literal(true.into()),
                "false" => ExpressionKind::Literal(false.into()),
                "null" => ExpressionKind::Literal(serde_json::Value::Null),
                word => match Context::from_word(word) {
                    Some(context) => ExpressionKind::Reference(context, Vec::new()),
                    None => return Err(unknown_name(word, span)),
                },
            },
            token => {
                self.at = self.at.saturating_sub(usize::from(token != Token::End));
                return Err(self.unexpected("a value"));
            }
        };
        Ok(Expression { span, kind })
    }

    fn call(
        &mut self,
        name: &str,
        span: std::ops::Range<usize>,
        start: usize,
    ) -> Result<Expression, Diagnostic> {
        // GitHub does not mind the case of function names.
        let known = Function::WORDS.iter().find(|word| word.eq_ignore_ascii_case(name));
        let Some(function) = known.and_then(|word| Function::from_word(word)) else {
            return Err(Diagnostic::error(
                "spec::unknown-function",
                format!("there is no function `{name}`"),
            )
            .at(span, "")
            .maybe_hint(suggestion(name, Function::WORDS.iter().copied())));
        };
        let mut arguments = Vec::new();
        if !self.take(")") {
            loop {
                arguments.push(self.binary(Operator::Or)?);
                if self.take(")") {
                    break;
                }
                self.expect(",", "`,` or `)`")?;
            }
        }
        let (fewest, most) = function.arity();
        if !(fewest..=most).contains(&arguments.len()) {
            let wanted = if fewest == most { fewest.to_string() } else { format!("{fewest} to {most}") };
            return Err(Diagnostic::error(
                "spec::expression",
                format!("`{}` takes {wanted} arguments, here are {}", function.word(), arguments.len()),
            )
            .at(self.since(start), ""));
        }
        Ok(Expression { span: self.since(start), kind: ExpressionKind::Call(function, arguments) })
    }

    fn selector(&mut self) -> Result<Selector, Diagnostic> {
        if self.take("*") {
            self.expect("]", "`]`")?;
            return Ok(Selector::All);
        }
        let mut wanted: Vec<(Name, WantedValue)> = Vec::new();
        loop {
            let axis = self.next();
            let Token::Name(name) = axis.token else {
                self.at = self.at.saturating_sub(usize::from(axis.token != Token::End));
                return Err(self.unexpected("`*` or `axis=value`"));
            };
            self.expect("=", "`=`")?;
            let first = self.placed().start;
            let value = if matches!(self.peek(), Token::Name(name) if name == "matrix") {
                self.at += 1;
                self.expect(".", "`.` behind `matrix`")?;
                let key = self.next();
                let Token::Name(key) = key.token else { return Err(self.unexpected("a key of the matrix")) };
                WantedValue::Matrix(Spanned::new(key, self.since(first)))
            } else {
                // Everything up to the next comma or bracket, as written.
                while !matches!(self.peek(), Token::Mark("," | "]") | Token::End) {
                    self.at += 1;
                }
                let last =
                    self.at.checked_sub(1).and_then(|index| self.tokens.get(index)).map_or(first, |p| p.end);
                let written = self.text.text.get(first..last.max(first)).unwrap_or_default();
                if written.is_empty() {
                    return Err(self.unexpected("a value"));
                }
                let unquoted = written.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                WantedValue::Text(unquoted.unwrap_or(written).to_owned())
            };
            wanted.push((Spanned::new(name, self.text.span(axis.start, axis.end)), value));
            if self.take("]") {
                return Ok(Selector::Where(wanted));
            }
            self.expect(",", "`,` or `]`")?;
        }
    }
}

fn unknown_name(word: &str, span: std::ops::Range<usize>) -> Diagnostic {
    let hint = match word {
        "runner" => Some("facts about the machine are in `host`".to_owned()),
        "steps" | "needs" | "jobs" => {
            Some("outputs of other stages are `stages.<stage>.outputs.<port>`".to_owned())
        }
        "github" => Some("the repository's state is in `git`".to_owned()),
        "vars" | "inputs" => Some("values of the pipeline are in `params`".to_owned()),
        _ => suggestion(word, Context::WORDS.iter().copied()),
    };
    Diagnostic::error("spec::unknown-context", format!("`{word}` names nothing an expression can refer to"))
        .at(span, "")
        .maybe_hint(hint)
}
