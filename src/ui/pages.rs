//! What is asked for → the page.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use hyper::StatusCode;
use jiff::Timestamp;
use rayon::prelude::*;

use super::{UiError, route::Route, watch::runs_state};
use crate::{
    compare::Choice,
    config::Config,
    lineage::{self, Case, Ledger, Library, LineageError, Log, TrustPolicy},
    record::{RecordError, RunFollower, RunId, RunRecord, RunState, is_running, list_runs, read_run},
    release::{self, ReleaseError},
    report::{
        self, Gathering, Part, Pieces, ReleaseView, ReleasesView, RunReport, RunRow, RunsView, Site,
        Statements, escaped,
    },
    store::LocalStore,
};

/// Runs that one page lists.
const LISTED: usize = 1000;

/// The pages of a project. Everything is looked up when it is asked for; only what never changes is kept.
pub struct Pages {
    config: Config,
    store: LocalStore,
    project: String,
    /// Rows of runs that have ended.
    rows: Mutex<HashMap<RunId, Arc<RunRow>>>,
    /// The statements, with how the ledger looked when they were read.
    statements: Mutex<Option<(Stamp, Arc<Known>)>>,
}

/// Length of the ledger, and when it was written.
type Stamp = Option<(u64, SystemTime)>;

struct Known {
    ledger: Ledger,
    library: Library,
}

/// A page with its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) html: String,
}

/// Why there is no such page.
struct Problem {
    status: StatusCode,
    title: &'static str,
    message: String,
    hint: Option<String>,
}

impl Problem {
    fn missing(message: impl ToString) -> Self {
        Self { status: StatusCode::NOT_FOUND, title: "Not found", message: message.to_string(), hint: None }
    }

    fn broken(message: impl ToString) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            title: "Not readable",
            message: message.to_string(),
            hint: None,
        }
    }

    fn hint(self, hint: &str) -> Self {
        Self { hint: Some(hint.to_owned()), ..self }
    }
}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Self {
        match &error {
            RecordError::NoRun { .. } => {
                Self::missing(&error).hint("the list of runs has those that there are")
            }
            _ => Self::broken(&error),
        }
    }
}

impl From<LineageError> for Problem {
    fn from(error: LineageError) -> Self {
        match &error {
            LineageError::Unknown { .. } => Self::missing(&error)
                .hint("a stage by its name, or an artifact or file of the data by its SHA-256 or the first 8 digits of it"),
            LineageError::Ambiguous { .. } => Self::missing(&error).hint("say more digits of it"),
            _ => Self::broken(&error),
        }
    }
}

impl From<ReleaseError> for Problem {
    fn from(error: ReleaseError) -> Self {
        match &error {
            ReleaseError::Unknown { .. } | ReleaseError::NoRepository => Self::missing(&error),
            _ => Self::broken(&error),
        }
    }
}

impl Pages {
    /// The pages of a project. Its store is made if there is none yet.
    pub fn new(config: Config) -> Result<Self, UiError> {
        let store = LocalStore::open(&config.store_dir)?;
        let name = config.root.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(Self {
            project: name.unwrap_or_else(|| "project".to_owned()),
            config,
            store,
            rows: Mutex::default(),
            statements: Mutex::default(),
        })
    }

    /// The page that is asked for, or the one that says why there is none.
    /// `depth` is how many folders deep its address lies.
    pub(super) fn answer(&self, route: Option<&Route>, depth: usize) -> Answer {
        let made = match route {
            Some(route) => self.page(route),
            None => Err(Problem::missing("there is no such page")),
        };
        match made {
            Ok(html) => Answer { status: StatusCode::OK, html },
            Err(Problem { status, title, message, hint }) => {
                let site = self.site(Part::Runs, depth, None);
                let html = report::problem_page(title, &message, hint.as_deref(), Timestamp::now(), &site);
                Answer { status, html }
            }
        }
    }

    fn page(&self, route: &Route) -> Result<String, Problem> {
        match route {
            Route::Runs { before } => self.runs(*before),
            Route::Run { run, verify } => self.run(*run, *verify),
            Route::Compare { runs } => self.compare(runs),
            Route::Releases => self.releases(),
            Route::Release { name, verify } => self.release(name, *verify),
            Route::Lineage { of } => self.lineage(of.as_deref()),
            Route::RunChanges { .. } | Route::RunsChanges { .. } => {
                Err(Problem::missing("changes are told as events, and are no page"))
            }
        }
    }

    /// Reads what the first page shows.
    pub(super) fn read_ahead(&self) {
        // What is wrong is told by the page.
        drop(self.listed(None));
    }

    fn site(&self, part: Part, depth: usize, live: Option<String>) -> Site {
        Site { project: self.project.clone(), part, depth, live }
    }

    fn runs(&self, before: Option<RunId>) -> Result<String, Problem> {
        let view = self.listed(before)?;
        let mut site = self.site(Part::Runs, 0, None);
        // Older runs have ended.
        if before.is_none() {
            let state = runs_state(&report::runs_pieces(&view, &site));
            site.live = Some(format!("changes?state={}", escaped(&state)));
        }
        Ok(report::runs_page(&view, &site))
    }

    /// What can change in the newest list of runs; none while it can't be read.
    pub(super) fn runs_pieces(&self) -> Option<Pieces> {
        let view = self.listed(None).ok()?;
        Some(report::runs_pieces(&view, &self.site(Part::Runs, 0, None)))
    }

    fn listed(&self, before: Option<RunId>) -> Result<RunsView, Problem> {
        let mut runs = list_runs(&self.config.state_dir)?;
        let all = runs.len();
        runs.retain(|run| before.is_none_or(|before| *run <= before));
        runs.reverse();
        let older = runs.get(LISTED).copied();
        runs.truncate(LISTED);
        let read: Vec<(RunId, Result<Arc<RunRow>, RecordError>)> =
            runs.into_par_iter().map(|run| (run, self.row(run))).collect();
        let mut view = RunsView { made: Timestamp::now(), runs: Vec::new(), broken: Vec::new(), all, older };
        for (run, row) in read {
            match row {
                Ok(row) => view.runs.push(row),
                Err(error) => view.broken.push((run, error.to_string())),
            }
        }
        Ok(view)
    }

    fn row(&self, run: RunId) -> Result<Arc<RunRow>, RecordError> {
        if let Some(row) = held(&self.rows).get(&run) {
            return Ok(Arc::clone(row));
        }
        let record = read_run(&self.config.state_dir, run)?;
        let row = Arc::new(RunRow::of(&record));
        // What has ended stays as it is.
        if record.state != RunState::Running {
            held(&self.rows).insert(run, Arc::clone(&row));
        }
        Ok(row)
    }

    fn run(&self, run: RunId, verify: bool) -> Result<String, Problem> {
        if is_running(&self.config.state_dir, run)? {
            let mut follower = self.follow(run);
            follower.advance()?;
            if follower.record().state == RunState::Running {
                let site = self.live_site(run, follower.place());
                return Ok(report::run_page(&self.unfinished(follower.record()), Some(&site)));
            }
        }
        let record = read_run(&self.config.state_dir, run)?;
        let report = self.gather(&record, verify)?;
        Ok(report::run_page(&report, Some(&self.site(Part::Runs, 1, None))))
    }

    fn live_site(&self, run: RunId, place: u64) -> Site {
        self.site(Part::Runs, 1, Some(format!("../changes/{run}?from={place}")))
    }

    /// Follows a run's event log.
    pub(super) fn follow(&self, run: RunId) -> RunFollower {
        RunFollower::new(&self.config.state_dir, run)
    }

    /// What can change in the page of a run that goes on.
    pub(super) fn run_pieces(&self, record: &RunRecord, place: u64) -> Pieces {
        report::run_pieces(&self.unfinished(record), &self.live_site(record.run, place))
    }

    /// The report on a run that goes on. It has no statements yet.
    fn unfinished(&self, record: &RunRecord) -> RunReport {
        let from =
            Gathering { state_dir: &self.config.state_dir, store: &self.store, evidence: None, verify: None };
        report::gather(&from, record, Timestamp::now())
    }

    fn gather(&self, record: &RunRecord, verify: bool) -> Result<RunReport, Problem> {
        let known = self.known()?;
        let policy = self.policy()?;
        let case = Case {
            blobs: &self.store,
            log: Log::Ledger(&known.ledger),
            library: &known.library,
            policy: policy.as_ref(),
            // What has become of the data since is not the run's.
            sources: None,
            bytes: true,
        };
        let from = Gathering {
            state_dir: &self.config.state_dir,
            store: &self.store,
            evidence: Some(known.statements(policy.as_ref())),
            verify: verify.then_some(&case),
        };
        Ok(report::gather(&from, record, Timestamp::now()))
    }

    fn compare(&self, runs: &[RunId]) -> Result<String, Problem> {
        if runs.len() < 2 {
            let problem = Problem::missing("two or more runs are needed to compare");
            return Err(problem.hint("tick them in the list of runs, then press the button above it"));
        }
        let state_dir = &self.config.state_dir;
        let mut records = runs.iter().map(|run| read_run(state_dir, *run)).collect::<Result<Vec<_>, _>>()?;
        // The list has the newest first, and what changed is told from the older to the newer.
        records.sort_by_key(|record| record.run);
        records.dedup_by_key(|record| record.run);
        let choice = Choice::default();
        let report = report::compare_runs(state_dir, &self.store, &records, &choice, Timestamp::now());
        let report = report.map_err(Problem::broken)?;
        Ok(report::compare_page(&report, Some(&self.site(Part::Runs, 0, None))))
    }

    fn releases(&self) -> Result<String, Problem> {
        let view = ReleasesView { made: Timestamp::now(), releases: release::list(&self.config.root)? };
        Ok(report::releases_page(&view, &self.site(Part::Releases, 0, None)))
    }

    fn release(&self, name: &str, verify: bool) -> Result<String, Problem> {
        let all = release::list(&self.config.root)?.all;
        let Some(at) = all.iter().position(|one| one.manifest.name == name) else {
            // Says what is wrong with it, if it is there.
            release::find(&self.config.root, name)?;
            return Err(Problem::missing(format_args!("there is no release `{name}`")));
        };
        let released = &all[at];
        let record = match read_run(&self.config.state_dir, released.manifest.run) {
            Ok(record) => record,
            // In a clone there is no record of the run, and the release itself tells most of it.
            Err(RecordError::NoRun { .. }) => released.manifest.record(),
            Err(error) => return Err(error.into()),
        };
        let mut report = self.gather(&record, verify)?;
        report.release = Some(ReleaseView::new(released, at.checked_sub(1).and_then(|at| all.get(at))));
        Ok(report::run_page(&report, Some(&self.site(Part::Releases, 1, None))))
    }

    fn lineage(&self, of: Option<&str>) -> Result<String, Problem> {
        let known = self.known()?;
        let policy = self.policy()?;
        let statements = known.statements(policy.as_ref());
        let site = self.site(Part::Lineage, 0, None);
        let Some(of) = of else {
            return Ok(report::trace_start_page(&report::trace_start(statements, Timestamp::now()), &site));
        };
        let releases = release::list(&self.config.root)?.all;
        let trace = report::trace(statements, &self.store, &releases, of, Timestamp::now())?;
        Ok(report::trace_page(&trace, &site))
    }

    fn policy(&self) -> Result<Option<TrustPolicy>, Problem> {
        Ok(TrustPolicy::load(&self.config.root.join(lineage::FOLDER))?)
    }

    /// The statements as they are now: read again only where the ledger has changed.
    fn known(&self) -> Result<Arc<Known>, Problem> {
        let stamp = stamp(&Ledger::path(&self.config.state_dir));
        if let Some((then, known)) = &*held(&self.statements)
            && *then == stamp
        {
            return Ok(Arc::clone(known));
        }
        let (ledger, library) = lineage::open(&self.config, &self.store)?;
        let known = Arc::new(Known { ledger, library });
        *held(&self.statements) = Some((stamp, Arc::clone(&known)));
        Ok(known)
    }
}

impl Known {
    fn statements<'a>(&'a self, policy: Option<&'a TrustPolicy>) -> Statements<'a> {
        Statements { ledger: &self.ledger, library: &self.library, policy }
    }
}

fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

/// What a lock protects here is whole at any time, whoever panicked.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
