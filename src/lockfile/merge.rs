//! Two lock files and what they both come from → one, as git merges code, but stage by stage and field by field.
//!
//! What a stage resolved to is one thing: where both sides changed it, each differing field is a conflict, since a key of the one
//! side with an output of the other would be a result that nobody has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    error::Fault,
    fields::{self, Fields, Way},
};

/// A merged text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The text, with git's markers around what is in conflict.
    pub text: String,
    /// Stages in conflict, as `pipeline: stage`.
    pub conflicts: Vec<String>,
}

/// The side that a text comes from, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lock file of {side} can't be merged: line {line}: {reason}")]
pub struct MergeError {
    /// `our side`, `their side` or `the common commit`.
    pub side: &'static str,
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// Merges. `base` is empty where the two have no common lock file; `marker` is the length of git's markers.
pub fn merge(base: &str, ours: &str, theirs: &str, marker: usize) -> Result<Merged, MergeError> {
    let read = |side: &'static str, text: &str| match text.is_empty() {
        true => Ok(Fields::new()),
        false => fields::parse(text).map_err(|Fault { line, what }| MergeError {
            side,
            line,
            reason: match what {
                super::error::What::Conflict => "it has a conflict of another merge".to_owned(),
                super::error::What::Wrong(reason) => reason,
            },
        }),
    };
    let (base, ours, theirs) =
        (read("the common commit", base)?, read("our side", ours)?, read("their side", theirs)?);
    let [base, ours, theirs] = [&base, &ours, &theirs].map(units);
    let names: BTreeSet<&[String]> = base.keys().chain(ours.keys()).chain(theirs.keys()).copied().collect();
    let mut merged: BTreeMap<&Way, Choice<'_>> = BTreeMap::new();
    let mut conflicts = BTreeSet::new();
    for name in names {
        let none = BTreeMap::new();
        let [base, ours, theirs] = [&base, &ours, &theirs].map(|side| side.get(name).unwrap_or(&none));
        let ways: BTreeSet<&Way> = ours.keys().chain(theirs.keys()).copied().collect();
        let whole = three(base, ours, theirs);
        for way in ways {
            let (ours, theirs) = (ours.get(way).copied(), theirs.get(way).copied());
            let choice = match whole {
                Some(side) => Choice::Agreed(side.get(way).copied()),
                None if ours == theirs => Choice::Agreed(ours),
                None => Choice::Open { ours, theirs },
            };
            if matches!(choice, Choice::Open { .. }) {
                let stage = way.get(1..3).unwrap_or_default();
                conflicts.insert(stage.join(": "));
            }
            merged.insert(way, choice);
        }
    }
    Ok(Merged { text: write(&merged, marker), conflicts: conflicts.into_iter().collect() })
}

/// Fields that are decided together, by stage.
type Unified<'a> = BTreeMap<&'a [String], BTreeMap<&'a Way, &'a Value>>;

fn units(fields: &Fields) -> Unified<'_> {
    let mut units = Unified::new();
    for (way, value) in fields {
        units.entry(way.get(..3).unwrap_or(way)).or_default().insert(way, value);
    }
    units
}

/// The side that stands where at most one has changed.
fn three<'a, T: PartialEq>(base: &'a T, ours: &'a T, theirs: &'a T) -> Option<&'a T> {
    if ours == theirs || theirs == base {
        Some(ours)
    } else if ours == base {
        Some(theirs)
    } else {
        None
    }
}

#[derive(Debug, Clone, Copy)]
enum Choice<'a> {
    Agreed(Option<&'a Value>),
    Open { ours: Option<&'a Value>, theirs: Option<&'a Value> },
}

fn write(fields: &BTreeMap<&Way, Choice<'_>>, marker: usize) -> String {
    let mut text = fields::opening();
    let mut above: &[String] = &[];
    let mut open = Hunk::default();
    for (way, choice) in fields {
        let maps = &way[..way.len().saturating_sub(1)];
        if matches!(choice, Choice::Agreed(None)) {
            continue;
        }
        if maps != above || matches!(choice, Choice::Agreed(_)) {
            open.close(marker, &mut text);
        }
        fields::headings(above, way, &mut text);
        above = maps;
        match choice {
            Choice::Agreed(value) => value.iter().for_each(|value| fields::field(way, value, &mut text)),
            Choice::Open { ours, theirs } => {
                ours.iter().for_each(|value| fields::field(way, value, &mut open.ours));
                theirs.iter().for_each(|value| fields::field(way, value, &mut open.theirs));
            }
        }
    }
    open.close(marker, &mut text);
    text
}

/// Lines in conflict that stand in one map one after the other.
#[derive(Default)]
struct Hunk {
    ours: String,
    theirs: String,
}

impl Hunk {
    fn close(&mut self, marker: usize, text: &mut String) {
        let Self { ours, theirs } = std::mem::take(self);
        if ours.is_empty() && theirs.is_empty() {
            return;
        }
        let line = |c: &str, label: &str| format!("{}{label}\n", c.repeat(marker));
        text.push_str(&line("<", " ours"));
        text.push_str(&ours);
        text.push_str(&line("=", ""));
        text.push_str(&theirs);
        text.push_str(&line(">", " theirs"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn text(stages: &[(&str, &str, &str, &str)]) -> String {
        let mut fields = Fields::new();
        for (stage, lr, key, at) in stages {
            let mut put = |rest: &[&str], value: &str| {
                let way = ["pipelines", "p.yaml", *stage].into_iter().chain(rest.iter().copied());
                fields.insert(way.map(str::to_owned).collect(), value.into());
            };
            put(&["from", "seed"], "0");
            put(&["from", "with.lr"], lr);
            put(&["key"], key);
            put(&["outputs", "model", "at"], at);
            put(&["outputs", "model", "digest"], key);
        }
        fields::render(&fields)
    }

    fn merged(base: &str, ours: &str, theirs: &str) -> Merged {
        merge(base, ours, theirs, 7).unwrap()
    }

    #[test]
    fn stages_that_one_side_changed_come_from_there() {
        let base = text(&[("a", "1", "k1", "m"), ("b", "1", "k2", "m"), ("c", "1", "k3", "m")]);
        let ours = text(&[("a", "2", "k4", "m"), ("b", "1", "k2", "m"), ("c", "1", "k3", "m")]);
        let theirs = text(&[("b", "1", "k2", "n"), ("a", "1", "k1", "m"), ("d", "1", "k5", "m")]);
        let both = text(&[("a", "2", "k4", "m"), ("b", "1", "k2", "n"), ("d", "1", "k5", "m")]);
        assert_eq!(merged(&base, &ours, &theirs), Merged { text: both, conflicts: Vec::new() });
    }

    #[test]
    fn both_sides_of_a_conflict_are_shown_as_git_shows_them() {
        let base = text(&[("a", "1", "k1", "m"), ("b", "1", "k2", "m")]);
        let ours = text(&[("a", "2", "k3", "m"), ("b", "1", "k2", "m")]);
        let theirs = text(&[("a", "3", "k4", "n")]);
        let found = merged(&base, &ours, &theirs);
        assert_eq!(found.conflicts, ["p.yaml: a"]);
        insta::assert_snapshot!(found.text);
        assert!(super::super::LockFile::parse(&found.text).is_err());
        // A stage that one side changed and the other one has no more.
        let found = merged(&base, &ours, &text(&[("b", "1", "k2", "m")]));
        insta::assert_snapshot!("removed", found.text);
        assert!(merge(&base, &ours, &found.text, 7).is_err());
    }

    /// Takes one side of every hunk.
    fn side(text: &str, ours: bool) -> String {
        let mut taken = true;
        let mut lines = Vec::new();
        for line in text.lines() {
            match line.get(..7) {
                Some("<<<<<<<") => taken = ours,
                Some("=======") => taken = !ours,
                Some(">>>>>>>") => taken = true,
                _ if taken => lines.push(line),
                _ => {}
            }
        }
        lines.join("\n")
    }

    fn stage() -> impl Strategy<Value = Option<(u8, u8, u8)>> {
        prop::option::of((0..2u8, 0..3u8, 0..2u8))
    }

    proptest! {
        #[test]
        fn a_merge_keeps_what_it_must(sides in prop::collection::vec(prop::collection::vec(stage(), 3), 3)) {
            let texts: Vec<String> = sides.iter().map(|stages| {
                let known = stages.iter().enumerate().filter_map(|(index, stage)| Some((index, (*stage)?)));
                let words: Vec<[String; 4]> = known
                    .map(|(index, (lr, key, at))| [format!("s{index}"), lr.to_string(), format!("k{key}"), format!("m{at}")])
                    .collect();
                let stages: Vec<_> = words.iter().map(|[a, b, c, d]| (&a[..], &b[..], &c[..], &d[..])).collect();
                text(&stages)
            }).collect();
            let [base, ours, theirs] = &texts[..] else { unreachable!() };
            prop_assert_eq!(&merged(base, ours, base).text, ours);
            prop_assert_eq!(&merged(base, base, theirs).text, theirs);
            prop_assert_eq!(&merged(base, ours, ours).text, ours);
            let both = merged(base, ours, theirs);
            prop_assert_eq!(both.conflicts.is_empty(), fields::parse(&both.text).is_ok());
            // Whichever side is taken, what the stage resolved to is one side's, whole.
            for taken in [side(&both.text, true), side(&both.text, false)] {
                let taken = fields::parse(&taken).unwrap();
                let (ours, theirs) = (fields::parse(ours).unwrap(), fields::parse(theirs).unwrap());
                let [taken, ours, theirs] = [&taken, &ours, &theirs].map(units);
                for (unit, found) in &taken {
                    prop_assert!(ours.get(unit) == Some(found) || theirs.get(unit) == Some(found));
                }
            }
        }
    }
}
