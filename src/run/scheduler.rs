//! Which stage next: a pure state machine over a graph, without clock, process or store.
//!
//! A node waits for its dependencies, is then offered once for a look at the cache ([`Scheduler::take_ready`]), and either
//! ends there ([`Scheduler::settle`]) or queues for the machine ([`Scheduler::enqueue`]) until it is granted its share
//! ([`Scheduler::grant`]) and ends later. Looking needs no resources; running does.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use stagewright_protocol::Resources;

/// Index of a node, the position of its action in the plan.
pub type Node = usize;

/// One node of the graph.
#[derive(Debug, Clone)]
pub struct Work {
    /// Nodes that must have ended before; each smaller than this one's index, without repetition.
    pub after: Vec<Node>,
    /// What it occupies while it runs.
    pub resources: Resources,
    /// How long it is expected to take.
    pub expected: Duration,
    /// Its turn comes although something it depends on has no result, and although the run stops: it decides itself.
    pub outlives: bool,
}

/// What the machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Cores.
    pub cpus: u32,
    /// Bytes of memory; 0 when not known, and then not counted.
    pub memory: u64,
    /// Names of the GPUs.
    pub gpus: Vec<String>,
}

/// A node may run, with this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The node.
    pub node: Node,
    /// Cores, at least 1.
    pub cpus: u32,
    /// Bytes of memory; 0 for a node that states none.
    pub memory: u64,
    /// GPUs of its own; empty for a node that asks for none.
    pub gpus: Vec<String>,
}

/// How a node ended, as far as its dependents care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its dependents may look at what came of it.
    Settled,
    /// Nothing came of it: all its descendants are blocked, up to those that outlive it.
    NoResult,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// For this many dependencies.
    Waiting(usize),
    Ready,
    Looking,
    Queued,
    Running,
    Over,
}

/// The state machine.
#[derive(Debug)]
pub struct Scheduler {
    work: Vec<Work>,
    states: Vec<State>,
    dependents: Vec<Vec<Node>>,
    /// Expected time from the start of a node to the end of the longest chain behind it.
    priority: Vec<Duration>,
    ready: BinaryHeap<(Duration, Reverse<Node>)>,
    queued: BinaryHeap<(Duration, Reverse<Node>)>,
    grants: Vec<Option<Grant>>,
    capacity: Capacity,
    free: Capacity,
    running: usize,
    /// The one node that has the machine alone.
    alone: bool,
    open: usize,
}

impl Scheduler {
    /// A graph at its start. Wishes beyond the machine are cut to all of it; see [`Scheduler::unmet_gpus`] for the one
    /// wish that can't be.
    pub fn new(work: Vec<Work>, mut capacity: Capacity) -> Self {
        capacity.cpus = capacity.cpus.max(1);
        let count = work.len();
        let mut dependents = vec![Vec::new(); count];
        for (node, item) in work.iter().enumerate() {
            item.after.iter().for_each(|before| dependents[*before].push(node));
        }
        let mut priority = vec![Duration::ZERO; count];
        for node in (0..count).rev() {
            let behind = dependents[node].iter().map(|next| priority[*next]).max().unwrap_or_default();
            priority[node] = behind.saturating_add(work[node].expected);
        }
        let mut scheduler = Self {
            states: work.iter().map(|item| State::Waiting(item.after.len())).collect(),
            dependents,
            priority,
            ready: BinaryHeap::new(),
            queued: BinaryHeap::new(),
            grants: vec![None; count],
            free: capacity.clone(),
            capacity,
            running: 0,
            alone: false,
            open: count,
            work,
        };
        for node in 0..count {
            if scheduler.work[node].after.is_empty() {
                scheduler.make_ready(node);
            }
        }
        scheduler
    }

    /// GPUs a node wants beyond those of the machine: it could never start.
    pub fn unmet_gpus(&self, node: Node) -> u32 {
        let there = u32::try_from(self.capacity.gpus.len()).unwrap_or(u32::MAX);
        self.work[node].resources.gpus.saturating_sub(there)
    }

    /// A node whose dependencies have ended, each node once; the most urgent first.
    pub fn take_ready(&mut self) -> Option<Node> {
        while let Some((_, Reverse(node))) = self.ready.pop() {
            // A node stopped in the meantime is still in the heap.
            if self.states[node] == State::Ready {
                self.states[node] = State::Looking;
                return Some(node);
            }
        }
        None
    }

    /// A node that was looked at has to run.
    pub fn enqueue(&mut self, node: Node) {
        if self.states[node] == State::Looking {
            self.states[node] = State::Queued;
            self.queued.push((self.priority[node], Reverse(node)));
        }
    }

    /// The most urgent queued node that fits into what is free. A less urgent one that fits goes ahead of one that
    /// does not: the graph is finite, so nothing starves, and an idle core helps nobody.
    pub fn grant(&mut self) -> Option<Grant> {
        // Each needs a core at least: no need to go through thousands that wait.
        if self.alone || self.free.cpus == 0 {
            return None;
        }
        let mut passed = Vec::new();
        let mut granted = None;
        while let Some(item) = self.queued.pop() {
            let Reverse(node) = item.1;
            if self.states[node] != State::Queued {
                continue;
            }
            if let Some(grant) = self.fit(node) {
                granted = Some(grant);
                break;
            }
            passed.push(item);
        }
        self.queued.extend(passed);
        let grant = granted?;
        self.free.cpus -= grant.cpus;
        self.free.memory -= grant.memory.min(self.free.memory);
        self.free.gpus.retain(|gpu| !grant.gpus.contains(gpu));
        self.running += 1;
        self.alone = self.work[grant.node].resources.exclusive;
        self.states[grant.node] = State::Running;
        self.grants[grant.node] = Some(grant.clone());
        Some(grant)
    }

    fn fit(&self, node: Node) -> Option<Grant> {
        // The network is not shared out.
        let Resources { cpus, memory, gpus, exclusive, network: _ } = self.work[node].resources;
        if exclusive && self.running > 0 {
            return None;
        }
        let all = self.capacity.cpus;
        let cpus = if cpus == 0 { all } else { cpus.min(all) };
        let memory = if self.capacity.memory == 0 { memory } else { memory.min(self.capacity.memory) };
        let wanted_gpus = usize::try_from(gpus).unwrap_or(usize::MAX);
        let fits = cpus <= self.free.cpus
            && (self.capacity.memory == 0 || memory <= self.free.memory)
            && wanted_gpus <= self.free.gpus.len();
        fits.then(|| Grant { node, cpus, memory, gpus: self.free.gpus[..wanted_gpus].to_vec() })
    }

    /// A node has ended. Gives the nodes that this blocks, in the order of the plan.
    pub fn settle(&mut self, node: Node, ended: Ended) -> Vec<Node> {
        if self.states[node] == State::Over {
            return Vec::new();
        }
        self.finish(node);
        match ended {
            Ended::Settled => {
                for next in self.dependents[node].clone() {
                    self.count_down(next);
                }
                Vec::new()
            }
            Ended::NoResult => self.block_after(node),
        }
    }

    fn block_after(&mut self, node: Node) -> Vec<Node> {
        let mut blocked = Vec::new();
        let mut stack = vec![node];
        while let Some(ended) = stack.pop() {
            for next in self.dependents[ended].clone() {
                // A dependent can't be further than waiting: this node had not ended.
                if self.states[next] == State::Over {
                    continue;
                }
                if self.work[next].outlives {
                    self.count_down(next);
                } else {
                    self.finish(next);
                    blocked.push(next);
                    stack.push(next);
                }
            }
        }
        blocked.sort_unstable();
        blocked
    }

    /// One of the dependencies of a node has ended.
    fn count_down(&mut self, node: Node) {
        if let State::Waiting(left) = self.states[node] {
            self.states[node] = State::Waiting(left - 1);
            if left == 1 {
                self.make_ready(node);
            }
        }
    }

    fn finish(&mut self, node: Node) {
        if let Some(grant) = self.grants[node].take() {
            self.free.cpus += grant.cpus;
            if self.capacity.memory > 0 {
                self.free.memory = (self.free.memory + grant.memory).min(self.capacity.memory);
            }
            self.free.gpus.extend(grant.gpus);
            self.running -= 1;
            self.alone = false;
        }
        self.states[node] = State::Over;
        self.open -= 1;
    }

    fn make_ready(&mut self, node: Node) {
        self.states[node] = State::Ready;
        self.ready.push((self.priority[node], Reverse(node)));
    }

    /// Ends every node that has not begun, and gives them in the order of the plan. Those being looked at or running end
    /// through [`Scheduler::settle`]; those that outlive the stop still have their turn.
    pub fn stop(&mut self) -> Vec<Node> {
        let idle = |state: &State| matches!(state, State::Waiting(_) | State::Ready | State::Queued);
        let nodes: Vec<Node> = (0..self.work.len())
            .filter(|node| idle(&self.states[*node]) && !self.work[*node].outlives)
            .collect();
        nodes.iter().for_each(|node| self.finish(*node));
        for node in &nodes {
            for next in self.dependents[*node].clone() {
                self.count_down(next);
            }
        }
        nodes
    }

    /// Every node has ended.
    pub fn is_done(&self) -> bool {
        self.open == 0
    }
}

#[cfg(test)]
mod tests;
