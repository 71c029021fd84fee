//! What stands at the cursor: documentation, and what it resolves to.

use std::ops::Range;

use serde_json::Value;

use super::{
    knowledge::Knowledge,
    outline::{Place, Role, Segment, keys},
    prose,
    reference::Reference,
};
use crate::spec::expression::Function;

/// Combinations of a matrix shown one by one.
const SHOWN: usize = 8;

/// Markdown, and the range it is about.
pub(super) fn hover(known: &Knowledge<'_>, offset: usize) -> Option<(String, Range<usize>)> {
    let text = known.text.as_str();
    let place = known.outline.place(text, offset);
    if let Some(reference) = Reference::around(text, offset) {
        let stage = place.as_ref().and_then(|place| Knowledge::stage_of(&place.path));
        return Some((expression(known, &reference, stage)?, reference.range().clone()));
    }
    let place = place.filter(|place| !place.word.is_empty())?;
    let text = match place.role {
        Role::Value => value(known, &place)?,
        Role::Key | Role::Either => key(known, &place)?,
    };
    Some((text, place.word))
}

fn key(known: &Knowledge<'_>, place: &Place) -> Option<String> {
    let text = known.text.as_str();
    let name = text.get(place.word.clone())?.trim_matches(['"', '\'']);
    let mut path = place.path.clone();
    path.push(Segment::Key(name.to_owned()));
    match &path[..] {
        [Segment::Key(section), Segment::Key(stage)] if section == "stages" => {
            return stage_page(known, stage);
        }
        [Segment::Key(section), Segment::Key(stage), Segment::Key(side), Segment::Key(port)]
            if section == "stages" =>
        {
            let manifest = known.program(stage).map(|program| &program.manifest);
            match side.as_str() {
                "inputs" => return Some(prose::port(port, manifest?.inputs.get(port)?, "input")),
                "outputs" => return Some(prose::port(port, manifest?.outputs.get(port)?, "output")),
                _ => {}
            }
        }
        [Segment::Key(section), way @ ..] if section == "params" => {
            let params = known.params();
            let found = way.iter().try_fold(&params, |value, segment| match segment {
                Segment::Key(key) => value.get(key),
                Segment::Item(index) => value.get(index),
            });
            return (!way.is_empty())
                .then_some(())
                .and(found)
                .map(|value| format!("**{name}** = {}", prose::value(value)));
        }
        _ => {}
    }
    let view = known.view(&path);
    if view.schemas.is_empty() {
        return None;
    }
    let mut text = prose::key(name, &view);
    text.push_str(&resolved(known, &path));
    Some(text)
}

/// What a param resolves to, in each combination of the stage's matrix.
fn resolved(known: &Knowledge<'_>, path: &[Segment]) -> String {
    let [Segment::Key(section), Segment::Key(stage), Segment::Key(key), way @ ..] = path else {
        return String::new();
    };
    if section != "stages" || key != "with" {
        return String::new();
    }
    let actions = known.actions(stage);
    let values: Vec<(&str, &Value)> = actions
        .iter()
        .filter_map(|action| {
            let found = way.iter().try_fold(&action.params, |value, segment| match segment {
                Segment::Key(key) => value.get(key),
                Segment::Item(index) => value.get(index),
            });
            Some((action.id.0.as_str(), found?))
        })
        .collect();
    match &values[..] {
        [] => String::new(),
        [(_, first), rest @ ..] if rest.iter().all(|(_, value)| value == first) => {
            format!("\n\nHere: {}", prose::value(first))
        }
        all => {
            let lines: Vec<String> = all
                .iter()
                .take(SHOWN)
                .map(|(id, value)| format!("- `{id}`: {}", prose::value(value)))
                .collect();
            let more =
                if all.len() > SHOWN { format!("\n- … {} more", all.len() - SHOWN) } else { String::new() };
            format!("\n\nHere:\n{}{more}", lines.join("\n"))
        }
    }
}

fn stage_page(known: &Knowledge<'_>, stage: &str) -> Option<String> {
    let program = known.program(stage);
    let mut text = match program {
        Some(program) => format!("stage **{stage}**\n\n{}", prose::program(&program.manifest)),
        None => format!("stage **{stage}**"),
    };
    let actions = known.actions(stage);
    if actions.len() > 1 {
        let ids: Vec<String> = actions.iter().take(SHOWN).map(|action| format!("`{}`", action.id)).collect();
        let more = if actions.len() > SHOWN {
            format!(" and {} more", actions.len() - SHOWN)
        } else {
            String::new()
        };
        text.push_str(&format!("\n\nRuns as {}{more}.", ids.join(", ")));
    }
    if let Some(reason) = actions.iter().find_map(|action| action.skip.as_ref()) {
        text.push_str(&format!("\n\nSkipped here: {reason}"));
    }
    known.stages().iter().any(|known| known == stage).then_some(text)
}

fn value(known: &Knowledge<'_>, place: &Place) -> Option<String> {
    let text = known.text.as_str();
    let written = text.get(place.word.clone())?.trim_matches(['"', '\'']);
    let names: Vec<&str> = place
        .path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Key(name) => Some(name.as_str()),
            Segment::Item(_) => None,
        })
        .collect();
    match names[..] {
        ["stages", _, "uses"] => {
            let program = known.programs.get(written.split('@').next()?)?;
            let mut text = prose::program(&program.manifest);
            for missing in &program.platform.missing {
                text.push_str(&format!("\n\nNot usable here: {}", missing.message));
            }
            Some(text)
        }
        ["stages", _, "needs"] | ["targets", _, "on"] => stage_page(known, written.split('[').next()?),
        ["targets", target, "metric"] => {
            let stage = &known.outline.value(&keys(["targets", target, "on"]))?.text;
            let program = known.program(stage.split('[').next()?)?;
            Some(format!("**{written}** — {}", program.manifest.metrics.get(written)?))
        }
        _ => {
            let (word, meaning) =
                known.view(&place.path).words().into_iter().find(|(word, _)| word == written)?;
            Some(format!("**{word}** — {}", meaning?))
        }
    }
}

fn expression(known: &Knowledge<'_>, reference: &Reference, stage: Option<&str>) -> Option<String> {
    let path = reference.up_to();
    let name = path.join(".");
    let found = |value: Option<&Value>| value.map(|value| format!("**{name}** = {}", prose::value(value)));
    match path[..] {
        [word] => {
            if let Some(meaning) = prose::context(word) {
                return Some(format!("**{word}**\n\n{meaning}"));
            }
            let (call, meaning) = prose::function(Function::from_word(word)?);
            Some(format!("**{call}**\n\n{meaning}"))
        }
        ["params", ref way @ ..] => {
            let params = known.params();
            found(way.iter().try_fold(&params, |value, key| value.get(key)))
        }
        ["host", fact] => found(known.host.get(fact)),
        ["git", fact] => found(known.analysis.git.get(fact)),
        ["env", variable] => found(known.env(stage).get(variable)),
        ["matrix", axis] => {
            let values = known.matrix(stage?).remove(axis)?;
            Some(format!("**{name}** — one of {}", prose::value(&values)))
        }
        ["stages", producer] => stage_page(known, producer),
        ["stages", producer, "outputs", port] => {
            let program = known.program(producer)?;
            Some(prose::port(port, program.manifest.outputs.get(port)?, &format!("output of `{producer}`")))
        }
        ["stages", producer, "metrics", ref metric @ ..] => {
            let program = known.program(producer)?;
            let metric = metric.join(".");
            Some(format!("**{metric}** — {}", program.manifest.metrics.get(&metric)?))
        }
        _ => None,
    }
}
