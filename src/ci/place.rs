//! Where stages and targets stand, as a code host knows the files.

use std::collections::BTreeMap;

use crate::{
    plan::StageId,
    spec::{PipelineSpec, types::Span},
};

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, from the root of the repository.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// Places by what stands there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    stages: BTreeMap<String, Place>,
    targets: BTreeMap<String, Place>,
}

/// Where a pipeline's stages and targets stand; `name` says what a file is called from the root of the repository.
pub fn places(spec: &PipelineSpec, name: impl Fn(&str) -> String) -> Places {
    let place = |span: &Span| {
        let located = spec.sources.locate(span)?;
        let line = located.file.lines().line(located.range.start);
        Some(Place { file: name(located.file.name()), line })
    };
    let stages =
        spec.stages.iter().filter_map(|stage| Some((stage.name.value.clone(), place(&stage.name.span)?)));
    let targets =
        spec.targets.iter().filter_map(|target| Some((target.name.value.clone(), place(&target.name.span)?)));
    Places { stages: stages.collect(), targets: targets.collect() }
}

impl Places {
    /// Where a stage is declared; all combinations of a matrix stand at one place.
    pub fn stage(&self, stage: &StageId) -> Option<&Place> {
        let name = stage.0.split('[').next().unwrap_or(&stage.0);
        self.stages.get(&stage.0).or_else(|| self.stages.get(name))
    }

    /// Where a target is declared.
    pub fn target(&self, target: &str) -> Option<&Place> {
        self.targets.get(target)
    }
}
