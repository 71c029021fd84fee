//! The stage program `augment`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stagewright_sdk::main::<stagewright_stage_augment::Augment>()
}
