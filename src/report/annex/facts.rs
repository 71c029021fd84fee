//! Evidence for the rows, out of a report.

use std::collections::BTreeSet;

use stagewright_protocol::GateStatus;

use super::AnnexItem;
use crate::{
    lineage::Decision,
    report::{
        data::RunReport,
        figures::{count, millis, number},
    },
};

/// What a report shows.
pub(super) struct Facts<'a> {
    pub(super) report: &'a RunReport,
}

/// A piece of evidence with its digest.
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

    pub(super) fn versions(&self) -> Vec<AnnexItem> {
        let Some(release) = &self.report.release else { return Vec::new() };
        let mut items = vec![item(format!("release {}", release.name), Some(release.commit.clone()))];
        items.push(match &release.since {
            Some((before, _)) => item(format!("follows release {before}"), None),
            None => item("first release".to_owned(), None),
        });
        items
    }

    /// Programs and libraries that made it, and the machine as far as it may be told.
    pub(super) fn programs(&self) -> Vec<AnnexItem> {
        let all = self.report.lineage.statements.iter().flat_map(|one| &one.made_with);
        let programs = all.filter(|one| one.name.starts_with("program:"));
        let named = programs.map(|one| {
            let version = one.note.as_ref().map(|note| format!(" {note}")).unwrap_or_default();
            item(format!("{}{version}", one.name), Some(one.hash.clone()))
        });
        named.collect()
    }

    pub(super) fn steps(&self) -> Vec<AnnexItem> {
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

    pub(super) fn targets(&self) -> Vec<AnnexItem> {
        let targets = self.report.targets.iter();
        targets
            .map(|one| item(format!("target {}: {}", one.target, one.reason), self.run_statement()))
            .collect()
    }

    pub(super) fn computing(&self) -> Vec<AnnexItem> {
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

    pub(super) fn data(&self) -> Vec<AnnexItem> {
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

    pub(super) fn tested(&self) -> Vec<AnnexItem> {
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

    pub(super) fn approvals(&self) -> Vec<AnnexItem> {
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
    pub(super) fn integrity(&self) -> Vec<AnnexItem> {
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

    pub(super) fn measured(&self) -> Vec<AnnexItem> {
        let mut items = Vec::new();
        let findings = &self.report.findings;
        for (stage, benchmark) in &findings.benchmarks {
            for one in &benchmark.variants {
                let what = format!(
                    "{} as {stage} measured it: {:.2} % of {}, {} ms",
                    one.name,
                    one.top1,
                    count(benchmark.accuracy_samples, "sample"),
                    number(one.latency.p50)
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

    pub(super) fn changes(&self) -> Vec<AnnexItem> {
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

    pub(super) fn rollback(&self) -> Vec<AnnexItem> {
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

    pub(super) fn log(&self) -> Vec<AnnexItem> {
        let Some(statement) = self.run_statement() else { return Vec::new() };
        let size = count(self.report.lineage.ledger_size as u64, "statement");
        vec![item(format!("append-only ledger of {size}, with this run in it"), Some(statement))]
    }
}
