//! A stage program that does what no stage should, on demand. It speaks raw JSON lines, because the SDK would keep it from
//! misbehaving.
//!
//! `params.do` is a list of steps, each an object with the step's name under `step`; afterwards it answers with the outputs
//! that were written. The variable `FAKE_HELLO` spoils the hello.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio, exit},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match converse() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stage-fake: {error}");
            ExitCode::from(70)
        }
    }
}

fn say(message: &Value) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{message}")?;
    Ok(out.flush()?)
}

fn converse() -> Result<()> {
    let mut lines = io::stdin().lines();
    lines.next().ok_or("no hello")??;
    match std::env::var("FAKE_HELLO").as_deref() {
        Ok("silent") => sleep(Duration::from_secs(600)),
        Ok("die") => {
            eprintln!("fake: a library is missing");
            exit(127)
        }
        Ok("junk") => println!("Loading plugins... done"),
        Ok("other-version") => {
            return say(&json!({"kind": "hello", "versions": [7, 8], "speaker": "fake 9.9.9"}));
        }
        _ => say(&json!({"kind": "hello", "versions": [1], "speaker": "fake 1.0.0"}))?,
    }
    let request: Value = serde_json::from_str(&lines.next().ok_or("no request")??)?;
    match request["kind"].as_str() {
        Some("describe") => say(&json!({"kind": "manifest", "manifest": manifest()})),
        Some("probe") => say(&json!({"kind": "platform", "properties": {}, "facts": {"fake": true}})),
        Some("run") => Run::new(request).all(),
        _ => Err("an unknown request".into()),
    }
}

fn manifest() -> Value {
    let port = |required: bool| json!({"type": "file", "summary": "anything", "required": required});
    let many = json!({"type": "file | dir", "summary": "anything", "required": false, "many": true});
    json!({
        "name": "fake", "version": "1.0.0", "cache-version": 1, "summary": "misbehaves on demand", "probes": true,
        "inputs": {"data": port(false), "more": many},
        "outputs": {"out": port(true), "extra": port(false)},
        "params": {"type": "object", "properties": {"do": {"type": "array", "description": "Steps to carry out."}}},
    })
}

struct Run {
    request: Value,
    outputs: BTreeMap<String, PathBuf>,
    gates: Vec<Value>,
}

impl Run {
    fn new(request: Value) -> Self {
        Self { request, outputs: BTreeMap::new(), gates: Vec::new() }
    }

    fn folder(&self, which: &str) -> PathBuf {
        PathBuf::from(self.request[which].as_str().unwrap_or_default())
    }

    fn all(mut self) -> Result<()> {
        let steps = self.request["params"]["do"].as_array().cloned().unwrap_or_default();
        for step in steps {
            self.step(&step)?;
        }
        say(&json!({"kind": "result", "outputs": self.outputs, "gates": self.gates}))
    }

    fn step(&mut self, step: &Value) -> Result<()> {
        let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| step[key].as_u64().unwrap_or_default();
        let event = |event: &str| {
            let mut message = step.clone();
            // A curve's step is called `at` here, because `step` is taken.
            message["step"] = step["at"].clone();
            message["kind"] = json!("event");
            message["event"] = json!(event);
            say(&message)
        };
        match text("step").as_str() {
            // Ordinary work.
            "write" => {
                fs::write(self.folder("output-dir").join(text("path")), text("text"))?;
                self.outputs.insert(text("port"), text("path").into());
            }
            "concatenate" => {
                let mut all = String::new();
                for bound in self.request["inputs"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .flat_map(|(_, bound)| bound.as_array())
                    .flatten()
                {
                    let path = Path::new(bound["path"].as_str().unwrap_or_default());
                    all.push_str(&format!(
                        "{}={};",
                        bound["name"].as_str().unwrap_or_default(),
                        read_all(path)?
                    ));
                }
                fs::write(self.folder("output-dir").join("out.txt"), all)?;
                self.outputs.insert("out".to_owned(), "out.txt".into());
            }
            "metric" => event("metric")?,
            "log" => event("log")?,
            "progress" => event("progress")?,
            "gate" => self
                .gates
                .push(json!({"name": step["name"], "status": step["status"], "reason": step["reason"]})),
            "sleep" => sleep(Duration::from_millis(number("ms"))),
            "burn" => {
                let (until, mut x) = (Instant::now() + Duration::from_millis(number("ms")), 1u64);
                while Instant::now() < until {
                    x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                }
                eprintln!("burnt {x}");
            }
            // Traces outside of the protocol, for the tests.
            "trace" => {
                let mut file = File::options().create(true).append(true).open(text("file"))?;
                file.write_all(format!("{}\n", text("text")).as_bytes())?;
            }
            "environment" => {
                let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
                fs::write(self.folder("output-dir").join("env.txt"), names.join("\n"))?;
                self.outputs.insert("out".to_owned(), "env.txt".into());
            }
            "request" => {
                fs::write(text("file"), serde_json::to_vec(&self.request)?)?;
            }
            "change" => fs::write(text("file"), text("text"))?,
            "checkpoint" => {
                let path = self.folder("checkpoint-dir").join("step");
                let before: u64 =
                    fs::read_to_string(&path).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
                say(&json!({"kind": "event", "event": "metric", "name": "resumed-at", "value": before}))?;
                fs::write(path, (before + 1).to_string())?;
            }
            "write-many" => {
                let bytes = vec![b'x'; usize::try_from(number("bytes"))?];
                fs::write(self.folder("output-dir").join(text("path")), bytes)?;
                self.outputs.insert(text("port"), text("path").into());
            }
            "write-tree" | "write-named" | "write-latin1" => {
                let folder = self.folder("output-dir").join(text("path"));
                fs::create_dir(&folder)?;
                match text("step").as_str() {
                    "write-tree" => {
                        ["a", "b"].iter().try_for_each(|name| fs::write(folder.join(name), name))?
                    }
                    "write-named" => fs::write(folder.join(text("name")), "x")?,
                    _ => fs::write(folder.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "x")?,
                }
                self.outputs.insert(text("port"), text("path").into());
            }
            "copy" => {
                fs::copy(text("file"), self.folder("output-dir").join(text("path")))?;
                self.outputs.insert(text("port"), text("path").into());
            }
            "metric-from" => {
                let value: f64 = fs::read_to_string(text("file"))?.trim().parse()?;
                say(
                    &json!({"kind": "event", "event": "metric", "name": step["name"], "unit": step["unit"], "value": value}),
                )?;
            }
            "fail-if" => {
                if Path::new(&text("file")).exists() {
                    say(&json!({"kind": "error", "class": step["class"], "message": "it is broken"}))?;
                    exit(1)
                }
            }
            "take" => {
                // Held, and touched, so that it is memory and not only room for it.
                let held = vec![1u8; usize::try_from(number("bytes"))?];
                say(&json!({"kind": "event", "event": "metric", "name": "held", "value": held.len()}))?;
                sleep(Duration::from_millis(number("ms")));
                eprintln!("held {}", held.iter().filter(|byte| **byte == 1).count());
            }
            "children-take" => {
                let script = format!("x=$(head -c {} /dev/zero | tr '\\0' x); sleep 600", number("bytes"));
                Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).status()?;
            }
            "fill" => {
                // In pieces, so that a limit can be met on the way.
                let mut file = File::create(self.folder(&text("folder")).join("filler"))?;
                let piece = vec![b'x'; 1 << 16];
                for _ in 0..number("pieces") {
                    file.write_all(&piece)?;
                    sleep(Duration::from_millis(number("ms")));
                }
            }
            "connect" => {
                let met = std::net::TcpStream::connect(("127.0.0.1", u16::try_from(number("port"))?)).is_ok();
                say(
                    &json!({"kind": "event", "event": "metric", "name": "connected", "value": u8::from(met)}),
                )?;
            }
            "try-change" => {
                let changed = fs::write(text("file"), text("text")).is_ok();
                say(
                    &json!({"kind": "event", "event": "metric", "name": "changed", "value": u8::from(changed)}),
                )?;
            }
            "change-inputs" => {
                let bound = self.request["inputs"].as_object().into_iter().flatten();
                let paths: Vec<String> = bound
                    .flat_map(|(_, bound)| bound.as_array())
                    .flatten()
                    .filter_map(|bound| Some(bound["path"].as_str()?.to_owned()))
                    .collect();
                let changed = paths.iter().filter(|path| fs::write(path, "spoilt").is_ok()).count();
                say(&json!({"kind": "event", "event": "metric", "name": "changed", "value": changed}))?;
            }
            "leave" => {
                // A session of its own and no parent: no group and no tree has it.
                let script = format!(
                    "setsid sh -c 'echo $$ > \"{}\"; exec sleep 600' > /dev/null 2>&1 &",
                    text("file")
                );
                Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).status()?;
                while fs::read_to_string(text("file")).unwrap_or_default().is_empty() {
                    sleep(Duration::from_millis(1));
                }
            }
            // Telling what nobody should hear.
            "tell-secret" => {
                let secret = std::env::var(text("name"))?;
                let form = spelled(&secret);
                eprint!("in one piece {secret}, and in two {}", &secret[..secret.len() / 2]);
                io::stderr().flush()?;
                sleep(Duration::from_millis(50));
                eprintln!("{} {form}", &secret[secret.len() / 2..]);
                say(
                    &json!({"kind": "event", "event": "log", "level": "warning", "message": format!("beware of {secret} {form}")}),
                )?;
                say(
                    &json!({"kind": "event", "event": "log", "level": "info", "message": format!("it is {secret}")}),
                )?;
                say(
                    &json!({"kind": "event", "event": "progress", "done": 1, "total": 2, "unit": secret, "message": form}),
                )?;
                say(
                    &json!({"kind": "event", "event": "metric", "name": format!("of-{secret}"), "value": 1, "unit": secret}),
                )?;
                self.gates.push(json!({"name": format!("has-{secret}"), "status": "passed", "reason": form}));
            }
            "babble-secret" => println!("no message, but {}", std::env::var(text("name"))?),
            "write-secret" => {
                let secret = std::env::var(text("name"))?;
                fs::write(
                    self.folder("output-dir").join(text("path")),
                    format!("{}{secret}", "x".repeat(1 << 18)),
                )?;
                self.outputs.insert(text("port"), text("path").into());
            }
            "fail-with-secret" => {
                let secret = std::env::var(text("name"))?;
                eprintln!("last words: {secret}");
                let message = format!("the server refused {secret}");
                say(
                    &json!({"kind": "error", "class": "environment", "message": message, "hint": spelled(&secret)}),
                )?;
                exit(1)
            }
            "variable" => {
                let value = std::env::var(text("name")).unwrap_or_default();
                fs::write(self.folder("output-dir").join("value.txt"), value)?;
                self.outputs.insert("out".to_owned(), "value.txt".into());
            }
            // Failing in order and out of order.
            "fail" => {
                eprintln!("fake: about to fail");
                say(
                    &json!({"kind": "error", "class": step["class"], "message": step["message"], "hint": step["hint"]}),
                )?;
                exit(1)
            }
            "fail-times" => {
                let path = PathBuf::from(text("file"));
                let before = fs::read_to_string(&path).map_or(0, |text| text.len() as u64);
                fs::write(&path, "x".repeat(before as usize + 1))?;
                if before < number("times") {
                    say(
                        &json!({"kind": "error", "class": step["class"], "message": format!("flaky failure {}", before + 1)}),
                    )?;
                    exit(1)
                }
            }
            "die" => {
                eprintln!("fake: last words");
                exit(i32::try_from(number("code"))?)
            }
            "kill-self" => {
                Command::new("kill")
                    .args([&format!("-{}", number("signal")), &std::process::id().to_string()])
                    .status()?;
                sleep(Duration::from_secs(600));
            }
            "answer" => {
                say(&step["message"])?;
                exit(0)
            }
            "claim" => {
                self.outputs.insert(text("port"), text("path").into());
            }
            "link-out" => {
                std::os::unix::fs::symlink("/etc/passwd", self.folder("output-dir").join(text("path")))?;
                self.outputs.insert(text("port"), text("path").into());
            }
            "say" => {
                println!("{}", text("text"));
                io::stdout().flush()?;
            }
            "flood-line" => {
                let piece = vec![b'x'; 1 << 16];
                loop {
                    io::stdout().write_all(&piece)?;
                }
            }
            "flood-events" => loop {
                event("progress")?;
            },
            "flood-stderr" => {
                let line = format!("{}\n", "noise ".repeat(1000));
                for _ in 0..number("lines") {
                    io::stderr().write_all(line.as_bytes())?;
                }
            }
            "hang-while" => {
                while Path::new(&text("file")).exists() {
                    sleep(Duration::from_millis(10));
                }
            }
            "hang" => sleep(Duration::from_secs(600)),
            "hang-deaf" => {
                let error =
                    Command::new("sh").args(["-c", "trap '' TERM INT HUP; while :; do sleep 1; done"]).exec();
                return Err(error.into());
            }
            "mute" => {
                // Both descriptors of the protocol go, the process stays.
                let error = Command::new("sh").args(["-c", "exec <&- >&-; sleep 600"]).exec();
                return Err(error.into());
            }
            "fork" => {
                // It keeps our stdout open, as a forgotten data loader would.
                let child = Command::new("sh")
                    .args(["-c", "trap '' TERM; sleep 600"])
                    .stdin(Stdio::null())
                    .spawn()?;
                fs::write(text("file"), child.id().to_string())?;
            }
            other => return Err(format!("an unknown step `{other}`").into()),
        }
        Ok(())
    }
}

/// Percent-encoded, and in hex.
fn spelled(text: &str) -> String {
    let percent: String =
        text.bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{percent} {hex}")
}

fn read_all(path: &Path) -> Result<String> {
    if path.is_file() {
        return Ok(fs::read_to_string(path)?);
    }
    let mut names: Vec<PathBuf> =
        fs::read_dir(path)?.map(|item| Ok(item?.path())).collect::<io::Result<_>>()?;
    names.sort();
    names.iter().map(|path| read_all(path)).collect()
}
