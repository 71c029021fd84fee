//! The stage program `stagewright-stage-quantize`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stagewright_sdk::main::<stagewright_stage_quantize::Quantize>()
}
