//! `stagewright waive`.

use clap::Args;
use jiff::{Timestamp, civil::Date, tz::Offset};
use stagewright::{
    lineage::{self, Decision, FailedGate, Proposal, Resource, Seen},
    store::LocalStore,
};

use super::{CliError, Exit, Scene, gc, signing};

/// Waive a target or gate that failed: sign, as a person, that it may fail until a day
///
/// Until the end of that day, in UTC, runs of the same pipeline pass although it fails, and name the waiver; afterwards they fail
/// again, and say that it expired. A worse value or a stricter limit than the one that was seen is not covered, and neither is a gate of
/// a stage that says something else than it said. The verdict stays what it is.
#[derive(Args)]
pub struct WaiveArgs {
    /// A target by its name, or a gate as `stage:gate`
    #[arg(value_name = "TARGET|STAGE:GATE")]
    gate: String,
    /// Last day on which it holds, such as 2026-12-31
    #[arg(long, value_name = "DATE", value_parser = day)]
    until: Date,
    /// Why it may fail
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Name of the key that signs, in the trust policy [default: the only one that can sign here]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
}

/// A day of the calendar.
fn day(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| "a day is wanted, such as 2026-12-31".to_owned())
}

pub fn run(scene: &Scene, args: &WaiveArgs) -> Result<Exit, CliError> {
    let now = Timestamp::now();
    let today = Offset::UTC.to_datetime(now).date();
    if args.until < today {
        return Err(CliError::user(format_args!("{} is over: in UTC it is {today}", args.until))
            .hint("a waiver holds until the end of the day that `--until` names"));
    }
    if args.reason.trim().is_empty() {
        return Err(CliError::user("a waiver needs a reason").hint(
            "`--reason` is what an auditor will read: what is known, and what will be done until then",
        ));
    }
    let config = scene.config()?;
    let (policy, signing, name) = signing::decider(scene, &config, args.name.as_deref())?;
    let store = LocalStore::open(&config.store_dir)?;
    let _shared = gc::shared(&store)?;
    let (_, library) = lineage::open(&config, &store)?;
    let FailedGate { gate, found, seen, verdicts } = lineage::find_failed_gate(&library, &args.gate)?;
    let proposal = Proposal {
        subject: vec![Resource::new("verdicts", &verdicts)],
        decision: Decision::Waived {
            gate: gate.clone(),
            until: args.until,
            reason: args.reason.clone(),
            found: found.clone(),
            seen: seen.clone(),
        },
        at: now,
    };
    let decided = lineage::decide(&config, &store, &policy, &signing, &name, proposal)?;
    println!("waived by {} until {}: {gate} of {}", decided.by, args.until, gate.pipeline);
    println!("it failed with: {found}");
    match seen {
        Some(Seen { metric, value, limit }) => println!(
            "covered is a {metric} of {value} or better, with a limit of {limit} or one that is less strict"
        ),
        None => println!("covered is only that; when the gate finds something else, it fails again"),
    }
    Ok(Exit::Success)
}
