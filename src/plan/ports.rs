//! Types of ports: which fits which.

use stagewright_protocol::Port;

use super::command::ANY;

/// The types that a port takes; the first one is what an untyped path is.
pub(super) fn types(port: &Port) -> impl Iterator<Item = &str> + Clone {
    port.artifact_type.split('|').map(str::trim)
}

/// The types that a port takes, in words.
pub(super) fn alternatives(port: &Port) -> String {
    types(port).collect::<Vec<_>>().join(" or ")
}

/// Whether a port takes a type; `report/*` takes all reports.
pub fn accepts(port: &Port, artifact_type: &str) -> bool {
    types(port).any(|wanted| {
        wanted == artifact_type
            || [wanted, artifact_type].contains(&ANY)
            || wanted
                .strip_suffix('*')
                .is_some_and(|family| family.ends_with('/') && artifact_type.starts_with(family))
    })
}
