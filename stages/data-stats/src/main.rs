//! The stage program `data-stats`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stagewright_sdk::main::<stagewright_stage_data_stats::DataStats>()
}
