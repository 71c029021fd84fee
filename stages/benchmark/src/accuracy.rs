//! The test images, and what each model says to them.

use stagewright_dataset::{Dataset, Decoded, Preprocess, stratified};
use stagewright_measure::{Predictions, evaluate, statistics::Discordant};
use stagewright_onnx::Session;
use stagewright_sdk::{Context, NamedInput, Result, StageFault};

/// Images per run while accuracy is measured.
const BATCH: usize = 64;

/// Different samples that latency is measured with.
const LATENCY_SAMPLES: usize = 128;

/// The test split, or a stratified part of it, in memory.
pub struct TestImages {
    /// The images.
    pub decoded: Decoded,
}

impl TestImages {
    /// Reads `count` test images, stratified by class; 0 reads all.
    pub fn load(context: &mut Context, contract: &Preprocess, count: usize) -> Result<Self> {
        let path = context.input("data")?.to_owned();
        let dataset = Dataset::open(&path)?;
        dataset.check_classes(contract)?;
        let mut test = dataset.splits(&contract.splits).test;
        if test.is_empty() {
            return Err(StageFault::user(format!("{} has no test split to measure accuracy on", path.display()))
                .hint("give the dataset a test/ folder, or data-stats a `test-fraction` above 0"));
        }
        if count > 0 && count < test.len() {
            test = stratified(&dataset, &test, count, context.seed());
        }
        let total = test.len() as u64;
        let decoded =
            Decoded::load(&dataset, contract, &test, |done| context.progress(done, total, "images", "reading test images"))?;
        Ok(Self { decoded })
    }

    /// Normalized inputs to measure latency with, at least `batch` of them where there are so many.
    pub fn inputs(&self, contract: &Preprocess, batch: usize) -> Vec<f32> {
        let count = LATENCY_SAMPLES.max(batch).min(self.decoded.len());
        // Spread over the split, whose samples are sorted by class.
        let indices: Vec<usize> = (0..count).map(|index| index * self.decoded.len() / count).collect();
        let mut inputs = vec![0.0; count * 3 * contract.size[0] * contract.size[1]];
        self.decoded.normalized_batch(&indices, contract, &mut inputs);
        inputs
    }
}

/// What every model says to the test images.
pub fn all(
    context: &mut Context,
    models: &[NamedInput],
    sessions: &mut [Session],
    images: &TestImages,
    contract: &Preprocess,
) -> Result<Vec<Predictions>> {
    let total = images.decoded.len() as u64;
    let mut predictions = Vec::with_capacity(models.len());
    for (model, session) in models.iter().zip(sessions) {
        let message = format!("accuracy of {}", model.name);
        let answers = evaluate(session, &images.decoded, contract, BATCH, |done| {
            context.progress(done, total, "images", message.as_str())
        })?;
        if answers.not_finite() > 0 {
            let count = answers.not_finite();
            context.warn(format!("`{}` gives logits that are not finite for {count} of {total} images", model.name));
        }
        predictions.push(answers);
    }
    Ok(predictions)
}

/// Accuracy lost against the baseline in points, with its 95 % interval.
pub fn drop(baseline: &Predictions, own: &Predictions) -> [f64; 3] {
    let interval = Discordant::count(&baseline.correct(), &own.correct()).drop();
    [interval.estimate, interval.low, interval.high]
}
