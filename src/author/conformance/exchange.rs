//! One conversation, and what all of them together show.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_protocol::{Fault, VERSIONS};

use super::{
    CaseResult, ConformanceError, Subject, Verdict,
    bench::Bench,
    talk::{Ended, Heard, Talk},
};

/// How long a run is let go on before it is cancelled, unless it says something earlier.
const BEFORE_CANCEL: Duration = Duration::from_millis(300);

/// A case's name and what a program that passes does.
pub(super) type Named = (&'static str, &'static str);

pub(super) struct Suite<'a> {
    pub(super) subject: &'a Subject,
    pub(super) results: Vec<CaseResult>,
    /// Lines on standard output that were no messages.
    pub(super) noise: Vec<String>,
    /// Cases after which processes were left.
    pub(super) leftovers: Vec<&'static str>,
    /// What runs made or changed outside of their folders.
    pub(super) strays: Vec<String>,
}

/// One conversation.
pub(super) struct Exchange {
    pub(super) hello: Option<Value>,
    pub(super) events: Vec<Value>,
    pub(super) closing: Option<Value>,
    /// Why there is no closing message.
    pub(super) silence: String,
    pub(super) took: Duration,
    pub(super) ended: Ended,
}

/// What the host says.
pub(super) struct Script {
    pub(super) hello: Value,
    pub(super) request: Option<Value>,
    /// Said after the request.
    pub(super) during: Option<Value>,
    pub(super) limit: Duration,
    /// Stops the run in the middle.
    pub(super) cancel: bool,
}

impl Script {
    pub(super) fn new(suite: &Suite<'_>, request: Value) -> Self {
        let hello = json!({ "kind": "hello", "versions": VERSIONS, "speaker": "stagewright (conformance)" });
        Self { hello, request: Some(request), during: None, limit: suite.subject.patience, cancel: false }
    }
}

impl Suite<'_> {
    pub(super) fn add(&mut self, name: &'static str, proves: &'static str, verdict: Verdict) {
        self.results.push(CaseResult { name, proves, verdict });
    }

    /// Cases that can't be tried, all for the same reason.
    pub(super) fn leave_out(&mut self, cases: &[Named], why: &str) {
        for (name, proves) in cases {
            self.add(name, proves, Verdict::Skipped(why.to_owned()));
        }
    }

    pub(super) fn exchange(
        &mut self,
        case: &'static str,
        bench: &Bench,
        script: Script,
    ) -> Result<Exchange, ConformanceError> {
        let started = Instant::now();
        let mut talk =
            Talk::start(&self.subject.program, &bench.path("work"), bench.env()).map_err(|source| {
                ConformanceError::NotExecutable { program: self.subject.program.clone(), source }
            })?;
        let mut exchange = Exchange {
            hello: None,
            events: Vec::new(),
            closing: None,
            silence: String::new(),
            took: Duration::ZERO,
            ended: Ended::default(),
        };
        talk.say(&script.hello);
        match self.message(&mut talk, self.subject.patience) {
            Ok(hello) => exchange.hello = Some(hello),
            Err(why) => exchange.silence = why,
        }
        if exchange.hello.is_some() {
            match &script.request {
                None => talk.close(),
                Some(request) => talk.say(request),
            }
            if let Some(during) = &script.during {
                talk.say(during);
            }
            let begun = Instant::now();
            let limit = if script.cancel { BEFORE_CANCEL } else { script.limit };
            loop {
                let left = limit.saturating_sub(begun.elapsed());
                match self.message(&mut talk, left) {
                    Ok(message) if message["kind"] == "event" => {
                        exchange.events.push(message);
                        if script.cancel {
                            break;
                        }
                    }
                    Ok(message) if is_closing(&message) => {
                        exchange.closing = Some(message);
                        break;
                    }
                    // A kind of a later version.
                    Ok(_) => {}
                    Err(why) => {
                        exchange.silence = why;
                        break;
                    }
                }
            }
        }
        exchange.took = started.elapsed();
        let orderly = exchange.closing.is_some() || script.request.is_none();
        exchange.ended =
            if orderly { talk.finish(self.subject.grace) } else { talk.stop(self.subject.grace) };
        if exchange.ended.leftovers {
            self.leftovers.push(case);
        }
        Ok(exchange)
    }

    /// The next message; what is none is noted and passed over, so that one print does not hide all other faults.
    fn message(&mut self, talk: &mut Talk, within: Duration) -> Result<Value, String> {
        let deadline = Instant::now() + within;
        loop {
            match talk.hear(deadline.saturating_duration_since(Instant::now())) {
                Heard::Message(message) => return Ok(message),
                Heard::Junk(line) => self.noise.push(line),
                Heard::End => return Err("ended without an answer".to_owned()),
                Heard::Nothing => return Err(format!("said nothing for {} s", within.as_secs_f64())),
                Heard::Flood(what) => return Err(format!("flooded its output with {what}")),
            }
        }
    }
}

fn is_closing(message: &Value) -> bool {
    ["manifest", "platform", "result", "error"].iter().any(|kind| message["kind"] == *kind)
}

/// The fault of an error message, or what is wrong with the message.
pub(super) fn fault(message: &Value) -> Result<Fault, Verdict> {
    if message["kind"] != "error" {
        return Err(Verdict::failed(format!("it answered with {}", message["kind"])));
    }
    serde_json::from_value(message.clone())
        .map_err(|error| Verdict::failed(format!("its error can't be read: {error}")))
}

/// Whether the program ended by itself once its conversation was over.
pub(super) fn ended_well(exchange: &Exchange) -> Verdict {
    let ended = &exchange.ended;
    if ended.killed {
        Verdict::failed(format!(
            "it went on for {:.1} s after the conversation was over",
            ended.took.as_secs_f64()
        ))
        .hint("end when the closing message is written or standard input is at its end")
    } else if let Some(signal) = ended.signal {
        Verdict::failed(format!("it was ended by signal {signal}"))
    } else {
        Verdict::passed()
    }
}
