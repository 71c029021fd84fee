#![allow(clippy::unwrap_used)]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    future::Future,
    pin::pin,
    task::{Context as Waking, Poll, Waker},
};

use stagewright_protocol::{ErrorClass, Fault, Gate, GateStatus};

use super::{
    comment::Found,
    workflow::{Job, Permission, Step, Work, Workflow},
    *,
};
use crate::{
    config::GithubJob,
    plan::{FailureClass, StageId},
    record::{
        Failure, GitState, MetricValue, Outcome, RunId, RunOutcome, RunRecord, RunState, StageRecord,
        TargetVerdict,
    },
    spec,
};

fn id() -> RunId {
    "0198a3b2-0000-7000-8000-0123456789ab".parse().unwrap()
}

fn stage(name: &str, outcome: Outcome) -> StageRecord {
    StageRecord {
        outcome: Some(outcome),
        reason: "first run".to_owned(),
        duration_ms: Some(61_500),
        made_in_ms: Some(4_200),
        ..StageRecord::new(StageId(name.to_owned()))
    }
}

fn metric(value: f64, unit: Option<&str>) -> MetricValue {
    MetricValue { value, unit: unit.map(str::to_owned) }
}

fn failure(message: &str) -> Failure {
    Failure {
        class: FailureClass::ExitCode,
        fault: Fault {
            class: ErrorClass::User,
            message: message.to_owned(),
            hint: Some("look at the labels".to_owned()),
        },
        tail: vec!["Traceback".to_owned(), "::error::not a command".to_owned()],
    }
}

/// A run with one of everything.
fn record() -> RunRecord {
    let mut train = stage("train", Outcome::Ran);
    train.measured.metrics = BTreeMap::from([
        ("latency".to_owned(), metric(2.5, Some("ms"))),
        ("top1".to_owned(), metric(91.25, Some("%"))),
        ("images".to_owned(), metric(1000.0, None)),
    ]);
    train.measured.gates = vec![Gate {
        name: "memory-leak".to_owned(),
        status: GateStatus::Failed,
        reason: "3.0 kB a step > 1.0 kB".to_owned(),
    }];
    train.measured.warnings = vec!["not settled".to_owned()];
    let mut bench = stage("bench", Outcome::Failed);
    bench.failure = Some(failure("label <b>x</b> is unknown\nand | so is @octocat"));
    let mut record = RunRecord::new(id());
    record.pipeline = "demo".to_owned();
    record.state = RunState::Ended(RunOutcome::Failed);
    record.git = Some(GitState { commit: Some("0123456789abcdef".to_owned()), branch: None, dirty: false });
    record.stages = vec![stage("stats", Outcome::Cached), train, bench, stage("report", Outcome::Blocked)];
    record.targets = vec![TargetVerdict {
        target: "fast".to_owned(),
        line: 3,
        stage: StageId("train".to_owned()),
        metric: "latency".to_owned(),
        value: Some(2.5),
        bound: Some(2.0),
        status: GateStatus::Failed,
        reason: "2.5 ms > 2 ms".to_owned(),
    }];
    record
}

fn base() -> Base {
    let mut before = record();
    before.stages.truncate(2);
    before.stages[1].measured.metrics.insert("top1".to_owned(), metric(90.0, Some("%")));
    before.stages[1].measured.metrics.insert("latency".to_owned(), metric(2.0, Some("ms")));
    Base::of(&before, "main").unwrap()
}

#[test]
fn a_summary_tells_what_came_of_a_run_against_its_base() {
    let record = record();
    let reports = [(StageId("train".to_owned()), "| a | b |\n| --- | --- |\n| 1 | 2 |\n".to_owned())];
    let base = base();
    let text = summary(&Summary { record: &record, base: Some(&base), reports: &reports, limit: 100_000 });
    insta::assert_snapshot!(text);
    let alone = summary(&Summary { record: &record, base: None, reports: &[], limit: 100_000 });
    assert!(alone.contains("| stage | metric | value |\n"), "{alone}");
}

#[test]
fn a_summary_keeps_to_its_limit_and_says_so() {
    let mut record = record();
    record.stages[2].failure.as_mut().unwrap().tail = vec!["x".repeat(300); 20];
    let reports = vec![(StageId("train".to_owned()), "long ".repeat(1000)); 20];
    for limit in [300, 1_000, 3_000, 30_000] {
        let text = summary(&Summary { record: &record, base: None, reports: &reports, limit });
        assert!(text.len() <= limit, "{} > {limit}", text.len());
        assert!(text.starts_with("### ❌ demo failed") && text.contains("does not fit"), "{text}");
    }
}

#[test]
fn nothing_a_stage_says_is_markup() {
    let mut record = record();
    let hostile = "<img src=x onerror=alert(1)> [a](javascript:b) ![c](d) `e` **f** @g |h|\n# i";
    record.pipeline = hostile.to_owned();
    record.stages[0].reason = hostile.to_owned();
    record.stages[2].failure =
        Some(Failure { tail: vec!["```".to_owned(), hostile.to_owned()], ..failure(hostile) });
    let text = summary(&Summary { record: &record, base: None, reports: &[], limit: 100_000 });
    // The last words of a program stand in a fence that is longer than any of theirs.
    let outside: String = text.split("````").step_by(2).collect();
    for piece in ["<img", " [a](javascript", "![c]", "`e`", "**f**", "@g", " |h|"] {
        assert!(!outside.contains(piece), "{piece} in {outside}");
    }
    assert!(text.contains("> ````text\n> ```\n"), "{text}");
}

#[test]
fn a_run_with_stages_without_a_result_is_no_base() {
    assert_eq!(Base::of(&record(), "main"), None);
    let base = base();
    let bytes = serde_json::to_vec(&base).unwrap();
    assert_eq!(Base::read(&bytes), Some(base));
    let later = String::from_utf8(bytes).unwrap().replace("\"format\":1", "\"format\":2");
    assert_eq!(Base::read(later.as_bytes()), None);
}

#[test]
fn annotations_stand_on_the_lines_of_the_pipeline() {
    let text = "version: 1\nname: demo\ntargets:\n  fast: { on: train, metric: latency, max: 2 }\nstages:\n  stats:\n    uses: \
                a\n  train:\n    uses: b\n  bench:\n    uses: c\n  report:\n    uses: d\n";
    let spec = spec::read("pipelines/demo.yaml", text, &mut |_| Err("no include".to_owned()));
    let places = places(&spec, |file| format!("ml/{file}"));
    insta::assert_snapshot!(Annotations::of(&record(), &places).commands(), @r"
    ::error file=ml/pipelines/demo.yaml,line=8,title=train%3A gate memory-leak::3.0 kB a step > 1.0 kB
    ::error file=ml/pipelines/demo.yaml,line=10,title=bench failed::label <b>x</b> is unknown%0Aand | so is @octocat%0A│ Traceback%0A│ ::error::not a command%0Ahint: look at the labels
    ::error file=ml/pipelines/demo.yaml,line=4,title=target fast::2.5 ms > 2 ms
    ::warning file=ml/pipelines/demo.yaml,line=8,title=train::not settled
    ");
}

#[test]
fn of_many_annotations_the_tenth_counts_the_rest() {
    let mut record = record();
    record.warnings = (0..30).map(|number| format!("warning {number}")).collect();
    let text = Annotations::of(&record, &Places::default()).commands();
    assert_eq!(text.lines().filter(|line| line.starts_with("::warning")).count(), 10);
    assert!(text.contains("::warning::22 more warnings; the job's summary has all of them\n"), "{text}");
}

#[test]
fn what_a_stage_says_is_no_command() {
    let text = group("log of x\n::error::y", "one\n::set-output name=a::b\n");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "::group::log of x%0A::error::y");
    let token = lines[1].strip_prefix("::stop-commands::").unwrap();
    assert!(token.len() > 30);
    assert_eq!(lines[2..4], ["one", "::set-output name=a::b"]);
    assert_eq!(lines[4], format!("::{token}::"));
    assert_eq!(lines[5], "::endgroup::");
    assert_ne!(
        text,
        group("log of x\n::error::y", "one\n::set-output name=a::b\n"),
        "the token is drawn anew"
    );
    let long = group("log", &"line\n".repeat(1500));
    assert!(long.contains("(500 lines before these are in the stage's log)\n"));
    assert_eq!(mask("one\n\ntwo%"), "::add-mask::one\n::add-mask::two%25\n");
}

#[test]
fn no_value_ends_an_output() {
    let text = output("metrics", "a\nend-1\nb");
    let mut lines = text.lines();
    let end = lines.next().unwrap().strip_prefix("metrics<<").unwrap().to_owned();
    assert_eq!(lines.by_ref().take(3).collect::<Vec<_>>(), ["a", "end-1", "b"]);
    assert_eq!(lines.next(), Some(end.as_str()));
}

#[test]
fn a_job_says_what_it_is_about() {
    let job = GithubJob {
        repository: Some("us/demo".to_owned()),
        reference: Some("main".to_owned()),
        run: Some("17".to_owned()),
        ..GithubJob::default()
    };
    let push = Context::new(&job, "{}");
    assert_eq!(push.run_url, "https://github.com/us/demo/actions/runs/17");
    assert_eq!(push.event, Event::Other { reference: "main".to_owned() });
    let pull = |from: &str| {
        let event = format!(
            r#"{{"pull_request": {{"number": 5, "base": {{"ref": "main"}}, "head": {{"repo": {{"full_name": "{from}"}}}}}}}}"#
        );
        Context::new(&job, &event).event
    };
    let of = |fork| Event::PullRequest(PullRequest { number: 5, base: "main".to_owned(), fork });
    assert_eq!(pull("us/demo"), of(false));
    assert_eq!(pull("them/demo"), of(true));
}

/// Comments in memory.
#[derive(Default)]
struct Shelf(RefCell<Vec<Found>>);

impl Comments for Shelf {
    async fn page(&self, page: u32, size: u32) -> Result<Vec<Found>, CiError> {
        let from = (page as usize - 1) * size as usize;
        Ok(self.0.borrow().iter().skip(from).take(size as usize).cloned().collect())
    }

    async fn create(&self, body: &str) -> Result<(), CiError> {
        let id = self.0.borrow().len() as u64;
        self.0.borrow_mut().push(Found { id, body: Some(body.to_owned()) });
        Ok(())
    }

    async fn update(&self, id: u64, body: &str) -> Result<(), CiError> {
        self.0.borrow_mut()[usize::try_from(id).unwrap()].body = Some(body.replace('\n', "\r\n"));
        Ok(())
    }
}

/// A future that never waits.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Waking::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn there_is_one_comment_however_often_it_is_posted() {
    let shelf = Shelf::default();
    for number in 0..250 {
        now(shelf.create(&format!("talk {number}"))).unwrap();
    }
    let first = comment("demo --> <b>", "one", Some("https://host/run/1"));
    assert_eq!(first.marker, "<!-- stagewright: demo - b -->");
    assert_eq!(now(post(&shelf, &first)).unwrap(), Posted::Created);
    assert_eq!(now(post(&shelf, &first)).unwrap(), Posted::Same);
    let second = comment("demo --> <b>", "two", None);
    assert_eq!(now(post(&shelf, &second)).unwrap(), Posted::Updated);
    assert_eq!(now(post(&shelf, &second)).unwrap(), Posted::Same, "whatever line ends it is kept with");
    assert_eq!(now(post(&shelf, &comment("other", "one", None))).unwrap(), Posted::Created);
    assert_eq!(shelf.0.borrow().len(), 252);
}

#[test]
fn texts_are_quoted_where_a_reader_could_take_them_for_something_else() {
    let texts = [
        "plain",
        "two words",
        "true",
        "on:",
        "12",
        "1e3",
        ".5",
        "-x",
        "a: b",
        "a #b",
        "a:b",
        "./",
        "",
        " lead",
        "ü",
        "${{ a && b }}",
        "no",
        "\"q\"",
        "a\nb",
        "*x",
        "one\ntwo: # x\n\n  three",
        "self-hosted",
        "null",
        "Yes",
        "@a",
        "y",
    ];
    let step = |text: &str| Step {
        name: text.to_owned(),
        id: None,
        condition: None,
        env: vec![("A".to_owned(), text.to_owned())],
        work: Work::Run(text.to_owned()),
    };
    let job = Job {
        id: "a".to_owned(),
        name: "a".to_owned(),
        needs: Vec::new(),
        condition: Some("github.event_name != 'x: y'".to_owned()),
        runs_on: vec!["self-hosted".to_owned(), "a,b".to_owned(), "[x]".to_owned()],
        timeout_minutes: 5,
        permissions: vec![Permission { scope: "contents", level: "read", reason: "to read" }],
        matrix: None,
        continue_on_error: true,
        outputs: Vec::new(),
        steps: texts.iter().map(|text| step(text)).collect(),
    };
    let workflow = Workflow {
        header: vec!["made".to_owned()],
        name: "off".to_owned(),
        branch: "a,b".to_owned(),
        concurrency: "c".to_owned(),
        folder: Some("f".to_owned()),
        env: Vec::new(),
        jobs: vec![job],
    };
    let read: serde_json::Value = serde_yaml::from_str(&workflow.to_yaml()).unwrap();
    assert_eq!(read["name"], "off");
    assert_eq!(read["on"]["push"]["branches"][0], "a,b");
    let job = &read["jobs"]["a"];
    assert_eq!(job["runs-on"], serde_json::json!(["self-hosted", "a,b", "[x]"]));
    assert_eq!(job["if"], "${{ github.event_name != 'x: y' }}");
    for (at, text) in texts.iter().enumerate() {
        let step = &job["steps"][at];
        for read in [&step["name"], &step["env"]["A"]] {
            assert_eq!(read, text, "{text:?}");
        }
        // Lines for the shell end with a line break.
        let lines = if text.contains('\n') { format!("{text}\n") } else { (*text).to_owned() };
        assert_eq!(step["run"], lines.as_str());
    }
}
