//! How far the stages of a run are kept apart from the rest of the machine.

use crate::{plan::Plan, plugin::SandboxSupport, record::Isolation};

/// What this machine can hold stages to, or, where `wanted` is false, that nobody asked it to. The stages of the plan that use
/// the network are named.
pub fn isolation(wanted: bool, plan: Option<&Plan>) -> Isolation {
    let networked = plan.map(|plan| {
        let asks = plan.actions.iter().filter(|action| action.resources.network);
        asks.map(|action| action.id.clone()).collect()
    });
    let networked = networked.unwrap_or_default();
    if !wanted {
        let why = Some("the sandbox was switched off".to_owned());
        return Isolation { writes: false, network: false, why, networked };
    }
    let support = SandboxSupport::detect();
    let why = if !support.writes() {
        Some("this kernel has no Landlock, which Linux has since 5.13 where it is enabled".to_owned())
    } else if !support.network() {
        Some(format!(
            "version {} of Landlock, which this kernel has, does not cover the network; Linux 6.7 is the first that does",
            support.landlock
        ))
    } else {
        None
    };
    Isolation { writes: support.writes(), network: support.network(), why, networked }
}
