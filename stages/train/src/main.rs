//! Stage program `train`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stagewright_sdk::main::<stagewright_stage_train::Train>()
}
