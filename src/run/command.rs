//! Carries out a command: its lines one after the other, each by a shell of its own.

use std::path::Path;

use stagewright_protocol::{Event, NamedInput};
use tokio::time::Instant;

use crate::{
    plan::{Action, Command, Piece, Shell},
    plugin::{self, Cancel, Hearing, Launch, PluginError, ShellCall, quoted},
};

/// A command about to be run.
pub(super) struct Call<'a> {
    pub(super) action: &'a Action,
    pub(super) command: &'a Command,
    /// The project's root.
    pub(super) root: &'a Path,
    /// Inputs by port, with the places where they lie.
    pub(super) inputs: &'a [(String, NamedInput)],
    /// All but the shell.
    pub(super) launch: Launch<'a>,
}

/// Runs the lines in order, until one fails.
pub(super) async fn run(
    call: Call<'_>,
    on_event: &mut (dyn FnMut(Event) + Send),
    cancel: &Cancel,
) -> Result<(), PluginError> {
    let Call { action, command, root, inputs, launch } = call;
    let (program, options) = match command.shell {
        Shell::Strict => plugin::strict_shell(),
        Shell::User => plugin::user_shell(),
    };
    let mut env = launch.env.clone();
    let mut set = |name: &str, value: String| {
        env.entry(name.to_owned()).or_insert(value);
    };
    set("STAGEWRIGHT_ROOT", root.to_string_lossy().into_owned());
    set("STAGEWRIGHT_STAGE", action.id.0.clone());
    set("STAGEWRIGHT_SEED", action.seed.to_string());
    if command.shell == Shell::User {
        set("DVC_ROOT", root.to_string_lossy().into_owned());
        set("DVC_STAGE", action.id.0.clone());
    }
    let deadline = launch.limits.total.map(|total| (Instant::now() + total, total));
    for line in &command.lines {
        let text = filled(line, inputs);
        let mut arguments = options.clone();
        arguments.push((&text).into());
        let shell = ShellCall {
            arguments,
            folder: root.join(&command.folder),
            inherits: command.shell == Shell::User,
        };
        let launch = Launch { program: &program, env: &env, shell: Some(&shell), ..launch.clone() };
        let hearing = Hearing { deadline, on_event: &mut *on_event, cancel };
        plugin::run_line(&launch, &text, hearing).await?;
    }
    Ok(())
}

/// The line with the places of its inputs.
fn filled(line: &[Piece], inputs: &[(String, NamedInput)]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Input(name) => {
            let input = inputs.iter().find(|(_, input)| input.name == *name);
            input.map(|(_, input)| quoted(&input.path)).unwrap_or_default()
        }
    };
    line.iter().map(text).collect()
}
