//! What the tests share: fixtures and the dataset that the fixtures' script makes as well.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use stagewright_dataset::Image;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/quantize").join(name)
}

/// Numbers of onnxruntime's quantization tool.
pub fn reference() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("onnxruntime.json")).unwrap()).unwrap()
}

pub fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

/// The images of the script: six a class for training, four for validation, 8×8.
pub fn dataset(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    for (label, class) in ["a", "b", "c", "d"].iter().enumerate() {
        for (split, indices) in [("train", 0..6), ("validation", 6..10)] {
            let class = data.join(split).join(class);
            std::fs::create_dir_all(&class).unwrap();
            for index in indices {
                let pixels =
                    (0..8 * 8 * 3).map(|i| ((i * (7 + 5 * label) + 31 * index) % 251) as u8).collect();
                let image = Image::from_pixels(8, 8, pixels).unwrap();
                std::fs::write(class.join(format!("{index}.png")), image.to_png()).unwrap();
            }
        }
    }
    data
}

pub fn contract(folder: &Path) -> PathBuf {
    let contract = serde_json::json!({
        "format": "stagewright/preprocess@1",
        "size": [8, 8],
        "resize": "squash",
        "interpolation": "bilinear",
        "channels": "rgb",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.25, 0.2, 0.3],
        "classes": ["a", "b", "c", "d"],
        "splits": { "validation-fraction": 0.0, "test-fraction": 0.0, "seed": 0 },
    });
    let path = folder.join("preprocess.json");
    std::fs::write(&path, contract.to_string()).unwrap();
    path
}
