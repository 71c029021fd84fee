//! A transfer on the screen: a bar with rate and time left, plain lines without a terminal.

use std::{
    future::Future,
    io::IsTerminal,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stagewright::remote::{Listener, TransferEvent};

use super::{CliError, screen};

/// Without a terminal, progress is worth a line this often.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// Requests that go wrong together are worth one line.
const RETRY_INTERVAL: Duration = Duration::from_secs(3);

/// How a transfer tells the size of what was sent: that of the content, and how much less went over where that is so.
pub fn sizes(bytes: u64, sent: u64) -> String {
    if sent < bytes {
        format!("{}, sent as {}", screen::bytes(bytes), screen::bytes(sent))
    } else {
        screen::bytes(bytes)
    }
}

/// What has been moved so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Objects that are whole.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Shows a transfer on stderr.
pub struct Transfer {
    bar: ProgressBar,
    verb: &'static str,
    state: Mutex<State>,
}

struct State {
    planned: u64,
    moved: Moved,
    last_line: Instant,
    last_retry: Option<Instant>,
    last_wait: Option<Instant>,
}

impl Transfer {
    /// A display; `verb` says what is done, for example `pushing`.
    pub fn new(verb: &'static str) -> Arc<Self> {
        let live = std::io::stderr().is_terminal();
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        bar.set_style(
            ProgressStyle::with_template(
                "{msg}  {bar:24.cyan/dim} {bytes}/{total_bytes} · {bytes_per_sec} · {eta} left",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─"),
        );
        let state = State {
            planned: 0,
            moved: Moved::default(),
            last_line: Instant::now(),
            last_retry: None,
            last_wait: None,
        };
        Arc::new(Self { bar, verb, state: Mutex::new(state) })
    }

    /// The listener that feeds this display.
    pub fn listener(self: &Arc<Self>) -> Listener {
        let this = Arc::clone(self);
        Arc::new(move |event| this.event(event))
    }

    fn event(&self, event: TransferEvent) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            TransferEvent::Planned { objects, bytes } => {
                state.planned += objects;
                self.bar.inc_length(bytes);
            }
            TransferEvent::Moved { bytes } => {
                state.moved.bytes += bytes;
                self.bar.inc(bytes);
            }
            TransferEvent::Finished => state.moved.objects += 1,
            TransferEvent::Waiting { what } => {
                if state.last_wait.is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL) {
                    state.last_wait = Some(Instant::now());
                    self.line(&format!("{} {what}", style("waiting").yellow()));
                }
            }
            TransferEvent::Distrusted { what } => {
                self.line(&format!("{} passed over: {what}", style("warning:").yellow().bold()));
            }
            TransferEvent::Retried { error, attempt, pause } => {
                if state.last_retry.is_none_or(|last| last.elapsed() >= RETRY_INTERVAL) {
                    state.last_retry = Some(Instant::now());
                    let pause = screen::duration(pause);
                    self.line(&format!(
                        "{} attempt {attempt}: {error}; again in {pause}",
                        style("retry").yellow()
                    ));
                }
            }
        }
        let objects = format!("{} {}/{} objects", self.verb, state.moved.objects, state.planned);
        if self.bar.is_hidden() && state.last_line.elapsed() >= PLAIN_INTERVAL {
            state.last_line = Instant::now();
            let rate = self.bar.per_sec();
            let left = screen::duration(self.bar.eta());
            self.line(&format!(
                "{objects}, {} of {}, {}/s, {left} left",
                screen::bytes(state.moved.bytes),
                screen::bytes(self.bar.length().unwrap_or(0)),
                screen::bytes(rate.max(0.0) as u64)
            ));
        }
        self.bar.set_message(objects);
    }

    fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// Ends the display and says what was moved.
    pub fn finish(&self) -> Moved {
        self.bar.finish_and_clear();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).moved
    }
}

/// Runs a transfer to its end with threads for its work.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, CliError> {
    Ok(runtime()?.block_on(future))
}

/// A runtime for transfers.
pub fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| CliError::environment(format_args!("cannot start: {error}")))
}
