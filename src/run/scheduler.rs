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
    /// Nothing came of it: all its descendants are blocked.
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
        if self.alone {
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
        let Resources { cpus, memory, gpus, exclusive } = self.work[node].resources;
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
                    if let State::Waiting(left) = self.states[next] {
                        self.states[next] = State::Waiting(left - 1);
                        if left == 1 {
                            self.make_ready(next);
                        }
                    }
                }
                Vec::new()
            }
            Ended::NoResult => self.block_after(node),
        }
    }

    fn block_after(&mut self, node: Node) -> Vec<Node> {
        let mut blocked = Vec::new();
        let mut stack = self.dependents[node].clone();
        while let Some(next) = stack.pop() {
            // A dependent can't be further than waiting: this node had not ended.
            if self.states[next] != State::Over {
                self.finish(next);
                blocked.push(next);
                stack.extend_from_slice(&self.dependents[next]);
            }
        }
        blocked.sort_unstable();
        blocked
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
    /// through [`Scheduler::settle`].
    pub fn stop(&mut self) -> Vec<Node> {
        let idle = |state: &State| matches!(state, State::Waiting(_) | State::Ready | State::Queued);
        let nodes: Vec<Node> = (0..self.work.len()).filter(|node| idle(&self.states[*node])).collect();
        nodes.iter().for_each(|node| self.finish(*node));
        nodes
    }

    /// Every node has ended.
    pub fn is_done(&self) -> bool {
        self.open == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn work(after: &[Node], cpus: u32) -> Work {
        let resources = Resources { cpus, ..Resources::default() };
        Work { after: after.to_vec(), resources, expected: Duration::from_secs(1) }
    }

    fn machine(cpus: u32) -> Capacity {
        Capacity { cpus, memory: 100, gpus: vec!["0".to_owned(), "1".to_owned()] }
    }

    #[test]
    fn the_longest_chain_goes_first() {
        // 0 stands alone; 1 → 2 → 3 is a chain.
        let mut scheduler =
            Scheduler::new(vec![work(&[], 1), work(&[], 1), work(&[1], 1), work(&[2], 1)], machine(1));
        assert_eq!(scheduler.take_ready(), Some(1));
        assert_eq!(scheduler.take_ready(), Some(0));
        scheduler.enqueue(0);
        scheduler.enqueue(1);
        assert_eq!(scheduler.grant().unwrap().node, 1);
        assert_eq!(scheduler.grant(), None);
    }

    #[test]
    fn wishes_beyond_the_machine_get_all_of_it() {
        let mut scheduler = Scheduler::new(vec![work(&[], 0), work(&[], 64)], machine(4));
        while let Some(node) = scheduler.take_ready() {
            scheduler.enqueue(node);
        }
        let first = scheduler.grant().unwrap();
        assert_eq!((first.node, first.cpus), (0, 4));
        assert_eq!(scheduler.grant(), None);
        scheduler.settle(0, Ended::Settled);
        assert_eq!(scheduler.grant().unwrap().cpus, 4);
    }

    #[test]
    fn gpus_are_given_by_name_and_come_back() {
        let mut nodes = vec![work(&[], 1), work(&[], 1), work(&[], 1), work(&[], 1)];
        nodes.iter_mut().for_each(|node| node.resources.gpus = 1);
        nodes[3].resources.gpus = 3;
        let mut scheduler = Scheduler::new(nodes, machine(8));
        assert_eq!((scheduler.unmet_gpus(0), scheduler.unmet_gpus(3)), (0, 1));
        (0..3).for_each(|_| {
            let node = scheduler.take_ready().unwrap();
            scheduler.enqueue(node);
        });
        assert_eq!(scheduler.grant().unwrap().gpus, ["0"]);
        assert_eq!(scheduler.grant().unwrap().gpus, ["1"]);
        assert_eq!(scheduler.grant(), None);
        scheduler.settle(0, Ended::Settled);
        assert_eq!(scheduler.grant().unwrap().gpus, ["0"]);
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fate {
        Hit,
        Runs,
        Fails,
        Skipped,
    }

    fn graphs() -> impl Strategy<Value = (Vec<Work>, Vec<Fate>, Vec<usize>, u32)> {
        (1usize..24).prop_flat_map(|count| {
            let node = move |index: usize| {
                let after = prop::collection::btree_set(0..index.max(1), 0..=index.min(4));
                (after, 0u32..6, 0u64..150, 0u32..3, prop::bool::weighted(0.1), 0u64..100).prop_map(
                    move |(after, cpus, memory, gpus, exclusive, seconds)| Work {
                        after: if index == 0 { Vec::new() } else { after.into_iter().collect() },
                        resources: Resources { cpus, memory, gpus, exclusive },
                        expected: Duration::from_secs(seconds),
                    },
                )
            };
            let fate = prop_oneof![3 => Just(Fate::Hit), 5 => Just(Fate::Runs), 1 => Just(Fate::Fails), 1 => Just(Fate::Skipped)];
            (
                (0..count).map(node).collect::<Vec<_>>(),
                prop::collection::vec(fate, count),
                prop::collection::vec(0usize..1000, count * 3),
                1u32..5,
            )
        })
    }

    proptest! {
        #[test]
        fn each_once_after_its_inputs_within_the_machine_and_failures_block_their_descendants(
            (work, fates, choices, cpus) in graphs()
        ) {
            let capacity = machine(cpus);
            let mut scheduler = Scheduler::new(work.clone(), capacity.clone());
            let (mut started, mut ended, mut blocked) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            let mut running: Vec<Grant> = Vec::new();
            let mut choices = choices.into_iter().cycle();
            while !scheduler.is_done() {
                while let Some(node) = scheduler.take_ready() {
                    prop_assert!(started.insert(node), "{node} came twice");
                    prop_assert!(work[node].after.iter().all(|before| ended.contains(before)), "{node} came early");
                    match fates[node] {
                        Fate::Hit | Fate::Skipped => {
                            prop_assert_eq!(scheduler.settle(node, Ended::Settled), Vec::<Node>::new());
                            ended.insert(node);
                        }
                        Fate::Runs | Fate::Fails => scheduler.enqueue(node),
                    }
                }
                while let Some(grant) = scheduler.grant() {
                    prop_assert!(grant.cpus >= 1);
                    running.push(grant);
                    let sum: u32 = running.iter().map(|grant| grant.cpus).sum();
                    let memory: u64 = running.iter().map(|grant| grant.memory).sum();
                    let gpus: BTreeSet<&String> = running.iter().flat_map(|grant| &grant.gpus).collect();
                    prop_assert!(sum <= capacity.cpus && memory <= capacity.memory);
                    prop_assert_eq!(gpus.len(), running.iter().map(|grant| grant.gpus.len()).sum::<usize>());
                    let alone = running.iter().any(|grant| work[grant.node].resources.exclusive);
                    prop_assert!(!alone || running.len() == 1);
                }
                if scheduler.is_done() {
                    break;
                }
                prop_assert!(!running.is_empty(), "deadlock");
                let index = choices.next().unwrap() % running.len();
                let node = running.swap_remove(index).node;
                let how = if fates[node] == Fate::Fails { Ended::NoResult } else { Ended::Settled };
                let now = scheduler.settle(node, how);
                prop_assert!(how == Ended::NoResult || now.is_empty());
                for one in now {
                    prop_assert!(blocked.insert(one) && !started.contains(&one));
                }
                if how == Ended::Settled {
                    ended.insert(node);
                }
            }
            // Blocked are exactly the descendants of failures that ran.
            let mut expected = BTreeSet::new();
            for (node, item) in work.iter().enumerate() {
                let cut = |before: &Node| expected.contains(before) || fates[*before] == Fate::Fails;
                if item.after.iter().any(cut) {
                    expected.insert(node);
                }
            }
            prop_assert_eq!(&blocked, &expected);
            prop_assert_eq!(started.len() + blocked.len(), work.len());
        }

        #[test]
        fn stopping_ends_everything((work, _, choices, cpus) in graphs()) {
            let mut scheduler = Scheduler::new(work.clone(), machine(cpus));
            let (mut looking, mut running) = (Vec::new(), Vec::new());
            for choice in choices.iter().take(work.len()) {
                match choice % 3 {
                    0 => looking.extend(scheduler.take_ready()),
                    1 => if let Some(node) = looking.pop() { scheduler.enqueue(node) },
                    _ => running.extend(scheduler.grant().map(|grant| grant.node)),
                }
            }
            let stopped = scheduler.stop();
            prop_assert_eq!(stopped.len() + looking.len() + running.len(), work.len());
            prop_assert_eq!(scheduler.take_ready(), None);
            prop_assert_eq!(scheduler.grant(), None);
            looking.into_iter().chain(running).for_each(|node| drop(scheduler.settle(node, Ended::NoResult)));
            prop_assert!(scheduler.is_done());
        }
    }
}
