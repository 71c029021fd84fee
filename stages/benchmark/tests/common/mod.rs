//! What the tests share: the fixtures, the images that the fixtures' script draws as well, and a short run of the stage.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use stagewright_dataset::Image;
use stagewright_measure::child;
use stagewright_sdk::{Context, Manifest, Result, Stage, testing::Bench};
use stagewright_stage_benchmark::{Benchmark, Machine, Params, Schedule, run_for};

pub const CLASSES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Test images of a class.
pub const PER_CLASS: usize = 20;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/benchmark").join(name)
}

/// What ONNX Runtime says in Python.
pub fn reference() -> Value {
    serde_json::from_slice(&fs::read(fixture("onnxruntime.json")).unwrap()).unwrap()
}

/// Pixels of image `index` of a class, by the rule of the fixtures' script.
pub fn pixels(label: usize, index: usize) -> Vec<u8> {
    let pixel = |i: usize| {
        let texture = (i * (7 + 5 * label)) % 128;
        let noise = (i * i * 31 + i * 17 * index + 101 * index * index + 13 * label) % 127;
        (texture + noise) as u8
    };
    (0..8 * 8 * 3).map(pixel).collect()
}

/// A dataset with a part of that name, 20 images a class.
pub fn dataset(folder: &Path, part: &str) -> PathBuf {
    let data = folder.join(format!("data-{part}"));
    for (label, class) in CLASSES.iter().enumerate() {
        let class = data.join(part).join(class);
        fs::create_dir_all(&class).unwrap();
        for index in 0..PER_CLASS {
            let image = Image::from_pixels(8, 8, pixels(label, index)).unwrap();
            fs::write(class.join(format!("{index:02}.png")), image.to_png()).unwrap();
        }
    }
    data
}

pub fn contract() -> Value {
    json!({
        "format": "stagewright/preprocess@1",
        "size": [8, 8],
        "resize": "squash",
        "interpolation": "bilinear",
        "channels": "rgb",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.25, 0.2, 0.3],
        "classes": CLASSES,
        "splits": { "validation-fraction": 0.0, "test-fraction": 0.0, "seed": 0 },
    })
}

/// A run with everything bound but the models.
pub fn bench(folder: &Path, contract: &Value, params: Value) -> Bench {
    let preprocess = folder.join("preprocess.json");
    fs::write(&preprocess, contract.to_string()).unwrap();
    Bench::new(folder.join("run"), params)
        .input("data", "images", "dataset/images", dataset(folder, "test"))
        .input("preprocess", "stats", "preprocess", preprocess)
}

/// The stage with so short a schedule that its figures mean nothing, but are all there.
pub struct Short;

impl Stage for Short {
    type Params = Params;

    fn manifest() -> Manifest {
        Benchmark::manifest()
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        // The test's own program can't be started for a measurement.
        child::PROGRAM.get_or_init(|| env!("CARGO_BIN_EXE_stagewright-stage-benchmark").into());
        let time = Duration::from_millis(20);
        let schedule = Schedule { warm_up: time, turn: time, least_rounds: 3, most_rounds: 4 };
        // A machine without GPUs, whatever this one has.
        run_for(context, &params, schedule, &Machine::default())
    }
}
