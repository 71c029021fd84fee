//! What of versioning runs inside of git: hooks and merge drivers, put in and taken out.
//!
//! A hook of the user's stays as it is but for a block of lines, behind the line that names its shell, so that it runs whatever the rest
//! does. Merge drivers are set in the repository's own configuration and in `info/attributes`, so no file of the work tree changes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use git2::{AttrCheckFlags, Config, ConfigLevel, Repository, RepositoryState};

use super::{TrackError, block, pointer::write_whole};
use crate::config::LOCK_NAME;

/// Hooks that are put in.
pub const HOOKS: [&str; 3] = ["post-checkout", "pre-push", "pre-commit"];

/// Merge drivers: name, what it is to people, pattern of the files, word of the hidden command.
const DRIVERS: [(&str, &str, &str, &str); 2] = [
    ("stagewright-lock", "lock files of Stagewright, by stage", LOCK_NAME, "merge-lock"),
    ("stagewright-data", "pointer files of versioned data, by file", "*.dvc", "merge-data"),
];

/// What was done with one hook or driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The hook or driver.
    pub what: String,
    /// The file that it is in.
    pub path: PathBuf,
    /// What was done.
    pub done: Done,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It was put in or renewed.
    Written,
    /// It was there already, or there was nothing to take out.
    Same,
    /// It was taken out.
    Removed,
    /// It can't be, for this reason.
    Left(String),
}

/// Puts hooks and merge drivers into the repository around a project.
pub fn install(root: &Path) -> Result<Vec<Step>, TrackError> {
    let place = Place::find(root)?;
    let mut steps = Vec::new();
    for hook in HOOKS {
        let path = place.hooks.join(hook);
        let done = match &place.foreign {
            Some(reason) => Done::Left(reason.clone()),
            None => put_hook(&path, hook, &place.project)?,
        };
        steps.push(Step { what: hook.to_owned(), path, done });
    }
    let mut config = place.repository.config()?.open_level(ConfigLevel::Local)?;
    let mut lines = String::new();
    let mut drivers = Vec::new();
    for (name, title, pattern, word) in DRIVERS {
        let sample = pattern.replace('*', "x");
        let set = place.repository.get_attr(Path::new(&sample), "merge", AttrCheckFlags::default())?;
        if let Some(other) = set.filter(|other| *other != name) {
            let reason = format!("{pattern} has the merge driver `{other}` already, by a .gitattributes");
            drivers.push((name, Done::Left(reason)));
            continue;
        }
        lines.push_str(&format!("{pattern} merge={name}\n"));
        let driver = format!("stagewright hook {word} %O %A %B %L %P");
        let mut changed = set_text(&mut config, &format!("merge.{name}.name"), title)?;
        changed |= set_text(&mut config, &format!("merge.{name}.driver"), &driver)?;
        drivers.push((name, if changed { Done::Written } else { Done::Same }));
    }
    let old = read(&place.attributes)?;
    let new = block::put(&old, "", &lines, 0);
    let changed = old != new;
    if changed {
        make_parent(&place.attributes)?;
        write_whole(&place.attributes, &new)?;
    }
    for (name, done) in drivers {
        let done = if done == Done::Same && changed { Done::Written } else { done };
        steps.push(Step { what: format!("merge driver {name}"), path: place.attributes.clone(), done });
    }
    Ok(steps)
}

/// Takes out what [`install`] put in, and nothing else.
pub fn uninstall(root: &Path) -> Result<Vec<Step>, TrackError> {
    let place = Place::find(root)?;
    let mut steps = Vec::new();
    let mut others = false;
    for hook in HOOKS {
        let path = place.hooks.join(hook);
        let old = read(&path)?;
        let new = block::take(&old, &place.project);
        let done = if new == old {
            Done::Same
        } else if new.trim_end() == SHELL.trim_end() {
            fs::remove_file(&path).map_err(TrackError::io("remove", &path))?;
            Done::Removed
        } else {
            write_whole(&path, &new)?;
            Done::Removed
        };
        others |= block::has_any(&new);
        steps.push(Step { what: hook.to_owned(), path, done });
    }
    // Another project of the repository may need them still.
    if others {
        return Ok(steps);
    }
    let old = read(&place.attributes)?;
    let new = block::take(&old, "");
    if new.is_empty() && !old.is_empty() {
        fs::remove_file(&place.attributes).map_err(TrackError::io("remove", &place.attributes))?;
    } else if new != old {
        write_whole(&place.attributes, &new)?;
    }
    let mut config = place.repository.config()?.open_level(ConfigLevel::Local)?;
    for (name, ..) in DRIVERS {
        let mut removed = false;
        for key in ["name", "driver"] {
            removed |= config.remove(&format!("merge.{name}.{key}")).is_ok();
        }
        let done = if removed { Done::Removed } else { Done::Same };
        steps.push(Step { what: format!("merge driver {name}"), path: place.attributes.clone(), done });
    }
    drop_empty_sections(&place.repository.commondir().join("config"))?;
    Ok(steps)
}

/// Whether git is in the middle of something, such as a rebase, that goes through commits which nobody is to work on.
pub fn is_amid(root: &Path) -> bool {
    Repository::discover(root).is_ok_and(|repository| repository.state() != RepositoryState::Clean)
}

/// A hook whose shell it is left to name.
const SHELL: &str = "#!/bin/sh\n";

struct Place {
    repository: Repository,
    hooks: PathBuf,
    /// Why hooks can't go there.
    foreign: Option<String>,
    /// `info/attributes`, which all work trees of a repository share.
    attributes: PathBuf,
    /// The project's folder in the work tree; empty where it is the top.
    project: String,
}

impl Place {
    fn find(root: &Path) -> Result<Self, TrackError> {
        let repository = Repository::discover(root).map_err(|error| {
            TrackError::Git(format!("{} is in no repository: {}", root.display(), error.message()))
        })?;
        let top = repository
            .workdir()
            .ok_or_else(|| TrackError::Git("the repository has no work tree".to_owned()))?
            .to_owned();
        let real = |path: &Path| fs::canonicalize(path).map_err(TrackError::io("read", path));
        let project = real(root)?;
        let project =
            project.strip_prefix(real(&top)?).unwrap_or(Path::new("")).to_string_lossy().into_owned();
        let (hooks, foreign) = match hooks_path(&repository.config()?)? {
            None => (repository.commondir().join("hooks"), None),
            // Git runs hooks at the top of the work tree, and takes the path from there.
            Some((path, true)) => (top.join(path), None),
            Some((path, false)) => {
                let reason = "core.hooksPath is set for every repository of this user, so they would all run it; \
                              `git config --local core.hooksPath .git/hooks` gives this one hooks of its own";
                (path, Some(reason.to_owned()))
            }
        };
        let attributes = repository.commondir().join("info/attributes");
        Ok(Self { repository, hooks, foreign, attributes, project })
    }
}

/// `core.hooksPath`, and whether it is the repository's own.
fn hooks_path(config: &Config) -> Result<Option<(PathBuf, bool)>, TrackError> {
    let Ok(entry) = config.get_entry("core.hooksPath") else { return Ok(None) };
    let own = matches!(entry.level(), ConfigLevel::Local | ConfigLevel::Worktree | ConfigLevel::App);
    Ok(Some((config.get_path("core.hooksPath")?, own)))
}

fn put_hook(path: &Path, hook: &str, project: &str) -> Result<Done, TrackError> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => Some(meta),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(TrackError::io("read", path)(error)),
    };
    let call = format!("stagewright hook {hook} \"$@\"");
    let by_hand = |why: &str| Ok(Done::Left(format!("{why}; have it run: {call}")));
    match &meta {
        Some(meta) if meta.is_symlink() => return by_hand("it is a link to a file of somebody else"),
        Some(meta) if meta.permissions().mode() & 0o111 == 0 => {
            return by_hand("it is there and not executable, so git does not run it");
        }
        _ => {}
    }
    let old = read(path)?;
    if !old.is_empty() && !is_shell(&old) {
        return by_hand("it is a program of another language than the shell's");
    }
    let text = if old.is_empty() { SHELL } else { &old };
    let after = if text.starts_with("#!") { 1 } else { 0 };
    let new = block::put(text, project, &lines(hook, project), after);
    if new == old {
        return Ok(Done::Same);
    }
    make_parent(path)?;
    write_whole(path, &new)?;
    if meta.is_none() {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path, mode).map_err(TrackError::io("protect", path))?;
    }
    Ok(Done::Written)
}

/// What a hook does.
fn lines(hook: &str, project: &str) -> String {
    let folder = match project {
        "" => String::new(),
        project => format!(" -C '{}'", project.replace('\'', "'\\''")),
    };
    // A push without its data would leave others with pointers to nothing.
    let absent = match hook {
        "pre-push" => {
            "\n  echo 'stagewright is not in PATH, so the data of this push would stay behind' >&2\n  exit 1"
        }
        _ => "\n  echo 'stagewright is not in PATH, so data and results were not looked after' >&2",
    };
    format!(
        "if command -v stagewright >/dev/null 2>&1; then\n  stagewright{folder} hook {hook} \"$@\" </dev/null || exit $?\nelse{absent}\nfi\n"
    )
}

fn is_shell(text: &str) -> bool {
    let Some(first) = text.lines().next().and_then(|line| line.strip_prefix("#!")) else { return true };
    let mut words = first.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
    let program = match words.next() {
        Some("env") => words.next(),
        program => program,
    };
    program.is_some_and(|program| ["sh", "bash", "dash", "zsh", "ksh", "ash"].contains(&program))
}

fn read(path: &Path) -> Result<String, TrackError> {
    match fs::read(path) {
        Ok(bytes) => {
            String::from_utf8(bytes).map_err(|_| TrackError::Git(format!("{} is no text", path.display())))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(TrackError::io("read", path)(error)),
    }
}

fn make_parent(path: &Path) -> Result<(), TrackError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(TrackError::io("create", folder))
}

/// True when it had another value.
fn set_text(config: &mut Config, key: &str, value: &str) -> Result<bool, TrackError> {
    if config.get_string(key).is_ok_and(|known| known == value) {
        return Ok(false);
    }
    config.set_str(key, value)?;
    Ok(true)
}

/// The headings of our own sections, where nothing stands under them any more.
fn drop_empty_sections(path: &Path) -> Result<(), TrackError> {
    let old = read(path)?;
    let lines: Vec<&str> = old.split_inclusive('\n').collect();
    let ours: Vec<String> = DRIVERS.iter().map(|(name, ..)| format!("[merge \"{name}\"]")).collect();
    let is_empty = |index: usize| {
        let next = lines[index + 1..].iter().find(|line| !line.trim().is_empty());
        next.is_none_or(|line| line.trim_start().starts_with('['))
    };
    let kept = lines
        .iter()
        .enumerate()
        .filter(|(index, line)| !(ours.iter().any(|section| line.trim() == section) && is_empty(*index)));
    let new: String = kept.map(|(_, line)| *line).collect();
    if new != old {
        write_whole(path, &new)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_are_told_from_other_programs() {
        for shell in ["echo", "#!/bin/sh", "#!/bin/bash -e", "#!/usr/bin/env bash", "#! /usr/bin/env zsh"] {
            assert!(is_shell(shell), "{shell}");
        }
        for other in ["#!/usr/bin/python3", "#!/usr/bin/env node", "#!", "#!/usr/bin/env"] {
            assert!(!is_shell(other), "{other}");
        }
    }
}
