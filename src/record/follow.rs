//! A run that goes on, read as it is written: only what was appended since the last look.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{
    RecordError, RunId, RunRecord, RunState,
    reader::{check_header, is_running},
    writer::{events_path, run_folder, runs_folder},
};

/// Follows the event log of a run.
#[derive(Debug)]
pub struct RunFollower {
    state_dir: PathBuf,
    path: PathBuf,
    record: RunRecord,
    /// Bytes of the log that the record tells of: whole lines.
    read: u64,
    /// Lines of those.
    lines: usize,
}

impl RunFollower {
    /// Starts before the first event of a run; [`RunFollower::advance`] reads what is there.
    pub fn new(state_dir: &Path, run: RunId) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            path: events_path(&run_folder(state_dir, run)),
            record: RunRecord::new(run),
            read: 0,
            lines: 0,
        }
    }

    /// The run as far as its log was read.
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// How far its log was read, in bytes; what has happened up to a place never changes.
    pub fn place(&self) -> u64 {
        self.read
    }

    /// Reads what was written since; true if the record has changed.
    pub fn advance(&mut self) -> Result<bool, RecordError> {
        self.advance_to(u64::MAX)
    }

    /// As [`RunFollower::advance`], up to a place of the log at most.
    pub fn advance_to(&mut self, place: u64) -> Result<bool, RecordError> {
        // Asked before reading: a run that ends in between then has its last event, not a false interruption.
        let alive = is_running(&self.state_dir, self.record.run)?;
        let before = (self.read, self.record.state);
        let text = match self.fresh(place) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let path = runs_folder(&self.state_dir);
                return Err(RecordError::NoRun { run: self.record.run, path });
            }
            Err(error) => return Err(RecordError::io("read", &self.path)(error)),
        };
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in text[..whole].split_inclusive(|byte| *byte == b'\n') {
            self.line(line.trim_ascii_end())?;
            self.read += line.len() as u64;
        }
        self.record.torn = whole < text.len();
        if matches!(self.record.state, RunState::Running | RunState::Interrupted) {
            self.record.state = if alive { RunState::Running } else { RunState::Interrupted };
        }
        Ok(before != (self.read, self.record.state))
    }

    fn fresh(&self, place: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = Vec::new();
        file.take(place.saturating_sub(self.read)).read_to_end(&mut text)?;
        Ok(text)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), RecordError> {
        self.lines += 1;
        if line.is_empty() {
            return Ok(());
        }
        if self.lines == 1 {
            return check_header(&self.path, line);
        }
        let wrong = |error: serde_json::Error| RecordError::Line {
            path: self.path.clone(),
            line: self.lines,
            reason: error.to_string(),
        };
        let event = serde_json::from_slice(line).map_err(wrong)?;
        self.record.apply(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        plan::StageId,
        record::{RunEvent, RunOutcome, RunWriter, read_run},
    };

    fn metric(step: u64) -> RunEvent {
        let stage = StageId("train".to_owned());
        RunEvent::StageMetric {
            at: Timestamp::UNIX_EPOCH,
            stage,
            name: "loss".to_owned(),
            value: 1.0,
            unit: None,
            step: Some(step),
        }
    }

    #[test]
    fn at_every_place_the_record_is_that_of_the_whole_log_up_to_there() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunId::now();
        let mut follower = RunFollower::new(folder.path(), run);
        assert!(matches!(follower.advance(), Err(RecordError::NoRun { .. })));
        let mut writer = RunWriter::create(folder.path(), run).unwrap();
        assert!(follower.advance().unwrap());
        assert!(!follower.advance().unwrap(), "nothing has happened");
        let mut places = Vec::new();
        for step in 0..5 {
            writer.append(&metric(step)).unwrap();
            writer.flush().unwrap();
            assert!(follower.advance().unwrap());
            assert_eq!(*follower.record(), read_run(folder.path(), run).unwrap());
            places.push((follower.place(), follower.record().clone()));
        }
        let end = RunEvent::RunEnded {
            at: Timestamp::UNIX_EPOCH,
            outcome: RunOutcome::Succeeded,
            duration_ms: 1,
            counts: Default::default(),
        };
        writer.append(&end).unwrap();
        for (place, record) in places {
            let mut second = RunFollower::new(folder.path(), run);
            second.advance_to(place).unwrap();
            assert_eq!((second.place(), second.record()), (place, &record));
        }
        drop(writer);
        assert!(follower.advance().unwrap());
        assert_eq!(follower.record().state, RunState::Ended(RunOutcome::Succeeded));
        assert!(!follower.advance().unwrap());
    }

    #[test]
    fn half_a_line_waits_and_a_death_shows() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunId::now();
        let mut writer = RunWriter::create(folder.path(), run).unwrap();
        writer.append(&metric(1)).unwrap();
        writer.flush().unwrap();
        let mut follower = RunFollower::new(folder.path(), run);
        follower.advance().unwrap();
        let path = events_path(&run_folder(folder.path(), run));
        let line = serde_json::to_vec(&metric(2)).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(&line[..9]).unwrap();
        assert!(!follower.advance().unwrap());
        assert!(follower.record().torn);
        file.write_all(&line[9..]).unwrap();
        file.write_all(b"\n").unwrap();
        assert!(follower.advance().unwrap());
        assert_eq!(follower.record().stages[0].curves["loss"].len(), 2);
        // Without a last event its process is gone.
        drop(writer);
        assert!(follower.advance().unwrap());
        assert_eq!(follower.record().state, RunState::Interrupted);
        file.write_all(b"nonsense\n").unwrap();
        assert!(matches!(follower.advance(), Err(RecordError::Line { line: 4, .. })));
    }
}
