//! Changes of colour, pixel by pixel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    check::{self, Problem},
    random::Draws,
    view::Lut,
};

/// Shifts hue, saturation and value.
///
/// In OpenCV's 8-bit HSV: hue 0 to 179 (two degrees each) goes round, saturation and value 0 to 255 end at the ends.
/// Grey pixels stay grey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(extend("x-source" = "Albumentations 2.0.8, HueSaturationValue"))]
pub struct HueSaturationValue {
    /// Bounds of the shift of the hue, in steps of two degrees.
    #[schemars(inner(range(min = -180.0, max = 180.0)))]
    pub hue_shift_limit: [f64; 2],
    /// Bounds of the shift of the saturation, in steps of 1/255.
    #[schemars(inner(range(min = -255.0, max = 255.0)))]
    pub sat_shift_limit: [f64; 2],
    /// Bounds of the shift of the value, in steps of 1/255.
    #[schemars(inner(range(min = -255.0, max = 255.0)))]
    pub val_shift_limit: [f64; 2],
    /// Probability that the transform is applied.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "fraction"))]
    pub p: f64,
}

impl Default for HueSaturationValue {
    fn default() -> Self {
        let [hue_shift_limit, sat_shift_limit, val_shift_limit] =
            [[-20.0, 20.0], [-30.0, 30.0], [-20.0, 20.0]];
        Self { hue_shift_limit, sat_shift_limit, val_shift_limit, p: 0.5 }
    }
}

impl HueSaturationValue {
    pub(super) fn check(&self) -> Result<(), Problem> {
        check::range("hue-shift-limit", self.hue_shift_limit, -180.0, 180.0)?;
        check::range("sat-shift-limit", self.sat_shift_limit, -255.0, 255.0)?;
        check::range("val-shift-limit", self.val_shift_limit, -255.0, 255.0)?;
        check::probability(self.p)
    }

    /// Draws the shifts of hue, saturation and value.
    pub fn draw(&self, draws: &mut Draws) -> [f64; 3] {
        [self.hue_shift_limit, self.sat_shift_limit, self.val_shift_limit].map(|limit| draws.uniform(limit))
    }
}

/// Changes contrast (around black) and brightness: `(1 + contrast) · x + brightness`, cut to 0…255 and to whole numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(extend("x-source" = "Albumentations 2.0.8, RandomBrightnessContrast"))]
pub struct RandomBrightnessContrast {
    /// Bounds of the brightness, relative to 255 or to the image's mean.
    #[schemars(inner(range(min = -1.0, max = 1.0)), extend("x-unit" = "fraction"))]
    pub brightness_limit: [f64; 2],
    /// Bounds of the contrast.
    #[schemars(inner(range(min = -1.0, max = 10.0)), extend("x-unit" = "fraction"))]
    pub contrast_limit: [f64; 2],
    /// Brightness is relative to 255; off, it is relative to the mean of the image.
    pub brightness_by_max: bool,
    /// Weaken both so that no value has to be cut off.
    pub ensure_safe_range: bool,
    /// Probability that the transform is applied.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "fraction"))]
    pub p: f64,
}

impl Default for RandomBrightnessContrast {
    fn default() -> Self {
        Self {
            brightness_limit: [-0.2, 0.2],
            contrast_limit: [-0.2, 0.2],
            brightness_by_max: true,
            ensure_safe_range: false,
            p: 0.5,
        }
    }
}

impl RandomBrightnessContrast {
    pub(super) fn check(&self) -> Result<(), Problem> {
        check::range("brightness-limit", self.brightness_limit, -1.0, 1.0)?;
        check::range("contrast-limit", self.contrast_limit, -1.0, 10.0)?;
        check::probability(self.p)
    }

    /// Draws the factor (1 plus the contrast) and the brightness as given by the limits.
    pub fn draw(&self, draws: &mut Draws) -> [f64; 2] {
        let alpha = 1.0 + draws.uniform(self.contrast_limit);
        [alpha, draws.uniform(self.brightness_limit)]
    }
}

/// The largest change in the direction of (`alpha`, `beta`) under which 0…255 stays inside 0…255.
pub(super) fn safe_range(alpha: f64, beta: f64) -> (f64, f64) {
    if alpha > 0.0 {
        let beta = beta.clamp(0.0, 255.0);
        (alpha.min((255.0 - beta) / 255.0), beta)
    } else {
        let beta = beta.min(255.0);
        (alpha.max(-beta / 255.0), beta)
    }
}

/// `alpha · x + beta` for each x, in f32, cut to 0…255 and then to a whole number.
pub(super) fn linear_table(alpha: f64, beta: f64) -> Lut {
    let (alpha, beta) = (alpha as f32, beta as f32);
    std::array::from_fn(|value| (value as f32 * alpha + beta).clamp(0.0, 255.0) as u8)
}
