//! A dataset: its classes, its samples, and the bytes and pixels of each.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{DatasetError, Image, Preprocess, cifar, folders, idx};

/// Part of the dataset that a sample's folder or file says it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// In `train/` (or a training file of a binary dataset).
    Train,
    /// In `validation/` or `val/`.
    Validation,
    /// In `test/` (or a test file of a binary dataset).
    Test,
    /// The dataset has no parts; the contract's rule makes them.
    Unsplit,
}

/// One labelled image.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Path relative to the dataset's folder with `/`, or `<file>#<index>` inside a binary file.
    pub id: String,
    /// Index into [`Dataset::classes`].
    pub label: usize,
    /// Part that the folder says.
    pub part: Part,
    pub(crate) source: Source,
}

impl Sample {
    /// The sample's own file; `None` inside a binary file.
    pub fn file(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => Some(path),
            Source::Record { .. } => None,
        }
    }
}

/// Where a sample's bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A file of its own.
    File(PathBuf),
    /// Raw pixels inside a binary file that is held in memory.
    Record { blob: Arc<[u8]>, offset: usize, layout: RecordLayout },
}

/// How the raw pixels of a record lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordLayout {
    pub width: usize,
    pub height: usize,
    /// 1 (grey) or 3 (a red plane, then green, then blue).
    pub planes: usize,
}

impl RecordLayout {
    pub(crate) fn bytes(self) -> usize {
        self.width * self.height * self.planes
    }

    fn decode(self, raw: &[u8]) -> Image {
        let area = self.width * self.height;
        let mut pixels = Vec::with_capacity(area * 3);
        for at in 0..area {
            for channel in 0..3 {
                pixels.push(raw[(channel % self.planes) * area + at]);
            }
        }
        Image { width: self.width, height: self.height, pixels }
    }
}

/// The samples of a dataset folder.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Folder it was opened from.
    pub root: PathBuf,
    /// Class names, sorted bytewise; the index is the label. Every class has at least one sample.
    pub classes: Vec<String>,
    /// Samples, sorted by id (bytewise).
    pub samples: Vec<Sample>,
    /// Files inside the class folders that were not taken for images, as ids; hidden files are not among them.
    pub ignored: Vec<String>,
}

impl Dataset {
    /// Lists the samples of a folder; reads no image yet (binary files are read whole: CIFAR-10 takes 180 MB of memory).
    ///
    /// Layouts: `<class>/*.{jpg,jpeg,png}`; the same below `train/`, `test/`, `validation/` (or `val/`); CIFAR-10 binary
    /// (`data_batch_*.bin`, `test_batch.bin`, `batches.meta.txt`); IDX (`train-images-idx3-ubyte`, … each also `.gz`).
    /// Folders inside a class folder are walked too, links are followed, hidden files and empty folders are passed over.
    ///
    /// # Errors
    /// [`DatasetError::Read`] when the folder can't be read, [`DatasetError::Layout`] when it is in none of the layouts,
    /// [`DatasetError::Binary`] when a binary file is damaged.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let read = |source| DatasetError::Read { path: path.to_owned(), source };
        if !fs::metadata(path).map_err(read)?.is_dir() {
            return Err(DatasetError::Layout {
                path: path.to_owned(),
                reason: "it is a file, not a folder".to_owned(),
                hint: "unpack an archive first and give the folder".to_owned(),
            });
        }
        let mut dataset = if cifar::is_here(path) {
            cifar::open(path)?
        } else if idx::is_here(path) {
            idx::open(path)?
        } else {
            folders::open(path)?
        };
        dataset.samples.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(dataset)
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// True when there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// A sample's bytes: its file as it is, or the raw pixels of its record (planes of red, green, blue; or grey).
    ///
    /// # Errors
    /// [`DatasetError::Read`].
    ///
    /// # Panics
    /// If `index` is out of range.
    pub fn bytes(&self, index: usize) -> Result<Vec<u8>, DatasetError> {
        match &self.samples[index].source {
            Source::File(path) => {
                fs::read(path).map_err(|source| DatasetError::Read { path: path.clone(), source })
            }
            Source::Record { blob, offset, layout } => Ok(blob[*offset..*offset + layout.bytes()].to_vec()),
        }
    }

    /// A sample's pixels at their own size.
    ///
    /// # Errors
    /// [`DatasetError::Read`], or [`DatasetError::Image`] when the file is not a whole JPEG or PNG image.
    ///
    /// # Panics
    /// If `index` is out of range.
    pub fn image(&self, index: usize) -> Result<Image, DatasetError> {
        self.decode(index, &self.bytes(index)?)
    }

    /// Pixels out of bytes that [`Dataset::bytes`] gave for the same index.
    ///
    /// # Errors
    /// [`DatasetError::Image`].
    ///
    /// # Panics
    /// If `index` is out of range.
    pub fn decode(&self, index: usize, bytes: &[u8]) -> Result<Image, DatasetError> {
        let sample = &self.samples[index];
        match &sample.source {
            Source::File(_) => {
                Image::decode(bytes).map_err(|reason| DatasetError::Image { id: sample.id.clone(), reason })
            }
            Source::Record { layout, .. } if bytes.len() == layout.bytes() => Ok(layout.decode(bytes)),
            Source::Record { layout, .. } => Err(DatasetError::Image {
                id: sample.id.clone(),
                reason: format!("its record has {} bytes instead of {}", bytes.len(), layout.bytes()),
            }),
        }
    }

    /// Size (height, width) that is known without decoding: that of a record in a binary file.
    pub fn record_size(&self, index: usize) -> Option<[usize; 2]> {
        match &self.samples[index].source {
            Source::File(_) => None,
            Source::Record { layout, .. } => Some([layout.height, layout.width]),
        }
    }

    /// Number of samples of each class among `indices`.
    pub fn class_counts(&self, indices: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for &index in indices {
            counts[self.samples[index].label] += 1;
        }
        counts
    }

    /// Checks that labels mean the same in the dataset as in the contract.
    ///
    /// # Errors
    /// [`DatasetError::Classes`], naming what is missing, additional, or in another order.
    pub fn check_classes(&self, contract: &Preprocess) -> Result<(), DatasetError> {
        if self.classes == contract.classes {
            return Ok(());
        }
        let without = |from: &[String], other: &[String]| -> Vec<String> {
            from.iter()
                .filter(|class| !other.contains(class))
                .map(|class| format!("`{class}`"))
                .take(5)
                .collect()
        };
        let missing = without(&contract.classes, &self.classes);
        let additional = without(&self.classes, &contract.classes);
        let mut reasons = Vec::new();
        if !missing.is_empty() {
            reasons.push(format!("only in the contract: {}", missing.join(", ")));
        }
        if !additional.is_empty() {
            reasons.push(format!("only in the dataset: {}", additional.join(", ")));
        }
        if reasons.is_empty() {
            reasons.push("the same names in another order".to_owned());
        }
        Err(DatasetError::Classes { reason: reasons.join("; ") })
    }
}
