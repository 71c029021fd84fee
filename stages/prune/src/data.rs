//! The images and the checkpoint, as the ports give them.

use std::{fs, sync::Arc};

use stagewright_dataset::{
    Dataset, Decoded, Preprocess, TrainingImages,
    augment::{Augmenter, Policy},
    stratified,
};
use stagewright_model::{Checkpoint, CheckpointError};
use stagewright_sdk::{Context, FaultExt, Result, StageFault};

use crate::params::Params;

/// Everything read from the inputs.
pub struct Data {
    /// The network to prune.
    pub checkpoint: Checkpoint,
    /// The contract.
    pub contract: Preprocess,
    /// What training images go through.
    pub policy: Policy,
    /// Images to train with; empty without fine-tuning.
    pub train: TrainingImages,
    /// Images to measure accuracy with; may be none.
    pub validation: Decoded,
    /// Positions in `validation` for the sensitivity curve.
    pub sample: Vec<usize>,
}

impl Data {
    /// Reads the ports `model`, `data`, `preprocess` and `policy` and decodes the images on the current rayon pool.
    ///
    /// # Errors
    /// An input that can't be read; a contract other than the one the model was trained under; classes or sizes that do not
    /// fit each other; no images where they are needed.
    pub fn load(context: &mut Context, params: &Params) -> Result<Self> {
        let folder = context.input("model")?.to_owned();
        let checkpoint = Checkpoint::load(&folder).map_err(checkpoint_fault)?;
        let path = context.input("preprocess")?.to_owned();
        let bytes = fs::read(&path).or_user(format_args!("cannot read {}", path.display()))?;
        let contract = Preprocess::load(&path)?;
        if bytes != checkpoint.preprocess {
            return Err(StageFault::user(format!(
                "{} is not the preprocessing contract that the model was trained under",
                path.display()
            ))
            .hint("bind `preprocess` to the same artifact that `train` took"));
        }
        let input = checkpoint.architecture.input;
        if [input.height, input.width] != contract.size || input.channels != 3 {
            return Err(StageFault::user(format!(
                "the model reads {}×{}×{} (channels × height × width), the contract gives 3×{}×{}",
                input.channels, input.height, input.width, contract.size[0], contract.size[1]
            )));
        }
        let classes = contract.classes.len();
        if checkpoint.architecture.classes != classes {
            let found = checkpoint.architecture.classes;
            return Err(StageFault::user(format!("the model has {found} classes, the contract {classes}")));
        }
        let policy = match context.optional_input("policy") {
            Some(path) => Policy::load(path)?,
            None => Policy::identity(),
        };
        Augmenter::new(&policy, &contract)?;

        let folder = context.input("data")?.to_owned();
        let dataset = Arc::new(Dataset::open(&folder)?);
        dataset.check_classes(&contract)?;
        let splits = dataset.splits(&contract.splits);
        let train = if params.fine_tune.is_some() { splits.train } else { Vec::new() };
        if params.fine_tune.is_some() && train.is_empty() {
            return Err(StageFault::user(format!(
                "{} has no training images to fine-tune with",
                folder.display()
            ))
            .hint("lower the fractions in data-stats, or leave `fine-tune` out"));
        }
        let chosen = match &params.sensitivity {
            Some(wanted) if wanted.images > 0 => {
                stratified(&dataset, &splits.validation, wanted.images as usize, context.seed())
            }
            Some(_) => splits.validation.clone(),
            None => Vec::new(),
        };
        let sample = chosen.iter().filter_map(|index| splits.validation.binary_search(index).ok()).collect();
        let total = (train.len() + splits.validation.len()) as u64;
        let memory = context.limits().memory;
        let train = TrainingImages::load(&dataset, &train, &policy, memory, |done| -> Result<()> {
            context.progress(done, total, "images", "decoding images")
        })?;
        let before = train.len() as u64;
        let validation = Decoded::load(&dataset, &contract, &splits.validation, |done| -> Result<()> {
            context.progress(before + done, total, "images", "decoding images")
        })?;
        Ok(Self { checkpoint, contract, policy, train, validation, sample })
    }
}

fn checkpoint_fault(error: CheckpointError) -> StageFault {
    let fault = StageFault::user(error.to_string());
    match error {
        CheckpointError::Read { .. } => {
            fault.hint("a checkpoint is a folder with architecture.json, model.safetensors, preprocess.json and training.json")
        }
        _ => fault.hint("the checkpoint is damaged or of another release: train the model again"),
    }
}
