//! Writing a run's record.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Outcome, RecordError, RunEvent, RunId};

/// Version of the event log's format.
///
/// 1: first release.
pub const RECORD_VERSION: u32 = 1;

/// First line of an event log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Header {
    /// [`RECORD_VERSION`].
    pub(super) stagewright_run: u32,
    /// Id of the run.
    pub(super) run: String,
    /// Name and version of the writer.
    pub(super) writer: String,
}

/// Removes what runs left that were killed before their record had a first line; gives how many. No run may be going on.
pub fn remove_beginnings(state_dir: &Path) -> Result<usize, RecordError> {
    let folder = runs_folder(state_dir);
    let items = match fs::read_dir(&folder) {
        Ok(items) => items,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(RecordError::io("read", &folder)(error)),
    };
    let mut removed = 0;
    for item in items {
        let item = item.map_err(RecordError::io("read", &folder))?;
        let name = item.file_name();
        let begun =
            name.to_str().and_then(|name| name.strip_prefix('.')).and_then(|id| id.parse::<RunId>().ok());
        if begun.is_some() {
            fs::remove_dir_all(item.path()).map_err(RecordError::io("remove", &item.path()))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Lines are written together until they have this many bytes.
const GATHERED: usize = 64 << 10;

/// The one writer of a run's record. The run counts as alive until it is dropped.
///
/// For speed, what is appended is gathered: it is in the file after [`RunWriter::flush`], after an event that has to last, or
/// once there is much of it. A process that dies before has told of nothing that is only in its memory but looks at what was
/// stored already.
#[derive(Debug)]
pub struct RunWriter {
    run: RunId,
    folder: PathBuf,
    events: File,
    gathered: Vec<u8>,
    // Held for its lock, which the system takes back whatever way the process ends.
    alive: File,
}

impl RunWriter {
    /// Starts the record of a new run.
    pub fn create(state_dir: &Path, run: RunId) -> Result<Self, RecordError> {
        // Under another name until there is a record in it: a kill in between leaves no run that can't be read.
        let fresh = runs_folder(state_dir).join(format!(".{run}"));
        let logs = fresh.join("logs");
        fs::create_dir_all(&logs).map_err(RecordError::io("create", &logs))?;
        let alive_path = alive_path(&fresh);
        let alive = File::create(&alive_path).map_err(RecordError::io("create", &alive_path))?;
        alive.lock().map_err(RecordError::io("lock", &alive_path))?;
        let path = events_path(&fresh);
        let events = File::options()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(RecordError::io("create", &path))?;
        let mut writer = Self { run, folder: fresh.clone(), events, gathered: Vec::new(), alive };
        writer.write_line(&Header {
            stagewright_run: RECORD_VERSION,
            run: run.to_string(),
            writer: concat!("stagewright ", env!("CARGO_PKG_VERSION")).to_owned(),
        })?;
        writer.flush()?;
        writer.folder = run_folder(state_dir, run);
        fs::rename(&fresh, &writer.folder).map_err(RecordError::io("create", &writer.folder))?;
        Ok(writer)
    }

    /// The run's id.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Appends an event, unless it is one for displays only. Results of stages and the end of the run survive a loss of
    /// power; the rest survives the death of the process once it is flushed.
    pub fn append(&mut self, event: &RunEvent) -> Result<(), RecordError> {
        if !event.is_recorded() {
            return Ok(());
        }
        self.write_line(event)?;
        let lasting = matches!(
            event,
            RunEvent::StageEnded { outcome: Outcome::Ran | Outcome::Failed, .. } | RunEvent::RunEnded { .. }
        );
        if lasting {
            self.flush()?;
            self.events.sync_data().map_err(RecordError::io("sync", &events_path(&self.folder)))?;
        }
        Ok(())
    }

    /// Writes what was gathered.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        // Whole lines at a time: a reader, or a kill, sees whole lines but for the last.
        let written = self.events.write_all(&self.gathered);
        self.gathered.clear();
        written.map_err(RecordError::io("write", &events_path(&self.folder)))
    }

    fn write_line<T: Serialize>(&mut self, line: &T) -> Result<(), RecordError> {
        let whole = self.gathered.len();
        if let Err(error) = serde_json::to_writer(&mut self.gathered, line) {
            self.gathered.truncate(whole);
            return Err(RecordError::Encode { what: "an event", reason: error.to_string() });
        }
        self.gathered.push(b'\n');
        if self.gathered.len() >= GATHERED { self.flush() } else { Ok(()) }
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        // After an error, what is left says as much as can be said; the error has been told.
        let _ = self.flush();
        // Not left to closing: a process that another thread is just starting may hold a copy of the file for a moment.
        let _ = self.alive.unlock();
    }
}

pub(super) fn runs_folder(state_dir: &Path) -> PathBuf {
    state_dir.join("runs-v1")
}

/// The folder of a run, whether it is there or not.
pub fn run_folder(state_dir: &Path, run: RunId) -> PathBuf {
    runs_folder(state_dir).join(run.to_string())
}

pub(super) fn events_path(folder: &Path) -> PathBuf {
    folder.join("events.jsonl")
}

pub(super) fn alive_path(folder: &Path) -> PathBuf {
    folder.join("alive")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn beginnings_are_no_runs_and_are_removed_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(remove_beginnings(folder.path()).unwrap(), 0);
        let whole = RunId::now();
        drop(RunWriter::create(folder.path(), whole).unwrap());
        let runs = runs_folder(folder.path());
        // As a kill leaves it between the first folder and the first line.
        fs::create_dir_all(runs.join(format!(".{}", RunId::now())).join("logs")).unwrap();
        fs::create_dir_all(runs.join(".other")).unwrap();
        assert_eq!(super::super::list_runs(folder.path()).unwrap(), [whole]);
        assert_eq!(remove_beginnings(folder.path()).unwrap(), 1);
        assert!(runs.join(whole.to_string()).is_dir() && runs.join(".other").is_dir());
    }
}
