//! Releases: results of a run that are meant to be deployed, under a name.
//!
//! A release is an annotated tag of the commit that the pipeline ran from. Its message ends in a line `Stagewright-Release: 1` and the
//! [`Manifest`] as JSON, so that `git push --tags` shares it, a signature of the tag covers it, and every clone can read it. What it
//! names stays in the store, whatever its age ([`pinned`]).

mod error;
mod manifest;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, path::Path};

pub use error::ReleaseError;
use git2::{ErrorCode, ObjectType, Repository};
use jiff::Timestamp;
pub use manifest::{MANIFEST_VERSION, Manifest, ReleasedStage};

use crate::{
    plan::{ActionKey, StageId},
    record::{RunOutcome, RunRecord, RunState},
};

/// A release in the repository.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// The commit it is of.
    pub commit: String,
    /// Who made it, as git knows them.
    pub tagger: Option<String>,
    /// What they said.
    pub message: String,
    /// What it consists of.
    pub manifest: Manifest,
}

/// All releases, and those that can't be read.
#[derive(Debug, Default)]
pub struct Releases {
    /// In the order in which they were made.
    pub all: Vec<Release>,
    /// Tags that say they are releases.
    pub broken: Vec<ReleaseError>,
}

/// What is to be released.
#[derive(Debug)]
pub struct Request<'a> {
    /// Name of the release and its tag.
    pub name: &'a str,
    /// The run.
    pub record: &'a RunRecord,
    /// Ids of the stages whose outputs are released, or of a matrix for all of it.
    pub stages: &'a [String],
    /// The user's words.
    pub message: &'a str,
    /// Release also what ran from files that differ from the commit.
    pub dirty: bool,
}

fn repository(root: &Path) -> Result<Repository, ReleaseError> {
    Repository::discover(root).map_err(|error| match error.code() {
        ErrorCode::NotFound => ReleaseError::NoRepository,
        _ => error.into(),
    })
}

/// Makes a release: an annotated tag on the commit that the run was made from.
pub fn create(root: &Path, request: &Request<'_>) -> Result<Release, ReleaseError> {
    let name = request.name;
    let repository = repository(root)?;
    if !git2::Reference::is_valid_name(&format!("refs/tags/{name}")) || name.starts_with('-') {
        return Err(ReleaseError::Name { name: name.to_owned() });
    }
    if repository.find_reference(&format!("refs/tags/{name}")).is_ok() {
        return Err(ReleaseError::Exists { name: name.to_owned() });
    }
    let commit = releasable(request)?;
    let manifest = Manifest::of(name, request.record, delivered(request)?, Timestamp::now());
    let message = manifest.message(request.message)?;
    let object = git2::Oid::from_str(&commit)
        .and_then(|id| repository.find_object(id, Some(ObjectType::Commit)))
        .map_err(|_| ReleaseError::Run {
            run: request.record.run,
            reason: format!("was made from commit {commit}, which is not in this repository"),
            hint: "fetch it, or run the pipeline from a commit that is here".to_owned(),
        })?;
    let tagger = repository.signature().map_err(|_| ReleaseError::Nobody)?;
    repository.tag(name, &object, &tagger, &message, false)?;
    let (message, manifest) = match Manifest::read(name, &message) {
        Some(read) => read?,
        None => {
            return Err(ReleaseError::Format {
                name: name.to_owned(),
                reason: "it has no manifest".to_owned(),
            });
        }
    };
    Ok(Release { commit, tagger: named(&tagger), message, manifest })
}

/// The commit of a run that may be released.
fn releasable(request: &Request<'_>) -> Result<String, ReleaseError> {
    let record = request.record;
    let refuse = |reason: &str, hint: &str| {
        Err(ReleaseError::Run { run: record.run, reason: reason.to_owned(), hint: hint.to_owned() })
    };
    match record.state {
        RunState::Ended(RunOutcome::Succeeded) => {}
        RunState::Ended(RunOutcome::GateFailed) => {
            return refuse(
                "failed a gate or target",
                "`stagewright show` says which; a release is made of a run that passed all",
            );
        }
        RunState::Ended(_) => return refuse("did not succeed", "choose another one with `--run`"),
        RunState::Running => return refuse("is still going on", "wait for its end"),
        RunState::Interrupted => return refuse("was interrupted", "`stagewright run` brings it to its end"),
    }
    let git = record.git.as_ref();
    let Some(commit) = git.and_then(|git| git.commit.clone()) else {
        return refuse(
            "was not made from a commit",
            "commit the pipeline, then run it again: it is all cache hits",
        );
    };
    if git.is_some_and(|git| git.dirty) && !request.dirty {
        return refuse(
            "was made from files that differ from their commit",
            "commit them and run again, which is all cache hits, or say `--allow-dirty`; the release tells of it then",
        );
    }
    Ok(commit)
}

/// The stages meant, in the order of the run.
fn delivered(request: &Request<'_>) -> Result<Vec<StageId>, ReleaseError> {
    let with_result: Vec<&StageId> = request
        .record
        .stages
        .iter()
        .filter(|stage| stage.key.is_some() && stage.made_in.is_some())
        .map(|stage| &stage.stage)
        .collect();
    let means =
        |name: &str, id: &StageId| id.0 == name || id.0.split_once('[').is_some_and(|(base, _)| base == name);
    for name in request.stages {
        if !with_result.iter().any(|id| means(name, id)) {
            return Err(ReleaseError::Stage {
                run: request.record.run,
                stage: name.clone(),
                known: with_result.iter().map(|id| id.0.clone()).collect(),
            });
        }
    }
    let wanted = |id: &&&StageId| request.stages.iter().any(|name| means(name, id));
    Ok(with_result.iter().filter(wanted).map(|id| (*id).clone()).collect())
}

fn named(who: &git2::Signature<'_>) -> Option<String> {
    let name = who.name().ok()?;
    Some(who.email().map_or_else(|_| name.to_owned(), |email| format!("{name} <{email}>")))
}

/// All releases of the repository around a folder; none outside of one.
pub fn list(root: &Path) -> Result<Releases, ReleaseError> {
    match repository(root) {
        Ok(repository) => list_in(&repository),
        Err(ReleaseError::NoRepository) => Ok(Releases::default()),
        Err(error) => Err(error),
    }
}

fn list_in(repository: &Repository) -> Result<Releases, ReleaseError> {
    let mut found = Releases::default();
    let names = repository.tag_names(None)?;
    for name in names.iter().filter_map(Result::ok).flatten() {
        let reference = repository.find_reference(&format!("refs/tags/{name}"))?;
        // A lightweight tag is none.
        let Ok(tag) = reference.peel_to_tag() else { continue };
        let message = tag.message().ok().flatten().unwrap_or_default();
        match Manifest::read(name, message) {
            None => {}
            Some(Err(error)) => found.broken.push(error),
            Some(Ok((message, manifest))) => found.all.push(Release {
                commit: tag.target_id().to_string(),
                tagger: tag.tagger().as_ref().and_then(named),
                message,
                manifest,
            }),
        }
    }
    found
        .all
        .sort_by(|a, b| (a.manifest.created, &a.manifest.name).cmp(&(b.manifest.created, &b.manifest.name)));
    Ok(found)
}

/// The release of this name.
pub fn find(root: &Path, name: &str) -> Result<Release, ReleaseError> {
    let mut found = list_in(&repository(root)?)?;
    if let Some(at) = found.all.iter().position(|release| release.manifest.name == name) {
        return Ok(found.all.swap_remove(at));
    }
    let broken = |error: &ReleaseError| matches!(error, ReleaseError::Format { name: of, .. } | ReleaseError::Newer { name: of, .. } if of == name);
    if let Some(at) = found.broken.iter().position(broken) {
        return Err(found.broken.swap_remove(at));
    }
    let known = found.all.iter().rev().map(|release| release.manifest.name.clone()).collect();
    Err(ReleaseError::Unknown { name: name.to_owned(), known })
}

/// The newest release among the ancestors of what is checked out, as `git describe` sees them. None outside of a repository.
pub fn last(root: &Path) -> Result<Option<Release>, ReleaseError> {
    let repository = match repository(root) {
        Ok(repository) => repository,
        Err(ReleaseError::NoRepository) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(head) = repository.head().ok().and_then(|head| head.target()) else { return Ok(None) };
    let is_ancestor = |release: &Release| {
        git2::Oid::from_str(&release.commit).is_ok_and(|commit| {
            commit == head || repository.graph_descendant_of(head, commit).unwrap_or(false)
        })
    };
    Ok(list_in(&repository)?.all.into_iter().rfind(is_ancestor))
}

/// Keys of the results that releases name: none of them is dropped from the store.
pub fn pinned(root: &Path) -> Result<BTreeSet<ActionKey>, ReleaseError> {
    let found = list(root)?;
    if let Some(error) = found.broken.into_iter().next() {
        // What it names is not known, so nothing can be told from what it does not.
        return Err(error);
    }
    Ok(found.all.iter().flat_map(|release| release.manifest.stages.values().map(|stage| stage.key)).collect())
}
