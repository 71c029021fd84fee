//! A network that runs: an [`Architecture`] with its tensors on a device.

use std::collections::{BTreeMap, HashMap};

use stagewright_model::{Architecture, INPUT, Op};
use tch::{Device, Kind, Tensor};

use crate::{TorchError, weights};

/// Whether a forward pass trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm uses and updates statistics of the batch, dropout drops.
    Train,
    /// Batch norm uses its running statistics, dropout does nothing.
    Evaluate,
}

/// A tensor with the name it has in a checkpoint.
#[derive(Debug)]
pub struct Named {
    /// `<layer>.<tensor>`.
    pub name: String,
    /// The values, f32, on the network's device.
    pub tensor: Tensor,
}

/// An architecture with its tensors. Not thread-safe; a forward pass uses libtorch's own threads.
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    device: Device,
    steps: Vec<Step>,
    output: usize,
    parameters: Vec<Named>,
    buffers: Vec<Named>,
}

/// One layer, with names turned into positions. Position 0 is the network's input, layer `i` is at `i + 1`.
#[derive(Debug)]
struct Step {
    inputs: Vec<usize>,
    /// First of the layer's parameters and of its buffers.
    parameter: usize,
    buffer: usize,
    /// May write over its first input: nothing else reads it, in the forward or the backward pass.
    in_place: bool,
    /// Values that nothing reads after this layer.
    last_use_of: Vec<usize>,
}

impl Network {
    /// A network with the given tensors (by `<layer>.<tensor>`).
    pub fn new(
        architecture: &Architecture,
        tensors: &BTreeMap<String, stagewright_model::Tensor>,
        device: Device,
    ) -> Result<Self, TorchError> {
        architecture.validate().map_err(|error| TorchError::Architecture { reason: error.to_string() })?;
        let (steps, output) = plan(architecture)?;
        let (parameters, buffers) = weights::upload(architecture, tensors, device)?;
        Ok(Self { architecture: architecture.clone(), device, steps, output, parameters, buffers })
    }

    /// A new network with weights drawn from `seed`, see [`weights::initialize`].
    pub fn initialized(architecture: &Architecture, seed: u64, device: Device) -> Result<Self, TorchError> {
        Self::new(architecture, &weights::initialize(architecture, seed), device)
    }

    /// The network as data.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Where the tensors are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The trainable tensors, in the order of the layers.
    pub fn parameters(&self) -> &[Named] {
        &self.parameters
    }

    /// The trainable tensors, to be changed in place under `no_grad`.
    pub fn parameters_mut(&mut self) -> &mut [Named] {
        &mut self.parameters
    }

    /// Number of trainable values.
    pub fn parameter_count(&self) -> u64 {
        self.parameters.iter().map(|named| named.tensor.numel() as u64).sum()
    }

    /// The running statistics of batch norm, in the order of the layers.
    pub fn buffers(&self) -> &[Named] {
        &self.buffers
    }

    /// The running statistics, to be changed in place.
    pub fn buffers_mut(&mut self) -> &mut [Named] {
        &mut self.buffers
    }

    /// All tensors as a checkpoint holds them: row-major f32 by full name.
    pub fn tensors(&self) -> Result<BTreeMap<String, stagewright_model::Tensor>, TorchError> {
        self.parameters
            .iter()
            .chain(&self.buffers)
            .map(|named| Ok((named.name.clone(), weights::download(named)?)))
            .collect()
    }

    /// Lays 4-dimensional weights out channels-last, as oneDNN and cuDNN like them. Values stay the same.
    pub fn to_channels_last(&mut self) -> Result<(), TorchError> {
        for named in self.parameters.iter_mut().filter(|named| named.tensor.dim() == 4) {
            let requires_grad = named.tensor.requires_grad();
            let doing = || TorchError::while_doing(format!("laying out `{}`", named.name));
            let tensor = crate::shim::channels_last(&named.tensor.f_detach().map_err(doing())?);
            named.tensor = tensor.f_set_requires_grad(requires_grad).map_err(doing())?;
        }
        Ok(())
    }

    /// Computes logits `[n, classes]` of images `[n, channels, height, width]` (normalized f32).
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor, TorchError> {
        self.walk(images, mode, |_, _| ())
    }

    /// Like [`Network::forward`], and shows every layer's output with the layer's name. An output may be overwritten by
    /// the next layer (an activation in place), so look at it at once.
    pub fn forward_observed(
        &self,
        images: &Tensor,
        mode: Mode,
        mut observe: impl FnMut(&str, &Tensor),
    ) -> Result<Tensor, TorchError> {
        self.walk(images, mode, |index, value| observe(&self.architecture.layers[index].name, value))
    }

    /// Bytes that one image takes in the activations kept for the backward pass, and bytes of the largest one, both
    /// measured on a forward pass of `images` in training mode (their real sizes and number types). Moves the running
    /// statistics of batch norm, so measure on a network that is not used for anything else.
    pub fn activation_bytes(&self, images: &Tensor) -> Result<Activations, TorchError> {
        let count = images.size().first().copied().unwrap_or(1).max(1) as u64;
        let mut kept = bytes(images);
        let mut largest = 0;
        let _logits = self.walk(images, Mode::Train, |index, value| {
            let layer = &self.architecture.layers[index];
            let own_memory = !self.steps[index].in_place && layer.op != Op::Flatten;
            if own_memory {
                kept += bytes(value);
            }
            largest = largest.max(bytes(value));
        })?;
        Ok(Activations { kept: kept.div_ceil(count), largest: largest.div_ceil(count) })
    }

    fn walk(
        &self,
        images: &Tensor,
        mode: Mode,
        mut observe: impl FnMut(usize, &Tensor),
    ) -> Result<Tensor, TorchError> {
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(self.steps.len() + 1);
        values.push(Some(images.shallow_clone()));
        for (index, step) in self.steps.iter().enumerate() {
            let layer = &self.architecture.layers[index];
            let value = self
                .apply(step, &layer.op, &values, mode)
                .map_err(TorchError::while_doing(format!("running layer `{}`", layer.name)))?;
            observe(index, &value);
            values.push(Some(value));
            for &unread in &step.last_use_of {
                values[unread] = None;
            }
        }
        values.swap_remove(self.output).ok_or_else(|| TorchError::Architecture {
            reason: format!("the output `{}` was not computed", self.architecture.output),
        })
    }

    fn apply(
        &self,
        step: &Step,
        op: &Op,
        values: &[Option<Tensor>],
        mode: Mode,
    ) -> Result<Tensor, tch::TchError> {
        let missing = || tch::TchError::Shape("a value was dropped before its last reader".to_owned());
        let read = |position: usize| values[step.inputs[position]].as_ref().ok_or_else(missing);
        let parameter = |offset: usize| &self.parameters[step.parameter + offset].tensor;
        let x = read(0)?;
        match op {
            Op::Conv2d { stride, padding, groups, bias, .. } => {
                let bias = bias.then(|| parameter(1));
                x.f_conv2d(parameter(0), bias, signed(stride), signed(padding), [1, 1], *groups as i64)
            }
            Op::BatchNorm { eps, momentum, .. } => {
                let buffer = |offset: usize| &self.buffers[step.buffer + offset].tensor;
                let training = mode == Mode::Train;
                let (mean, variance) = (Some(buffer(0)), Some(buffer(1)));
                x.f_batch_norm(
                    Some(parameter(0)),
                    Some(parameter(1)),
                    mean,
                    variance,
                    training,
                    *momentum,
                    *eps,
                    true,
                )
            }
            Op::Relu if step.in_place => x.shallow_clone().f_relu_(),
            Op::Relu => x.f_relu(),
            Op::Gelu => x.f_gelu("none"),
            Op::Silu => x.f_silu(),
            Op::Add => x.f_add(read(1)?),
            Op::MaxPool2d { kernel, stride, padding } => {
                x.f_max_pool2d(signed(kernel), signed(stride), signed(padding), [1, 1], false)
            }
            Op::AdaptiveAvgPool2d { output } => x.f_adaptive_avg_pool2d(signed(output)),
            Op::Flatten => x.f_flatten(1, -1),
            Op::Dropout { p } => x.f_dropout(*p, mode == Mode::Train),
            Op::Linear { bias, .. } => x.f_linear(parameter(0), bias.then(|| parameter(1))),
            other => Err(tch::TchError::Kind(format!("libtorch has no form of `{}` here", other.kind()))),
        }
    }
}

/// Measured size of activations, per image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activations {
    /// Bytes kept until the backward pass.
    pub kept: u64,
    /// Bytes of the largest single one.
    pub largest: u64,
}

fn bytes(tensor: &Tensor) -> u64 {
    (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64
}

fn signed([down, right]: &[usize; 2]) -> [i64; 2] {
    [*down as i64, *right as i64]
}

fn plan(architecture: &Architecture) -> Result<(Vec<Step>, usize), TorchError> {
    let mut position = HashMap::from([(INPUT, 0)]);
    let mut readers = vec![0usize; architecture.layers.len() + 1];
    let mut last_reader = vec![None; architecture.layers.len() + 1];
    let mut steps = Vec::with_capacity(architecture.layers.len());
    let (mut parameter, mut buffer) = (0, 0);
    let unknown = |name: &str| TorchError::Architecture { reason: format!("nothing is named `{name}`") };
    for (index, layer) in architecture.layers.iter().enumerate() {
        let inputs = layer
            .inputs
            .iter()
            .map(|name| position.get(name.as_str()).copied().ok_or_else(|| unknown(name)))
            .collect::<Result<Vec<usize>, _>>()?;
        for &input in &inputs {
            readers[input] += 1;
            last_reader[input] = Some(index);
        }
        steps.push(Step { inputs, parameter, buffer, in_place: false, last_use_of: Vec::new() });
        let tensors = layer.op.tensors();
        let buffers = tensors.iter().filter(|(name, _)| weights::is_buffer(name)).count();
        parameter += tensors.len() - buffers;
        buffer += buffers;
        position.insert(&layer.name, index + 1);
    }
    let output =
        position.get(architecture.output.as_str()).copied().ok_or_else(|| unknown(&architecture.output))?;
    for (value, reader) in last_reader.iter().enumerate() {
        if let Some(reader) = reader
            && value != output
        {
            steps[*reader].last_use_of.push(value);
        }
    }
    for (step, layer) in steps.iter_mut().zip(&architecture.layers) {
        let input = step.inputs.first().copied().unwrap_or(0);
        // These producers keep nothing of their own output for the backward pass, so an activation may write over it.
        let producer = input.checked_sub(1).map(|producer| &architecture.layers[producer].op);
        let overwritable =
            matches!(producer, Some(Op::BatchNorm { .. } | Op::Add | Op::Conv2d { .. } | Op::Linear { .. }));
        step.in_place = layer.op == Op::Relu && overwritable && readers[input] == 1 && input != output;
    }
    Ok((steps, output))
}

/// Makes `[n, channels, height, width]` f32 on `device` out of row-major values.
pub(crate) fn images(values: &[f32], count: usize, network: &Network) -> Result<Tensor, TorchError> {
    let shape = network.architecture.input;
    let wanted = count * shape.channels * shape.height * shape.width;
    if values.len() != wanted {
        return Err(TorchError::Batch { images: count, wanted, found: values.len() });
    }
    let size = [count, shape.channels, shape.height, shape.width].map(|side| side as i64);
    let doing = || TorchError::while_doing(format!("making a batch of {count} images"));
    let flat = Tensor::f_from_slice(values).map_err(doing())?;
    flat.f_view(size).and_then(|batch| batch.f_to_device(network.device)).map_err(doing())
}

/// Row-major f32 copy of a tensor of any layout, number type or device.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>, tch::TchError> {
    let plain = tensor.f_detach()?.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut values = vec![0f32; plain.numel()];
    let count = values.len();
    plain.f_copy_data(&mut values, count)?;
    Ok(values)
}
