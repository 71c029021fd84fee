//! The one way for events out of a run: into the record first, then to whoever watches.

use crate::record::{RecordError, RunEvent, RunWriter};

pub(super) struct Recorder<'a> {
    writer: RunWriter,
    watcher: &'a mut dyn FnMut(&RunEvent),
    /// Something was told since [`Recorder::catch_up`].
    behind: bool,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(writer: RunWriter, watcher: &'a mut dyn FnMut(&RunEvent)) -> Self {
        Self { writer, watcher, behind: false }
    }

    /// Records and shows an event; one that can't be recorded ends the run.
    pub(super) fn note(&mut self, event: &RunEvent) -> Result<(), RecordError> {
        self.writer.append(event)?;
        (self.watcher)(event);
        self.behind = true;
        Ok(())
    }

    /// Writes and shows what was only gathered. To be called before waiting for anything.
    pub(super) fn catch_up(&mut self) -> Result<(), RecordError> {
        if std::mem::take(&mut self.behind) {
            self.writer.flush()?;
            (self.watcher)(&RunEvent::CaughtUp);
        }
        Ok(())
    }
}
