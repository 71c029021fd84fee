//! A network, a contract and images, small enough for a test.

use std::{fs, path::Path};

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use stagewright_model::{Checkpoint, decode};
use stagewright_sdk::{
    StageFault,
    testing::{Bench, Outcome},
};
use stagewright_stage_prune::Prune;
use tempfile::TempDir;

pub const CLASSES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A file of `tests/fixtures/prune`, made by the script there.
pub fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/prune")).join(name))
        .unwrap()
}

pub fn expected() -> Value {
    serde_json::from_slice(&fixture("expected.json")).unwrap()
}

/// The script's residual network.
pub fn network() -> Checkpoint {
    Checkpoint {
        architecture: serde_json::from_slice(&fixture("network.json")).unwrap(),
        tensors: decode(&fixture("network.safetensors")).unwrap(),
        preprocess: contract(0.0),
        training: json!({ "stage": "train", "epochs": 7 }),
    }
}

pub fn contract(validation_fraction: f64) -> Vec<u8> {
    let contract = json!({
        "format": "stagewright/preprocess@1", "size": [16, 16], "resize": "squash", "interpolation": "bilinear",
        "channels": "rgb", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "classes": CLASSES,
        "splits": { "validation-fraction": validation_fraction, "test-fraction": 0.0, "seed": 0 }
    });
    serde_json::to_vec(&contract).unwrap()
}

/// Image `number` of a class, by the script's formula.
fn draw(label: u32, number: u32) -> RgbImage {
    RgbImage::from_fn(16, 16, |x, y| {
        Rgb([0, 1, 2].map(|c| (40 * label + (7 * x + 13 * y + 29 * c + 31 * number) % 64) as u8))
    })
}

/// A folder with `model/`, `preprocess.json` and `data/`: eight training and four validation images of each class.
pub struct Place {
    pub folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.model(&network());
        fs::write(place.path("preprocess.json"), contract(0.0)).unwrap();
        for (label, class) in (0..).zip(CLASSES) {
            for (part, numbers) in [("train", 4..12), ("validation", 0..4)] {
                let folder = place.path("data").join(part).join(class);
                fs::create_dir_all(&folder).unwrap();
                for number in numbers {
                    draw(label, number).save(folder.join(format!("{number:02}.png"))).unwrap();
                }
            }
        }
        place
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub fn model(&self, checkpoint: &Checkpoint) {
        checkpoint.save(&self.path("model")).unwrap();
    }

    pub fn bench(&self, params: Value) -> Bench {
        let run = tempfile::Builder::new().prefix("run").tempdir_in(self.folder.path()).unwrap().keep();
        Bench::new(run, params)
            .input("model", "model", "model/checkpoint", self.path("model"))
            .input("data", "data", "dataset/images", self.path("data"))
            .input("preprocess", "preprocess", "preprocess", self.path("preprocess.json"))
    }

    pub fn run(&self, params: Value) -> Result<Outcome, StageFault> {
        self.bench(params).run::<Prune>()
    }

    /// Message and hint of a run that must fail.
    pub fn refused(&self, params: Value) -> (String, String) {
        let fault = self.run(params).err().unwrap().0;
        (fault.message, fault.hint.unwrap_or_default())
    }
}
