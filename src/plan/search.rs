//! `search:` → what is tried, how, and what for.

use serde_json::Value;

use crate::spec::{
    Diagnostic, PipelineSpec,
    nearest::suggestion,
    types::{GoalSpec, SearchSpec, Strategy},
};

use super::{
    Axis, Direction, Goal, MetricOf, Place, evaluate::Scope, instances::Instances, range::MOST_POINTS,
};

/// Trials of a search that does not say how many.
pub const USUAL_TRIALS: u32 = 20;

/// A search, ready to be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// What is tried.
    pub axes: Vec<Axis>,
    /// How trials are chosen.
    pub strategy: Strategy,
    /// Most trials; none for [`USUAL_TRIALS`], or all of a grid.
    pub trials: Option<u32>,
    /// Seed of all that is drawn at random.
    pub seed: u64,
    /// What is to become better; the first one counts where only one can.
    pub goals: Vec<Goal>,
}

/// Why a search can't be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SearchFault {
    /// What is wrong.
    message: String,
    /// What to write instead.
    pub hint: &'static str,
    /// The axis it is about.
    axis: Option<usize>,
}

impl Search {
    /// Finds what does not fit together. Checked again whenever something was changed after the plan was made.
    pub fn check(&self) -> Result<(), SearchFault> {
        let fault = |message: String, hint, axis| Err(SearchFault { message, hint, axis });
        if self.axes.is_empty() {
            return fault(
                "the search has nothing to try".to_owned(),
                "name a param and its values: `--over 'train.with.lr={log: [1e-4, 1e-1]}'`",
                None,
            );
        }
        if self.goals.is_empty() {
            return fault(
                "the search has no goal".to_owned(),
                "say what is to become better: `--maximize train:top1`",
                None,
            );
        }
        if self.strategy != Strategy::Grid {
            return Ok(());
        }
        let mut size: u64 = 1;
        for (index, axis) in self.axes.iter().enumerate() {
            match axis.range.grid() {
                Some(values) => size = size.saturating_mul(values.len() as u64),
                None => {
                    return fault(
                        format!("a grid needs to know which values of `{}` it takes", axis.place),
                        "add `points: 5` to the range, or `step` where it has equal differences",
                        Some(index),
                    );
                }
            }
        }
        let most = self.trials.map_or(MOST_POINTS as u64, u64::from);
        if size > most {
            let limit = match self.trials {
                Some(trials) => format!("`trials` allows {trials}"),
                None => format!("without `trials` at most {most} are run"),
            };
            return fault(
                format!("the grid has {size} combinations, and {limit}"),
                "allow more `trials`, thin the ranges out, or search with `strategy: tpe`",
                None,
            );
        }
        Ok(())
    }
}

/// Resolves `search:`.
pub(super) fn resolve(
    spec: &PipelineSpec,
    instances: &Instances<'_>,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Search> {
    let written = spec.search.as_ref()?;
    let before = findings.len();
    let axes = axes(spec, written, instances, scope, findings);
    let goals: Vec<Goal> =
        written.goals.iter().filter_map(|written| goal(written, instances, scope, findings)).collect();
    if written.broken || findings.len() > before {
        return None;
    }
    let search = Search {
        axes,
        strategy: written.strategy.as_ref().map_or(Strategy::Tpe, |strategy| strategy.value),
        trials: written.trials.as_ref().map(|trials| trials.value),
        seed: written.seed.as_ref().map_or(0, |seed| u64::from(seed.value)),
        goals,
    };
    if let Err(fault) = search.check() {
        let span = match fault.axis.and_then(|axis| written.over.get(axis)) {
            Some((name, _)) => name.span.clone(),
            None => written.span.clone(),
        };
        findings.push(Diagnostic::error("plan::search", fault.message).at(span, "").hint(fault.hint));
        return None;
    }
    Some(search)
}

fn axes(
    spec: &PipelineSpec,
    written: &SearchSpec,
    instances: &Instances<'_>,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Axis> {
    let mut axes = Vec::new();
    for (name, range) in &written.over {
        let place: Place = match name.value.parse() {
            Ok(place) => place,
            Err(error) => {
                let error: super::OverrideError = error;
                findings.push(
                    Diagnostic::error("plan::search", error.to_string())
                        .at(name.span.clone(), "")
                        .hint("write for example `params.epochs` or `train.with.optimizer.lr`"),
                );
                continue;
            }
        };
        match &place {
            Place::Param(path) if !spec.gaps.params => {
                let mut found = scope.params;
                for (at, key) in path.iter().enumerate() {
                    let next = match found {
                        Value::Array(items) => key.parse::<usize>().ok().and_then(|at| items.get(at)),
                        other => other.get(key),
                    };
                    let Some(next) = next else {
                        let inside = if at == 0 {
                            "params".to_owned()
                        } else {
                            format!("params.{}", path[..at].join("."))
                        };
                        let known: Vec<&str> =
                            found.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
                        findings.push(
                            Diagnostic::error("plan::search", format!("`{inside}` has no `{key}`"))
                                .at(name.span.clone(), "")
                                .maybe_hint(suggestion(key, known)),
                        );
                        break;
                    };
                    found = next;
                }
            }
            Place::With { stage, .. } if !spec.gaps.stages => {
                let names = || {
                    let ids = instances.all.iter().map(|instance| instance.id.0.as_str());
                    spec.stages.iter().map(|stage| stage.name.as_str()).chain(ids)
                };
                if !names().any(|known| known == stage) {
                    findings.push(
                        Diagnostic::error("plan::search", format!("there is no stage `{stage}`"))
                            .at(name.span.clone(), "")
                            .maybe_hint(suggestion(stage, names().collect::<Vec<_>>())),
                    );
                }
            }
            Place::Param(_) | Place::With { .. } => {}
        }
        axes.push(Axis::new(place, range));
    }
    axes
}

fn goal(
    written: &GoalSpec,
    instances: &Instances<'_>,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Goal> {
    let reference = written.of.stage.as_ref()?;
    let found = match instances.referred(reference, scope) {
        Ok(found) => found,
        Err(error) => {
            findings.push(error);
            return None;
        }
    };
    let [only] = found[..] else {
        let example = found.first().map(|first| format!("for example `{}`", instances.all[*first].id));
        findings.push(
            Diagnostic::error(
                "plan::search",
                format!("a goal is a metric of one stage; `{}` names {}", reference.stage.value, found.len()),
            )
            .at(written.of.span.clone(), "")
            .maybe_hint(example),
        );
        return None;
    };
    let direction = if written.maximize { Direction::Maximize } else { Direction::Minimize };
    let of = MetricOf { stage: instances.all[only].id.clone(), metric: written.of.metric.clone() };
    Some(Goal { of, direction })
}
