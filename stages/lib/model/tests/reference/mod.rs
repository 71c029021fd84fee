//! A plain f64 evaluation of a network, written from the definitions; slow and obvious.

use std::collections::BTreeMap;

use stagewright_model::{Checkpoint, INPUT, Op, Shape};

/// Every activation of one image by name, flat row-major.
pub fn forward(checkpoint: &Checkpoint, image: &[f64]) -> BTreeMap<String, Vec<f64>> {
    let shapes = checkpoint.architecture.shapes().unwrap();
    let mut values = BTreeMap::from([(INPUT.to_owned(), image.to_vec())]);
    for layer in &checkpoint.architecture.layers {
        let tensor = |suffix: &str| {
            let tensor = checkpoint.tensors.get(&format!("{}.{suffix}", layer.name));
            tensor.map(|tensor| tensor.data.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>())
        };
        let a = &values[&layer.inputs[0]];
        let (before, after) = (shapes[&layer.inputs[0]], shapes[&layer.name]);
        let result = match layer.op {
            Op::Conv2d { kernel, stride, padding, groups, .. } => {
                let bias = tensor("bias");
                conv(
                    a,
                    before,
                    after,
                    &tensor("weight").unwrap(),
                    bias.as_deref(),
                    kernel,
                    stride,
                    padding,
                    groups,
                )
            }
            Op::BatchNorm { eps, .. } => {
                let [w, b, m, v] =
                    ["weight", "bias", "running_mean", "running_var"].map(|name| tensor(name).unwrap());
                let cells = before.elements() / before.channels();
                let one = |(i, x): (usize, &f64)| {
                    let c = i / cells;
                    (x - m[c]) / (v[c] + eps).sqrt() * w[c] + b[c]
                };
                a.iter().enumerate().map(one).collect()
            }
            Op::Relu => a.iter().map(|x| x.max(0.0)).collect(),
            Op::Silu => a.iter().map(|x| x / (1.0 + (-x).exp())).collect(),
            Op::Gelu => a.iter().map(|x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()))).collect(),
            Op::Add => a.iter().zip(&values[&layer.inputs[1]]).map(|(x, y)| x + y).collect(),
            Op::MaxPool2d { kernel, stride, padding } => max_pool(a, before, after, kernel, stride, padding),
            Op::AdaptiveAvgPool2d { output } => average(a, before, output),
            Op::Linear { r#in, out, .. } => {
                let (w, bias) = (tensor("weight").unwrap(), tensor("bias"));
                let row = |o: usize| {
                    let sum: f64 = (0..r#in).map(|i| w[o * r#in + i] * a[i]).sum();
                    sum + bias.as_ref().map_or(0.0, |bias| bias[o])
                };
                (0..out).map(row).collect()
            }
            Op::Flatten | Op::Dropout { .. } => a.clone(),
            _ => unreachable!("the tests use no other layer"),
        };
        values.insert(layer.name.clone(), result);
    }
    values
}

fn dims(shape: Shape) -> [usize; 3] {
    match shape {
        Shape::Map { channels, height, width } => [channels, height, width],
        Shape::Features(features) => [features, 1, 1],
    }
}

#[allow(clippy::too_many_arguments)]
fn conv(
    a: &[f64],
    before: Shape,
    after: Shape,
    weight: &[f64],
    bias: Option<&[f64]>,
    [kh, kw]: [usize; 2],
    [sh, sw]: [usize; 2],
    [ph, pw]: [usize; 2],
    groups: usize,
) -> Vec<f64> {
    let ([cin, h, w], [cout, oh, ow]) = (dims(before), dims(after));
    let (inside, outside) = (cin / groups, cout / groups);
    let mut out = Vec::with_capacity(cout * oh * ow);
    for o in 0..cout {
        for y in 0..oh {
            for x in 0..ow {
                let mut sum = 0.0;
                for i in 0..inside {
                    for ky in 0..kh {
                        for kx in 0..kw {
                            let (iy, ix) = (y * sh + ky, x * sw + kx);
                            if iy < ph || ix < pw || iy - ph >= h || ix - pw >= w {
                                continue;
                            }
                            let read = ((o / outside * inside + i) * h + iy - ph) * w + ix - pw;
                            sum += weight[((o * inside + i) * kh + ky) * kw + kx] * a[read];
                        }
                    }
                }
                out.push(sum + bias.map_or(0.0, |bias| bias[o]));
            }
        }
    }
    out
}

fn max_pool(a: &[f64], before: Shape, after: Shape, k: [usize; 2], s: [usize; 2], p: [usize; 2]) -> Vec<f64> {
    let ([_, h, w], [c, oh, ow]) = (dims(before), dims(after));
    let mut out = Vec::new();
    for i in 0..c * oh * ow {
        let (channel, y, x) = (i / (oh * ow), i / ow % oh, i % ow);
        let mut best = f64::NEG_INFINITY;
        for iy in (y * s[0]).max(p[0])..(y * s[0] + k[0]).min(h + p[0]) {
            for ix in (x * s[1]).max(p[1])..(x * s[1] + k[1]).min(w + p[1]) {
                best = best.max(a[(channel * h + iy - p[0]) * w + ix - p[1]]);
            }
        }
        out.push(best);
    }
    out
}

fn average(a: &[f64], before: Shape, [oh, ow]: [usize; 2]) -> Vec<f64> {
    let [c, h, w] = dims(before);
    let mut out = Vec::new();
    for i in 0..c * oh * ow {
        let (channel, y, x) = (i / (oh * ow), i / ow % oh, i % ow);
        let (rows, columns) =
            (y * h / oh..((y + 1) * h).div_ceil(oh), x * w / ow..((x + 1) * w).div_ceil(ow));
        let count = (rows.len() * columns.len()) as f64;
        let sum: f64 =
            rows.flat_map(|iy| columns.clone().map(move |ix| a[(channel * h + iy) * w + ix])).sum();
        out.push(sum / count);
    }
    out
}

/// erf to 1e-13: by its Maclaurin series near 0, farther out by the continued fraction of its complement, where the series has lost its
/// digits (Abramowitz and Stegun, 7.1.5 and 7.1.14).
fn erf(x: f64) -> f64 {
    let far = x.abs();
    if far >= 2.5 {
        let fraction = (1..=60).rev().fold(0.0, |rest, n| f64::from(n) / 2.0 / (far + rest));
        return x.signum() * (1.0 - (-far * far).exp() / std::f64::consts::PI.sqrt() / (far + fraction));
    }
    let mut term = x;
    let mut sum = x;
    for n in 1..60 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}
