//! Names of stages as they are referred to: `train`, `train[seed=0]`, `train[*]`.

use std::fmt;

use super::super::{
    diagnostic::Diagnostic,
    types::{Name, Spanned},
};
use super::{parser, template::Text};

/// A stage, or some stages of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct StageReference {
    /// Name of the declared stage.
    pub stage: Name,
    /// Which combinations of its matrix; none where no brackets stand.
    pub selector: Option<Selector>,
}

/// Which combinations of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub enum Selector {
    /// `[*]`.
    All,
    /// `[seed=0,lr=0.1]`: those with these values.
    Where(Vec<(Name, WantedValue)>),
}

/// A value of a selector.
#[derive(Debug, Clone, PartialEq)]
pub enum WantedValue {
    /// As written.
    Text(String),
    /// `matrix.<key>`: the value of the referring stage's own combination.
    Matrix(Name),
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("[*]"),
            Self::Where(wanted) => {
                let wanted: Vec<_> = wanted
                    .iter()
                    .map(|(axis, value)| match value {
                        WantedValue::Text(text) => format!("{}={text}", axis.value),
                        WantedValue::Matrix(key) => format!("{}=matrix.{}", axis.value, key.value),
                    })
                    .collect();
                write!(formatter, "[{}]", wanted.join(","))
            }
        }
    }
}

/// Reads a reference that stands outside of an expression (`needs:`, `on:`).
pub(in super::super) fn stage_reference(text: &Text<'_>) -> Result<StageReference, Diagnostic> {
    let written = text.text;
    if written.contains("${{") {
        return Err(Diagnostic::error(
            "spec::stage-name",
            "a stage is named directly here, not by an expression",
        )
        .at(text.whole.clone(), "")
        .hint("write the stage's name, for example `train` or `train[seed=0]`"));
    }
    let open = written.find('[').unwrap_or(written.len());
    let name = written[..open].trim_end();
    if name.is_empty() || !is_stage_name(name) {
        return Err(stage_name_error(name, text.span(0, open)));
    }
    let selector =
        (open < written.len()).then(|| parser::selector(text, open + 1, written.len())).transpose()?;
    Ok(StageReference { stage: Spanned::new(name.to_owned(), text.span(0, name.len())), selector })
}

/// Letters, digits, `-` and `_`, starting with a letter or `_`.
pub(in super::super) fn is_stage_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// What to say of a name that is none.
pub(in super::super) fn stage_name_error(name: &str, span: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::error("spec::stage-name", format!("`{name}` can't be the name of a stage"))
        .at(span, "")
        .hint("a name starts with a letter and goes on with letters, digits, `-` and `_`")
}
