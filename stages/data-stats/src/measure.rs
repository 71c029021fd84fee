//! One look at every sample: first its file, then its pixels.

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use stagewright_dataset::{ColorMode, Dataset, DatasetError, Format, Inspection, Preprocess, inspect};
use stagewright_sdk::{Context, Result};

use crate::{moments::Moments, phash::phash, quality::Quality};

/// Samples looked at together, per progress report and thread.
const CHUNK_PER_THREAD: usize = 64;

/// What a sample's file is.
#[derive(Debug, Clone)]
pub struct File {
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    /// Size in bytes.
    pub bytes: u64,
    /// Its header, or why there is none.
    pub header: Result<Inspection, String>,
}

/// What a sample's pixels are.
#[derive(Debug, Clone)]
pub struct Pixels {
    /// Height and width.
    pub size: [usize; 2],
    /// SHA-256 of the decoded pixels.
    pub digest: [u8; 32],
    /// Perceptual hash.
    pub phash: u64,
    /// Sums over its pixels at the contract's size.
    pub moments: Moments,
    /// Measures at its own size.
    pub quality: Quality,
}

/// Reads every file and its header. A file that can't be read at all ends the stage: the machine, not the data, is at
/// fault.
pub fn files(context: &mut Context, dataset: &Dataset) -> Result<Vec<File>> {
    let look = |index: usize| -> Result<File, DatasetError> {
        let bytes = dataset.bytes(index)?;
        let header = match dataset.record_size(index) {
            Some([height, width]) => Ok(Inspection {
                format: Format::Raw,
                width,
                height,
                mode: if bytes.len() == height * width { ColorMode::Grey } else { ColorMode::Rgb },
                bits: 8,
                orientation: None,
                complete: true,
            }),
            None => inspect(&bytes),
        };
        Ok(File { digest: Sha256::digest(&bytes).into(), bytes: bytes.len() as u64, header })
    };
    in_chunks(context, dataset.len(), 0, "reading files", look)?.into_iter().map(|file| Ok(file?)).collect()
}

/// Decodes and measures every sample; for a damaged one, why it can't be decoded.
pub fn pixels(
    context: &mut Context,
    dataset: &Dataset,
    contract: &Preprocess,
) -> Result<Vec<Result<Pixels, String>>> {
    let [height, width] = contract.size;
    let look = |index: usize| -> Result<Result<Pixels, String>, DatasetError> {
        let image = match dataset.image(index) {
            Ok(image) => image,
            Err(DatasetError::Image { reason, .. }) => return Ok(Err(reason)),
            Err(other) => return Err(other),
        };
        let size = [image.height, image.width];
        let moments = if size == contract.size {
            Moments::of(&image.pixels)
        } else {
            let mut resized = vec![0; height * width * 3];
            contract.resize_into(&image.pixels, size, &mut resized);
            Moments::of(&resized)
        };
        let digest = Sha256::digest(&image.pixels).into();
        Ok(Ok(Pixels { size, digest, phash: phash(&image), moments, quality: Quality::of(&image) }))
    };
    let done = dataset.len();
    in_chunks(context, dataset.len(), done, "measuring images", look)?
        .into_iter()
        .map(|pixels| Ok(pixels?))
        .collect()
}

/// Runs `look` on every sample with progress; `before` samples of the first of two rounds are done already.
fn in_chunks<T: Send>(
    context: &mut Context,
    count: usize,
    before: usize,
    message: &str,
    look: impl Fn(usize) -> T + Sync,
) -> Result<Vec<T>> {
    let chunk = CHUNK_PER_THREAD * rayon::current_num_threads();
    let mut all = Vec::with_capacity(count);
    for start in (0..count).step_by(chunk) {
        let end = (start + chunk).min(count);
        all.par_extend((start..end).into_par_iter().map(&look));
        context.progress((before + end) as u64, 2 * count as u64, "images", message)?;
    }
    Ok(all)
}
