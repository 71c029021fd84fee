//! Values from the command line that stand in for those of the pipeline: `params.<key>=…` and `<stage>.with.<key>=…`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde_json::Value;

use crate::spec::{self, Diagnostic, nearest::suggestion};

/// What a value is given for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// `params.train.lr`: a param of the pipeline, which must be there.
    Param(Vec<String>),
    /// `train.with.lr`: a param of a stage, after its `with:` is resolved.
    With {
        /// Name of a declared stage, for all of its matrix, or the id of one combination (`train[seed=0]`).
        stage: String,
        /// The way into `with:`; a number is a position in a list.
        path: Vec<String>,
    },
}

/// One `KEY=VALUE`: a place and the values for it. Several are the axis of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// What they are for.
    pub place: Place,
    /// At least one.
    pub values: Vec<Value>,
}

/// One value for each of some places; what a single plan is compiled with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    entries: Vec<(Place, Value)>,
}

/// Why a `KEY=VALUE` can't be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OverrideError {
    /// There is no `=`.
    #[error("`{0}` is no `KEY=VALUE`")]
    NoValue(String),
    /// The key is neither a param nor a key of a stage.
    #[error("`{0}` is neither `params.<key>` nor `<stage>.with.<key>`")]
    Place(String),
    /// A value can't be read.
    #[error("the value of `{key}`: {reason}")]
    Value {
        /// Left of the `=`.
        key: String,
        /// What is wrong with it.
        reason: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// Several values where one plan is asked for.
    #[error("`{place}` has {count} values, and one is wanted here")]
    Several {
        /// The place.
        place: Place,
        /// How many it has.
        count: usize,
    },
}

impl OverrideError {
    /// What to write instead.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoValue(_) | Self::Place(_) => {
                Some("write for example `params.epochs=3` or `train.with.optimizer.lr=0.01`".to_owned())
            }
            Self::Value { hint, .. } => hint.clone(),
            Self::Several { .. } => Some("a text with a comma in it stands in quotes: '\"a,b\"'".to_owned()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Param(path) => write!(formatter, "params.{}", path.join(".")),
            Self::With { stage, path } => write!(formatter, "{stage}.with.{}", path.join(".")),
        }
    }
}

impl FromStr for Place {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let wrong = || OverrideError::Place(text.to_owned());
        // The values of a combination may hold dots: `train[lr=0.1].with.epochs`.
        let (stage, rest) = match text.find(['[', '.']).map(|at| (at, &text[at..at + 1])) {
            Some((at, "[")) => {
                let close = text[at..].find("].").ok_or_else(wrong)? + at + 1;
                (&text[..close], &text[close + 1..])
            }
            Some((at, _)) => (&text[..at], &text[at + 1..]),
            None => return Err(wrong()),
        };
        let mut path: Vec<String> = rest.split('.').map(str::to_owned).collect();
        if stage != "params" {
            if path.first().is_none_or(|word| word != "with") {
                return Err(wrong());
            }
            path.remove(0);
        }
        if stage.is_empty() || path.is_empty() || path.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(match stage {
            "params" => Self::Param(path),
            stage => Self::With { stage: stage.to_owned(), path },
        })
    }
}

impl FromStr for Assignment {
    type Err = OverrideError;

    /// Values are read as in a pipeline file, so `3` is a number and `"3"` a text; commas outside of quotes and brackets
    /// separate them.
    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let no_value = || OverrideError::NoValue(text.to_owned());
        // An `=` inside the brackets of a combination is not ours.
        let after =
            text.find("].").filter(|close| text.find('[').is_some_and(|open| open < *close)).unwrap_or(0);
        let equals = text[after..].find('=').map(|at| at + after).ok_or_else(no_value)?;
        let (key, values) = (&text[..equals], &text[equals + 1..]);
        let place: Place = key.parse()?;
        let read = |value: &str| {
            let wrong = |reason: String, hint| OverrideError::Value { key: key.to_owned(), reason, hint };
            if value.trim().is_empty() {
                let hint = format!("write `{key}=null` for nothing, or `{key}='\"\"'` for the empty text");
                return Err(wrong("it is empty".to_owned(), Some(hint)));
            }
            spec::value(value).map_err(|error| wrong(error.message, error.hint))
        };
        let values = split(values).into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { place, values })
    }
}

/// Cuts at the commas outside of quotes and brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if text[start..at].trim().is_empty() || depth > 0 => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

impl Overrides {
    /// One value for each place; a later one counts.
    pub fn new(entries: impl IntoIterator<Item = (Place, Value)>) -> Self {
        let mut overrides = Self::default();
        for (place, value) in entries {
            overrides.entries.retain(|(other, _)| *other != place);
            overrides.entries.push((place, value));
        }
        overrides
    }

    /// Of assignments that have one value each.
    pub fn single(assignments: &[Assignment]) -> Result<Self, OverrideError> {
        let entries = assignments.iter().map(|Assignment { place, values }| match &values[..] {
            [value] => Ok((place.clone(), value.clone())),
            _ => Err(OverrideError::Several { place: place.clone(), count: values.len() }),
        });
        Ok(Self::new(entries.collect::<Result<Vec<_>, _>>()?))
    }

    /// Nothing is overridden.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Places with their values, in the order given.
    pub fn entries(&self) -> &[(Place, Value)] {
        &self.entries
    }

    /// Lays those of params over the params.
    pub(super) fn apply_params(&self, params: &mut Value, findings: &mut Vec<Diagnostic>) {
        for (place, value) in &self.entries {
            if let Place::Param(path) = place
                && let Err(error) = replace(params, path, value, Missing::Refuse)
            {
                findings.push(error.diagnostic(place));
            }
        }
    }

    /// Lays those of a stage over its resolved `with:`; gives the places, for messages.
    pub(super) fn apply_with(
        &self,
        name: &str,
        id: &str,
        with: &mut Value,
        findings: &mut Vec<Diagnostic>,
    ) -> Vec<&Place> {
        let mut applied = Vec::new();
        for (place, value) in &self.entries {
            let Place::With { stage, path } = place else { continue };
            if stage != name && stage != id {
                continue;
            }
            // The stage's schema says whether there is such a param.
            match replace(with, path, value, Missing::Insert) {
                Ok(()) => applied.push(place),
                Err(error) => findings.push(error.diagnostic(place)),
            }
        }
        applied
    }

    /// Overrides of stages that there are not.
    pub(super) fn unknown_stages<'n>(
        &self,
        known: impl IntoIterator<Item = &'n str> + Clone,
        findings: &mut Vec<Diagnostic>,
    ) {
        for (place, _) in &self.entries {
            let Place::With { stage, .. } = place else { continue };
            if !known.clone().into_iter().any(|name| name == stage) {
                findings.push(
                    Diagnostic::error("plan::override", format!("`{place}`: there is no stage `{stage}`"))
                        .maybe_hint(suggestion(stage, known.clone().into_iter().collect::<BTreeSet<_>>())),
                );
            }
        }
    }
}

/// What becomes of a key that is not there.
#[derive(Clone, Copy, PartialEq)]
enum Missing {
    Refuse,
    Insert,
}

/// Why a value can't be put at its place.
enum Misfit {
    Unknown { at: String, key: String, hint: Option<String> },
    NoMap { at: String, kind: &'static str },
}

impl Misfit {
    fn diagnostic(self, place: &Place) -> Diagnostic {
        let root = match place {
            Place::Param(_) => "params".to_owned(),
            Place::With { stage, .. } => format!("{stage}.with"),
        };
        let named = |at: String| if at.is_empty() { root.clone() } else { format!("{root}.{at}") };
        match self {
            Self::Unknown { at, key, hint } => Diagnostic::error(
                "plan::override",
                format!("`{place}` is set, but `{}` has no `{key}`", named(at)),
            )
            .maybe_hint(hint),
            Self::NoMap { at, kind } => Diagnostic::error(
                "plan::override",
                format!("`{place}` is set, but `{}` is {kind}", named(at)),
            ),
        }
    }
}

fn replace(root: &mut Value, path: &[String], new: &Value, missing: Missing) -> Result<(), Misfit> {
    let mut value = root;
    for (index, key) in path.iter().enumerate() {
        let at = || path[..index].join(".");
        value = match value {
            Value::Object(map) => {
                if !map.contains_key(key) && missing == Missing::Refuse {
                    let hint = suggestion(key, map.keys().map(String::as_str));
                    return Err(Misfit::Unknown { at: at(), key: key.clone(), hint });
                }
                let last = index + 1 == path.len();
                map.entry(key.clone())
                    .or_insert_with(|| if last { Value::Null } else { Value::Object(Default::default()) })
            }
            Value::Array(items) => {
                let hint = format!("it is a list of {} items, counted from 0", items.len());
                let position = key.parse::<usize>().ok();
                position.and_then(|position| items.get_mut(position)).ok_or_else(|| Misfit::Unknown {
                    at: at(),
                    key: key.clone(),
                    hint: Some(hint),
                })?
            }
            other => return Err(Misfit::NoMap { at: at(), kind: super::values::kind(other) }),
        };
    }
    *value = new.clone();
    Ok(())
}
