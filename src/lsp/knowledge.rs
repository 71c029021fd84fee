//! All that is known about an open file, and the questions that completion, hover and definition have in common.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    analysis::Analysis,
    outline::{Outline, Segment, keys},
    schema::View,
    text::Text,
};
use crate::{catalog::Program, plan::Action};

/// What is known about one file.
pub(super) struct Knowledge<'a> {
    pub text: &'a Text,
    pub outline: &'a Outline,
    pub analysis: &'a Analysis,
    pub programs: &'a BTreeMap<String, Program>,
    pub host: &'a BTreeMap<String, Value>,
    /// JSON Schema of the language.
    pub language: &'a Value,
}

impl<'a> Knowledge<'a> {
    /// Names of all stages: those of this file as it stands, then those of the files it includes.
    pub fn stages(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.outline.keys(&keys(["stages"])).into_iter().map(|key| key.text.clone()).collect();
        for stage in &self.analysis.spec.stages {
            if !names.contains(&stage.name.value) {
                names.push(stage.name.value.clone());
            }
        }
        names
    }

    /// The program that a stage uses.
    pub fn program(&self, stage: &str) -> Option<&'a Program> {
        let written = self.outline.value(&keys(["stages", stage, "uses"])).map(|word| word.text.clone());
        let elsewhere = || {
            let found = self.analysis.spec.stages.iter().find(|found| found.name.value == stage);
            found.and_then(|found| Some(found.uses()?.program.value.clone()))
        };
        let name = written.or_else(elsewhere)?;
        self.programs.get(name.split('@').next()?.trim())
    }

    /// The stage that a path is in.
    pub fn stage_of(path: &[Segment]) -> Option<&str> {
        match path {
            [Segment::Key(section), Segment::Key(stage), ..] if section == "stages" => Some(stage),
            _ => None,
        }
    }

    /// What the schemas say of the value at a path: those of the stage's program below `with`, else that of the language.
    pub fn view(&self, path: &[Segment]) -> View<'a> {
        let with = match path {
            [Segment::Key(section), Segment::Key(stage), Segment::Key(key), ..]
                if section == "stages" && key == "with" =>
            {
                self.program(stage)
            }
            _ => None,
        };
        let (root, from) = match with {
            Some(program) => (&program.manifest.params, 3),
            None => (self.language, 0),
        };
        let mut view = View::new(root, &self.scalars(&path[..from]));
        for at in from..path.len() {
            view = view.step(&path[at], &self.scalars(&path[..=at]));
        }
        view
    }

    /// Texts of the map at a path, which choose among alternatives of a schema.
    fn scalars(&self, path: &[Segment]) -> BTreeMap<String, String> {
        let entries = self.outline.keys(path).into_iter().filter_map(|key| {
            let mut way = path.to_vec();
            way.push(Segment::Key(key.text.clone()));
            Some((key.text.clone(), self.outline.value(&way)?.text.clone()))
        });
        entries.collect()
    }

    /// Params of the pipeline: of all its files where it can be read, else those written inline.
    pub fn params(&self) -> Value {
        let merged = self.analysis.spec.params.merged();
        let inline = self.outline.json(&keys(["params"]));
        match (&merged, inline) {
            (Value::Object(known), inline @ Value::Object(_)) if known.is_empty() => inline,
            _ => merged,
        }
    }

    /// Values of the axes of a stage's matrix.
    pub fn matrix(&self, stage: &str) -> BTreeMap<String, Value> {
        let places =
            [keys(["stages", stage, "matrix"]).to_vec(), keys(["stages", stage, "strategy", "matrix"])];
        let axes = places.iter().find_map(|place| match self.outline.json(place) {
            Value::Object(axes) => Some(axes),
            _ => None,
        });
        axes.into_iter().flatten().filter(|(name, _)| name != "include" && name != "exclude").collect()
    }

    /// Environment variables that expressions of a stage can read.
    pub fn env(&self, stage: Option<&str>) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        let own = stage.map(|stage| keys(["stages", stage, "env"]));
        for place in [Some(keys(["env"])), own].into_iter().flatten() {
            if let Value::Object(entries) = self.outline.json(&place) {
                all.extend(entries);
            }
        }
        all
    }

    /// Actions of a stage in the plan: one, or one for each combination of its matrix. None while something is wrong.
    pub fn actions(&self, stage: &str) -> Vec<&'a Action> {
        let matrix = format!("{stage}[");
        let of = |action: &&Action| action.id.0 == stage || action.id.0.starts_with(&matrix);
        self.analysis.plan.iter().flat_map(|plan| &plan.actions).map(|action| &**action).filter(of).collect()
    }
}
