//! What training needs from libtorch and `tch` does not have, as safe functions over a few lines of C++ (`shim.cpp`).
#![allow(unsafe_code, reason = "calls into C++; each block says why it is sound")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    marker::PhantomData,
};

use tch::{Device, TchError, Tensor};

/// Behind it an `at::Tensor` of C++.
type Handle = *const c_void;

unsafe extern "C" {
    fn sw_free_text(text: *mut c_char);
    fn sw_autocast_enter(cuda: bool, before_enabled: *mut c_int, before_dtype: *mut c_int) -> *mut c_char;
    fn sw_autocast_leave(cuda: bool, before_enabled: c_int, before_dtype: c_int);
    fn sw_channels_last(tensor: Handle, out: *mut *mut c_void) -> *mut c_char;
    fn sw_set_deterministic(on: bool) -> *mut c_char;
    fn sw_set_flush_denormal(on: bool) -> bool;
    fn sw_clip_gradients(
        parameters: *const Handle,
        count: usize,
        max_norm: f64,
        each: *mut f64,
        total: *mut f64,
    ) -> *mut c_char;
    fn sw_adamw_step(
        parameters: *const Handle,
        first: *const Handle,
        second: *const Handle,
        steps: *const Handle,
        count: usize,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> *mut c_char;
    fn sw_sgd_step(
        parameters: *const Handle,
        momentum_buffers: *const Handle,
        count: usize,
        lr: f64,
        momentum: f64,
        dampening: f64,
        weight_decay: f64,
        nesterov: bool,
        first_step: bool,
    ) -> *mut c_char;
    fn sw_load_cuda(async_allocator: bool) -> *mut c_char;
}

/// Turns the shim's answer (null, or an error's text) into a result.
fn checked(answer: *mut c_char) -> Result<(), TchError> {
    if answer.is_null() {
        return Ok(());
    }
    // SAFETY: not null, so a NUL-terminated text that is ours until given back on the next line.
    let text = unsafe { CStr::from_ptr(answer) }.to_string_lossy().into_owned();
    // SAFETY: given back once, and not used after.
    unsafe { sw_free_text(answer) };
    Err(TchError::Torch(text))
}

fn handles(tensors: &[Tensor]) -> Vec<Handle> {
    tensors.iter().map(|tensor| tensor.as_ptr().cast()).collect()
}

/// Mixed precision on this thread while it lives: matrix products and convolutions run in bfloat16, what needs range
/// stays in float32, as `torch.autocast(dtype=torch.bfloat16)` has it. Guards nest.
///
/// Hold it around the forward pass and the loss of one step, and drop it before `backward` and the optimizer: weights that
/// were cast stay cached until the outermost guard goes, so one that spans a weight update computes with old weights.
#[must_use = "autocast is on only while the guard lives"]
#[derive(Debug)]
pub struct Autocast {
    cuda: bool,
    before_enabled: c_int,
    before_dtype: c_int,
    // The setting is the thread's own; the guard must not leave it.
    not_send: PhantomData<*const ()>,
}

impl Autocast {
    /// bfloat16 on the processor.
    pub fn bf16() -> Self {
        Self::bf16_on(Device::Cpu)
    }

    /// bfloat16 on a device. Any device that is not a GPU counts as the processor.
    pub fn bf16_on(device: Device) -> Self {
        let mut guard =
            Self { cuda: device.is_cuda(), before_enabled: 0, before_dtype: 0, not_send: PhantomData };
        // SAFETY: both pointers are to live integers. It fails on no device that `Device::is_cuda` tells apart.
        let answer =
            unsafe { sw_autocast_enter(guard.cuda, &mut guard.before_enabled, &mut guard.before_dtype) };
        if let Err(error) = checked(answer) {
            // As every infallible function of `tch` does.
            panic!("libtorch has no autocast for this device: {error}");
        }
        guard
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: plain values, those that entering gave.
        unsafe { sw_autocast_leave(self.cuda, self.before_enabled, self.before_dtype) };
    }
}

/// The same values with the channels innermost in memory, which convolutions on processors and tensor cores are faster with.
/// A tensor that is not `[batch, channels, height, width]`, or has that order already, comes back as it is (a shared
/// handle). Differentiable. For a leaf (a weight), use `weight.set_data(&channels_last(&weight))` under `no_grad`.
///
/// # Panics
/// If libtorch is out of memory, as every infallible function of `tch` does.
pub fn channels_last(tensor: &Tensor) -> Tensor {
    if tensor.dim() != 4 {
        return tensor.shallow_clone();
    }
    let mut out = std::ptr::null_mut();
    // SAFETY: a live tensor, and a pointer that the shim sets to a new `at::Tensor` exactly when it succeeds.
    if let Err(error) = checked(unsafe { sw_channels_last(tensor.as_ptr().cast(), &mut out) }) {
        panic!("libtorch cannot lay out a tensor of shape {:?}: {error}", tensor.size());
    }
    // SAFETY: `out` is that new tensor, made for us alone; the handle takes it over and frees it the way it was made.
    unsafe { Tensor::from_ptr(out.cast()) }
}

/// Makes libtorch use only operations that give the same bits for the same input and thread count; one that has no such form
/// fails. Holds for the whole process.
pub fn set_deterministic(on: bool) {
    // SAFETY: a plain value. Setting flags does not fail; if it did, the next operation would say so.
    let _ = checked(unsafe { sw_set_deterministic(on) });
}

/// Treats float32 numbers below 1.2e-38 as zero on this thread and those libtorch starts after it: processors compute with them
/// up to a hundred times slower. `false` if the processor can't.
pub fn set_flush_denormal(on: bool) -> bool {
    // SAFETY: a plain value.
    unsafe { sw_set_flush_denormal(on) }
}

/// L2 norms of gradients, as they were before clipping.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientNorms {
    /// Of all gradients taken as one vector. Not finite if any of them is not.
    pub total: f64,
    /// Of each parameter's gradient, in the order given; 0 where it has none.
    pub each: Vec<f64>,
}

/// Measures the gradients and, with `max_norm` (≥ 0), scales all of them by min(1, max_norm / (total + 10⁻⁶)), as
/// PyTorch's `clip_grad_norm_` does.
///
/// # Errors
/// What libtorch says, such as parameters on different devices.
pub fn clip_gradients(parameters: &[Tensor], max_norm: Option<f64>) -> Result<GradientNorms, TchError> {
    let pointers = handles(parameters);
    let mut norms = GradientNorms { total: 0.0, each: vec![0.0; parameters.len()] };
    let max_norm = max_norm.map_or(-1.0, |norm| norm.max(0.0));
    // SAFETY: `count` live tensors, room for `count` numbers, and one more number.
    checked(unsafe {
        sw_clip_gradients(
            pointers.as_ptr(),
            pointers.len(),
            max_norm,
            norms.each.as_mut_ptr(),
            &mut norms.total,
        )
    })?;
    Ok(norms)
}

/// Settings of one step of AdamW; PyTorch's names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamwStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment, in [0, 1).
    pub beta1: f64,
    /// Decay of the second moment, in [0, 1).
    pub beta2: f64,
    /// Decoupled weight decay: weights shrink by lr · weight_decay.
    pub weight_decay: f64,
    /// Added to the square root of the second moment.
    pub eps: f64,
}

/// State of AdamW for parameters, one entry for each of them. Everything a stopped training has to keep.
#[derive(Debug)]
pub struct AdamwState {
    /// First moments, in the parameter's shape and memory order.
    pub first: Vec<Tensor>,
    /// Second moments, likewise.
    pub second: Vec<Tensor>,
    /// Steps taken: float32 tensors without dimensions.
    pub steps: Vec<Tensor>,
}

impl AdamwState {
    /// Zeros. State that was saved is copied into it with `copy_`, which keeps the memory order.
    pub fn new(parameters: &[Tensor]) -> Self {
        let zeros = |parameter: &Tensor| tch::no_grad(|| parameter.zeros_like());
        Self {
            first: parameters.iter().map(zeros).collect(),
            second: parameters.iter().map(zeros).collect(),
            steps: parameters.iter().map(|p| Tensor::zeros([], (tch::Kind::Float, p.device()))).collect(),
        }
    }
}

/// One fused step of AdamW (Loshchilov and Hutter 2019; PyTorch's `AdamW(fused=True)`) on every parameter that has a gradient.
///
/// # Errors
/// State that does not belong to these parameters, and what libtorch says.
pub fn adamw_step(parameters: &[Tensor], state: &mut AdamwState, step: AdamwStep) -> Result<(), TchError> {
    let count = parameters.len();
    if [state.first.len(), state.second.len(), state.steps.len()] != [count; 3] {
        return Err(TchError::Torch(format!("the optimizer's state is not one of {count} parameters")));
    }
    let (pointers, first) = (handles(parameters), handles(&state.first));
    let (second, steps) = (handles(&state.second), handles(&state.steps));
    // SAFETY: four lists of `count` live tensors. The step writes through handles that the caller owns mutably (state) or
    // shares on purpose (parameters), as `tch`'s own optimizers do.
    checked(unsafe {
        sw_adamw_step(
            pointers.as_ptr(),
            first.as_ptr(),
            second.as_ptr(),
            steps.as_ptr(),
            count,
            step.lr,
            step.beta1,
            step.beta2,
            step.weight_decay,
            step.eps,
        )
    })
}

/// Settings of one step of stochastic gradient descent; PyTorch's names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub lr: f64,
    /// Momentum, in [0, 1); 0 for none.
    pub momentum: f64,
    /// Share of the gradient that does not enter the momentum, in [0, 1].
    pub dampening: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// Nesterov's momentum.
    pub nesterov: bool,
}

/// State of stochastic gradient descent for parameters.
#[derive(Debug)]
pub struct SgdState {
    /// Momentum, one tensor for each parameter, in its shape and memory order.
    pub momentum: Vec<Tensor>,
    /// True once a step was taken: the first one sets the momentum to the gradient.
    pub started: bool,
}

impl SgdState {
    /// Zeros. State that was saved is copied into it with `copy_`, which keeps the memory order.
    pub fn new(parameters: &[Tensor]) -> Self {
        let zeros = |parameter: &Tensor| tch::no_grad(|| parameter.zeros_like());
        Self { momentum: parameters.iter().map(zeros).collect(), started: false }
    }
}

/// One fused step of stochastic gradient descent (PyTorch's `SGD(fused=True)`) on every parameter that has a gradient.
///
/// # Errors
/// State that does not belong to these parameters, and what libtorch says.
pub fn sgd_step(parameters: &[Tensor], state: &mut SgdState, step: SgdStep) -> Result<(), TchError> {
    let count = parameters.len();
    if state.momentum.len() != count {
        return Err(TchError::Torch(format!("the optimizer's state is not one of {count} parameters")));
    }
    let (pointers, momentum) = (handles(parameters), handles(&state.momentum));
    // SAFETY: as for AdamW.
    checked(unsafe {
        sw_sgd_step(
            pointers.as_ptr(),
            momentum.as_ptr(),
            count,
            step.lr,
            step.momentum,
            step.dampening,
            step.weight_decay,
            step.nesterov,
            !state.started,
        )
    })?;
    state.started = true;
    Ok(())
}

/// Loads libtorch's CUDA half; see [`crate::device::load_cuda`].
pub(crate) fn load_cuda(async_allocator: bool) -> Result<(), String> {
    // SAFETY: a plain value; the caller's contract keeps other threads away from the environment.
    checked(unsafe { sw_load_cuda(async_allocator) }).map_err(|error| match error {
        TchError::Torch(text) => text,
        other => other.to_string(),
    })
}
