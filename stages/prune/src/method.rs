//! Carrying the chosen method out.

use std::collections::{BTreeMap, BTreeSet};

use stagewright_model::{
    Checkpoint,
    prune::{ChannelPlan, Masks, PruneError, Ranking, StructuredOptions, structured, unstructured},
};
use stagewright_sdk::StageFault;

use crate::params::{Method, Params};

/// A pruned network and how it came about.
pub struct Pruned {
    /// The network, before any fine-tuning.
    pub checkpoint: Checkpoint,
    /// What was zeroed or taken out.
    pub how: How,
}

/// What was zeroed or taken out.
pub enum How {
    /// Single weights.
    Masks(Masks),
    /// Channels.
    Channels(ChannelPlan),
}

/// Prunes as the params say.
///
/// # Errors
/// A share out of range, an unknown layer, weights that are not finite.
pub fn prune(checkpoint: &Checkpoint, params: &Params) -> Result<Pruned, StageFault> {
    let ignored: BTreeSet<String> = params.ignored_layers.iter().cloned().collect();
    match &params.method {
        Method::Unstructured { amount } => {
            let masks = unstructured(checkpoint, *amount, &ignored).map_err(fault)?;
            let mut pruned = checkpoint.clone();
            masks.apply(&mut pruned);
            Ok(Pruned { checkpoint: pruned, how: How::Masks(masks) })
        }
        Method::Structured { ratio, round_to, importance, ranking } => {
            let options = StructuredOptions {
                ratio: *ratio,
                round_to: *round_to as usize,
                importance: *importance,
                ranking: ranking.clone(),
                ignored,
            };
            let plan = structured(checkpoint, &options).map_err(fault)?;
            let pruned = plan.apply(checkpoint).map_err(fault)?;
            Ok(Pruned { checkpoint: pruned, how: How::Channels(plan) })
        }
    }
}

/// One network of a sensitivity curve: only `layers`, which are pruned together, lose `amount`.
pub struct Probe {
    /// Layers that are pruned.
    pub layers: Vec<String>,
}

/// What a sensitivity curve can be drawn for: each layer by itself, or each group of layers that share their channels.
pub fn probes(checkpoint: &Checkpoint, params: &Params) -> Result<Vec<Probe>, StageFault> {
    match prune(checkpoint, &Params { method: at(&params.method, 0.0), ..params.clone() })?.how {
        How::Masks(masks) => {
            let name = |tensor: &String| tensor.trim_end_matches(".weight").to_owned();
            let open: BTreeSet<String> = masks.keep.keys().map(name).collect();
            // In the order of the network, not of the alphabet.
            let layers = checkpoint.architecture.layers.iter().filter(|layer| open.contains(&layer.name));
            Ok(layers.map(|layer| Probe { layers: vec![layer.name.clone()] }).collect())
        }
        How::Channels(plan) => {
            let open = plan.groups.into_iter().filter(|group| group.kept_because.is_none());
            Ok(open.map(|group| Probe { layers: group.group.writers }).collect())
        }
    }
}

/// The network with only the probe's layers pruned.
pub fn probed(
    checkpoint: &Checkpoint,
    params: &Params,
    probe: &Probe,
    amount: f64,
) -> Result<Checkpoint, StageFault> {
    let mut params = Params { method: at(&params.method, amount), ..params.clone() };
    match &mut params.method {
        Method::Unstructured { .. } => {
            let layers = checkpoint.architecture.layers.iter().filter(|layer| layer.op.tensors().len() < 4);
            let weighted =
                layers.filter(|layer| !layer.op.tensors().is_empty()).map(|layer| layer.name.clone());
            params.ignored_layers = weighted.filter(|name| !probe.layers.contains(name)).collect();
        }
        Method::Structured { ratio, round_to, ranking, .. } => {
            let ratios = probe.layers.iter().map(|layer| (layer.clone(), amount)).collect();
            (*ratio, *round_to, *ranking) = (0.0, 1, Ranking::PerGroup { layer_ratios: ratios });
        }
    }
    Ok(prune(checkpoint, &params)?.checkpoint)
}

fn at(method: &Method, share: f64) -> Method {
    match method.clone() {
        Method::Unstructured { .. } => Method::Unstructured { amount: share },
        Method::Structured { round_to, importance, .. } => Method::Structured {
            ratio: share,
            round_to,
            importance,
            ranking: Ranking::PerGroup { layer_ratios: BTreeMap::new() },
        },
    }
}

fn fault(error: PruneError) -> StageFault {
    match &error {
        PruneError::Architecture(_) | PruneError::Tensors(_) => StageFault::internal(error.to_string()),
        PruneError::NotFinite { .. } => StageFault::user(error.to_string())
            .hint("the training diverged; train again with a lower learning rate"),
        _ => StageFault::user(error.to_string()),
    }
}
