//! Why a sweep can't be carried out.

use crate::{plan::SearchFault, project::ProjectError, run::RunError};

/// Why a sweep can't be carried out. A trial that fails is no such error.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The pipeline does not compile with the values of a trial.
    #[error("with {set}: {source}")]
    Trial {
        /// What was set.
        set: String,
        /// What is wrong.
        source: Box<ProjectError>,
    },
    /// A run could not be held or recorded.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Parts of the search do not fit together.
    #[error(transparent)]
    Search(#[from] SearchFault),
    /// More runs than anyone means.
    #[error("these values make {count} combinations; at most {most} are run at once")]
    TooMany {
        /// How many.
        count: usize,
        /// How many are allowed.
        most: usize,
    },
}
