//! `stagewright lsp`.

use clap::Args;
use lsp_server::Connection;
use stagewright::lsp::{self, LspError};

use super::{CliError, Exit, Scene};

/// Serve an editor: findings as you type, completion, documentation, definitions
///
/// Speaks the Language Server Protocol on stdin and stdout; an editor starts it.
#[derive(Args)]
#[command(after_long_help = EDITORS)]
pub struct LspArgs {
    /// What it does in any case; many editors say it
    #[arg(long, hide = true)]
    stdio: bool,
}

const EDITORS: &str = "\
Neovim, in init.lua:

  vim.lsp.config('stagewright', { cmd = { 'stagewright', 'lsp' }, filetypes = { 'yaml' },
    root_markers = { 'stagewright.toml' } })
  vim.lsp.enable('stagewright')

Helix, in languages.toml:

  [language-server.stagewright]
  command = \"stagewright\"
  args = [\"lsp\"]

  [[language]]
  name = \"yaml\"
  language-servers = [\"stagewright\", \"yaml-language-server\"]

VS Code needs an extension for generic language servers; `stagewright schema` serves it without one.
";

pub fn run(scene: &Scene, _: &LspArgs) -> Result<Exit, CliError> {
    let (connection, threads) = Connection::stdio();
    let served = lsp::serve(&connection, &scene.environment);
    // The threads end when nobody can send any more.
    drop(connection);
    served?;
    threads.join()?;
    Ok(Exit::Success)
}

impl From<LspError> for CliError {
    fn from(error: LspError) -> Self {
        Self::environment(&error)
    }
}
