//! Why a stage has to run: what differs from the last time.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Material;
use crate::{
    digest::Digest,
    plan::{COMMAND, DEPS, KeyInput, KeyMaterial},
};

/// Longest value shown in a reason, in characters.
const SHOWN: usize = 48;

/// One reason why no stored result serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// The stage has no earlier result in this project.
    FirstRun,
    /// A value differs from that of the last result.
    Changed {
        /// Where, as in the pipeline file: `with.optimizer.lr`, `env.OMP_NUM_THREADS`, `seed`.
        field: String,
        /// Value of the last result; none if there was none.
        from: Option<String>,
        /// Value now; none if there is none.
        to: Option<String>,
        /// Params of the pipeline that the field is made of: `params.train.lr`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        params: Vec<String>,
    },
    /// The content of an input differs.
    InputChanged {
        /// The port, with the binding's name where the port takes many.
        input: String,
    },
    /// The result is known, but blobs of its outputs are not in the store any more.
    Lost {
        /// How many.
        blobs: u64,
    },
    /// Nothing changed, but the result is not in the store any more.
    Dropped,
    /// The stored result can't be read.
    Unreadable {
        /// Why.
        why: String,
    },
    /// The stored result has a failed gate, and the stage measures: another run may give another verdict.
    GateFailed {
        /// The gate.
        gate: String,
    },
    /// `cache: false`.
    Uncached,
    /// The user forced it.
    Forced,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstRun => formatter.write_str("first run"),
            Self::Changed { field, from, to, params } => {
                match (from, to) {
                    (Some(from), Some(to)) => write!(formatter, "{field} {from} → {to}")?,
                    (None, Some(to)) => write!(formatter, "{field} added ({to})")?,
                    (Some(from), None) => write!(formatter, "{field} removed (was {from})")?,
                    (None, None) => write!(formatter, "{field} changed")?,
                }
                if params.is_empty() { Ok(()) } else { write!(formatter, ", by {}", params.join(", ")) }
            }
            Self::InputChanged { input } if input.starts_with("deps.") => {
                write!(formatter, "{input} changed")
            }
            Self::InputChanged { input } => write!(formatter, "inputs.{input} changed"),
            Self::Lost { blobs: 1 } => formatter.write_str("result lost: 1 blob missing"),
            Self::Lost { blobs } => write!(formatter, "result lost: {blobs} blobs missing"),
            Self::Dropped => formatter.write_str("result no longer stored"),
            Self::Unreadable { why } => write!(formatter, "stored result not readable: {why}"),
            Self::GateFailed { gate } => write!(formatter, "gate `{gate}` failed last time: measured again"),
            Self::Uncached => formatter.write_str("never reused, as the pipeline says"),
            Self::Forced => formatter.write_str("forced"),
        }
    }
}

/// Every difference between the material of the last result and that of now, in a fixed order. Empty exactly when the
/// keys are equal.
pub fn differences(last: &KeyMaterial, now: &KeyMaterial) -> Vec<Reason> {
    // No `..`: a new field of the key does not compile until its difference has words.
    let KeyMaterial { version, program, cache_version, params, inputs, env, seed, platform, salt, outs } =
        now;
    let mut found = Vec::new();
    plain(&mut found, "uses", &last.program, program);
    plain(&mut found, "version of the key format", &last.version, version);
    plain(&mut found, "cache version of the stage", &last.cache_version, cache_version);
    // What a command is made of stands beside it in the stage, not under `with`.
    let field = if program == COMMAND { "" } else { "with" };
    values(&mut found, field, Some(&last.params), Some(params));
    compare_inputs(&mut found, &last.inputs, inputs);
    maps(&mut found, "env", &last.env, env);
    plain(&mut found, "seed", &last.seed, seed);
    maps(&mut found, "platform", &last.platform, platform);
    plain(&mut found, "salt", &last.salt, salt);
    for out in last.outs.symmetric_difference(outs) {
        let (old, new) = (last.outs.get(out).cloned(), outs.get(out).cloned());
        found.push(changed("outs", old, new));
    }
    found
}

/// As [`differences`], of material that was taken apart.
pub fn flat_differences(last: &Material, now: &Material) -> Vec<Reason> {
    let mut found = Vec::new();
    for field in union(last, now) {
        let (old, new) = (last.get(field), now.get(field));
        match (old, new, field.strip_prefix("inputs.")) {
            (Some(old), Some(new), _) if same(old, new) => {}
            (Some(old), Some(new), Some(input)) if is_digest(old) && is_digest(new) => {
                found.push(Reason::InputChanged { input: input.to_owned() });
            }
            _ => found.push(changed(field, old.map(show), new.map(show))),
        }
    }
    found
}

fn is_digest(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<Digest>().is_ok())
}

impl Reason {
    /// Names the params behind a changed field, which `reads` has by field.
    #[must_use]
    pub fn named(mut self, reads: &BTreeMap<String, Vec<String>>) -> Self {
        if let Self::Changed { field, params, .. } = &mut self {
            // The field that reads a param may stand above the one that changed, where it reads a whole map.
            let above = |read: &str| {
                field.strip_prefix(read).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let found = reads.iter().filter(|(read, _)| above(read));
            for param in found.flat_map(|(_, params)| params) {
                if !params.contains(param) {
                    params.push(param.clone());
                }
            }
        }
        self
    }
}

fn plain<T: PartialEq + fmt::Display>(found: &mut Vec<Reason>, field: &str, from: &T, to: &T) {
    if from != to {
        found.push(changed(field, Some(from.to_string()), Some(to.to_string())));
    }
}

fn changed(field: &str, from: Option<String>, to: Option<String>) -> Reason {
    Reason::Changed {
        field: field.to_owned(),
        from: from.map(shorten),
        to: to.map(shorten),
        params: Vec::new(),
    }
}

fn shorten(text: String) -> String {
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN - 1).chain(['…']).collect()
}

fn maps(
    found: &mut Vec<Reason>,
    field: &str,
    from: &BTreeMap<String, String>,
    to: &BTreeMap<String, String>,
) {
    for name in union(from, to) {
        let (old, new) = (from.get(name), to.get(name));
        if old != new {
            found.push(changed(&format!("{field}.{name}"), old.cloned(), new.cloned()));
        }
    }
}

/// Numbers are compared as the canonical encoding compares them, `1` equal to `1.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (crate::digest::canonical_json(a), crate::digest::canonical_json(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

fn values(found: &mut Vec<Reason>, field: &str, from: Option<&Value>, to: Option<&Value>) {
    match (from, to) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut names: Vec<_> = old.keys().chain(new.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let below = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                values(found, &below, old.get(name), new.get(name));
            }
        }
        (Some(old), Some(new)) if same(old, new) => {}
        (None, None) => {}
        _ => found.push(changed(field, from.map(show), to.map(show))),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn union<'a, T>(a: &'a BTreeMap<String, T>, b: &'a BTreeMap<String, T>) -> Vec<&'a String> {
    let mut names: Vec<_> = a.keys().chain(b.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn compare_inputs(
    found: &mut Vec<Reason>,
    from: &BTreeMap<String, Vec<KeyInput>>,
    to: &BTreeMap<String, Vec<KeyInput>>,
) {
    for port in union(from, to) {
        let (old, new) =
            (from.get(port).map_or(&[][..], |bound| bound), to.get(port).map_or(&[][..], |bound| bound));
        let names =
            |bound: &[KeyInput]| bound.iter().map(|input| input.name.clone()).collect::<Vec<_>>().join(", ");
        if old.len() != new.len() || old.is_empty() != new.is_empty() {
            let text = |bound: &[KeyInput]| (!bound.is_empty()).then(|| names(bound));
            found.push(changed(&format!("inputs.{port}"), text(old), text(new)));
            continue;
        }
        for (old, new) in old.iter().zip(new) {
            let KeyInput { name, artifact_type, role, digest } = new;
            let input = if port == DEPS || to.get(port).is_some_and(|bound| bound.len() > 1) {
                format!("{port}.{name}")
            } else {
                port.clone()
            };
            plain(found, &format!("inputs.{input}.as"), &old.name, name);
            plain(found, &format!("inputs.{input}.type"), &old.artifact_type, artifact_type);
            if old.role != *role {
                found.push(changed(&format!("inputs.{input}.role"), old.role.clone(), role.clone()));
            }
            if old.digest != *digest {
                found.push(Reason::InputChanged { input });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn input(name: &str, content: &str) -> KeyInput {
        KeyInput {
            name: name.to_owned(),
            artifact_type: "file".to_owned(),
            role: None,
            digest: Digest::of(content.as_bytes()),
        }
    }

    fn material() -> KeyMaterial {
        KeyMaterial {
            version: 1,
            program: "train".to_owned(),
            cache_version: 1,
            params: json!({"optimizer": {"name": "adamw", "lr": 0.1}, "epochs": 3, "note": "x"}),
            inputs: BTreeMap::from([
                ("data".to_owned(), vec![input("images", "a")]),
                ("models".to_owned(), vec![input("fp32", "a"), input("int8", "b")]),
            ]),
            env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
            seed: 0,
            platform: BTreeMap::new(),
            salt: String::new(),
            outs: Default::default(),
        }
    }

    fn text(last: &KeyMaterial, now: &KeyMaterial) -> String {
        differences(last, now).iter().map(Reason::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn names_each_field_that_changed() {
        let mut now = material();
        now.cache_version = 2;
        now.params =
            json!({"optimizer": {"name": "adamw", "lr": 0.01}, "epochs": 3.0, "text": "long ".repeat(20)});
        now.inputs.insert("data".to_owned(), vec![input("images", "b")]);
        now.inputs.insert("models".to_owned(), vec![input("fp32", "a"), input("int8", "c")]);
        now.inputs.insert("policy".to_owned(), vec![input("augment", "p")]);
        now.env = BTreeMap::from([("B".to_owned(), "2".to_owned())]);
        now.seed = 7;
        now.platform = BTreeMap::from([("gpu".to_owned(), "H100".to_owned())]);
        insta::assert_snapshot!(text(&material(), &now), @r"
        cache version of the stage 1 → 2
        with.note removed (was x)
        with.optimizer.lr 0.1 → 0.01
        with.text added (long long long long long long long long long lo…)
        inputs.data changed
        inputs.models.int8 changed
        inputs.policy added (augment)
        env.A removed (was 1)
        env.B added (2)
        seed 0 → 7
        platform.gpu added (H100)
        ");
    }

    #[test]
    fn equal_keys_and_no_difference_are_the_same_thing() {
        let last = material();
        let mut now = material();
        now.params["epochs"] = json!(3.0);
        assert_eq!(last.key().unwrap(), now.key().unwrap());
        assert_eq!(differences(&last, &now), []);
        let role = |material: &mut KeyMaterial| {
            material.inputs.get_mut("data").unwrap()[0].role = Some("test".into())
        };
        let changes: [&dyn Fn(&mut KeyMaterial); 5] = [
            &role,
            &|material| material.salt = "s".to_owned(),
            &|material| material.program = "prune".to_owned(),
            &|material| material.params = json!({}),
            &|material| material.inputs.get_mut("models").unwrap().swap(0, 1),
        ];
        for change in changes {
            let mut now = material();
            change(&mut now);
            assert_ne!(last.key().unwrap(), now.key().unwrap());
            assert_ne!(differences(&last, &now), []);
        }
    }
}
