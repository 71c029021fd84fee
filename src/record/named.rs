//! From what people call a run to its id: `last`, `last~1`, the beginning or end of an id.

use std::{fmt, path::Path, str::FromStr};

use super::{RecordError, RunId, SweepId, SweepMember, brief, list_runs};

/// Fewest characters of an id that count as a name.
const SHORTEST: usize = 4;

/// What people call a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunName {
    /// `last` is 0, `last~1` the one before it, and so on.
    Last(usize),
    /// Beginning or end of an id.
    Part(String),
}

impl Default for RunName {
    fn default() -> Self {
        Self::Last(0)
    }
}

impl FromStr for RunName {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let wrong = || RecordError::Name { name: text.to_owned() };
        if let Some(rest) = text.strip_prefix("last") {
            return match rest.strip_prefix('~') {
                None if rest.is_empty() => Ok(Self::Last(0)),
                Some(back) => back.parse().map(Self::Last).map_err(|_| wrong()),
                None => Err(wrong()),
            };
        }
        let is_id = |c: char| c.is_ascii_digit() || matches!(c, 'a'..='f' | '-');
        if text.len() < SHORTEST || !text.chars().all(is_id) {
            return Err(wrong());
        }
        Ok(Self::Part(text.to_owned()))
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last(0) => formatter.write_str("last"),
            Self::Last(back) => write!(formatter, "last~{back}"),
            Self::Part(text) => formatter.write_str(text),
        }
    }
}

/// The one run with this name.
pub fn find_run(state_dir: &Path, name: &RunName) -> Result<RunId, RecordError> {
    let runs = list_runs(state_dir)?;
    match name {
        _ if runs.is_empty() => Err(RecordError::NoRuns),
        RunName::Last(back) => {
            let position = runs.len().checked_sub(back.saturating_add(1));
            position
                .map(|position| runs[position])
                .ok_or_else(|| RecordError::TooFar { name: name.to_string(), count: runs.len() })
        }
        RunName::Part(part) => {
            let fits = |run: &&RunId| {
                let id = run.to_string();
                id.starts_with(part) || id.ends_with(part)
            };
            let found: Vec<&RunId> = runs.iter().filter(fits).collect();
            match found[..] {
                [run] => Ok(*run),
                [] => Err(RecordError::Unnamed { name: part.clone() }),
                _ => Err(RecordError::Ambiguous { name: part.clone(), count: found.len() }),
            }
        }
    }
}

/// The runs of a sweep in order: of the newest one whose id begins or ends with `name`, or of the
/// newest of all.
pub fn sweep_runs(state_dir: &Path, name: Option<&str>) -> Result<(SweepId, Vec<RunId>), RecordError> {
    let runs = list_runs(state_dir)?;
    let part_of = |run: RunId| match brief(state_dir, run) {
        Ok(found) => Ok(found.sweep),
        Err(error @ RecordError::Io { .. }) => Err(error),
        // A damaged or newer record among many is no reason not to find the others.
        Err(_) => Ok(None),
    };
    let fits = |member: &SweepMember| match name {
        None => true,
        Some(name) => {
            let id = member.sweep.to_string();
            id.starts_with(name) || id.ends_with(name)
        }
    };
    let mut found: Option<(SweepId, Vec<RunId>)> = None;
    for run in runs.into_iter().rev() {
        match &mut found {
            // Runs of a sweep are younger than its id.
            Some((sweep, _)) if !sweep.may_hold(run) => break,
            Some((sweep, members)) => {
                if part_of(run)?.is_some_and(|member| member.sweep == *sweep) {
                    members.push(run);
                }
            }
            None => found = part_of(run)?.filter(fits).map(|member| (member.sweep, vec![run])),
        }
    }
    let (sweep, mut members) = found.ok_or_else(|| RecordError::NoSweep { name: name.map(str::to_owned) })?;
    members.reverse();
    Ok((sweep, members))
}
