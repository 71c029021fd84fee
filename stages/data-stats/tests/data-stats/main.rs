//! The stage against values that numpy, Pillow and scipy gave (`make.py` beside the fixtures), and what it says to bad
//! input.
#![allow(clippy::unwrap_used, missing_docs)]

mod findings;
mod measures;
mod params;
mod program;
mod splits;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use stagewright_dataset::Image;
use stagewright_sdk::{
    Gate, Result,
    testing::{Bench, Outcome},
};
use stagewright_stage_data_stats::DataStats;

pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/data-stats")
}

/// What the reference gave.
pub fn expected() -> Value {
    serde_json::from_str(&fs::read_to_string(fixtures().join("expected.json")).unwrap()).unwrap()
}

/// A run that is kept with its folder.
pub struct Run {
    pub outcome: Outcome,
    _folder: tempfile::TempDir,
}

impl Run {
    pub fn json(&self, port: &str) -> Value {
        serde_json::from_slice(&fs::read(self.outcome.path(port)).unwrap()).unwrap()
    }

    pub fn text(&self, port: &str) -> String {
        fs::read_to_string(self.outcome.path(port)).unwrap()
    }

    pub fn gate(&self) -> &Gate {
        assert_eq!(self.outcome.result.gates.len(), 1);
        assert_eq!(self.outcome.result.gates[0].name, "leakage");
        &self.outcome.result.gates[0]
    }
}

pub fn run(data: &Path, params: Value) -> Result<Run> {
    let folder = tempfile::tempdir().unwrap();
    let outcome =
        Bench::new(folder.path(), params).input("data", "data", "dataset/images", data).run::<DataStats>()?;
    Ok(Run { outcome, _folder: folder })
}

/// The stage on the fixture's dataset, the whole of its `train/` for training, as the reference takes it.
pub fn fixture_run(mut params: Value) -> Result<Run> {
    params["validation-fraction"] = json!(0.0);
    run(&fixtures().join("data"), params)
}

/// Writes an image of noise that depends on `seed` alone.
pub fn put(root: &Path, id: &str, size: [usize; 2], seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let pixels = (0..size[0] * size[1] * 3).map(|_| next()).collect();
    write(root, id, &Image { width: size[1], height: size[0], pixels }.to_png());
}

pub fn write(root: &Path, id: &str, bytes: &[u8]) {
    let path = root.join(id);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

pub fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}
