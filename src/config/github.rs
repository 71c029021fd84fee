//! Variables that GitHub Actions sets in a job:
//! <https://docs.github.com/actions/reference/workflows-and-actions/variables>.

use std::{env, path::PathBuf};

/// What the variables of a job say, as they are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GithubJob {
    /// File that takes the job's summary: `GITHUB_STEP_SUMMARY`.
    pub summary: Option<PathBuf>,
    /// File that takes the step's outputs: `GITHUB_OUTPUT`.
    pub output: Option<PathBuf>,
    /// File with the event that started the workflow: `GITHUB_EVENT_PATH`.
    pub event: Option<PathBuf>,
    /// `owner/name`: `GITHUB_REPOSITORY`.
    pub repository: Option<String>,
    /// The branch or tag: `GITHUB_REF_NAME`.
    pub reference: Option<String>,
    /// The branch that a pull request is to be merged into: `GITHUB_BASE_REF`.
    pub base: Option<String>,
    /// Number of the workflow's run: `GITHUB_RUN_ID`.
    pub run: Option<String>,
    /// Address of the pages: `GITHUB_SERVER_URL`.
    pub server: Option<String>,
    /// Address of the interface for programs: `GITHUB_API_URL`.
    pub api: Option<String>,
    /// What requests to it are signed with: `GITHUB_TOKEN`.
    pub token: Option<String>,
}

impl GithubJob {
    /// Reads the variables of this process; none outside of a job.
    pub(super) fn read() -> Option<Self> {
        let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        (text("GITHUB_ACTIONS")? == "true").then(|| Self {
            summary: path("GITHUB_STEP_SUMMARY"),
            output: path("GITHUB_OUTPUT"),
            event: path("GITHUB_EVENT_PATH"),
            repository: text("GITHUB_REPOSITORY"),
            reference: text("GITHUB_REF_NAME"),
            base: text("GITHUB_BASE_REF"),
            run: text("GITHUB_RUN_ID"),
            server: text("GITHUB_SERVER_URL"),
            api: text("GITHUB_API_URL"),
            token: text("GITHUB_TOKEN"),
        })
    }
}
