//! What each model says to the test images.

use stagewright_dataset::Preprocess;
use stagewright_measure::{Predictions, TestImages, evaluate, statistics::Discordant};
use stagewright_onnx::Session;
use stagewright_sdk::{Context, NamedInput, Result};

/// Images per run while accuracy is measured.
const BATCH: usize = 64;

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
