//! The graph of stages: cycles by their path, a topological order with ties in the order of the file.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, VecDeque},
};

use petgraph::{
    Direction,
    algo::tarjan_scc,
    graph::{DiGraph, NodeIndex},
    visit::EdgeRef,
};

use crate::spec::{Diagnostic, types::Span};

use super::instances::Instances;

/// Edges from producer to consumer, each with the place it is written at.
pub(super) struct Graph {
    graph: DiGraph<usize, Span>,
}

impl Graph {
    /// A graph of `size` stages.
    pub fn new(size: usize, edges: impl IntoIterator<Item = (usize, usize, Span)>) -> Self {
        let mut graph = DiGraph::with_capacity(size, size);
        for index in 0..size {
            graph.add_node(index);
        }
        for (from, to, span) in edges {
            graph.add_edge(NodeIndex::new(from), NodeIndex::new(to), span);
        }
        Self { graph }
    }

    /// Every stage after all it waits for; none if there are cycles, one of each knot being reported.
    pub fn order(&self, instances: &Instances<'_>, findings: &mut Vec<Diagnostic>) -> Option<Vec<usize>> {
        let mut cyclic = false;
        for knot in tarjan_scc(&self.graph) {
            let Some(start) = knot.iter().min().copied() else { continue };
            if knot.len() > 1 || self.graph.contains_edge(start, start) {
                cyclic = true;
                findings.push(self.report(&self.cycle(start, &knot), instances));
            }
        }
        if cyclic { None } else { Some(self.sorted()) }
    }

    /// Kahn's algorithm with a heap, so that of the ready stages the first in the file comes first.
    fn sorted(&self) -> Vec<usize> {
        let mut waiting: Vec<usize> = self
            .graph
            .node_indices()
            .map(|node| self.graph.edges_directed(node, Direction::Incoming).count())
            .collect();
        let mut ready: BinaryHeap<_> = waiting
            .iter()
            .enumerate()
            .filter(|(_, count)| **count == 0)
            .map(|(index, _)| Reverse(index))
            .collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some(Reverse(index)) = ready.pop() {
            order.push(index);
            for edge in self.graph.edges(NodeIndex::new(index)) {
                let next = edge.target().index();
                waiting[next] -= 1;
                if waiting[next] == 0 {
                    ready.push(Reverse(next));
                }
            }
        }
        order
    }

    /// A shortest cycle through a node of a knot, as nodes in the direction of the data.
    fn cycle(&self, start: NodeIndex, knot: &[NodeIndex]) -> Vec<NodeIndex> {
        let members: BTreeSet<_> = knot.iter().copied().collect();
        let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for next in self.graph.neighbors(node).filter(|next| members.contains(next)) {
                if next == start {
                    let mut path = vec![node];
                    let mut at = node;
                    while at != start {
                        let Some(&before) = came_from.get(&at) else { break };
                        at = before;
                        path.push(at);
                    }
                    path.reverse();
                    return path;
                }
                came_from.entry(next).or_insert_with(|| {
                    queue.push_back(next);
                    node
                });
            }
        }
        knot.to_vec()
    }

    fn report(&self, cycle: &[NodeIndex], instances: &Instances<'_>) -> Diagnostic {
        let id = |node: NodeIndex| instances.all[self.graph[node]].id.to_string();
        if let [alone] = cycle {
            let span = self.graph.find_edge(*alone, *alone).map(|edge| self.graph[edge].clone());
            return Diagnostic::error("plan::cycle", format!("stage `{}` waits for itself", id(*alone)))
                .at(span.unwrap_or_default(), "")
                .hint("a stage can wait for other stages only");
        }
        let mut path: Vec<_> = cycle.iter().map(|node| id(*node)).collect();
        path.push(path[0].clone());
        let mut error =
            Diagnostic::error("plan::cycle", format!("stages wait for each other: {}", path.join(" → ")))
                .hint("remove one of these inputs, `needs` or `if`");
        for (position, &from) in cycle.iter().enumerate() {
            let to = cycle[(position + 1) % cycle.len()];
            if let Some(edge) = self.graph.find_edge(from, to) {
                error = error.at(self.graph[edge].clone(), format!("`{}` waits for `{}`", id(to), id(from)));
            }
        }
        error
    }
}
