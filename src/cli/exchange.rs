//! Ledgers on their way to and from a remote.

use std::sync::Arc;

use stagewright::{
    config::{Config, RemoteName, RemoteSettings},
    lineage::{self, Adopted, Kind, Ledger},
    remote::Session,
    store::LocalStore,
};
use tokio::runtime::Runtime;

use super::{
    CliError, screen,
    transfer::{self, Transfer},
};

/// Brings what is new in the ledger to a remote, and says so.
pub fn push(config: &Config, remote: Option<&RemoteName>, store: &LocalStore) -> Result<(), CliError> {
    let ledger = Ledger::load(&config.state_dir)?;
    if ledger.entries().is_empty() {
        return Ok(());
    }
    let name = ledger.name()?;
    let display = Transfer::new("pushing");
    let session = Arc::new(Session::open(config.remote(remote)?, config, display.listener()));
    let runtime = transfer::runtime()?;
    runtime.block_on(session.check_format())?;
    let head = runtime.block_on(session.log_head(&name))?;
    let there = head.as_ref().map(|head| (head.lines, &head.note));
    let Some(outgoing) = lineage::outgoing(&ledger, store, there)? else {
        display.finish();
        return Ok(());
    };
    let statements = (store, &outgoing.statements);
    let pushed = runtime.block_on(session.push_log(statements, &name, head, &outgoing.lines, outgoing.note));
    display.finish();
    pushed?;
    let new = &ledger.entries()[ledger.entries().len() - outgoing.lines.len()..];
    let of = |kind| new.iter().filter(|entry| entry.kind == kind).count() as u64;
    println!(
        "pushed {} of the ledger, among them {} and {}",
        screen::count(new.len() as u64, "statement"),
        screen::count(of(Kind::Run), "run"),
        screen::count(of(Kind::Decision), "decision")
    );
    Ok(())
}

/// Brings what is new in the ledgers of others, and says so. False where nothing is. One that does not continue what was known of it
/// is an error, after the others were taken over.
pub fn pull(config: &Config, settings: &RemoteSettings, store: &LocalStore) -> Result<bool, CliError> {
    let mut ledger = Ledger::load(&config.state_dir)?;
    let display = Transfer::new("fetching");
    let session = Arc::new(Session::open(settings, config, display.listener()));
    let runtime = transfer::runtime()?;
    runtime.block_on(session.check_format())?;
    let mut names = runtime.block_on(session.logs())?;
    if !names.is_empty() {
        names.remove(&ledger.name()?);
    }
    let (mut all, mut sources, mut wrong) = (Adopted::default(), 0, None);
    for name in &names {
        match one(&mut ledger, store, &session, &runtime, name) {
            Ok(Adopted { statements, runs, decisions, lost }) => {
                all.statements += statements;
                all.runs += runs;
                all.decisions += decisions;
                all.lost += lost;
                sources += u64::from(statements > 0);
            }
            Err(error) => wrong = Some(error),
        }
    }
    display.finish();
    if all.statements > 0 {
        println!(
            "took over {} from {}, among them {} and {}",
            screen::count(all.statements, "statement"),
            screen::count(sources, "other ledger"),
            screen::count(all.runs, "run"),
            screen::count(all.decisions, "decision")
        );
    }
    if all.lost > 0 {
        eprintln!(
            "warning: ledgers on the remote `{}` name {} that it does not have",
            settings.name,
            screen::count(all.lost, "statement")
        );
    }
    wrong.map_or(Ok(all.statements > 0), Err)
}

fn one(
    ledger: &mut Ledger,
    store: &LocalStore,
    session: &Arc<Session>,
    runtime: &Runtime,
    name: &str,
) -> Result<Adopted, CliError> {
    let known = lineage::lines_known(ledger, name)?;
    let Some(head) = runtime.block_on(session.log_head(name))? else { return Ok(Adopted::default()) };
    let lines = runtime.block_on(session.log_lines(name, &head, known))?;
    let incoming = lineage::incoming(ledger, name, (head.lines, &head.note), &lines)?;
    runtime.block_on(session.fetch_present(store, &incoming.statements()))?;
    Ok(incoming.adopt(ledger, store)?)
}
