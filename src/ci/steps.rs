//! The steps that jobs are made of, and the actions they use, pinned.

use super::{
    target::{Access, Target},
    workflow::{Permission, Step, Work},
};

/// An action of somebody else.
struct Pinned {
    action: &'static str,
    version: &'static str,
}

const CHECKOUT: Pinned =
    Pinned { action: "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683", version: "v4.2.2" };
const AWS: Pinned = Pinned {
    action: "aws-actions/configure-aws-credentials@ececac1a45f3b08a01d2dd070d28d111c5fe6722",
    version: "v4.1.0",
};

/// The event is a pull request.
pub(super) const IS_PULL_REQUEST: &str = "github.event_name == 'pull_request'";
/// The event is none.
pub(super) const IS_OURS: &str = "github.event_name != 'pull_request'";
/// A pull request whose branch is in this repository. One from a fork gets no identity, no secret, and no right to write.
pub(super) const IS_NO_FORK: &str = "github.event.pull_request.head.repo.full_name == github.repository";

pub(super) const READ_CODE: Permission =
    Permission { scope: "contents", level: "read", reason: "to check the repository out" };
pub(super) const IDENTITY: Permission =
    Permission { scope: "id-token", level: "write", reason: "to assume the role that may use the remote" };
pub(super) const COMMENT: Permission =
    Permission { scope: "pull-requests", level: "write", reason: "to write the comment with the results" };

pub(super) const WRITE_CODE: Permission = Permission {
    scope: "contents",
    level: "write",
    reason: "to check the repository out and commit the lock file",
};

/// What a job may do to the remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Read,
    Write,
}

impl Right {
    fn word(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
        }
    }
}

fn uses(name: &str, pinned: &Pinned, with: &[(&str, String)]) -> Step {
    Step {
        name: name.to_owned(),
        id: None,
        condition: None,
        env: Vec::new(),
        work: Work::Uses {
            action: pinned.action.to_owned(),
            version: Some(pinned.version),
            with: owned(with),
        },
    }
}

fn owned(pairs: &[(&str, String)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// A line for the shell.
pub(super) fn run(name: &str, line: String) -> Step {
    Step { name: name.to_owned(), id: None, condition: None, env: Vec::new(), work: Work::Run(line) }
}

/// What stands before the work of each job: the repository, access to the remote, the program, versioned data.
pub(super) fn begin(target: &Target<'_>, right: Right, forks: bool) -> Vec<Step> {
    let mut steps = vec![uses("Check out", &CHECKOUT, &[("persist-credentials", "false".to_owned())])];
    if let Access::Aws { region } = &target.access {
        let region = region.clone().unwrap_or_else(|| "${{ vars.AWS_REGION }}".to_owned());
        let role = format!("${{{{ vars.STAGEWRIGHT_{}_ROLE }}}}", right.word());
        let mut step = uses("Assume the role", &AWS, &[("role-to-assume", role), ("aws-region", region)]);
        step.condition = forks.then(|| IS_NO_FORK.to_owned());
        steps.push(step);
    }
    steps.push(Step {
        name: "Set up Stagewright".to_owned(),
        id: None,
        condition: None,
        env: Vec::new(),
        work: Work::Uses {
            action: target.action.clone(),
            version: None,
            with: vec![("setup-only".to_owned(), "true".to_owned())],
        },
    });
    if target.data {
        let mut step = run("Get versioned data", format!("stagewright pull --data{}", target.remote_name()));
        step.env = credentials(target, right);
        steps.push(step);
    }
    steps
}

/// Commits the lock file of a DVC pipeline where it changed. A push with the job's own token starts no workflow, so this one is not
/// started again; if the branch has moved on, the run of its new commit brings the lock file up to date.
pub(super) fn commit_lock(lock: &str, branch: &str) -> Step {
    const LINES: &str = r#"git add --force -- "$LOCK"
git diff --cached --quiet -- "$LOCK" && exit 0
git -c user.name='github-actions[bot]' -c user.email='41898282+github-actions[bot]@users.noreply.github.com' \
  commit --quiet --message "Bring $LOCK up to date [skip ci]" -- "$LOCK"
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=http.extraHeader
GIT_CONFIG_VALUE_0="Authorization: Basic $(printf 'x-access-token:%s' "$GITHUB_TOKEN" | base64 --wrap=0)"
export GIT_CONFIG_VALUE_0
git push --quiet "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY.git" "HEAD:refs/heads/$BRANCH" \
  || echo "::warning title=Lock file::$BRANCH has moved on; the run of its new commit brings $LOCK up to date""#;
    let mut step = run("Commit the lock file", LINES.to_owned());
    step.condition = Some(format!("success() && github.ref == 'refs/heads/{branch}'"));
    step.env = owned(&[
        ("GITHUB_TOKEN", "${{ github.token }}".to_owned()),
        ("LOCK", lock.to_owned()),
        ("BRANCH", branch.to_owned()),
    ]);
    step
}

/// Variables by which a step gets at the remote, where the role is not enough.
pub(super) fn credentials(target: &Target<'_>, right: Right) -> Vec<(String, String)> {
    if target.access != Access::Secrets {
        return Vec::new();
    }
    let secret = |what: &str| format!("${{{{ secrets.STAGEWRIGHT_{}_{what} }}}}", right.word());
    owned(&[("AWS_ACCESS_KEY_ID", secret("KEY_ID")), ("AWS_SECRET_ACCESS_KEY", secret("KEY"))])
}

/// A path or name as one word of the shell.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=@:+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
