//! Image datasets and the preprocessing contract.
//!
//! [`Dataset`] lists the samples of a folder (class folders, split class folders, CIFAR-10 binary, IDX) and decodes them
//! to [`Image`]. [`Preprocess`] is the contract that `data-stats` writes and every later stage reads: size, resize,
//! mean, standard deviation, classes, and which sample belongs to which split. [`Decoded`] holds many images at the
//! contract's size. [`augment`] is what training images go through before the contract.
//!
//! ```no_run
//! use stagewright_dataset::{Dataset, DatasetError, Decoded, Preprocess};
//!
//! # fn main() -> Result<(), DatasetError> {
//! let dataset = Dataset::open("data/surfaces".as_ref())?;
//! let contract = Preprocess::load("preprocess.json".as_ref())?;
//! dataset.check_classes(&contract)?;
//! let splits = dataset.splits(&contract.splits);
//! let images = Decoded::load(&dataset, &contract, &splits.validation, |_done| Ok::<_, DatasetError>(()))?;
//! let mut input = vec![0.0; 3 * contract.size[0] * contract.size[1]];
//! images.normalized(0, &contract, &mut input);
//! # Ok(())
//! # }
//! ```

pub mod augment;
mod cifar;
mod dataset;
mod decoded;
mod error;
mod exif;
mod folders;
mod idx;
mod image;
mod inspect;
mod jpeg;
mod manifest;
mod merkle;
mod preprocess;
mod splits;
mod training_images;

pub use dataset::{Dataset, Part, Sample};
pub use decoded::Decoded;
pub use error::DatasetError;
pub use image::{Image, MAX_PIXELS};
pub use inspect::{ColorMode, Format, Inspection, inspect};
pub use manifest::SampleManifest;
pub use merkle::{leaf_hash, merkle_root};
pub use preprocess::{Channels, Interpolation, NormalizeTable, PREPROCESS_FORMAT, Preprocess, Resize};
pub use splits::{SplitRule, Splits, stratified};
pub use stagewright_resize::{Filter, resize_grey, resize_rgb};
pub use training_images::TrainingImages;
