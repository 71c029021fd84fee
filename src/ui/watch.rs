//! What is watched: a run that goes on, and the list of runs.

use std::collections::HashMap;

use super::{
    live::{Change, Watch},
    pages::Pages,
};
use crate::{
    digest::Digest,
    record::{RunFollower, RunId, RunState},
    report::Pieces,
};

/// What a page shows, as far as it takes to know what has changed.
#[derive(Default)]
struct Shown {
    frame: String,
    pieces: HashMap<String, Digest>,
}

impl Shown {
    /// What is to be said of how a page is now.
    fn turn_into(&mut self, now: Pieces, place: u64) -> Vec<Change> {
        let Pieces { frame, pieces } = now;
        let same_frame = frame == self.frame;
        let mut changed = Vec::new();
        let mut known = HashMap::with_capacity(pieces.len());
        for (id, piece) in pieces {
            let digest = Digest::of(piece.as_bytes());
            if self.pieces.get(&id) != Some(&digest) {
                changed.push((id.clone(), piece));
            }
            known.insert(id, digest);
        }
        *self = Self { frame, pieces: known };
        match (same_frame, changed.is_empty()) {
            (false, _) => vec![Change::Whole],
            (true, true) => Vec::new(),
            (true, false) => vec![Change::Pieces { place, pieces: changed }],
        }
    }
}

/// A run that goes on.
pub(super) struct RunWatch {
    follower: RunFollower,
    shown: Shown,
}

impl RunWatch {
    /// Watches from what a page shows that was made of the event log up to a place.
    pub(super) fn new(pages: &Pages, run: RunId, from: u64) -> Self {
        let mut follower = pages.follow(run);
        let mut shown = Shown::default();
        // What can't be read is told by the first look.
        if from > 0 && follower.advance_to(from).is_ok() {
            shown.turn_into(pages.run_pieces(follower.record(), follower.place()), from);
        }
        Self { follower, shown }
    }
}

impl Watch for RunWatch {
    fn look(&mut self, pages: &Pages) -> Vec<Change> {
        match self.follower.advance() {
            Ok(false) if self.follower.record().state == RunState::Running => Vec::new(),
            Ok(true) if self.follower.record().state == RunState::Running => {
                let place = self.follower.place();
                self.shown.turn_into(pages.run_pieces(self.follower.record(), place), place)
            }
            // It has ended, or the page says what is wrong with its record.
            Ok(_) | Err(_) => vec![Change::End],
        }
    }
}

/// The list of runs.
pub(super) struct RunsWatch {
    shown: Shown,
    /// The page is older than what was known when the watch began.
    stale: bool,
}

impl RunsWatch {
    /// Watches from what a page shows that was made in this state.
    pub(super) fn new(pages: &Pages, state: &str) -> Self {
        let mut shown = Shown::default();
        let now = pages.runs_pieces();
        let stale = now.as_ref().is_none_or(|now| runs_state(now) != state);
        now.into_iter().for_each(|now| drop(shown.turn_into(now, 0)));
        Self { shown, stale }
    }
}

impl Watch for RunsWatch {
    fn look(&mut self, pages: &Pages) -> Vec<Change> {
        if std::mem::take(&mut self.stale) {
            return vec![Change::Whole];
        }
        pages.runs_pieces().map(|now| self.shown.turn_into(now, 0)).unwrap_or_default()
    }
}

/// A short name of what a list shows.
pub(super) fn runs_state(pieces: &Pieces) -> String {
    let mut text = pieces.frame.clone();
    pieces.pieces.iter().for_each(|(_, piece)| text.push_str(piece));
    Digest::of(text.as_bytes()).short()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(frame: &str, pieces: &[(&str, &str)]) -> Pieces {
        let owned = |(id, piece): &(&str, &str)| ((*id).to_owned(), (*piece).to_owned());
        Pieces { frame: frame.to_owned(), pieces: pieces.iter().map(owned).collect() }
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut shown = Shown::default();
        assert_eq!(shown.turn_into(page("a", &[("x", "1"), ("y", "1")]), 1), [Change::Whole]);
        assert_eq!(shown.turn_into(page("a", &[("x", "1"), ("y", "1")]), 2), []);
        let pieces = vec![("y".to_owned(), "2".to_owned())];
        assert_eq!(
            shown.turn_into(page("a", &[("x", "1"), ("y", "2")]), 3),
            [Change::Pieces { place: 3, pieces }]
        );
        assert_eq!(shown.turn_into(page("b", &[("x", "1"), ("y", "3")]), 4), [Change::Whole]);
        assert_eq!(shown.turn_into(page("b", &[("x", "1"), ("y", "3")]), 5), []);
    }
}
