//! What a stage and `defaults:` have in common: resources, limits, retries.

use std::time::Duration;

use super::{
    diagnostic::Diagnostic,
    fields::{self, Findings},
    nearest::suggestion,
    tree::{Node, NodeData},
    types::{Name, ResourcesSpec, RetryOn, RetrySpec, Settings},
    units::Dimension,
};

/// Keys read by [`read_key`].
pub(super) const KEYS: &[&str] =
    &["resources", "timeout-minutes", "silence-minutes", "retry", "cache", "continue-on-error", "runs-on"];

const RETRY_WORDS: &[(&str, RetryOn)] = &[
    ("infra", RetryOn::Infra),
    ("oom", RetryOn::OutOfMemory),
    ("timeout", RetryOn::Timeout),
    ("exit-code", RetryOn::ExitCode),
];

/// Reads `defaults:`.
pub(super) fn defaults(node: &Node, findings: &mut Findings) -> Settings {
    let mut settings = Settings::default();
    for (key, node) in fields::map(node, "`defaults`", findings) {
        if !read_key(&mut settings, key, node, findings) {
            findings.extend(fields::unknown_key(key, "`defaults`", KEYS, &[]));
        }
    }
    settings
}

/// Reads one entry of a stage or of `defaults:`; false if the key is none of [`KEYS`].
pub(super) fn read_key(settings: &mut Settings, key: &Name, node: &Node, findings: &mut Findings) -> bool {
    match key.as_str() {
        "resources" => settings.resources = resources(node, findings),
        "timeout-minutes" => settings.timeout = minutes(node, "`timeout-minutes`", findings),
        "silence-minutes" => settings.silence = minutes(node, "`silence-minutes`", findings),
        "retry" => settings.retry = retry(node, findings),
        "cache" => settings.cache = fields::boolean(node, "`cache`", findings),
        "continue-on-error" => {
            settings.continue_on_error = fields::boolean(node, "`continue-on-error`", findings)
        }
        "runs-on" => {
            settings.runs_on = fields::items(node)
                .iter()
                .filter_map(|item| fields::text(item, "a label of `runs-on`", findings))
                .collect();
        }
        _ => return false,
    }
    true
}

fn resources(node: &Node, findings: &mut Findings) -> ResourcesSpec {
    const KNOWN: &[&str] = &["cpus", "memory", "gpus", "exclusive", "output", "network"];
    let mut found = ResourcesSpec::default();
    for (key, node) in fields::map(node, "`resources`", findings) {
        match key.as_str() {
            "cpus" | "cpu" => found.cpus = fields::whole(node, "`cpus`", findings),
            "gpus" | "gpu" => found.gpus = fields::whole(node, "`gpus`", findings),
            "memory" => found.memory = size(node, "`memory`", findings),
            "output" => found.output = size(node, "`output`", findings),
            "exclusive" => found.exclusive = fields::boolean(node, "`exclusive`", findings),
            "network" => found.network = fields::boolean(node, "`network`", findings),
            _ => findings.extend(fields::unknown_key(
                key,
                "`resources`",
                KNOWN,
                &[("gpu-memory", "ask for whole GPUs with `gpus`")],
            )),
        }
    }
    found
}

fn size(node: &Node, what: &str, findings: &mut Findings) -> Option<u64> {
    let quantity = fields::quantity(node, what, Dimension::Bytes, findings)?;
    let bytes = quantity.bytes();
    if bytes.is_none() {
        findings.push(fields::wrong(node, what, "a size from 0"));
    }
    bytes
}

fn minutes(node: &Node, what: &str, findings: &mut Findings) -> Option<Duration> {
    let minutes = match &node.data {
        NodeData::Number(number) => number.as_f64().filter(|&minutes| minutes > 0.0),
        _ => None,
    };
    let found = minutes.and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok());
    if found.is_none() {
        let error = fields::wrong(node, what, "a number of minutes above 0");
        findings.push(match &node.data {
            NodeData::Text { .. } => error.hint("the unit is in the key: write the number alone"),
            _ => error,
        });
    }
    found
}

fn retry(node: &Node, findings: &mut Findings) -> Option<RetrySpec> {
    const KNOWN: &[&str] = &["max", "on", "backoff"];
    let mut found = RetrySpec { max: 1, on: Vec::new(), backoff: Duration::ZERO };
    for (key, node) in fields::map(node, "`retry`", findings) {
        match key.as_str() {
            "max" => found.max = fields::whole(node, "`max` of `retry`", findings).unwrap_or_default(),
            "on" => {
                for item in fields::items(node) {
                    let Some(word) = fields::text(item, "a class of failure", findings) else { continue };
                    match RETRY_WORDS.iter().find(|(name, _)| *name == word.value) {
                        Some((_, class)) => found.on.push(*class),
                        None => findings.push(
                            Diagnostic::error(
                                "spec::unknown-word",
                                format!("`{}` is no class of failure", word.value),
                            )
                            .at(word.span, "")
                            .maybe_hint(suggestion(&word.value, RETRY_WORDS.iter().map(|(name, _)| *name))),
                        ),
                    }
                }
            }
            "backoff" => {
                let quantity = fields::quantity(node, "`backoff`", Dimension::Time, findings);
                if let Some(quantity) = quantity {
                    match quantity.duration() {
                        Some(duration) => found.backoff = duration,
                        None => findings.push(fields::wrong(node, "`backoff`", "a time from 0")),
                    }
                }
            }
            _ => findings.extend(fields::unknown_key(
                key,
                "`retry`",
                KNOWN,
                &[("factor", "the pause doubles with each retry")],
            )),
        }
    }
    Some(found)
}
