//! The test images in memory.

use stagewright_dataset::{Dataset, Decoded, Preprocess, stratified};
use stagewright_sdk::{Context, Result, StageFault};

/// Different samples that latency is measured with.
const LATENCY_SAMPLES: usize = 128;

/// The test split, or a stratified part of it, in memory.
pub struct TestImages {
    /// The images.
    pub decoded: Decoded,
}

impl TestImages {
    /// Reads `count` test images of the input `data`, stratified by class; 0 reads all.
    ///
    /// # Errors
    /// The dataset can't be read, has other classes than the contract, or no test split.
    pub fn load(context: &mut Context, contract: &Preprocess, count: usize) -> Result<Self> {
        let path = context.input("data")?.to_owned();
        let dataset = Dataset::open(&path)?;
        dataset.check_classes(contract)?;
        let mut test = dataset.splits(&contract.splits).test;
        if test.is_empty() {
            return Err(StageFault::user(format!("{} has no test split to measure on", path.display()))
                .hint("give the dataset a test/ folder, or data-stats a `test-fraction` above 0"));
        }
        if count > 0 && count < test.len() {
            test = stratified(&dataset, &test, count, context.seed());
        }
        let total = test.len() as u64;
        let decoded = Decoded::load(&dataset, contract, &test, |done| {
            context.progress(done, total, "images", "reading test images")
        })?;
        Ok(Self { decoded })
    }

    /// Normalized inputs spread over the split, one after the other, at least `batch` of them where there are so many.
    pub fn inputs(&self, contract: &Preprocess, batch: usize) -> Vec<f32> {
        let count = LATENCY_SAMPLES.max(batch).min(self.decoded.len());
        // The split's samples are sorted by class.
        let indices: Vec<usize> = (0..count).map(|index| index * self.decoded.len() / count).collect();
        let mut inputs = vec![0.0; count * 3 * contract.size[0] * contract.size[1]];
        self.decoded.normalized_batch(&indices, contract, &mut inputs);
        inputs
    }
}
