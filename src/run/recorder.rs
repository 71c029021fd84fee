//! The one way for events out of a run: into the record first, then to whoever watches.

use crate::record::{RecordError, RunEvent, RunWriter};

pub(super) struct Recorder<'a> {
    writer: RunWriter,
    watcher: &'a mut dyn FnMut(&RunEvent),
}

impl<'a> Recorder<'a> {
    pub(super) fn new(writer: RunWriter, watcher: &'a mut dyn FnMut(&RunEvent)) -> Self {
        Self { writer, watcher }
    }

    /// Records and shows an event; one that can't be recorded is not shown, and ends the run.
    pub(super) fn note(&mut self, event: &RunEvent) -> Result<(), RecordError> {
        self.writer.append(event)?;
        (self.watcher)(event);
        Ok(())
    }
}
