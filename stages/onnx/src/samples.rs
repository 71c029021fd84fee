//! The images that both runtimes see.

use stagewright_dataset::{Dataset, Decoded, Preprocess, stratified};
use stagewright_sdk::{Context, Result, StageFault};

use crate::Params;

/// Chosen samples of a dataset.
pub struct Samples {
    dataset: Dataset,
    indices: Vec<usize>,
    /// The images at the contract's size.
    pub decoded: Decoded,
    /// Number of samples.
    pub count: usize,
    /// Where they are from, for the report.
    pub origin: String,
}

/// Network inputs, one after the other.
pub struct Inputs {
    values: Vec<f32>,
    pixels: usize,
}

impl Samples {
    /// Stratified samples of the validation split, or of the training split where there is no other.
    pub fn choose(context: &mut Context, contract: &Preprocess, params: &Params) -> Result<Self> {
        let dataset = Dataset::open(context.input("data")?)?;
        dataset.check_classes(contract)?;
        let splits = dataset.splits(&contract.splits);
        let (split, from) = if splits.validation.is_empty() {
            ("training", &splits.train)
        } else {
            ("validation", &splits.validation)
        };
        if from.is_empty() {
            return Err(StageFault::user(
                "the dataset has no validation or training samples to compare the runtimes on",
            )
            .hint("bind `data` to the dataset that the network was trained on"));
        }
        let indices = stratified(&dataset, from, params.parity.samples.max(1), context.seed());
        let total = indices.len() as u64;
        let decoded = Decoded::load(&dataset, contract, &indices, |done| {
            context.progress(done, total, "images", "reading samples")
        })?;
        let origin = format!("{} samples of the {split} split", indices.len());
        Ok(Self { count: indices.len(), dataset, indices, decoded, origin })
    }

    /// The images as a network of another size reads them. The last ones are repeated until `multiple` divides their number.
    pub fn at_size(&self, contract: &Preprocess, size: [usize; 2], multiple: usize) -> Result<Inputs> {
        let sized = Preprocess { size, ..contract.clone() };
        let other;
        let decoded = if size == contract.size {
            &self.decoded
        } else {
            other = Decoded::load(&self.dataset, &sized, &self.indices, |_| Ok::<(), StageFault>(()))?;
            &other
        };
        let pixels = 3 * size[0] * size[1];
        let count = self.count.next_multiple_of(multiple.max(1));
        let mut values = vec![0.0; count * pixels];
        for (index, out) in values.chunks_exact_mut(pixels).enumerate() {
            decoded.normalized(index.min(self.count - 1), &sized, out);
        }
        Ok(Inputs { values, pixels })
    }
}

impl Inputs {
    /// Runs all images, `batch` at a time (the last time fewer), and joins the results.
    pub fn in_batches(
        &self,
        batch: usize,
        mut run: impl FnMut(&[f32], usize) -> Result<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        let mut joined = Vec::new();
        for images in self.values.chunks(batch.max(1) * self.pixels) {
            joined.extend(run(images, images.len() / self.pixels)?);
        }
        Ok(joined)
    }
}
