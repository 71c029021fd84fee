//! Pointer files `*.dvc`, as DVC 3 writes and reads them.

use std::{
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde_yaml::{Mapping, Value};

use super::TrackError;
use crate::digest::Md5;

/// What DVC calls an object: the MD5 of a file's bytes, or of a folder's listing with `.dir` behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The hash.
    pub md5: Md5,
    /// A folder's listing.
    pub folder: bool,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.md5, if self.folder { ".dir" } else { "" })
    }
}

/// What a pointer file says of the data beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// Content.
    pub name: ObjectName,
    /// Sum of the files' sizes in bytes; none where the file does not say.
    pub size: Option<u64>,
    /// Number of files, for a folder.
    pub files: Option<u64>,
    /// The file is executable.
    pub executable: bool,
    /// Name of the data beside the pointer file: one part of a path.
    pub path: String,
}

impl Pointer {
    /// Where the pointer of some data is: beside it, with `.dvc` behind its name.
    pub fn file_of(data: &Path) -> PathBuf {
        let mut name = data.as_os_str().to_owned();
        name.push(".dvc");
        name.into()
    }

    /// Reads a pointer file's text. Keys that we do not use are DVC's business and passed over.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let outs = file.get("outs").and_then(Value::as_sequence).ok_or("it has no list `outs`")?;
        let [out] = &outs[..] else {
            return Err(format!("`outs` has {} entries, and 1 is wanted", outs.len()));
        };
        let text = |key: &str| out.get(key).and_then(Value::as_str);
        if file.get("wdir").is_some() {
            return Err("it has a `wdir`, which only DVC can use".to_owned());
        }
        match text("hash") {
            Some("md5") => {}
            Some(other) => return Err(format!("its hash is `{other}`, and only md5 can be used")),
            None if text("md5").is_some() => {
                return Err("it is of DVC 2, whose hashes are of another kind; `dvc cache migrate --dvc-files` makes it one of DVC 3".to_owned());
            }
            None => return Err("it has no `hash`".to_owned()),
        }
        let md5 = text("md5").ok_or("it has no `md5`; `dvc commit` fills it in")?;
        let (hex, folder) = md5.strip_suffix(".dir").map_or((md5, false), |hex| (hex, true));
        let path = text("path").ok_or("it has no `path`")?;
        // Elsewhere than beside the pointer, checking out would write where nobody expects it.
        if path.is_empty() || path == "." || path == ".." || path.contains(['/', '\\', '\0']) {
            return Err(format!("its path `{path}` does not lie beside it"));
        }
        Ok(Self {
            name: ObjectName { md5: hex.parse()?, folder },
            size: out.get("size").and_then(Value::as_u64),
            files: out.get("nfiles").and_then(Value::as_u64),
            executable: out.get("isexec").and_then(Value::as_bool).unwrap_or(false),
            path: path.to_owned(),
        })
    }

    /// Reads a pointer file.
    pub fn read(path: &Path) -> Result<Self, TrackError> {
        let text = fs::read_to_string(path).map_err(TrackError::io("read", path))?;
        Self::parse(&text).map_err(|reason| TrackError::Pointer { path: path.to_owned(), reason })
    }

    /// The pointer file's text. Of an older text, everything stays that is not about the content: descriptions, labels, a
    /// remote of its own.
    pub fn render(&self, older: Option<&str>) -> Result<String, String> {
        let mut out = Mapping::new();
        out.insert("md5".into(), self.name.to_string().into());
        out.extend(self.size.map(|size| ("size".into(), size.into())));
        out.extend(self.files.map(|files| ("nfiles".into(), files.into())));
        if self.executable {
            out.insert("isexec".into(), true.into());
        }
        out.insert("hash".into(), "md5".into());
        out.insert("path".into(), self.path.as_str().into());
        let mut file = match older.map(serde_yaml::from_str::<Value>) {
            Some(Ok(Value::Mapping(file))) => file,
            _ => Mapping::new(),
        };
        if let Some(Value::Sequence(outs)) = file.get("outs")
            && let [Value::Mapping(known)] = &outs[..]
        {
            let ours = ["md5", "size", "nfiles", "isexec", "hash", "path", "files", "cloud"];
            let theirs = known.iter().filter(|(key, _)| key.as_str().is_none_or(|key| !ours.contains(&key)));
            out.extend(theirs.map(|(key, value)| (key.clone(), value.clone())));
        }
        file.insert("outs".into(), Value::Sequence(vec![Value::Mapping(out)]));
        serde_yaml::to_string(&file).map_err(|error| error.to_string())
    }

    /// Writes the pointer file, unless it says the same already. True when it was written.
    pub fn write(&self, path: &Path) -> Result<bool, TrackError> {
        let older = fs::read_to_string(path).ok();
        if older.as_deref().is_some_and(|text| Self::parse(text).as_ref() == Ok(self)) {
            return Ok(false);
        }
        let failed = |reason| TrackError::Pointer { path: path.to_owned(), reason };
        let older = older.map(|text| without_origin(&text));
        let text = self.render(older.as_deref()).map_err(failed)?;
        write_whole(path, &text)?;
        Ok(true)
    }
}

/// A pointer file's text without what it says of where the data came from: what was changed here did not come from there.
fn without_origin(text: &str) -> String {
    let Ok(Value::Mapping(mut file)) = serde_yaml::from_str(text) else { return text.to_owned() };
    if file.get("deps").is_none() {
        return text.to_owned();
    }
    for key in ["md5", "frozen", "deps"] {
        file.shift_remove(key);
    }
    serde_yaml::to_string(&file).unwrap_or_else(|_| text.to_owned())
}

/// Writes a text file of the work tree so that it is never seen half.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), TrackError> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".stagewright-")
        .tempfile_in(folder)
        .map_err(TrackError::io("create a file in", folder))?;
    let mode = fs::metadata(path).map_or(0o644, |meta| meta.permissions().mode());
    file.write_all(text.as_bytes())
        .and_then(|()| file.as_file().set_permissions(fs::Permissions::from_mode(mode)))
        .map_err(TrackError::io("write", path))?;
    file.persist(path).map_err(|error| TrackError::io("write", path)(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILE: &str =
        "outs:\n- md5: 6152496c47126ba1079afd2a0b63645d\n  size: 4\n  hash: md5\n  path: one.txt\n";
    const FOLDER: &str = "outs:\n- md5: b8856b7d76b64218caa735bd04f5df9c.dir\n  size: 27\n  nfiles: 11\n  hash: md5\n  path: data\n";
    const TOOL: &str = "outs:\n- md5: 7a52c94ace40d9c052cf40f3541637c3\n  size: 35664\n  isexec: true\n  hash: md5\n  path: tool\n";

    #[test]
    fn what_dvc_writes_is_read_and_written_byte_for_byte() {
        for text in [FILE, FOLDER, TOOL] {
            assert_eq!(Pointer::parse(text).unwrap().render(None).unwrap(), text);
        }
    }

    #[test]
    fn what_is_not_about_the_content_stays() {
        let older = format!("desc: ours\n{}  remote: lab\n  cache: true\nmeta:\n  owner: me\n", FILE);
        let pointer = Pointer { size: Some(9), ..Pointer::parse(&older).unwrap() };
        let text = pointer.render(Some(&older)).unwrap();
        insta::assert_snapshot!(text, @r"
        desc: ours
        outs:
        - md5: 6152496c47126ba1079afd2a0b63645d
          size: 9
          hash: md5
          path: one.txt
          remote: lab
          cache: true
        meta:
          owner: me
        ");
    }

    #[test]
    fn what_can_not_be_used_is_refused_with_the_reason() {
        let mut reasons = String::new();
        for text in [
            "",
            "outs: []",
            "outs:\n- path: x\n- path: y",
            "outs:\n- md5: 6152496c47126ba1079afd2a0b63645d\n  path: x",
            "outs:\n- etag: x\n  hash: etag\n  path: x",
            "outs:\n- hash: md5\n  path: x",
            "outs:\n- md5: ../../../../etc/passwd\n  hash: md5\n  path: x",
            "outs:\n- md5: 6152496c47126ba1079afd2a0b63645d\n  hash: md5\n  path: ../x",
            "outs:\n- md5: 6152496c47126ba1079afd2a0b63645d\n  hash: md5\n  path: /etc/passwd",
            "wdir: ..\nouts:\n- md5: 6152496c47126ba1079afd2a0b63645d\n  hash: md5\n  path: x",
        ] {
            reasons.push_str(&Pointer::parse(text).unwrap_err());
            reasons.push('\n');
        }
        insta::assert_snapshot!(reasons);
    }
}
