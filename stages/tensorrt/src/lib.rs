//! The stage `tensorrt`: builds an engine from an ONNX model with NVIDIA's `trtexec`.
//!
//! Networks are strongly typed: the number types are those of the model, so an FP16 or INT8 engine comes from an FP16 or
//! QDQ model, never from a flag. TensorRT 11 knows nothing else; for 10 the stage asks for the same with
//! `--stronglyTyped`, so that both behave alike.
//!
//! This has not been run against a real TensorRT by its tests: they hold the arguments against the options that
//! `trtexec` 10.16 and 11.1 document, and play whole runs against a stand-in that prints what `trtexec` prints.

mod args;
mod model;
mod params;
mod run;

pub use args::{Arguments, arguments};
pub use model::{Model, Profile, profiles};
pub use params::{
    BatchRange, HardwareCompatibility, Params, Precision, ProfilingVerbosity, ShapeRange, TimingCache,
};
pub use run::{platform, run_on};
pub use stagewright_tensorrt::{Machine, Version, locate};

use stagewright_sdk::{
    Context, Determinism, Manifest, ManifestExt, Platform, Port, PortExt, Resources, Result, Stage, manifest,
};

/// The stage.
pub struct TensorRt;

impl Stage for TensorRt {
    type Params = Params;

    fn manifest() -> Manifest {
        let summary =
            "builds a TensorRT engine with trtexec 10 or 11 (its tests use a stand-in, not a real TensorRT)";
        manifest::<Params>("tensorrt", env!("CARGO_PKG_VERSION"), 1, summary)
            .input("model", Port::input("model/onnx", "the model; its number types become the engine's"))
            .input(
                "timing-cache",
                Port::input(
                    "file",
                    "timing cache of an earlier build, for the same tactics and a quicker build",
                )
                .optional(),
            )
            .output("engine", Port::output("engine/tensorrt", "engine", "engine.plan and engine.json"))
            .output("log", Port::output("file", "build.log", "everything trtexec said"))
            .output(
                "timing-cache",
                Port::output("file", "timing.cache", "timing cache after this build").optional(),
            )
            .metric("engine.size", "size of the engine file, MiB")
            .metric("build.time", "time trtexec took, s")
            .metric("layers.total", "layers of the engine")
            .metric("layers.int8", "layers that compute on 8-bit integers")
            .metric("layers.fp16", "layers that compute on half floats")
            .metric("layers.fp32", "layers that compute on floats")
            .resources(Resources {
                cpus: 2,
                memory: 8 << 30,
                gpus: 1,
                exclusive: true,
                ..Resources::default()
            })
            .determinism(Determinism::None)
            .probes()
    }

    fn probe() -> Platform {
        platform(&Machine::from_env())
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        run_on(context, &params, &Machine::from_env())
    }
}
