//! A transform whose dice have fallen.

use crate::Image;

use super::{
    augmenter::Scratch,
    crop::{CropPlan, ResizedCropPlan},
    dropout::DropoutPlan,
    frame::Frame,
    geometric::AffinePlan,
};

/// What is done to one image: no chance is left in it, except that random fills carry their seed.
#[derive(Debug, Clone, PartialEq)]
pub enum Drawn {
    /// A part scaled to a size.
    ResizedCrop(ResizedCropPlan),
    /// A part, possibly reaching over the edge.
    Crop(CropPlan),
    /// Rows and columns exchanged.
    Transpose,
    /// Left and right exchanged.
    HorizontalFlip,
    /// Top and bottom exchanged.
    VerticalFlip,
    /// Moved, scaled, turned.
    Affine(AffinePlan),
    /// Colours shifted.
    HueSaturationValue {
        /// Shift of the hue, in steps of two degrees.
        hue: f64,
        /// Shift of the saturation, in steps of 1/255.
        saturation: f64,
        /// Shift of the value, in steps of 1/255.
        value: f64,
    },
    /// `alpha · x + brightness · (255 or the image's mean)`.
    BrightnessContrast {
        /// Factor, 1 for no change.
        alpha: f64,
        /// Brightness, 0 for no change.
        brightness: f64,
        /// Brightness is relative to 255, not to the image's mean.
        by_max: bool,
        /// Both are weakened until no value is cut off.
        safe: bool,
    },
    /// Holes.
    Dropout(DropoutPlan),
}

impl Drawn {
    /// Applies it. The image must have the size it was drawn for.
    pub fn apply(&self, image: &Image) -> Image {
        apply_all(std::slice::from_ref(self), image, &mut Scratch::default())
    }

    /// Size (width, height) afterwards of an image of this size before.
    pub fn size_after(&self, (width, height): (usize, usize)) -> (usize, usize) {
        match self {
            Self::ResizedCrop(plan) => (plan.size[1], plan.size[0]),
            Self::Crop(plan) => (plan.width, plan.height),
            Self::Transpose => (height, width),
            _ => (width, height),
        }
    }
}

/// Applies several in order.
pub(super) fn apply_all(drawn: &[Drawn], image: &Image, scratch: &mut Scratch) -> Image {
    let mut frame = Frame::new(&image.pixels, image.width, image.height, scratch);
    drawn.iter().for_each(|step| frame.apply(step));
    frame.into_image()
}
