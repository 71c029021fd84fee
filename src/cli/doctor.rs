//! `stagewright doctor`.

use clap::Args;
use console::style;
use stagewright::{
    catalog::{Catalog, Host, Start},
    record::git_state,
    store::LocalStore,
};

use super::{CliError, Exit, Scene, isolation, pipeline::block_on, screen};

/// Say what works here and what does not: project, store, disk, git, stage programs, GPUs
///
/// Exits with 4 if something that a run needs is broken; what is merely absent, such as TensorRT, is no fault.
#[derive(Args)]
pub struct DoctorArgs {}

/// One finding.
enum Finding {
    Good(String),
    Absent(String, Option<String>),
    Broken(String, Option<String>),
}

/// Below this much free disk a training run is likely to fail.
const LOW_DISK: u64 = 2_000_000_000;

pub fn run(scene: &Scene, _: &DoctorArgs) -> Result<Exit, CliError> {
    let mut findings = vec![host(), sandbox()];
    let config = match scene.config() {
        Ok(config) => Some(config),
        Err(error) => {
            findings.push(Finding::Broken(error.render().trim_end().to_owned(), None));
            None
        }
    };
    if let Some(config) = &config {
        findings.push(Finding::Good(format!("project {}", config.root.display())));
        findings.push(match LocalStore::open(&config.store_dir).and_then(|store| store.put(b"")) {
            Ok(_) => Finding::Good(format!("store {} can be written", config.store_dir.display())),
            Err(error) => Finding::Broken(error.to_string(), None),
        });
        findings.extend(disk(&config.store_dir));
        findings.push(match git_state(&config.root) {
            Some(state) => {
                let commit = state
                    .commit
                    .as_deref()
                    .map_or("no commit yet", |commit| commit.get(..12).unwrap_or(commit));
                Finding::Good(format!(
                    "git {commit}{}",
                    if state.dirty { ", with uncommitted changes" } else { "" }
                ))
            }
            None => Finding::Absent("no git repository: runs will not name a commit".to_owned(), None),
        });
        findings.extend(stages(&Catalog::find(config))?);
    }
    let mut broken = false;
    for finding in &findings {
        let (mark, text, hint) = match finding {
            Finding::Good(text) => (style("ok    ").green(), text, None),
            Finding::Absent(text, hint) => (style("absent").yellow(), text, hint.as_ref()),
            Finding::Broken(text, hint) => (style("broken").red().bold(), text, hint.as_ref()),
        };
        broken |= matches!(finding, Finding::Broken(..));
        println!("{mark}  {}", text.replace('\n', "\n        "));
        if let Some(hint) = hint {
            println!("        {} {}", style("hint:").cyan(), hint.replace('\n', "\n        "));
        }
    }
    Ok(if broken { Exit::Environment } else { Exit::Success })
}

fn host() -> Finding {
    let host = Host::detect();
    let memory =
        if host.memory > 0 { format!(", {} of memory", screen::bytes(host.memory)) } else { String::new() };
    Finding::Good(format!(
        "{} {}, {}{memory}, {}",
        host.os,
        host.arch,
        screen::count(u64::from(host.cpus), "cpu"),
        screen::count(host.gpus.len() as u64, "GPU")
    ))
}

fn sandbox() -> Finding {
    let found = stagewright::run::isolation(true, None);
    match found.why {
        None => Finding::Good(isolation::held(&found)),
        Some(_) => Finding::Absent(isolation::held(&found), None),
    }
}

fn disk(folder: &std::path::Path) -> Option<Finding> {
    let state = rustix::fs::statvfs(folder).ok()?;
    let free = state.f_bavail.saturating_mul(state.f_frsize);
    Some(if free < LOW_DISK {
        let hint = "`stagewright gc` removes what is old and nothing leads to".to_owned();
        Finding::Broken(format!("only {} of disk free for the store", screen::bytes(free)), Some(hint))
    } else {
        Finding::Good(format!("{} of disk free for the store", screen::bytes(free)))
    })
}

fn stages(catalog: &Catalog) -> Result<Vec<Finding>, CliError> {
    let described = block_on(catalog.describe_all())?;
    let mut findings: Vec<Finding> = Vec::new();
    for (name, program) in &described.programs {
        let title = format!("stage {name} {}", program.manifest.version);
        let Start::Program(path) = &program.start else { continue };
        let place = path.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        if program.platform.missing.is_empty() {
            let facts: Vec<String> =
                program.platform.properties.iter().map(|(name, value)| format!("{name} {value}")).collect();
            let facts = if facts.is_empty() { String::new() } else { format!(": {}", facts.join(", ")) };
            findings.push(Finding::Good(format!("{title} in {place}{facts}")));
        }
        for missing in &program.platform.missing {
            findings.push(Finding::Absent(format!("{title}: {}", missing.message), missing.hint.clone()));
        }
    }
    findings.extend(described.faults.values().map(|fault| Finding::Broken(fault.to_string(), None)));
    if findings.is_empty() {
        let hint =
            "set `stages.paths` in stagewright.toml, or put the programs beside stagewright or into PATH"
                .to_owned();
        findings.push(Finding::Broken("no stage programs were found".to_owned(), Some(hint)));
    }
    Ok(findings)
}
