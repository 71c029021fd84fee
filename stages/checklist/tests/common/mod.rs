//! What the tests share: the bench of all stages that measure models, and a short run of this one.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

#[path = "../../../../tests/fixtures/benchmark/bench.rs"]
mod bench;

use std::time::Duration;

use stagewright_measure::child;
use stagewright_sdk::{Context, Manifest, Result, Stage};
use stagewright_stage_checklist::{Checklist, Extent, Machine, Params};

pub use bench::*;

/// The stage with tests so short that they are only a look, but each is made.
pub struct Short;

impl Stage for Short {
    type Params = Params;

    fn manifest() -> Manifest {
        Checklist::manifest()
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        // The test's own program can't be started for a measurement.
        child::PROGRAM.get_or_init(|| env!("CARGO_BIN_EXE_stagewright-stage-checklist").into());
        let extent = Extent { stress: Duration::from_millis(200), drift: 1e6, inferences: 400, sessions: 20 };
        // A machine without GPUs, whatever this one has.
        Checklist::run_on(context, params, extent, &Machine::default())
    }
}
