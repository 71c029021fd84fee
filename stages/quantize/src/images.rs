//! Images on their way into a model.

use std::sync::Arc;

use stagewright_dataset::{Dataset, Decoded, Preprocess};
use stagewright_sdk::{Context, Result};

/// Images as a model reads them, and their labels.
pub struct Images<'a> {
    contract: &'a Preprocess,
    decoded: Arc<Decoded>,
    count: usize,
    fixed: Option<usize>,
}

impl<'a> Images<'a> {
    /// Decodes samples. For a model with a `fixed` batch size, the last ones that do not fill a batch are left out, or the
    /// last one is repeated where there is less than one batch.
    pub fn load(
        context: &mut Context,
        dataset: &Dataset,
        contract: &'a Preprocess,
        indices: &[usize],
        fixed: Option<usize>,
        what: &str,
    ) -> Result<Self> {
        let mut indices = indices.to_vec();
        if let (Some(fixed), Some(&last)) = (fixed, indices.last()) {
            let whole = indices.len() - indices.len() % fixed;
            indices.resize(whole.max(fixed), last);
        }
        let total = indices.len() as u64;
        let decoded =
            Decoded::load(dataset, contract, &indices, |done| context.progress(done, total, "images", what))?;
        Ok(Self { contract, count: decoded.len(), decoded: Arc::new(decoded), fixed })
    }

    /// Number of images.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Label of each image.
    pub fn labels(&self) -> &[i64] {
        &self.decoded.labels[..self.count]
    }

    /// Id of each image.
    pub fn ids(&self) -> &[String] {
        &self.decoded.ids[..self.count]
    }

    /// The first images alone, in whole batches.
    pub fn first(&self, count: usize) -> Self {
        let count = count.next_multiple_of(self.fixed.unwrap_or(1)).min(self.count);
        Self { contract: self.contract, decoded: Arc::clone(&self.decoded), count, fixed: self.fixed }
    }

    /// Gives the images to `run` in batches: how many came before, the values, their shape.
    ///
    /// # Errors
    /// The first of `run`.
    pub fn each(
        &self,
        batch: usize,
        mut run: impl FnMut(u64, &[f32], [usize; 4]) -> Result<()>,
    ) -> Result<()> {
        let batch = self.fixed.unwrap_or(batch).max(1);
        let [height, width] = self.contract.size;
        let pixels = 3 * height * width;
        let mut values = vec![0.0; batch.min(self.count) * pixels];
        let all: Vec<usize> = (0..self.count).collect();
        for (index, indices) in all.chunks(batch).enumerate() {
            let values = &mut values[..indices.len() * pixels];
            self.decoded.normalized_batch(indices, self.contract, values);
            run((index * batch) as u64, values, [indices.len(), 3, height, width])?;
        }
        Ok(())
    }
}
