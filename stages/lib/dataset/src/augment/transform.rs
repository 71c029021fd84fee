//! The transforms by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    check::{self, Problem},
    color::{HueSaturationValue, RandomBrightnessContrast},
    crop::{RandomCrop, RandomResizedCrop},
    drawn::Drawn,
    dropout::CoarseDropout,
    geometric::{Flip, ShiftScaleRotate},
    random::Draws,
};

/// One step of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "transform", rename_all = "kebab-case")]
pub enum Transform {
    /// Cut out a random part and scale it to a fixed size.
    RandomResizedCrop(RandomResizedCrop),
    /// Cut out a random part of a fixed size, after padding if asked for.
    RandomCrop(RandomCrop),
    /// Exchange rows and columns: mirror at the main diagonal.
    Transpose(Flip),
    /// Exchange left and right.
    HorizontalFlip(Flip),
    /// Exchange top and bottom.
    VerticalFlip(Flip),
    /// Move, scale and turn around the centre.
    ShiftScaleRotate(ShiftScaleRotate),
    /// Shift hue, saturation and value.
    HueSaturationValue(HueSaturationValue),
    /// Change brightness and contrast.
    RandomBrightnessContrast(RandomBrightnessContrast),
    /// Fill random rectangles.
    CoarseDropout(CoarseDropout),
}

impl Transform {
    /// The name as written in a pipeline.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RandomResizedCrop(_) => "random-resized-crop",
            Self::RandomCrop(_) => "random-crop",
            Self::Transpose(_) => "transpose",
            Self::HorizontalFlip(_) => "horizontal-flip",
            Self::VerticalFlip(_) => "vertical-flip",
            Self::ShiftScaleRotate(_) => "shift-scale-rotate",
            Self::HueSaturationValue(_) => "hue-saturation-value",
            Self::RandomBrightnessContrast(_) => "random-brightness-contrast",
            Self::CoarseDropout(_) => "coarse-dropout",
        }
    }

    /// Probability that the transform is applied to an image.
    pub fn probability(&self) -> f64 {
        match self {
            Self::RandomResizedCrop(params) => params.p,
            Self::RandomCrop(params) => params.p,
            Self::Transpose(params) | Self::HorizontalFlip(params) | Self::VerticalFlip(params) => params.p,
            Self::ShiftScaleRotate(params) => params.p,
            Self::HueSaturationValue(params) => params.p,
            Self::RandomBrightnessContrast(params) => params.p,
            Self::CoarseDropout(params) => params.p,
        }
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        match self {
            Self::RandomResizedCrop(params) => params.check(),
            Self::RandomCrop(params) => params.check(),
            Self::Transpose(params) | Self::HorizontalFlip(params) | Self::VerticalFlip(params) => {
                check::probability(params.p)
            }
            Self::ShiftScaleRotate(params) => params.check(),
            Self::HueSaturationValue(params) => params.check(),
            Self::RandomBrightnessContrast(params) => params.check(),
            Self::CoarseDropout(params) => params.check(),
        }
    }

    /// Draws what is done to an image of `width`×`height` pixels; `None` where chance leaves it as it is.
    ///
    /// The params must have been checked, as those of a [`Policy`](super::Policy) are.
    pub fn draw(&self, draws: &mut Draws, width: usize, height: usize) -> Option<Drawn> {
        if !draws.chance(self.probability()) {
            return None;
        }
        Some(match self {
            Self::RandomResizedCrop(params) => Drawn::ResizedCrop(params.draw(draws, width, height)),
            Self::RandomCrop(params) => Drawn::Crop(params.draw(draws, width, height)),
            Self::Transpose(_) => Drawn::Transpose,
            Self::HorizontalFlip(_) => Drawn::HorizontalFlip,
            Self::VerticalFlip(_) => Drawn::VerticalFlip,
            Self::ShiftScaleRotate(params) => Drawn::Affine(params.draw(draws, width, height)),
            Self::HueSaturationValue(params) => {
                let [hue, saturation, value] = params.draw(draws);
                Drawn::HueSaturationValue { hue, saturation, value }
            }
            Self::RandomBrightnessContrast(params) => {
                let [alpha, brightness] = params.draw(draws);
                let (by_max, safe) = (params.brightness_by_max, params.ensure_safe_range);
                Drawn::BrightnessContrast { alpha, brightness, by_max, safe }
            }
            Self::CoarseDropout(params) => Drawn::Dropout(params.draw(draws, width, height)),
        })
    }

    /// Every size (width, height) that an image of this size can have afterwards.
    pub(super) fn sizes_after(&self, (width, height): (usize, usize)) -> Vec<(usize, usize)> {
        let changed = match self {
            Self::RandomResizedCrop(params) => (params.size[1], params.size[0]),
            Self::RandomCrop(params) => (params.width, params.height),
            Self::Transpose(_) => (height, width),
            _ => (width, height),
        };
        match self.probability() {
            p if p <= 0.0 => vec![(width, height)],
            p if p >= 1.0 => vec![changed],
            _ => vec![(width, height), changed],
        }
    }
}
