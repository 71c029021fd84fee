//! Pointer files of data that was imported: beside the data itself, where it came from.
//!
//! As `dvc import-url` writes them: `frozen`, one entry of `deps` with the place and what the place called its content, and the MD5 of it all,
//! by which DVC sees whether somebody changed the file.

use std::{fs, path::Path};

use serde_yaml::{Mapping, Value};

use super::{
    Added, Pointer, TrackError, Tracked,
    add::{Place, take},
    ignore::ignore,
    listing::quote,
    pointer::write_whole,
};
use crate::{
    digest::Md5,
    store::{LocalStore, StoreError},
};

/// Where data came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dep {
    /// A URL, or a path, which is relative to the pointer file's folder.
    pub place: String,
    /// What `tag` is called: `checksum`, `etag` or `md5`.
    pub kind: String,
    /// What the place called its content.
    pub tag: String,
    /// Bytes.
    pub size: Option<u64>,
    /// Files of a folder.
    pub files: Option<u64>,
}

/// Keys that the MD5 of a pointer file leaves out.
const LEFT_OUT: &[&str] =
    &["desc", "type", "labels", "meta", "locked", "frozen", "metric", "persist", "isexec", "size", "nfiles"];

impl Dep {
    /// Where the data of a pointer file came from; none where it was just added. Data of another repository (`dvc import`) is DVC's business.
    pub fn read(file: &Path) -> Result<Option<Self>, TrackError> {
        let text = fs::read_to_string(file).map_err(TrackError::io("read", file))?;
        Ok(serde_yaml::from_str::<Value>(&text).ok().as_ref().and_then(Self::of))
    }

    fn of(file: &Value) -> Option<Self> {
        let [dep] = &file.get("deps")?.as_sequence()?[..] else { return None };
        let text = |key: &str| dep.get(key).and_then(Value::as_str).map(str::to_owned);
        if dep.get("repo").is_some() {
            return None;
        }
        let (kind, tag) = ["checksum", "etag", "md5"].iter().find_map(|kind| Some((*kind, text(kind)?)))?;
        Some(Self {
            place: text("path")?,
            kind: kind.to_owned(),
            tag,
            size: dep.get("size").and_then(Value::as_u64),
            files: dep.get("nfiles").and_then(Value::as_u64),
        })
    }

    fn encode(&self) -> Mapping {
        let mut dep = Mapping::new();
        dep.insert(self.kind.as_str().into(), self.tag.as_str().into());
        dep.extend(self.size.map(|size| ("size".into(), size.into())));
        dep.extend(self.files.map(|files| ("nfiles".into(), files.into())));
        dep.insert("hash".into(), "md5".into());
        dep.insert("path".into(), self.place.as_str().into());
        dep
    }
}

/// Takes what was brought to `from` under version control as the data at `path`, which gets its content. What is there is replaced only if
/// the store has it, unless `force` gives it up. `root` is the project's.
pub fn import(
    root: &Path,
    path: &Path,
    from: &Path,
    dep: &Dep,
    store: &LocalStore,
    force: bool,
) -> Result<Added, TrackError> {
    let Place { data, name } = Place::find(root, path)?;
    let file = Pointer::file_of(&data);
    let older = match fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(TrackError::io("read", &file)(error)),
    };
    let mut pointer = take(from, store)?;
    pointer.executable = false;
    pointer.path = name;
    let absent = || TrackError::Absent { path: data.clone(), name: pointer.name };
    let alias = store.alias(&pointer.name.md5, pointer.name.folder)?.ok_or_else(absent)?;
    let there = fs::symlink_metadata(&data).is_ok();
    let mut replaces = false;
    if !(there && store.fingerprint(&data)? == alias.artifact) {
        if there && !force {
            store.check_recoverable(&data).map_err(|error| match error {
                StoreError::UserChanged { path } => TrackError::InTheWay { path },
                error => error.into(),
            })?;
        }
        replaces = true;
    }
    // Ignored before git can see it as new.
    let ignored = ignore(&data)?;
    if replaces {
        store.replace(&alias.artifact, &data)?;
    }
    let failed = |reason| TrackError::Pointer { path: file.clone(), reason };
    let text = render(&pointer, dep, older.as_deref()).map_err(failed)?;
    let changed = older.as_deref() != Some(&text);
    if changed {
        write_whole(&file, &text)?;
    }
    Ok(Added { tracked: Tracked { file, data, pointer }, changed, ignored })
}

/// The pointer file's text; what an older one says beside is kept.
fn render(pointer: &Pointer, dep: &Dep, older: Option<&str>) -> Result<String, String> {
    let wrong = |error: serde_yaml::Error| error.to_string();
    let text = pointer.render(older)?;
    let Ok(Value::Mapping(mut rest)) = serde_yaml::from_str(&text) else { return Ok(text) };
    for key in ["md5", "frozen", "deps"] {
        rest.shift_remove(key);
    }
    let mut file = Mapping::new();
    file.insert("frozen".into(), true.into());
    file.insert("deps".into(), Value::Sequence(vec![dep.encode().into()]));
    file.extend(rest);
    let mut whole = Mapping::new();
    whole.insert("md5".into(), md5_of(&file).to_string().into());
    whole.extend(file);
    serde_yaml::to_string(&whole).map_err(wrong)
}

/// The MD5 by which DVC knows a pointer file: of its JSON as Python writes it, sorted, without [`LEFT_OUT`].
fn md5_of(file: &Mapping) -> Md5 {
    let mut text = String::new();
    python(&Value::Mapping(file.clone()), &mut text);
    Md5::of(text.as_bytes())
}

fn python(value: &Value, text: &mut String) {
    match value {
        Value::Mapping(map) => {
            let entries = map.iter().filter_map(|(key, value)| Some((key.as_str()?, value)));
            let mut entries: Vec<_> = entries.filter(|(key, _)| !LEFT_OUT.contains(key)).collect();
            entries.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                quote(key, text);
                text.push_str(": ");
                python(value, text);
            }
            text.push('}');
        }
        Value::Sequence(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                python(item, text);
            }
            text.push(']');
        }
        Value::String(value) => quote(value, text),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::Null | Value::Tagged(_) => text.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILE: &str = "md5: fa2964efeb48ec91e9df74331fa9ed6a\nfrozen: true\ndeps:\n- checksum: '\"b1946ac92492d2347c6235b4d2611184\"'\n  size: 6\n  hash: md5\n  path: http://127.0.0.1:18734/a.bin\nouts:\n- md5: b1946ac92492d2347c6235b4d2611184\n  size: 6\n  hash: md5\n  path: a.bin\n";
    const FOLDER: &str = "md5: 615b53cbdba6ec1dffa9263d772610f3\nfrozen: true\ndeps:\n- md5: 3bf3fa1ca4277e87b5193c2612d8eb3c.dir\n  size: 2\n  nfiles: 1\n  hash: md5\n  path: /srv/d\nouts:\n- md5: 3bf3fa1ca4277e87b5193c2612d8eb3c.dir\n  size: 2\n  nfiles: 1\n  hash: md5\n  path: d\n";

    #[test]
    fn what_dvc_writes_is_read_and_written_byte_for_byte() {
        for text in [FILE, FOLDER] {
            let dep = Dep::of(&serde_yaml::from_str(text).unwrap()).unwrap();
            let pointer = Pointer::parse(text).unwrap();
            assert_eq!(render(&pointer, &dep, None).unwrap(), text);
            assert_eq!(render(&pointer, &dep, Some(text)).unwrap(), text);
        }
    }

    #[test]
    fn data_that_was_not_imported_has_no_origin() {
        for text in [
            "outs:\n- path: x\n",
            "deps:\n- path: x\n  md5: y\n- path: z\n  md5: y\n",
            "deps:\n- path: x\n  md5: y\n  repo: {url: z}\n",
            "deps:\n- path: x\n",
            "deps: 7\n",
        ] {
            assert_eq!(Dep::of(&serde_yaml::from_str(text).unwrap()), None, "{text}");
        }
    }
}
