//! The index of evidence for Annex IV of Regulation (EU) 2024/1689: what of it the record and the statements of a release show, and
//! what a person has to write and sign. It says what is there and what is not, and nothing about what follows from that.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use stagewright_protocol::GateStatus;

use super::{
    data::RunReport,
    figures::{count, millis},
    markdown::{escape, table},
};
use crate::{digest::Digest, lineage::Decision};

const FORMAT: &str = "stagewright/annex-iv@1";

/// A document that a person wrote for a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Where it lies, relative to the project.
    pub path: String,
    /// Its content.
    pub digest: Digest,
}

/// Documents by the row that they are for: `1a`, `2e`.
pub type Documents = BTreeMap<String, Document>;

/// The index for one release.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AnnexIndex {
    /// Version of this encoding.
    pub format: &'static str,
    /// When it was made.
    pub made: Timestamp,
    /// The release.
    pub release: String,
    /// Its commit.
    pub commit: String,
    /// The rows, in the order of the annex.
    pub rows: Vec<AnnexRow>,
}

/// One thing that the annex asks for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AnnexRow {
    /// Point of the annex, or article, as it is cited.
    pub point: &'static str,
    /// Name of a document for it, without ending.
    pub document: &'static str,
    /// What is asked, in short.
    pub asks: &'static str,
    /// What there is.
    pub status: AnnexStatus,
    /// The evidence.
    pub evidence: Vec<AnnexItem>,
    /// What a person still has to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_do: Option<String>,
}

/// What there is for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnnexStatus {
    /// Evidence that was produced and recorded without a person.
    Auto,
    /// Evidence or a document that a person has to look at, to complete and to sign.
    ToBeSigned,
    /// Nothing.
    Missing,
}

impl AnnexStatus {
    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::ToBeSigned => "to be signed",
            Self::Missing => "missing",
        }
    }
}

/// A piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AnnexItem {
    /// What it is.
    pub what: String,
    /// SHA-256, in hex, of it or of the statement that says so; a commit's hash for a commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Who fills a row.
enum Way {
    /// The record alone.
    Auto(&'static str),
    /// The record, completed by a person: with what.
    Assist(&'static str),
    /// A person: with what.
    Human(&'static str),
}

/// The index for the release that a report is on.
pub fn annex_index(report: &RunReport, documents: &Documents) -> AnnexIndex {
    let facts = Facts { report };
    let approved = facts.approvals();
    let tested = facts.tested();
    let rows = [
        (
            "1(a)",
            "1a",
            "intended purpose, provider, version and its relation to earlier ones",
            facts.versions(),
            Way::Assist("the intended purpose and the provider"),
        ),
        (
            "1(b), (c), (e)",
            "1b",
            "interaction with hardware and software, versions, target hardware",
            facts.programs(),
            Way::Auto("a run with signed statements names them"),
        ),
        (
            "1(d), (g), (h)",
            "1d",
            "forms of delivery, user interface, instructions for use",
            Vec::new(),
            Way::Human("the forms of delivery and the instructions for use"),
        ),
        (
            "2(a)",
            "2a",
            "steps of the development, parts of third parties",
            facts.steps(),
            Way::Auto("a run with signed statements names them"),
        ),
        (
            "2(b)",
            "2b",
            "design choices, trade-offs, what is optimised for",
            facts.targets(),
            Way::Assist("why these choices were made"),
        ),
        (
            "2(c)",
            "2c",
            "architecture and computing power used",
            facts.computing(),
            Way::Auto("a run with signed statements names them"),
        ),
        (
            "2(d)",
            "2d",
            "data: provenance, scope, selection, labelling, cleaning",
            facts.data(),
            Way::Assist("origin, selection and labelling of the data"),
        ),
        ("2(e)", "2e", "human oversight", Vec::new(), Way::Human("how people oversee the system")),
        (
            "2(f)",
            "2f",
            "changes that were determined beforehand",
            Vec::new(),
            Way::Human("which changes need no new assessment"),
        ),
        (
            "2(g)",
            "2g",
            "validation and testing: metrics, logs, reports, dated and signed",
            // Who approves what nothing has tested gives no evidence of tests.
            if tested.is_empty() { Vec::new() } else { [tested.clone(), approved.clone()].concat() },
            if tested.is_empty() || !approved.is_empty() {
                Way::Auto("gates and targets of the pipeline are its evidence")
            } else {
                Way::Assist("an approval: `stagewright approve`")
            },
        ),
        (
            "2(h)",
            "2h",
            "cybersecurity measures",
            facts.integrity(),
            Way::Auto(
                "signed statements that hold are its evidence: `stagewright lineage verify` says what does not",
            ),
        ),
        (
            "3",
            "3",
            "capabilities and limits, accuracy by group, specification of the input",
            facts.measured(),
            Way::Assist("limits, and which groups matter"),
        ),
        ("4", "4", "why these metrics fit", Vec::new(), Way::Human("why these metrics fit")),
        ("5", "5", "risk management (Article 9)", Vec::new(), Way::Human("the risk management file")),
        (
            "6",
            "6",
            "changes through the lifecycle",
            facts.changes(),
            Way::Auto("the release before it is its evidence"),
        ),
        ("7", "7", "standards applied", Vec::new(), Way::Human("the list of standards")),
        ("8", "8", "declaration of conformity", Vec::new(), Way::Human("the declaration")),
        (
            "9",
            "9",
            "post-market monitoring (Article 72)",
            facts.rollback(),
            Way::Assist("the plan for monitoring"),
        ),
        (
            "Articles 12, 19",
            "12",
            "records of events",
            facts.log(),
            Way::Auto("a run with statements is its evidence"),
        ),
        (
            "Article 15",
            "15",
            "accuracy, robustness and cybersecurity as declared",
            facts.measured(),
            Way::Auto("metrics, benchmarks and checklists are its evidence"),
        ),
    ];
    let row = |(point, document, asks, evidence, way): (_, &'static str, _, Vec<AnnexItem>, Way)| {
        row(point, document, asks, evidence, &way, documents.get(document))
    };
    let release = report.release.as_ref();
    AnnexIndex {
        format: FORMAT,
        made: report.made,
        release: release.map(|release| release.name.clone()).unwrap_or_default(),
        commit: release.map(|release| release.commit.clone()).unwrap_or_default(),
        rows: rows.into_iter().map(row).collect(),
    }
}

fn row(
    point: &'static str,
    document: &'static str,
    asks: &'static str,
    mut evidence: Vec<AnnexItem>,
    way: &Way,
    written: Option<&Document>,
) -> AnnexRow {
    evidence.sort();
    evidence.dedup();
    let found = !evidence.is_empty();
    if let Some(Document { path, digest }) = written {
        evidence.push(AnnexItem { what: format!("document {path}"), digest: Some(digest.hex()) });
    }
    let sign = |what: &str| Some(format!("read and sign it: {what}"));
    let write = |what: &str| Some(format!("write evidence/{document}.md: {what}"));
    let (status, to_do) = match (way, found, written.is_some()) {
        (Way::Auto(_), true, _) => (AnnexStatus::Auto, None),
        (Way::Auto(what), false, false) => (AnnexStatus::Missing, Some((*what).to_owned())),
        (Way::Auto(what) | Way::Assist(what) | Way::Human(what), _, true) => {
            (AnnexStatus::ToBeSigned, sign(what))
        }
        (Way::Assist(what), true, false) => (AnnexStatus::ToBeSigned, Some(format!("a person adds: {what}"))),
        (Way::Assist(what) | Way::Human(what), _, false) => (AnnexStatus::Missing, write(what)),
    };
    AnnexRow { point, document, asks, status, evidence, to_do }
}

struct Facts<'a> {
    report: &'a RunReport,
}

fn item(what: String, digest: Option<String>) -> AnnexItem {
    AnnexItem { what, digest }
}

impl Facts<'_> {
    fn run_statement(&self) -> Option<String> {
        self.report.lineage.run_statement.map(|digest| digest.hex())
    }

    fn statement_of(&self, stage: &str) -> Option<String> {
        let all = &self.report.lineage.statements;
        all.iter().find(|one| one.stage == stage).map(|one| one.statement.hex())
    }

    fn versions(&self) -> Vec<AnnexItem> {
        let Some(release) = &self.report.release else { return Vec::new() };
        let mut items = vec![item(format!("release {}", release.name), Some(release.commit.clone()))];
        items.push(match &release.since {
            Some((before, _)) => item(format!("follows release {before}"), None),
            None => item("first release".to_owned(), None),
        });
        items
    }

    /// Programs and libraries that made it, and the machine as far as it may be told.
    fn programs(&self) -> Vec<AnnexItem> {
        let all = self.report.lineage.statements.iter().flat_map(|one| &one.made_with);
        let programs = all.filter(|one| one.name.starts_with("program:"));
        let named = programs.map(|one| {
            let version = one.note.as_ref().map(|note| format!(" {note}")).unwrap_or_default();
            item(format!("{}{version}", one.name), Some(one.hash.clone()))
        });
        named.collect()
    }

    fn steps(&self) -> Vec<AnnexItem> {
        let mut items: Vec<AnnexItem> = self
            .report
            .lineage
            .statements
            .iter()
            .map(|one| item(format!("statement on stage {}", one.stage), Some(one.statement.hex())))
            .collect();
        items.extend(
            self.run_statement()
                .map(|digest| item("statement on the run, with every stage".to_owned(), Some(digest))),
        );
        items
    }

    fn targets(&self) -> Vec<AnnexItem> {
        let targets = self.report.targets.iter();
        targets
            .map(|one| item(format!("target {}: {}", one.target, one.reason), self.run_statement()))
            .collect()
    }

    fn computing(&self) -> Vec<AnnexItem> {
        let mut items = Vec::new();
        for stage in &self.report.stages {
            let took = stage.made_in_ms.or(stage.duration_ms);
            if let (Some(took), Some(statement)) = (took, self.statement_of(&stage.stage.0)) {
                items.push(item(format!("stage {} took {}", stage.stage, millis(took)), Some(statement)));
            }
        }
        for (stage, pruning) in &self.report.findings.pruning {
            for (name, state) in &pruning.states {
                let what = format!("{name} of {stage}: {} parameters, {} MACs", state.parameters, state.macs);
                items.push(item(what, self.statement_of(&stage.0)));
            }
        }
        items
    }

    fn data(&self) -> Vec<AnnexItem> {
        let mut items = Vec::new();
        for statement in &self.report.lineage.statements {
            for input in statement.inputs.iter().filter(|input| input.origin.is_none()) {
                let path = input.path.as_deref().unwrap_or(&input.name);
                let files =
                    input.files.map(|files| format!(", {}", count(files, "file"))).unwrap_or_default();
                items.push(item(format!("data {path}{files}"), Some(input.sha256.clone())));
            }
        }
        for (stage, data) in &self.report.findings.data {
            let splits: Vec<String> =
                data.splits.iter().map(|(name, samples)| format!("{name} {samples}")).collect();
            let what = format!(
                "findings of {stage}: {}, {}, {}",
                count(data.samples, "sample"),
                splits.join(", "),
                count(data.problems.iter().filter(|one| one.samples > 0).count() as u64, "finding")
            );
            items.push(item(what, self.statement_of(&stage.0)));
        }
        items
    }

    fn tested(&self) -> Vec<AnnexItem> {
        let word = |status: GateStatus| match status {
            GateStatus::Passed => "passed",
            GateStatus::Failed => "failed",
            GateStatus::NotApplicable => "not applicable",
        };
        let mut items = Vec::new();
        for stage in &self.report.stages {
            for gate in &stage.gates {
                let what =
                    format!("gate {} of {} {}: {}", gate.name, stage.stage, word(gate.status), gate.reason);
                items.push(item(what, self.statement_of(&stage.stage.0)));
            }
        }
        for target in &self.report.targets {
            let what = format!("target {} {}: {}", target.target, word(target.status), target.reason);
            items.push(item(what, self.run_statement()));
        }
        items
    }

    fn approvals(&self) -> Vec<AnnexItem> {
        let decisions = self.report.decisions.iter();
        let approval = |one: &crate::lineage::Decided| match &one.decision {
            Decision::Approved { .. } => {
                Some(item(format!("approved by {} at {:.0}", one.by, one.at), Some(one.statement.hex())))
            }
            Decision::Waived { .. } => None,
        };
        decisions.filter_map(approval).collect()
    }

    /// Signatures that count, where a verification found nothing wrong.
    fn integrity(&self) -> Vec<AnnexItem> {
        let lineage = &self.report.lineage;
        let Some(verified) = lineage.verified.as_ref().filter(|verified| verified.faults.is_empty()) else {
            return Vec::new();
        };
        if lineage.statements.is_empty() || !lineage.statements.iter().all(|one| one.trusted) {
            return Vec::new();
        }
        let signed: BTreeSet<&str> = lineage.run_signed.iter().map(String::as_str).collect();
        let what = format!(
            "{} and {} verified at {:.0}, {}",
            count(verified.statements as u64, "statement"),
            count(verified.files as u64, "file"),
            verified.at,
            signed.into_iter().collect::<Vec<_>>().join(", ")
        );
        vec![item(what, self.run_statement())]
    }

    fn measured(&self) -> Vec<AnnexItem> {
        let mut items = Vec::new();
        let findings = &self.report.findings;
        for (stage, benchmark) in &findings.benchmarks {
            for one in &benchmark.variants {
                let what = format!(
                    "{} as {stage} measured it: {:.2} % of {}, {} ms",
                    one.name,
                    one.top1,
                    count(benchmark.accuracy_samples, "sample"),
                    super::figures::number(one.latency.p50)
                );
                items.push(item(what, self.statement_of(&stage.0)));
            }
        }
        for (stage, checklist) in &findings.checklists {
            for check in &checklist.checks {
                let what = format!("check {} of {stage} {}: {}", check.check, check.status, check.reason);
                items.push(item(what, self.statement_of(&stage.0)));
            }
        }
        for stage in &self.report.stages {
            for (name, metric) in &stage.metrics {
                let unit = metric.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
                let what = format!("{name} of {}: {}{unit}", stage.stage, metric.value);
                items.push(item(what, self.statement_of(&stage.stage.0)));
            }
        }
        items
    }

    fn changes(&self) -> Vec<AnnexItem> {
        let Some(release) = &self.report.release else { return Vec::new() };
        match &release.since {
            Some((before, _)) => {
                vec![item(
                    format!("`stagewright release diff {before} {}`", release.name),
                    Some(release.commit.clone()),
                )]
            }
            None => {
                vec![item("first release: nothing came before it".to_owned(), Some(release.commit.clone()))]
            }
        }
    }

    fn rollback(&self) -> Vec<AnnexItem> {
        let all = self.report.findings.checklists.iter();
        let checks = all.flat_map(|(stage, list)| list.checks.iter().map(move |check| (stage, check)));
        let drills = checks.filter(|(_, check)| check.check == "rollback");
        drills
            .map(|(stage, check)| {
                let what = format!("going back, as {stage} tried it, {}: {}", check.status, check.reason);
                item(what, self.statement_of(&stage.0))
            })
            .collect()
    }

    fn log(&self) -> Vec<AnnexItem> {
        let Some(statement) = self.run_statement() else { return Vec::new() };
        let size = count(self.report.lineage.ledger_size as u64, "statement");
        vec![item(format!("append-only ledger of {size}, with this run in it"), Some(statement))]
    }
}

/// The index as Markdown.
pub fn annex_markdown(index: &AnnexIndex) -> String {
    let of = |status: AnnexStatus| index.rows.iter().filter(|row| row.status == status).count();
    let mut text = format!(
        "# Evidence for Annex IV: {}\n\nOf Regulation (EU) 2024/1689, for the release `{}` at commit `{}`. {} rows: {} auto, {} to be \
         signed, {} missing.\n\n- **auto**: produced and recorded by the pipeline; the digest is that of the evidence, or of the \
         signed statement that says so\n- **to be signed**: there is something that a person has to complete, read and sign\n- \
         **missing**: there is nothing yet\n\nThis index says what evidence there is. It is no assessment of it, and the wording of \
         the points is shortened.\n\n",
        escape(&index.release),
        index.release.replace('`', ""),
        index.commit,
        index.rows.len(),
        of(AnnexStatus::Auto),
        of(AnnexStatus::ToBeSigned),
        of(AnnexStatus::Missing),
    );
    let rows = index.rows.iter().map(|row| {
        vec![
            row.point.to_owned(),
            row.asks.to_owned(),
            row.status.word().to_owned(),
            row.to_do.clone().unwrap_or_default(),
        ]
    });
    table(&mut text, &["point", "asks for", "status", "to do"], &[], rows);
    for row in index.rows.iter().filter(|row| !row.evidence.is_empty()) {
        text.push_str(&format!("\n## {}: {}\n\n", row.point, row.asks));
        let items =
            row.evidence.iter().map(|one| vec![one.what.clone(), one.digest.clone().unwrap_or_default()]);
        table(&mut text, &["evidence", "digest"], &[], items);
    }
    text
}
