//! The stage program `surfaces`.

fn main() -> std::process::ExitCode {
    stagewright_sdk::main::<stagewright_stage_surfaces::Surfaces>()
}
