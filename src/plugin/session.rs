//! One conversation: hello, one request, events, one closing message, the end of the process group.

use std::time::Duration;

use stagewright_protocol::{Event, Hello, Request, Response, VERSIONS, common_version};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{ChildStderr, ChildStdin, ChildStdout},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Cancel, Launch, PluginError, Redactor,
    error::{program_name, size},
    group::{Group, Streams},
    lines::{Line, Lines},
    log::Log,
    watch::{Excess, Watch},
};

/// What the pipes of a process group may still hold after its end is read for this long; only a process that has left
/// the group can keep them open.
const DRAIN: Duration = Duration::from_secs(2);

/// Longest excerpt of a bad line in an error.
const EXCERPT: usize = 120;

pub(super) struct Session<'a> {
    launch: &'a Launch<'a>,
    program: String,
    group: Group,
    watch: Watch,
    stdin: Option<ChildStdin>,
    lines: Lines<ChildStdout>,
    log: Log,
    stderr: JoinHandle<()>,
    redactor: Redactor,
    deadline: Option<Instant>,
    /// The leader is gone, and the rest of the group was killed: what is still in the pipe is all there will be.
    leaderless: Option<Instant>,
}

/// Why no further message comes.
enum Stop {
    Cancelled,
    Timeout(Duration),
    Silent(Duration),
    End,
    Flood(String),
    Excess(Excess),
    Io(std::io::Error),
}

impl<'a> Session<'a> {
    /// Holds a whole conversation. No process of the group is left when it returns.
    pub(super) async fn converse(
        launch: &'a Launch<'a>,
        request: &Request,
        on_event: &mut (dyn FnMut(Event) + Send),
        cancel: &Cancel,
    ) -> Result<Response, PluginError> {
        let mut session = Self::start(launch).await?;
        let answer = match session.greet(cancel).await {
            Ok(()) => session.ask(request, on_event, cancel).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(response) => session.close(response).await,
            Err(failure) => Err(session.fail(failure).await),
        }
    }

    async fn start(launch: &'a Launch<'a>) -> Result<Self, PluginError> {
        let program = program_name(launch.program);
        let redactor = launch.secrets.redactor();
        let log = Log::new(launch.log, launch.limits.log, &redactor).map_err(|source| PluginError::Io {
            program: program.clone(),
            action: "open the log of",
            source,
        })?;
        let started = Group::start(launch).await;
        let (group, Streams { stdin, stdout, stderr }) = started
            .map_err(|source| PluginError::NotExecutable { program: launch.program.to_owned(), source })?;
        let limits = &launch.limits;
        let watch = Watch::new(launch, group.leader(), group.token());
        let watch =
            watch.map_err(|source| PluginError::Io { program: program.clone(), action: "limit", source })?;
        Ok(Self {
            launch,
            program,
            group,
            watch,
            stdin: Some(stdin),
            lines: Lines::new(stdout, limits.line, limits.conversation),
            stderr: tokio::spawn(keep_stderr(stderr, log.clone())),
            log,
            redactor,
            deadline: limits.total.map(|total| Instant::now() + total),
            leaderless: None,
        })
    }

    async fn greet(&mut self, cancel: &Cancel) -> Result<(), Failed> {
        let hello = Hello {
            versions: VERSIONS.to_vec(),
            speaker: concat!("stagewright ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        self.send(&hello).await;
        let patience = self.launch.limits.hello;
        let no_hello = |why| Failed::NoHello { why, ended: false };
        let line = match self.next(cancel, Some(patience)).await {
            Ok(line) => line,
            Err(Stop::Silent(_)) => {
                return Err(no_hello(format!("it said nothing within {} s", patience.as_secs_f64())));
            }
            Err(Stop::End) => {
                return Err(Failed::NoHello { why: "it ended without a hello".to_owned(), ended: true });
            }
            Err(Stop::Flood(what)) => return Err(no_hello(format!("it began with {what}"))),
            Err(stop) => return Err(Failed::Stop(stop)),
        };
        let Some(hello) = self.message::<Hello>(&line) else {
            return Err(no_hello(format!("it began with {} instead of a hello", self.excerpt(&line))));
        };
        match common_version(VERSIONS, &hello.versions) {
            Some(_) => Ok(()),
            None => Err(Failed::OtherVersion(hello)),
        }
    }

    async fn ask(
        &mut self,
        request: &Request,
        on_event: &mut (dyn FnMut(Event) + Send),
        cancel: &Cancel,
    ) -> Result<Response, Failed> {
        self.send(request).await;
        loop {
            let line = self.next(cancel, self.launch.limits.silence).await.map_err(Failed::Stop)?;
            match self.message::<Response>(&line) {
                Some(Response::Event(event)) => {
                    if let Event::Log { level, message } = &event {
                        self.log.event(*level, message);
                    }
                    on_event(event);
                }
                Some(Response::Unknown) => {}
                Some(response) => return Ok(response),
                None => return Err(Failed::Junk(self.excerpt(&line))),
            }
        }
    }

    /// A line as a message, without secrets.
    fn message<T: serde::de::DeserializeOwned>(&self, line: &[u8]) -> Option<T> {
        if self.redactor.is_empty() {
            return serde_json::from_slice(line).ok();
        }
        serde_json::from_value(self.redactor.json(serde_json::from_slice(line).ok()?)).ok()
    }

    /// The start of a line that is no message, without secrets.
    fn excerpt(&self, line: &[u8]) -> String {
        excerpt(&self.redactor.text(&String::from_utf8_lossy(line)))
    }

    async fn send<T: serde::Serialize>(&mut self, message: &T) {
        let Ok(mut line) = serde_json::to_vec(message) else { return };
        line.push(b'\n');
        if let Some(stdin) = &mut self.stdin {
            // A program that does not read its stdin fails by what it says or by its exit, which tell more than a broken
            // pipe. One that neither reads nor exits must not hold us here.
            let _ = timeout(self.launch.limits.hello, stdin.write_all(&line)).await;
        }
    }

    async fn next(&mut self, cancel: &Cancel, silence: Option<Duration>) -> Result<Vec<u8>, Stop> {
        let quiet = silence.map(|silence| Instant::now() + silence);
        loop {
            let drained = self.leaderless;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Stop::Cancelled),
                () = at(self.deadline) => return Err(Stop::Timeout(self.launch.limits.total.unwrap_or_default())),
                line = self.lines.next() => return match line {
                    Ok(Line::Whole(line)) => Ok(line),
                    Ok(Line::End) => Err(Stop::End),
                    Ok(Line::TooLong) => Err(Stop::Flood(format!("a line longer than {}", size(self.launch.limits.line as u64)))),
                    Ok(Line::TooMuch) => Err(Stop::Flood(format!("more than {}", size(self.launch.limits.conversation)))),
                    Err(error) => Err(Stop::Io(error)),
                },
                excess = self.watch.broken() => return Err(Stop::Excess(excess)),
                () = at(quiet) => return Err(Stop::Silent(silence.unwrap_or_default())),
                () = at(drained) => return Err(Stop::End),
                () = self.group.exited(), if drained.is_none() => {
                    // Children of a dead stage would keep its pipes open for ever.
                    self.group.kill();
                    self.watch.kill();
                    self.leaderless = Some(Instant::now() + DRAIN);
                }
            }
        }
    }

    /// The closing message is here: lets the program end by itself, then makes sure.
    async fn close(mut self, response: Response) -> Result<Response, PluginError> {
        self.stdin = None;
        // What it wrote since the last look counts as well.
        let excess = self.watch.too_much_output();
        let exit = self.group.finish(self.launch.limits.grace).await;
        let _ = timeout(DRAIN, &mut self.stderr).await;
        self.stderr.abort();
        let io = |action, source| PluginError::Io { program: self.program.clone(), action, source };
        exit.map_err(|source| io("wait for", source))?;
        if let Some(source) = self.log.failure() {
            return Err(io("write the log of", source));
        }
        if let Some(excess) = excess {
            return Err(exceeded(excess, self.program, self.log.tail()));
        }
        match response {
            Response::Error(fault) => Err(PluginError::Fault { fault, tail: self.log.tail() }),
            response => Ok(response),
        }
    }

    /// No closing message will come: stops the program and says what happened.
    async fn fail(mut self, failed: Failed) -> PluginError {
        self.stdin = None;
        if let Failed::Stop(Stop::Excess(Excess::Memory(_))) = failed {
            // Time to tidy up is time to take what the machine has left.
            self.group.kill();
        }
        let grace = self.launch.limits.grace;
        let died = matches!(failed, Failed::Stop(Stop::End) | Failed::NoHello { ended: true, .. });
        let alive = if died {
            // Its output ended; its exit, on its way, says why.
            timeout(DRAIN, self.group.exited()).await.is_err()
        } else {
            false
        };
        let exit = self.group.stop(grace).await;
        let ran_out = self.watch.ran_out();
        self.watch.kill();
        let _ = timeout(DRAIN, &mut self.stderr).await;
        self.stderr.abort();
        let (program, tail) = (self.program, self.log.tail());
        if let Some(excess) = ran_out.filter(|_| died) {
            return exceeded(excess, program, tail);
        }
        match failed {
            Failed::Stop(Stop::Excess(excess)) => exceeded(excess, program, tail),
            Failed::NoHello { why, ended } => {
                let why = match exit {
                    Ok(exit) if ended && !alive => format!("{why} ({exit})"),
                    _ => why,
                };
                PluginError::NoHello { program, why, tail }
            }
            Failed::OtherVersion(Hello { versions, speaker }) => {
                PluginError::OtherVersion { program, speaker, theirs: list(&versions), ours: list(VERSIONS) }
            }
            Failed::Junk(line) => PluginError::Junk { program, line, tail },
            Failed::Stop(Stop::Cancelled) => PluginError::Cancelled { program },
            Failed::Stop(Stop::Timeout(after)) => PluginError::Timeout { program, after, tail },
            Failed::Stop(Stop::Silent(after)) => PluginError::Silent { program, after, tail },
            Failed::Stop(Stop::Flood(what)) => PluginError::Flood { program, what },
            Failed::Stop(Stop::Io(source)) => PluginError::Io { program, action: "read from", source },
            Failed::Stop(Stop::End) => match exit {
                Ok(exit) if exit.is_file_too_large() && self.launch.limits.output.is_some() => {
                    let limit = self.launch.limits.output.unwrap_or_default();
                    exceeded(Excess::Output(limit), program, tail)
                }
                Ok(exit) if !alive => PluginError::Died { program, exit, tail },
                Ok(_) => PluginError::Mute { program, tail },
                Err(source) => PluginError::Io { program, action: "wait for", source },
            },
        }
    }
}

pub(super) fn exceeded(excess: Excess, program: String, tail: Vec<String>) -> PluginError {
    match excess {
        Excess::Memory(limit) => PluginError::Memory { program, limit, tail },
        Excess::Output(limit) => PluginError::Output { program, limit, tail },
    }
}

/// Why there is no answer, before the program's end adds to it.
enum Failed {
    NoHello { why: String, ended: bool },
    OtherVersion(Hello),
    Junk(String),
    Stop(Stop),
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

async fn keep_stderr(mut stderr: ChildStderr, log: Log) {
    let mut buffer = vec![0; 1 << 16];
    // An error reads as the end: there is nothing more to keep either way.
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        log.stderr(&buffer[..length]);
    }
    log.end();
}

fn excerpt(line: &str) -> String {
    let text: String = line.chars().filter(|c| !c.is_control()).collect();
    if text.chars().count() <= EXCERPT {
        return format!("`{text}`");
    }
    format!("`{}…`", text.chars().take(EXCERPT).collect::<String>())
}

fn list(versions: &[u32]) -> String {
    match versions {
        [] => "no version".to_owned(),
        [one] => format!("version {one}"),
        many => format!("versions {}", many.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")),
    }
}
