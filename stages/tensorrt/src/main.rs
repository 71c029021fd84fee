//! Stage program `tensorrt`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stagewright_sdk::main::<stagewright_stage_tensorrt::TensorRt>()
}
