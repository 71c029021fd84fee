//! How many requests go on at once: as many as still make things faster.
//!
//! More requests at once are tried while each step up brings more through; a server that asks for fewer gets fewer at once. This is
//! the additive increase and multiplicative decrease of TCP, with the rate instead of losses as the sign to stop growing.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Requests at once in the beginning.
const FIRST: usize = 8;
/// A step up has to bring this much more through to be kept.
const GAIN: f64 = 1.03;
/// Windows without a try at more.
const PATIENCE: u32 = 6;
/// Bytes that count as much as a request.
const REQUEST_BYTES: f64 = 262_144.0;

/// The rule, without clock or waiting.
#[derive(Debug)]
struct Pace {
    limit: usize,
    max: usize,
    /// Work done in this window, in requests.
    work: f64,
    requests: usize,
    began: Option<Duration>,
    /// Rate of the last window, in requests a second, and the limit it was reached with.
    last: Option<(f64, usize)>,
    resting: u32,
    /// Answers to requests from before the last cut say nothing about the limit after it.
    cut_at: Option<Duration>,
}

impl Pace {
    fn new(max: usize) -> Self {
        Self {
            limit: FIRST.min(max),
            max,
            work: 0.0,
            requests: 0,
            began: None,
            last: None,
            resting: 0,
            cut_at: None,
        }
    }

    /// A request that began then is done now with so many bytes.
    fn done(&mut self, began: Duration, now: Duration, bytes: u64) {
        let window_began = *self.began.get_or_insert(began);
        self.work += 1.0 + bytes as f64 / REQUEST_BYTES;
        self.requests += 1;
        // Long enough that every place had its turn, twice.
        if self.requests < 2 * self.limit {
            return;
        }
        let rate = self.work / (now.saturating_sub(window_began)).as_secs_f64().max(1e-6);
        let (before, before_limit) = self.last.unwrap_or((0.0, 0));
        let limit = self.limit;
        if rate > before * GAIN {
            self.limit = (limit + (limit / 4).max(1)).min(self.max);
            self.resting = 0;
        } else if limit > before_limit {
            // The step up was for nothing.
            self.limit = before_limit.max(1);
            self.resting = PATIENCE;
        } else if self.resting == 0 {
            self.limit = (limit + 1).min(self.max);
            self.resting = PATIENCE;
        } else {
            self.resting -= 1;
        }
        self.last = Some((rate, limit));
        (self.work, self.requests, self.began) = (0.0, 0, None);
    }

    /// The server asked for fewer requests, in answer to one that began then.
    fn throttled(&mut self, began: Duration, now: Duration) {
        if self.cut_at.is_some_and(|cut| began < cut) {
            return;
        }
        self.limit = (self.limit / 2).max(1);
        self.resting = PATIENCE;
        self.cut_at = Some(now);
        self.last = None;
        (self.work, self.requests, self.began) = (0.0, 0, None);
    }
}

/// Gives out places for requests.
#[derive(Debug)]
pub(super) struct Limit {
    state: Mutex<(Pace, usize)>,
    room: Notify,
    origin: Instant,
}

/// A place for one request.
pub(super) struct Place<'a> {
    limit: &'a Limit,
    began: Duration,
}

impl Limit {
    pub(super) fn new(max: usize) -> Self {
        Self { state: Mutex::new((Pace::new(max), 0)), room: Notify::new(), origin: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, (Pace, usize)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place.
    pub(super) async fn place(&self) -> Place<'_> {
        loop {
            {
                let mut state = self.lock();
                if state.1 < state.0.limit {
                    state.1 += 1;
                    if state.1 < state.0.limit {
                        self.room.notify_one();
                    }
                    return Place { limit: self, began: self.origin.elapsed() };
                }
            }
            self.room.notified().await;
        }
    }

    /// Requests that may go on at once now.
    pub(super) fn now(&self) -> usize {
        self.lock().0.limit
    }
}

impl Place<'_> {
    /// The request is done, with so many bytes.
    pub(super) fn done(self, bytes: u64) {
        let now = self.limit.origin.elapsed();
        self.limit.lock().0.done(self.began, now, bytes);
    }

    /// The server asked for fewer requests.
    pub(super) fn throttled(self) {
        let now = self.limit.origin.elapsed();
        self.limit.lock().0.throttled(self.began, now);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.limit.lock().1 -= 1;
        self.limit.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Runs the rule against a server that serves `places` requests at once, each in 10 ms, and others after them.
    fn settle(pace: &mut Pace, places: usize, windows: usize, clock: &mut Duration) {
        for _ in 0..windows * 64 {
            let began = *clock;
            let batch = pace.limit;
            *clock += Duration::from_millis(10) * u32::try_from(batch.div_ceil(places)).unwrap();
            for _ in 0..batch {
                pace.done(began, *clock, 0);
            }
        }
    }

    #[test]
    fn grows_as_long_as_it_helps() {
        let (mut pace, mut clock) = (Pace::new(64), Duration::ZERO);
        settle(&mut pace, 1000, 4, &mut clock);
        assert!(pace.limit > 56, "{}", pace.limit);
        let mut narrow = Pace::new(64);
        settle(&mut narrow, 12, 4, &mut clock);
        assert!((4..=26).contains(&narrow.limit), "{}", narrow.limit);
    }

    #[test]
    fn one_cut_for_one_wave_of_refusals() {
        let mut pace = Pace::new(64);
        pace.limit = 40;
        for _ in 0..40 {
            pace.throttled(Duration::from_secs(1), Duration::from_secs(2));
        }
        assert_eq!(pace.limit, 20);
        pace.throttled(Duration::from_secs(3), Duration::from_secs(4));
        assert_eq!(pace.limit, 10);
        (5..20).for_each(|at| pace.throttled(Duration::from_secs(at), Duration::from_secs(at)));
        assert_eq!(pace.limit, 1);
    }

    #[tokio::test]
    async fn no_more_places_than_the_limit_and_none_is_lost() {
        let limit = Limit::new(4);
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(limit.place().await);
        }
        let waiting = tokio::time::timeout(Duration::from_millis(20), limit.place());
        assert!(waiting.await.is_err());
        places.clear();
        for _ in 0..100 {
            tokio::time::timeout(Duration::from_secs(1), limit.place()).await.unwrap().done(10);
        }
    }
}
