//! Where the stages of a graph stand: in layers from left to right, each to the right of all it needs.
//!
//! The usual way in four steps (Sugiyama): layers by the longest path, edges over several layers cut into pieces, an order within
//! each layer by the mean place of the neighbours, then places as near to the neighbours as the order and the distances allow.

use std::collections::{HashMap, VecDeque};

/// Sizes in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Of a node.
    pub(super) node: (f64, f64),
    /// Between layers.
    pub(super) between_layers: f64,
    /// Between the nodes of a layer.
    pub(super) between_nodes: f64,
}

/// A graph with places.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// Left upper corner of each node.
    pub(super) nodes: Vec<(f64, f64)>,
    /// Each edge with the points it passes: the right side of its first node, pairs of points at the sides of each layer that it
    /// crosses, the left side of its last node.
    pub(super) edges: Vec<Edge>,
    /// Width and height.
    pub(super) size: (f64, f64),
}

/// An edge with its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edge {
    /// First node.
    pub(super) from: usize,
    /// Last node.
    pub(super) to: usize,
    /// Points.
    pub(super) points: Vec<(f64, f64)>,
}

/// Rounds of ordering and of placing; more changes little.
const ROUNDS: usize = 6;
/// Pieces of long edges. Beyond, they go straight, because nobody could follow them anyway.
const MOST_PIECES: usize = 20_000;
/// Height of an edge's piece, as a part of a node's.
const PIECE: f64 = 0.25;

/// One thing in a layer: a node, or a piece of an edge that crosses the layer.
struct Item {
    layer: usize,
    is_node: bool,
    before: Vec<usize>,
    after: Vec<usize>,
    y: f64,
}

/// Lays out nodes of which each needs some others. What a circle needs of itself is left out.
pub(super) fn layout(needs: &[Vec<usize>], sizes: &Sizes) -> Layout {
    let layers = longest_paths(needs);
    let mut items: Vec<Item> = layers
        .iter()
        .map(|&layer| Item { layer, is_node: true, before: Vec::new(), after: Vec::new(), y: 0.0 })
        .collect();
    let edges: Vec<(usize, usize)> = needs
        .iter()
        .enumerate()
        .flat_map(|(to, from)| from.iter().map(move |&from| (from, to)))
        .filter(|&(from, to)| layers[from] < layers[to])
        .collect();
    // Edges that leave a node share their pieces as far as they go the same way, so that a source of everything is one line.
    let mut reach: Vec<usize> = layers.clone();
    edges.iter().for_each(|&(from, to)| reach[from] = reach[from].max(layers[to] - 1));
    let pieces: usize = reach.iter().zip(&layers).map(|(last, own)| last - own).sum();
    let mut shared: HashMap<(usize, usize), usize> = HashMap::new();
    let mut ways = Vec::with_capacity(edges.len());
    for &(from, to) in &edges {
        let mut way = vec![from];
        if pieces <= MOST_PIECES {
            for layer in layers[from] + 1..layers[to] {
                way.push(*shared.entry((from, layer)).or_insert_with(|| {
                    items.push(Item { layer, is_node: false, before: Vec::new(), after: Vec::new(), y: 0.0 });
                    items.len() - 1
                }));
            }
        }
        way.push(to);
        for pair in way.windows(2) {
            if !items[pair[0]].after.contains(&pair[1]) {
                items[pair[0]].after.push(pair[1]);
                items[pair[1]].before.push(pair[0]);
            }
        }
        ways.push(way);
    }
    let mut order = vec![Vec::new(); layers.iter().max().map_or(0, |last| last + 1)];
    items.iter().enumerate().for_each(|(at, item)| order[item.layer].push(at));
    sort(&items, &mut order);
    place(&mut items, &order, sizes);
    draw(&items, needs.len(), &edges, &ways, order.len(), sizes)
}

/// Layer of each node: 0, or one more than the last of those it needs.
fn longest_paths(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut waits: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut users = vec![Vec::new(); needs.len()];
    for (to, from) in needs.iter().enumerate() {
        from.iter().for_each(|&from| users[from].push(to));
    }
    let mut layers = vec![0; needs.len()];
    let mut ready: VecDeque<usize> = (0..needs.len()).filter(|&at| waits[at] == 0).collect();
    while let Some(at) = ready.pop_front() {
        for &user in &users[at] {
            layers[user] = layers[user].max(layers[at] + 1);
            waits[user] -= 1;
            if waits[user] == 0 {
                ready.push_back(user);
            }
        }
    }
    layers
}

/// Orders each layer by the mean position of the neighbours, to the right and back again.
fn sort(items: &[Item], order: &mut [Vec<usize>]) {
    let mut position = vec![0.0; items.len()];
    let note = |layer: &[usize], position: &mut [f64]| {
        // Relative, so that a layer of three and one of a hundred compare.
        let scale = 1.0 / layer.len().max(1) as f64;
        layer.iter().enumerate().for_each(|(at, &item)| position[item] = (at as f64 + 0.5) * scale);
    };
    order.iter().for_each(|layer| note(layer, &mut position));
    for round in 0..ROUNDS {
        let forward = round % 2 == 0;
        let count = order.len();
        for step in 1..count {
            let layer = &mut order[if forward { step } else { count - 1 - step }];
            let mut keyed: Vec<(f64, usize)> = layer
                .iter()
                .map(|&item| {
                    let near = if forward { &items[item].before } else { &items[item].after };
                    let sum: f64 = near.iter().map(|&other| position[other]).sum();
                    (if near.is_empty() { position[item] } else { sum / near.len() as f64 }, item)
                })
                .collect();
            // Stable: ties stay in the order of the pipeline.
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            *layer = keyed.into_iter().map(|(_, item)| item).collect();
            note(layer, &mut position);
        }
    }
}

/// Moves everything towards the mean of its neighbours, as far as the distances allow.
fn place(items: &mut [Item], order: &[Vec<usize>], sizes: &Sizes) {
    let height = |item: &Item| {
        let own = if item.is_node { sizes.node.1 } else { sizes.node.1 * PIECE };
        own + sizes.between_nodes
    };
    for layer in order {
        let mut y = 0.0;
        for &item in layer {
            let own = height(&items[item]);
            items[item].y = y + own / 2.0;
            y += own;
        }
    }
    for round in 0..ROUNDS {
        let layers: Vec<&Vec<usize>> =
            if round % 2 == 0 { order.iter().collect() } else { order.iter().rev().collect() };
        for layer in layers {
            let wanted: Vec<f64> = layer
                .iter()
                .map(|&item| {
                    let item = &items[item];
                    let near: Vec<usize> = item.before.iter().chain(&item.after).copied().collect();
                    let sum: f64 = near.iter().map(|&other| items[other].y).sum();
                    if near.is_empty() { item.y } else { sum / near.len() as f64 }
                })
                .collect();
            let gaps: Vec<f64> = layer
                .windows(2)
                .map(|pair| (height(&items[pair[0]]) + height(&items[pair[1]])) / 2.0)
                .collect();
            for (&item, y) in layer.iter().zip(apart(&wanted, &gaps)) {
                items[item].y = y;
            }
        }
    }
}

/// The places nearest to those wanted (least squares) that keep the order and these distances. Without the distances this is
/// isotonic regression, which pooling neighbours that stand the wrong way round solves.
fn apart(wanted: &[f64], gaps: &[f64]) -> Vec<f64> {
    let mut offset = 0.0;
    let mut offsets = vec![0.0];
    for gap in gaps {
        offset += gap;
        offsets.push(offset);
    }
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (want, offset) in wanted.iter().zip(&offsets) {
        let (mut mean, mut count) = (want - offset, 1);
        while let Some(&(before, many)) = pools.last().filter(|(before, _)| *before > mean) {
            mean = (mean * count as f64 + before * many as f64) / (count + many) as f64;
            count += many;
            pools.pop();
        }
        pools.push((mean, count));
    }
    let means = pools.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean, count));
    means.zip(&offsets).map(|(mean, offset)| mean + offset).collect()
}

fn draw(
    items: &[Item],
    nodes: usize,
    edges: &[(usize, usize)],
    ways: &[Vec<usize>],
    layers: usize,
    sizes: &Sizes,
) -> Layout {
    let (width, height) = sizes.node;
    let top = items.iter().map(|item| item.y).fold(f64::INFINITY, f64::min) - height / 2.0;
    let top = if top.is_finite() { top } else { 0.0 };
    let bottom = items.iter().map(|item| item.y - top + height / 2.0).fold(0.0, f64::max);
    let left = |item: usize| items[item].layer as f64 * (width + sizes.between_layers);
    let middle = |item: usize| items[item].y - top;
    let edges = edges.iter().zip(ways).map(|(&(from, to), way)| {
        let mut points = vec![(left(from) + width, middle(from))];
        for &piece in &way[1..way.len() - 1] {
            points.push((left(piece), middle(piece)));
            points.push((left(piece) + width, middle(piece)));
        }
        points.push((left(to), middle(to)));
        Edge { from, to, points }
    });
    let across = layers as f64 * width + layers.saturating_sub(1) as f64 * sizes.between_layers;
    Layout {
        edges: edges.collect(),
        nodes: (0..nodes).map(|node| (left(node), middle(node) - height / 2.0)).collect(),
        size: (across, bottom),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZES: Sizes = Sizes { node: (100.0, 40.0), between_layers: 50.0, between_nodes: 10.0 };

    #[test]
    fn a_chain_is_a_straight_line() {
        let found = layout(&[vec![], vec![0], vec![1]], &SIZES);
        assert_eq!(found.nodes, [(0.0, 0.0), (150.0, 0.0), (300.0, 0.0)]);
        assert_eq!(found.edges[0].points, [(100.0, 20.0), (150.0, 20.0)]);
        assert_eq!(found.size, (400.0, 40.0));
        assert_eq!(layout(&[], &SIZES).size, (0.0, 0.0));
    }

    #[test]
    fn wanted_places_are_kept_where_they_can_be() {
        assert_eq!(apart(&[0.0, 100.0], &[10.0]), [0.0, 100.0]);
        assert_eq!(apart(&[50.0, 50.0], &[10.0]), [45.0, 55.0]);
        assert_eq!(apart(&[50.0, 0.0, 200.0], &[10.0, 10.0]), [20.0, 30.0, 200.0]);
    }

    #[test]
    fn a_circle_is_no_end_of_it() {
        assert_eq!(layout(&[vec![1], vec![0], vec![1]], &SIZES).nodes.len(), 3);
    }

    proptest! {
        #[test]
        fn no_two_nodes_overlap_and_all_edges_go_right(
            needs in prop::collection::vec(prop::collection::btree_set(0_usize..40, 0..4), 1..40)
        ) {
            let needs: Vec<Vec<usize>> = needs.into_iter().enumerate()
                .map(|(at, from)| from.into_iter().filter(|&from| from < at).collect()).collect();
            let found = layout(&needs, &SIZES);
            for (at, a) in found.nodes.iter().enumerate() {
                prop_assert!(a.0 >= 0.0 && a.1 > -0.01 && a.0 + 100.0 <= found.size.0 && a.1 + 40.0 <= found.size.1 + 0.01);
                for b in &found.nodes[at + 1..] {
                    prop_assert!(a.0 != b.0 || (a.1 - b.1).abs() > 49.9, "{:?} {:?}", a, b);
                }
            }
            prop_assert_eq!(found.edges.len(), needs.iter().map(Vec::len).sum::<usize>());
            for edge in &found.edges {
                prop_assert!(edge.points.windows(2).all(|pair| pair[0].0 < pair[1].0));
            }
        }
    }
}
