//! The stage program `stagewright-stage-checklist`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stagewright_measure::memory::answer()
        .unwrap_or_else(stagewright_sdk::main::<stagewright_stage_checklist::Checklist>)
}
