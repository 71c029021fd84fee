//! A model card for a release: what it is, what it was made from, how good it is. In Markdown with the front matter that Hugging Face
//! reads (<https://huggingface.co/docs/hub/model-cards>), or as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};
use stagewright_protocol::GateStatus;

use super::{
    data::RunReport,
    figures::{bytes, count, number},
    markdown::{escape, table},
};

const FORMAT: &str = "stagewright/model-card@1";

/// What only a person can tell, as Markdown, by section.
pub type Words = BTreeMap<CardSection, String>;

/// A section that a person writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardSection {
    /// What it is for, and what not.
    Purpose,
    /// Where it fails, and whom that may harm.
    Limits,
    /// How people watch over it.
    Oversight,
}

impl CardSection {
    /// All of them, in order, with the name of the document that holds each, without ending; the same as for the annex.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Purpose, "1a"), (Self::Limits, "3"), (Self::Oversight, "2e")];

    fn heading(self) -> (&'static str, &'static str) {
        match self {
            Self::Purpose => ("Intended use", "what it is for, and what it is not for"),
            Self::Limits => ("Limits and risks", "where it fails, and whom that may harm"),
            Self::Oversight => ("Human oversight", "how people watch over it"),
        }
    }
}

/// A model card.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelCard {
    /// Version of this encoding.
    pub format: &'static str,
    /// The release.
    pub name: String,
    /// Its commit.
    pub commit: String,
    /// The pipeline.
    pub pipeline: String,
    /// Front matter for a model hub.
    pub metadata: Value,
    /// The files that are delivered.
    pub files: Vec<CardFile>,
    /// Data that it was made from.
    pub data: Vec<CardData>,
    /// What was measured.
    pub metrics: Vec<CardMetric>,
    /// Targets and gates: name, verdict, and what was found.
    pub checks: Vec<(String, GateStatus, String)>,
    /// The stages with their programs.
    pub stages: Vec<(String, String)>,
    /// What a person told.
    pub words: Words,
}

/// A delivered file or folder.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CardFile {
    /// The stage that made it.
    pub stage: String,
    /// Its name.
    pub name: String,
    /// Port type.
    #[serde(rename = "type")]
    pub artifact_type: String,
    /// SHA-256, in hex.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// Data that was read from the project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CardData {
    /// Where it lies.
    pub path: String,
    /// Files, of a folder.
    pub files: Option<u64>,
    /// SHA-256, in hex.
    pub sha256: String,
}

/// A metric of a stage.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CardMetric {
    /// The stage that measured it.
    pub stage: String,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Unit such as `%` or `ms`.
    pub unit: Option<String>,
}

/// The card of the release that a report is on.
pub fn model_card(report: &RunReport, words: Words) -> ModelCard {
    let release = report.release.as_ref();
    let delivers = |stage: &super::StageView| release.is_some_and(|one| one.delivers.contains(&stage.stage));
    let files: Vec<CardFile> = report
        .stages
        .iter()
        .filter(|stage| delivers(stage))
        .flat_map(|stage| {
            stage.outputs.iter().map(|output| CardFile {
                stage: stage.stage.0.clone(),
                name: output.file_name.clone(),
                artifact_type: output.artifact_type.clone(),
                sha256: output.digest.hex(),
                bytes: output.bytes,
            })
        })
        .collect();
    let inputs = report.lineage.statements.iter().flat_map(|one| &one.inputs);
    let data: BTreeSet<CardData> = inputs
        .filter(|input| input.origin.is_none())
        .filter_map(|input| {
            Some(CardData { path: input.path.clone()?, files: input.files, sha256: input.sha256.clone() })
        })
        .collect();
    let data: Vec<CardData> = data.into_iter().collect();
    let of_stage = |stage: &super::StageView| {
        let metric = |(name, metric): (&String, &crate::record::MetricValue)| CardMetric {
            stage: stage.stage.0.clone(),
            name: name.clone(),
            value: metric.value,
            unit: metric.unit.clone(),
        };
        stage.metrics.iter().map(metric).collect::<Vec<_>>()
    };
    let metrics: Vec<CardMetric> = report.stages.iter().flat_map(of_stage).collect();
    let targets = report.targets.iter().map(|one| (one.target.clone(), one.status, one.reason.clone()));
    let gates = report.stages.iter().flat_map(|stage| {
        let of = |gate: &stagewright_protocol::Gate| {
            (format!("{}:{}", stage.stage, gate.name), gate.status, gate.reason.clone())
        };
        stage.gates.iter().map(of).collect::<Vec<_>>()
    });
    let stages = report
        .stages
        .iter()
        .map(|stage| (stage.stage.0.clone(), stage.program.clone().unwrap_or_default()))
        .collect();
    let name = release.map(|release| release.name.clone()).unwrap_or_default();
    ModelCard {
        format: FORMAT,
        metadata: metadata(report, &name, &files, &data, &metrics),
        name,
        commit: release.map(|release| release.commit.clone()).unwrap_or_default(),
        pipeline: report.run.pipeline.clone(),
        files,
        data,
        metrics,
        checks: targets.chain(gates).collect(),
        stages,
        words,
    }
}

/// What a model hub reads: only what is known. A licence is the owner's to choose, so none is made up.
fn metadata(
    report: &RunReport,
    name: &str,
    files: &[CardFile],
    data: &[CardData],
    metrics: &[CardMetric],
) -> Value {
    let mut tags = BTreeSet::from(["stagewright".to_owned()]);
    let kinds = files.iter().filter_map(|file| file.artifact_type.strip_prefix("model/"));
    tags.extend(kinds.map(str::to_owned));
    let is_classifier = report.findings.benchmarks.iter().any(|(_, one)| !one.classes.is_empty());
    let mut metadata = json!({ "tags": tags });
    if files.iter().any(|file| file.artifact_type == "model/onnx" || file.name.ends_with(".onnx")) {
        metadata["library_name"] = json!("onnx");
    }
    if is_classifier {
        metadata["pipeline_tag"] = json!("image-classification");
    }
    let finite: Vec<&CardMetric> = metrics.iter().filter(|one| one.value.is_finite()).collect();
    if !finite.is_empty() {
        let dataset = data.first().map_or("data of the project", |one| one.path.as_str());
        let of = |one: &&CardMetric| {
            let unit = one.unit.as_ref().map(|unit| format!(" ({unit})")).unwrap_or_default();
            json!({ "type": one.name, "value": one.value, "name": format!("{} of {}{unit}", one.name, one.stage) })
        };
        metadata["metrics"] = json!(finite.iter().map(|one| one.name.as_str()).collect::<BTreeSet<_>>());
        metadata["model-index"] = json!([{
            "name": name,
            "results": [{
                "task": { "type": if is_classifier { "image-classification" } else { "other" } },
                "dataset": { "name": dataset, "type": "custom" },
                "metrics": finite.iter().map(of).collect::<Vec<_>>(),
            }],
        }]);
    }
    metadata
}

/// The card as Markdown.
pub fn card_markdown(card: &ModelCard) -> String {
    // A value of plain maps, lists, texts and numbers always has a YAML form.
    let front = serde_yaml::to_string(&card.metadata).unwrap_or_default();
    let mut text = format!(
        "---\n{front}---\n\n# {}\n\nRelease `{}` of the pipeline {}, at commit `{}`.\n",
        escape(&card.name),
        card.name.replace('`', ""),
        escape(&card.pipeline),
        card.commit
    );
    section(card, CardSection::Purpose, &mut text);
    text.push_str("\n## Files\n\n");
    let files = card.files.iter().map(|file| {
        vec![
            file.name.clone(),
            file.stage.clone(),
            file.artifact_type.clone(),
            bytes(file.bytes),
            file.sha256.clone(),
        ]
    });
    table(&mut text, &["file", "stage", "type", "size", "SHA-256"], &[3], files);
    text.push_str("\n## Data\n\n");
    let data = card.data.iter().map(|one| {
        let files = one.files.map_or_else(|| "1 file".to_owned(), |files| count(files, "file"));
        vec![one.path.clone(), files, one.sha256.clone()]
    });
    table(&mut text, &["data", "files", "SHA-256"], &[1], data);
    text.push_str("\n## Evaluation\n\n");
    let metrics = card.metrics.iter().map(|one| {
        vec![one.name.clone(), number(one.value), one.unit.clone().unwrap_or_default(), one.stage.clone()]
    });
    table(&mut text, &["metric", "value", "unit", "measured by"], &[1], metrics);
    if !card.checks.is_empty() {
        text.push('\n');
        let checks = card.checks.iter().map(|(name, status, reason)| {
            let status = match status {
                GateStatus::Passed => "passed",
                GateStatus::Failed => "failed",
                GateStatus::NotApplicable => "not applicable",
            };
            vec![name.clone(), status.to_owned(), reason.clone()]
        });
        table(&mut text, &["gate or target", "verdict", "what was found"], &[], checks);
    }
    section(card, CardSection::Limits, &mut text);
    section(card, CardSection::Oversight, &mut text);
    text.push_str("\n## How it was made\n\n");
    table(
        &mut text,
        &["stage", "program"],
        &[],
        card.stages.iter().map(|(stage, program)| vec![stage.clone(), program.clone()]),
    );
    text.push_str(
        "\nEvery file's origin is recorded in signed statements: `stagewright lineage verify FILE` checks it, with the bundle of the \
         release also without the project.\n",
    );
    text
}

/// What a person wrote, or what they would have to.
fn section(card: &ModelCard, section: CardSection, text: &mut String) {
    let (heading, wanted) = section.heading();
    let words = card.words.get(&section).map(|words| words.trim()).filter(|words| !words.is_empty());
    let told = words.map_or_else(|| format!("*To be written: {wanted}.*"), str::to_owned);
    text.push_str(&format!("\n## {heading}\n\n{told}\n"));
}
