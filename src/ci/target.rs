//! What a workflow is to be like, and how its jobs get at the remote.

use super::{
    CiError,
    steps::{IDENTITY, READ_CODE, WRITE_CODE, word},
    workflow::Permission,
};
use crate::config::{RemoteSettings, RemoteUrl, Trust};

/// How stages are spread over jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All in one.
    Single,
    /// One a declared stage.
    Staged,
}

/// How jobs get at the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// They need nothing for it, or there is no remote.
    Free,
    /// A role of AWS that GitHub's identity may assume.
    Aws {
        /// Its region; none where a variable of the repository says it.
        region: Option<String>,
    },
    /// Keys in the repository's secrets.
    Secrets,
}

impl Access {
    /// How a remote is reached from these runners; `secrets`: by keys, where it takes no identity of GitHub.
    pub fn of(remote: Option<&RemoteSettings>, secrets: bool, runner: &[String]) -> Result<Self, CiError> {
        let Some(remote) = remote else { return Ok(Self::Free) };
        if remote.results == Trust::Ignore {
            return Err(CiError::Ignored { remote: remote.name.to_string() });
        }
        match (&remote.url, &remote.endpoint) {
            (RemoteUrl::Folder(_), _) if is_hosted(runner) => {
                Err(CiError::FolderRemote { remote: remote.name.to_string(), runner: runner.to_vec() })
            }
            (RemoteUrl::Folder(_), _) => Ok(Self::Free),
            (RemoteUrl::S3 { .. }, _) if secrets => Ok(Self::Secrets),
            (RemoteUrl::S3 { .. }, None) => Ok(Self::Aws { region: remote.region.clone() }),
            (RemoteUrl::S3 { .. }, Some(endpoint)) => {
                Err(CiError::NoIdentity { remote: remote.name.to_string(), endpoint: endpoint.clone() })
            }
        }
    }
}

/// What the workflow is for.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// How stages are spread.
    pub shape: Shape,
    /// The pipeline file, from the project's folder.
    pub pipeline: String,
    /// The command that makes the workflow again, for its header.
    pub command: String,
    /// Folder of the project in the repository; none for its root.
    pub folder: Option<String>,
    /// The branch whose runs write to the remote.
    pub branch: String,
    /// Labels of the machine for stages that name none.
    pub runner: Vec<String>,
    /// The action that installs the program: `owner/repo@commit`, or a folder of the repository as `$/folder`.
    pub action: String,
    /// Where jobs share results; none only for [`Shape::Single`].
    pub remote: Option<&'a RemoteSettings>,
    /// The remote is not the project's default one.
    pub named: bool,
    /// How jobs get at it.
    pub access: Access,
    /// The project has versioned data, which every job needs.
    pub data: bool,
    /// The lock file that is to be committed after a run of the branch, from the project's folder.
    pub lock: Option<String>,
}

impl Target<'_> {
    /// ` --remote=NAME`, for commands that take the default remote without it.
    pub(super) fn remote_name(&self) -> String {
        match self.remote {
            Some(remote) if self.named => format!(" --remote={}", word(&remote.name.to_string())),
            _ => String::new(),
        }
    }

    /// ` --remote` or ` --remote=NAME`; nothing where there is none.
    pub(super) fn look_up(&self) -> String {
        match self.remote {
            Some(_) if !self.named => " --remote".to_owned(),
            _ => self.remote_name(),
        }
    }

    /// What the job may do that has the whole run in hand.
    pub(super) fn last_permissions(&self) -> Vec<Permission> {
        let mut permissions = self.permissions();
        if self.lock.is_some() {
            permissions[0] = WRITE_CODE;
        }
        permissions
    }

    pub(super) fn permissions(&self) -> Vec<Permission> {
        let identity = matches!(self.access, Access::Aws { .. }).then_some(IDENTITY);
        std::iter::once(READ_CODE).chain(identity).collect()
    }
}

/// Whether GitHub's own machines answer to these labels.
pub(super) fn is_hosted(labels: &[String]) -> bool {
    !labels.iter().any(|label| label == "self-hosted")
}
