//! Channel pruning over random residual networks.
#![allow(clippy::unwrap_used)]

mod reference;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use stagewright_model::{
    Architecture, Checkpoint, FORMAT, INPUT, InputShape, Layer, Op, Tensor,
    prune::{Importance, Ranking, StructuredOptions, structured, unstructured},
};

/// One residual block to be: what its inner convolution is and whether the width changes.
#[derive(Debug, Clone)]
struct Block {
    inner: usize,
    /// 0 plain, 1 depthwise, 2 depthwise with two outputs a channel, 3 grouped by two.
    kind: u8,
    widen: Option<usize>,
}

fn blocks() -> impl Strategy<Value = (usize, Vec<Block>, bool, u64)> {
    let widths = prop_oneof![Just(2usize), Just(4), Just(6), Just(8), Just(12)];
    let block = (widths.clone(), 0..4u8, proptest::option::of(widths.clone()))
        .prop_map(|(inner, kind, widen)| Block { inner, kind, widen });
    (widths, proptest::collection::vec(block, 1..4), any::<bool>(), any::<u64>())
}

struct Builder {
    layers: Vec<Layer>,
}

impl Builder {
    fn add(&mut self, name: &str, op: Op, inputs: &[&str]) -> String {
        self.layers.push(Layer {
            name: name.to_owned(),
            op,
            inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
        });
        name.to_owned()
    }

    fn conv(&mut self, name: &str, read: &str, r#in: usize, out: usize, groups: usize) -> String {
        let op = Op::Conv2d {
            r#in,
            out,
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
            groups,
            bias: name.len().is_multiple_of(2),
        };
        let conv = self.add(name, op, &[read]);
        self.add(&format!("{name}.bn"), Op::BatchNorm { features: out, eps: 1e-5, momentum: 0.1 }, &[&conv])
    }
}

fn network(stem: usize, blocks: &[Block], spatial: bool) -> Architecture {
    let mut b = Builder { layers: Vec::new() };
    let mut read = b.conv("stem", INPUT, 3, stem, 1);
    read = b.add("stem.relu", Op::Relu, &[&read]);
    let mut width = stem;
    for (index, block) in blocks.iter().enumerate() {
        let name = |part: &str| format!("b{index}.{part}");
        let first = b.conv(&name("conv1"), &read, width, block.inner, 1);
        let first = b.add(&name("act"), Op::Silu, &[&first]);
        let (inner, groups) = match block.kind {
            0 => (block.inner, 1),
            1 => (block.inner, block.inner),
            2 => (2 * block.inner, block.inner),
            _ => (block.inner, 2),
        };
        let second = b.conv(&name("conv2"), &first, block.inner, inner, groups);
        let out = block.widen.unwrap_or(width);
        let third = b.conv(&name("conv3"), &second, inner, out, 1);
        let skip = if out == width { read.clone() } else { b.conv(&name("skip"), &read, width, out, 1) };
        let add = b.add(&name("add"), Op::Add, &[&third, &skip]);
        read = b.add(&name("out"), Op::Gelu, &[&add]);
        width = out;
    }
    let side = if spatial { 2 } else { 1 };
    read = b.add("average", Op::AdaptiveAvgPool2d { output: [side, side] }, &[&read]);
    read = b.add("flat", Op::Flatten, &[&read]);
    let output = b.add("fc", Op::Linear { r#in: width * side * side, out: 3, bias: true }, &[&read]);
    Architecture {
        format: FORMAT.to_owned(),
        name: "random".to_owned(),
        input: InputShape { channels: 3, height: 4, width: 4 },
        classes: 3,
        layers: b.layers,
        output,
    }
}

fn checkpoint(architecture: Architecture, seed: u64) -> Checkpoint {
    let mut state = seed | 1;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 24) as f32) - 0.5
    };
    let mut tensors = BTreeMap::new();
    for layer in &architecture.layers {
        for (suffix, shape) in layer.op.tensors() {
            let count: usize = shape.iter().product();
            let mut data: Vec<f32> = (0..count).map(|_| next()).collect();
            if suffix == "running_var" {
                data.iter_mut().for_each(|value| *value = value.abs() + 0.1);
            }
            tensors.insert(format!("{}.{suffix}", layer.name), Tensor { shape, data });
        }
    }
    Checkpoint { architecture, tensors, preprocess: Vec::new(), training: serde_json::Value::Null }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_pruned_network_is_a_network(
        (stem, blocks, spatial, seed) in blocks(),
        ratio in 0.0..0.95f64,
        round_to in 1..5usize,
        global in any::<bool>(),
        l1 in any::<bool>(),
        ignore in any::<bool>(),
    ) {
        let network = checkpoint(network(stem, &blocks, spatial), seed);
        network.architecture.validate().unwrap();
        let options = StructuredOptions {
            ratio,
            round_to,
            importance: if l1 { Importance::L1 } else { Importance::L2 },
            ranking: if global { Ranking::Global { max_ratio: 0.8 } } else { Ranking::default() },
            ignored: if ignore { BTreeSet::from(["stem".to_owned()]) } else { BTreeSet::new() },
        };
        let plan = structured(&network, &options).unwrap();
        let pruned = plan.apply(&network).unwrap();

        // Valid, whole, the same layers, the same input and classes.
        pruned.architecture.validate().unwrap();
        pruned.check_tensors().unwrap();
        prop_assert_eq!(pruned.architecture.classes, 3);
        prop_assert_eq!(pruned.architecture.layers.len(), network.architecture.layers.len());
        let widths = |checkpoint: &Checkpoint| -> BTreeMap<String, usize> {
            let shapes = checkpoint.architecture.shapes().unwrap();
            shapes.into_iter().map(|(name, shape)| (name, shape.channels())).collect()
        };
        let (before, after) = (widths(&network), widths(&pruned));
        for layer in &network.architecture.layers {
            if let Op::Conv2d { .. } = layer.op {
                let (before, after) = (before[&layer.name], after[&layer.name]);
                prop_assert!(after >= 1 && after <= before);
                prop_assert!(after == before || after % round_to == 0, "{} has {after} of {before}", layer.name);
            }
        }
        if ignore {
            prop_assert_eq!(before["stem"], after["stem"]);
        }

        // It computes exactly what the network with those channels zeroed computes.
        let image: Vec<f64> = (0..48).map(|i| (f64::from(i) * 0.7).cos()).collect();
        let logits = |checkpoint: &Checkpoint| reference::forward(checkpoint, &image)["fc"].clone();
        let zeroed = plan.zeroed(&network);
        for (a, b) in logits(&pruned).iter().zip(&logits(&zeroed)) {
            prop_assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{a} is not {b}");
        }

        // It can be pruned and masked again.
        structured(&pruned, &options).unwrap().apply(&pruned).unwrap().check_tensors().unwrap();
        let masks = unstructured(&pruned, ratio, &BTreeSet::new()).unwrap();
        prop_assert_eq!(masks.pruned, (ratio * masks.ranked as f64).round_ties_even() as usize);
    }
}
