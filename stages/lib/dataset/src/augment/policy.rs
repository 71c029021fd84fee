//! The augmentation policy: what is done to training images, in order.

use std::{collections::BTreeSet, fs, path::Path};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DatasetError;

use super::{Drawn, Draws, Transform};

/// The `format` of a policy file that this release reads and writes.
pub const POLICY_FORMAT: &str = "stagewright/policy@1";

/// The transforms of training images in order, every param written out. Validation and test images get none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Always [`POLICY_FORMAT`].
    pub format: String,
    /// The transforms.
    pub train: Vec<Transform>,
}

impl Policy {
    /// A policy of these transforms.
    ///
    /// # Errors
    /// If a param is out of range; the message names the transform, its index, the param, the value and what is allowed.
    pub fn new(train: Vec<Transform>) -> Result<Self, DatasetError> {
        let policy = Self { format: POLICY_FORMAT.to_owned(), train };
        policy.check()?;
        Ok(policy)
    }

    /// A policy that leaves images as they are.
    pub fn identity() -> Self {
        Self { format: POLICY_FORMAT.to_owned(), train: Vec::new() }
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// If it can't be read, or is not a policy that this release knows.
    pub fn load(path: &Path) -> Result<Self, DatasetError> {
        let bytes = fs::read(path).map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
        Self::parse(&bytes).map_err(|error| error.named(path.display()))
    }

    /// Reads the text of a policy file.
    ///
    /// # Errors
    /// If it is not a policy that this release knows.
    pub fn parse(bytes: &[u8]) -> Result<Self, DatasetError> {
        /// Only the field that says how the others are to be read.
        #[derive(Deserialize)]
        struct Header {
            format: Option<String>,
        }
        let header: Header = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        match header.format.as_deref() {
            Some(POLICY_FORMAT) => {}
            Some(other) => {
                let reason = format!("its format is `{other}`, and this release reads `{POLICY_FORMAT}`");
                return Err(invalid(reason));
            }
            None => {
                return Err(invalid(format!("it has no `format`; a policy says `{POLICY_FORMAT}` there")));
            }
        }
        let policy: Self = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        policy.check()?;
        Ok(policy)
    }

    /// Checks the params of all transforms.
    pub(super) fn check(&self) -> Result<(), DatasetError> {
        for (index, transform) in self.train.iter().enumerate() {
            transform
                .check()
                .map_err(|problem| invalid(format!("{}: {problem}", place(index, transform))))?;
        }
        Ok(())
    }

    /// Checks that every crop fits whatever an image of `width`×`height` pixels can have become before it.
    ///
    /// # Errors
    /// If one does not. [`Drawn`] would make such a crop as small as the image.
    pub fn check_size(&self, width: usize, height: usize) -> Result<(), DatasetError> {
        let mut sizes = BTreeSet::from([(width, height)]);
        for (index, transform) in self.train.iter().enumerate() {
            if let Transform::RandomCrop(crop) = transform
                && let Some((wide, high)) =
                    sizes.iter().find(|size| crop.p > 0.0 && !crop.fits(size.0, size.1))
            {
                return Err(invalid(format!(
                    "{}: a part of {}×{} pixels (height×width) can't be cut out of an image of {high}×{wide} pixels; make it \
                         smaller, set `padding`, or turn `pad-if-needed` on",
                    place(index, transform),
                    crop.height,
                    crop.width,
                )));
            }
            sizes = sizes.into_iter().flat_map(|size| transform.sizes_after(size)).collect();
        }
        Ok(())
    }

    /// What makes little sense about the policy for images of the contract's height and width; for people to read.
    pub fn doubts(&self, [height, width]: [usize; 2]) -> Vec<String> {
        let mut doubts = Vec::new();
        let mut sizes = BTreeSet::from([(width, height)]);
        for (index, transform) in self.train.iter().enumerate() {
            let place = place(index, transform);
            if transform.probability() <= 0.0 {
                doubts.push(format!("{place}: `p` is 0, so it is never applied"));
                continue;
            }
            let oblong = sizes.iter().find(|(width, height)| width != height);
            match (transform, oblong) {
                (Transform::Transpose(_), Some((width, height))) => {
                    let rest = &self.train[index + 1..];
                    if !rest
                        .iter()
                        .any(|later| matches!(later, Transform::RandomResizedCrop(crop) if crop.p >= 1.0))
                    {
                        doubts.push(format!(
                            "{place}: turns {height}×{width} pixels (height×width) into {width}×{height}; the contract's resize to \
                             {height}×{width} distorts the image afterwards"
                        ));
                    }
                }
                (Transform::ShiftScaleRotate(params), _) if params.is_idle() => {
                    doubts.push(format!("{place}: all limits are 0, so it changes nothing"));
                }
                _ => {}
            }
            if self.train[..index].iter().any(|earlier| {
                earlier.name() == transform.name()
                    && matches!(
                        transform,
                        Transform::HorizontalFlip(_) | Transform::VerticalFlip(_) | Transform::Transpose(_)
                    )
            }) {
                doubts.push(format!("{place}: is there twice; two flips of one kind cancel out"));
            }
            if let Transform::RandomCrop(crop) = transform
                && sizes.iter().all(|size| *size == (crop.width, crop.height))
                && crop.padding == 0
            {
                doubts
                    .push(format!("{place}: cuts out the whole image, so it changes nothing; set `padding`"));
            }
            sizes = sizes.into_iter().flat_map(|size| transform.sizes_after(size)).collect();
        }
        if let Some((wide, high)) =
            sizes.iter().find(|size| **size != (width, height) && **size != (height, width))
        {
            doubts.push(format!(
                "the policy can end with {high}×{wide} pixels (height×width), which the contract scales once more, to {height}×{width}"
            ));
        }
        doubts
    }

    /// Draws what is done to one image of `width`×`height` pixels. `drawn` is emptied first.
    pub fn draw(&self, draws: &mut Draws, width: usize, height: usize, drawn: &mut Vec<Drawn>) {
        drawn.clear();
        let mut size = (width, height);
        for transform in &self.train {
            if let Some(step) = transform.draw(draws, size.0, size.1) {
                size = step.size_after(size);
                drawn.push(step);
            }
        }
    }
}

/// A transform of a policy as people find it again.
fn place(index: usize, transform: &Transform) -> String {
    format!("transform {} ({})", index + 1, transform.name())
}

fn invalid(reason: String) -> DatasetError {
    DatasetError::Document { name: "the augmentation policy".to_owned(), reason }
}
