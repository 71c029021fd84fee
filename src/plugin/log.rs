//! What a program says beside the protocol: kept in a file up to a bound, its last lines kept for error texts.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use stagewright_protocol::Level;

use super::{RedactedStream, Redactor};

/// Lines kept for error texts.
const TAIL_LINES: usize = 20;

/// Bytes kept of a line for error texts.
const TAIL_WIDTH: usize = 400;

/// A stage's log; clones write to the same one.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<State>>);

struct State {
    file: Option<File>,
    room: u64,
    tail: VecDeque<String>,
    partial: Vec<u8>,
    stream: RedactedStream,
    /// What was written last did not end its line.
    within_line: bool,
    failed: Option<io::Error>,
}

impl Log {
    /// A log in a file; what goes into it goes through the redactor.
    pub(super) fn new(path: Option<&Path>, room: u64, redactor: &Redactor) -> io::Result<Self> {
        // A retry appends to the log of the attempt before it.
        let file = path.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
        Ok(Self(Arc::new(Mutex::new(State {
            file,
            room,
            tail: VecDeque::new(),
            partial: Vec::new(),
            stream: redactor.stream(),
            within_line: false,
            failed: None,
        }))))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes from stderr.
    pub(super) fn stderr(&self, bytes: &[u8]) {
        let mut state = self.state();
        let bytes = state.stream.push(bytes);
        state.keep(&bytes);
    }

    /// No more bytes come from stderr.
    pub(super) fn end(&self) {
        let mut state = self.state();
        let rest = state.stream.finish();
        state.keep(&rest);
    }

    /// A log event, redacted.
    pub(super) fn event(&self, level: Level, message: &str) {
        let word = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
        };
        let mut state = self.state();
        // A line of stderr that is not at its end yet goes on below.
        let start = if state.within_line { "\n" } else { "" };
        state.write(format!("{start}[{word}] {message}\n").as_bytes());
    }

    /// The last lines of stderr.
    pub(super) fn tail(&self) -> Vec<String> {
        self.end();
        let mut state = self.state();
        state.end_line();
        state.tail.iter().cloned().collect()
    }

    /// The first failure to write the file.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.state().failed.take()
    }
}

impl State {
    fn keep(&mut self, bytes: &[u8]) {
        self.write(bytes);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = TAIL_WIDTH.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&line[..line.len().min(room)]);
            if line.len() < piece.len() {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.partial);
        let line = String::from_utf8_lossy(&bytes);
        // Control characters of a program do not get to rule a terminal that shows the error.
        let line: String = line.trim_end().chars().filter(|c| !c.is_control() || *c == '\t').collect();
        if line.is_empty() {
            return;
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.within_line = *last != b'\n';
        }
        let Some(file) = self.file.as_mut().filter(|_| self.room > 0) else { return };
        let kept = bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
        let mut result = file.write_all(&bytes[..kept]);
        self.room -= kept as u64;
        if self.room == 0 && result.is_ok() {
            result = file.write_all(b"\n[the log is full; what the program said after this was not kept]\n");
        }
        if let Err(error) = result {
            self.room = 0;
            self.failed.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keeps_the_last_lines_and_bounds_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = Log::new(Some(&path), 64, &Redactor::default()).unwrap();
        (0..50).for_each(|i| log.stderr(format!("line {i}\n").as_bytes()));
        log.stderr(b"\x1b[31mred\x1b[0m torn");
        let tail = log.tail();
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(tail[0], "line 31");
        assert_eq!(tail[19], "[31mred[0m torn");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("line 0\n") && text.ends_with("was not kept]\n"), "{text}");
        assert!(text.len() < 150);
    }
}
