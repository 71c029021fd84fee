//! Networks, losses, gradients, batch norm and optimizers against PyTorch's values (`tests/fixtures/train`).
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use stagewright_model::{Architecture, InputShape, ResNet, Tensor, decode, resnet};
use stagewright_torch::{
    Anneal, Batch, Decay, Device, Network, Options, Origin, Precision, Rule, Schedule, Setting, TorchError,
    Trainer,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fixtures/train").join(name)
}

fn tensors(name: &str) -> BTreeMap<String, Tensor> {
    decode(&fs::read(fixture(name)).unwrap()).unwrap()
}

fn reference() -> Value {
    serde_json::from_slice(&fs::read(fixture("reference.json")).unwrap()).unwrap()
}

fn architecture() -> Architecture {
    let input = InputShape { channels: 3, height: 8, width: 8 };
    resnet(&ResNet { input, classes: 3, depths: vec![1, 1], widths: vec![4, 8] }).unwrap()
}

fn network() -> Network {
    Network::new(&architecture(), &tensors("network.safetensors"), Device::Cpu).unwrap()
}

fn options(rule: Rule) -> Options {
    Options {
        rule,
        decay: Decay::All,
        precision: Precision::Fp32,
        channels_last: false,
        label_smoothing: 0.1,
        clip_norm: None,
        explosion_norm: 1e6,
        ema_decay: None,
        seed: 0,
    }
}

const STILL: Setting = Setting { lr: 0.0, momentum: None };
const PLAIN_SGD: Rule = Rule::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };

struct Images(Vec<f32>, Vec<i64>);

impl Images {
    fn load() -> Self {
        let batch = tensors("batch.safetensors");
        Self(batch["images"].data.clone(), batch["labels"].data.iter().map(|&label| label as i64).collect())
    }

    fn batch(&self) -> Batch<'_> {
        Batch { images: &self.0, labels: &self.1 }
    }
}

fn close(what: &str, ours: impl IntoIterator<Item = f64>, theirs: &Value, tolerance: f64) {
    let theirs: Vec<f64> = match theirs {
        Value::Array(values) => values.iter().map(|value| value.as_f64().unwrap()).collect(),
        value => vec![value.as_f64().unwrap()],
    };
    let ours: Vec<f64> = ours.into_iter().collect();
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let off = (ours - theirs).abs() / theirs.abs().max(1e-2);
        assert!(off <= tolerance, "{what}[{index}]: {ours}, PyTorch has {theirs}");
    }
}

fn wide(tensor: &Tensor) -> impl Iterator<Item = f64> + '_ {
    tensor.data.iter().map(|&value| f64::from(value))
}

#[test]
fn logits_and_loss_are_pytorchs() {
    let (images, reference) = (Images::load(), reference());
    let logits = network().logits(&images.0, 6).unwrap();
    close("logits", logits.iter().map(|&x| f64::from(x)), &reference["logits"], 1e-5);
    let evaluation = network().evaluate(images.batch()).unwrap();
    close("loss", [evaluation.loss()], &reference["evaluation-loss"], 1e-5);
    let best = |row: &[f32]| (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as i64;
    let correct = logits.chunks(3).zip(&images.1).filter(|(row, label)| best(row) == **label).count();
    assert_eq!(evaluation.correct, correct as u64);
}

#[test]
fn smoothed_loss_gradients_and_running_statistics_are_pytorchs() {
    for channels_last in [false, true] {
        let (images, reference) = (Images::load(), reference());
        let mut trainer = Trainer::new(network(), Options { channels_last, ..options(PLAIN_SGD) }).unwrap();
        let step = trainer.step(images.batch(), STILL).unwrap();
        close("loss", [step.loss], &reference["training-loss"], 1e-5);
        let names = trainer.network().parameters().iter().map(|named| &named.name);
        for (name, norm) in names.zip(&step.gradients.each) {
            close(name, [*norm], &reference["gradient-norms"][name.as_str()], 1e-4);
        }
        for (name, theirs) in reference["gradients"].as_object().unwrap() {
            let named = trainer.network().parameters().iter().find(|named| named.name == *name).unwrap();
            let gradient: Vec<f32> = Vec::try_from(named.tensor.grad().contiguous().flatten(0, -1)).unwrap();
            close(name, gradient.iter().map(|&x| f64::from(x)), theirs, 1e-3);
        }
        let after = trainer.tensors().unwrap();
        for (name, theirs) in reference["statistics"].as_object().unwrap() {
            close(name, wide(&after[name.as_str()]), theirs, 1e-5);
        }
        assert_eq!(after["conv1.weight"], tensors("network.safetensors")["conv1.weight"], "learning rate 0");
    }
}

/// Trains as the fixture did and compares every step, then the weights.
fn follow(name: &str, options: Options, schedule: Schedule) {
    let (images, reference) = (Images::load(), reference());
    let theirs = &reference[name];
    let mut trainer = Trainer::new(network(), options).unwrap();
    let steps = theirs["losses"].as_array().unwrap().len() as u64;
    for index in 0..steps {
        // The fixture's schedule is one step longer: PyTorch moves it on once more after the last step.
        let setting = schedule.at(index, steps + 1);
        let at = index as usize;
        close(&format!("{name} learning rate {at}"), [setting.lr], &theirs["lr"][at], 1e-6);
        close(&format!("{name} momentum {at}"), setting.momentum, &theirs["momentum"][at], 1e-6);
        let step = trainer.step(images.batch(), setting).unwrap();
        close(&format!("{name} loss {at}"), [step.loss], &theirs["losses"][at], 1e-4);
        close(&format!("{name} norm {at}"), [step.gradients.total], &theirs["norms"][at], 1e-3);
    }
    let after = trainer.tensors().unwrap();
    for (tensor, theirs) in theirs["after"].as_object().unwrap() {
        close(tensor, wide(&after[tensor.as_str()]), theirs, 2e-3);
    }
}

fn one_cycle(max_lr: f64) -> Schedule {
    Schedule::OneCycle {
        max_lr,
        pct_start: 0.3,
        anneal: Anneal::Cosine,
        div_factor: 25.0,
        final_div_factor: 1e4,
        three_phase: false,
        momentum: Some((0.85, 0.95)),
    }
}

#[test]
fn adamw_with_clipping_and_a_cycled_beta1_follows_pytorch_step_by_step() {
    let rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.05 };
    let mut schedule = one_cycle(0.02);
    if let Schedule::OneCycle { pct_start, .. } = &mut schedule {
        *pct_start = 0.4;
    }
    follow("adamw", Options { clip_norm: Some(1.0), ..options(rule) }, schedule);
    follow("adamw", Options { clip_norm: Some(1.0), channels_last: true, ..options(rule) }, schedule);
}

#[test]
fn sgd_with_nesterov_and_three_phases_follows_pytorch_step_by_step() {
    let rule = Rule::Sgd { momentum: 0.9, nesterov: true, weight_decay: 5e-3 };
    let mut schedule = one_cycle(0.1);
    if let Schedule::OneCycle { anneal, three_phase, .. } = &mut schedule {
        (*anneal, *three_phase) = (Anneal::Linear, true);
    }
    follow("sgd", Options { clip_norm: Some(0.5), ..options(rule) }, schedule);
}

#[test]
fn one_cycle_is_pytorchs_over_its_whole_length() {
    let reference = reference();
    for (name, pct, linear, div, last, three) in [
        ("cosine", 0.3, false, 25.0, 1e4, false),
        ("linear", 0.25, true, 10.0, 100.0, false),
        ("three-phase", 0.4, false, 25.0, 1e4, true),
    ] {
        let mut schedule = one_cycle(0.3);
        if let Schedule::OneCycle { pct_start, anneal, div_factor, final_div_factor, three_phase, .. } =
            &mut schedule
        {
            (*pct_start, *div_factor, *final_div_factor, *three_phase) = (pct, div, last, three);
            *anneal = if linear { Anneal::Linear } else { Anneal::Cosine };
        }
        for (step, theirs) in reference["one-cycle"][name].as_array().unwrap().iter().enumerate() {
            let Setting { lr, momentum } = schedule.at(step as u64, 25);
            let (their_lr, their_momentum) = (theirs[0].as_f64().unwrap(), theirs[1].as_f64().unwrap());
            assert!((lr / their_lr - 1.0).abs() < 1e-9, "{name} step {step}: {lr}, PyTorch has {their_lr}");
            let momentum = momentum.unwrap();
            assert!(
                (momentum - their_momentum).abs() < 1e-12,
                "{name} step {step}: {momentum}, PyTorch has {their_momentum}"
            );
        }
    }
}

#[test]
fn weight_decay_may_spare_batch_norm_and_biases() {
    let images = Images::load();
    let rule = Rule::Sgd { momentum: 0.0, nesterov: false, weight_decay: 1e3 };
    let mut trainer = Trainer::new(network(), Options { decay: Decay::Weights, ..options(rule) }).unwrap();
    trainer.step(images.batch(), Setting { lr: 1e-3, momentum: None }).unwrap();
    let (before, after) = (tensors("network.safetensors"), trainer.tensors().unwrap());
    // lr · decay is 1: a decaying weight loses itself whole, and what is left is the gradient's small part.
    let size = |tensors: &BTreeMap<String, Tensor>, name: &str| {
        tensors[name].data.iter().map(|x| f64::from(x.abs())).sum::<f64>() / tensors[name].data.len() as f64
    };
    for name in ["conv1.weight", "fc.weight"] {
        assert!(size(&after, name) < 0.05 * size(&before, name), "{name} did not decay");
    }
    for name in ["bn1.weight", "fc.bias"] {
        assert!((size(&after, name) / size(&before, name) - 1.0).abs() < 0.05, "{name} decayed");
    }
}

#[test]
fn bf16_is_near_fp32_and_keeps_weights_in_fp32() {
    let images = Images::load();
    let rule = Rule::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
    let losses = |precision| {
        let mut trainer =
            Trainer::new(network(), Options { precision, channels_last: true, ..options(rule) }).unwrap();
        let mut loss = || trainer.step(images.batch(), Setting { lr: 0.01, momentum: None }).unwrap().loss;
        (0..5).map(|_| loss()).collect::<Vec<f64>>()
    };
    let (full, half) = (losses(Precision::Fp32), losses(Precision::Bf16));
    assert_ne!(full, half, "bf16 computed in fp32");
    for (full, half) in full.iter().zip(&half) {
        assert!((full - half).abs() < 0.05, "{full} against {half}");
    }
    assert!(full[4] < full[0] && half[4] < half[0], "nothing learned: {full:?} {half:?}");
}

#[test]
fn a_restored_trainer_goes_on_bit_for_bit() {
    let images = Images::load();
    let adamw = Rule::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
    let sgd = Rule::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 };
    for (rule, precision) in [(adamw, Precision::Bf16), (sgd, Precision::Fp32)] {
        let options = Options { precision, channels_last: true, ema_decay: Some(0.9), ..options(rule) };
        let setting = Setting { lr: 0.01, momentum: None };
        let mut whole = Trainer::new(network(), options.clone()).unwrap();
        let mut first = Trainer::new(network(), options.clone()).unwrap();
        for _ in 0..3 {
            whole.step(images.batch(), setting).unwrap();
            first.step(images.batch(), setting).unwrap();
        }
        let state = first.state().unwrap();
        let mut second =
            Trainer::new(Network::initialized(&architecture(), 99, Device::Cpu).unwrap(), options).unwrap();
        second.restore(&state).unwrap();
        assert_eq!(second.state().unwrap(), state);
        for _ in 0..3 {
            whole.step(images.batch(), setting).unwrap();
            second.step(images.batch(), setting).unwrap();
        }
        assert_eq!(whole.state().unwrap(), second.state().unwrap(), "{rule:?}");
        assert_ne!(
            whole.tensors().unwrap(),
            whole.network().tensors().unwrap(),
            "the average is not the last weights"
        );
    }
}

#[test]
fn weights_and_statistics_are_averaged_alike() {
    let images = Images::load();
    let mut trainer =
        Trainer::new(network(), Options { ema_decay: Some(0.3), ..options(PLAIN_SGD) }).unwrap();
    let mut expected = trainer.network().tensors().unwrap();
    for step in 1..=4 {
        trainer.step(images.batch(), Setting { lr: 0.2, momentum: None }).unwrap();
        let decay = 0.3f64.min((1.0 + f64::from(step)) / (10.0 + f64::from(step)));
        for (name, now) in trainer.network().tensors().unwrap() {
            for (mean, now) in expected.get_mut(&name).unwrap().data.iter_mut().zip(&now.data) {
                *mean = (f64::from(*mean) * decay + f64::from(*now) * (1.0 - decay)) as f32;
            }
        }
    }
    let found = trainer.tensors().unwrap();
    assert!(found.keys().any(|name| name.contains("running_mean")), "{:?}", found.keys());
    for (name, mean) in found {
        for (found, expected) in mean.data.iter().zip(&expected[&name].data) {
            assert!((found - expected).abs() < 1e-5, "{name}: {found}, not {expected}");
        }
    }
}

#[test]
fn masked_weights_stay_zero() {
    let images = Images::load();
    let mut trainer = Trainer::new(network(), options(PLAIN_SGD)).unwrap();
    let data: Vec<f32> = (0..24).map(|index| (index % 2) as f32).collect();
    trainer
        .set_masks(&BTreeMap::from([("fc.weight".to_owned(), Tensor { shape: vec![3, 8], data })]))
        .unwrap();
    trainer.step(images.batch(), Setting { lr: 0.1, momentum: None }).unwrap();
    let after = &trainer.tensors().unwrap()["fc.weight"].data;
    assert!(after.iter().step_by(2).all(|&weight| weight == 0.0), "{after:?}");
    assert!(after.iter().skip(1).step_by(2).all(|&weight| weight != 0.0), "{after:?}");
    let unknown = BTreeMap::from([("nothing".to_owned(), Tensor { shape: vec![1], data: vec![1.0] })]);
    let error = trainer.set_masks(&unknown).unwrap_err().to_string();
    assert!(error.contains("no parameter is named `nothing`"), "{error}");
}

fn divergence(tensors: &BTreeMap<String, Tensor>, images: &Images, options: Options) -> (Origin, String) {
    let network = Network::new(&architecture(), tensors, Device::Cpu).unwrap();
    let mut trainer = Trainer::new(network, options).unwrap();
    match trainer.step(images.batch(), Setting { lr: 0.1, momentum: None }).unwrap_err() {
        TorchError::Diverged(divergence) => (divergence.origin.clone(), divergence.to_string()),
        other => panic!("{other}"),
    }
}

#[test]
fn nan_infinity_and_explosion_name_where_they_began() {
    let good = tensors("network.safetensors");
    let images = Images::load();

    let mut broken = good.clone();
    broken.get_mut("layer1.0.conv2.weight").unwrap().data[5] = f32::NAN;
    let (origin, text) = divergence(&broken, &images, options(PLAIN_SGD));
    assert_eq!(origin, Origin::Weight("layer1.0.conv2.weight".to_owned()));
    assert_eq!(text, "the loss is NaN: the weight `layer1.0.conv2.weight` holds NaN or infinity");

    // Finite weights whose products overflow.
    let mut huge = good.clone();
    huge.get_mut("layer2.0.conv1.weight").unwrap().data.fill(3e38);
    let (origin, text) = divergence(&huge, &images, options(PLAIN_SGD));
    assert_eq!(origin, Origin::Output("layer2.0.conv1".to_owned()));
    assert!(text.ends_with("layer `layer2.0.conv1` is the first to give NaN or infinity"), "{text}");

    let mut dirty = Images(images.0.clone(), images.1.clone());
    dirty.0[100] = f32::INFINITY;
    assert_eq!(divergence(&good, &dirty, options(PLAIN_SGD)).0, Origin::Input);

    let limit = Options { explosion_norm: 1e-3, ..options(PLAIN_SGD) };
    let (origin, text) = divergence(&good, &images, limit);
    let norms = reference()["gradient-norms"].clone();
    let largest = norms
        .as_object()
        .unwrap()
        .iter()
        .max_by(|a, b| a.1.as_f64().unwrap().total_cmp(&b.1.as_f64().unwrap()));
    let largest = largest.unwrap().0;
    assert!(matches!(&origin, Origin::Explosion { largest: found, .. } if found == largest), "{origin:?}");
    assert!(text.contains("above the limit 1.000e-3") && text.contains(largest), "{text}");
}

#[test]
fn unfit_batches_and_weights_are_named() {
    let images = Images::load();
    let mut trainer = Trainer::new(network(), options(PLAIN_SGD)).unwrap();
    let short = Batch { images: &images.0[1..], labels: &images.1 };
    let error = trainer.step(short, STILL).unwrap_err().to_string();
    assert_eq!(error, "a batch of 6 images wants 1152 values, but 1151 were given");
    let error = trainer
        .step(Batch { images: &images.0, labels: &[0, 1, 2, 3, 0, 0] }, STILL)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "label 3 is out of range: the network has 3 classes, counted from 0");
    let mut missing = tensors("network.safetensors");
    missing.remove("bn1.running_var");
    let error = Network::new(&architecture(), &missing, Device::Cpu).unwrap_err().to_string();
    assert_eq!(error, "the weights do not fit the architecture: `bn1.running_var` is missing");
}

#[test]
fn activations_are_counted_in_their_real_number_types() {
    let images = Images::load();
    let measure = |precision| {
        let options = Options { precision, channels_last: true, ..options(PLAIN_SGD) };
        Trainer::new(network(), options).unwrap().activations(images.batch()).unwrap()
    };
    let full = measure(Precision::Fp32);
    // Per image in values of 4 bytes: the image (192), stem conv and norm (2·256), block 1 with 4 of them and a sum
    // (5·256), block 2 with 6 and a sum (7·128), pool (8) and logits (3). Activations in place take nothing.
    assert_eq!(full.kept, 4 * (192 + 2 * 256 + 5 * 256 + 7 * 128 + 8 + 3));
    assert_eq!(full.largest, 4 * 256);
    assert_eq!(measure(Precision::Bf16).largest, 2 * 256);
}
