//! Which channels can only go together.
//!
//! Every channel of every activation is a node of a union-find. What a layer computes ties nodes: an activation function
//! or batch norm gives channel i from channel i; an add ties channel i of both sides, and so all layers that write
//! into one chain of residual adds; a depthwise convolution gives channel i from channel i; a grouped convolution
//! ties position j of all its groups, on either side, because groups stay of equal size; flatten ties a channel to its
//! h·w features. A class of tied channels is the smallest thing that can be taken out; classes of the same layers form a group.

use std::collections::BTreeMap;

use crate::{Architecture, ArchitectureError, INPUT, Layer, Op, Shape};

/// Which dimension of a layer's weight a slice lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Dimension 0: filters of a convolution, rows of a linear layer, entries of a batch norm.
    Out,
    /// Dimension 1: what a filter or row reads. Positions count over the layer's whole input, not within a group.
    In,
}

/// One position of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice {
    /// Index of the layer in [`Architecture::layers`].
    pub layer: usize,
    /// Which dimension.
    pub side: Side,
    /// Position in that dimension.
    pub channel: usize,
}

/// Channels of a set of layers that share their widths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelGroup {
    /// Names of the convolutions and linear layers that write these channels, in order.
    pub writers: Vec<String>,
    /// The classes in order of their first channel: each is all slices that go together.
    pub classes: Vec<Vec<Slice>>,
    /// Never pruned: the network's input or its output is among them.
    pub fixed: bool,
}

impl ChannelGroup {
    /// How many output channels of one layer the classes at these positions hold.
    pub(crate) fn channels_of(&self, layer: usize, class: usize) -> usize {
        let wanted = |slice: &&Slice| slice.layer == layer && slice.side == Side::Out;
        self.classes[class].iter().filter(wanted).count()
    }

    /// Indices of the convolutions and linear layers that write these channels.
    pub(crate) fn writer_indices(&self, architecture: &Architecture) -> Vec<usize> {
        let index = |name: &String| architecture.layers.iter().position(|layer| layer.name == *name);
        self.writers.iter().filter_map(index).collect()
    }
}

/// Finds all groups, in order of the first layer that writes them; the input's group comes first.
///
/// # Errors
/// An architecture that is not valid.
pub fn channel_groups(architecture: &Architecture) -> Result<Vec<ChannelGroup>, ArchitectureError> {
    let shapes = architecture.shapes()?;
    let mut nodes = Nodes::new(architecture, &shapes);
    tie(architecture, &shapes, &mut nodes);
    Ok(collect(architecture, &mut nodes))
}

/// The union-find over channels: the input's first, then each layer's output in order.
struct Nodes {
    parent: Vec<usize>,
    /// First node of each activation by name.
    start: BTreeMap<String, usize>,
}

impl Nodes {
    fn new(architecture: &Architecture, shapes: &BTreeMap<String, Shape>) -> Self {
        let mut start = BTreeMap::new();
        let mut count = 0;
        for name in std::iter::once(INPUT).chain(architecture.layers.iter().map(|layer| layer.name.as_str()))
        {
            start.insert(name.to_owned(), count);
            count += shapes[name].channels();
        }
        Self { parent: (0..count).collect(), start }
    }

    fn node(&self, activation: &str, channel: usize) -> usize {
        self.start[activation] + channel
    }

    fn root(&mut self, mut node: usize) -> usize {
        while self.parent[node] != node {
            self.parent[node] = self.parent[self.parent[node]];
            node = self.parent[node];
        }
        node
    }

    /// The smaller root wins, so a class is known by its first channel.
    fn union(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }
}

fn tie(architecture: &Architecture, shapes: &BTreeMap<String, Shape>, nodes: &mut Nodes) {
    for layer in &architecture.layers {
        let read = layer.inputs[0].as_str();
        let (before, after) = (shapes[read].channels(), shapes[&layer.name].channels());
        let mut tie = |activation: &str, channel: usize, other: &str, other_channel: usize| {
            let (a, b) = (nodes.node(activation, channel), nodes.node(other, other_channel));
            nodes.union(a, b);
        };
        match layer.op {
            Op::Conv2d { groups: 1, .. } => {}
            Op::Conv2d { groups, .. } => {
                let (inside, outside) = (before / groups, after / groups);
                if inside == 1 {
                    // Depthwise, possibly with several outputs a channel.
                    for channel in 0..after {
                        tie(&layer.name, channel, read, channel / outside);
                    }
                } else {
                    for channel in 0..before {
                        tie(read, channel, read, channel % inside);
                    }
                    for channel in 0..after {
                        tie(&layer.name, channel, &layer.name, channel % outside);
                    }
                }
            }
            Op::Linear { .. } => {}
            Op::Flatten => {
                let cells = after / before;
                for feature in 0..after {
                    tie(&layer.name, feature, read, feature / cells);
                }
            }
            Op::Add => {
                for channel in 0..after {
                    tie(&layer.name, channel, read, channel);
                    tie(&layer.name, channel, &layer.inputs[1], channel);
                }
            }
            Op::BatchNorm { .. }
            | Op::Relu
            | Op::Gelu
            | Op::Silu
            | Op::MaxPool2d { .. }
            | Op::AdaptiveAvgPool2d { .. }
            | Op::Dropout { .. } => {
                for channel in 0..after {
                    tie(&layer.name, channel, read, channel);
                }
            }
        }
    }
}

fn collect(architecture: &Architecture, nodes: &mut Nodes) -> Vec<ChannelGroup> {
    // Activations that share a class share a group: a second, coarser union-find over activations.
    let names: Vec<&str> =
        std::iter::once(INPUT).chain(architecture.layers.iter().map(|layer| layer.name.as_str())).collect();
    let mut first_of_class: BTreeMap<usize, usize> = BTreeMap::new();
    let mut coarse = Nodes { parent: (0..names.len()).collect(), start: BTreeMap::new() };
    let ends: Vec<usize> =
        names[1..].iter().map(|name| nodes.start[*name]).chain([nodes.parent.len()]).collect();
    for (activation, name) in names.iter().enumerate() {
        for node in nodes.start[*name]..ends[activation] {
            let root = nodes.root(node);
            let first = *first_of_class.entry(root).or_insert(activation);
            coarse.union(first, activation);
        }
    }

    // Slices by class, where a class has any; classes by group.
    let mut classes: BTreeMap<usize, Vec<Slice>> = BTreeMap::new();
    for &root in first_of_class.keys() {
        classes.insert(root, Vec::new());
    }
    for (index, layer) in architecture.layers.iter().enumerate() {
        let (before, after) = match layer.op {
            Op::Conv2d { r#in, out, .. } | Op::Linear { r#in, out, .. } => (r#in, out),
            Op::BatchNorm { features, .. } => (0, features),
            _ => (0, 0),
        };
        let mut add = |activation: &str, side: Side, count: usize| {
            for channel in 0..count {
                let root = nodes.root(nodes.node(activation, channel));
                classes.entry(root).or_default().push(Slice { layer: index, side, channel });
            }
        };
        add(&layer.name, Side::Out, after);
        add(&layer.inputs[0], Side::In, before);
    }

    let mut groups: BTreeMap<usize, ChannelGroup> = BTreeMap::new();
    for (activation, name) in names.iter().enumerate() {
        let group = groups.entry(coarse.root(activation)).or_insert_with(|| ChannelGroup {
            writers: Vec::new(),
            classes: Vec::new(),
            fixed: false,
        });
        group.fixed |= *name == INPUT || *name == architecture.output;
        let layer = activation.checked_sub(1).map(|index| &architecture.layers[index]);
        if let Some(Layer { name, op: Op::Conv2d { .. } | Op::Linear { .. }, .. }) = layer {
            group.writers.push(name.clone());
        }
    }
    for (root, slices) in classes {
        let group = coarse.root(first_of_class[&root]);
        if let Some(group) = groups.get_mut(&group) {
            group.classes.push(slices);
        }
    }
    groups.into_values().collect()
}
