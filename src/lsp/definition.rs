//! Where something is declared.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    knowledge::Knowledge,
    outline::{Outline, Role, Segment, keys},
    reference::Reference,
};
use crate::catalog::Start;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The file; none is the open one.
    pub file: Option<PathBuf>,
    /// Bytes of it.
    pub range: Range<usize>,
}

/// Where what stands at an offset is declared. `root` is the project's; `read` gives the text of a file.
pub(super) fn define(
    known: &Knowledge<'_>,
    root: Option<&Path>,
    read: &dyn Fn(&Path) -> Option<String>,
    offset: usize,
) -> Option<Target> {
    let text = known.text.as_str();
    let place = known.outline.place(text, offset);
    if let Some(reference) = Reference::around(text, offset) {
        let stage = place.as_ref().and_then(|place| Knowledge::stage_of(&place.path));
        return expression(known, root, read, &reference.up_to(), stage);
    }
    let place = place.filter(|place| place.role == Role::Value)?;
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
        ["stages", _, "needs"] | ["targets", _, "on"] => stage(known, root, written.split('[').next()?),
        ["targets", _, "max-drop-vs" | "max-ratio-vs"] => {
            stage(known, root, written.split([':', '[']).next()?)
        }
        ["stages", _, "uses"] => {
            // A script can be read; a binary is nothing for an editor.
            let Start::Program(path) = &known.programs.get(written.split('@').next()?)?.start else {
                return None;
            };
            read(path)?.starts_with("#!").then(|| Target { file: Some(path.clone()), range: 0..0 })
        }
        ["params"] | ["include"] => {
            let base =
                if names == ["include"] { known.analysis.sources().files().first()?.name() } else { "" };
            let folder = Path::new(base).parent().unwrap_or(Path::new(""));
            let file = root?.join(folder).join(written);
            file.is_file().then_some(Target { file: Some(file), range: 0..0 })
        }
        _ => None,
    }
}

fn expression(
    known: &Knowledge<'_>,
    root: Option<&Path>,
    read: &dyn Fn(&Path) -> Option<String>,
    path: &[&str],
    own: Option<&str>,
) -> Option<Target> {
    match path {
        ["stages", name] => stage(known, root, name),
        ["stages", name, "outputs"] => stage(known, root, name),
        ["stages", name, "outputs", port] => {
            let placed = known.outline.key(&keys(["stages", name, "outputs", port]));
            placed
                .map(|key| Target { file: None, range: key.range.clone() })
                .or_else(|| stage(known, root, name))
        }
        ["params", way @ ..] if !way.is_empty() => match known.outline.key(&segments(path)) {
            Some(key) => here(&key.range),
            None => params_file(known, root?, read, way),
        },
        ["matrix", axis] => {
            let own = own?;
            let places = [
                keys(["stages", own, "matrix", axis]).to_vec(),
                keys(["stages", own, "strategy", "matrix", axis]),
            ];
            places.iter().find_map(|place| here(&known.outline.key(place)?.range))
        }
        ["env", variable] => {
            let own = own.and_then(|own| known.outline.key(&keys(["stages", own, "env", variable])));
            here(&own.or_else(|| known.outline.key(&keys(["env", variable])))?.range)
        }
        _ => None,
    }
}

fn segments(names: &[&str]) -> Vec<Segment> {
    names.iter().map(|name| Segment::Key((*name).to_owned())).collect()
}

fn here(range: &Range<usize>) -> Option<Target> {
    Some(Target { file: None, range: range.clone() })
}

/// A stage of this file, else of one that it includes.
fn stage(known: &Knowledge<'_>, root: Option<&Path>, name: &str) -> Option<Target> {
    if let Some(key) = known.outline.key(&keys(["stages", name])) {
        return here(&key.range);
    }
    let found = known.analysis.spec.stages.iter().find(|stage| stage.name.value == name)?;
    let place = known.analysis.sources().locate(&found.name.span)?;
    Some(Target { file: Some(root?.join(place.file.name())), range: place.range })
}

/// The key in the last params file that has it, as that one counts; else the file that has the most of the way.
fn params_file(
    known: &Knowledge<'_>,
    root: &Path,
    read: &dyn Fn(&Path) -> Option<String>,
    way: &[&str],
) -> Option<Target> {
    let found = |length: usize| {
        known.analysis.spec.params.files.iter().rev().find_map(|file| {
            let path = root.join(&file.name.value);
            let outline = Outline::new(&read(&path)?);
            let range = outline.key(&segments(&way[..length]))?.range.clone();
            Some(Target { file: Some(path), range })
        })
    };
    (1..=way.len()).rev().find_map(found)
}
