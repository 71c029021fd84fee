//! `search:`: ranges of values to try, and what is better.

use super::{
    diagnostic::{Diagnostic, LineIndex},
    fields::{self, Findings},
    nearest::suggestion,
    target::metric_reference,
    tree::{self, Node, NodeData},
    types::{Data, End, GoalSpec, Name, RangeSpec, Scale, SearchSpec, Spanned, Strategy, Value},
    units::Quantity,
};

const KEYS: &[&str] = &["over", "trials", "strategy", "seed", "minimize", "maximize"];

const STRATEGIES: &[(&str, Strategy)] =
    &[("grid", Strategy::Grid), ("random", Strategy::Random), ("tpe", Strategy::Tpe)];

/// What a range may be.
const KINDS: &[&str] = &["choice", "int", "linear", "log"];

/// What may stand beside it.
const EXTRAS: &[&str] = &["step", "points", "scale"];

/// How a range is written, for hints.
const RANGE: &str =
    "write a list of choices, or `{ log: [1e-4, 1e-1] }`, `{ linear: [0, 1] }`, `{ int: [2, 10] }`";

/// Reads `search:`.
pub(super) fn read(key: &Name, node: &Node, findings: &mut Findings) -> SearchSpec {
    let mut search = SearchSpec {
        span: key.span.clone(),
        over: Vec::new(),
        trials: None,
        strategy: None,
        seed: None,
        goals: Vec::new(),
        broken: false,
    };
    let before = findings.len();
    let entries = fields::map(node, "`search`", findings);
    for (key, node) in entries {
        match key.as_str() {
            "over" => {
                for (place, node) in fields::map(node, "`over` of `search`", findings) {
                    if let Some(range) = range(node, &format!("`{}`", place.value), findings) {
                        search.over.push((place.clone(), range));
                    }
                }
            }
            "trials" => search.trials = positive(node, "`trials` of `search`", findings),
            "seed" => {
                let seed = fields::whole(node, "`seed` of `search`", findings);
                search.seed = seed.map(|seed| Spanned::new(seed, node.span.clone()));
            }
            "strategy" => search.strategy = strategy(node, findings),
            "minimize" | "maximize" => {
                for item in fields::items(node) {
                    search.goals.extend(goal(key.value == "maximize", item, findings));
                }
            }
            _ => findings.extend(fields::unknown_key(key, "`search`", KEYS, &[])),
        }
    }
    let has = |wanted: &str| entries.iter().any(|(key, _)| key.value == wanted);
    if !has("over") {
        findings.push(
            fields::missing(key.span.clone(), "`search`", "over")
                .hint("name params and their ranges: `over: { train.with.lr: { log: [1e-4, 1e-1] } }`"),
        );
    }
    if !has("maximize") && !has("minimize") {
        findings.push(
            Diagnostic::error("spec::missing-key", "`search` has neither `maximize` nor `minimize`")
                .at(key.span.clone(), "")
                .hint("say which metric of which stage is to become better: `maximize: train:top1`"),
        );
    }
    search.broken = findings[before..].iter().any(Diagnostic::is_error);
    search
}

fn strategy(node: &Node, findings: &mut Findings) -> Option<Spanned<Strategy>> {
    let word = fields::text(node, "`strategy` of `search`", findings)?;
    match STRATEGIES.iter().find(|(name, _)| *name == word.value) {
        Some((_, strategy)) => Some(Spanned::new(*strategy, word.span)),
        None => {
            findings.push(
                Diagnostic::error(
                    "spec::unknown-word",
                    format!("`{}` is no strategy of a search", word.value),
                )
                .at(word.span, "")
                .maybe_hint(suggestion(&word.value, STRATEGIES.iter().map(|(name, _)| *name))),
            );
            None
        }
    }
}

fn goal(maximize: bool, node: &Node, findings: &mut Findings) -> Option<GoalSpec> {
    let of = metric_reference(node, findings)?;
    if of.stage.is_none() {
        findings.push(
            Diagnostic::error("spec::search", format!("`{}` does not say of which stage", of.metric))
                .at(of.span, "")
                .hint(format!("write `<stage>:{}`", of.metric)),
        );
        return None;
    }
    Some(GoalSpec { of, maximize })
}

fn positive(node: &Node, what: &str, findings: &mut Findings) -> Option<Spanned<u32>> {
    let found = fields::whole(node, what, findings)?;
    if found == 0 {
        findings.push(fields::wrong(node, what, "a whole number from 1"));
        return None;
    }
    Some(Spanned::new(found, node.span.clone()))
}

/// Reads one range given on a command line. The places in the error are offsets into the text.
pub fn range_of_text(what: &str, text: &str) -> Result<RangeSpec, Diagnostic> {
    let mut findings = Vec::new();
    let found = tree::parse(text, &LineIndex::new(text), &mut findings)
        .and_then(|node| range(&node, &format!("`{what}`"), &mut findings));
    match (findings.into_iter().find(Diagnostic::is_error), found) {
        (None, Some(range)) => Ok(range),
        (Some(error), _) => Err(error),
        (None, None) => {
            Err(Diagnostic::error("spec::search", format!("the range of `{what}` is empty")).hint(RANGE))
        }
    }
}

/// Reads one range; `what` is the param's name in messages.
fn range(node: &Node, what: &str, findings: &mut Findings) -> Option<RangeSpec> {
    let entries = match &node.data {
        NodeData::List(_) => return choice(node, what, findings),
        NodeData::Map(entries) => entries,
        _ => {
            findings
                .push(fields::wrong(node, &format!("the range of {what}"), "a list or a map").hint(RANGE));
            return None;
        }
    };
    let named = |wanted: &str| entries.iter().find(|(key, _)| key.value == wanted);
    let kinds: Vec<_> = entries.iter().filter(|(key, _)| KINDS.contains(&key.as_str())).collect();
    for (key, _) in entries {
        if !KINDS.contains(&key.as_str()) && !EXTRAS.contains(&key.as_str()) {
            let known: Vec<&str> = KINDS.iter().chain(EXTRAS).copied().collect();
            findings.extend(fields::unknown_key(key, &format!("the range of {what}"), &known, &[]));
        }
    }
    let (kind, ends) = match kinds[..] {
        [(kind, ends)] => (kind, ends),
        [] => {
            findings.push(
                Diagnostic::error("spec::search", format!("the range of {what} has no kind"))
                    .at(node.span.clone(), "")
                    .hint(RANGE),
            );
            return None;
        }
        [(first, _), (second, _), ..] => {
            findings.push(
                Diagnostic::error("spec::search", format!("the range of {what} has two kinds"))
                    .at(second.span.clone(), "a second one")
                    .at(first.span.clone(), "first here")
                    .hint("keep one of them"),
            );
            return None;
        }
    };
    let misplaced = |extra: &str, findings: &mut Findings| {
        if let Some((key, _)) = named(extra) {
            findings.push(
                Diagnostic::error("spec::search", format!("`{extra}` does not go with `{}`", kind.value))
                    .at(key.span.clone(), "")
                    .hint(match extra {
                        "step" => "`step` goes with `int` and `linear`; `log` takes `points`",
                        "points" => "`points` goes with `int`, `linear` and `log`",
                        _ => "`scale: log` goes with `int`; `linear` and `log` are scales themselves",
                    }),
            );
        }
    };
    if kind.value == "choice" {
        EXTRAS.iter().for_each(|extra| misplaced(extra, findings));
        return choice(ends, what, findings);
    }
    let whole = kind.value == "int";
    if !whole {
        misplaced("scale", findings);
    }
    if kind.value == "log" {
        misplaced("step", findings);
    }
    let scale = match (kind.as_str(), named("scale")) {
        ("log", _) => Scale::Log,
        ("int", Some((_, node))) => int_scale(node, findings)?,
        _ => Scale::Linear,
    };
    let (low, high) = ends_of(ends, kind, what, scale, whole, findings)?;
    let step = match named("step").filter(|_| kind.value != "log") {
        Some((_, node)) => Some(step(node, what, &low, whole, findings)?),
        None => None,
    };
    let points = match named("points") {
        Some((_, node)) => {
            let points = positive(node, "`points`", findings)?;
            if points.value < 2 {
                findings.push(fields::wrong(node, "`points`", "a whole number from 2"));
                return None;
            }
            Some(points.value)
        }
        None => None,
    };
    if let (Some((key, _)), Some(_)) = (named("points"), step) {
        findings.push(
            Diagnostic::error("spec::search", format!("the range of {what} has both `step` and `points`"))
                .at(key.span.clone(), "")
                .hint("keep one of them"),
        );
        return None;
    }
    Some(RangeSpec::Between { span: ends.span.clone(), scale, whole, low, high, step, points })
}

fn int_scale(node: &Node, findings: &mut Findings) -> Option<Scale> {
    let word = fields::text(node, "`scale`", findings)?;
    match word.as_str() {
        "log" => Some(Scale::Log),
        "linear" => Some(Scale::Linear),
        other => {
            findings.push(
                Diagnostic::error("spec::unknown-word", format!("`{other}` is no scale"))
                    .at(word.span.clone(), "")
                    .maybe_hint(suggestion(other, ["linear", "log"])),
            );
            None
        }
    }
}

fn choice(node: &Node, what: &str, findings: &mut Findings) -> Option<RangeSpec> {
    let before = findings.len();
    fields::refuse_ambiguous_truth(node, findings);
    let values: Vec<Value> = fields::items(node).iter().map(|item| fields::value(item, findings)).collect();
    for value in &values {
        if has_template(value) {
            findings.push(
                Diagnostic::error("spec::no-expression", "a choice can't be an expression")
                    .at(value.span.clone(), "")
                    .hint("write the value itself"),
            );
        }
    }
    if values.is_empty() {
        findings.push(
            Diagnostic::error("spec::search", format!("there is nothing to choose for {what}"))
                .at(node.span.clone(), "")
                .hint(RANGE),
        );
    }
    (findings.len() == before).then_some(RangeSpec::Choice(values))
}

fn has_template(value: &Value) -> bool {
    match &value.data {
        Data::Template(_) => true,
        Data::List(items) => items.iter().any(has_template),
        Data::Map(entries) => entries.iter().any(|(_, value)| has_template(value)),
        _ => false,
    }
}

/// The two ends of a range: numbers, or numbers with the same unit.
fn ends_of(
    node: &Node,
    kind: &Name,
    what: &str,
    scale: Scale,
    whole: bool,
    findings: &mut Findings,
) -> Option<(End, End)> {
    let NodeData::List(items) = &node.data else {
        findings.push(
            fields::wrong(node, &format!("`{}` of {what}", kind.value), "a list of the two ends").hint(RANGE),
        );
        return None;
    };
    let [low, high] = &items[..] else {
        findings.push(
            Diagnostic::error(
                "spec::search",
                format!("`{}` of {what} has two ends; here it has {}", kind.value, items.len()),
            )
            .at(node.span.clone(), "")
            .hint(RANGE),
        );
        return None;
    };
    let (low, high) = (end(low, what, findings)?, end(high, what, findings)?);
    let wrong = |message: String, hint: &str| {
        Some(Diagnostic::error("spec::search", message).at(node.span.clone(), "").hint(hint))
    };
    let fault = if low.unit != high.unit {
        wrong(format!("the ends of the range of {what} have different units"), "give both the same unit")
    } else if low.value >= high.value {
        wrong(format!("the range of {what} is empty"), "the smaller end comes first")
    } else if whole && (low.value.fract() != 0.0 || high.value.fract() != 0.0) {
        wrong(
            format!("the ends of the range of {what} are not whole"),
            "write `linear` for numbers with a fraction",
        )
    } else if scale == Scale::Log && low.value <= 0.0 {
        wrong(format!("a logarithmic range starts above 0; that of {what} does not"), "raise the smaller end")
    } else {
        None
    };
    match fault {
        Some(fault) => {
            findings.push(fault);
            None
        }
        None => Some((low, high)),
    }
}

fn end(node: &Node, what: &str, findings: &mut Findings) -> Option<End> {
    match &node.data {
        NodeData::Number(number) => Some(End { value: number.as_f64()?, unit: None }),
        NodeData::Text { text, .. } if Quantity::parse(text).is_ok() => {
            // The unit stays as written, so that the values proposed are written the same way.
            let unit = text.trim_start_matches(|c: char| !c.is_alphabetic() && c != '%');
            // The `e` of an exponent is none.
            let unit = match unit.strip_prefix(['e', 'E']) {
                Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')) => {
                    rest.trim_start_matches(|c: char| !c.is_alphabetic() && c != '%')
                }
                _ => unit,
            };
            let value: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            Some(End { value, unit: Some(unit.to_owned()) })
        }
        _ => {
            findings.push(fields::wrong(
                node,
                &format!("an end of the range of {what}"),
                "a number, or a number with a unit",
            ));
            None
        }
    }
}

fn step(node: &Node, what: &str, low: &End, whole: bool, findings: &mut Findings) -> Option<f64> {
    let found = end(node, what, findings)?;
    if found.unit != low.unit {
        findings.push(
            Diagnostic::error("spec::search", format!("`step` of {what} has not the unit of the range"))
                .at(node.span.clone(), "")
                .hint("give it the unit of the ends"),
        );
        return None;
    }
    if found.value <= 0.0 || whole && found.value.fract() != 0.0 {
        let wanted = if whole { "a whole number from 1" } else { "a number above 0" };
        findings.push(fields::wrong(node, &format!("`step` of {what}"), wanted));
        return None;
    }
    Some(found.value)
}
