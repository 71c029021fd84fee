//! The cases that any program can be put through, in the order in which they are tried.

use serde_json::{Value, json};
use stagewright_protocol::{Manifest, VERSIONS};

use super::{
    CaseResult, ConformanceError, Subject, Verdict,
    bench::Bench,
    exchange::{Named, Script, Suite, ended_well, fault},
    manifest::judge,
    runs::{NEED_A_MANIFEST, RUN},
};

/// A version that no program speaks.
const OTHER_VERSION: u32 = 4_000_000_000;

const OTHER_VERSION_CASE: Named = ("other-version", "ends in order where no version is common");
const HOST_GONE: Named = ("host-gone", "ends by itself when the host goes before it asks");
const LATER_REQUEST: Named = ("later-request", "an unknown request is answered with an error");
const DESCRIBE: Named = ("describe", "describes itself with a manifest that a plan can use");
const NEED_A_HELLO: &[Named] = &[OTHER_VERSION_CASE, HOST_GONE, LATER_REQUEST, DESCRIBE];

/// Tries all cases against a program whose paths are absolute.
pub(super) fn all(subject: &Subject) -> Result<Vec<CaseResult>, ConformanceError> {
    let mut suite =
        Suite { subject, results: Vec::new(), noise: Vec::new(), leftovers: Vec::new(), strays: Vec::new() };
    // A program that does not greet would only be waited for, over and over.
    if suite.hello()? {
        suite.other_version()?;
        suite.host_gone()?;
        suite.later_request()?;
        match suite.describe()? {
            Some(manifest) => suite.with_manifest(&manifest)?,
            None => suite.leave_out(NEED_A_MANIFEST, "without a manifest there is nothing to go by"),
        }
    } else {
        suite.leave_out(NEED_A_HELLO, "without a hello there is nothing to ask");
        suite.leave_out(NEED_A_MANIFEST, "without a hello there is nothing to ask");
    }
    suite.throughout();
    Ok(suite.results)
}

impl Suite<'_> {
    /// Whether it greeted at all.
    fn hello(&mut self) -> Result<bool, ConformanceError> {
        let bench = Bench::new(self.subject)?;
        let script = Script::new(self, json!({ "kind": "describe" }));
        let exchange = self.exchange("hello", &bench, script)?;
        let verdict = match &exchange.hello {
            None => Verdict::failed(format!("it {}", exchange.silence))
                .hint("its first line answers the host's hello, which is its first line of input"),
            Some(hello) => judge_hello(hello),
        };
        self.add(
            "hello",
            "answers the hello with the versions it speaks",
            verdict.tail(&exchange.ended.tail),
        );
        Ok(exchange.hello.is_some())
    }

    fn other_version(&mut self) -> Result<(), ConformanceError> {
        let bench = Bench::new(self.subject)?;
        let hello =
            json!({ "kind": "hello", "versions": [OTHER_VERSION], "speaker": "stagewright of a later day" });
        let script = Script { hello, ..Script::new(self, json!({ "kind": "describe" })) };
        let exchange = self.exchange(OTHER_VERSION_CASE.0, &bench, script)?;
        let answered = exchange.closing.as_ref().map(|message| message["kind"].clone());
        let verdict = if exchange.hello.is_none() {
            Verdict::failed(format!("it {} to a host of another version", exchange.silence))
                .hint("answer with your own versions, so that the host can name both sides")
        } else if answered.as_ref().is_some_and(|kind| kind != "error") {
            Verdict::failed("it answered a host with which it has no version in common")
                .hint("answer with an error of class `environment`, or end")
        } else {
            ended_well(&exchange)
        };
        self.add(OTHER_VERSION_CASE.0, OTHER_VERSION_CASE.1, verdict.tail(&exchange.ended.tail));
        Ok(())
    }

    fn host_gone(&mut self) -> Result<(), ConformanceError> {
        let bench = Bench::new(self.subject)?;
        let script = Script { request: None, ..Script::new(self, Value::Null) };
        let exchange = self.exchange(HOST_GONE.0, &bench, script)?;
        let verdict = if exchange.hello.is_none() {
            Verdict::Skipped("there was no hello".to_owned())
        } else {
            ended_well(&exchange)
        };
        self.add(HOST_GONE.0, HOST_GONE.1, verdict.tail(&exchange.ended.tail));
        Ok(())
    }

    fn later_request(&mut self) -> Result<(), ConformanceError> {
        let bench = Bench::new(self.subject)?;
        let request = json!({ "kind": "x-request-of-a-later-version", "whatever": [1, 2] });
        let script = Script::new(self, request);
        let exchange = self.exchange(LATER_REQUEST.0, &bench, script)?;
        let verdict = match &exchange.closing {
            None if exchange.hello.is_none() => Verdict::Skipped("there was no hello".to_owned()),
            None => Verdict::failed(format!("it {}", exchange.silence))
                .hint("answer an unknown request with an error: the host waits for a closing message"),
            Some(message) if message["kind"] == "error" => {
                fault(message).map_or_else(|why| why, |_| ended_well(&exchange))
            }
            Some(message) => Verdict::failed(format!("it answered with {}", message["kind"])),
        };
        self.add(LATER_REQUEST.0, LATER_REQUEST.1, verdict.tail(&exchange.ended.tail));
        Ok(())
    }

    fn describe(&mut self) -> Result<Option<Manifest>, ConformanceError> {
        let bench = Bench::new(self.subject)?;
        // A later version may add fields to the hello and to a request.
        let mut script =
            Script::new(self, json!({ "kind": "describe", "x-field-of-a-later-version": { "a": 1 } }));
        script.hello["x-field-of-a-later-version"] = true.into();
        let exchange = self.exchange(DESCRIBE.0, &bench, script)?;
        let mut manifest = None;
        let verdict = match &exchange.closing {
            None => Verdict::failed(format!("it {}", exchange.silence)),
            Some(message) => match serde_json::from_value::<Manifest>(message["manifest"].clone()) {
                Ok(found) if message["kind"] == "manifest" => {
                    let judged = judge(&found, &self.subject.program);
                    manifest = Some(found);
                    if judged.faults.is_empty() {
                        Verdict::Passed(judged.remarks.join("; "))
                    } else {
                        Verdict::failed(judged.faults.join("\n"))
                    }
                }
                Ok(_) => Verdict::failed(format!("it answered with {}", message["kind"])),
                Err(error) if message["kind"] == "manifest" => {
                    Verdict::failed(format!("its manifest can't be read: {error}"))
                }
                Err(_) => Verdict::failed(match fault(message) {
                    Ok(fault) => format!("it answered with an error: {}", fault.message),
                    Err(_) => format!("it answered with {}", message["kind"]),
                }),
            },
        };
        self.add(DESCRIBE.0, DESCRIBE.1, verdict.tail(&exchange.ended.tail));
        Ok(manifest)
    }

    /// What all conversations together show.
    fn throughout(&mut self) {
        let stdout = match self.noise.first() {
            None => Verdict::passed(),
            Some(line) => {
                let more = self.noise.len() - 1;
                let more = if more > 0 { format!(" and {more} lines more") } else { String::new() };
                Verdict::failed(format!("it wrote a line that is no message: `{line}`{more}"))
                    .hint("keep a private duplicate of descriptor 1 for the protocol and point 1 at 2 before all else")
            }
        };
        self.add("stdout", "nothing but messages comes out of its standard output", stdout);
        self.strays.sort();
        self.strays.dedup();
        let ran = self
            .results
            .iter()
            .any(|case| case.name == RUN.0 && !matches!(case.verdict, Verdict::Skipped(_)));
        let outside = match &self.strays[..] {
            _ if !ran => Verdict::Skipped("nothing was run".to_owned()),
            [] => Verdict::passed(),
            strays => Verdict::failed(strays.join("\n"))
                .hint("write to the folders of the request and to TMPDIR only"),
        };
        self.add("outside", "a run changes nothing outside of the folders it was given", outside);
        let leftovers = match &self.leftovers[..] {
            [] => Verdict::passed(),
            cases => Verdict::failed(format!("processes that it started outlived it: {}", cases.join(", ")))
                .hint("wait for what you start, or end it"),
        };
        self.add("leftovers", "no process is left when it has ended", leftovers);
    }
}

fn judge_hello(hello: &Value) -> Verdict {
    let versions: Option<Vec<u32>> = serde_json::from_value(hello["versions"].clone()).ok();
    match versions {
        _ if hello["kind"] != "hello" => {
            Verdict::failed(format!("its first message is {}, not a hello", hello["kind"]))
        }
        None => Verdict::failed("its hello has no list `versions` of whole numbers"),
        Some(_) if !hello["speaker"].is_string() => Verdict::failed("its hello has no text `speaker`"),
        Some(versions) if stagewright_protocol::common_version(VERSIONS, &versions).is_none() => {
            Verdict::failed(format!("it speaks versions {versions:?}; this release speaks {VERSIONS:?}"))
        }
        Some(_) => Verdict::Passed(hello["speaker"].as_str().unwrap_or_default().to_owned()),
    }
}
