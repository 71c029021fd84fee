//! A small dataset that can be learned in a second.
#![allow(clippy::unwrap_used, dead_code)]

use std::{fs, path::Path};

use serde_json::{Value, json};
use stagewright_dataset::Image;

pub const SIDE: usize = 12;

/// Numbers that look random, from a linear congruential generator.
pub struct Noise(pub u64);

impl Noise {
    pub fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 56) as u8
    }
}

/// Stripes across, stripes down, and a checkerboard, in noise: `train/<class>` with `count` images each and `test/<class>` with
/// half as many.
pub fn dataset(folder: &Path, count: usize) {
    let mut noise = Noise(1);
    for (part, count) in [("train", count), ("test", count / 2)] {
        for (class, name) in ["across", "checked", "down"].iter().enumerate() {
            let folder = folder.join(part).join(name);
            fs::create_dir_all(&folder).unwrap();
            for index in 0..count {
                let pixel = |at: usize| {
                    let (y, x) = (at / SIDE / 2, at % SIDE / 2);
                    let on = match class {
                        0 => y % 2,
                        1 => (x + y) % 2,
                        _ => x % 2,
                    };
                    let base = 90 + 60 * on as u8;
                    [(); 3].map(|()| base + noise.byte() / 4)
                };
                let pixels: Vec<u8> = (0..SIDE * SIDE).flat_map(pixel).collect();
                let image = Image::from_pixels(SIDE, SIDE, pixels).unwrap();
                fs::write(folder.join(format!("{index:03}.png")), image.to_png()).unwrap();
            }
        }
    }
}

/// The contract that goes with it.
pub fn contract() -> Value {
    json!({
        "format": "stagewright/preprocess@1",
        "size": [SIDE, SIDE],
        "resize": "squash",
        "interpolation": "bilinear",
        "channels": "rgb",
        "mean": [0.6, 0.6, 0.6],
        "std": [0.2, 0.2, 0.2],
        "classes": ["across", "checked", "down"],
        "splits": { "validation-fraction": 0.25, "test-fraction": 0.2, "seed": 0 },
    })
}

/// A training of a few seconds on the processor.
pub fn params() -> Value {
    json!({
        "architecture": { "kind": "resnet", "depths": [1, 1], "widths": [4, 8] },
        "epochs": 4,
        "batch-size": 8,
        "optimizer": { "kind": "adamw", "lr": 0.02 },
        "device": "cpu",
        "gradient-norms-every": 4,
    })
}

/// The same with some params replaced.
pub fn params_with(change: Value) -> Value {
    let mut params = params();
    for (name, value) in change.as_object().unwrap() {
        params[name] = value.clone();
    }
    params
}
