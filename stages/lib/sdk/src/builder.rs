//! Building a manifest.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;
use stagewright_protocol::{Determinism, Manifest, Port, Resources};

/// Starts a manifest: no ports, one processor, determinism `none`.
pub fn manifest<P: JsonSchema>(name: &str, version: &str, cache_version: u32, summary: &str) -> Manifest {
    Manifest {
        name: name.to_owned(),
        version: version.to_owned(),
        cache_version,
        summary: summary.to_owned(),
        inputs: Default::default(),
        outputs: Default::default(),
        params: params_schema::<P>(),
        resources: Resources::default(),
        probes: false,
        determinism: Determinism::None,
        metrics: Default::default(),
    }
}

/// JSON Schema (2020-12) of the params with all sub-schemas inline, as the protocol wants it.
pub fn params_schema<P: JsonSchema>() -> Value {
    let generator =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    generator.into_root_schema_for::<P>().to_value()
}

/// Chained setters for a [`Manifest`].
pub trait ManifestExt: Sized {
    /// Adds an input port.
    #[must_use]
    fn input(self, name: &str, port: Port) -> Self;
    /// Adds an output port.
    #[must_use]
    fn output(self, name: &str, port: Port) -> Self;
    /// Documents a metric with its unit.
    #[must_use]
    fn metric(self, name: &str, meaning: &str) -> Self;
    /// Sets the resources a run wants.
    #[must_use]
    fn resources(self, resources: Resources) -> Self;
    /// Sets how alike two runs are.
    #[must_use]
    fn determinism(self, determinism: Determinism) -> Self;
    /// Says that the stage answers `probe`.
    #[must_use]
    fn probes(self) -> Self;
}

impl ManifestExt for Manifest {
    fn input(mut self, name: &str, port: Port) -> Self {
        self.inputs.insert(name.to_owned(), port);
        self
    }

    fn output(mut self, name: &str, port: Port) -> Self {
        self.outputs.insert(name.to_owned(), port);
        self
    }

    fn metric(mut self, name: &str, meaning: &str) -> Self {
        self.metrics.insert(name.to_owned(), meaning.to_owned());
        self
    }

    fn resources(mut self, resources: Resources) -> Self {
        self.resources = resources;
        self
    }

    fn determinism(mut self, determinism: Determinism) -> Self {
        self.determinism = determinism;
        self
    }

    fn probes(mut self) -> Self {
        self.probes = true;
        self
    }
}

/// Constructors of a [`Port`].
pub trait PortExt: Sized {
    /// A required input of one artifact.
    fn input(artifact_type: &str, summary: &str) -> Self;
    /// An always written output at `path` inside the output folder.
    fn output(artifact_type: &str, path: &str, summary: &str) -> Self;
    /// May be left unbound (input) or unwritten (output).
    #[must_use]
    fn optional(self) -> Self;
    /// Takes a list of artifacts.
    #[must_use]
    fn many(self) -> Self;
    /// May not take data of role `test`.
    #[must_use]
    fn refuses_test_data(self) -> Self;
}

impl PortExt for Port {
    fn input(artifact_type: &str, summary: &str) -> Self {
        Self {
            artifact_type: artifact_type.to_owned(),
            summary: summary.to_owned(),
            required: true,
            many: false,
            path: None,
            refuses_test_data: false,
        }
    }

    fn output(artifact_type: &str, path: &str, summary: &str) -> Self {
        Self { path: Some(path.to_owned()), ..Self::input(artifact_type, summary) }
    }

    fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    fn many(mut self) -> Self {
        self.many = true;
        self
    }

    fn refuses_test_data(mut self) -> Self {
        self.refuses_test_data = true;
        self
    }
}
