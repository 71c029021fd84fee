//! Flips and affine motion.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    border::Border,
    check::{self, Problem},
    random::Draws,
    resample::Sampling,
};

/// A transform without params of its own: a flip or a transposition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Flip {
    /// Probability that the transform is applied.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "fraction"))]
    pub p: f64,
}

impl Default for Flip {
    fn default() -> Self {
        Self { p: 0.5 }
    }
}

/// Moves, scales and turns the image around its centre; the size stays.
///
/// Width and height are scaled independently. A positive angle turns counter-clockwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(extend("x-source" = "Albumentations 2.0.8, ShiftScaleRotate"))]
pub struct ShiftScaleRotate {
    /// Bounds of the shift relative to width and height; shifts are cut to whole pixels.
    #[schemars(inner(range(min = -1.0, max = 1.0)), extend("x-unit" = "fraction"))]
    pub shift_limit: [f64; 2],
    /// Bounds of the horizontal shift, in place of `shift-limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(inner(inner(range(min = -1.0, max = 1.0))), extend("x-unit" = "fraction"))]
    pub shift_limit_x: Option<[f64; 2]>,
    /// Bounds of the vertical shift, in place of `shift-limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(inner(inner(range(min = -1.0, max = 1.0))), extend("x-unit" = "fraction"))]
    pub shift_limit_y: Option<[f64; 2]>,
    /// Bounds of what is added to a scale of 1.
    #[schemars(inner(range(min = -0.99, max = 100.0)), extend("x-unit" = "fraction"))]
    pub scale_limit: [f64; 2],
    /// Bounds of the angle.
    #[schemars(extend("x-unit" = "deg"))]
    pub rotate_limit: [f64; 2],
    /// How pixels between pixels are made.
    pub interpolation: Sampling,
    /// What comes in from outside the image.
    pub border_mode: Border,
    /// Red, green, blue (0 to 255) outside the image with border mode `constant`.
    pub fill: [u8; 3],
    /// Probability that the transform is applied.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "fraction"))]
    pub p: f64,
}

impl Default for ShiftScaleRotate {
    fn default() -> Self {
        Self {
            shift_limit: [-0.0625, 0.0625],
            shift_limit_x: None,
            shift_limit_y: None,
            scale_limit: [-0.1, 0.1],
            rotate_limit: [-45.0, 45.0],
            interpolation: Sampling::Linear,
            border_mode: Border::Constant,
            fill: [0; 3],
            p: 0.5,
        }
    }
}

/// What a [`ShiftScaleRotate`] drew.
#[derive(Debug, Clone, PartialEq)]
pub struct AffinePlan {
    /// Shift to the right and down, in whole pixels.
    pub shift: [i64; 2],
    /// Scale of width and height.
    pub scale: [f64; 2],
    /// Angle in degrees, counter-clockwise.
    pub angle: f64,
    /// How pixels between pixels are made.
    pub sampling: Sampling,
    /// What lies outside the image.
    pub border: Border,
    /// Colour outside the image with [`Border::Constant`].
    pub fill: [u8; 3],
}

impl ShiftScaleRotate {
    pub(super) fn check(&self) -> Result<(), Problem> {
        check::range("shift-limit", self.shift_limit, -1.0, 1.0)?;
        check::range("shift-limit-x", self.shift_limit_x.unwrap_or_default(), -1.0, 1.0)?;
        check::range("shift-limit-y", self.shift_limit_y.unwrap_or_default(), -1.0, 1.0)?;
        // The scale is 1 plus the limit, and an image scaled to 0 is nothing.
        check::range("scale-limit", self.scale_limit, -0.99, 100.0)?;
        check::ordered("rotate-limit", self.rotate_limit)?;
        check::probability(self.p)
    }

    /// True if no draw can change an image.
    pub(super) fn is_idle(&self) -> bool {
        let still = |limit: [f64; 2]| limit == [0.0; 2];
        still(self.shift_limit_x.unwrap_or(self.shift_limit))
            && still(self.shift_limit_y.unwrap_or(self.shift_limit))
            && still(self.scale_limit)
            && still(self.rotate_limit)
    }

    /// Draws for an image of `width`×`height` pixels.
    pub fn draw(&self, draws: &mut Draws, width: usize, height: usize) -> AffinePlan {
        let mut shift = |limit: Option<[f64; 2]>, length: usize| {
            (draws.uniform(limit.unwrap_or(self.shift_limit)) * length as f64).trunc() as i64
        };
        let shift = [shift(self.shift_limit_x, width), shift(self.shift_limit_y, height)];
        let scales = self.scale_limit.map(|limit| 1.0 + limit);
        let scale = [draws.uniform(scales), draws.uniform(scales)];
        let angle = draws.uniform(self.rotate_limit);
        AffinePlan {
            shift,
            scale,
            angle,
            sampling: self.interpolation,
            border: self.border_mode,
            fill: self.fill,
        }
    }
}

impl AffinePlan {
    /// The way from a point of the result back to the image of `width`×`height` pixels, as two rows of three.
    ///
    /// Forward, a point p goes to c + t + R·S·(p − c), with the centre c = (width/2 − ½, height/2 − ½) and
    /// R = [[cos, sin], [−sin, cos]].
    pub(super) fn backward(&self, width: usize, height: usize) -> [[f64; 3]; 2] {
        let (sin, cos) = self.angle.to_radians().sin_cos();
        let [across, down] = self.scale;
        let center = [width as f64 / 2.0 - 0.5, height as f64 / 2.0 - 0.5];
        // S⁻¹·R⁻¹, applied to p − c − t.
        let rows = [[cos / across, -sin / across], [sin / down, cos / down]];
        let from = [center[0] + self.shift[0] as f64, center[1] + self.shift[1] as f64];
        [0, 1].map(|axis| {
            let [a, b] = rows[axis];
            [a, b, center[axis] - a * from[0] - b * from[1]]
        })
    }
}
