//! A model must fit the preprocessing contract it is measured under.

use stagewright_dataset::Preprocess;
use stagewright_onnx::Session;
use stagewright_sdk::{Result, StageFault};

/// Checks that a model tells as many classes apart as the contract names, and that a contract which the model carries is this
/// one. `name` is what messages call it.
///
/// # Errors
/// It does not.
pub fn check_model(session: &Session, name: &str, contract: &Preprocess) -> Result<()> {
    let (own, wanted) = (session.classes(), contract.classes.len());
    if own != wanted {
        let message = format!("the model `{name}` tells {own} classes apart, the preprocessing contract names {wanted}");
        return Err(StageFault::user(message).hint("bind the contract and the dataset that the model was trained with"));
    }
    let Some(text) = session.metadata("stagewright.preprocess") else { return Ok(()) };
    if Preprocess::parse(text.as_bytes())? == *contract {
        return Ok(());
    }
    let message = format!("the model `{name}` was made under another preprocessing contract than the one bound here");
    Err(StageFault::user(message).hint("bind the `preprocess` output of the data-stats stage that the model was trained with"))
}
