//! A workflow of GitHub Actions as data, as far as one is generated here:
//! <https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax>.

/// A workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// Lines of the comment at its top.
    pub header: Vec<String>,
    /// Its name.
    pub name: String,
    /// A push to this branch starts it; so does a pull request, and a person.
    pub branch: String,
    /// Runs with the same name come one after the other.
    pub concurrency: String,
    /// Folder of the project in the repository; none for its root.
    pub folder: Option<String>,
    /// Variables of all jobs.
    pub env: Vec<(String, String)>,
    /// Its jobs, each after those it needs.
    pub jobs: Vec<Job>,
}

/// A job: steps on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What people see.
    pub name: String,
    /// Ids of jobs that come before.
    pub needs: Vec<String>,
    /// An expression without `${{ }}`; the job is skipped where it is false.
    pub condition: Option<String>,
    /// Labels of the machine.
    pub runs_on: Vec<String>,
    /// GitHub ends it after this many minutes.
    pub timeout_minutes: u64,
    /// What the job's token may do, with the reason.
    pub permissions: Vec<Permission>,
    /// An expression without `${{ }}` that gives the list of `matrix.stage`.
    pub matrix: Option<String>,
    /// Its failure does not fail the workflow.
    pub continue_on_error: bool,
    /// Outputs by name: expressions without `${{ }}`.
    pub outputs: Vec<(String, String)>,
    /// What it does.
    pub steps: Vec<Step>,
}

/// A right of a job's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// What it is about, such as `contents`.
    pub scope: &'static str,
    /// `read` or `write`.
    pub level: &'static str,
    /// What it is for.
    pub reason: &'static str,
}

/// A step of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What people see.
    pub name: String,
    /// By which outputs are named.
    pub id: Option<&'static str>,
    /// An expression without `${{ }}`.
    pub condition: Option<String>,
    /// Variables: texts, expressions with their `${{ }}`.
    pub env: Vec<(String, String)>,
    /// What is done.
    pub work: Work,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// An action.
    Uses {
        /// `owner/repo@commit`, or a folder of the repository.
        action: String,
        /// The release that the commit is, for people.
        version: Option<&'static str>,
        /// Its inputs.
        with: Vec<(String, String)>,
    },
    /// Lines for the shell. No expression stands in it: values come through variables, which the shell does not read as its own words.
    Run(String),
}
