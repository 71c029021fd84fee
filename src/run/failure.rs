//! From errors to what a record says of them: whose fault, what, and what to do.

use std::{io, path::Path};

use stagewright_protocol::{ErrorClass, Fault};

use crate::{
    lineage::LineageError,
    plan::{Action, FailureClass, Start},
    plugin::{Exit, PluginError},
    record::{Failure, RecordError},
    store::StoreError,
};

pub(super) fn user(message: impl Into<String>, hint: Option<&str>) -> Failure {
    failure(FailureClass::ExitCode, ErrorClass::User, message.into(), hint)
}

pub(super) fn environment(message: impl Into<String>, hint: Option<&str>) -> Failure {
    failure(FailureClass::Environment, ErrorClass::Environment, message.into(), hint)
}

fn failure(class: FailureClass, whose: ErrorClass, message: String, hint: Option<&str>) -> Failure {
    Failure { class, fault: Fault { class: whose, message, hint: hint.map(str::to_owned) }, tail: Vec::new() }
}

pub(super) fn from_store(error: &StoreError) -> Failure {
    match error {
        StoreError::UserChanged { .. } => user(
            error.to_string(),
            Some(
                "move it away or delete it, then run again: the stage's result is stored and will be placed there",
            ),
        ),
        StoreError::Unstorable { .. } => user(error.to_string(), None),
        StoreError::Io { source, .. } => environment(error.to_string(), io_hint(source)),
        StoreError::Missing(_) | StoreError::Damaged { .. } => environment(
            error.to_string(),
            Some(
                "run again: the stage that made it runs again. `stagewright verify` finds all that is damaged",
            ),
        ),
        StoreError::Format { .. } => {
            environment(error.to_string(), Some("`stagewright verify` finds all that is damaged"))
        }
    }
}

pub(super) fn from_lineage(error: &LineageError) -> Failure {
    match error {
        LineageError::Store(error) => from_store(error),
        LineageError::Io { source, .. } => environment(error.to_string(), io_hint(source)),
        _ => environment(
            format!("its statement could not be made: {error}"),
            Some("a result without its statement is not kept; `stagewright key list` shows what signs here"),
        ),
    }
}

pub(super) fn from_record(error: &RecordError) -> Failure {
    environment(error.to_string(), None)
}

pub(super) fn from_io(action: &str, path: &Path, error: &io::Error) -> Failure {
    environment(format!("cannot {action} {}: {error}", path.display()), io_hint(error))
}

fn io_hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space; `stagewright gc` drops results that were not used for long")
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            Some("the project's state folder and its store must be writable")
        }
        _ => None,
    }
}

/// None for a stage that was cancelled.
pub(super) fn from_plugin(error: PluginError, action: &Action) -> Option<Failure> {
    let message = error.to_string();
    let tail = error.tail().to_vec();
    let program = "this is a defect of the stage program; its log may say more";
    let mut failure = match error {
        PluginError::Cancelled { .. } => return None,
        PluginError::NotExecutable { .. } | PluginError::Io { .. } => environment(message, None),
        PluginError::OtherVersion { .. } => {
            environment(message, Some("install a stage program of the same release as stagewright"))
        }
        PluginError::Died { exit, .. } | PluginError::Command { exit, .. } if exit.is_out_of_memory() => {
            failure(
                FailureClass::Memory,
                ErrorClass::Environment,
                message,
                Some(
                    "the system most likely killed it for memory: lower what it needs, or state `resources.memory` so that less runs beside it",
                ),
            )
        }
        PluginError::Command { exit, .. } => {
            let hint = match exit {
                Exit::Code(127) => {
                    Some("a program that it calls was not found; is it installed, and in PATH?")
                }
                Exit::Code(126) => Some("a file that it calls can't be executed; `chmod +x` makes it so"),
                _ => None,
            };
            let failed = failure(FailureClass::ExitCode, ErrorClass::User, message, hint);
            return Some(Failure { tail, ..failed });
        }
        PluginError::Timeout { .. } if matches!(action.program.start, Start::Command(_)) => failure(
            FailureClass::Timeout,
            ErrorClass::User,
            message,
            Some("raise `timeout-minutes` if it needs longer"),
        ),
        PluginError::Timeout { .. } => failure(
            FailureClass::Timeout,
            ErrorClass::User,
            message,
            Some(
                "raise `timeout-minutes` if it needs longer; what it saved as a checkpoint is taken up again by the next run",
            ),
        ),
        PluginError::Silent { .. } => failure(
            FailureClass::Timeout,
            ErrorClass::User,
            message,
            Some("its log may say where it stands; allow a longer silence if it is only slow"),
        ),
        PluginError::Memory { .. } => failure(
            FailureClass::Memory,
            ErrorClass::User,
            message,
            Some(
                "raise `resources.memory` of the stage, or lower what it needs: a smaller batch, fewer workers",
            ),
        ),
        PluginError::Output { .. } => failure(
            FailureClass::ExitCode,
            ErrorClass::User,
            message,
            Some("raise `resources.output` of the stage, or have it write less"),
        ),
        PluginError::Fault { fault, .. } => {
            let class = match fault.class {
                ErrorClass::Environment => FailureClass::Environment,
                ErrorClass::User | ErrorClass::Internal => FailureClass::ExitCode,
            };
            Failure { class, fault, tail: Vec::new() }
        }
        PluginError::NoHello { .. }
        | PluginError::Died { .. }
        | PluginError::Mute { .. }
        | PluginError::Junk { .. }
        | PluginError::Flood { .. }
        | PluginError::Lie { .. }
        | PluginError::OtherAnswer { .. } => {
            failure(FailureClass::ExitCode, ErrorClass::Internal, message, Some(program))
        }
    };
    // The last words of an orderly error are its message; a stage's chatter before it would only bury it.
    let orderly = matches!(failure.fault.class, ErrorClass::User) && failure.class == FailureClass::ExitCode;
    failure.tail = if orderly { Vec::new() } else { tail };
    tracing::debug!(stage = %action.id, class = ?failure.class, "stage failed");
    Some(failure)
}
