//! Stage program `prune`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stagewright_sdk::main::<stagewright_stage_prune::Prune>()
}
