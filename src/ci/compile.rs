//! The jobs of a pipeline → a workflow.

use std::{collections::BTreeSet, time::Duration};

use super::{
    CiError, StageJob,
    jobs::{PLAN, PULL_REQUEST, REPORT},
    steps::{
        COMMENT, IS_NO_FORK, IS_OURS, IS_PULL_REQUEST, Right, begin, commit_lock, credentials, run, word,
    },
    target::{Access, Shape, Target, is_hosted},
    workflow::{Job, Workflow},
};
use crate::plan::Plan;

/// Most jobs of a workflow: what GitHub starts for a matrix, taken for all together.
const MOST_JOBS: usize = 256;
/// Minutes that a job may take on a runner of GitHub.
const HOSTED: u64 = 6 * 60;
/// Minutes that a job may take on a runner of one's own.
const OWN: u64 = 5 * 24 * 60;
/// Minutes of a job that are not the stage's: to set up, to fetch, to stop in order, to push.
const MARGIN: u64 = 15;
/// Minutes for a job that decides or reports.
const SHORT: u64 = 30;

/// The workflow of a pipeline.
pub fn workflow(plan: &Plan, jobs: &[StageJob], target: &Target<'_>) -> Result<Workflow, CiError> {
    if !is_pinned(&target.action) {
        return Err(CiError::NotPinned { action: target.action.clone() });
    }
    if let Some(action) = plan.actions.iter().find(|action| action.frozen) {
        return Err(CiError::Frozen { stage: action.id.to_string(), line: action.line });
    }
    if let Some(remote) = target.remote.filter(|remote| !remote.write) {
        return Err(CiError::ReadOnly { remote: remote.name.to_string() });
    }
    let all = match target.shape {
        Shape::Single => single(jobs, target)?,
        Shape::Staged => staged(plan, jobs, target)?,
    };
    let stages: usize = jobs.iter().map(|job| job.stages.len()).sum();
    let count = if target.shape == Shape::Staged { stages + all.len() - jobs.len() } else { all.len() };
    if count > MOST_JOBS {
        return Err(CiError::TooManyJobs { jobs: count, limit: MOST_JOBS });
    }
    Ok(Workflow {
        header: vec![
            format!("Made of {} by Stagewright: change that file, not this one. Again:", target.pipeline),
            format!("  {}", target.command),
            "With --check at its end the command says whether this file is up to date.".to_owned(),
        ],
        name: plan.name.clone(),
        branch: target.branch.clone(),
        concurrency: format!("stagewright-{}-${{{{ github.ref }}}}", plan.name),
        folder: target.folder.clone(),
        // Without a role, the chain of credentials would wait for a machine's identity that is not there.
        env: match target.access {
            Access::Free => Vec::new(),
            Access::Aws { .. } | Access::Secrets => {
                vec![("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned())]
            }
        },
        jobs: all,
    })
}

/// In the repository itself (`$/`, which needs no checkout, or `./`), or at a commit.
fn is_pinned(action: &str) -> bool {
    action.starts_with("$/")
        || action.starts_with("./")
        || action.rsplit_once('@').is_some_and(|(_, commit)| {
            commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

fn single(jobs: &[StageJob], target: &Target<'_>) -> Result<Vec<Job>, CiError> {
    let runners: BTreeSet<&Vec<String>> =
        jobs.iter().map(|job| &job.runs_on).filter(|labels| !labels.is_empty()).collect();
    let mut runners = runners.into_iter();
    let runner = runners.next().unwrap_or(&target.runner);
    if let Some(other) = runners.next() {
        return Err(CiError::SeveralRunners { one: runner.clone(), other: other.clone() });
    }
    for job in jobs {
        minutes(job, runner)?;
    }
    let push = if target.remote.is_some() { " --push" } else { "" };
    let limit = if is_hosted(runner) { HOSTED } else { OWN };
    let mut work = run(
        "Run",
        format!(
            "stagewright run {}{}{push} --stop-after {}m",
            word(&target.pipeline),
            target.look_up(),
            limit - MARGIN
        ),
    );
    work.env = credentials(target, Right::Write);
    work.env.extend(secrets(jobs.iter()));
    let mut steps = begin(target, Right::Write, false);
    steps.push(work);
    steps.extend(target.lock.as_deref().map(|lock| commit_lock(lock, &target.branch)));
    let all = Job {
        id: "run".to_owned(),
        name: "All stages".to_owned(),
        needs: Vec::new(),
        condition: Some(IS_OURS.to_owned()),
        runs_on: runner.clone(),
        timeout_minutes: limit,
        permissions: target.last_permissions(),
        matrix: None,
        continue_on_error: false,
        outputs: Vec::new(),
        steps,
    };
    let here: Vec<&StageJob> = jobs.iter().collect();
    Ok(std::iter::once(all).chain(pull_request(&here, jobs.len(), runner, target)).collect())
}

fn staged(plan: &Plan, jobs: &[StageJob], target: &Target<'_>) -> Result<Vec<Job>, CiError> {
    if target.remote.is_none() {
        return Err(CiError::NoRemote);
    }
    shareable(plan, jobs)?;
    let pipeline = word(&target.pipeline);
    let mut decide =
        run("Decide what is to run", format!("stagewright ci plan {pipeline}{}", target.look_up()));
    decide.id = Some("plan");
    decide.env = credentials(target, Right::Read);
    let mut steps = begin(target, Right::Read, false);
    steps.push(decide);
    let mut all = vec![Job {
        id: PLAN.to_owned(),
        name: "Plan".to_owned(),
        needs: Vec::new(),
        condition: Some(IS_OURS.to_owned()),
        runs_on: target.runner.clone(),
        timeout_minutes: SHORT,
        permissions: target.permissions(),
        matrix: None,
        continue_on_error: false,
        outputs: ["jobs", "stages"]
            .map(|name| (name.to_owned(), format!("steps.plan.outputs.{name}")))
            .into(),
        steps,
    }];
    for job in jobs {
        all.push(stage(job, target)?);
    }
    all.push(report(jobs, target));
    let here = on_default_runner(jobs);
    all.extend(pull_request(&here, jobs.len(), &target.runner, target));
    Ok(all)
}

/// Refuses stages that can't be a job of their own.
fn shareable(plan: &Plan, jobs: &[StageJob]) -> Result<(), CiError> {
    let asks = |action: &crate::plan::Action| {
        let condition = action.condition.as_ref()?;
        let measured: BTreeSet<_> = condition.metrics().into_iter().map(|(stage, _)| stage).collect();
        let others = condition.asks.iter().any(|stage| !measured.contains(stage));
        (condition.asks_status || others).then(|| condition.text.clone())
    };
    for action in &plan.actions {
        if let Some(condition) = asks(action) {
            return Err(CiError::AsksStatus { stage: action.id.to_string(), line: action.line, condition });
        }
    }
    for job in jobs.iter().filter(|job| !job.reusable) {
        if let Some(reader) = jobs.iter().find(|other| other.needs.contains(&job.id)) {
            let (stage, reader) = (job.stage.clone(), reader.stage.clone());
            return Err(CiError::NotReusable { stage, line: job.line, reader });
        }
    }
    Ok(())
}

fn stage(job: &StageJob, target: &Target<'_>) -> Result<Job, CiError> {
    let runner = if job.runs_on.is_empty() { &target.runner } else { &job.runs_on };
    let limit = minutes(job, runner)?;
    // A stage without a limit of its own is stopped while there is time to keep what it has done.
    let stop = match job.timeout {
        Some(_) => String::new(),
        None => format!(" --stop-after {}m", limit - MARGIN),
    };
    let named = if job.is_matrix() { "\"$STAGE\"".to_owned() } else { word(&job.stage) };
    let line =
        format!("stagewright run {} --only {named}{} --push{stop}", word(&target.pipeline), target.look_up());
    let mut work = run("Run", line);
    if job.is_matrix() {
        work.env.push(("STAGE".to_owned(), "${{ matrix.stage }}".to_owned()));
    }
    work.env.extend(credentials(target, Right::Write));
    work.env.extend(secrets(std::iter::once(job)));
    let mut steps = begin(target, Right::Write, false);
    steps.push(work);
    let name = if job.is_matrix() { "${{ matrix.stage }}".to_owned() } else { job.stage.clone() };
    Ok(Job {
        id: job.id.clone(),
        name,
        needs: std::iter::once(PLAN.to_owned()).chain(job.needs.iter().cloned()).collect(),
        // A job before it that was not needed is skipped, and is no reason to skip this one.
        condition: Some(format!(
            "!failure() && !cancelled() && contains(fromJSON(needs.plan.outputs.jobs || '[]'), '{}')",
            job.id
        )),
        runs_on: runner.clone(),
        timeout_minutes: limit,
        permissions: target.permissions(),
        matrix: job.is_matrix().then(|| format!("fromJSON(needs.plan.outputs.stages)['{}']", job.id)),
        continue_on_error: job.continue_on_error,
        outputs: Vec::new(),
        steps,
    })
}

/// The job that puts everything together: all results are there, so it runs nothing, asks the targets, tells of
/// the whole, and leaves the metrics for pull requests.
fn report(jobs: &[StageJob], target: &Target<'_>) -> Job {
    let shared: Vec<&str> = jobs.iter().filter(|job| job.reusable).map(|job| job.stage.as_str()).collect();
    let only = only(&shared, jobs.len());
    let mut work = run(
        "Report",
        format!(
            "stagewright run {}{only}{} --push --reuse-only --keep-going",
            word(&target.pipeline),
            target.look_up()
        ),
    );
    work.env = credentials(target, Right::Write);
    let mut steps = begin(target, Right::Write, false);
    steps.push(work);
    steps.extend(target.lock.as_deref().map(|lock| commit_lock(lock, &target.branch)));
    Job {
        id: REPORT.to_owned(),
        name: "Report".to_owned(),
        needs: std::iter::once(PLAN.to_owned()).chain(jobs.iter().map(|job| job.id.clone())).collect(),
        condition: Some("!cancelled() && needs.plan.result == 'success'".to_owned()),
        runs_on: target.runner.clone(),
        timeout_minutes: SHORT,
        permissions: target.last_permissions(),
        matrix: None,
        continue_on_error: false,
        outputs: Vec::new(),
        steps,
    }
}

/// The job for pull requests: it may come from anybody, so it reads what the branch has made and writes nothing, and it stays on the
/// machine for stages that ask for none.
fn pull_request(here: &[&StageJob], all: usize, runner: &[String], target: &Target<'_>) -> Option<Job> {
    if here.is_empty() {
        return None;
    }
    let names: Vec<&str> = here.iter().map(|job| job.stage.as_str()).collect();
    let only = only(&names, all);
    let limit = if is_hosted(runner) { HOSTED } else { OWN };
    let mut work = run(
        "Run",
        format!(
            "stagewright run {}{only}{} --stop-after {}m",
            word(&target.pipeline),
            target.look_up(),
            limit - MARGIN
        ),
    );
    work.env = credentials(target, Right::Read);
    if target.access != Access::Free {
        // Nobody gives a fork credentials, but a bucket may be there for all to read.
        work.env.push(("STAGEWRIGHT_UNSIGNED".to_owned(), format!("${{{{ !({IS_NO_FORK}) }}}}")));
    }
    work.env.extend(secrets(here.iter().copied()));
    let mut tell = run("Comment", "stagewright ci comment --post".to_owned());
    tell.condition = Some(format!("!cancelled() && {IS_NO_FORK}"));
    tell.env = vec![("GITHUB_TOKEN".to_owned(), "${{ github.token }}".to_owned())];
    let mut steps = begin(target, Right::Read, true);
    steps.push(work);
    steps.push(tell);
    // The code of strangers runs on machines of GitHub alone.
    let condition = if is_hosted(runner) {
        IS_PULL_REQUEST.to_owned()
    } else {
        format!("{IS_PULL_REQUEST} && {IS_NO_FORK}")
    };
    let mut permissions = target.permissions();
    permissions.push(COMMENT);
    Some(Job {
        id: PULL_REQUEST.to_owned(),
        name: "Pull request".to_owned(),
        needs: Vec::new(),
        condition: Some(condition),
        runs_on: runner.to_vec(),
        timeout_minutes: limit,
        permissions,
        matrix: None,
        continue_on_error: false,
        outputs: Vec::new(),
        steps,
    })
}

/// ` --only a,b`, where these are not all.
fn only(names: &[&str], all: usize) -> String {
    if names.len() == all { String::new() } else { format!(" --only {}", word_list(names)) }
}

fn word_list(names: &[&str]) -> String {
    names.iter().map(|name| word(name)).collect::<Vec<_>>().join(",")
}

/// Stages that ask for no machine of their own, and neither does anything they read.
fn on_default_runner(jobs: &[StageJob]) -> Vec<&StageJob> {
    let mut here: Vec<&StageJob> = Vec::new();
    for job in jobs {
        let needs_here = job.needs.iter().all(|need| here.iter().any(|other| other.id == *need));
        if job.runs_on.is_empty() && needs_here {
            here.push(job);
        }
    }
    here
}

fn secrets<'a>(jobs: impl Iterator<Item = &'a StageJob>) -> Vec<(String, String)> {
    let names: BTreeSet<&String> = jobs.flat_map(|job| &job.secrets).collect();
    names.into_iter().map(|name| (name.clone(), format!("${{{{ secrets.{name} }}}}"))).collect()
}

/// Minutes for the job of a stage.
fn minutes(job: &StageJob, runner: &[String]) -> Result<u64, CiError> {
    let limit = if is_hosted(runner) { HOSTED } else { OWN };
    // Without a word of the job GitHub takes this for both kinds of runners.
    let Some(timeout) = job.timeout else { return Ok(HOSTED) };
    let room = limit - MARGIN;
    let wanted = timeout.as_secs().div_ceil(60);
    if wanted > room {
        return Err(CiError::TooLong {
            stage: job.stage.clone(),
            line: job.line,
            wanted: timeout,
            limit: Duration::from_secs(room * 60),
            runner: runner.to_vec(),
        });
    }
    Ok((wanted * u64::from(job.attempts) + MARGIN).min(limit))
}
