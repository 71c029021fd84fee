//! From pixels to a network's input: the policy, then the contract.

use std::cell::RefCell;

use rayon::prelude::*;

use crate::{DatasetError, Image, Preprocess, TrainingImages};

use super::{Drawn, Draws, Policy, drawn::apply_all, frame::Frame, resample::Tap};

/// What a draw depends on. The same key gives the same image, whatever thread or order it is made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleKey {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the epoch.
    pub epoch: u64,
    /// Number of the sample; it must mean the same sample in every epoch.
    pub sample: u64,
}

/// Buffers that are used again from image to image, so that once they have grown nothing as large as an image is
/// allocated (except where the contract has to resize).
#[derive(Default)]
pub struct Scratch {
    pub(super) pixels: [Vec<u8>; 2],
    pub(super) work: Work,
    drawn: Vec<Drawn>,
}

/// Buffers inside one transform.
#[derive(Default)]
pub(super) struct Work {
    /// A row of RGB pixels.
    pub row: Vec<u8>,
    /// A row of values between rows.
    pub line: Vec<f32>,
    /// Neighbours on the horizontal axis.
    pub taps: Vec<Tap>,
    /// Shares of pixels in an area.
    pub weights: Vec<f32>,
    /// First value, first weight and number of weights of an area.
    pub spans: Vec<(usize, usize, usize)>,
    /// An image with a frame, spread over 64 bits a pixel.
    pub grid: Vec<u64>,
}

/// Applies a policy and the contract to images.
pub struct Augmenter<'a> {
    policy: &'a Policy,
    contract: &'a Preprocess,
    /// The contract's value of each byte, for red, green and blue.
    tables: [[f32; 256]; 3],
}

impl<'a> Augmenter<'a> {
    /// An augmenter of this policy and contract.
    ///
    /// # Errors
    /// If a param of the policy is out of range.
    pub fn new(policy: &'a Policy, contract: &'a Preprocess) -> Result<Self, DatasetError> {
        policy.check()?;
        Ok(Self { policy, contract, tables: value_tables(contract) })
    }

    /// What the policy does to the image of this key and size (width, height in pixels).
    pub fn draw(&self, key: SampleKey, width: usize, height: usize) -> Vec<Drawn> {
        let mut drawn = Vec::new();
        self.policy.draw(&mut Draws::new(key.seed, key.epoch, key.sample), width, height, &mut drawn);
        drawn
    }

    /// The image after the policy, before the contract.
    pub fn augment(&self, image: &Image, key: SampleKey, scratch: &mut Scratch) -> Image {
        apply_all(&self.draw(key, image.width, image.height), image, scratch)
    }

    /// Draws for the key, applies the policy to RGB pixels (row after row, `3·width·height` bytes), then the contract's
    /// resize and normalization, and writes `[3, height, width]` of the contract into `out`.
    ///
    /// A crop without padding that is larger than the image is made as small as the image;
    /// [`Policy::check_size`] finds such a policy.
    ///
    /// # Panics
    /// If `pixels` or `out` have another length.
    pub fn apply(
        &self,
        pixels: &[u8],
        width: usize,
        height: usize,
        key: SampleKey,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let [to_height, to_width] = self.contract.size;
        assert_eq!(out.len(), 3 * to_width * to_height, "an input of [3, {to_height}, {to_width}]");
        let mut drawn = std::mem::take(&mut scratch.drawn);
        self.policy.draw(&mut Draws::new(key.seed, key.epoch, key.sample), width, height, &mut drawn);
        // Holes that come last are cut into the finished input: their colour needs no way through the tables.
        let last_size = drawn.iter().fold((width, height), |size, step| step.size_after(size));
        let (steps, holes) = match drawn.split_last() {
            Some((Drawn::Dropout(plan), steps)) if last_size == (to_width, to_height) => (steps, Some(plan)),
            _ => (drawn.as_slice(), None),
        };
        let mut frame = Frame::new(pixels, width, height, scratch);
        steps.iter().for_each(|step| frame.apply(step));
        if frame.size() == (to_width, to_height) {
            frame.write_planes(&self.tables, holes, out);
        } else {
            let resized = self.contract.resize(&frame.into_image());
            Frame::new(&resized.pixels, to_width, to_height, scratch).write_planes(&self.tables, None, out);
        }
        scratch.drawn = drawn;
    }
}

/// The contract's normalization of every byte in every channel, computed by the contract itself.
fn value_tables(contract: &Preprocess) -> [[f32; 256]; 3] {
    let ramp: Vec<u8> = (0..=255u8).flat_map(|value| [value; 3]).collect();
    let mut planes = [0.0; 3 * 256];
    contract.table().apply(&ramp, &mut planes);
    std::array::from_fn(|channel| std::array::from_fn(|value| planes[256 * channel + value]))
}

/// Augments many images at once on rayon's threads: image `indices[i]` of `images` becomes row `i` of `out`
/// (`[n, 3, height, width]` of the contract). The index inside `images` is the sample of the key, so a row depends on
/// (seed, epoch, index) alone.
///
/// # Errors
/// [`DatasetError`] of an image that can't be decoded any more.
///
/// # Panics
/// If `out` has another length, or an index is out of range.
pub fn augment_batch(
    augmenter: &Augmenter<'_>,
    images: &TrainingImages,
    indices: &[usize],
    seed: u64,
    epoch: u64,
    out: &mut [f32],
) -> Result<(), DatasetError> {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    let length = 3 * augmenter.contract.size[0] * augmenter.contract.size[1];
    assert_eq!(out.len(), indices.len() * length, "an input of [{}, 3, height, width]", indices.len());
    out.par_chunks_exact_mut(length).zip(indices).try_for_each(|(out, index)| {
        let key = SampleKey { seed, epoch, sample: *index as u64 };
        images.with(*index, |image| {
            SCRATCH.with_borrow_mut(|scratch| {
                augmenter.apply(&image.pixels, image.width, image.height, key, scratch, out);
            });
        })
    })
}
