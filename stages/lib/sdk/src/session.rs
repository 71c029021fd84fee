//! One conversation with the host.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use stagewright_protocol::{Hello, Request, Response, VERSIONS, common_version};

use crate::{Context, FaultExt, Result, Stage, StageFault};

/// Runs a stage program: speaks the protocol on stdin and stdout until one request is answered.
///
/// On a terminal, where nobody speaks the protocol, it says what the program is instead.
pub fn main<S: Stage>() -> ExitCode {
    let manifest = S::manifest();
    let speaker = format!("stagewright-stage-{} {}", manifest.name, manifest.version);
    if io::IsTerminal::is_terminal(&io::stdin()) {
        eprintln!("{speaker}: {}\nThis is a stage program; `stagewright run` starts it.", manifest.summary);
        return ExitCode::from(2);
    }
    match converse::<S>(&speaker) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{speaker}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes stdout away from everything below: the protocol keeps a private duplicate, close-on-exec, and descriptor 1
/// becomes stderr. libtorch and ONNX Runtime print from C++, which no redirection inside Rust would catch.
fn private_stdout() -> io::Result<File> {
    let duplicate = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(File::from(duplicate))
}

fn converse<S: Stage>(speaker: &str) -> Result<()> {
    let wire = Arc::new(Mutex::new(private_stdout().or_environment("cannot take over standard output")?));
    let mut lines = BufReader::new(io::stdin()).lines();
    let mut next =
        || -> Result<Option<String>> { lines.next().transpose().or_environment("cannot read from the host") };

    let Some(line) = next()? else { return Ok(()) };
    let hello: Hello = serde_json::from_str(&line).or_user("the host's first line is not a hello")?;
    send(&wire, &Hello { versions: VERSIONS.to_vec(), speaker: speaker.to_owned() })?;
    if common_version(VERSIONS, &hello.versions).is_none() {
        let message = format!(
            "{speaker} speaks protocol versions {VERSIONS:?}, {} speaks {:?}",
            hello.speaker, hello.versions
        );
        return answer(
            &wire,
            Err(StageFault::environment(message)
                .hint("install a stage program of the same release as stagewright")),
        );
    }

    let Some(line) = next()? else { return Ok(()) };
    let request = match serde_json::from_str::<Request>(&line) {
        Ok(request) => request,
        Err(error) => {
            return answer(
                &wire,
                Err(StageFault::internal(format!("cannot read the host's request: {error}"))),
            );
        }
    };
    let response = match request {
        Request::Describe => Ok(Response::Manifest { manifest: Box::new(S::manifest()) }),
        Request::Probe => guarded(|| Ok(Response::Platform(S::probe()))),
        Request::Run(request) => {
            let cancelled = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&cancelled))
                .or_environment("cannot listen for SIGTERM")?;
            // The host closes our stdin to cancel; it sends nothing else during a run.
            let on_close = Arc::clone(&cancelled);
            thread::spawn(move || {
                for line in lines {
                    if line.is_err() {
                        break;
                    }
                }
                on_close.store(true, Ordering::Relaxed);
            });
            let events = Arc::clone(&wire);
            let emit = Box::new(move |event| {
                // A host that is gone shows at the closing message; until then it is no reason to fail.
                let _ = send(&events, &Response::Event(event));
            });
            guarded(move || {
                let params = serde_json::from_value(request.params.clone())
                    .or_user("`with` does not fit the params")?;
                let mut context = Context::new(*request, S::manifest(), cancelled, emit);
                S::run(&mut context, params)?;
                context.finish().map(Response::Result)
            })
        }
        _ => Err(StageFault::internal(format!("{speaker} does not know this request: {line}"))),
    };
    answer(&wire, response)
}

/// A panic of a stage becomes an ordinary error of class `internal`; its text and place are already on stderr.
fn guarded(work: impl FnOnce() -> Result<Response>) -> Result<Response> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(StageFault::internal(format!("the stage panicked: {text}"))
            .hint("this is a defect of the stage program; its log has the place"))
    })
}

fn answer(wire: &Mutex<File>, response: Result<Response>) -> Result<()> {
    let failed = response.is_err();
    send(wire, &response.unwrap_or_else(|fault| Response::Error(fault.0)))?;
    // The host has the fault already; the exit code only keeps a shell user honest.
    if failed {
        std::process::exit(1)
    }
    Ok(())
}

fn send<T: serde::Serialize>(wire: &Mutex<File>, message: &T) -> Result<()> {
    let mut line = serde_json::to_vec(message).or_internal("cannot encode a message")?;
    line.push(b'\n');
    let mut file = wire.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    file.write_all(&line).or_environment("the host is gone")
}
