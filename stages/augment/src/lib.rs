//! `augment`: checks the augmentation policy, writes it for `train`, shows what it does on a preview sheet and, on
//! request, writes a dataset of augmented images.
//!
//! Only training images are augmented; validation and test images get the contract's resize and normalization alone.

mod font;
mod materialize;
mod params;
mod preview;
mod sheet;

use stagewright_dataset::{
    Dataset, Preprocess,
    augment::{Augmenter, Policy},
};
use stagewright_sdk::{
    Context, Determinism, Manifest, ManifestExt, Port, PortExt, Result, Stage, StageFault, manifest,
};

pub use params::{Materialize, Params};

/// The stage.
pub struct Augment;

impl Stage for Augment {
    type Params = Params;

    fn manifest() -> Manifest {
        let summary = "checks and previews the augmentation of training images";
        manifest::<Params>("augment", env!("CARGO_PKG_VERSION"), 1, summary)
            .input("data", Port::input("dataset/images", "the images"))
            .input("preprocess", Port::input("preprocess", "the preprocessing contract of these images"))
            .output(
                "policy",
                Port::output("augment/policy", "policy.json", "the transforms, every param written out"),
            )
            .output(
                "preview",
                Port::output("report/image", "preview.png", "originals and, beside each, random draws"),
            )
            .output(
                "dataset",
                Port::output(
                    "dataset/images",
                    "dataset",
                    "with `materialize`: augmented copies of the train split as PNG",
                )
                .optional(),
            )
            .metric("transforms", "transforms of the policy")
            .metric("previewed", "images on the preview sheet, originals not counted")
            .metric("materialized", "augmented images written, with `materialize`")
            .determinism(Determinism::Bitwise)
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        params.check()?;
        let contract = Preprocess::load(context.input("preprocess")?)?;
        let dataset = Dataset::open(context.input("data")?)?;
        dataset.check_classes(&contract)?;
        let splits = dataset.splits(&contract.splits);
        if splits.train.is_empty() {
            let message = format!("none of the {} images is in the train split", dataset.len());
            let hint =
                "lower `validation-fraction` and `test-fraction` in data-stats, or add images to `train/`";
            return Err(StageFault::user(message).hint(hint));
        }
        let policy = Policy::new(params.transforms.clone())?;
        for doubt in policy.doubts(contract.size) {
            context.warn(doubt);
        }
        context.metric("transforms", policy.train.len() as f64, None);
        let augmenter = Augmenter::new(&policy, &contract)?;
        preview::write(context, &params, &dataset, &splits, &contract, &policy, &augmenter)?;
        if let Some(wanted) = &params.materialize {
            materialize::write(context, wanted, &dataset, &splits, &policy, &augmenter)?;
        }
        context.write_json("policy", &policy)
    }
}
