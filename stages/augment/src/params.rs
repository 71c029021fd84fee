//! The params of the stage.

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_dataset::augment::Transform;
use stagewright_sdk::{Result, StageFault};

/// Params of `augment`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Params {
    /// What is done to training images, in this order, for example `{ transform: horizontal-flip, p: 0.5 }`. Params that
    /// are left out have the defaults of Albumentations.
    #[serde(default)]
    pub transforms: Vec<Transform>,
    /// Rows of the preview sheet: images, spread over the classes.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 100))]
    pub preview_samples: usize,
    /// Columns of the preview sheet beside the original: draws for each image.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 50))]
    pub preview_draws: usize,
    /// Write a dataset of augmented images as well. Left out, it is off: `train` draws anew in every epoch, which is better.
    #[serde(default)]
    pub materialize: Option<Materialize>,
}

/// How a dataset of augmented images is written: `train/`, `validation/` and `test/` with a folder for each class.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Materialize {
    /// Augmented copies of each training image. Validation and test images are there once, as they are.
    #[schemars(range(min = 1, max = 1000))]
    pub copies: usize,
    /// Keep each training image itself beside its copies.
    #[serde(default)]
    pub originals: bool,
}

fn eight() -> usize {
    8
}

impl Params {
    /// Checks ranges that are not the policy's.
    pub(crate) fn check(&self) -> Result<()> {
        let copies = self.materialize.as_ref().map_or(1, |wanted| wanted.copies);
        let ranges = [
            ("preview-samples", self.preview_samples, 100),
            ("preview-draws", self.preview_draws, 50),
            ("materialize.copies", copies, 1000),
        ];
        for (name, value, most) in ranges {
            if !(1..=most).contains(&value) {
                return Err(StageFault::user(format!("`{name}` is {value}, but it must be 1 to {most}")));
            }
        }
        Ok(())
    }
}
