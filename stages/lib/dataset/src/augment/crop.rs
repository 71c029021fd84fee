//! Crops: a random part of the image, scaled back or padded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    border::Border,
    check::{self, Problem},
    random::Draws,
    resample::{Sampling, Scaling},
};

/// Cuts out a random part of the image and scales it to a fixed size.
///
/// Up to ten times an area (uniform) and an aspect ratio (uniform in its logarithm) are drawn, until the part fits; else
/// the largest part in the middle with an allowed ratio is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-source" = "Albumentations 2.0.8, RandomResizedCrop"))]
pub struct RandomResizedCrop {
    /// Height and width of the result.
    #[schemars(inner(range(min = 1, max = 16384)), extend("x-unit" = "px"))]
    pub size: [usize; 2],
    /// Lower and upper bound of the part's area relative to the image's.
    #[serde(default = "default_scale")]
    #[schemars(inner(range(min = 0.0, max = 1.0)), extend("x-unit" = "fraction"))]
    pub scale: [f64; 2],
    /// Lower and upper bound of the part's width divided by its height; above 0.
    #[serde(default = "default_ratio")]
    #[schemars(inner(range(min = 0.0)))]
    pub ratio: [f64; 2],
    /// How the part is scaled.
    #[serde(default)]
    pub interpolation: Sampling,
    /// Average over areas instead where the part is larger than the result, which avoids moiré.
    #[serde(default)]
    pub area_for_downscale: bool,
    /// Probability that the transform is applied.
    #[serde(default = "always")]
    #[schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "fraction"))]
    pub p: f64,
}

fn default_scale() -> [f64; 2] {
    [0.08, 1.0]
}

fn default_ratio() -> [f64; 2] {
    [0.75, 4.0 / 3.0]
}

fn always() -> f64 {
    1.0
}

/// What a [`RandomResizedCrop`] drew.
#[derive(Debug, Clone, PartialEq)]
pub struct ResizedCropPlan {
    /// Left edge, in pixels.
    pub x: usize,
    /// Upper edge, in pixels.
    pub y: usize,
    /// Width of the part.
    pub width: usize,
    /// Height of the part.
    pub height: usize,
    /// Height and width of the result.
    pub size: [usize; 2],
    /// How the part is scaled.
    pub scaling: Scaling,
}

impl RandomResizedCrop {
    pub(super) fn check(&self) -> Result<(), Problem> {
        check::side("size", self.size[0])?;
        check::side("size", self.size[1])?;
        check::range("scale", self.scale, 0.0, 1.0)?;
        check::ordered("ratio", self.ratio)?;
        if self.ratio[0] <= 0.0 {
            return Err(Problem::range("ratio", self.ratio, "a ratio of width to height is above 0"));
        }
        check::probability(self.p)
    }

    /// Draws for an image of `width`×`height` pixels.
    pub fn draw(&self, draws: &mut Draws, width: usize, height: usize) -> ResizedCropPlan {
        let area = (width * height) as f64;
        let areas = self.scale.map(|scale| scale * area);
        let logs = self.ratio.map(f64::ln);
        for _ in 0..10 {
            let area = draws.uniform(areas);
            let ratio = draws.uniform(logs).exp();
            let wide = (area * ratio).sqrt().round_ties_even() as usize;
            let high = (area / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&wide) && (1..=height).contains(&high) {
                let y = start(height - high, draws.unit());
                let x = start(width - wide, draws.unit());
                return self.plan(x, y, wide, high);
            }
        }
        let ratio = width as f64 / height as f64;
        let (wide, high) = if ratio < self.ratio[0] {
            (width, (width as f64 / self.ratio[0]).round_ties_even() as usize)
        } else if ratio > self.ratio[1] {
            ((height as f64 * self.ratio[1]).round_ties_even() as usize, height)
        } else {
            (width, height)
        };
        let (wide, high) = (wide.clamp(1, width), high.clamp(1, height));
        self.plan((width - wide) / 2, (height - high) / 2, wide, high)
    }

    fn plan(&self, x: usize, y: usize, width: usize, height: usize) -> ResizedCropPlan {
        let shrinks = height > self.size[0] || width > self.size[1];
        let scaling = match self.interpolation {
            _ if shrinks && self.area_for_downscale => Scaling::Area,
            Sampling::Linear => Scaling::Linear,
            Sampling::Nearest => Scaling::Nearest,
        };
        ResizedCropPlan { x, y, width, height, size: self.size, scaling }
    }
}

/// The start of a part that leaves `room` pixels free, from a number in [0, 1).
fn start(room: usize, unit: f64) -> usize {
    (((room + 1) as f64 * unit) as usize).min(room)
}

/// Cuts out a random part of a fixed size, after padding if asked for.
///
/// `padding` adds pixels on every side first (the usual crop of small images: 32×32 out of an image padded by 4).
/// `pad-if-needed` adds them only where the image is smaller than the part. Without either, an image smaller than the
/// part is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-source" = "Albumentations 2.0.8, RandomCrop; `padding` is its Pad"))]
pub struct RandomCrop {
    /// Height of the part.
    #[schemars(range(min = 1, max = 16384), extend("x-unit" = "px"))]
    pub height: usize,
    /// Width of the part.
    #[schemars(range(min = 1, max = 16384), extend("x-unit" = "px"))]
    pub width: usize,
    /// Pixels added on each of the four sides before the crop.
    #[serde(default)]
    #[schemars(range(max = 16384), extend("x-unit" = "px"))]
    pub padding: usize,
    /// Pad an image that is smaller than the part up to its size. Excludes `padding`.
    #[serde(default)]
    pub pad_if_needed: bool,
    /// Where the image lies inside what `pad-if-needed` makes of it.
    #[serde(default)]
    pub pad_position: PadPosition,
    /// What the added pixels are.
    #[serde(default)]
    pub border_mode: Border,
    /// Red, green, blue (0 to 255) of added pixels with border mode `constant`.
    #[serde(default)]
    pub fill: [u8; 3],
    /// Probability that the transform is applied.
    #[serde(default = "always")]
    #[schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "fraction"))]
    pub p: f64,
}

/// Where an image lies inside its padded self. `top-left` means that the padding is at the bottom and on the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum PadPosition {
    #[default]
    Center,
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
    Random,
}

/// What a [`RandomCrop`] drew.
#[derive(Debug, Clone, PartialEq)]
pub struct CropPlan {
    /// Left edge relative to the image, in pixels; negative inside the padding.
    pub x: i64,
    /// Upper edge relative to the image, in pixels; negative inside the padding.
    pub y: i64,
    /// Width of the part.
    pub width: usize,
    /// Height of the part.
    pub height: usize,
    /// What lies outside the image.
    pub border: Border,
    /// Colour outside the image with [`Border::Constant`].
    pub fill: [u8; 3],
}

impl RandomCrop {
    pub(super) fn check(&self) -> Result<(), Problem> {
        check::side("height", self.height)?;
        check::side("width", self.width)?;
        if self.padding > check::MAX_SIDE {
            return Err(Problem::new(
                "padding",
                self.padding,
                format!("at most {} pixels are added", check::MAX_SIDE),
            ));
        }
        if self.padding > 0 && self.pad_if_needed {
            let allowed = "`pad-if-needed` is on too; give one of them";
            return Err(Problem::new("padding", self.padding, allowed));
        }
        check::probability(self.p)
    }

    /// Whether an image of this size can be cropped.
    pub(super) fn fits(&self, width: usize, height: usize) -> bool {
        let room = 2 * self.padding;
        self.pad_if_needed || (self.width <= width + room && self.height <= height + room)
    }

    /// Draws for an image of `width`×`height` pixels. Where the part does not fit, it is made as small as the image.
    pub fn draw(&self, draws: &mut Draws, width: usize, height: usize) -> CropPlan {
        let missing =
            |want: usize, have: usize| if self.pad_if_needed { want.saturating_sub(have) } else { 0 };
        let (down, right) = (missing(self.height, height), missing(self.width, width));
        let (top, left) = match self.pad_position {
            PadPosition::Center => (down / 2, right / 2),
            PadPosition::TopLeft => (0, 0),
            PadPosition::TopRight => (0, right),
            PadPosition::BottomLeft => (down, 0),
            PadPosition::BottomRight => (down, right),
            PadPosition::Random if down + right == 0 => (0, 0),
            PadPosition::Random => (draws.integer(0, down), draws.integer(0, right)),
        };
        let (padded_height, padded_width) =
            (height + down + 2 * self.padding, width + right + 2 * self.padding);
        let (high, wide) = (self.height.min(padded_height), self.width.min(padded_width));
        let y = start(padded_height - high, draws.unit());
        let x = start(padded_width - wide, draws.unit());
        CropPlan {
            x: x as i64 - (left + self.padding) as i64,
            y: y as i64 - (top + self.padding) as i64,
            width: wide,
            height: high,
            border: self.border_mode,
            fill: self.fill,
        }
    }
}
