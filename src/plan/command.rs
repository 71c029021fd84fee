//! What a stage declares in the work tree itself: a command, the paths it writes, and the manifest that follows from them.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value, json};
use stagewright_protocol::{Determinism, Manifest, Platform, Port, Resources};

use crate::spec::{
    Diagnostic,
    expression::Piece as WrittenPiece,
    types::{CommandSpec, Data, Dialect, OutKind, OutSpec, Span, StageSpec, Value as Written},
};

use super::{
    Command, Out, Piece, Program, Shell, Start,
    evaluate::{Operand, Scope},
    exports,
    instances::{Instance, Instances, OutputReference},
    values::{piece_text, scalar_text},
};

/// What stands for the name of a program where a stage runs a command.
pub const COMMAND: &str = "cmd";

/// The input port of what `deps:` lists.
pub const DEPS: &str = "deps";

/// Version of how commands are run, as far as it may change what they give.
///
/// 1: first release.
const CACHE_VERSION: u32 = 1;

/// A port type that fits any other.
pub(super) const ANY: &str = "any";

/// What an instance declares in the work tree.
pub(super) struct Declared {
    /// The folder that its paths are relative to.
    pub folder: PathBuf,
    pub outs: Vec<(Out, Span)>,
    /// Its program with ports for what it declares; none where its program is not known.
    pub program: Option<Program>,
}

/// Resolves what an instance declares; none for a stage of ports alone.
pub(super) fn declare(
    instance: &Instance<'_>,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Declared> {
    let StageSpec { deps, outs: written, .. } = instance.spec;
    let command = instance.spec.command();
    if command.is_none() && deps.is_empty() && written.is_empty() {
        return None;
    }
    let folder = command.and_then(|command| command.folder.as_ref()).map_or_else(
        || Some(PathBuf::new()),
        |written| {
            let text = scalar_text("`wdir`", written, scope, findings)?;
            let folder = normal(Path::new(""), &text);
            let inside = folder.is_relative() && !folder.starts_with("..");
            if !inside {
                findings.push(
                    Diagnostic::error(
                        "plan::folder",
                        format!("`wdir` is `{text}`, which is outside of the project"),
                    )
                    .at(written.span.clone(), "")
                    .hint("name a folder of the project, relative to its root"),
                );
            }
            inside.then_some(folder)
        },
    )?;
    let mut outs: Vec<(Out, Span)> = Vec::new();
    for out in written {
        let Some(found) = resolve_out(instance, out, &folder, scope, findings) else { continue };
        if let Some((_, first)) = outs.iter().find(|(other, _)| other.path == found.path) {
            findings.push(
                Diagnostic::error(
                    "plan::two-writers",
                    format!(
                        "stage `{}` lists `{}` twice among what it writes",
                        instance.spec.name.value,
                        found.path.display()
                    ),
                )
                .at(out.path.span.clone(), "a second time")
                .at(first.clone(), "first here"),
            );
            continue;
        }
        outs.push((found, out.path.span.clone()));
    }
    let program = match (command, instance.program) {
        (Some(_), _) => Some(Program {
            start: Start::Command(Arc::new(Command {
                lines: Vec::new(),
                folder: folder.clone(),
                shell: Shell::Strict,
            })),
            manifest: Arc::new(with_ports(of_command(), deps_wanted(instance.spec), &outs)),
            platform: Arc::new(Platform::default()),
        }),
        (None, Some(program)) => {
            if program.manifest.inputs.contains_key(DEPS) && !deps.is_empty() {
                findings.push(
                    Diagnostic::error(
                        "plan::deps-port",
                        format!("stage program `{}` has an input `{DEPS}` of its own", program.manifest.name),
                    )
                    .at(deps[0].span.clone(), "")
                    .hint("bind paths to it under `inputs`"),
                );
            }
            let manifest = with_ports((*program.manifest).clone(), !deps.is_empty(), &outs);
            Some(Program { manifest: Arc::new(manifest), ..program.clone() })
        }
        (None, None) => None,
    };
    Some(Declared { folder, outs, program })
}

/// A command can name outputs of stages in its text without listing them.
fn deps_wanted(spec: &StageSpec) -> bool {
    !spec.deps.is_empty() || spec.command().is_some()
}

fn resolve_out(
    instance: &Instance<'_>,
    out: &OutSpec,
    folder: &Path,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Out> {
    let text = scalar_text("an out", &out.path, scope, findings)?;
    let path = normal(folder, &text);
    let fine = !text.trim().is_empty() && !text.contains("://");
    let Some(path) = exports::place(&path.to_string_lossy()).filter(|_| fine) else {
        let hint = if text.contains("://") {
            "a stage writes to the project; let the command itself copy the result to where it belongs"
        } else {
            "write a path inside of the project, such as `results/model.onnx`"
        };
        findings.push(
            Diagnostic::error(
                "plan::export",
                format!(
                    "stage `{}` writes `{text}`, which is no place for results",
                    instance.spec.name.value
                ),
            )
            .at(out.path.span.clone(), "")
            .hint(hint),
        );
        return None;
    };
    Some(Out { path, kind: out.kind, persist: out.persist, cache: out.cache })
}

/// A path as written in a folder, both relative to the project root: without `.`, and without `..` as far as it can be.
pub(super) fn normal(folder: &Path, text: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in folder.join(text.trim_end_matches('/')).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if path.file_name().is_some() => drop(path.pop()),
            part => path.push(part),
        }
    }
    path
}

fn of_command() -> Manifest {
    Manifest {
        name: COMMAND.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cache_version: CACHE_VERSION,
        summary: "A command for the shell".to_owned(),
        inputs: BTreeMap::new(),
        outputs: BTreeMap::new(),
        params: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        resources: Resources::default(),
        probes: false,
        determinism: Determinism::None,
        metrics: BTreeMap::new(),
    }
}

fn with_ports(mut manifest: Manifest, deps: bool, outs: &[(Out, Span)]) -> Manifest {
    let port = |summary: &str, many| Port {
        artifact_type: ANY.to_owned(),
        summary: summary.to_owned(),
        // Whether all outs are there is asked of the work tree.
        required: false,
        many,
        path: None,
        refuses_test_data: false,
    };
    if deps {
        manifest.inputs.insert(DEPS.to_owned(), port("what it reads of the work tree", true));
    }
    for (out, _) in outs {
        let summary = match out.kind {
            OutKind::Out => "a path it writes",
            OutKind::Metrics => "metrics it writes",
            OutKind::Plots => "plots it writes",
        };
        manifest.outputs.insert(out.port(), port(summary, false));
    }
    manifest
}

/// A command with its expressions resolved.
pub(super) struct Commanded {
    pub command: Command,
    /// What stands for it in the action key, by the name of the field.
    pub params: Value,
    /// Outputs of stages that its text names.
    pub inputs: Vec<Named>,
}

/// An output that the text of a command names.
pub(super) struct Named {
    pub reference: OutputReference,
    pub span: Span,
}

/// Resolves a command.
pub(super) fn resolve(
    spec: &CommandSpec,
    folder: &Path,
    instances: &Instances<'_>,
    scope: &Scope<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Commanded> {
    let before = findings.len();
    let mut inputs = Vec::new();
    let lines: Vec<Vec<Piece>> = spec
        .lines
        .iter()
        .map(|line| match &line.data {
            Data::Template(template) => {
                let pieces = template.pieces.iter();
                pieces.flat_map(|piece| pieces_of(piece, instances, scope, &mut inputs, findings)).collect()
            }
            Data::Text(text) => vec![Piece::Text(text.clone())],
            _ => Vec::new(),
        })
        .collect();
    if findings.len() > before {
        return None;
    }
    let texts: Vec<String> = lines.iter().map(|line| key_text(line)).collect();
    let mut params = Map::new();
    let command = if let [text] = &texts[..] { json!(text) } else { json!(texts) };
    params.insert(COMMAND.to_owned(), command);
    if !folder.as_os_str().is_empty() {
        params.insert("wdir".to_owned(), json!(folder.to_string_lossy()));
    }
    let shell = match &spec.dialect {
        Dialect::Native => Shell::Strict,
        Dialect::Dvc(dvc) => {
            let values = |values: &[(String, Written)]| -> Map<String, Value> {
                values.iter().map(|(key, value)| (key.clone(), value.literal().unwrap_or_default())).collect()
            };
            let files = dvc.params.iter().map(|(file, of_file)| (file.clone(), values(of_file).into()));
            params.insert("params".to_owned(), Value::Object(files.collect()));
            Shell::User
        }
    };
    let command = Command { lines, folder: folder.to_owned(), shell };
    Some(Commanded { command, params: Value::Object(params), inputs })
}

fn pieces_of(
    piece: &WrittenPiece,
    instances: &Instances<'_>,
    scope: &Scope<'_>,
    inputs: &mut Vec<Named>,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Piece> {
    let expression = match piece {
        WrittenPiece::Text(text) => return vec![Piece::Text(text.clone())],
        WrittenPiece::Expression(expression) => expression,
    };
    let before = findings.len();
    scope.check(expression, findings);
    if findings.len() > before {
        return Vec::new();
    }
    let resolved = match scope.evaluate(expression) {
        Ok(Operand::Outputs(outputs)) => {
            let mut pieces = Vec::new();
            for reference in outputs {
                if !pieces.is_empty() {
                    pieces.push(Piece::Text(" ".to_owned()));
                }
                pieces.push(Piece::Input(input_name(&reference, instances)));
                inputs.push(Named { reference, span: expression.span.clone() });
            }
            Ok(pieces)
        }
        Ok(Operand::Json(_)) => piece_text(expression, scope).map(|text| vec![Piece::Text(text)]),
        Err(error) => Err(error),
    };
    resolved.unwrap_or_else(|error| {
        findings.push(error);
        Vec::new()
    })
}

/// What a dep on an output is called.
pub(super) fn input_name(reference: &OutputReference, instances: &Instances<'_>) -> String {
    format!("{}.{}", instances.all[reference.instance].id, reference.port)
}

/// A line as the action key has it: where an input lies differs from run to run.
fn key_text(line: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Input(name) => format!("${{{{ {name} }}}}"),
    };
    line.iter().map(text).collect()
}
