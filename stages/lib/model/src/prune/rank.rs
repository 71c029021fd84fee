//! Choosing the channels that go.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ChannelGroup, Importance, PruneError, channel_groups, check_checkpoint, check_names, check_share,
    importance::scores, surgery,
};
use crate::Checkpoint;

/// What channels are ranked against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Ranking {
    /// Each group of layers that share their channels loses the same share of them.
    PerGroup {
        /// Ratios of single layers by name, instead of `ratio`; of several in one group the largest counts.
        #[serde(default)]
        #[schemars(extend("x-unit" = "fraction"))]
        layer_ratios: BTreeMap<String, f64>,
    },
    /// All channels are ranked together, each group's importance divided by its mean so that wide layers with small
    /// weights do not lose everything.
    Global {
        /// Most that one group may lose, at least 0 and below 1.
        #[serde(default = "max_ratio")]
        #[schemars(range(min = 0.0, max = 0.99), extend("x-unit" = "fraction"))]
        max_ratio: f64,
    },
}

fn max_ratio() -> f64 {
    0.9
}

impl Default for Ranking {
    fn default() -> Self {
        Self::PerGroup { layer_ratios: BTreeMap::new() }
    }
}

/// What to take out.
#[derive(Debug, Clone, PartialEq)]
pub struct StructuredOptions {
    /// Share of the channels to remove, at least 0 and below 1.
    pub ratio: f64,
    /// What is left of a layer's channels is a multiple of this, at least 1. A layer with fewer channels is left as it is.
    pub round_to: usize,
    /// How channels are weighed.
    pub importance: Importance,
    /// What they are ranked against.
    pub ranking: Ranking,
    /// Layers whose output channels stay. Whatever shares its channels with one of them stays too.
    pub ignored: BTreeSet<String>,
}

impl Default for StructuredOptions {
    fn default() -> Self {
        Self {
            ratio: 0.5,
            round_to: 8,
            importance: Importance::default(),
            ranking: Ranking::default(),
            ignored: BTreeSet::new(),
        }
    }
}

/// What goes of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupPlan {
    /// The group.
    pub group: ChannelGroup,
    /// Importance of each class.
    pub importance: Vec<f64>,
    /// Positions of the classes that go, ascending.
    pub removed: Vec<usize>,
    /// Why nothing was to go, where the group is not open to pruning.
    pub kept_because: Option<&'static str>,
}

/// What goes of a network, group by group.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelPlan {
    /// All groups, those that lose nothing included.
    pub groups: Vec<GroupPlan>,
}

impl ChannelPlan {
    /// Carries the plan out: a network that is really smaller.
    ///
    /// # Errors
    /// A checkpoint that is not the one the plan was made for.
    pub fn apply(&self, checkpoint: &Checkpoint) -> Result<Checkpoint, PruneError> {
        surgery::remove(checkpoint, self)
    }

    /// The network at its old size, with everything that writes a removed channel set to zero.
    ///
    /// Every layer turns a channel of zeros into a channel of zeros, so this computes exactly what [`Self::apply`]'s
    /// network computes: it shows what the surgery has to keep, and lets a drop in accuracy be measured without it.
    pub fn zeroed(&self, checkpoint: &Checkpoint) -> Checkpoint {
        surgery::zero(checkpoint, self)
    }

    /// True if nothing goes.
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.removed.is_empty())
    }
}

/// Chooses the least important channels of each group, or of all together.
///
/// Of a group of n classes, ratio·n go, moved to where what is left of every layer is a multiple of `round_to`: to the nearest
/// such count, and of two equally near ones to that which keeps more. A ratio of 0 takes nothing. At least one
/// multiple stays. Ties go to the earlier channel.
///
/// # Errors
/// A bad share or multiple, an unknown layer, a checkpoint that is not whole, a weight that is not finite.
pub fn structured(checkpoint: &Checkpoint, options: &StructuredOptions) -> Result<ChannelPlan, PruneError> {
    check_share("ratio", options.ratio)?;
    if options.round_to == 0 {
        return Err(PruneError::Share { name: "round-to", value: 0.0, range: "at least 1" });
    }
    check_checkpoint(checkpoint)?;
    check_names(&checkpoint.architecture, &options.ignored)?;
    match &options.ranking {
        Ranking::Global { max_ratio } => check_share("max-ratio", *max_ratio)?,
        Ranking::PerGroup { layer_ratios } => {
            check_names(&checkpoint.architecture, layer_ratios.keys())?;
            layer_ratios.values().try_for_each(|ratio| check_share("layer-ratios", *ratio))?;
        }
    }

    let mut groups: Vec<GroupPlan> = channel_groups(&checkpoint.architecture)?
        .into_iter()
        .filter(|group| !group.writers.is_empty())
        .map(|group| GroupPlan {
            importance: scores(checkpoint, &group, options.importance),
            removed: Vec::new(),
            kept_because: match () {
                _ if group.fixed => Some("network input or output"),
                _ if group.writers.iter().any(|name| options.ignored.contains(name)) => Some("ignored"),
                _ => None,
            },
            group,
        })
        .collect();
    let targets = match &options.ranking {
        Ranking::PerGroup { layer_ratios } => {
            groups.iter().map(|plan| per_group_target(plan, options.ratio, layer_ratios)).collect()
        }
        Ranking::Global { max_ratio } => global_targets(&groups, options.ratio, *max_ratio),
    };
    for (plan, target) in groups.iter_mut().zip(targets) {
        if plan.kept_because.is_none() && target.wanted > 0.0 {
            let order = ascending(&plan.importance);
            let count = rounded(checkpoint, &plan.group, &order, target, options.round_to);
            plan.removed = order[..count].to_vec();
            plan.removed.sort_unstable();
        }
    }
    Ok(ChannelPlan { groups })
}

/// How many classes a group should lose, and how many at most.
#[derive(Clone, Copy)]
struct Target {
    wanted: f64,
    most: usize,
}

/// Classes from the least important on; ties by position.
fn ascending(importance: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..importance.len()).collect();
    order.sort_by(|a, b| importance[*a].total_cmp(&importance[*b]).then(a.cmp(b)));
    order
}

fn per_group_target(plan: &GroupPlan, ratio: f64, layer_ratios: &BTreeMap<String, f64>) -> Target {
    let own = plan.group.writers.iter().filter_map(|name| layer_ratios.get(name));
    let ratio = own.copied().reduce(f64::max).unwrap_or(ratio);
    let count = plan.group.classes.len();
    Target { wanted: ratio * count as f64, most: count }
}

/// How many classes each group loses if all open classes are ranked together and each group keeps its least share.
fn global_targets(groups: &[GroupPlan], ratio: f64, max_ratio: f64) -> Vec<Target> {
    let mut ranked: Vec<(f64, usize)> = Vec::new();
    for (index, plan) in groups.iter().enumerate().filter(|(_, plan)| plan.kept_because.is_none()) {
        let mean = plan.importance.iter().sum::<f64>() / plan.importance.len() as f64;
        // A group of zeros has no scale; all of it is equally unimportant.
        let scale = if mean > 0.0 { mean } else { 1.0 };
        ranked.extend(plan.importance.iter().map(|score| (score / scale, index)));
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut left = (ratio * ranked.len() as f64).round() as usize;
    let most = |plan: &GroupPlan| (max_ratio * plan.group.classes.len() as f64).floor() as usize;
    let mut targets: Vec<Target> =
        groups.iter().map(|plan| Target { wanted: 0.0, most: most(plan) }).collect();
    for (_, group) in ranked {
        let target = &mut targets[group];
        if left > 0 && (target.wanted as usize) < target.most {
            target.wanted += 1.0;
            left -= 1;
        }
    }
    targets
}

/// The number of classes, taken in `order`, that is nearest to what is wanted and leaves every writer a positive multiple.
fn rounded(
    checkpoint: &Checkpoint,
    group: &ChannelGroup,
    order: &[usize],
    target: Target,
    multiple: usize,
) -> usize {
    let writers = group.writer_indices(&checkpoint.architecture);
    let mut left: Vec<usize> = writers
        .iter()
        .map(|writer| (0..group.classes.len()).map(|class| group.channels_of(*writer, class)).sum())
        .collect();
    let mut best = 0;
    for (index, class) in order.iter().enumerate().take(target.most) {
        for (left, writer) in left.iter_mut().zip(&writers) {
            *left -= group.channels_of(*writer, *class);
        }
        let count = index + 1;
        let fits = left.iter().all(|left| *left > 0 && *left % multiple == 0);
        if fits && (count as f64 - target.wanted).abs() < (best as f64 - target.wanted).abs() {
            best = count;
        }
    }
    best
}
