//! `stagewright ui`.

use std::{
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};

use clap::Args;
use console::style;
use maud::{DOCTYPE, html};
use stagewright::ui::{PORT, Pages, Server, UiError};
use tempfile::NamedTempFile;
use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, Exit, Scene};

/// Show the project in a browser: runs, also those going on, their reports, releases, comparisons, lineage
///
/// The pages are served on 127.0.0.1 only, to whoever has the address that is printed, and nothing can be changed from them.
/// Ctrl-C ends it.
#[derive(Args)]
pub struct UiArgs {
    /// Listen on this port [default: 8620, or a free one if that is in use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
}

pub fn run(scene: &Scene, args: &UiArgs) -> Result<Exit, CliError> {
    let config = scene.config()?;
    let state_dir = config.state_dir.clone();
    let pages = Pages::new(config)?;
    let cannot = |error| CliError::environment(format_args!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(cannot)?;
    let done = runtime.block_on(async {
        let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (mut interrupt, mut terminate) = (signals.0.map_err(cannot)?, signals.1.map_err(cannot)?);
        let server = Server::start(args.port, pages).await?;
        let address = server.address();
        if let Some(port) = server.instead_of {
            eprintln!("port {port} is in use, so another one was taken");
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{address}")?;
        out.flush()?;
        drop(out);
        eprintln!(
            "{}",
            style("only this machine can open it, by this whole address; Ctrl-C ends it").for_stderr().dim()
        );
        let opened = (!args.no_open && scene.environment.desktop).then(|| open(&state_dir, &address));
        if let Some(Err(error)) = &opened {
            eprintln!("no browser could be opened ({error}); open the address yourself");
        }
        server
            .serve(async {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            })
            .await;
        Ok(Exit::Success)
    });
    // A page that is being made, or a verification, is not waited for: nobody will see it.
    runtime.shutdown_background();
    done
}

/// Opens a browser. The file that it gets leads on to the address: what stands in a command line can be read by every user of
/// the machine, and the file by its owner alone. It is there until the server ends.
fn open(state_dir: &Path, address: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("open-").suffix(".html");
    let mut file = builder.tempfile_in(state_dir).or_else(|_| builder.tempfile())?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; meta http-equiv="refresh" content={ "0;url=" (address) }; title { "stagewright ui" } }
            body { a href=(address) { "Go on" } }
        }
    };
    file.write_all(page.into_string().as_bytes())?;
    file.flush()?;
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(file.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child =
        command.spawn().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    // Waited for only so that it leaves no zombie.
    std::thread::spawn(move || child.wait());
    Ok(file)
}

impl From<UiError> for CliError {
    fn from(error: UiError) -> Self {
        let hint = match &error {
            UiError::InUse { .. } => Some(format!(
                "choose another one with `--port`, or leave it out: then it is {PORT} or a free one"
            )),
            UiError::Listen { port: 1..1024, .. } => {
                Some("ports below 1024 need special rights; choose another one".to_owned())
            }
            UiError::Listen { .. } => None,
            UiError::Store(_) => None,
        };
        let shown = match error {
            UiError::Store(error) => error.into(),
            error => Self::environment(&error),
        };
        hint.into_iter().fold(shown, Self::hint)
    }
}
