//! The values that templates can name: `params.yaml`, files and maps of `vars`, and what an iteration adds.

use std::path::Path;

use crate::spec::{
    Diagnostic, PipelineSpec, Reader, data_file,
    fields::{self, Findings},
    nearest::suggestion,
    tree::{Node, NodeData},
    types::{Data, Name, Span, Spanned, Value},
    verbatim,
};

/// The file whose values are there without being asked for.
pub(super) const DEFAULT_PARAMS: &str = "params.yaml";

/// Values by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    entries: Vec<(Name, Value)>,
    /// Files taken in, with the keys taken; none is all.
    imports: Vec<(String, Option<Vec<String>>)>,
}

impl Context {
    /// The value at a way such as `models.a[0]`, or why there is none.
    pub fn select(&self, way: &str) -> Result<&Value, String> {
        let parts = parts(way)?;
        let mut at: Option<&Value> = None;
        let mut walked = String::new();
        for part in parts {
            let found = match at.map(|value| &value.data) {
                None => self.entries.iter().find(|(key, _)| key.value == part).map(|(_, value)| value),
                Some(Data::Map(entries)) => {
                    entries.iter().find(|(key, _)| key.value == part).map(|(_, value)| value)
                }
                Some(Data::List(items)) => index(part, items.len()).and_then(|index| items.get(index)),
                Some(_) => return Err(format!("`{walked}` is a single value and has no `{part}`")),
            };
            let known: Vec<&str> = match at.map(|value| &value.data) {
                None => self.entries.iter().map(|(key, _)| key.as_str()).collect(),
                Some(Data::Map(entries)) => entries.iter().map(|(key, _)| key.as_str()).collect(),
                _ => Vec::new(),
            };
            at = Some(found.ok_or_else(|| {
                let place = if walked.is_empty() { String::new() } else { format!(" in `{walked}`") };
                let near = suggestion(part, known).map(|near| format!("; {near}")).unwrap_or_default();
                format!("there is no `{part}`{place}{near}")
            })?);
            walked = if walked.is_empty() { part.to_owned() } else { format!("{walked}.{part}") };
        }
        at.ok_or_else(|| "the braces are empty".to_owned())
    }

    /// The same with more names, which hide others.
    pub fn with(&self, more: Vec<(&str, Value)>) -> Self {
        let mut context = self.clone();
        for (name, value) in more {
            context.entries.retain(|(key, _)| key.value != name);
            context.entries.push((Spanned::new(name.to_owned(), value.span.clone()), value));
        }
        context
    }
}

/// Names of a way: `a.b[0]` is `a`, `b`, `0`.
fn parts(way: &str) -> Result<Vec<&str>, String> {
    let wrong = || format!("`{way}` is no way to a value; write for example `models.a` or `models[0]`");
    let mut parts = Vec::new();
    let mut rest = way;
    loop {
        let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
        let word = rest[..end].trim();
        if word.is_empty() {
            return Err(wrong());
        }
        parts.push(word);
        rest = &rest[end..];
        while let Some(inner) = rest.strip_prefix('[') {
            let close = inner.find(']').ok_or_else(wrong)?;
            if inner[..close].trim().is_empty() || inner[..close].contains(['.', '[']) {
                return Err(wrong());
            }
            parts.push(inner[..close].trim());
            rest = &inner[close + 1..];
        }
        match rest.strip_prefix('.') {
            Some(next) => rest = next,
            None if rest.is_empty() => return Ok(parts),
            None => return Err(wrong()),
        }
    }
}

/// An index into a list; one below 0 counts from the end.
fn index(text: &str, length: usize) -> Option<usize> {
    let index: i64 = text.parse().ok()?;
    let length = i64::try_from(length).ok()?;
    usize::try_from(if index < 0 { index + length } else { index }).ok()
}

/// Reads files and keeps what is wrong with them.
pub(super) struct Loader<'a, 'r> {
    pub spec: &'a mut PipelineSpec,
    pub files: &'a mut Reader<'r>,
    pub findings: &'a mut Findings,
}

impl Loader<'_, '_> {
    /// Takes in `params.yaml` of a folder, if there is one.
    pub fn default_params(&mut self, context: &mut Context, folder: &str) {
        let path = join(folder, DEFAULT_PARAMS);
        if (self.files)(&path).is_ok()
            && let Some(value) = self.file(&path, &(0..0))
        {
            self.take(context, value, &path, None, &(0..0));
        }
    }

    /// Takes in what `vars:` lists; files are relative to a folder.
    pub fn vars(&mut self, context: &mut Context, node: &Node, folder: &str) {
        for item in fields::items(node) {
            match &item.data {
                NodeData::Text { text, .. } if text.contains("${") => self.findings.push(
                    Diagnostic::error("dvc::vars", "an entry of `vars` can't be a template")
                        .at(item.span.clone(), ""),
                ),
                NodeData::Text { text, .. } => {
                    let (file, keys) = match text.split_once(':') {
                        Some((file, keys)) => {
                            let keys = keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned);
                            (file, Some(keys.collect::<Vec<_>>()).filter(|keys| !keys.is_empty()))
                        }
                        None => (text.as_str(), None),
                    };
                    self.var_file(context, &join(folder, file), keys, &item.span);
                }
                NodeData::Map(_) => {
                    let Data::Map(entries) = verbatim(item).data else { continue };
                    merge(&mut context.entries, entries, "", self.findings);
                }
                _ => self.findings.push(fields::wrong(item, "an entry of `vars`", "a file or a map")),
            }
        }
    }

    fn var_file(&mut self, context: &mut Context, path: &str, keys: Option<Vec<String>>, span: &Span) {
        if let Some((_, taken)) = context.imports.iter().find(|(known, _)| known == path) {
            let twice = match (taken, &keys) {
                (None, None) => return,
                (Some(taken), Some(keys)) => keys.iter().any(|key| taken.contains(key)),
                _ => true,
            };
            if twice {
                self.findings.push(
                    Diagnostic::error("dvc::vars", format!("`{path}` is taken in already, whole or in part"))
                        .at(span.clone(), "")
                        .hint(format!("name it once; `{DEFAULT_PARAMS}` is there without being named")),
                );
                return;
            }
        }
        if let Some(value) = self.file(path, span) {
            self.take(context, value, path, keys, span);
        }
    }

    fn take(
        &mut self,
        context: &mut Context,
        value: Value,
        path: &str,
        keys: Option<Vec<String>>,
        span: &Span,
    ) {
        let mut entries = match value.data {
            Data::Map(entries) => entries,
            Data::Null => Vec::new(),
            _ => {
                self.findings.push(
                    Diagnostic::error(
                        "dvc::vars",
                        format!("`{path}` is no map, so it holds no values by name"),
                    )
                    .at(span.clone(), ""),
                );
                return;
            }
        };
        if let Some(keys) = &keys {
            for key in keys.iter().filter(|key| entries.iter().all(|(name, _)| name.value != **key)) {
                self.findings.push(
                    Diagnostic::error("dvc::vars", format!("there is no `{key}` in `{path}`"))
                        .at(span.clone(), "")
                        .maybe_hint(suggestion(key, entries.iter().map(|(name, _)| name.as_str()))),
                );
            }
            entries.retain(|(name, _)| keys.contains(&name.value));
        }
        merge(&mut context.entries, entries, "", self.findings);
        context.imports.push((path.to_owned(), keys));
    }

    /// The data in a file; `span` is where it is named.
    pub fn file(&mut self, path: &str, span: &Span) -> Option<Value> {
        if path.ends_with(".py") {
            self.findings.push(
                Diagnostic::error("dvc::python", format!("`{path}` is Python, which is not read"))
                    .at(span.clone(), "")
                    .hint("keep params in a YAML, JSON or TOML file"),
            );
            return None;
        }
        let text = match (self.files)(path) {
            Ok(text) => text,
            Err(reason) => {
                self.findings.push(
                    Diagnostic::error("dvc::file", format!("cannot read `{path}`: {reason}"))
                        .at(span.clone(), ""),
                );
                return None;
            }
        };
        let mut said = Findings::new();
        let found = data_file(path, &text, &mut said);
        if found.is_none() && said.is_empty() {
            said.push(Diagnostic::error("dvc::file", format!("`{path}` holds no data that can be read")));
        }
        let known = self.spec.sources.file(path).map(crate::spec::SourceFile::base);
        let base = known.unwrap_or_else(|| self.spec.sources.add(path, &text));
        said.iter_mut().for_each(|finding| finding.shift(base));
        self.findings.append(&mut said);
        found.map(|mut value| {
            value.shift(base);
            value
        })
    }
}

/// Adds values; maps are merged, and nothing is redefined.
fn merge(into: &mut Vec<(Name, Value)>, from: Vec<(Name, Value)>, way: &str, findings: &mut Findings) {
    for (name, value) in from {
        let full = if way.is_empty() { name.value.clone() } else { format!("{way}.{}", name.value) };
        match into.iter_mut().find(|(key, _)| key.value == name.value) {
            None => into.push((name, value)),
            Some((first, old)) => match (&mut old.data, value.data) {
                (Data::Map(old), Data::Map(new)) => merge(old, new, &full, findings),
                _ => findings.push(
                    Diagnostic::error("dvc::vars", format!("`{full}` has a value already"))
                        .at(name.span, "a second one")
                        .at(first.span.clone(), "first here")
                        .hint("DVC lets no variable be redefined; give one of them another name"),
                ),
            },
        }
    }
}

/// A path in a folder, both relative to the project's root, without `.` and as far as can be without `..`.
pub(super) fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    if path.starts_with('/') {
        return path.to_owned();
    }
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A path as seen from a folder, both relative to the project's root.
pub(super) fn relative(folder: &Path, path: &Path) -> String {
    let mut from = folder.components().peekable();
    let mut to = path.components().peekable();
    while from.peek().is_some() && from.peek() == to.peek() {
        from.next();
        to.next();
    }
    let up = from.map(|_| "..".to_owned());
    let parts: Vec<String> =
        up.chain(to.map(|part| part.as_os_str().to_string_lossy().into_owned())).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}
