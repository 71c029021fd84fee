//! The index of evidence for Annex IV of Regulation (EU) 2024/1689: what of it the record and the statements of a release show, and
//! what a person has to write and sign. It says what is there and what is not, and nothing about what follows from that.

mod facts;

use std::collections::BTreeMap;

use facts::Facts;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    data::RunReport,
    markdown::{escape, table},
};
use crate::digest::Digest;

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
