//! `params:` of a stage → the values it depends on, by file and key.

use crate::spec::{
    Diagnostic,
    nearest::suggestion,
    types::{Data, Span, Value},
};

use super::{
    context::{DEFAULT_PARAMS, Loader, join},
    interpolate::text,
};

/// Keys wanted of one file; none is the whole file.
struct Wanted {
    file: String,
    keys: Option<Vec<(String, Span)>>,
    span: Span,
}

/// Values by file, `params.yaml` first and the others in order, and by key in order, as a lock file has them.
pub(super) fn read(
    written: &Value,
    folder: &str,
    loader: &mut Loader<'_, '_>,
) -> Vec<(String, Vec<(String, Value)>)> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let items = match &written.data {
        Data::List(items) => &items[..],
        Data::Null => &[],
        _ => std::slice::from_ref(written),
    };
    for item in items {
        match &item.data {
            Data::Map(entries) => {
                for (file, keys) in entries {
                    add(&mut wanted, &file.value, keys_of(keys, loader), &file.span);
                }
            }
            _ => match text(item) {
                Some(key) => {
                    add(&mut wanted, DEFAULT_PARAMS, Some(vec![(key, item.span.clone())]), &item.span)
                }
                None => loader.findings.push(not_a_key(item)),
            },
        }
    }
    let mut found: Vec<(String, Vec<(String, Value)>)> = Vec::new();
    for Wanted { file, keys, span } in wanted {
        let Some(value) = loader.file(&join(folder, &file), &span) else { continue };
        let mut values: Vec<(String, Value)> = match (keys, value.data) {
            (None, Data::Map(entries)) => {
                entries.into_iter().map(|(key, value)| (key.value, value)).collect()
            }
            (None, _) => Vec::new(),
            (Some(keys), data) => {
                let root = Value { span: value.span, data };
                keys.into_iter()
                    .filter_map(|(key, span)| match lookup(&root, &key) {
                        Ok(value) => Some((key, value.clone())),
                        Err(near) => {
                            loader.findings.push(
                                Diagnostic::error(
                                    "dvc::params",
                                    format!("there is no param `{key}` in `{file}`"),
                                )
                                .at(span, "")
                                .maybe_hint(near),
                            );
                            None
                        }
                    })
                    .collect()
            }
        };
        values.sort_by(|(a, _), (b, _)| a.cmp(b));
        values.dedup_by(|(a, _), (b, _)| a == b);
        found.push((file, values));
    }
    found.sort_by(|(a, _), (b, _)| (a != DEFAULT_PARAMS, a).cmp(&(b != DEFAULT_PARAMS, b)));
    found
}

fn keys_of(written: &Value, loader: &mut Loader<'_, '_>) -> Option<Vec<(String, Span)>> {
    let items = match &written.data {
        Data::Null => return None,
        Data::List(items) if items.is_empty() => return None,
        Data::List(items) => &items[..],
        _ => std::slice::from_ref(written),
    };
    let mut keys = Vec::new();
    for item in items {
        match text(item) {
            Some(key) => keys.push((key, item.span.clone())),
            None => loader.findings.push(not_a_key(item)),
        }
    }
    Some(keys)
}

fn not_a_key(item: &Value) -> Diagnostic {
    Diagnostic::error("spec::type", format!("a param is named by its key; here it is {}", item.kind()))
        .at(item.span.clone(), "")
        .hint("write keys of params.yaml, as in `- train.lr`, or `- other.yaml: [key]`")
}

fn add(wanted: &mut Vec<Wanted>, file: &str, keys: Option<Vec<(String, Span)>>, span: &Span) {
    match wanted.iter_mut().find(|known| known.file == file) {
        None => wanted.push(Wanted { file: file.to_owned(), keys, span: span.clone() }),
        // A whole file takes in any part of it.
        Some(known) => match (&mut known.keys, keys) {
            (Some(known), Some(keys)) => known.extend(keys),
            (known, _) => *known = None,
        },
    }
}

fn lookup<'v>(root: &'v Value, way: &str) -> Result<&'v Value, Option<String>> {
    let mut at = root;
    for part in way.split('.') {
        at = match &at.data {
            Data::Map(entries) => {
                let found = entries.iter().find(|(key, _)| key.value == part);
                found
                    .map(|(_, value)| value)
                    .ok_or_else(|| suggestion(part, entries.iter().map(|(key, _)| key.as_str())))?
            }
            Data::List(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)).ok_or(None)?,
            _ => return Err(None),
        };
    }
    Ok(at)
}
