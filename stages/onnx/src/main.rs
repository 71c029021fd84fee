//! The stage program `stagewright-stage-onnx`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stagewright_sdk::main::<stagewright_stage_onnx::Onnx>()
}
