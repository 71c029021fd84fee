//! Many images in memory at the contract's size.

use std::num::NonZeroUsize;

use rayon::prelude::*;

use crate::{Dataset, DatasetError, Preprocess};

/// Images decoded together per progress report and thread.
const CHUNK_PER_THREAD: usize = 64;

/// Images decoded once and held at the contract's size, 8 bits a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Height and width of every image.
    pub size: [usize; 2],
    /// `n × height × width × 3` values, image by image, row by row.
    pub pixels: Vec<u8>,
    /// Label of each image.
    pub labels: Vec<i64>,
    /// Id of each image's sample.
    pub ids: Vec<String>,
}

impl Decoded {
    /// Decodes and resizes the samples `indices`, in that order, on the threads of the current rayon pool.
    /// `progress` is told how many are done, from the calling thread; its error stops the work and is returned.
    ///
    /// # Errors
    /// [`DatasetError`] of the first sample that can't be read or decoded, or [`DatasetError::Memory`].
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn load<E: From<DatasetError>>(
        dataset: &Dataset,
        contract: &Preprocess,
        indices: &[usize],
        mut progress: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Self, E> {
        let [height, width] = contract.size;
        let stride = height * width * 3;
        let bytes = stride.saturating_mul(indices.len());
        let mut pixels = Vec::new();
        pixels.try_reserve_exact(bytes).map_err(|_| DatasetError::Memory {
            images: indices.len(),
            height,
            width,
            bytes,
        })?;
        pixels.resize(bytes, 0);

        let chunk = CHUNK_PER_THREAD * rayon::current_num_threads();
        let mut done = 0;
        progress(0)?;
        for (indices, pixels) in indices.chunks(chunk).zip(pixels.chunks_mut(chunk * stride)) {
            // The first failing sample in order, so that the error does not depend on threads.
            let failed = indices
                .par_iter()
                .zip(pixels.par_chunks_exact_mut(stride))
                .map(|(&index, out)| {
                    let image = dataset.image(index)?;
                    contract.resize_into(&image.pixels, [image.height, image.width], out);
                    Ok(())
                })
                .collect::<Vec<Result<(), DatasetError>>>();
            for result in failed {
                result?;
            }
            done += indices.len() as u64;
            progress(done)?;
        }
        Ok(Self {
            size: contract.size,
            pixels,
            labels: indices.iter().map(|&index| dataset.samples[index].label as i64).collect(),
            ids: indices.iter().map(|&index| dataset.samples[index].id.clone()).collect(),
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

    /// Pixels of image `i`: `height × width × 3` values.
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn image(&self, i: usize) -> &[u8] {
        let stride = self.size[0] * self.size[1] * 3;
        &self.pixels[i * stride..(i + 1) * stride]
    }

    /// Image `i` as a network's input: `[3, height, width]`, normalized by the contract.
    ///
    /// # Panics
    /// If `i` is out of range or `out` has not `3 × height × width` values.
    pub fn normalized(&self, i: usize, contract: &Preprocess, out: &mut [f32]) {
        contract.table().apply(self.image(i), out);
    }

    /// Images `indices` as one input `[indices.len(), 3, height, width]`, on the threads of the current rayon pool.
    ///
    /// # Panics
    /// If an index is out of range or `out` has another length.
    pub fn normalized_batch(&self, indices: &[usize], contract: &Preprocess, out: &mut [f32]) {
        let Some(stride) = NonZeroUsize::new(self.size[0] * self.size[1] * 3) else { return };
        assert_eq!(out.len(), indices.len() * stride.get(), "one input per index");
        let table = contract.table();
        out.par_chunks_exact_mut(stride.get())
            .zip(indices)
            .for_each(|(out, &index)| table.apply(self.image(index), out));
    }
}
