//! The action key: identity of everything that may change a stage's result.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::{CanonicalError, Digest, Encoder};

use super::{Action, Out, Program};

/// Version of [`KeyMaterial`]'s encoding.
///
/// 1: first release.
pub const KEY_VERSION: u32 = 1;

/// Identity of an action: equal keys mean that a stored result may be reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionKey(pub Digest);

impl fmt::Display for ActionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.hex())
    }
}

/// Everything an action key is made of, kept beside each result so that `plan` can name the field that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeyMaterial {
    /// [`KEY_VERSION`].
    pub version: u32,
    /// Name of the stage program.
    pub program: String,
    /// Cache version from its manifest.
    pub cache_version: u32,
    /// Resolved params.
    pub params: Value,
    /// What the stage sees of its inputs by port, in order.
    pub inputs: BTreeMap<String, Vec<KeyInput>>,
    /// Declared environment.
    pub env: BTreeMap<String, String>,
    /// Seed.
    pub seed: u64,
    /// Platform properties the program declares as changing its result.
    pub platform: BTreeMap<String, String>,
    /// Operator value that separates cache namespaces.
    pub salt: String,
    /// Paths of the work tree that it writes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub outs: BTreeSet<String>,
}

/// One input as the stage is told of it: its content, and the words that come with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeyInput {
    /// Name of the binding.
    pub name: String,
    /// Port type.
    #[serde(rename = "type")]
    pub artifact_type: String,
    /// Role of a dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Content.
    pub digest: Digest,
}

/// [`KeyMaterial`] where it stands: for the key alone nothing has to be copied.
#[derive(Debug, Clone)]
pub struct KeyParts<'a> {
    program: &'a str,
    cache_version: u32,
    params: &'a Value,
    inputs: &'a BTreeMap<String, Vec<KeyInput>>,
    env: &'a BTreeMap<String, String>,
    seed: u64,
    platform: &'a BTreeMap<String, String>,
    salt: &'a str,
    outs: BTreeSet<String>,
}

impl<'a> KeyParts<'a> {
    /// Gathers the material of an action. The destructuring has no `..`: a new field of [`Action`] does not compile until
    /// someone decides here whether it may change a result.
    pub fn new(action: &'a Action, inputs: &'a BTreeMap<String, Vec<KeyInput>>, salt: &'a str) -> Self {
        let Action {
            // Where a program lies is no part of it; the text of a command is in its params.
            program: Program { start: _, manifest, platform },
            params,
            env,
            seed,
            // The digests of what these lead to are in `inputs`.
            inputs: _,
            // What a stage is called and where it stands does not change what it computes.
            id: _,
            line: _,
            // Order, place and occupation.
            needs: _,
            skip: _,
            condition: _,
            exports: _,
            outs,
            resources: _,
            // It differs from run to run, and the pipeline says so.
            run_env: _,
            // Nothing of a secret is kept anywhere.
            secrets: _,
            // Their values are in `params`, `env` and `seed`, those that are read and no other.
            reads: _,
            // A run that was cut off gives no result, so a longer limit can't be served a shorter one's.
            timeout: _,
            limits: _,
            // What of the machine matters is in `platform`.
            runs_on: _,
            retry: _,
            cache: _,
            frozen: _,
            continue_on_error: _,
        } = action;
        Self {
            program: &manifest.name,
            cache_version: manifest.cache_version,
            params,
            inputs,
            env,
            seed: *seed,
            platform: &platform.properties,
            salt,
            outs: outs.iter().map(Out::port).collect(),
        }
    }

    /// The key.
    pub fn key(&self) -> Result<ActionKey, CanonicalError> {
        key(KEY_VERSION, self)
    }
}

impl KeyMaterial {
    /// The material of an action.
    pub fn new(action: &Action, inputs: BTreeMap<String, Vec<KeyInput>>, salt: &str) -> Self {
        let KeyParts { program, cache_version, params, inputs: _, env, seed, platform, salt, outs } =
            KeyParts::new(action, &inputs, salt);
        let (program, params, env) = (program.to_owned(), params.clone(), env.clone());
        let (platform, salt) = (platform.clone(), salt.to_owned());
        Self { version: KEY_VERSION, program, cache_version, params, env, seed, platform, salt, outs, inputs }
    }

    /// The key.
    pub fn key(&self) -> Result<ActionKey, CanonicalError> {
        let Self { version, program, cache_version, params, inputs, env, seed, platform, salt, outs } = self;
        let parts = KeyParts {
            program,
            cache_version: *cache_version,
            params,
            inputs,
            env,
            seed: *seed,
            platform,
            salt,
            outs: outs.clone(),
        };
        key(*version, &parts)
    }
}

/// Fields in the order of their names, as the canonical encoding has them.
fn key(version: u32, parts: &KeyParts<'_>) -> Result<ActionKey, CanonicalError> {
    let KeyParts { program, cache_version, params, inputs, env, seed, platform, salt, outs } = parts;
    let texts = |texts: &BTreeMap<String, String>, fields: &mut Encoder| {
        texts.iter().for_each(|(name, text)| fields.text(name, Some(text)));
        Ok(())
    };
    let encoded = Encoder::object(|fields| {
        fields.number("cache-version", u64::from(*cache_version));
        fields.map("env", |fields| texts(env, fields))?;
        fields.map("inputs", |ports| {
            for (port, bound) in *inputs {
                ports.list(port, |items| {
                    for KeyInput { name, artifact_type, role, digest } in bound {
                        items.item(|fields| {
                            fields.text("digest", Some(&digest.to_string()));
                            fields.text("name", Some(name));
                            fields.text("role", role.as_deref());
                            fields.text("type", Some(artifact_type));
                            Ok(())
                        })?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        // Left out where there are none, as before there were any.
        if !outs.is_empty() {
            fields.list("outs", |items| {
                outs.iter().for_each(|out| items.text_item(out));
                Ok(())
            })?;
        }
        fields.value("params", params)?;
        fields.map("platform", |fields| texts(platform, fields))?;
        fields.text("program", Some(program));
        fields.text("salt", Some(salt));
        fields.number("seed", *seed);
        fields.number("stagewright-action", u64::from(version));
        Ok(())
    })?;
    Ok(ActionKey(Digest::of(&encoded)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What the key is, by its definition: the digest of a value.
    fn defined(material: &KeyMaterial) -> Digest {
        let KeyMaterial { version, program, cache_version, params, inputs, env, seed, platform, salt, outs } =
            material;
        let inputs: BTreeMap<_, Vec<_>> = inputs
            .iter()
            .map(|(port, bound)| {
                let encode = |KeyInput { name, artifact_type, role, digest }: &KeyInput| {
                    json!({ "name": name, "type": artifact_type, "role": role, "digest": digest })
                };
                (port, bound.iter().map(encode).collect())
            })
            .collect();
        let mut value = json!({
            "stagewright-action": version,
            "program": program,
            "cache-version": cache_version,
            "params": params,
            "inputs": inputs,
            "env": env,
            "seed": seed,
            "platform": platform,
            "salt": salt,
        });
        if !outs.is_empty() {
            value["outs"] = json!(outs);
        }
        Digest::of_value(&value).unwrap()
    }

    fn input() -> impl Strategy<Value = KeyInput> {
        (".{0,4}", "[a-z/]{0,6}", prop::option::of("[a-z]{0,4}"), any::<u8>()).prop_map(
            |(name, artifact_type, role, content)| KeyInput {
                name,
                artifact_type,
                role,
                digest: Digest::of(&[content]),
            },
        )
    }

    proptest! {
        #[test]
        fn a_key_is_the_digest_of_its_material(
            program in ".{0,6}",
            numbers in any::<(u32, u32, u64)>(),
            texts in prop::collection::btree_map(".{0,3}", ".{0,4}", 0..3),
            inputs in prop::collection::btree_map(".{0,3}", prop::collection::vec(input(), 0..3), 0..3),
            outs in prop::collection::btree_set(".{0,4}", 0..3),
            (x, y) in any::<(f32, i64)>(),
        ) {
            let (version, cache_version, seed) = numbers;
            let material = KeyMaterial {
                version,
                program: program.clone(),
                cache_version,
                params: json!({ "x": x, "list": [y, null, true, { "b": program, "a": 1.0 }] }),
                inputs,
                env: texts.clone(),
                seed,
                platform: texts,
                salt: program,
                outs,
            };
            prop_assert_eq!(material.key().unwrap().0, defined(&material));
        }
    }
}
