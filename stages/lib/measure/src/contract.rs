//! A model must fit the preprocessing contract it is measured under.

use stagewright_dataset::Preprocess;
use stagewright_onnx::{InputInfo, Session};
use stagewright_sdk::{Result, StageFault};

/// Checks that a model takes one image of the contract's size at a time, tells as many classes apart as the contract names,
/// and that a contract which the model carries is this one. `name` is what messages call it.
///
/// # Errors
/// It does not.
pub fn check_model(session: &Session, name: &str, contract: &Preprocess) -> Result<()> {
    check_input(session.input(), name, contract)?;
    let (own, wanted) = (session.classes(), contract.classes.len());
    if own != wanted {
        let message = format!(
            "the model `{name}` tells {own} classes apart, the preprocessing contract names {wanted}"
        );
        return Err(StageFault::user(message)
            .hint("bind the contract and the dataset that the model was trained with"));
    }
    let Some(text) = session.metadata("stagewright.preprocess") else { return Ok(()) };
    let carried = Preprocess::parse(text.as_bytes());
    if carried.map_err(|error| error.named(format_args!("the contract inside the model `{name}`")))?
        == *contract
    {
        return Ok(());
    }
    let message =
        format!("the model `{name}` was made under another preprocessing contract than the one bound here");
    Err(StageFault::user(message)
        .hint("bind the `preprocess` output of the data-stats stage that the model was trained with"))
}

fn check_input(input: &InputInfo, name: &str, contract: &Preprocess) -> Result<()> {
    if let Some(batch) = input.batch.filter(|batch| *batch != 1) {
        let message =
            format!("the model `{name}` takes {batch} images at a time, so it can't answer for one");
        return Err(StageFault::user(message).hint("export it with an open batch dimension, or one of 1"));
    }
    let [height, width] = contract.size;
    let own = (input.channels.unwrap_or(3), input.height.unwrap_or(height), input.width.unwrap_or(width));
    if own == (3, height, width) {
        return Ok(());
    }
    let message = format!(
        "the model `{name}` takes images of {}×{}×{}, the preprocessing contract makes them 3×{height}×{width}",
        own.0, own.1, own.2
    );
    Err(StageFault::user(message).hint("bind the contract that the model was trained with"))
}
