//! What the variables of a job and the event that started it say.

use serde_json::Value;

use crate::config::GithubJob;

/// What a job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// `owner/name`.
    pub repository: String,
    /// Page of the workflow's run.
    pub run_url: String,
    /// Address of GitHub's interface for programs.
    pub api: String,
    /// What started it.
    pub event: Event,
}

/// What started a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A pull request.
    PullRequest(PullRequest),
    /// Anything else, on this branch or tag.
    Other {
        /// The branch or tag, without `refs/…/`.
        reference: String,
    },
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// The branch that it is to be merged into.
    pub base: String,
    /// Its branch is in another repository.
    pub fork: bool,
}

impl Context {
    /// Reads what a job says of itself; `event` is the text of the file that `GITHUB_EVENT_PATH` names.
    pub fn new(job: &GithubJob, event: &str) -> Self {
        let event: Value = serde_json::from_str(event).unwrap_or_default();
        let server = job.server.as_deref().unwrap_or("https://github.com");
        let repository = job.repository.clone().unwrap_or_default();
        let pull = &event["pull_request"];
        let event = match pull["number"].as_u64() {
            Some(number) => Event::PullRequest(PullRequest {
                number,
                base: pull["base"]["ref"]
                    .as_str()
                    .map(str::to_owned)
                    .or(job.base.clone())
                    .unwrap_or_default(),
                fork: pull["head"]["repo"]["full_name"].as_str() != Some(repository.as_str()),
            }),
            None => Event::Other { reference: job.reference.clone().unwrap_or_default() },
        };
        Self {
            run_url: format!("{server}/{repository}/actions/runs/{}", job.run.as_deref().unwrap_or_default()),
            api: job.api.clone().unwrap_or_else(|| "https://api.github.com".to_owned()),
            repository,
            event,
        }
    }
}
