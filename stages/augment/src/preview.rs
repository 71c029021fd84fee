//! The preview: training images and what the policy makes of them.

use stagewright_dataset::{
    Dataset, DatasetError, Image, Preprocess, Splits,
    augment::{Augmenter, Policy, SampleKey, Scratch},
    stratified,
};
use stagewright_sdk::{Context, Result};

use crate::{
    Params,
    sheet::{Row, draw_sheet},
};

/// Writes the sheet: each image as the contract alone makes it, then `preview-draws` draws, all before normalization.
pub(crate) fn write(
    context: &mut Context,
    params: &Params,
    dataset: &Dataset,
    splits: &Splits,
    contract: &Preprocess,
    policy: &Policy,
    augmenter: &Augmenter<'_>,
) -> Result<()> {
    let mut chosen = stratified(dataset, &splits.train, params.preview_samples, context.seed());
    chosen.sort_by_key(|index| (dataset.samples[*index].label, *index));
    let mut scratch = Scratch::default();
    let mut rows = Vec::with_capacity(chosen.len());
    for (done, index) in chosen.iter().enumerate() {
        context.progress(done as u64, chosen.len() as u64, "images", "drawing the preview")?;
        let sample = &dataset.samples[*index];
        let image = dataset.image(*index)?;
        check_size(policy, &image, &sample.id)?;
        let mut tiles = vec![contract.resize(&image)];
        for draw in 0..params.preview_draws as u64 {
            let key = SampleKey { seed: context.seed(), epoch: draw, sample: *index as u64 };
            tiles.push(contract.resize(&augmenter.augment(&image, key, &mut scratch)));
        }
        rows.push(Row { class: dataset.classes[sample.label].clone(), id: sample.id.clone(), tiles });
    }
    context.progress(chosen.len() as u64, chosen.len() as u64, "images", "drawing the preview")?;
    context.metric("previewed", (rows.len() * params.preview_draws) as f64, None);
    let sheet = draw_sheet(&rows);
    context.write("preview", &sheet.to_png())
}

/// Names the image for which a crop of the policy is too large.
pub(crate) fn check_size(policy: &Policy, image: &Image, id: &str) -> Result<()> {
    let unfit = |error: DatasetError| DatasetError::Unfit {
        id: id.to_owned(),
        height: image.height,
        width: image.width,
        reason: error.to_string(),
    };
    Ok(policy.check_size(image.width, image.height).map_err(unfit)?)
}
