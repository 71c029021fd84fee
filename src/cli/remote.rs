//! `stagewright remote`.

use std::sync::Arc;

use clap::{Args, Subcommand};
use console::style;
use stagewright::{
    config::{Config, ConfigError, FILE_NAME, Layout, NewRemote, RemoteName, RemoteSettings, RunSync, Trust},
    remote::{Probe, RemoteError, Session, Verdict},
    store::LocalStore,
};

use super::{CliError, Exit, Scene, pipeline::block_on, screen};

mod gc;
mod verify;

/// Add, list, check and clean remotes: folders and S3 buckets that results are pushed to and pulled from
///
/// Remotes are written into stagewright.toml, which never holds credentials: those come from the environment
/// (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), a profile of ~/.aws, web identity or the machine's role.
#[derive(Args)]
pub struct RemoteArgs {
    #[command(subcommand)]
    command: RemoteCommand,
}

#[derive(Subcommand)]
enum RemoteCommand {
    Add(AddArgs),
    List,
    Default(DefaultArgs),
    Check(CheckArgs),
    Gc(gc::GcArgs),
    Verify(verify::VerifyArgs),
}

/// Write a remote into stagewright.toml; the first one becomes the default
#[derive(Args)]
struct AddArgs {
    /// Its name
    name: RemoteName,
    /// s3://bucket/prefix, or a folder (a relative one is relative to stagewright.toml)
    url: String,
    /// Server of an S3 remote that is not AWS, for example https://minio.example.org:9000
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Region of the bucket
    #[arg(long)]
    region: Option<String>,
    /// Profile of ~/.aws/config to take credentials from
    #[arg(long)]
    profile: Option<String>,
    /// Folder that keeps a copy of what passes (objects up to 8 MiB) and is asked first
    #[arg(long, value_name = "FOLDER")]
    cache: Option<String>,
    /// How content lies in it, unless it has some already: gathered in packs, one object a file, or versioned data as DVC 3 keeps it
    #[arg(long, value_name = "LAYOUT", value_parser = ["packed", "native", "dvc"])]
    layout: Option<String>,
    /// Keep tracked data where DVC 3 puts it, so that `dvc pull` reads it, and what `dvc push` wrote is read here (`--layout dvc`)
    #[arg(long, conflicts_with = "layout")]
    dvc: bool,
    /// Refuse to push to it
    #[arg(long)]
    read_only: bool,
    /// Do not reuse results that others pushed to it
    #[arg(long)]
    ignore_results: bool,
    /// Make it the default
    #[arg(short, long)]
    default: bool,
    /// Replace a remote of that name
    #[arg(long)]
    replace: bool,
}

/// Say which remote is meant when none is named, or choose it
#[derive(Args)]
struct DefaultArgs {
    /// The remote to choose
    name: Option<RemoteName>,
}

/// Try what works with a remote: access, clock, reading, writing, conditional writes, uploads in parts
///
/// A small object and one of 5 MiB are written and removed again. Exits with 4 if something that a push or pull needs fails.
#[derive(Args)]
struct CheckArgs {
    /// The remote [default: the default one]
    name: Option<RemoteName>,
}

pub fn run(scene: &Scene, args: &RemoteArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    match &args.command {
        RemoteCommand::Add(args) => add(&config, args),
        RemoteCommand::List => {
            list(&config);
            Ok(Exit::Success)
        }
        RemoteCommand::Default(args) => default(&config, args),
        RemoteCommand::Check(args) => check(&config, args),
        RemoteCommand::Gc(args) => gc::run(&config, args),
        RemoteCommand::Verify(args) => verify::run(&config, args),
    }
}

fn add(config: &Config, args: &AddArgs) -> Result<Exit, CliError> {
    let remote = NewRemote {
        url: args.url.clone(),
        endpoint: args.endpoint.clone(),
        region: args.region.clone(),
        profile: args.profile.clone(),
        cache: args.cache.clone(),
        layout: if args.dvc { Some("dvc".to_owned()) } else { args.layout.clone() },
        read_only: args.read_only,
        ignore_results: args.ignore_results,
    };
    let known = config.remotes.contains_key(&args.name) && !args.replace;
    let config = Config::add_remote(&config.root, &args.name, &remote, args.replace, args.default).map_err(
        |error| {
            let error = CliError::from(error);
            if known { error.hint("`--replace` replaces it") } else { error }
        },
    )?;
    let settings = config.remote(Some(&args.name))?;
    let is_default = config.sync.remote.as_ref() == Some(&args.name);
    println!(
        "added {} to {FILE_NAME}{}",
        describe(settings),
        if is_default { " as the default remote" } else { "" }
    );
    println!("`stagewright remote check {}` tries what works", args.name);
    Ok(Exit::Success)
}

fn describe(settings: &RemoteSettings) -> String {
    format!("`{}` ({})", settings.name, settings.url)
}

fn list(config: &Config) {
    if config.remotes.is_empty() {
        println!("no remotes; `stagewright remote add NAME URL` adds one");
        return;
    }
    let rows: Vec<Vec<String>> = config
        .remotes
        .values()
        .map(|remote| {
            let mut notes = Vec::new();
            if config.sync.remote.as_ref() == Some(&remote.name) {
                notes.push("default".to_owned());
                match config.sync.run {
                    RunSync::Off => {}
                    RunSync::Pull => notes.push("run looks up results".to_owned()),
                    RunSync::PullAndPush => notes.push("run looks up and pushes results".to_owned()),
                }
            }
            notes.extend(remote.endpoint.as_ref().map(|endpoint| format!("at {endpoint}")));
            notes.extend(remote.profile.as_ref().map(|profile| format!("profile {profile}")));
            notes.extend(remote.cache.as_ref().map(|cache| format!("copies in {}", cache.display())));
            notes.extend((remote.layout == Layout::Dvc).then(|| "data as DVC keeps it".to_owned()));
            notes.extend((!remote.write).then(|| "read only".to_owned()));
            notes.extend((remote.results == Trust::Ignore).then(|| "results ignored".to_owned()));
            vec![remote.name.to_string(), remote.url.to_string(), notes.join(", ")]
        })
        .collect();
    print!("{}", screen::table(&rows));
}

fn default(config: &Config, args: &DefaultArgs) -> Result<Exit, CliError> {
    match &args.name {
        None => println!("{}", config.remote(None)?.name),
        Some(name) => {
            config.remote(Some(name))?;
            Config::set_default_remote(&config.root, name)?;
            println!("`{name}` is the default remote now");
        }
    }
    Ok(Exit::Success)
}

fn check(config: &Config, args: &CheckArgs) -> Result<Exit, CliError> {
    let settings = config.remote(args.name.as_ref())?;
    println!("{}", describe(settings));
    LocalStore::open(&config.store_dir)?;
    let session = Arc::new(Session::open(settings, config, Arc::new(|_| {})));
    let mut broken = false;
    for Probe { what, verdict } in block_on(session.check(settings.write))? {
        let (mark, text, hint) = match verdict {
            Verdict::Works(text) => (style("ok    ").green(), text, None),
            Verdict::Lacks(text) => (style("lacks ").yellow(), text, None),
            Verdict::Wrong(text) => {
                (style("wrong ").yellow(), text, Some("set the clock, for example by NTP".to_owned()))
            }
            Verdict::Fails(error) => {
                broken = true;
                (style("fails ").red().bold(), error.to_string(), hint(&error))
            }
        };
        println!("{mark}  {what}: {text}");
        if let Some(hint) = hint {
            println!("        {} {hint}", style("hint:").cyan());
        }
    }
    Ok(if broken { Exit::Environment } else { Exit::Success })
}

/// What to do about an error of a remote.
fn hint(error: &RemoteError) -> Option<String> {
    let text = match error {
        RemoteError::GaveUp { last, .. }
            if matches!(**last, RemoteError::Transient { throttled: true, .. }) =>
        {
            "the server is busy; the same command goes on from here later"
        }
        RemoteError::GaveUp { .. } | RemoteError::Transient { .. } => {
            "is the server reachable, and `endpoint` right? What was moved stays; the same command goes on from here"
        }
        RemoteError::Credentials { .. } => {
            "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), from the profile that \
             `profile` or AWS_PROFILE names (`aws sso login` renews one), or from web identity; temporary ones expire"
        }
        RemoteError::Denied { .. } => {
            "the login is known, but may not do this: reading needs s3:GetObject and s3:ListBucket, pushing s3:PutObject, \
             s3:AbortMultipartUpload and s3:ListMultipartUploadParts, `remote check` s3:DeleteObject too"
        }
        RemoteError::Clock { .. } => "set this machine's clock, for example by NTP",
        RemoteError::Region { .. } => "set `region` of the remote in stagewright.toml to the bucket's",
        RemoteError::NoBucket { .. } => "make the bucket, or correct `url` of the remote in stagewright.toml",
        RemoteError::NotFound { .. } => "push it again from a machine that has it",
        RemoteError::Corrupt { .. } | RemoteError::Format { .. } => {
            "`stagewright remote verify --repair` mends it on a machine that has what it should be"
        }
        RemoteError::Newer { .. } => "use that release, or a later one",
        RemoteError::Busy { .. } => {
            "try again later; of a process that was killed, nothing is left to wait for after an hour"
        }
        RemoteError::LeaseLost { .. } => {
            "was the machine asleep? Nothing is half there; the same command goes on from here"
        }
        RemoteError::ReadOnly { .. } => "`write = false` of the remote in stagewright.toml says so",
        RemoteError::SetUp { .. } => {
            "`region`, `profile` and `endpoint` are keys of the remote in stagewright.toml"
        }
        RemoteError::Refused { .. }
        | RemoteError::Stopped
        | RemoteError::BadKey(_)
        | RemoteError::Io { .. }
        | RemoteError::Store(_) => {
            return None;
        }
    };
    Some(text.to_owned())
}

impl From<RemoteError> for CliError {
    fn from(error: RemoteError) -> Self {
        let hint = hint(&error);
        let shown = match error {
            RemoteError::Store(error) => return error.into(),
            RemoteError::ReadOnly { .. } => Self::user(&error),
            error => Self::environment(&error),
        };
        match hint {
            Some(hint) => shown.hint(hint),
            None => shown,
        }
    }
}

/// What to do about a remote that is not there.
pub fn known_remotes(error: &ConfigError) -> Option<String> {
    match error {
        ConfigError::NoRemote { known, .. } | ConfigError::NoDefaultRemote { known, .. }
            if !known.is_empty() =>
        {
            let names: Vec<&str> = known.iter().map(RemoteName::as_str).collect();
            Some(format!(
                "it has {}; `stagewright remote default NAME` chooses the default",
                names.join(", ")
            ))
        }
        ConfigError::NoRemote { .. } | ConfigError::NoDefaultRemote { .. } => {
            Some("`stagewright remote add NAME URL` adds one".to_owned())
        }
        _ => None,
    }
}
