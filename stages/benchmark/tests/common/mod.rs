//! What the tests share: the bench of all stages that measure models, and a short run of this one.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

#[path = "../../../../tests/fixtures/benchmark/bench.rs"]
mod bench;

use std::time::Duration;

use stagewright_measure::child;
use stagewright_sdk::{Context, Manifest, Result, Stage};
use stagewright_stage_benchmark::{Benchmark, Machine, Params, Schedule, run_for};

pub use bench::*;

/// The stage with so short a schedule that its figures mean nothing, but are all there.
pub struct Short;

impl Stage for Short {
    type Params = Params;

    fn manifest() -> Manifest {
        Benchmark::manifest()
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        // The test's own program can't be started for a measurement.
        child::PROGRAM.get_or_init(|| env!("CARGO_BIN_EXE_stagewright-stage-benchmark").into());
        let time = Duration::from_millis(20);
        let schedule = Schedule { warm_up: time, turn: time, least_rounds: 3, most_rounds: 4 };
        // A machine without GPUs, whatever this one has.
        run_for(context, &params, schedule, &Machine::default())
    }
}
