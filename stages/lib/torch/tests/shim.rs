//! The shim against PyTorch: values from `tests/fixtures/torch/make.py`.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::Value;
use stagewright_torch::{
    device,
    shim::{self, AdamwState, AdamwStep, Autocast, SgdState, SgdStep},
};
use tch::{Device, Kind, Tensor};

const SHAPES: [&[i64]; 3] = [&[4, 3, 3, 3], &[2, 5], &[7]];

fn reference() -> Value {
    serde_json::from_str(include_str!("../../../../tests/fixtures/torch/shim.json")).unwrap()
}

/// The numbers that the script makes.
fn numbers(shape: &[i64], salt: usize) -> Tensor {
    let count = usize::try_from(shape.iter().product::<i64>()).unwrap();
    let values: Vec<f64> = (0..count).map(|i| ((i * 37 + salt) % 101) as f64 / 50.0 - 1.0).collect();
    Tensor::from_slice(&values).to_kind(Kind::Float).reshape(shape)
}

/// The parameters; with `last`, the convolution's weight has its channels innermost, the way training holds it.
fn parameters(last: bool) -> Vec<Tensor> {
    let made = |(k, shape): (usize, &&[i64])| {
        let values = numbers(shape, 11 * (k + 1));
        let values = if last { shim::channels_last(&values) } else { values };
        values.set_requires_grad(true)
    };
    SHAPES.iter().enumerate().map(made).collect()
}

/// Gives the parameters the script's gradients of a step, by way of autograd.
fn set_gradients(parameters: &mut [Tensor], step: usize) {
    for (k, parameter) in parameters.iter_mut().enumerate() {
        parameter.zero_grad();
        let gradient = numbers(SHAPES[k], 7 * step + 3 * k + 1);
        (&*parameter * gradient).sum(Kind::Float).backward();
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor.detach().contiguous().view(-1).to_kind(Kind::Double)).unwrap()
}

fn assert_close(found: &Tensor, wanted: &Value, tolerance: f64, what: &str) {
    let (found, wanted) = (values(found), wanted.as_array().unwrap());
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let wanted = wanted.as_f64().unwrap();
        assert!(
            (found - wanted).abs() <= tolerance * wanted.abs().max(1.0),
            "{what}[{i}]: {found} is not {wanted}"
        );
    }
}

#[test]
fn adamw_is_pytorchs_in_either_memory_order() {
    for last in [false, true] {
        let mut weights = parameters(last);
        let mut state = AdamwState::new(&weights);
        for step in 0..4 {
            set_gradients(&mut weights, step);
            let settings = AdamwStep { lr: 1e-2, beta1: 0.9, beta2: 0.99, weight_decay: 0.05, eps: 1e-8 };
            shim::adamw_step(&weights, &mut state, settings).unwrap();
        }
        assert_eq!(state.steps[0].double_value(&[]), 4.0);
        for (k, weight) in weights.iter().enumerate() {
            assert_close(
                weight,
                &reference()["adamw"][k],
                1e-6,
                &format!("weight {k}, channels last: {last}"),
            );
        }
    }
}

#[test]
fn sgd_is_pytorchs_with_and_without_momentum() {
    let nesterov = SgdStep { lr: 1e-2, momentum: 0.9, dampening: 0.0, weight_decay: 0.05, nesterov: true };
    let plain = SgdStep { lr: 1e-2, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false };
    for (name, settings) in [("sgd", nesterov), ("sgd-plain", plain)] {
        for last in [false, true] {
            let mut weights = parameters(last);
            let mut state = SgdState::new(&weights);
            for step in 0..4 {
                set_gradients(&mut weights, step);
                shim::sgd_step(&weights, &mut state, settings).unwrap();
            }
            for (k, weight) in weights.iter().enumerate() {
                assert_close(
                    weight,
                    &reference()[name][k],
                    1e-6,
                    &format!("{name} {k}, channels last: {last}"),
                );
            }
        }
    }
}

#[test]
fn a_parameter_without_gradient_stays_and_a_foreign_state_is_refused() {
    let settings = AdamwStep { lr: 1e-2, beta1: 0.9, beta2: 0.99, weight_decay: 0.05, eps: 1e-8 };
    let weights = parameters(false);
    let mut state = AdamwState::new(&weights);
    shim::adamw_step(&weights, &mut state, settings).unwrap();
    assert_eq!(values(&weights[1]), values(&parameters(false)[1]));
    assert_eq!(state.steps[1].double_value(&[]), 0.0);

    let mut weights = parameters(true);
    set_gradients(&mut weights, 0);
    let mut other_order = AdamwState::new(&parameters(false));
    let error = shim::adamw_step(&weights, &mut other_order, settings).unwrap_err().to_string();
    assert!(
        error.contains("the first moment of parameter 0 has shape [4, 3, 3, 3] and strides [27, 9, 3, 1]"),
        "{error}"
    );
    let mut too_short = AdamwState::new(&parameters(true)[..2]);
    let error = shim::adamw_step(&weights, &mut too_short, settings).unwrap_err().to_string();
    assert!(error.contains("not one of 3 parameters"), "{error}");
}

#[test]
fn clipping_measures_and_scales_as_pytorch_does() {
    for (name, max_norm) in [("clip", Some(0.5)), ("clip-loose", Some(1e6)), ("clip-loose", None)] {
        let wanted = &reference()[name];
        let mut weights = parameters(true);
        set_gradients(&mut weights, 0);
        let norms = shim::clip_gradients(&weights, max_norm).unwrap();
        assert!((norms.total - wanted["total"].as_f64().unwrap()).abs() < 1e-5, "{norms:?}");
        for (k, weight) in weights.iter().enumerate() {
            assert!((norms.each[k] - wanted["each"][k].as_f64().unwrap()).abs() < 1e-5, "{norms:?}");
            assert_close(&weight.grad(), &wanted["gradients"][k], 1e-6, &format!("{name} {k}"));
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_shows_in_its_own_norm_and_the_total() {
    let mut weights = parameters(false);
    set_gradients(&mut weights, 0);
    let _ = weights[1].grad().fill_(f64::NAN);
    let norms = shim::clip_gradients(&weights, None).unwrap();
    assert!(norms.total.is_nan() && norms.each[1].is_nan() && norms.each[0].is_finite(), "{norms:?}");
    assert_eq!(shim::clip_gradients(&parameters(false), Some(1.0)).unwrap().each, [0.0; 3]);
}

#[test]
fn autocast_convolves_in_bfloat16_and_ends_with_its_guard() {
    let (image, weight) = (numbers(&[2, 3, 6, 6], 5), parameters(false)[0].detach());
    let convolve = || image.conv2d(&weight, None::<Tensor>, 1, 0, 1, 1);
    {
        let _outer = Autocast::bf16();
        {
            let _inner = Autocast::bf16();
            assert_eq!(convolve().kind(), Kind::BFloat16);
        }
        let out = convolve();
        assert_eq!(out.kind(), Kind::BFloat16);
        // Sums are rounded to 8 bits; another order of summation may round to the neighbour.
        assert_close(&out, &reference()["autocast"], 1.0 / 128.0, "convolution");
    }
    assert_eq!(convolve().kind(), Kind::Float);
}

#[test]
fn autocast_has_gradients_in_float32_and_sees_updated_weights_in_the_next_step() {
    let image = numbers(&[2, 3, 6, 6], 5);
    let mut weight = parameters(true).remove(0);
    let forward = |weight: &Tensor| {
        let _guard = Autocast::bf16();
        image.conv2d(weight, None::<Tensor>, 1, 0, 1, 1).to_kind(Kind::Float).sum(Kind::Float)
    };
    let before = forward(&weight);
    before.backward();
    assert_eq!(weight.grad().kind(), Kind::Float);
    tch::no_grad(|| weight.set_data(&(&weight.detach() * 0.0)));
    assert_ne!(before.double_value(&[]), 0.0);
    assert_eq!(forward(&weight).double_value(&[]), 0.0);
}

#[test]
fn channels_last_moves_memory_and_keeps_values_and_gradients() {
    let image = numbers(&[2, 3, 4, 5], 1).set_requires_grad(true);
    let last = shim::channels_last(&image);
    assert_eq!(last.size(), image.size());
    assert_eq!(last.stride(), [60, 1, 15, 3]);
    assert_eq!(values(&last), values(&image));
    (&last * 2.0).sum(Kind::Float).backward();
    assert_eq!(values(&image.grad()), vec![2.0; 120]);
    assert_eq!(shim::channels_last(&numbers(&[3, 4], 1)).stride(), [4, 1]);
}

#[test]
fn denormals_are_flushed_on_request() {
    let tiny = Tensor::from_slice(&[1e-39f32]);
    assert!(shim::set_flush_denormal(true));
    assert_eq!((&tiny * 1.0).double_value(&[0]), 0.0);
    assert!(shim::set_flush_denormal(false));
    assert!((&tiny * 1.0).double_value(&[0]) > 0.0);
}

#[test]
fn deterministic_mode_trains_on_and_off() {
    for on in [true, false] {
        shim::set_deterministic(on);
        let mut weights = parameters(false);
        set_gradients(&mut weights, 0);
        assert!(weights[0].grad().abs().sum(Kind::Double).double_value(&[]) > 0.0);
    }
}

#[test]
fn devices_are_picked_by_name_and_refused_with_a_reason() {
    assert_eq!(device::pick("cpu").unwrap(), Device::Cpu);
    let here = device::cuda_available();
    assert_eq!(device::pick("auto").unwrap(), if here { Device::Cuda(0) } else { Device::Cpu });
    assert_eq!(device::pick("cuda").is_ok(), here);
    if !here {
        let error = device::pick("cuda").unwrap_err();
        assert!(error.starts_with("no CUDA: "), "{error}");
    }
    for wrong in ["gpu", "cuda:", "cuda:-1", "CPU"] {
        let error = device::pick(wrong).unwrap_err();
        assert_eq!(error, format!("device `{wrong}` is none of auto, cpu, cuda, cuda:<index>"));
    }
    assert!(device::pick("cuda:99").is_err());
}
