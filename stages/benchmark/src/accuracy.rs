//! What each model says to the test images.

use stagewright_dataset::Preprocess;
use stagewright_measure::{Predictions, TestImages, statistics::Discordant};
use stagewright_sdk::{Context, NamedInput, Result};

use crate::model::Model;

/// What every model says to the test images.
pub fn all(
    context: &mut Context,
    models: &[NamedInput],
    opened: &mut [Box<dyn Model>],
    images: &TestImages,
    contract: &Preprocess,
) -> Result<Vec<Predictions>> {
    let total = images.decoded.len() as u64;
    let mut predictions = Vec::with_capacity(models.len());
    for (model, opened) in models.iter().zip(opened) {
        let message = format!("accuracy of {}", model.name);
        let answers = opened.predict(&images.decoded, contract, &mut |done| {
            context.progress(done, total, "images", message.as_str())
        })?;
        if answers.not_finite() > 0 {
            let count = answers.not_finite();
            context.warn(format!(
                "`{}` gives logits that are not finite for {count} of {total} images",
                model.name
            ));
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
