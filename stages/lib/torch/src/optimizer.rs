//! AdamW and SGD with moments that can be saved: tch's own optimizers hide theirs, and a stopped training can't resume
//! without them.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::{
    TorchError,
    network::{Named, Network},
    shim::{self, AdamwState, AdamwStep, SgdState, SgdStep},
    weights,
};

/// Which rule updates the weights, with everything but the learning rate, which a schedule gives for each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019), as `torch.optim.AdamW`.
    AdamW {
        /// Decay of the first moment, 0 to 1.
        beta1: f64,
        /// Decay of the second moment, 0 to 1.
        beta2: f64,
        /// Added to the root of the second moment.
        eps: f64,
        /// Weight decay per unit of learning rate.
        weight_decay: f64,
    },
    /// Gradient descent with momentum, as `torch.optim.SGD` without dampening.
    Sgd {
        /// Decay of the velocity, 0 to 1; 0 keeps none.
        momentum: f64,
        /// Look ahead along the velocity.
        nesterov: bool,
        /// Added to the gradient, times the weight.
        weight_decay: f64,
    },
}

/// Which tensors decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decay {
    /// Weights of convolutions and linear layers only, not batch norm or biases.
    Weights,
    /// Everything, as PyTorch's optimizers do unless told otherwise.
    All,
}

/// What a schedule gives for one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// Learning rate.
    pub lr: f64,
    /// Momentum (SGD) or beta1 (AdamW) in place of the rule's own.
    pub momentum: Option<f64>,
}

/// A rule with its memory of past gradients, bound to the parameters of one network.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    steps: u64,
    groups: Vec<Group>,
}

/// Parameters that share a weight decay. The tensors are handles to the network's own.
#[derive(Debug)]
struct Group {
    names: Vec<String>,
    parameters: Vec<Tensor>,
    decays: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    AdamW(AdamwState),
    Sgd(SgdState),
}

impl Optimizer {
    /// An optimizer that has seen nothing yet. The network's weights must keep their memory layout from now on.
    pub fn new(network: &Network, rule: Rule, decay: Decay) -> Self {
        let (decaying, others): (Vec<&Named>, Vec<&Named>) =
            network.parameters().iter().partition(|named| decay == Decay::All || named.tensor.dim() > 1);
        let groups = [(decaying, true), (others, false)]
            .into_iter()
            .filter(|(members, _)| !members.is_empty())
            .map(|(members, decays)| {
                let parameters: Vec<Tensor> =
                    members.iter().map(|named| named.tensor.shallow_clone()).collect();
                let state = match rule {
                    Rule::AdamW { .. } => State::AdamW(AdamwState::new(&parameters)),
                    Rule::Sgd { .. } => State::Sgd(SgdState::new(&parameters)),
                };
                Group {
                    names: members.iter().map(|named| named.name.clone()).collect(),
                    parameters,
                    decays,
                    state,
                }
            })
            .collect();
        Self { rule, steps: 0, groups }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves the parameters once along their gradients.
    pub fn step(&mut self, setting: Setting) -> Result<(), TorchError> {
        for Group { parameters, decays, state, .. } in &mut self.groups {
            let decayed = |weight_decay: f64| if *decays { weight_decay } else { 0.0 };
            match (self.rule, state) {
                (Rule::AdamW { beta1, beta2, eps, weight_decay }, State::AdamW(state)) => {
                    let (lr, beta1) = (setting.lr, setting.momentum.unwrap_or(beta1));
                    let step = AdamwStep { lr, beta1, beta2, weight_decay: decayed(weight_decay), eps };
                    shim::adamw_step(parameters, state, step)
                }
                (Rule::Sgd { momentum, nesterov, weight_decay }, State::Sgd(state)) => {
                    let (lr, momentum) = (setting.lr, setting.momentum.unwrap_or(momentum));
                    let weight_decay = decayed(weight_decay);
                    let step = SgdStep { lr, momentum, dampening: 0.0, weight_decay, nesterov };
                    shim::sgd_step(parameters, state, step)
                }
                // A group's state is made from the rule, which never changes.
                _ => Ok(()),
            }
            .map_err(TorchError::while_doing("updating the weights"))?;
        }
        self.steps += 1;
        Ok(())
    }

    /// Everything needed to go on later: moments by `<kind>/<parameter>`. The step count is [`Optimizer::steps`].
    pub fn state(&self) -> Result<BTreeMap<String, stagewright_model::Tensor>, TorchError> {
        let mut saved = BTreeMap::new();
        for group in &self.groups {
            for (kind, moments) in group.state.moments() {
                for (name, moment) in group.names.iter().zip(moments) {
                    let named = Named { name: format!("{kind}/{name}"), tensor: moment.shallow_clone() };
                    saved.insert(named.name.clone(), weights::download(&named)?);
                }
            }
        }
        Ok(saved)
    }

    /// Takes up what [`Optimizer::state`] gave for the same network after `steps` steps.
    pub fn restore(
        &mut self,
        saved: &BTreeMap<String, stagewright_model::Tensor>,
        steps: u64,
    ) -> Result<(), TorchError> {
        self.steps = steps;
        for group in &mut self.groups {
            for (kind, moments) in group.state.moments_mut() {
                for (name, moment) in group.names.iter().zip(moments) {
                    weights::copy_into(moment, saved, &format!("{kind}/{name}"))?;
                }
            }
            match &mut group.state {
                State::AdamW(state) => {
                    for (counter, parameter) in state.steps.iter_mut().zip(&group.parameters) {
                        *counter = Tensor::f_full([], steps as f64, (Kind::Float, parameter.device()))
                            .map_err(TorchError::while_doing("restoring the optimizer's step count"))?;
                    }
                }
                State::Sgd(state) => state.started = steps > 0,
            }
        }
        Ok(())
    }

    /// Bytes of the moments per trainable value.
    pub fn bytes_per_value(rule: Rule) -> u64 {
        match rule {
            Rule::AdamW { .. } => 8,
            Rule::Sgd { .. } => 4,
        }
    }
}

impl State {
    fn moments(&self) -> Vec<(&'static str, &[Tensor])> {
        match self {
            Self::AdamW(state) => vec![("first", &state.first), ("second", &state.second)],
            Self::Sgd(state) => vec![("velocity", &state.momentum)],
        }
    }

    fn moments_mut(&mut self) -> Vec<(&'static str, &mut [Tensor])> {
        match self {
            Self::AdamW(state) => vec![("first", &mut state.first), ("second", &mut state.second)],
            Self::Sgd(state) => vec![("velocity", &mut state.momentum)],
        }
    }
}
