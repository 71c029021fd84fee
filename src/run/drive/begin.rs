//! What is begun: looks at the cache, and stage programs.

use std::{sync::Arc, time::Instant};

use super::{Done, Driver, GLANCES_AT_ONCE, LOOKS_AT_ONCE, NOT_SELECTED};
use crate::{
    plugin::Cancel,
    record::Outcome,
    run::{
        RunError,
        adopt::{Adopter, adopt},
        commit::place_stored,
        failure,
        inputs::{Resolved, Settled, resolve},
        local::{Job, Shared, act},
        lookup::{Glance, Looked, Question, look_up},
        select::Part,
    },
};

impl Driver<'_> {
    /// Looks at the cache for every stage whose turn it is. True: it stopped halfway, so that nothing else is kept waiting.
    pub(super) fn begin_looks(&mut self) -> Result<bool, RunError> {
        let mut glances = 0;
        while self.looking < LOOKS_AT_ONCE {
            if glances == GLANCES_AT_ONCE {
                return Ok(true);
            }
            let Some(node) = self.again.pop().or_else(|| self.scheduler.take_ready()) else { break };
            self.began[node].get_or_insert_with(Instant::now);
            let action = Arc::clone(&self.actions[node]);
            let forced = match self.parts[node] {
                Part::Unwanted => {
                    self.skip(node, NOT_SELECTED.to_owned(), Settled::Unwanted)?;
                    continue;
                }
                Part::Support | Part::Reused => false,
                Part::Wanted { forced } => forced,
            };
            if let Some(reason) = &action.skip {
                self.skip(node, reason.clone(), Settled::Skipped)?;
                continue;
            }
            if !self.decide(node, &action)? {
                continue;
            }
            let known = match resolve(&action, |stage| self.settled.get(stage)) {
                Resolved::Known(known, notes) => {
                    self.warn(node, notes)?;
                    known
                }
                Resolved::Blocked(reason) => {
                    self.block(node, reason)?;
                    continue;
                }
                Resolved::Skip(reason) => {
                    self.skip(node, reason, Settled::Skipped)?;
                    continue;
                }
                Resolved::Missing(what) => {
                    self.fail(node, None, String::new(), failure::user(what, None))?;
                    continue;
                }
            };
            let Shared { salt, prints, store, ahead, .. } = &*self.shared;
            let glance = Glance { prints, store, salt, ahead: ahead.as_deref() };
            let glanced = (!forced).then(|| glance.at(&action, &known)).flatten();
            if let Some((key, result)) = glanced {
                glances += 1;
                let why = self.why_cached(node, key);
                self.succeed(node, Outcome::Cached, key, why, result)?;
                continue;
            }
            self.looking += 1;
            let (shared, last) = (Arc::clone(&self.shared), self.history.last(&action.id));
            self.tasks.spawn_blocking(move || {
                let question = Question {
                    known,
                    last: last.as_ref(),
                    forced,
                    salt: &shared.salt,
                    lock: shared.lock.as_deref(),
                    supplier: shared.supplier.as_deref(),
                };
                let looked = match look_up(&action, question, &shared.prints, &shared.store) {
                    Ok(looked) => looked,
                    Err(failure) => return Done::Looked(node, Err(Box::new(failure)), None),
                };
                if let Looked::Locked(miss) = &looked {
                    let by = Adopter { run: shared.run, host: &shared.host, root: &shared.root };
                    let adopted = adopt(&action, miss, &by, &shared.store);
                    return match adopted {
                        Ok(result) => Done::Adopted(node, miss.key, Arc::new(result)),
                        Err(failure) => Done::Looked(node, Err(Box::new(failure)), None),
                    };
                }
                let Looked::Hit { key, result, .. } = &looked else {
                    return Done::Looked(node, Ok((looked, Vec::new())), None);
                };
                match place_stored(
                    &action,
                    result,
                    &shared.root,
                    &shared.store,
                    &shared.prints,
                    &shared.shares,
                ) {
                    Ok(notes) => Done::Looked(node, Ok((looked, notes)), None),
                    Err(failure) => {
                        let failed = Some((*key, Box::new(failure)));
                        Done::Looked(node, Ok((looked, Vec::new())), failed)
                    }
                }
            });
        }
        Ok(false)
    }

    /// Starts every queued stage that the machine has room for.
    pub(super) fn begin_runs(&mut self) -> Result<(), RunError> {
        while let Some(grant) = self.scheduler.grant() {
            let node = grant.node;
            let Some(miss) = self.queued.remove(&node) else { continue };
            let action = Arc::clone(&self.actions[node]);
            if grant.memory < action.resources.memory {
                let (wants, has) = (action.resources.memory, self.capacity.memory);
                self.warn(
                    node,
                    vec![format!("it asks for {wants} bytes of memory and gets all {has} of this machine")],
                )?;
            }
            self.began[node] = Some(Instant::now());
            let (shared, say) = (Arc::clone(&self.shared), self.say.clone());
            let (threads, memory) = (grant.cpus, grant.memory);
            tracing::debug!(stage = %action.id, threads, memory, "granted");
            self.granted.insert(node, (threads, memory));
            // What outlives the stop of the run is not stopped by it.
            let cancel = if shared.cancel.is_cancelled() { Cancel::never() } else { shared.cancel.clone() };
            let job = Job { action, miss, grant, cancel };
            self.tasks.spawn(async move { Done::Acted(node, act(shared, job, say).await) });
        }
        Ok(())
    }
}
