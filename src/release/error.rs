use crate::record::RunId;

/// Why a release can't be made or read.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The project is in no git repository.
    #[error("the project is in no git repository, and a release is a tag of one")]
    NoRepository,
    /// A name that git does not take for a tag.
    #[error("`{name}` can't be the name of a tag")]
    Name {
        /// The name.
        name: String,
    },
    /// There is a tag of that name.
    #[error("there is a tag `{name}` already")]
    Exists {
        /// The name.
        name: String,
    },
    /// There is no such release.
    #[error("there is no release `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// The releases there are, the newest first.
        known: Vec<String>,
    },
    /// The run can't be released.
    #[error("run {} {reason}", run.short())]
    Run {
        /// The run.
        run: RunId,
        /// Why not.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The run has no such stage with a result.
    #[error("run {} has no stage `{stage}` with a result", run.short())]
    Stage {
        /// The run.
        run: RunId,
        /// The name.
        stage: String,
        /// Stages that have results.
        known: Vec<String>,
    },
    /// The manifest in a tag can't be understood.
    #[error("the tag `{name}` holds no readable release: {reason}")]
    Format {
        /// The tag.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The manifest is of a later version.
    #[error("the release `{name}` has version {version}, which a later stagewright wrote")]
    Newer {
        /// The tag.
        name: String,
        /// Its version.
        version: u32,
    },
    /// A tag needs a tagger.
    #[error("git does not know who makes this release")]
    Nobody,
    /// git refused.
    #[error("git: {0}")]
    Git(String),
}

impl From<git2::Error> for ReleaseError {
    fn from(error: git2::Error) -> Self {
        Self::Git(error.message().to_owned())
    }
}
