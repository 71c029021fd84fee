//! The cases that go by the program's manifest.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Value, json};
use stagewright_protocol::{Determinism, ErrorClass, Event, Manifest, Platform, RunResult};

use super::{
    ConformanceError, Verdict,
    bench::Bench,
    exchange::{Named, Script, Suite, ended_well, fault},
    params,
};
use crate::{
    catalog::{Program, Start},
    digest::Digest,
    plan, plugin,
};

const DESCRIBE_AGAIN: Named = ("describe-again", "the manifest does not depend on folder or environment");
const PROBE: Named = ("probe", "says what this machine is to it");
const BAD_PARAMS: Named = ("bad-params", "a param of the wrong kind is answered as the user's mistake");
const MISSING_INPUT: Named = ("missing-input", "a run without its required inputs is answered with an error");
pub(super) const RUN: Named = ("run", "a run ends with a result whose outputs are there");
const RUN_AGAIN: Named = ("run-again", "the same run gives the same bytes, as the manifest promises");
const LATER_MESSAGE: Named = ("later-message", "a message of a later version during a run is ignored");
const CANCEL: Named = ("cancel", "a run ends when its input is closed, at the latest on SIGTERM");
const NEED_A_RUN: &[Named] = &[RUN, RUN_AGAIN, LATER_MESSAGE, CANCEL];
pub(super) const NEED_A_MANIFEST: &[Named] =
    &[DESCRIBE_AGAIN, PROBE, BAD_PARAMS, MISSING_INPUT, RUN, RUN_AGAIN, LATER_MESSAGE, CANCEL];

impl Suite<'_> {
    pub(super) fn with_manifest(&mut self, manifest: &Manifest) -> Result<(), ConformanceError> {
        if let Some(port) = self.subject.inputs.keys().find(|port| !manifest.inputs.contains_key(*port)) {
            return Err(ConformanceError::NoPort {
                program: self.subject.program.clone(),
                port: port.clone(),
                known: manifest.inputs.keys().cloned().collect(),
            });
        }
        self.describe_again(manifest)?;
        self.probe(manifest)?;
        let program = Program {
            start: Start::Program(self.subject.program.clone()),
            manifest: std::sync::Arc::new(manifest.clone()),
            platform: std::sync::Arc::default(),
        };
        let params = plan::complete_params(&program, self.subject.params.clone());
        self.bad_params(manifest, params.as_ref().unwrap_or(&Value::Null))?;
        let required: Vec<&String> =
            manifest.inputs.iter().filter(|(_, port)| port.required).map(|(name, _)| name).collect();
        self.missing_input(manifest, params.as_ref().ok(), &required)?;
        let unbound: Vec<String> = required
            .iter()
            .filter(|port| self.subject.inputs.get(**port).is_none_or(Vec::is_empty))
            .map(|port| format!("--input {port}=PATH"))
            .collect();
        let params = match params {
            Ok(params) if unbound.is_empty() => params,
            Ok(_) => {
                self.leave_out(NEED_A_RUN, &format!("a run needs {}", unbound.join(" ")));
                return Ok(());
            }
            Err(findings) => {
                let why: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
                self.leave_out(NEED_A_RUN, &format!("a run needs --params: {}", why.join("; ")));
                return Ok(());
            }
        };
        let first = self.run(manifest, &params)?;
        match first {
            Some(first) => self.runs_again(manifest, &params, &first)?,
            None => {
                self.leave_out(&[RUN_AGAIN, LATER_MESSAGE], "the first run gave no result");
            }
        }
        self.cancel(manifest, &params)
    }

    fn describe_again(&mut self, manifest: &Manifest) -> Result<(), ConformanceError> {
        let mut bench = Bench::new(self.subject)?;
        bench.set("LANG", "C");
        bench.set("STAGEWRIGHT_CONFORMANCE", "1");
        let script = Script::new(self, json!({ "kind": "describe" }));
        let exchange = self.exchange(DESCRIBE_AGAIN.0, &bench, script)?;
        let again = exchange
            .closing
            .as_ref()
            .and_then(|message| serde_json::from_value::<Manifest>(message["manifest"].clone()).ok());
        let verdict = if again.as_ref() == Some(manifest) {
            Verdict::passed()
        } else {
            Verdict::failed("the second time its manifest was another one")
                .hint("what depends on the machine belongs into the answer to `probe`")
        };
        self.add(DESCRIBE_AGAIN.0, DESCRIBE_AGAIN.1, verdict.tail(&exchange.ended.tail));
        Ok(())
    }

    fn probe(&mut self, manifest: &Manifest) -> Result<(), ConformanceError> {
        if !manifest.probes {
            self.add(
                PROBE.0,
                PROBE.1,
                Verdict::Skipped("its manifest says that it does not probe".to_owned()),
            );
            return Ok(());
        }
        let bench = Bench::new(self.subject)?;
        let script = Script::new(self, json!({ "kind": "probe" }));
        let exchange = self.exchange(PROBE.0, &bench, script)?;
        let verdict = match &exchange.closing {
            None => Verdict::failed(format!("it {}", exchange.silence)),
            Some(message) if message["kind"] == "platform" => {
                match serde_json::from_value::<Platform>(message.clone()) {
                    Ok(platform) if platform.missing.is_empty() => ended_well(&exchange),
                    Ok(platform) => {
                        let missing: Vec<&str> =
                            platform.missing.iter().map(|fault| fault.message.as_str()).collect();
                        Verdict::Passed(format!("not usable on this machine: {}", missing.join("; ")))
                    }
                    Err(error) => Verdict::failed(format!("its platform can't be read: {error}")),
                }
            }
            Some(message) => Verdict::failed(format!("it answered with {}", message["kind"])),
        };
        self.add(PROBE.0, PROBE.1, verdict.tail(&exchange.ended.tail));
        Ok(())
    }

    fn bad_params(&mut self, manifest: &Manifest, right: &Value) -> Result<(), ConformanceError> {
        let Some((name, wrong)) = params::wrong(manifest, right) else {
            let why = "its params have no kind of value that is wrong".to_owned();
            self.add(BAD_PARAMS.0, BAD_PARAMS.1, Verdict::Skipped(why));
            return Ok(());
        };
        let bench = Bench::new(self.subject)?;
        let script = Script::new(self, bench.request(manifest, &wrong, &self.subject.inputs));
        let exchange = self.exchange(BAD_PARAMS.0, &bench, script)?;
        let value = &wrong[&name];
        let verdict = match exchange.closing.as_ref().map(fault) {
            None => Verdict::failed(format!("given `{name}: {value}` it {}", exchange.silence))
                .hint("catch what goes wrong while reading the params, and answer with an error"),
            Some(Ok(fault)) if fault.class == ErrorClass::User => ended_well(&exchange),
            Some(Ok(fault)) => Verdict::failed(format!(
                "given `{name}: {value}` it answered with an error of class `{}`: {}",
                json!(fault.class).as_str().unwrap_or_default(),
                fault.message
            ))
            .hint("whoever wrote the pipeline can mend it: class `user`"),
            Some(Err(_)) => Verdict::failed(format!("it took `{name}: {value}`"))
                .hint("the host checks params against the schema, but a program has to hold without it"),
        };
        self.add(BAD_PARAMS.0, BAD_PARAMS.1, verdict.tail(&exchange.ended.tail));
        Ok(())
    }

    fn missing_input(
        &mut self,
        manifest: &Manifest,
        params: Option<&Value>,
        required: &[&String],
    ) -> Result<(), ConformanceError> {
        let skipped = match params {
            _ if required.is_empty() => Some("it requires no input"),
            None => Some("a run needs --params"),
            Some(_) => None,
        };
        if let Some(why) = skipped {
            self.add(MISSING_INPUT.0, MISSING_INPUT.1, Verdict::Skipped(why.to_owned()));
            return Ok(());
        }
        let bench = Bench::new(self.subject)?;
        let request = bench.request(manifest, params.unwrap_or(&Value::Null), &BTreeMap::new());
        let script = Script { limit: self.subject.run_limit, ..Script::new(self, request) };
        let exchange = self.exchange(MISSING_INPUT.0, &bench, script)?;
        let verdict = match exchange.closing.as_ref().map(fault) {
            None => Verdict::failed(format!("it {}", exchange.silence)),
            Some(Ok(_)) => ended_well(&exchange),
            Some(Err(_)) => Verdict::failed(format!("it gave a result without the input `{}`", required[0]))
                .hint("declare the input as not required, or answer with an error"),
        };
        self.add(MISSING_INPUT.0, MISSING_INPUT.1, verdict.tail(&exchange.ended.tail));
        Ok(())
    }

    /// Digests of what the run wrote, if it gave a result.
    fn run(
        &mut self,
        manifest: &Manifest,
        params: &Value,
    ) -> Result<Option<BTreeMap<PathBuf, Digest>>, ConformanceError> {
        let bench = Bench::new(self.subject)?;
        let request = bench.request(manifest, params, &self.subject.inputs);
        let script = Script { limit: self.subject.run_limit, ..Script::new(self, request) };
        let exchange = self.exchange(RUN.0, &bench, script)?;
        self.strays.extend(bench.strays()?);
        let mut written = None;
        let verdict = match exchange.closing.as_ref().map(|message| (message, fault(message))) {
            None => Verdict::failed(format!("it {}", exchange.silence)),
            Some((_, Ok(fault))) => {
                let verdict = Verdict::failed(format!("the run failed: {}", fault.message));
                verdict.hint(
                    fault.hint.as_deref().unwrap_or("give it inputs and params with which a run succeeds"),
                )
            }
            Some((message, Err(_))) => match result(message, manifest, &bench) {
                Err(why) => Verdict::failed(why),
                Ok(()) => {
                    let files = bench.outputs()?;
                    let count = |number: usize, noun: &str| {
                        format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
                    };
                    let remark =
                        format!("{}, {}", count(exchange.events.len(), "event"), count(files.len(), "file"));
                    written = Some(files);
                    match exchange.events.iter().find_map(bad_event) {
                        Some(why) => Verdict::failed(why),
                        None => match ended_well(&exchange) {
                            Verdict::Passed(_) => Verdict::Passed(remark),
                            verdict => verdict,
                        },
                    }
                }
            },
        };
        self.add(RUN.0, RUN.1, verdict.tail(&exchange.ended.tail));
        Ok(written)
    }

    /// One more run proves two things: that its bytes are the same, and that it does not mind a message it does not know.
    fn runs_again(
        &mut self,
        manifest: &Manifest,
        params: &Value,
        first: &BTreeMap<PathBuf, Digest>,
    ) -> Result<(), ConformanceError> {
        let bench = Bench::new(self.subject)?;
        let request = bench.request(manifest, params, &self.subject.inputs);
        let during = Some(json!({ "kind": "x-message-of-a-later-version", "text": "never mind" }));
        let script = Script { limit: self.subject.run_limit, during, ..Script::new(self, request) };
        let exchange = self.exchange(LATER_MESSAGE.0, &bench, script)?;
        self.strays.extend(bench.strays()?);
        let done = exchange.closing.as_ref().is_some_and(|message| message["kind"] == "result");
        let again = if done { Some(bench.outputs()?) } else { None };
        let same = match (&again, manifest.determinism) {
            (_, determinism) if determinism != Determinism::Bitwise => {
                Verdict::Skipped("its manifest promises no equal bytes".to_owned())
            }
            (None, _) => Verdict::Skipped("the second run gave no result".to_owned()),
            (Some(again), _) if again == first => Verdict::passed(),
            (Some(again), _) => {
                let other: Vec<String> = first
                    .iter()
                    .filter(|(path, digest)| again.get(*path) != Some(digest))
                    .map(|(path, _)| path.display().to_string())
                    .chain(
                        again
                            .keys()
                            .filter(|path| !first.contains_key(*path))
                            .map(|path| path.display().to_string()),
                    )
                    .collect();
                Verdict::failed(format!("the second run wrote other bytes: {}", other.join(", ")))
                    .hint("take all that is random from the seed, or declare `tolerance` or `none`")
            }
        };
        self.add(RUN_AGAIN.0, RUN_AGAIN.1, same);
        let ignored = match (&exchange.closing, done) {
            (_, true) => Verdict::passed(),
            (None, _) => Verdict::failed(format!("it {}", exchange.silence)),
            (Some(message), _) => Verdict::failed(format!("it answered with {}", message["kind"]))
                .hint("during a run only the end of standard input means something"),
        };
        self.add(LATER_MESSAGE.0, LATER_MESSAGE.1, ignored.tail(&exchange.ended.tail));
        Ok(())
    }

    fn cancel(&mut self, manifest: &Manifest, params: &Value) -> Result<(), ConformanceError> {
        let bench = Bench::new(self.subject)?;
        let request = bench.request(manifest, params, &self.subject.inputs);
        let script = Script { cancel: true, ..Script::new(self, request) };
        let exchange = self.exchange(CANCEL.0, &bench, script)?;
        self.strays.extend(bench.strays()?);
        let ended = &exchange.ended;
        let milliseconds = ended.took.as_millis();
        let verdict = if exchange.closing.is_some() {
            Verdict::Skipped(format!(
                "a run is over after {} ms: there is nothing to cancel",
                exchange.took.as_millis()
            ))
        } else if ended.killed {
            Verdict::failed(format!(
                "it went on for {:.1} s after its input was closed and SIGTERM was sent, and had to be killed",
                ended.took.as_secs_f64()
            ))
            .hint("watch for the end of standard input during a run")
        } else if let Some(signal) = ended.signal {
            Verdict::failed(format!("it was ended by signal {signal}"))
        } else if ended.termed {
            Verdict::Passed(format!("SIGTERM was needed; it ended after {milliseconds} ms"))
        } else {
            Verdict::Passed(format!("it ended after {milliseconds} ms"))
        };
        self.add(CANCEL.0, CANCEL.1, verdict.tail(&ended.tail));
        Ok(())
    }
}

fn result(message: &Value, manifest: &Manifest, bench: &Bench) -> Result<(), String> {
    if message["kind"] != "result" {
        return Err(format!("it answered with {}", message["kind"]));
    }
    let result: RunResult = serde_json::from_value(message.clone())
        .map_err(|error| format!("its result can't be read: {error}"))?;
    plugin::check_outputs(&result, manifest, &bench.path("out")).map(drop)
}

/// What is wrong with an event.
fn bad_event(event: &Value) -> Option<String> {
    match serde_json::from_value::<Event>(event.clone()) {
        Err(error) => Some(format!("its event {event} can't be read: {error}")),
        Ok(Event::Metric { name, .. }) if name.trim().is_empty() => Some("a metric has no name".to_owned()),
        Ok(_) => None,
    }
}
