//! Nodes that stay as they are because the pipeline says so.

use std::collections::BTreeMap;

use regex::Regex;
use stagewright_onnx::proto::{GraphProto, NodeProto};
use stagewright_sdk::{FaultExt, Result, StageFault};

/// Positions of the nodes whose whole name one of the patterns matches, with the reason. A node without a name goes by the
/// name of its output.
///
/// # Errors
/// A pattern is no regular expression, or matches no node.
pub fn excluded(graph: &GraphProto, patterns: &[String]) -> Result<BTreeMap<usize, String>> {
    let mut excluded = BTreeMap::new();
    for pattern in patterns {
        let whole = Regex::new(&format!("^(?:{pattern})$"))
            .or_user(format_args!("`exclude` holds `{pattern}`, which is no regular expression"))?;
        let matching: Vec<usize> =
            (0..graph.node.len()).filter(|&index| whole.is_match(name(&graph.node[index]))).collect();
        if matching.is_empty() {
            let names: Vec<&str> = graph.node.iter().map(name).take(12).collect();
            let more = if graph.node.len() > names.len() { ", …" } else { "" };
            return Err(StageFault::user(format!(
                "`exclude` holds `{pattern}`, which matches no node of the model"
            ))
            .hint(format!("the nodes are {}{more}", names.join(", "))));
        }
        excluded
            .extend(matching.into_iter().map(|index| (index, format!("`exclude` names it (`{pattern}`)"))));
    }
    Ok(excluded)
}

/// Name that patterns are matched with.
pub fn name(node: &NodeProto) -> &str {
    match node.name() {
        "" => node.output_at(0).unwrap_or_default(),
        name => name,
    }
}
