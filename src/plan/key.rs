//! The action key: identity of everything that may change a stage's result.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::digest::{CanonicalError, Digest};

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

impl KeyMaterial {
    /// Gathers the material of an action. The destructuring has no `..`: a new field of [`Action`] does not compile until
    /// someone decides here whether it may change a result.
    pub fn new(action: &Action, inputs: BTreeMap<String, Vec<KeyInput>>, salt: &str) -> Self {
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
            retry: _,
            cache: _,
            frozen: _,
            continue_on_error: _,
        } = action;
        Self {
            version: KEY_VERSION,
            program: manifest.name.clone(),
            cache_version: manifest.cache_version,
            params: params.clone(),
            inputs,
            env: env.clone(),
            seed: *seed,
            platform: platform.properties.clone(),
            salt: salt.to_owned(),
            outs: outs.iter().map(Out::port).collect(),
        }
    }

    /// The key.
    pub fn key(&self) -> Result<ActionKey, CanonicalError> {
        let Self { version, program, cache_version, params, inputs, env, seed, platform, salt, outs } = self;
        let inputs: BTreeMap<_, Vec<_>> = inputs
            .iter()
            .map(|(port, bound)| {
                let encode = |KeyInput { name, artifact_type, role, digest }: &KeyInput| {
                    json!({ "name": name, "type": artifact_type, "role": role, "digest": digest })
                };
                (port, bound.iter().map(encode).collect())
            })
            .collect();
        let mut material = json!({
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
        // Left out where there are none, as before there were any.
        if !outs.is_empty() {
            material["outs"] = json!(outs);
        }
        Digest::of_value(&material).map(ActionKey)
    }
}
