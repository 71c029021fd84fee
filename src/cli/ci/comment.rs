//! `stagewright ci comment`.

use std::{path::Path, sync::Arc};

use clap::Args;
use stagewright::{
    ci::{self, Base, Context, Event, GithubComments, LONGEST_COMMENT, Posted, Summary},
    config::{Config, RemoteName, RemoteSettings},
    plan::StageId,
    record::{Outcome, RunName, RunRecord, find_run, read_run},
    remote::{RemoteError, Session},
    store::{ArtifactKind, LocalStore},
};

use super::super::{CliError, Exit, Scene, actions, transfer};

/// Reports of stages above this many bytes are left out of a summary.
const LARGEST_REPORT: u64 = 200_000;

/// Print the comment on a pull request that tells of a run, or post it
///
/// There is one comment for each pipeline: the first post makes it, later ones change it. In a job of a pull request its metrics
/// are compared with those that the last whole run of the base branch left in the remote.
#[derive(Args)]
pub struct CommentArgs {
    /// The run
    #[arg(long, value_name = "RUN", default_value = "last")]
    run: RunName,
    /// A run to compare metrics with, instead of the base branch's
    #[arg(long, value_name = "RUN", conflicts_with = "remote")]
    base: Option<RunName>,
    /// The remote that has the base branch's metrics [default: the default one]
    #[arg(long, value_name = "NAME")]
    remote: Option<RemoteName>,
    /// Post it to the pull request of this job, with the token in GITHUB_TOKEN
    #[arg(long)]
    post: bool,
}

pub fn run(scene: &Scene, args: &CommentArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let read = |name: &RunName| -> Result<RunRecord, CliError> {
        Ok(read_run(&config.state_dir, find_run(&config.state_dir, name)?)?)
    };
    let record = read(&args.run)?;
    let context = actions::context(scene);
    let base = match (&args.base, &context) {
        (Some(name), _) => Base::of(&read(name)?, &name.to_string()),
        (None, Some(Context { event: Event::PullRequest(pull), .. })) => {
            match config.remote(args.remote.as_ref()) {
                Ok(settings) => match base(&config, settings, &pull.base, &record.file) {
                    Ok(base) => base,
                    Err(error) => {
                        eprintln!("warning: the metrics of {} are not known: {error}", pull.base);
                        None
                    }
                },
                Err(error) if args.remote.is_some() => return Err(error.into()),
                Err(_) => None,
            }
        }
        (None, _) => None,
    };
    let store = LocalStore::open(&config.store_dir)?;
    let reports = reports(&record, &store);
    let summary =
        Summary { record: &record, base: base.as_ref(), reports: &reports, limit: LONGEST_COMMENT - 1000 };
    let link = context.as_ref().map(|context| context.run_url.as_str());
    let comment = ci::comment(&record.pipeline, &ci::summary(&summary), link);
    if !args.post {
        print!("{}", comment.body);
        return Ok(Exit::Success);
    }
    let Some(Context { api, repository, event: Event::PullRequest(pull), .. }) = context else {
        return Err(CliError::user("this is no job of a pull request, so there is nothing to comment on")
            .hint("without `--post` the comment is printed"));
    };
    let token = scene.environment.github.as_ref().and_then(|job| job.token.clone());
    let Some(token) = token else {
        return Err(CliError::user("GITHUB_TOKEN is not set, and a comment can't be posted without")
            .hint("give it to the step: `env: { GITHUB_TOKEN: ${{ github.token }} }`"));
    };
    let comments = GithubComments::new(&api, &repository, pull.number, token, config.ca_bundle.as_deref())?;
    let posted = transfer::block_on(ci::post(&comments, &comment))??;
    println!(
        "{}",
        match posted {
            Posted::Created => format!("commented on pull request {}", pull.number),
            Posted::Updated => format!("changed the comment on pull request {}", pull.number),
            Posted::Same => format!("the comment on pull request {} says so already", pull.number),
        }
    );
    Ok(Exit::Success)
}

/// Where a remote keeps the metrics of a branch's last whole run of a pipeline.
pub fn base_name(branch: &str, pipeline: &Path) -> String {
    format!("metrics/{branch}/{}.json", pipeline.display())
}

/// The metrics that a branch's last whole run left.
pub fn base(
    config: &Config,
    settings: &RemoteSettings,
    branch: &str,
    pipeline: &Path,
) -> Result<Option<Base>, RemoteError> {
    let name = base_name(branch, pipeline);
    let session = Session::open(settings, config, Arc::new(|_| {}));
    let found = transfer::block_on(session.document(&name));
    let bytes = found.unwrap_or(Ok(None))?;
    Ok(bytes.and_then(|bytes| Base::read(&bytes)))
}

/// What stages of a run reported in Markdown. A report that is not in the store any more is none.
pub fn reports(record: &RunRecord, store: &LocalStore) -> Vec<(StageId, String)> {
    let mut found = Vec::new();
    for stage in record.stages.iter().filter(|stage| stage.outcome.is_some_and(Outcome::is_success)) {
        for output in stage.outputs.values().filter(|output| output.artifact_type == "report/markdown") {
            let artifact = output.artifact;
            if artifact.kind != ArtifactKind::File || artifact.bytes > LARGEST_REPORT {
                continue;
            }
            if let Ok(bytes) = store.read(&artifact.digest) {
                found.push((stage.stage.clone(), String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }
    found
}
