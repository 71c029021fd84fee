//! What a stage program says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A stage program's self-description: everything the plan needs to check a stage before anything runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// Name as written after `uses:`, for example `data-stats`.
    pub name: String,
    /// Version of the program, semantic versioning.
    pub version: String,
    /// Part of every action key of this stage. Raise it when the same inputs and params may give another result.
    pub cache_version: u32,
    /// One line for `stage list`.
    pub summary: String,
    /// Input ports by name.
    #[serde(default)]
    pub inputs: BTreeMap<String, Port>,
    /// Output ports by name. A required one is always written by a run that succeeds.
    #[serde(default)]
    pub outputs: BTreeMap<String, Port>,
    /// JSON Schema (2020-12, sub-schemas inline) of the params object. Besides the standard words it may carry
    /// `x-unit` (`bytes`, `ms`, `s`, `px`, `deg`, `fraction`, `percent`, `pp`) and `x-source` (where a default or rule
    /// comes from).
    pub params: Value,
    /// What a run wants when the pipeline does not say.
    #[serde(default)]
    pub resources: Resources,
    /// True when [`crate::Request::Probe`] gives platform properties or host facts; otherwise the host does not ask.
    #[serde(default)]
    pub probes: bool,
    /// How alike two runs of the same action are.
    #[serde(default)]
    pub determinism: Determinism,
    /// Metrics a run reports, name → what it means with its unit; `<variant>` stands for a name the pipeline gives.
    #[serde(default)]
    pub metrics: BTreeMap<String, String>,
}

/// One typed input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Port {
    /// Port type such as `dataset/images` or `model/onnx`. An input may list alternatives with `|`.
    #[serde(rename = "type")]
    pub artifact_type: String,
    /// One line for people.
    pub summary: String,
    /// An input that must be bound; an output that is always written.
    #[serde(default = "yes")]
    pub required: bool,
    /// Input that takes a list of artifacts.
    #[serde(default)]
    pub many: bool,
    /// For an output: the file or folder name inside the output folder, for example `model.onnx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Input that may not take data of role `test` (training and calibration).
    #[serde(default)]
    pub refuses_test_data: bool,
}

fn yes() -> bool {
    true
}

/// Resources of one run of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Resources {
    /// Processor cores; 0 asks for all of them.
    #[serde(default = "one")]
    pub cpus: u32,
    /// Bytes of main memory; 0 is unstated.
    #[serde(default)]
    pub memory: u64,
    /// Number of GPUs.
    #[serde(default)]
    pub gpus: u32,
    /// Wants the machine alone (measurements).
    #[serde(default)]
    pub exclusive: bool,
    /// Uses the network, which is closed to a run otherwise.
    #[serde(default)]
    pub network: bool,
}

fn one() -> u32 {
    1
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpus: 1, memory: 0, gpus: 0, exclusive: false, network: false }
    }
}

/// How alike two runs of the same action are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Determinism {
    /// The same bytes.
    Bitwise,
    /// The same metrics within 5 % of their value, times apart; bytes may differ.
    Tolerance,
    /// Measurements: nothing is promised.
    #[default]
    None,
}
