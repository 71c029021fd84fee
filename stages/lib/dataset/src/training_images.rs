//! Training images as an augmentation policy wants them: at their original sizes.

use std::{fs, sync::Arc};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::{Dataset, DatasetError, Image, augment::Policy};

/// Images decoded together per progress report and thread.
const CHUNK_PER_THREAD: usize = 64;

/// The images a network learns from, each at its original size: a crop of a random size has to see all pixels there are.
///
/// They are held decoded in memory as long as they take at most half of what is free; beyond that each is decoded again
/// whenever it is asked for.
#[derive(Debug)]
pub struct TrainingImages {
    /// Label of each image.
    pub labels: Vec<i64>,
    /// Id of each image's sample.
    pub ids: Vec<String>,
    /// SHA-256 over sizes and pixels of all images, in order.
    pub digest: [u8; 32],
    pixels: Pixels,
}

#[derive(Debug)]
enum Pixels {
    Held(Vec<Image>),
    Decoded { dataset: Arc<Dataset>, indices: Vec<usize> },
}

impl TrainingImages {
    /// Decodes the samples `indices`, in that order, on the threads of the current rayon pool, and checks each against
    /// `policy`. `memory` is the limit in bytes that the process has to keep; 0 for none. `progress` is told how many are
    /// done, from the calling thread; its error stops the work and is returned.
    ///
    /// # Errors
    /// [`DatasetError`] of the first sample that can't be read or decoded, or that a crop of the policy does not fit into.
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn load<E: From<DatasetError>>(
        dataset: &Arc<Dataset>,
        indices: &[usize],
        policy: &Policy,
        memory: u64,
        mut progress: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Self, E> {
        let room = room(memory);
        let chunk = CHUNK_PER_THREAD * rayon::current_num_threads();
        let (mut held, mut bytes) = (Some(Vec::with_capacity(indices.len())), 0u64);
        let mut digest = Sha256::new();
        let mut done = 0;
        progress(0)?;
        for indices in indices.chunks(chunk) {
            // The first failing sample in order, so that the error does not depend on threads.
            let images: Vec<Result<Image, DatasetError>> =
                indices.par_iter().map(|&index| checked(dataset, index, policy)).collect();
            for image in images {
                let image = image?;
                digest.update((image.height as u64).to_le_bytes());
                digest.update((image.width as u64).to_le_bytes());
                digest.update(&image.pixels);
                bytes += image.pixels.len() as u64;
                if bytes > room {
                    held = None;
                }
                if let Some(held) = &mut held {
                    held.push(image);
                }
            }
            done += indices.len() as u64;
            progress(done)?;
        }
        let pixels = match held {
            Some(images) => Pixels::Held(images),
            None => Pixels::Decoded { dataset: Arc::clone(dataset), indices: indices.to_vec() },
        };
        Ok(Self {
            labels: indices.iter().map(|&index| dataset.samples[index].label as i64).collect(),
            ids: indices.iter().map(|&index| dataset.samples[index].id.clone()).collect(),
            digest: digest.finalize().into(),
            pixels,
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True when there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// True when every image has to be decoded each time, because all of them would not fit into memory.
    pub fn decodes_each_time(&self) -> bool {
        matches!(self.pixels, Pixels::Decoded { .. })
    }

    /// Hands image `i` to `look`.
    ///
    /// # Errors
    /// [`DatasetError`] when the file is not what it was when it was loaded.
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn with<T>(&self, i: usize, look: impl FnOnce(&Image) -> T) -> Result<T, DatasetError> {
        match &self.pixels {
            Pixels::Held(images) => Ok(look(&images[i])),
            Pixels::Decoded { dataset, indices } => Ok(look(&dataset.image(indices[i])?)),
        }
    }
}

fn checked(dataset: &Dataset, index: usize, policy: &Policy) -> Result<Image, DatasetError> {
    let image = dataset.image(index)?;
    policy.check_size(image.width, image.height).map_err(|error| DatasetError::Unfit {
        id: dataset.samples[index].id.clone(),
        height: image.height,
        width: image.width,
        reason: error.to_string(),
    })?;
    Ok(image)
}

/// Bytes that decoded images may take: half of the limit or of what the machine has free, whichever is less.
fn room(limit: u64) -> u64 {
    let free = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let rest = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    let limit = if limit == 0 { u64::MAX } else { limit };
    free.unwrap_or(u64::MAX).min(limit) / 2
}
