//! Why a pipeline has no workflow.

use std::time::Duration;

/// Why a pipeline has no workflow, or a job cannot be told something.
#[derive(Debug, thiserror::Error)]
pub enum CiError {
    /// More jobs than GitHub starts for one workflow.
    #[error("the workflow would have {jobs} jobs, and GitHub starts {limit} at most")]
    TooManyJobs {
        /// How many.
        jobs: usize,
        /// The limit.
        limit: usize,
    },
    /// A stage may take longer than GitHub lets a job take.
    #[error("`{stage}` (line {line}) may take {}, and a job on {} leaves a stage {}", hours(*.wanted), .runner.join(", "), hours(*.limit))]
    TooLong {
        /// The declared stage.
        stage: String,
        /// Its line in the pipeline file.
        line: usize,
        /// Its `timeout-minutes`.
        wanted: Duration,
        /// What a stage may take, so that a job has time left for what stands around it.
        limit: Duration,
        /// Labels of the runner.
        runner: Vec<String>,
    },
    /// Stages that ask for different machines, in one job.
    #[error("one job has one machine, and stages ask for {} and for {}", .one.join(", "), .other.join(", "))]
    SeveralRunners {
        /// Labels of some.
        one: Vec<String>,
        /// Labels of others.
        other: Vec<String>,
    },
    /// A stage whose condition asks how others ended.
    #[error(
        "`{stage}` (line {line}) asks `if: {condition}`, how other stages ended, which a job of its own can't know"
    )]
    AsksStatus {
        /// The declared stage.
        stage: String,
        /// Its line in the pipeline file.
        line: usize,
        /// As written.
        condition: String,
    },
    /// A stage whose result is never reused, read by another one.
    #[error(
        "`{reader}` reads `{stage}` (line {line}), whose result is never reused, so no other job can have it"
    )]
    NotReusable {
        /// The declared stage.
        stage: String,
        /// Its line in the pipeline file.
        line: usize,
        /// A stage that reads it.
        reader: String,
    },
    /// A stage that keeps its last result, of which a fresh machine has none.
    #[error(
        "`{stage}` (line {line}) is frozen: it keeps the last result of its machine, and a runner starts without any"
    )]
    Frozen {
        /// The declared stage.
        stage: String,
        /// Its line in the pipeline file.
        line: usize,
    },
    /// Combinations of matrices need each other crosswise.
    #[error("the combinations of `{}` need each other crosswise, so a job for each declared stage has no order", .stages.join("`, `"))]
    Circle {
        /// The declared stages.
        stages: Vec<String>,
    },
    /// No remote, and separate jobs share nothing else.
    #[error("a job for each stage shares data through a remote, and this project has none")]
    NoRemote,
    /// A remote that no push is allowed to.
    #[error("jobs have to write to the remote `{remote}`, and `write = false` forbids it")]
    ReadOnly {
        /// The remote.
        remote: String,
    },
    /// A remote whose results do not count.
    #[error("jobs reuse results of the remote `{remote}`, and `results = \"ignore\"` forbids it")]
    Ignored {
        /// The remote.
        remote: String,
    },
    /// A remote that runners of GitHub cannot reach.
    #[error("the remote `{remote}` is a folder, which the runner {} does not have", .runner.join(", "))]
    FolderRemote {
        /// The remote.
        remote: String,
        /// Labels of the runner.
        runner: Vec<String>,
    },
    /// A remote on a server for which GitHub has no short-lived credentials.
    #[error("the remote `{remote}` is at {endpoint}, which takes no identity of GitHub")]
    NoIdentity {
        /// The remote.
        remote: String,
        /// Its server.
        endpoint: String,
    },
    /// The action is not pinned.
    #[error(
        "the action `{action}` is not pinned: who moves its tag or branch decides what runs with the jobs' credentials"
    )]
    NotPinned {
        /// As given.
        action: String,
    },
    /// The answer of GitHub to a request.
    #[error("GitHub refused to {action}: {status} {reason}")]
    Refused {
        /// What was tried.
        action: String,
        /// Status of the answer.
        status: u16,
        /// What it said.
        reason: String,
    },
    /// No answer of GitHub.
    #[error("cannot {action}: {reason}")]
    NoAnswer {
        /// What was tried.
        action: String,
        /// Why not.
        reason: String,
    },
}

fn hours(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}

impl CiError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooManyJobs { .. } => "`--shape single` runs all stages in one job",
            Self::TooLong { .. } => {
                "a stage that saves checkpoints goes on in the next run: give it a shorter `timeout-minutes`; a runner of your own \
                 (`runs-on: [self-hosted, …]`) may take 5 days"
            }
            Self::SeveralRunners { .. } => "`--shape staged` makes a job of each stage",
            Self::AsksStatus { .. } => "`--shape single` runs all stages in one job",
            Self::NotReusable { .. } => {
                "drop `cache: false` (or `always: true`) there, or use `--shape single`, which runs all stages in one job"
            }
            Self::Frozen { .. } => "remove `frozen`; the remote keeps its result as it does any other",
            Self::Circle { .. } => "`--shape single` runs all stages in one job",
            Self::NoRemote => {
                "`stagewright remote add NAME s3://bucket/prefix` names one; `--shape single` does without"
            }
            Self::ReadOnly { .. } | Self::Ignored { .. } => {
                "name another remote with `--remote NAME`; the credentials decide who may write"
            }
            Self::FolderRemote { .. } => {
                "use a remote that runners reach (`s3://…`), or runners of your own that share the folder: `--runner self-hosted`"
            }
            Self::NoIdentity { .. } => {
                "`--credentials secrets` takes keys from the repository's secrets STAGEWRIGHT_WRITE_KEY_ID, STAGEWRIGHT_WRITE_KEY and the \
                 same with READ"
            }
            Self::NotPinned { .. } => "write the commit: `--action OWNER/REPO@<40 hex digits>`",
            Self::Refused { status: 401 | 403, .. } => {
                "the token needs `pull-requests: write`; a pull request from a fork never gets it"
            }
            Self::Refused { .. } | Self::NoAnswer { .. } => "the same text is in the job's summary",
        }
    }
}
