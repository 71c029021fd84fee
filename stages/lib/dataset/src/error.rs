//! What can go wrong with a dataset or a contract, and whose fault it is.

use std::{io, path::PathBuf};

use stagewright_sdk::StageFault;

/// Why a dataset or a document that belongs to it can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file or folder is missing or unreadable.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is in none of the layouts that can be read.
    #[error("{} is not a dataset of images: {reason}", path.display())]
    Layout {
        /// The dataset's folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// A binary dataset file (CIFAR-10, IDX) is not what its name says.
    #[error("{} is damaged: {reason}", path.display())]
    Binary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// One image can't be decoded.
    #[error("image {id} can't be decoded: {reason}")]
    Image {
        /// Id of the sample.
        id: String,
        /// Why.
        reason: String,
    },
    /// A crop of the policy is larger than an image.
    #[error("image {id} has {height}×{width} pixels (height×width): {reason}")]
    Unfit {
        /// Id of the sample.
        id: String,
        /// Its height.
        height: usize,
        /// Its width.
        width: usize,
        /// Which crop does not fit.
        reason: String,
    },
    /// A JSON document (contract, policy) is not valid.
    #[error("{name} is not valid: {reason}")]
    Document {
        /// Path of the file, or what it is when it comes without a path.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Dataset and contract have different classes.
    #[error("the dataset has other classes than the preprocessing contract: {reason}")]
    Classes {
        /// The first differences.
        reason: String,
    },
    /// The decoded images do not fit into memory.
    #[error(
        "{images} images of {height}×{width} pixels need {bytes} bytes of memory, which this machine does not give"
    )]
    Memory {
        /// Number of images.
        images: usize,
        /// Their height.
        height: usize,
        /// Their width.
        width: usize,
        /// Bytes in all.
        bytes: usize,
    },
}

impl DatasetError {
    /// What to do about it, where that can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::Layout { hint, .. } => Some(hint.clone()),
            Self::Binary { .. } => {
                Some("fetch the file again and compare its checksum with its source's".to_owned())
            }
            Self::Image { .. } => {
                let hint = "mend or remove the file; data-stats with `on-corrupt: skip` leaves such files out of every split";
                Some(hint.to_owned())
            }
            Self::Unfit { .. } => {
                Some("put a random-resized-crop before it, or turn `pad-if-needed` on".to_owned())
            }
            Self::Document { .. } => None,
            Self::Classes { .. } => {
                Some("run data-stats on this dataset, or take the contract that was made from it".to_owned())
            }
            Self::Memory { .. } => {
                Some("use a smaller `size` in data-stats, fewer images, or more memory".to_owned())
            }
        }
    }

    /// The same error with the name of the file it was read from.
    #[must_use]
    pub fn named(self, name: impl std::fmt::Display) -> Self {
        match self {
            Self::Document { reason, .. } => Self::Document { name: name.to_string(), reason },
            other => other,
        }
    }
}

impl From<DatasetError> for StageFault {
    fn from(error: DatasetError) -> Self {
        let message = error.to_string();
        let hint = error.hint();
        let fault = match &error {
            // A dataset that is not there is the pipeline's mistake; one that can't be read is the machine's.
            DatasetError::Read { source, .. } if source.kind() != io::ErrorKind::NotFound => {
                Self::environment(message)
            }
            DatasetError::Memory { .. } => Self::environment(message),
            _ => Self::user(message),
        };
        match hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }
}
