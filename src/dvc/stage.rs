//! One entry of `stages:` → the stages it stands for: itself, one for each item of `foreach`, or one for each combination of `matrix`.

use crate::spec::{
    Diagnostic, command,
    fields::{self},
    tree::{Node, NodeData},
    types::{
        CommandSpec, Data, Dialect, DvcSpec, Name, OutKind, OutSpec, Span, Spanned, StageSpec, Value,
        WorkSpec,
    },
};

use super::{
    context::{Context, Loader, join},
    interpolate::{Allowed, resolve, resolve_key, text},
    params,
    settings::Settings,
};

const KEYS: &[&str] = &[
    "cmd",
    "wdir",
    "deps",
    "params",
    "outs",
    "metrics",
    "plots",
    "vars",
    "frozen",
    "always_changed",
    "desc",
    "meta",
    "foreach",
    "do",
    "matrix",
];

/// Most stages of one entry.
const MOST: usize = 10_000;

/// Where a stage is read.
struct Site<'a> {
    /// Folder of the dvc.yaml.
    folder: &'a str,
    context: &'a Context,
    settings: &'a Settings,
}

/// Adds the stages that an entry stands for.
pub(super) fn expand(
    name: &Name,
    node: &Node,
    folder: &str,
    context: &Context,
    settings: &Settings,
    loader: &mut Loader<'_, '_>,
) {
    let what = format!("stage `{}`", name.value);
    let entries = fields::map(node, &what, loader.findings);
    let get = |wanted: &str| entries.iter().find(|(key, _)| key.value == wanted);
    let site = Site { folder, context, settings };
    if let Some((key, over)) = get("foreach") {
        let Some((_, body)) = get("do") else {
            loader.findings.push(
                fields::missing(key.span.clone(), &what, "do")
                    .hint("`foreach` lists the items, `do` holds the stage for each"),
            );
            return;
        };
        if let Some((other, _)) = entries.iter().find(|(key, _)| !matches!(key.as_str(), "foreach" | "do")) {
            loader.findings.push(
                Diagnostic::error("dvc::foreach", format!("`{}` stands beside `foreach`", other.value))
                    .at(other.span.clone(), "")
                    .hint("what belongs to the stage stands under `do`"),
            );
            return;
        }
        return foreach(name, over, body, &site, loader);
    }
    if let Some((key, _)) = get("do") {
        loader.findings.push(
            fields::missing(key.span.clone(), &what, "foreach").hint("`do` is the stage of a `foreach`"),
        );
        return;
    }
    match get("matrix") {
        Some((_, axes)) => matrix(name, axes, node, &site, loader),
        None => one(name.clone(), node, &site, loader),
    }
}

fn foreach(name: &Name, over: &Node, body: &Node, site: &Site<'_>, loader: &mut Loader<'_, '_>) {
    let Some(items) = resolve(over, site.context, Allowed::Anything, site.settings, loader.findings) else {
        return;
    };
    let is_composite = |value: &Value| matches!(value.data, Data::List(_) | Data::Map(_));
    let (items, keyed): (Vec<(String, Value)>, bool) = match items.data {
        Data::Map(entries) => (entries.into_iter().map(|(key, value)| (key.value, value)).collect(), true),
        Data::List(items) if items.iter().any(is_composite) => {
            (items.into_iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(), false)
        }
        Data::List(items) => {
            (items.into_iter().map(|item| (text(&item).unwrap_or_default(), item)).collect(), false)
        }
        _ => {
            loader.findings.push(fields::wrong(over, "`foreach`", "a list or a map, or the name of one"));
            return;
        }
    };
    let mut seen = std::collections::BTreeSet::new();
    for (key, item) in items {
        if !seen.insert(key.clone()) {
            continue;
        }
        let mut more = vec![("item", item)];
        if keyed {
            more.push(("key", Value { span: over.span.clone(), data: Data::Text(key.clone()) }));
        }
        let context = site.context.with(more);
        let name = Spanned::new(format!("{}@{key}", name.value), name.span.clone());
        one(name, body, &Site { context: &context, ..*site }, loader);
    }
}

fn matrix(name: &Name, axes: &Node, node: &Node, site: &Site<'_>, loader: &mut Loader<'_, '_>) {
    let Some(axes_value) = resolve(axes, site.context, Allowed::Anything, site.settings, loader.findings)
    else {
        return;
    };
    let Data::Map(axes_map) = axes_value.data else {
        loader.findings.push(fields::wrong(axes, "`matrix`", "a map of lists"));
        return;
    };
    // Words of the name, and the variables.
    type Combination = (Vec<String>, Vec<(Name, Value)>);
    let mut combinations: Vec<Combination> = vec![Default::default()];
    for (axis, values) in axes_map {
        let Data::List(values) = values.data else {
            loader.findings.push(
                Diagnostic::error("dvc::matrix", format!("axis `{}` is a list of values", axis.value))
                    .at(axis.span.clone(), ""),
            );
            return;
        };
        if combinations.len().saturating_mul(values.len()) > MOST {
            loader.findings.push(
                Diagnostic::error("dvc::matrix", format!("the matrix has more than {MOST} combinations"))
                    .at(axis.span.clone(), ""),
            );
            return;
        }
        combinations = combinations
            .iter()
            .flat_map(|(names, combination)| {
                values.iter().enumerate().map(|(index, value)| {
                    let word = text(value).unwrap_or_else(|| format!("{}{index}", axis.value));
                    let (mut names, mut combination) = (names.clone(), combination.clone());
                    names.push(word);
                    combination.push((axis.clone(), value.clone()));
                    (names, combination)
                })
            })
            .collect();
    }
    for (names, combination) in combinations {
        let key = names.join("-");
        let at = |data| Value { span: axes.span.clone(), data };
        let context = site
            .context
            .with(vec![("key", at(Data::Text(key.clone()))), ("item", at(Data::Map(combination)))]);
        let name = Spanned::new(format!("{}@{key}", name.value), name.span.clone());
        one(name, node, &Site { context: &context, ..*site }, loader);
    }
}

/// Adds one stage.
fn one(name: Name, node: &Node, site: &Site<'_>, loader: &mut Loader<'_, '_>) {
    let what = format!("stage `{}`", name.value);
    let entries = fields::map(node, &what, loader.findings);
    let get = |wanted: &str| entries.iter().find(|(key, _)| key.value == wanted).map(|(_, node)| node);
    let before = loader.findings.len();
    let scalars = |node: &Node, context: &Context, loader: &mut Loader<'_, '_>| {
        resolve(node, context, Allowed::Scalars, site.settings, loader.findings)
    };
    let folder = match get("wdir") {
        None => site.folder.to_owned(),
        Some(node) => {
            let Some(value) = resolve(node, site.context, Allowed::Anything, site.settings, loader.findings)
            else {
                return;
            };
            join(site.folder, &text(&value).unwrap_or_default())
        }
    };
    let mut own = site.context.clone();
    if let Some(node) = get("vars") {
        loader.vars(&mut own, node, &folder);
    }
    let mut stage = empty(name.clone());
    let mut command = None;
    let mut params = Vec::new();
    let mut has_params = false;
    for (key, node) in entries {
        match key.as_str() {
            "cmd" => {
                command = resolve(node, &own, Allowed::Arguments, site.settings, loader.findings)
                    .map(|value| (node.span.clone(), value));
            }
            "deps" => {
                let paths = scalars(node, &own, loader);
                stage.deps = paths.map(|paths| texts(paths, key, loader)).unwrap_or_default();
            }
            "outs" => outs(&mut stage, node, OutKind::Out, &own, site, loader),
            "metrics" => outs(&mut stage, node, OutKind::Metrics, &own, site, loader),
            "plots" => outs(&mut stage, node, OutKind::Plots, &own, site, loader),
            "params" => {
                has_params = true;
                if let Some(value) = scalars(node, &own, loader) {
                    params = params::read(&value, &folder, loader);
                }
            }
            "frozen" => stage.frozen = boolean(node, "`frozen`", &own, site, loader),
            "always_changed" => stage.always = boolean(node, "`always_changed`", &own, site, loader),
            known if KEYS.contains(&known) => {}
            _ => loader.findings.extend(fields::unknown_key(key, &what, KEYS, &[])),
        }
    }
    let Some((span, value)) = command else {
        if get("cmd").is_none() {
            loader
                .findings
                .push(fields::missing(name.span.clone(), &what, "cmd").hint("a stage of DVC runs a command"));
        }
        return;
    };
    // One that reads nothing and writes nothing is run for what it does.
    stage.always |= stage.deps.is_empty() && !has_params && stage.outs.is_empty();
    let Some(command) = command_spec(span, value, &folder, params, loader) else { return };
    stage.work = WorkSpec::Command(command);
    stage.broken = loader.findings.len() > before;
    loader.spec.stages.push(stage);
}

fn empty(name: Name) -> StageSpec {
    let command =
        CommandSpec { span: name.span.clone(), lines: Vec::new(), folder: None, dialect: Dialect::Native };
    StageSpec::new(name, WorkSpec::Command(command))
}

/// A command that is a text is run line by line, one that is a list item by item.
fn command_spec(
    span: Span,
    value: Value,
    folder: &str,
    params: Vec<(String, Vec<(String, Value)>)>,
    loader: &mut Loader<'_, '_>,
) -> Option<CommandSpec> {
    let literal = |text: String| Value { span: span.clone(), data: Data::Text(text) };
    let (lines, command): (Vec<Value>, serde_json::Value) = match value.data {
        Data::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(text).collect();
            let items = items.unwrap_or_default();
            (items.iter().cloned().map(literal).collect(), items.into())
        }
        Data::Map(_) | Data::Template(_) => (Vec::new(), serde_json::Value::Null),
        _ => {
            let text = text(&value).unwrap_or_default();
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            (lines.map(|line| literal(line.to_owned())).collect(), text.into())
        }
    };
    if lines.is_empty() {
        loader.findings.push(
            Diagnostic::error("spec::empty-command", "`cmd` is a command or a list of commands")
                .at(span, "")
                .hint("a map of arguments stands inside of a command: `cmd: python train.py ${train}`"),
        );
        return None;
    }
    let folder = (!folder.is_empty()).then(|| literal(folder.to_owned()));
    Some(CommandSpec { lines, folder, dialect: Dialect::Dvc(DvcSpec { command, params }), span })
}

fn texts(value: Value, key: &Name, loader: &mut Loader<'_, '_>) -> Vec<Value> {
    let items = match value.data {
        Data::List(items) => items,
        Data::Null => Vec::new(),
        data => vec![Value { span: value.span, data }],
    };
    let mut found = Vec::new();
    for item in items {
        match text(&item) {
            Some(text) if !matches!(item.data, Data::Null) => {
                found.push(Value { span: item.span, data: Data::Text(text) })
            }
            _ => loader.findings.push(
                Diagnostic::error("spec::type", format!("an entry of `{}` is a path", key.value))
                    .at(item.span, ""),
            ),
        }
    }
    found
}

fn outs(
    stage: &mut StageSpec,
    node: &Node,
    kind: OutKind,
    context: &Context,
    site: &Site<'_>,
    loader: &mut Loader<'_, '_>,
) {
    for item in fields::items(node) {
        match &item.data {
            NodeData::Map(entries) if !entries.is_empty() => {
                for (path, options) in entries {
                    let options = options_node(options);
                    let options = command::read_options(path, &options, kind, loader.findings);
                    let Some(path) = resolve_key(path, context, site.settings, loader.findings) else {
                        continue;
                    };
                    let value = Value { span: path.span, data: Data::Text(path.value) };
                    stage.outs.push(OutSpec {
                        path: value,
                        kind,
                        persist: options.persist,
                        cache: options.cache,
                    });
                }
            }
            _ => {
                let value = resolve(item, context, Allowed::Scalars, site.settings, loader.findings);
                let Some(value) = value else { continue };
                match text(&value).filter(|_| !matches!(value.data, Data::Null)) {
                    Some(text) => stage.outs.push(OutSpec {
                        path: Value { span: value.span, data: Data::Text(text) },
                        kind,
                        persist: false,
                        cache: true,
                    }),
                    None => loader.findings.push(fields::wrong(
                        item,
                        "an entry of `outs`, `metrics` or `plots`",
                        "a path, alone or with its options",
                    )),
                }
            }
        }
    }
}

/// A plot may be drawn in several ways; what counts here is the same in all of them.
fn options_node(node: &Node) -> Node {
    match &node.data {
        NodeData::List(items) => {
            items.first().cloned().unwrap_or(Node { span: node.span.clone(), data: NodeData::Null })
        }
        _ => node.clone(),
    }
}

fn boolean(node: &Node, what: &str, context: &Context, site: &Site<'_>, loader: &mut Loader<'_, '_>) -> bool {
    match resolve(node, context, Allowed::Scalars, site.settings, loader.findings).map(|value| value.data) {
        Some(Data::Bool(value)) => value,
        Some(_) => {
            loader.findings.push(fields::wrong(node, what, "`true` or `false`"));
            false
        }
        None => false,
    }
}
