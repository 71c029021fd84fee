//! Image augmentation: what training images go through before the contract.
//!
//! The transforms, their params, defaults and rules are those of Albumentations 2.0.8 (with OpenCV 5 below it). Drawing
//! is apart from applying: [`Transform::draw`] turns a random stream into a [`Drawn`], and [`Drawn::apply`] is a plain
//! function of pixels. So each half can be held against the reference by itself: the same drawn numbers give the same
//! pixels (geometry and lookup tables to the bit, bilinear sampling within 1 of 255, the way through HSV within 2), and
//! the draws have the same distributions. The random streams themselves differ.
//!
//! An [`Augmenter`] joins a [`Policy`] and the preprocessing contract and fills a network's input. It moves as few bytes
//! as it can: flips, transposition and crops only change how the next step walks over the pixels, lookup tables are
//! joined with the normalization, and holes are cut into the finished input.

mod augmenter;
mod blend;
mod border;
mod check;
mod color;
mod crop;
mod drawn;
mod dropout;
mod frame;
mod geometric;
mod hsv;
mod policy;
mod random;
mod resample;
mod transform;
mod view;
mod warp;

pub use augmenter::{Augmenter, SampleKey, Scratch, augment_batch};
pub use border::Border;
pub use color::{HueSaturationValue, RandomBrightnessContrast};
pub use crop::{CropPlan, PadPosition, RandomCrop, RandomResizedCrop, ResizedCropPlan};
pub use drawn::Drawn;
pub use dropout::{CoarseDropout, DropoutPlan, Fill, Hole};
pub use geometric::{AffinePlan, Flip, ShiftScaleRotate};
pub use policy::{POLICY_FORMAT, Policy};
pub use random::Draws;
pub use resample::{Sampling, Scaling};
pub use transform::Transform;
