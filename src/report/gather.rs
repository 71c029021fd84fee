//! A run's record, the files in the store and the statements → a [`RunReport`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    data::{Curves, FORMAT, FailureView, OutputView, Picture, Run, RunReport, Series, StageView, Text},
    findings::{Findings, distribution},
    lineage::{LineageView, Verified},
};
use crate::{
    lineage::{Case, Decided, Ledger, Library, Node, RunPredicate, TrustPolicy, decisions_about, verify_run},
    plan::StageId,
    record::{RunId, RunRecord, RunState, StageRecord, StoredOutput, read_run},
    store::{ArtifactKind, LocalStore},
};

/// Largest JSON file that is read, in bytes.
const LARGEST_JSON: u64 = 16 << 20;
/// Largest image that a page holds, in bytes.
const LARGEST_PICTURE: u64 = 4 << 20;
/// All images of a page together, in bytes.
const ALL_PICTURES: u64 = 16 << 20;
/// Longest text of a stage that a page holds, in bytes.
const LONGEST_TEXT: usize = 64 << 10;
/// All such texts of a page together, in bytes.
const ALL_TEXTS: usize = 1 << 20;

/// What a report is gathered from.
pub struct Gathering<'a> {
    /// Folder of the project's state.
    pub state_dir: &'a Path,
    /// The store.
    pub store: &'a LocalStore,
    /// The statements; none leaves them out, as for a run that goes on, which has none yet.
    pub evidence: Option<Statements<'a>>,
    /// How to verify; none leaves it out.
    pub verify: Option<&'a Case<'a>>,
}

/// Statements, and whose signatures on them count.
#[derive(Clone, Copy)]
pub struct Statements<'a> {
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The statements.
    pub library: &'a Library,
    /// Whose signatures count.
    pub policy: Option<&'a TrustPolicy>,
}

/// Gathers everything that a report says of a run.
pub fn gather(from: &Gathering<'_>, record: &RunRecord, now: Timestamp) -> RunReport {
    let positions: HashMap<&StageId, usize> =
        record.stages.iter().enumerate().map(|(at, stage)| (&stage.stage, at)).collect();
    let evidence = from.evidence;
    let statement =
        evidence.zip(record.statement).and_then(|(found, digest)| found.library.blob(&digest.hex()));
    let mut lineage = evidence
        .zip(statement)
        .map(|(found, node)| LineageView::of(found.library, found.ledger, found.policy, node))
        .unwrap_or_default();
    if let (Some(node), Some(case)) = (statement, from.verify) {
        lineage.verified = Some(Verified::new(verify_run(case, node, true), now));
    }
    let statements: HashMap<String, usize> =
        lineage.statements.iter().enumerate().map(|(at, one)| (one.statement.hex(), at)).collect();
    let producers = producers(record);
    let stages = record.stages.iter().enumerate().map(|(at, stage)| {
        let needs = needs(record, at, &positions, &producers);
        let statement = stage.statements.iter().find_map(|one| statements.get(&one.hex()).copied());
        view(record, stage, needs, statement)
    });
    let mut shown = Shown::default();
    for stage in &record.stages {
        shown.outputs(from.store, stage);
    }
    RunReport {
        format: FORMAT,
        made: now,
        release: None,
        run: Run::of(record),
        stages: stages.collect(),
        targets: record.targets.clone(),
        waived: record.waived.clone(),
        decisions: evidence.map(|found| decided(found, record, statement)).unwrap_or_default(),
        curves: curves(from.state_dir, record),
        findings: shown.findings,
        pictures: shown.pictures,
        texts: shown.texts,
        lineage,
    }
}

/// Decisions about the outputs of a run, or about the verdicts on its gates.
fn decided(from: Statements<'_>, record: &RunRecord, run: Option<&Node>) -> Vec<Decided> {
    let outputs =
        record.stages.iter().flat_map(|stage| stage.outputs.values()).map(|output| output.artifact.digest);
    let statements = record.stages.iter().flat_map(|stage| &stage.statements).copied();
    let told = run.and_then(|run| run.statement.read::<RunPredicate>("the statement on the run").ok());
    let verdicts = told.into_iter().flat_map(|told| told.verdicts);
    let about: BTreeSet<String> =
        outputs.chain(statements).chain(verdicts).map(|digest| digest.hex()).collect();
    let mut decided: Vec<Decided> =
        about.iter().flat_map(|hash| decisions_about(from.library, from.policy, hash)).collect();
    decided.sort_by_key(|one| (one.at, one.statement));
    decided.dedup_by_key(|one| one.statement);
    decided
}

/// What the stages of a run found.
pub(super) fn read_findings(store: &LocalStore, record: &RunRecord) -> Findings {
    let mut shown = Shown::default();
    record.stages.iter().for_each(|stage| shown.outputs(store, stage));
    shown.findings
}

/// The stages that made something, by digest, in the order of the plan.
fn producers(record: &RunRecord) -> HashMap<String, Vec<usize>> {
    let mut producers: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, stage) in record.stages.iter().enumerate() {
        for output in stage.outputs.values() {
            producers.entry(output.artifact.digest.to_string()).or_default().push(at);
        }
    }
    producers
}

/// What a stage waited for: as the record says, or in records of the first release by what it read.
fn needs(
    record: &RunRecord,
    at: usize,
    positions: &HashMap<&StageId, usize>,
    producers: &HashMap<String, Vec<usize>>,
) -> Vec<usize> {
    let stage = &record.stages[at];
    let mut needs: Vec<usize> = if record.needs.is_empty() {
        let inputs = stage.material.iter().filter(|(field, _)| field.starts_with("inputs."));
        let made = inputs.filter_map(|(_, value)| producers.get(value.as_str()?));
        made.filter_map(|makers| makers.iter().find(|&&maker| maker < at).copied()).collect()
    } else {
        let named = record.needs.get(&stage.stage).into_iter().flatten();
        named.filter_map(|need| positions.get(need).copied()).collect()
    };
    needs.sort_unstable();
    needs.dedup();
    needs.retain(|&need| need != at);
    needs
}

fn view(record: &RunRecord, stage: &StageRecord, needs: Vec<usize>, statement: Option<usize>) -> StageView {
    let params =
        stage.material.iter().filter(|(field, _)| *field != "program" && !field.starts_with("inputs."));
    let outputs = stage.outputs.iter().map(|(port, output)| OutputView {
        port: port.clone(),
        artifact_type: output.artifact_type.clone(),
        file_name: output.file_name.clone(),
        digest: output.artifact.digest,
        bytes: output.artifact.bytes,
        files: output.artifact.files,
    });
    StageView {
        stage: stage.stage.clone(),
        outcome: stage.outcome,
        running_since: stage.started.filter(|_| stage.outcome.is_none() && record.state == RunState::Running),
        usual_ms: stage.usual_ms.filter(|_| stage.outcome.is_none()),
        reason: stage.reason.clone(),
        duration_ms: stage.duration_ms,
        made_in: stage.made_in.filter(|made| *made != record.run),
        made_in_ms: stage.made_in_ms,
        attempts: stage.attempts,
        program: stage.material.get("program").and_then(Value::as_str).map(str::to_owned),
        params: params.map(|(field, value)| (field.clone(), value.clone())).collect(),
        metrics: stage.measured.metrics.clone(),
        gates: stage.measured.gates.clone(),
        warnings: stage.measured.warnings.clone(),
        failure: stage.failure.as_ref().filter(|_| !stage.outcome.is_some_and(|one| one.is_success())).map(
            |failure| FailureView {
                message: failure.fault.message.clone(),
                hint: failure.fault.hint.clone(),
                tail: failure.tail.clone(),
            },
        ),
        outputs: outputs.collect(),
        needs,
        statement,
    }
}

/// Curves of all stages. Those of a reused result stand in the record of the run that made it.
pub(super) fn curves(state_dir: &Path, record: &RunRecord) -> Vec<Curves> {
    let mut others: HashMap<RunId, Option<RunRecord>> = HashMap::new();
    let mut all = Vec::new();
    for stage in &record.stages {
        let elsewhere = stage.made_in.filter(|made| *made != record.run && stage.curves.is_empty());
        let of = match elsewhere {
            None => Some(stage),
            Some(run) => others
                .entry(run)
                .or_insert_with(|| read_run(state_dir, run).ok())
                .as_ref()
                .and_then(|other| other.stage(&stage.stage)),
        };
        all.extend(of.into_iter().flat_map(grouped));
    }
    all
}

/// Curves with the same last part of their names and the same unit share a plot.
fn grouped(stage: &StageRecord) -> Vec<Curves> {
    let mut groups: BTreeMap<(String, Option<String>), Vec<Series>> = BTreeMap::new();
    for (name, points) in stage.curves.iter().filter(|(_, points)| points.len() > 1) {
        let last = name.rsplit('.').next().unwrap_or(name).to_owned();
        let unit = stage.measured.metrics.get(name).and_then(|metric| metric.unit.clone());
        let points = points.iter().map(|&(step, value)| (step as f64, value)).collect();
        groups.entry((last, unit)).or_default().push(Series { name: name.clone(), points });
    }
    let curves = groups.into_iter().map(|((last, unit), series)| Curves {
        stage: stage.stage.clone(),
        name: if let [only] = &series[..] { only.name.clone() } else { last },
        unit,
        series,
    });
    curves.collect()
}

/// What is shown of the files that stages wrote.
#[derive(Default)]
struct Shown {
    findings: Findings,
    pictures: Vec<Picture>,
    texts: Vec<Text>,
    picture_bytes: u64,
    text_bytes: usize,
}

impl Shown {
    fn outputs(&mut self, store: &LocalStore, stage: &StageRecord) {
        for (port, output) in &stage.outputs {
            let artifact = &output.artifact;
            if artifact.kind != ArtifactKind::File {
                continue;
            }
            // What is not in the store any more is not shown.
            let read = || store.read(&artifact.digest).ok();
            // A command's files have no type of their own; their names tell.
            match (output.artifact_type.as_str(), ending(output).as_str()) {
                ("metrics/json" | "stats/dataset", _) | ("file", "json")
                    if artifact.bytes <= LARGEST_JSON =>
                {
                    if let Some(value) = read().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                        self.findings.take(&stage.stage, &value);
                    }
                }
                ("report/image", _) | ("file", "png" | "jpg" | "jpeg" | "svg") => {
                    self.picture(stage, port, output, read);
                }
                ("report/markdown", _) => {
                    if self.text_bytes < ALL_TEXTS
                        && let Some(bytes) = read()
                    {
                        let text = cut(&String::from_utf8_lossy(&bytes));
                        self.text_bytes += text.len();
                        self.texts.push(Text {
                            stage: stage.stage.clone(),
                            port: port.clone(),
                            digest: artifact.digest,
                            text,
                        });
                    }
                }
                _ => {}
            }
        }
        self.latencies(store, stage);
    }

    fn picture(
        &mut self,
        stage: &StageRecord,
        port: &str,
        output: &StoredOutput,
        read: impl Fn() -> Option<Vec<u8>>,
    ) {
        let bytes = output.artifact.bytes;
        let fits = bytes <= LARGEST_PICTURE && self.picture_bytes + bytes <= ALL_PICTURES;
        let content = fits.then(read).flatten();
        let media_type = match ending(output).as_str() {
            "png" => "image/png",
            "jpg" | "jpeg" => "image/jpeg",
            // Shown as an image, in which no script runs and nothing is loaded.
            "svg" => "image/svg+xml",
            _ => return,
        };
        self.picture_bytes += content.as_ref().map_or(0, |content| content.len() as u64);
        self.pictures.push(Picture {
            stage: stage.stage.clone(),
            port: port.to_owned(),
            digest: output.artifact.digest,
            media_type,
            content,
        });
    }

    /// A benchmark keeps the times it measured beside its results, a file a variant.
    fn latencies(&mut self, store: &LocalStore, stage: &StageRecord) {
        let Some((_, benchmark)) = self.findings.benchmarks.iter_mut().find(|(of, _)| *of == stage.stage)
        else {
            return;
        };
        let folders = stage.outputs.values().filter(|output| output.artifact.kind == ArtifactKind::Tree);
        for tree in folders.filter_map(|output| store.tree(&output.artifact.digest).ok()) {
            let small = |entry: &&crate::store::TreeEntry| entry.digest.size() <= LARGEST_JSON;
            for entry in tree.entries().iter().filter(small).filter(|entry| entry.path.ends_with(".json")) {
                let value =
                    store.read(&entry.digest).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
                let Some(value): Option<Value> = value else { continue };
                let name = value.get("variant").and_then(Value::as_str).unwrap_or_default();
                let Some(variant) = benchmark.variants.iter_mut().find(|variant| variant.name == name) else {
                    continue;
                };
                let rounds = value.get("batch-1").and_then(Value::as_array).into_iter().flatten();
                let times = rounds.filter_map(Value::as_array).flatten().filter_map(Value::as_f64);
                variant.distribution = distribution(times.collect());
            }
        }
    }
}

/// `png` of `curves.PNG`.
fn ending(output: &StoredOutput) -> String {
    Path::new(&output.file_name)
        .extension()
        .map(|ending| ending.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default()
}

fn cut(text: &str) -> String {
    if text.len() <= LONGEST_TEXT {
        return text.to_owned();
    }
    let end = (0..=LONGEST_TEXT).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}\n… {} more bytes", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{
        record::{MetricValue, Outcome},
        report::{Part, Site, run_markdown, run_page, run_pieces},
        store::Artifact,
    };

    /// Records of a thousand stages, each with params, metrics, outputs and three stages that it needs.
    fn large() -> RunRecord {
        let mut record = RunRecord::new(RunId::now());
        record.pipeline = "large".to_owned();
        let id = |at: usize| StageId(format!("stage-{at}"));
        for at in 0..1000 {
            let mut stage = StageRecord::new(id(at));
            stage.outcome = Some(if at % 3 == 0 { Outcome::Cached } else { Outcome::Ran });
            stage.reason = "with.optimizer.lr 0.1 → 0.01, by params.lr".to_owned();
            stage.duration_ms = Some(at as u64 * 17);
            stage.material = (0..12).map(|param| (format!("with.param-{param}"), param.into())).collect();
            for metric in ["top1", "loss"] {
                let value = MetricValue { value: at as f64 / 7.0, unit: None };
                stage.measured.metrics.insert(metric.to_owned(), value);
            }
            let digest = crate::digest::Digest::of(at.to_string().as_bytes());
            let artifact = Artifact { kind: ArtifactKind::File, digest, files: 1, bytes: 4096 };
            let output = StoredOutput {
                artifact_type: "file".to_owned(),
                file_name: "out.bin".to_owned(),
                artifact,
                executable: false,
            };
            stage.outputs.insert("out".to_owned(), output);
            record
                .needs
                .insert(id(at), (1..=3).filter_map(|back| at.checked_sub(back * back)).map(id).collect());
            record.stages.push(stage);
        }
        record
    }

    #[test]
    fn a_thousand_stages_make_a_page_of_reasonable_size_in_reasonable_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let ledger = Ledger::load(folder.path()).unwrap();
        let library = Library::load(&ledger, &store);
        let from = Gathering {
            state_dir: folder.path(),
            store: &store,
            evidence: Some(Statements { ledger: &ledger, library: &library, policy: None }),
            verify: None,
        };
        let record = large();
        let began = Instant::now();
        let report = gather(&from, &record, Timestamp::now());
        let page = run_page(&report, None);
        let took = began.elapsed();
        println!("{} bytes in {took:?}", page.len());
        assert_eq!(report.stages[10].needs, [1, 6, 9]);
        assert!(page.contains("id=\"s999\"") && page.len() < 5_000_000, "{} bytes", page.len());
        // Unoptimized, on a busy machine; a release does it in a fraction.
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert!(run_markdown(&report).len() < 400_000);
    }

    #[test]
    fn what_is_told_of_a_run_that_goes_on_is_what_its_page_holds() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let from = Gathering { state_dir: folder.path(), store: &store, evidence: None, verify: None };
        let mut record = large();
        record.stages.truncate(40);
        record.state = RunState::Running;
        record.started = Some(Timestamp::UNIX_EPOCH);
        record.stages[7].outcome = None;
        record.stages[7].started = Some(Timestamp::UNIX_EPOCH);
        record.stages[7].usual_ms = Some(61_000);
        let live = Some("../changes/1?from=9".to_owned());
        let site = Site { project: "cats".to_owned(), part: Part::Runs, depth: 1, live };
        let report = gather(&from, &record, Timestamp::now());
        let page = run_page(&report, Some(&site));
        let told = run_pieces(&report, &site);
        for (id, piece) in &told.pieces {
            assert!(page.contains(piece.as_str()), "{id}: {piece}");
            assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
        }
        assert!(page.contains("▶ running") && page.contains(" of usually 1 min 01 s"));
        // Another stage has ended: its own elements and the sums, and nothing else.
        record.stages[7].outcome = Some(Outcome::Ran);
        let later = run_pieces(&gather(&from, &record, Timestamp::now()), &site);
        assert_eq!(told.frame, later.frame);
        let changed = told.pieces.iter().zip(&later.pieces).filter(|(a, b)| a != b);
        let changed: Vec<&str> = changed.map(|((id, _), _)| id.as_str()).collect();
        assert_eq!(changed, ["page-head", "part-summary", "graph-legend", "n7", "r7", "s7"]);
    }

    #[test]
    fn a_record_of_the_first_release_shows_what_fed_what() {
        let mut record = large();
        record.needs.clear();
        let digest = record.stages[4].outputs["out"].artifact.digest.to_string();
        record.stages[9].material.insert("inputs.data".to_owned(), digest.clone().into());
        record.stages[2].material.insert("inputs.data".to_owned(), digest.into());
        let producers = producers(&record);
        assert_eq!(needs(&record, 9, &HashMap::new(), &producers), [4]);
        // A later stage can't have fed it, whatever it made.
        assert_eq!(needs(&record, 2, &HashMap::new(), &producers), Vec::<usize>::new());
    }
}
