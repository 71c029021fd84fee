//! Which params of the pipeline a stage reads, and where: so that a change can be named by the param.

use std::collections::BTreeMap;

use super::COMMAND;
use crate::spec::{
    expression::{Context, Expression, ExpressionKind, Piece, Step},
    types::{Data, Name, StageSpec, Value as Written},
};

/// Params by the field of the stage that reads them, named as in reasons: `with.optimizer.lr`, `env.NAME`, `seed`.
pub(super) fn of_stage(stage: &StageSpec, pipeline_env: &[(Name, Written)]) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for line in stage.command().iter().flat_map(|command| &command.lines) {
        collect(COMMAND, line, &mut found);
    }
    if let Some(with) = &stage.with {
        collect("with", with, &mut found);
    }
    for (name, written) in pipeline_env.iter().chain(&stage.env) {
        let field = format!("env.{}", name.value);
        // A stage's variable stands in for the pipeline's.
        found.remove(&field);
        collect(&field, written, &mut found);
    }
    if let Some(seed) = &stage.seed {
        collect("seed", seed, &mut found);
    }
    found
}

fn collect(field: &str, written: &Written, found: &mut BTreeMap<String, Vec<String>>) {
    match &written.data {
        Data::Template(template) => {
            for piece in &template.pieces {
                if let Piece::Expression(expression) = piece {
                    params(expression, |param| {
                        let all = found.entry(field.to_owned()).or_default();
                        if !all.contains(&param) {
                            all.push(param);
                        }
                    });
                }
            }
        }
        // Lists are compared as a whole.
        Data::List(items) => items.iter().for_each(|item| collect_inside(field, item, found)),
        Data::Map(entries) => {
            entries.iter().for_each(|(key, value)| collect(&format!("{field}.{}", key.value), value, found));
        }
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {}
    }
}

fn collect_inside(field: &str, written: &Written, found: &mut BTreeMap<String, Vec<String>>) {
    match &written.data {
        Data::Map(entries) => entries.iter().for_each(|(_, value)| collect_inside(field, value, found)),
        _ => collect(field, written, found),
    }
}

fn params(expression: &Expression, mut add: impl FnMut(String)) {
    expression.walk(&mut |part| {
        if let ExpressionKind::Reference(Context::Params, steps) = &part.kind {
            let keys = steps.iter().map_while(|step| match step {
                Step::Key(key) => Some(format!(".{}", key.value)),
                Step::Index(_) | Step::Select(_) => None,
            });
            add(format!("params{}", keys.collect::<String>()));
        }
    });
}
