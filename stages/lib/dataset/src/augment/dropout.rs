//! Holes in the image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    check::{self, Problem},
    random::Draws,
};

/// Fills random rectangles; they may overlap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(extend("x-source" = "Albumentations 2.0.8, CoarseDropout without its inpainting"))]
pub struct CoarseDropout {
    /// Fewest and most holes.
    #[schemars(inner(range(min = 1, max = 1024)))]
    pub num_holes_range: [usize; 2],
    /// Bounds of a hole's height: as a fraction of the image's, or, where the upper bound is 1 or more, in whole pixels.
    #[schemars(inner(range(min = 0.0)), extend("x-unit" = "fraction"))]
    pub hole_height_range: [f64; 2],
    /// Bounds of a hole's width, in the same measure as the height.
    #[schemars(inner(range(min = 0.0)), extend("x-unit" = "fraction"))]
    pub hole_width_range: [f64; 2],
    /// What is put into a hole.
    pub fill: Fill,
    /// Probability that the transform is applied.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "fraction"))]
    pub p: f64,
}

impl Default for CoarseDropout {
    fn default() -> Self {
        Self {
            num_holes_range: [1, 2],
            hole_height_range: [0.1, 0.2],
            hole_width_range: [0.1, 0.2],
            fill: Fill::default(),
            p: 0.5,
        }
    }
}

/// What is put into a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fill {
    /// One colour.
    Color {
        /// Red, green, blue, 0 to 255.
        rgb: [u8; 3],
    },
    /// A random value for each channel of each pixel.
    Random,
    /// One random colour for each hole.
    RandomUniform,
}

impl Default for Fill {
    fn default() -> Self {
        Self::Color { rgb: [0; 3] }
    }
}

/// A rectangle inside an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Hole {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// What a [`CoarseDropout`] drew.
#[derive(Debug, Clone, PartialEq)]
pub struct DropoutPlan {
    /// The holes, in the order in which they are filled.
    pub holes: Vec<Hole>,
    /// What is put into them.
    pub fill: Fill,
    /// Seed of random fills.
    pub fill_seed: u64,
}

/// Most holes that one image may get.
const MAX_HOLES: usize = 1024;

impl CoarseDropout {
    pub(super) fn check(&self) -> Result<(), Problem> {
        let [fewest, most] = self.num_holes_range;
        if fewest < 1 || most < fewest || most > MAX_HOLES {
            let value = format!("[{fewest}, {most}]");
            let allowed = format!("it must be two numbers in order, between 1 and {MAX_HOLES}");
            return Err(Problem::new("num-holes-range", value, allowed));
        }
        let sides =
            [("hole-height-range", self.hole_height_range), ("hole-width-range", self.hole_width_range)];
        for (param, bounds) in sides {
            check::range(param, bounds, 0.0, check::MAX_SIDE as f64)?;
            if bounds[1] >= 1.0 && bounds.iter().any(|bound| bound.fract() != 0.0) {
                let allowed =
                    "a range that reaches 1 is in pixels and takes whole numbers; a fraction stays below 1";
                return Err(Problem::range(param, bounds, allowed));
            }
        }
        if self.in_pixels() != (self.hole_width_range[1] >= 1.0) {
            let allowed = format!(
                "`hole-height-range` is [{}, {}]: both are in pixels or both are fractions below 1",
                self.hole_height_range[0], self.hole_height_range[1]
            );
            return Err(Problem::range("hole-width-range", self.hole_width_range, allowed));
        }
        check::probability(self.p)
    }

    fn in_pixels(&self) -> bool {
        self.hole_height_range[1] >= 1.0
    }

    /// Draws for an image of `width`×`height` pixels.
    pub fn draw(&self, draws: &mut Draws, width: usize, height: usize) -> DropoutPlan {
        let count = draws.integer(self.num_holes_range[0], self.num_holes_range[1]);
        let mut length = |bounds: [f64; 2], side: usize| {
            if self.in_pixels() {
                let [low, high] = bounds.map(|bound| (bound as usize).min(side));
                draws.integer(low, high)
            } else {
                ((side as f64 * draws.uniform(bounds)) as usize).min(side)
            }
        };
        let mut holes: Vec<_> = (0..count)
            .map(|_| {
                let high = length(self.hole_height_range, height);
                let wide = length(self.hole_width_range, width);
                Hole { x: 0, y: 0, width: wide, height: high }
            })
            .collect();
        for hole in &mut holes {
            hole.y = draws.integer(0, height - hole.height);
            hole.x = draws.integer(0, width - hole.width);
        }
        DropoutPlan { holes, fill: self.fill, fill_seed: draws.word() }
    }
}

impl DropoutPlan {
    /// Calls `paint(x, y, colour)` for the pixels of all holes.
    pub(super) fn each_pixel(&self, mut paint: impl FnMut(usize, usize, [u8; 3])) {
        let mut draws = Draws::from_word(self.fill_seed);
        for hole in &self.holes {
            let mut color = match self.fill {
                Fill::Color { rgb } => rgb,
                Fill::Random | Fill::RandomUniform => std::array::from_fn(|_| draws.byte()),
            };
            for y in hole.y..hole.y + hole.height {
                for x in hole.x..hole.x + hole.width {
                    if self.fill == Fill::Random {
                        color = std::array::from_fn(|_| draws.byte());
                    }
                    paint(x, y, color);
                }
            }
        }
    }
}
