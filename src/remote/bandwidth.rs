//! No more bytes a second than wanted, over all transfers of the process.
//!
//! Each request that moves bytes gets its turn: it begins when what began before it has had its time at the wanted rate. So the rate holds
//! in the mean, whatever the number of requests; one request, of up to 8 MiB, goes as fast as it can.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;

use crate::config::Rate;

/// Gives requests their turn.
#[derive(Debug)]
pub(super) struct Bandwidth {
    rate: Rate,
    /// When the next request may begin.
    next: Mutex<Option<Instant>>,
}

/// Sessions of one process with the same limit share it.
static SHARED: Mutex<BTreeMap<Rate, Weak<Bandwidth>>> = Mutex::new(BTreeMap::new());

impl Bandwidth {
    /// The limit of this process at that rate.
    pub(super) fn shared(rate: Rate) -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.get(&rate).and_then(Weak::upgrade) {
            return known;
        }
        let new = Arc::new(Self::new(rate));
        shared.insert(rate, Arc::downgrade(&new));
        new
    }

    fn new(rate: Rate) -> Self {
        Self { rate, next: Mutex::new(None) }
    }

    /// Waits for the turn of a request that moves so many bytes.
    pub(super) async fn turn(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let time = Duration::from_secs_f64(bytes as f64 / self.rate.bytes() as f64);
        let begin = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            // What was not used is not saved up.
            let begin = next.map_or(now, |next| next.max(now));
            *next = Some(begin + time);
            begin
        };
        tokio::time::sleep_until(begin).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// Times at which requests of these sizes began, each asked for so long after the one before; on a clock that no load slows.
    fn begins(rate: u64, requests: &[(u64, u64)]) -> Vec<(Duration, u64)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let bandwidth = Arc::new(Bandwidth::new(Rate::new(rate).unwrap()));
            let origin = Instant::now();
            let mut tasks = Vec::new();
            for (pause, bytes) in requests.iter().copied() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let bandwidth = Arc::clone(&bandwidth);
                tasks.push(tokio::spawn(async move {
                    bandwidth.turn(bytes).await;
                    (origin.elapsed(), bytes)
                }));
                tokio::task::yield_now().await;
            }
            let mut done = Vec::new();
            for task in tasks {
                done.push(task.await.unwrap());
            }
            done
        })
    }

    #[test]
    fn many_at_once_take_their_time_one_after_the_other() {
        let began = begins(1000, &[(0, 500), (0, 1000), (0, 250), (0, 1)]);
        let seconds: Vec<u128> = began.iter().map(|(time, _)| time.as_millis() / 10).collect();
        assert_eq!(seconds, [0, 50, 150, 175]);
    }

    #[test]
    fn sessions_of_one_rate_share_it() {
        let rate = Rate::new(123_457).unwrap();
        let one = Bandwidth::shared(rate);
        assert!(Arc::ptr_eq(&one, &Bandwidth::shared(rate)));
        assert!(!Arc::ptr_eq(&one, &Bandwidth::shared(Rate::new(123_458).unwrap())));
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_has_more_than_its_bytes(
            rate in 1000u64..100_000,
            requests in prop::collection::vec((0u64..200, 1u64..20_000), 1..30),
        ) {
            let began = begins(rate, &requests);
            for (first, (start, _)) in began.iter().enumerate() {
                let mut moved = 0;
                for (at, bytes) in &began[first..] {
                    // Before this one begins, all others since `start` have had their time; clocks count in milliseconds.
                    let allowed = (*at - *start + Duration::from_millis(2)).as_secs_f64() * rate as f64;
                    prop_assert!(moved as f64 <= allowed + 1.0, "{moved} of {allowed}");
                    moved += bytes;
                }
            }
            // And no more time is taken than that needs.
            let bytes: u64 = requests.iter().map(|(_, bytes)| bytes).sum();
            let pauses: u64 = requests.iter().map(|(pause, _)| pause).sum();
            let most = bytes as f64 / rate as f64 + pauses as f64 / 1000.0 + 0.002 * requests.len() as f64;
            prop_assert!(began.iter().all(|(at, _)| at.as_secs_f64() <= most));
        }
    }
}
