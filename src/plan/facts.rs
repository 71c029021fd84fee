//! A param in a few words.

use serde_json::Value;

/// What a param takes, from its schema: type or choices, unit, range, default.
pub fn param_facts(param: &Value) -> String {
    let word = |key: &str| {
        param.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let mut facts = Vec::new();
    if let Some(only) = word("const") {
        facts.push(format!("= {only}"));
    } else if let Some(choices) = param.get("enum").and_then(Value::as_array) {
        facts.push(
            choices
                .iter()
                .map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(" | "),
        );
    } else if let Some(names) = param
        .get("oneOf")
        .and_then(Value::as_array)
        .map(|choices| constants(choices))
        .filter(|names| !names.is_empty())
    {
        facts.push(names.join(" | "));
    } else if let Some(kind) = param.get("type") {
        let kinds: Vec<&str> = match kind {
            Value::Array(kinds) => {
                kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
            }
            kind => kind.as_str().into_iter().collect(),
        };
        facts.push(kinds.join(" or "));
    }
    facts.extend(word("x-unit").map(|unit| format!("in {unit}")));
    let low = word("minimum").map(|low| (low, "or more"));
    let low = low.or_else(|| word("exclusiveMinimum").map(|low| (low, "above")));
    let high = word("maximum").map(|high| (high, "up to"));
    let high = high.or_else(|| word("exclusiveMaximum").map(|high| (high, "below")));
    match (low, high) {
        (Some((low, "or more")), Some((high, "up to"))) => facts.push(format!("{low} to {high}")),
        (low, high) => {
            facts.extend(low.map(|(low, how)| match how {
                "above" => format!("above {low}"),
                how => format!("{low} {how}"),
            }));
            facts.extend(high.map(|(high, how)| format!("{how} {high}")));
        }
    }
    facts.extend(word("default").map(|default| format!("default {default}")));
    facts.join(", ")
}

fn constants(choices: &[Value]) -> Vec<String> {
    choices.iter().filter_map(|choice| choice.get("const")?.as_str().map(str::to_owned)).collect()
}
