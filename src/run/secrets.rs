//! Secrets of a run: all there before the first stage, and in nothing that is kept.

use std::{collections::BTreeMap, fmt, fs::File, path::PathBuf};

use serde_json::Value;

use super::{RunError, failure, select::Part};
use crate::{
    catalog::Start,
    plan::{Action, KeyMaterial, Plan, StageId},
    plugin::{Redactor, SHORTEST_SECRET, Secrets},
    record::Failure,
};

/// Why a secret can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretFault {
    /// It has no value, or an empty one.
    Missing {
        /// Its name.
        name: String,
        /// The first stage that wants it.
        stage: StageId,
    },
    /// Its value is too short to be kept out of logs.
    Short {
        /// Its name.
        name: String,
        /// The first stage that wants it.
        stage: StageId,
    },
    /// Its value is written in the pipeline, and so would be kept.
    Exposed {
        /// Its name.
        name: String,
        /// The stage.
        stage: StageId,
        /// Where it stands: `with`, `env`, `cmd`.
        field: String,
    },
}

impl fmt::Display for SecretFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, stage } => {
                write!(
                    formatter,
                    "stage `{stage}` wants the secret `{name}`, and the variable `{name}` is not set"
                )
            }
            Self::Short { name, stage } => write!(
                formatter,
                "the secret `{name}` of stage `{stage}` is shorter than {SHORTEST_SECRET} bytes, so it can't be kept out of logs"
            ),
            Self::Exposed { name, stage, field } => {
                write!(formatter, "the value of the secret `{name}` stands in `{field}` of stage `{stage}`")
            }
        }
    }
}

impl SecretFault {
    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { name, .. } => format!("set it where stagewright is started: `{name}=… stagewright run`"),
            Self::Short { .. } => "use a longer one".to_owned(),
            Self::Exposed { .. } => {
                "what stands there is kept in the action key and shown; let the program read the variable instead".to_owned()
            }
        }
    }
}

/// Looks at the secrets of all stages that may run, so that a missing one is told before anything has run.
pub(super) fn check(plan: &Plan, parts: &[Part], secrets: &Secrets) -> Result<(), RunError> {
    let mut faults = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let wanted = plan
        .actions
        .iter()
        .zip(parts)
        .filter(|(action, part)| matches!(part, Part::Wanted { .. }) && action.skip.is_none());
    for (action, _) in wanted {
        for name in action.secrets.iter().filter(|name| seen.insert(*name)) {
            let (name, stage) = (name.clone(), action.id.clone());
            match secrets.get(&name) {
                None | Some("") => faults.push(SecretFault::Missing { name, stage }),
                Some(value) if value.len() < SHORTEST_SECRET => {
                    faults.push(SecretFault::Short { name, stage })
                }
                Some(_) => {}
            }
        }
    }
    if faults.is_empty() && !seen.is_empty() {
        for name in seen {
            let redactor = secrets.only(std::slice::from_ref(name)).redactor();
            for action in &plan.actions {
                if let Some(field) = exposed(action, &redactor) {
                    faults.push(SecretFault::Exposed { name: name.clone(), stage: action.id.clone(), field });
                    break;
                }
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(RunError::Secrets(faults)) }
}

/// The part of the action key that a secret stands in, as the pipeline calls it.
fn exposed(action: &Action, redactor: &Redactor) -> Option<String> {
    let material = serde_json::to_value(KeyMaterial::new(action, BTreeMap::new(), "")).ok()?;
    let found = material
        .as_object()?
        .iter()
        .find(|(_, value)| texts(value, &mut |text| redactor.finds(text.as_bytes())))?;
    Some(match found.0.as_str() {
        "params" if matches!(action.program.start, Start::Command(_)) => "cmd".to_owned(),
        "params" => "with".to_owned(),
        field => field.to_owned(),
    })
}

/// Whether a text inside of a value fulfils a condition.
fn texts(value: &Value, condition: &mut dyn FnMut(&str) -> bool) -> bool {
    match value {
        Value::String(text) => condition(text),
        Value::Array(items) => items.iter().any(|item| texts(item, condition)),
        Value::Object(entries) => {
            entries.iter().any(|(key, value)| condition(key) || texts(value, condition))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Refuses outputs with a secret in them: they would be kept, shown, and handed on.
pub(super) fn check_outputs(
    action: &Action,
    secrets: &Secrets,
    outputs: &BTreeMap<String, PathBuf>,
) -> Result<(), Failure> {
    if action.secrets.is_empty() {
        return Ok(());
    }
    let redactor = secrets.only(&action.secrets).redactor();
    for (port, root) in outputs {
        let leak = |what: &str| {
            failure::user(
                format!(
                    "{what} output `{port}` of `{}` holds one of its secrets, so nothing of it was stored",
                    action.id
                ),
                Some("let the program keep the secret out of what it writes"),
            )
        };
        let above = root.parent().unwrap_or(root);
        for item in walkdir::WalkDir::new(root) {
            let item = item.map_err(|error| failure::environment(error.to_string(), None))?;
            let name = item.path().strip_prefix(above).unwrap_or(item.path());
            if redactor.finds(name.as_os_str().as_encoded_bytes()) {
                return Err(leak("a file name in the"));
            }
            if item.file_type().is_file() {
                let found = File::open(item.path()).and_then(|file| redactor.finds_in(file));
                if found.map_err(|error| failure::from_io("read", item.path(), &error))? {
                    return Err(leak("the"));
                }
            }
        }
    }
    Ok(())
}
