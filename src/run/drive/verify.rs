//! Hits carried out again, to see whether they still come out as stored.
//!
//! It is done when the run is over but for this, so that it holds nobody up; nothing of it is stored, and the stored results
//! stay. What a stage promises of itself ([`Determinism`]) decides what is compared: `bitwise` every byte of every output,
//! `tolerance` the ports and each metric that is no time, `none` that it runs and writes the same ports. Stages that write to the work
//! tree themselves, as commands do, are left out: they can't be carried out again without replacing what lies there.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Instant};

use jiff::Timestamp;
use stagewright_protocol::Determinism;
use tokio::task::JoinSet;

use super::{Driver, millis, works};
use crate::{
    catalog::Start,
    digest::Digest,
    plugin::Finished,
    record::{ActionResult, Failure, HitVerdict, Measured, MetricValue, Outcome, RunEvent, VerifiedHit},
    run::{
        RunError, failure,
        inputs::{Resolved, resolve},
        local::{Job, repeat},
        lock,
        lookup::Miss,
        scheduler::{Ended, Grant, Node, Scheduler},
    },
    store::{Artifact, LocalStore},
};

/// Largest relative difference of a metric that counts as the same, for a stage that promises `tolerance`.
const TOLERANCE: f64 = 0.05;

impl Driver<'_> {
    /// Carries a sample of the hits out again. Gives what came of each; an empty list without hits or without the wish.
    pub(super) async fn verify_hits(&mut self) -> Result<Vec<VerifiedHit>, RunError> {
        let Some(wanted) = self.verify else { return Ok(Vec::new()) };
        let hits: Vec<Node> = (0..self.actions.len()).filter(|node| self.is_hit(*node)).collect();
        // Drawn anew in each run where no seed is given.
        let seed = wanted.seed.unwrap_or_else(|| {
            let hash = *Digest::of(self.shared.run.to_string().as_bytes()).hash();
            u64::from(u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]))
        });
        let chosen = sample(wanted.share, seed, hits.len(), |index| {
            self.summaries[hits[index]].as_ref().and_then(|summary| summary.key).map(|key| key.to_string())
        });
        let chosen: Vec<Node> = chosen.into_iter().map(|index| hits[index]).collect();
        self.recorder.note(&RunEvent::HitsChosen {
            at: Timestamp::now(),
            stages: chosen.iter().map(|node| self.actions[*node].id.clone()).collect(),
            hits: hits.len() as u64,
            seed,
        })?;
        self.repeat_all(chosen).await
    }

    /// A hit that can be carried out again without a trace: a command works in the work tree itself.
    fn is_hit(&self, node: Node) -> bool {
        let action = &self.actions[node];
        if !matches!(action.program.start, Start::Program(_)) || !action.outs.is_empty() {
            return false;
        }
        self.summaries[node].as_ref().is_some_and(|summary| {
            summary.outcome == Outcome::Cached && summary.result.is_some() && summary.key.is_some()
        })
    }

    async fn repeat_all(&mut self, chosen: Vec<Node>) -> Result<Vec<VerifiedHit>, RunError> {
        // They read what is stored already, so none waits for another, but for its share of the machine.
        let work = works(self.plan, &self.history);
        let work = chosen.iter().map(|node| {
            let mut work = work[*node].clone();
            work.after.clear();
            work
        });
        let mut scheduler = Scheduler::new(work.collect(), self.capacity.clone());
        while let Some(index) = scheduler.take_ready() {
            scheduler.enqueue(index);
        }
        let mut tasks = JoinSet::new();
        let mut verified = Vec::new();
        loop {
            while let Some(grant) = scheduler.grant() {
                let (index, node) = (grant.node, chosen[grant.node]);
                if let Some(task) = self.repeat_one(node, grant) {
                    tasks.spawn(async move { (index, node, Instant::now(), task.await) });
                } else {
                    scheduler.settle(index, Ended::Settled);
                }
            }
            self.recorder.catch_up()?;
            let Some(done) = tasks.join_next().await else { return Ok(verified) };
            // A panic in there is a defect of ours and goes on as one.
            let (index, node, began, verdict) =
                done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            scheduler.settle(index, Ended::Settled);
            let Some(verdict) = verdict else { continue };
            let hit = VerifiedHit {
                stage: self.actions[node].id.clone(),
                made_in: self.summaries[node].as_ref().and_then(|summary| Some(summary.result.as_ref()?.run)),
                verdict,
                duration_ms: millis(began.elapsed()),
            };
            self.recorder.note(&RunEvent::HitVerified { at: Timestamp::now(), hit: hit.clone() })?;
            verified.push(hit);
        }
    }

    /// The task that carries one hit out again; none where there is nothing to carry out. It gives none when cancelled.
    fn repeat_one(
        &self,
        node: Node,
        grant: Grant,
    ) -> Option<impl Future<Output = Option<HitVerdict>> + Send + 'static> {
        let action = Arc::clone(&self.actions[node]);
        let result = Arc::clone(self.summaries[node].as_ref()?.result.as_ref()?);
        let shared = Arc::clone(&self.shared);
        let Resolved::Known(known, _) = resolve(&action, |stage| self.settled.get(stage)) else {
            return None;
        };
        let grant = Grant { node, ..grant };
        Some(async move {
            let claim = lock::claim(&shared.store, &result.key, shared.run, &shared.cancel, |_| ()).await;
            let _claim = match claim {
                Ok(claim) => claim?,
                Err(error) => return Some(HitVerdict::Failed { failure: failure::from_store(&error) }),
            };
            let inputs = match shared.prints.complete(known) {
                Ok(inputs) => inputs,
                Err((_, _, error)) => {
                    return Some(HitVerdict::Failed { failure: failure::from_store(&error) });
                }
            };
            let miss = Miss {
                key: result.key,
                material: result.material.clone(),
                inputs,
                reasons: Vec::new(),
                notes: Vec::new(),
            };
            let (determinism, store) = (action.program.manifest.determinism, shared.store.clone());
            let job = Arc::new(Job { action, miss: Box::new(miss), grant, cancel: shared.cancel.clone() });
            let stored = Arc::clone(&result);
            let compared = repeat(&shared, &job, move |finished, measured| {
                compare(determinism, &stored, &finished, &measured, &store)
            });
            match compared.await {
                Ok(verdict) => Some(verdict),
                Err(Some(failure)) => Some(HitVerdict::Failed { failure }),
                Err(None) => None,
            }
        })
    }
}

/// Indices of the hits that are drawn: the same for the same seed and keys, and at least one of any.
fn sample(share: f64, seed: u64, count: usize, key: impl Fn(usize) -> Option<String>) -> Vec<usize> {
    let mut drawn: Vec<(String, usize)> = (0..count)
        .map(|index| {
            let text = format!("{seed} {}", key(index).unwrap_or_default());
            (Digest::of(text.as_bytes()).hex(), index)
        })
        .collect();
    drawn.sort_unstable();
    // A share of a few hits is rarely a whole number of them.
    let size = (share.clamp(0.0, 1.0) * count as f64).ceil() as usize;
    let mut chosen: Vec<usize> = drawn.into_iter().take(size).map(|(_, index)| index).collect();
    chosen.sort_unstable();
    chosen
}

fn compare(
    determinism: Determinism,
    stored: &ActionResult,
    finished: &Finished,
    measured: &Measured,
    store: &LocalStore,
) -> Result<HitVerdict, Failure> {
    let mut outputs = BTreeMap::new();
    for (port, path) in &finished.outputs {
        let artifact = store.identify(path).map_err(|error| failure::from_store(&error))?;
        outputs.insert(port.clone(), (path.clone(), artifact));
    }
    let mut differences = ports(stored, &outputs);
    match determinism {
        Determinism::Bitwise => differences.extend(contents(stored, &outputs)),
        Determinism::Tolerance => differences.extend(metrics(&stored.measured, measured)),
        Determinism::None => {}
    }
    Ok(match (differences.is_empty(), determinism) {
        (false, _) => HitVerdict::Differs { differences },
        (true, Determinism::Bitwise) => HitVerdict::Same,
        (true, Determinism::Tolerance) => HitVerdict::Within { tolerance: TOLERANCE },
        (true, Determinism::None) => HitVerdict::NotPromised,
    })
}

fn ports(stored: &ActionResult, outputs: &BTreeMap<String, (PathBuf, Artifact)>) -> Vec<String> {
    let lost = stored.outputs.keys().filter(|port| !outputs.contains_key(*port));
    let more = outputs.keys().filter(|port| !stored.outputs.contains_key(*port));
    lost.map(|port| format!("the output `{port}` was not written"))
        .chain(more.map(|port| format!("the output `{port}` was not written before")))
        .collect()
}

fn contents(stored: &ActionResult, outputs: &BTreeMap<String, (PathBuf, Artifact)>) -> Vec<String> {
    let both =
        stored.outputs.iter().filter_map(|(port, old)| Some((port, old.artifact, outputs.get(port)?.1)));
    both.filter(|(_, old, new)| old != new)
        .map(|(port, old, new)| {
            format!("the output `{port}` is {} now and {} in the store", new.digest, old.digest)
        })
        .collect()
}

fn metrics(stored: &Measured, measured: &Measured) -> Vec<String> {
    let mut found = Vec::new();
    for (name, old) in stored.metrics.iter().filter(|(_, metric)| !is_time(metric)) {
        let Some(new) = measured.metrics.get(name) else {
            found.push(format!("the metric `{name}` was not reported"));
            continue;
        };
        let apart = (new.value - old.value).abs();
        if apart > TOLERANCE * old.value.abs().max(new.value.abs()) {
            found.push(format!("the metric `{name}` is {} now and {} in the store", new.value, old.value));
        }
    }
    found
}

/// How long something took is nobody's promise.
fn is_time(metric: &MetricValue) -> bool {
    let unit = metric.unit.as_deref().unwrap_or_default();
    matches!(unit, "s" | "ms" | "us" | "ns" | "min" | "h") || unit.ends_with("/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_as_large_as_asked_for_and_the_same_for_a_seed() {
        let draw = |share, seed, count| sample(share, seed, count, |index| Some(format!("key {index}")));
        assert_eq!(draw(0.05, 1, 1000).len(), 50);
        assert_eq!((draw(0.05, 1, 3).len(), draw(0.05, 1, 0).len(), draw(1.0, 1, 7).len()), (1, 0, 7));
        assert_eq!(draw(0.1, 1, 100), draw(0.1, 1, 100));
        assert_ne!(draw(0.1, 1, 100), draw(0.1, 2, 100));
    }

    #[test]
    fn metrics_agree_within_a_part_and_times_do_not_count() {
        let measured = |loss: f64, took: f64| {
            let metric = |value, unit: Option<&str>| MetricValue { value, unit: unit.map(str::to_owned) };
            let metrics = [("loss", metric(loss, None)), ("took", metric(took, Some("ms")))];
            Measured {
                metrics: metrics.map(|(name, metric)| (name.to_owned(), metric)).into(),
                ..Measured::default()
            }
        };
        assert!(metrics(&measured(0.50, 10.0), &measured(0.52, 900.0)).is_empty());
        assert!(metrics(&measured(0.0, 10.0), &measured(0.0, 10.0)).is_empty());
        assert_eq!(
            metrics(&measured(0.50, 10.0), &measured(0.60, 10.0)),
            ["the metric `loss` is 0.6 now and 0.5 in the store"]
        );
        assert_eq!(
            metrics(&measured(0.50, 10.0), &Measured::default()),
            ["the metric `loss` was not reported"]
        );
    }
}
