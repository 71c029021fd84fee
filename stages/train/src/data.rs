//! The images of a training, decoded.

use std::{fs, sync::Arc};

use sha2::{Digest, Sha256};
use stagewright_dataset::{
    Dataset, Decoded, Preprocess, TrainingImages,
    augment::{Augmenter, Policy},
};
use stagewright_sdk::{Context, FaultExt, Result, StageFault};

/// Everything read from the inputs.
pub struct Data {
    /// The contract.
    pub contract: Preprocess,
    /// Its bytes as they were.
    pub contract_bytes: Vec<u8>,
    /// What training images go through.
    pub policy: Policy,
    /// Images to learn from; at least one.
    pub train: TrainingImages,
    /// Images to choose the best epoch by; may be none.
    pub validation: Decoded,
    /// Images for the final figure; may be none.
    pub test: Decoded,
}

impl Data {
    /// Reads the ports `data`, `preprocess` and `policy` and decodes the images on the current rayon pool.
    pub fn load(context: &mut Context) -> Result<Self> {
        let contract_path = context.input("preprocess")?.to_owned();
        let contract_bytes =
            fs::read(&contract_path).or_user(format_args!("cannot read {}", contract_path.display()))?;
        let contract = Preprocess::load(&contract_path)?;
        let policy = match context.optional_input("policy") {
            Some(path) => Policy::load(path)?,
            None => Policy::identity(),
        };
        Augmenter::new(&policy, &contract)?;
        let folder = context.input("data")?.to_owned();
        let dataset = Arc::new(Dataset::open(&folder)?);
        dataset.check_classes(&contract)?;
        let splits = dataset.splits(&contract.splits);
        if splits.train.is_empty() {
            let rule = &contract.splits;
            let message = format!(
                "{} has no training images: of {} samples, {} are for validation and {} for test \
                 (validation-fraction {}, test-fraction {})",
                folder.display(),
                dataset.len(),
                splits.validation.len(),
                splits.test.len(),
                rule.validation_fraction,
                rule.test_fraction
            );
            let hint = "put images into `train/<class>/`, or lower the fractions in data-stats";
            return Err(StageFault::user(message).hint(hint));
        }
        let total = (splits.train.len() + splits.validation.len() + splits.test.len()) as u64;
        let memory = context.limits().memory;
        let train = TrainingImages::load(&dataset, &splits.train, &policy, memory, |done| {
            context.progress(done, total, "images", "reading images")
        })?;
        if train.decodes_each_time() {
            context.log(
                "the training images do not fit into half of the memory: each is decoded in every epoch",
            );
        }
        let mut before = splits.train.len() as u64;
        let mut decode = |indices: &[usize]| -> Result<Decoded> {
            let decoded = Decoded::load(&dataset, &contract, indices, |done| {
                context.progress(before + done, total, "images", "reading images")
            })?;
            before += indices.len() as u64;
            Ok(decoded)
        };
        let (validation, test) = (decode(&splits.validation)?, decode(&splits.test)?);
        Ok(Self { contract, contract_bytes, policy, train, validation, test })
    }

    /// Digest of everything that decides what a training sees: which samples with which pixels, contract and policy.
    pub fn identity(&self) -> Result<String> {
        let policy = serde_json::to_vec(&self.policy).or_internal("cannot encode the policy")?;
        let mut digest =
            Sha256::new().chain_update(&self.contract_bytes).chain_update([0]).chain_update(policy);
        let parts: [(&[String], &[u8]); 3] = [
            (&self.train.ids, &self.train.digest),
            (&self.validation.ids, &self.validation.pixels),
            (&self.test.ids, &self.test.pixels),
        ];
        for (ids, pixels) in parts {
            digest.update((ids.len() as u64).to_le_bytes());
            for id in ids {
                digest.update(id);
                digest.update([0]);
            }
            digest.update(pixels);
        }
        Ok(hex::encode(digest.finalize()))
    }
}
