//! A pipeline as written: every value with the place it stands at.

mod stage;
mod target;

use std::ops::Range;

pub use stage::*;
pub use target::*;

use super::{Sources, diagnostic::Diagnostic, expression::Template};

/// Byte range among all files of the pipeline; see [`Sources`].
pub type Span = Range<usize>;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// A name as written: of a stage, port, key or variable.
pub type Name = Spanned<String>;

/// A value as written: YAML with expressions inside its texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub data: Data,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(serde_json::Number),
    /// Text without expressions.
    Text(String),
    /// Text with at least one expression.
    Template(Template),
    /// A list.
    List(Vec<Value>),
    /// A map in the order written.
    Map(Vec<(Name, Value)>),
}

/// A whole pipeline: its file and all that it includes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PipelineSpec {
    /// The files it is written in.
    pub sources: Sources,
    /// `name:`; without it the file's name counts.
    pub name: Option<Name>,
    /// `params:`.
    pub params: ParamsSpec,
    /// `env:` of all stages.
    pub env: Vec<(Name, Value)>,
    /// `seed:` of all stages.
    pub seed: Option<Value>,
    /// `defaults:` for stages that do not say otherwise.
    pub defaults: Settings,
    /// `targets:`.
    pub targets: Vec<TargetSpec>,
    /// `search:`.
    pub search: Option<SearchSpec>,
    /// `stages:` in the order written.
    pub stages: Vec<StageSpec>,
    /// What is wrong with its form. There is no plan of a pipeline with errors, but what could be read is checked further.
    pub errors: Vec<Diagnostic>,
    /// Things worth telling that are no errors.
    pub warnings: Vec<Diagnostic>,
    /// Names that may be missing because what declares them could not be read.
    pub gaps: Gaps,
}

/// Kinds of names of which some may be missing: that one of them is not known is then no error of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gaps {
    /// Stages.
    pub stages: bool,
    /// Params.
    pub params: bool,
    /// Environment variables.
    pub env: bool,
}

/// Where params come from; they are data, without expressions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ParamsSpec {
    /// Maps in the pipeline's files, merged.
    pub inline: Vec<(Name, Value)>,
    /// Files named by `params:`. They override what is inline, a later one an earlier one, map by map.
    pub files: Vec<ParamsFile>,
}

/// A YAML, JSON or TOML file of params.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamsFile {
    /// Path relative to the project root, as written.
    pub name: Name,
    /// What it holds, a map; none where it could not be read.
    pub value: Option<Value>,
}

impl Gaps {
    /// Anything may be missing.
    pub(super) const ALL: Self = Self { stages: true, params: true, env: true };
}

impl ParamsSpec {
    /// All params, a map.
    pub fn merged(&self) -> serde_json::Value {
        let inline =
            self.inline.iter().map(|(key, value)| (key.value.clone(), value.literal().unwrap_or_default()));
        let mut merged = serde_json::Value::Object(inline.collect());
        for value in self.files.iter().filter_map(|file| file.value.as_ref()?.literal()) {
            overlay(&mut merged, value);
        }
        merged
    }
}

/// Lays one map over another, key by key.
fn overlay(base: &mut serde_json::Value, over: serde_json::Value) {
    match (base, over) {
        (serde_json::Value::Object(base), serde_json::Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

impl Value {
    /// What it is called in messages.
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "a boolean",
            Data::Number(_) => "a number",
            Data::Text(_) => "text",
            Data::Template(_) => "an expression",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }

    /// Moves all places of plain data.
    pub(crate) fn shift(&mut self, by: usize) {
        let moved = |span: &Span| span.start + by..span.end + by;
        self.span = moved(&self.span);
        match &mut self.data {
            Data::List(items) => items.iter_mut().for_each(|item| item.shift(by)),
            Data::Map(entries) => {
                for (key, value) in entries {
                    key.span = moved(&key.span);
                    value.shift(by);
                }
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::Template(_) => {}
        }
    }

    /// Entry of a map.
    pub fn get(&self, key: &str) -> Option<(&Name, &Value)> {
        match &self.data {
            Data::Map(entries) => {
                entries.iter().find(|(name, _)| name.value == key).map(|(name, value)| (name, value))
            }
            _ => None,
        }
    }

    /// The value as JSON, if there is no expression in it.
    pub fn literal(&self) -> Option<serde_json::Value> {
        Some(match &self.data {
            Data::Null => serde_json::Value::Null,
            Data::Bool(value) => (*value).into(),
            Data::Number(number) => number.clone().into(),
            Data::Text(text) => text.as_str().into(),
            Data::Template(_) => return None,
            Data::List(items) => items.iter().map(Self::literal).collect::<Option<Vec<_>>>()?.into(),
            Data::Map(entries) => serde_json::Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| Some((key.value.clone(), value.literal()?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}
