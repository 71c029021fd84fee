#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn work(after: &[Node], cpus: u32) -> Work {
    let resources = Resources { cpus, ..Resources::default() };
    Work { after: after.to_vec(), resources, expected: Duration::from_secs(1), outlives: false }
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

/// What a node comes to when its turn has come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// Found in the cache, or skipped: it never runs.
    Hit,
    /// Runs, after this many attempts that failed and were tried again.
    Runs { retries: u32 },
    /// Gives no result, after as many.
    Fails { retries: u32 },
}

#[derive(Debug, Clone)]
struct Case {
    work: Vec<Work>,
    fates: Vec<Fate>,
    /// Decides which of the running nodes ends next.
    choices: Vec<usize>,
    cpus: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    (1usize..24).prop_flat_map(|count| {
        let node = move |index: usize| {
            let after = prop::collection::btree_set(0..index.max(1), 0..=index.min(4));
            (
                after,
                0u32..6,
                0u64..150,
                0u32..3,
                prop::bool::weighted(0.1),
                0u64..100,
                prop::bool::weighted(0.15),
            )
                .prop_map(move |(after, cpus, memory, gpus, exclusive, seconds, outlives)| {
                    Work {
                        after: if index == 0 { Vec::new() } else { after.into_iter().collect() },
                        resources: Resources { cpus, memory, gpus, exclusive, ..Resources::default() },
                        expected: Duration::from_secs(seconds),
                        outlives,
                    }
                })
        };
        let fate = prop_oneof![
            4 => Just(Fate::Hit),
            5 => (0u32..3).prop_map(|retries| Fate::Runs { retries }),
            1 => (0u32..3).prop_map(|retries| Fate::Fails { retries }),
        ];
        let nodes = (0..count).map(node).collect::<Vec<_>>();
        let fates = prop::collection::vec(fate, count);
        let choices = prop::collection::vec(0usize..1000, count * 6);
        (nodes, fates, choices, 1u32..5).prop_map(|(work, fates, choices, cpus)| Case {
            work,
            fates,
            choices,
            cpus,
        })
    })
}

/// A run over a case as the driver holds it, checking at each step what must hold at every step.
struct Play {
    case: Case,
    capacity: Capacity,
    scheduler: Scheduler,
    looking: Vec<Node>,
    /// What runs, with the attempts it still has to fail.
    running: Vec<(Grant, u32)>,
    started: BTreeSet<Node>,
    ended: BTreeSet<Node>,
    failed: BTreeSet<Node>,
    blocked: BTreeSet<Node>,
}

impl Play {
    fn new(case: Case) -> Self {
        let capacity = machine(case.cpus);
        Self {
            scheduler: Scheduler::new(case.work.clone(), capacity.clone()),
            case,
            capacity,
            looking: Vec::new(),
            running: Vec::new(),
            started: BTreeSet::new(),
            ended: BTreeSet::new(),
            failed: BTreeSet::new(),
            blocked: BTreeSet::new(),
        }
    }

    /// Takes all that is ready, each once and after its inputs.
    fn take(&mut self) -> Result<(), TestCaseError> {
        while let Some(node) = self.scheduler.take_ready() {
            prop_assert!(self.started.insert(node), "{node} came twice");
            let Work { after, outlives, .. } = &self.case.work[node];
            let over = |before: &Node| {
                let lost = self.failed.contains(before) || self.blocked.contains(before);
                self.ended.contains(before) || *outlives && lost
            };
            prop_assert!(after.iter().all(over), "{node} came early");
            self.looking.push(node);
        }
        Ok(())
    }

    /// Ends the looks: a hit is settled, anything else queues.
    fn look(&mut self) -> Result<(), TestCaseError> {
        for node in std::mem::take(&mut self.looking) {
            match self.case.fates[node] {
                Fate::Hit => self.settle(node, Ended::Settled)?,
                Fate::Runs { .. } | Fate::Fails { .. } => self.scheduler.enqueue(node),
            }
        }
        Ok(())
    }

    /// Starts all that fits, never more than the machine has.
    fn grant(&mut self) -> Result<(), TestCaseError> {
        while let Some(grant) = self.scheduler.grant() {
            prop_assert!(grant.cpus >= 1);
            let (Fate::Runs { retries } | Fate::Fails { retries }) = self.case.fates[grant.node] else {
                return Err(TestCaseError::fail(format!("{} was a hit and runs", grant.node)));
            };
            self.running.push((grant, retries));
            let grants = || self.running.iter().map(|(grant, _)| grant);
            prop_assert!(grants().map(|grant| grant.cpus).sum::<u32>() <= self.capacity.cpus);
            prop_assert!(grants().map(|grant| grant.memory).sum::<u64>() <= self.capacity.memory);
            let gpus: BTreeSet<&String> = grants().flat_map(|grant| &grant.gpus).collect();
            prop_assert_eq!(gpus.len(), grants().map(|grant| grant.gpus.len()).sum::<usize>());
            let alone = grants().any(|grant| self.case.work[grant.node].resources.exclusive);
            prop_assert!(!alone || self.running.len() == 1);
        }
        Ok(())
    }

    /// One of the running nodes fails an attempt, which keeps its share of the machine, or ends.
    fn end_one(&mut self, choice: usize) -> Result<(), TestCaseError> {
        let index = choice % self.running.len();
        if self.running[index].1 > 0 {
            self.running[index].1 -= 1;
            return Ok(());
        }
        let node = self.running.swap_remove(index).0.node;
        let failed = matches!(self.case.fates[node], Fate::Fails { .. });
        self.settle(node, if failed { Ended::NoResult } else { Ended::Settled })
    }

    fn settle(&mut self, node: Node, how: Ended) -> Result<(), TestCaseError> {
        prop_assert!(self.started.contains(&node));
        let now = self.scheduler.settle(node, how);
        match how {
            Ended::Settled => {
                prop_assert!(now.is_empty());
                prop_assert!(self.ended.insert(node));
            }
            Ended::NoResult => prop_assert!(self.failed.insert(node)),
        }
        for one in now {
            prop_assert!(self.blocked.insert(one) && !self.started.contains(&one));
        }
        Ok(())
    }

    /// One round of the driver's loop; false once all has ended.
    fn round(&mut self, choice: usize) -> Result<bool, TestCaseError> {
        // A hit lets others become ready.
        while !self.scheduler.is_done() {
            self.take()?;
            if self.looking.is_empty() {
                break;
            }
            self.look()?;
        }
        self.grant()?;
        if self.scheduler.is_done() {
            return Ok(false);
        }
        prop_assert!(!self.running.is_empty(), "deadlock");
        self.end_one(choice)?;
        Ok(true)
    }

    /// Descendants of what failed, up to those that outlive it, from the graph alone.
    fn descendants_of_failures(&self) -> BTreeSet<Node> {
        let mut found = BTreeSet::new();
        for (node, item) in self.case.work.iter().enumerate() {
            if !item.outlives
                && item.after.iter().any(|before| found.contains(before) || self.failed.contains(before))
            {
                found.insert(node);
            }
        }
        found
    }
}

proptest! {
    #[test]
    fn each_once_after_its_inputs_within_the_machine_and_failures_block_their_descendants(case in cases()) {
        let mut play = Play::new(case);
        let choices = play.case.choices.clone();
        for choice in choices.into_iter().cycle() {
            if !play.round(choice)? {
                break;
            }
        }
        prop_assert_eq!(&play.blocked, &play.descendants_of_failures());
        prop_assert_eq!(play.started.len() + play.blocked.len(), play.case.work.len());
        prop_assert_eq!(play.ended.len() + play.failed.len(), play.started.len());
        // Everything was given back.
        prop_assert_eq!(&play.scheduler.free.cpus, &play.capacity.cpus);
        prop_assert_eq!(&play.scheduler.free.memory, &play.capacity.memory);
        prop_assert_eq!(play.scheduler.free.gpus.len(), play.capacity.gpus.len());
    }

    #[test]
    fn cancelling_at_any_moment_starts_nothing_more_and_ends_everything_once(
        case in cases(), moment in 0usize..40, cut in prop::collection::vec(any::<bool>(), 24)
    ) {
        let mut play = Play::new(case);
        let choices = play.case.choices.clone();
        let mut going = true;
        for choice in choices.into_iter().take(moment) {
            going = play.round(choice)?;
            if !going {
                break;
            }
        }
        if going {
            // In the middle of a look as well as of a run.
            play.take()?;
        }
        let stopped: BTreeSet<Node> = play.scheduler.stop().into_iter().collect();
        prop_assert!(stopped.iter().all(|node| !play.ended.contains(node) && !play.blocked.contains(node)));
        let under_way: Vec<Node> =
            play.looking.drain(..).chain(play.running.drain(..).map(|(grant, _)| grant.node)).collect();
        // Nothing begins any more but what outlives the stop, and all of that does.
        let mut late = BTreeSet::new();
        let mut begin_late = |scheduler: &mut Scheduler, work: &[Work]| -> Result<(), TestCaseError> {
            while let Some(node) = scheduler.take_ready().or_else(|| scheduler.grant().map(|grant| grant.node)) {
                prop_assert!(work[node].outlives && late.insert(node), "{node} began after the stop");
                prop_assert!(scheduler.settle(node, Ended::Settled).is_empty());
            }
            Ok(())
        };
        prop_assert!(stopped.iter().all(|node| !play.case.work[*node].outlives));
        for (index, node) in under_way.iter().enumerate() {
            begin_late(&mut play.scheduler, &play.case.work)?;
            prop_assert!(!stopped.contains(node));
            // What runs may still come to its end, or be ended.
            let now = play.scheduler.settle(*node, if cut[index] { Ended::NoResult } else { Ended::Settled });
            prop_assert!(now.is_empty(), "{now:?} had ended already");
        }
        begin_late(&mut play.scheduler, &play.case.work)?;
        prop_assert!(play.scheduler.is_done());
        let over = play.ended.len() + play.failed.len() + play.blocked.len();
        prop_assert_eq!(over + stopped.len() + under_way.len() + late.len(), play.case.work.len());
    }
}
