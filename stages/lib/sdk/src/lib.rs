//! Write a stage program: implement [`Stage`] and call [`main`].
//!
//! ```no_run
//! use stagewright_sdk::{Context, Manifest, ManifestExt, Port, PortExt, Result, Stage, manifest};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(rename_all = "kebab-case", deny_unknown_fields)]
//! struct Params {
//!     /// Text to write.
//!     #[serde(default)]
//!     text: String,
//! }
//!
//! struct Hello;
//!
//! impl Stage for Hello {
//!     type Params = Params;
//!
//!     fn manifest() -> Manifest {
//!         manifest::<Params>("hello", env!("CARGO_PKG_VERSION"), 1, "writes a greeting")
//!             .output("greeting", Port::output("file", "greeting.txt", "the greeting"))
//!     }
//!
//!     fn run(context: &mut Context, params: Params) -> Result<()> {
//!         context.write("greeting", params.text.as_bytes())
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     stagewright_sdk::main::<Hello>()
//! }
//! ```
//!
//! Everything a stage or a C++ library under it prints to standard output ends up in the stage's log, never in the
//! protocol.

mod builder;
mod context;
mod fault;
mod session;
pub mod testing;

pub use builder::{ManifestExt, PortExt, manifest, params_schema};
pub use context::Context;
pub use fault::{FaultExt, Result, StageFault};
pub use session::main;
pub use stagewright_protocol::{
    Determinism, ErrorClass, Event, Fault, Gate, GateStatus, Level, Limits, Manifest, NamedInput, Platform,
    Port, Resources, RunRequest,
};

/// One stage program.
pub trait Stage {
    /// The params, as `with:` gives them. Doc comments become the documentation of the JSON Schema; defaults come from
    /// `#[serde(default = …)]`, ranges from `#[schemars(range(…))]`, units from `#[schemars(extend("x-unit" = "ms"))]`.
    type Params: serde::de::DeserializeOwned + schemars::JsonSchema;

    /// The self-description; must not depend on the machine.
    fn manifest() -> Manifest;

    /// What this machine is to the stage. Called only if the manifest says [`Manifest::probes`].
    fn probe() -> Platform {
        Platform::default()
    }

    /// Carries the stage out. Every required output must be written when it returns `Ok`.
    fn run(context: &mut Context, params: Self::Params) -> Result<()>;
}
