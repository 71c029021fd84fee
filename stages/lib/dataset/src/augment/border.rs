//! What lies outside an image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What pixels outside the image are taken to be. Names and meaning are OpenCV's; `abcd` stands for a row of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Border {
    /// The fill colour: `ffff|abcd|ffff`.
    #[default]
    Constant,
    /// The nearest edge pixel: `aaaa|abcd|dddd`.
    Replicate,
    /// Mirrored with the edge pixel repeated: `dcba|abcd|dcba`.
    Reflect,
    /// Mirrored at the edge pixel: `edcb|abcde|dcba`.
    #[serde(rename = "reflect-101")]
    Reflect101,
    /// Repeated: `abcd|abcd|abcd`.
    Wrap,
}

impl Border {
    /// The index inside `0..length` whose pixel stands at `index`, or `None` where the fill colour does.
    /// `length` must not be 0.
    pub fn locate(self, index: i64, length: usize) -> Option<usize> {
        let length = length as i64;
        if (0..length).contains(&index) {
            return Some(index as usize);
        }
        let inside = match self {
            Self::Constant => return None,
            Self::Replicate => index.clamp(0, length - 1),
            Self::Wrap => index.rem_euclid(length),
            Self::Reflect => {
                let at = index.rem_euclid(2 * length);
                at.min(2 * length - 1 - at)
            }
            Self::Reflect101 if length == 1 => 0,
            Self::Reflect101 => {
                let at = index.rem_euclid(2 * length - 2);
                at.min(2 * length - 2 - at)
            }
        };
        Some(inside as usize)
    }
}
