//! A lock file as what it means.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    LockFileError,
    error::Fault,
    fields::{self, Fields, Way},
};
use crate::{
    digest::Digest,
    plan::{self, Action, ActionKey, StageId},
    record::{ActionResult, Material, flatten},
    store::{Artifact, ArtifactKind},
};

/// A lock file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LockFile {
    /// By the name of the pipeline's file, which lies in the same folder.
    pub pipelines: BTreeMap<String, LockedStages>,
}

/// The stages of one pipeline.
pub type LockedStages = BTreeMap<StageId, LockedStage>;

/// What a stage last resolved to.
#[derive(Debug, Clone, PartialEq)]
pub struct LockedStage {
    /// The action key.
    pub key: ActionKey,
    /// Version of the program that made the result.
    pub version: String,
    /// What the key was made of.
    pub from: Material,
    /// Outputs by port.
    pub outputs: BTreeMap<String, LockedOutput>,
}

/// An output of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedOutput {
    /// The content.
    pub artifact: Artifact,
    /// A single file that can be executed.
    pub executable: bool,
    /// Where it lies in the work tree, relative to the project's root; none where it is only stored.
    pub at: Option<PathBuf>,
}

impl LockedStage {
    /// What a result of an action is to the lock file.
    pub fn new(action: &Action, result: &ActionResult) -> Self {
        let place = |port: &str| {
            let out = action.outs.iter().find(|out| out.port() == port).map(|out| out.path.clone());
            action.exports.get(port).cloned().or(out)
        };
        let outputs = result.outputs.iter().map(|(port, output)| {
            let (artifact, executable, at) = (output.artifact, output.executable, place(port));
            (port.clone(), LockedOutput { artifact, executable, at })
        });
        Self {
            key: result.key,
            version: result.program.version.clone(),
            from: flatten(&result.material),
            outputs: outputs.collect(),
        }
    }
}

impl LockFile {
    /// Reads a file. None where there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, LockFileError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LockFileError::io("read", path)(error)),
        };
        Self::parse(&text).map(Some).map_err(|fault| fault.of(path))
    }

    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let fields = fields::parse(text)?;
        decode(&fields).map_err(|(way, reason)| {
            let line = fields::line_of(text, &way).unwrap_or(1);
            Fault::wrong(line, format!("`{}`: {reason}", way.join("` / `")))
        })
    }

    /// The text of the file.
    pub fn render(&self) -> String {
        fields::render(&self.encode())
    }

    fn encode(&self) -> Fields {
        let mut fields = Fields::new();
        for (file, stages) in &self.pipelines {
            for (stage, LockedStage { key, version, from, outputs }) in stages {
                let mut put = |rest: &[&str], value: Value| {
                    let way = ["pipelines", file, &stage.0].into_iter().chain(rest.iter().copied());
                    fields.insert(way.map(str::to_owned).collect(), value);
                };
                put(&["key"], key.0.to_string().into());
                put(&["version"], version.as_str().into());
                for (field, value) in from {
                    put(&["from", field], value.clone());
                }
                for (port, LockedOutput { artifact, executable, at }) in outputs {
                    let mut put = |name: &str, value: Value| put(&["outputs", port, name], value);
                    put("digest", artifact.digest.to_string().into());
                    match artifact.kind {
                        ArtifactKind::File => put("kind", "file".into()),
                        ArtifactKind::Tree => {
                            put("kind", "tree".into());
                            put("files", artifact.files.into());
                            put("bytes", artifact.bytes.into());
                        }
                    }
                    if *executable {
                        put("executable", true.into());
                    }
                    if let Some(at) = at {
                        put("at", at.to_string_lossy().into());
                    }
                }
            }
        }
        fields
    }
}

/// Fields of one stage or output, taken out one by one.
struct Part<'a> {
    way: Way,
    fields: BTreeMap<&'a str, &'a Value>,
}

type Wrong = (Way, String);

impl<'a> Part<'a> {
    fn wrong(&self, name: &str, reason: impl Into<String>) -> Wrong {
        let way = self.way.iter().cloned().chain([name.to_owned()]).collect();
        (way, reason.into())
    }

    fn text(&mut self, name: &str) -> Result<&'a str, Wrong> {
        match self.fields.remove(name) {
            Some(value) => value.as_str().ok_or_else(|| self.wrong(name, "a text is wanted")),
            None => Err(self.wrong(name, "it is missing")),
        }
    }

    fn number(&mut self, name: &str) -> Result<u64, Wrong> {
        let found = self.fields.remove(name);
        found.and_then(Value::as_u64).ok_or_else(|| self.wrong(name, "a whole number, 0 or above, is wanted"))
    }

    fn digest(&mut self, name: &str) -> Result<Digest, Wrong> {
        self.text(name)?.parse().map_err(|error| self.wrong(name, format!("{error}")))
    }

    fn end(self) -> Result<(), Wrong> {
        match self.fields.keys().next() {
            Some(name) => Err(self.wrong(name, "no such field is known")),
            None => Ok(()),
        }
    }
}

#[derive(Default)]
struct Parts<'a> {
    own: BTreeMap<&'a str, &'a Value>,
    from: Material,
    outputs: BTreeMap<&'a str, BTreeMap<&'a str, &'a Value>>,
}

fn decode(fields: &Fields) -> Result<LockFile, Wrong> {
    let mut found: BTreeMap<(&str, &str), Parts<'_>> = BTreeMap::new();
    for (way, value) in fields {
        let names: Vec<&str> = way.iter().map(String::as_str).collect();
        let ["pipelines", file, stage, rest @ ..] = &names[..] else {
            return Err((way.clone(), "no such field is known".to_owned()));
        };
        let parts = found.entry((file, stage)).or_default();
        match rest {
            ["from", field] => drop(parts.from.insert((*field).to_owned(), value.clone())),
            ["outputs", port, name] => drop(parts.outputs.entry(port).or_default().insert(name, value)),
            [name] => drop(parts.own.insert(name, value)),
            _ => return Err((way.clone(), "no such field is known".to_owned())),
        }
    }
    let mut file = LockFile::default();
    for ((pipeline, stage), Parts { own, from, outputs }) in found {
        let way = vec!["pipelines".to_owned(), pipeline.to_owned(), stage.to_owned()];
        let mut part = Part { way: way.clone(), fields: own };
        let (key, version) = (ActionKey(part.digest("key")?), part.text("version")?.to_owned());
        part.end()?;
        let outputs = outputs.into_iter().map(|(port, fields)| {
            let way = way.iter().cloned().chain(["outputs".to_owned(), port.to_owned()]).collect();
            Ok((port.to_owned(), output(Part { way, fields })?))
        });
        let locked = LockedStage { key, version, from, outputs: outputs.collect::<Result<_, Wrong>>()? };
        file.pipelines.entry(pipeline.to_owned()).or_default().insert(StageId(stage.to_owned()), locked);
    }
    Ok(file)
}

fn output(mut part: Part<'_>) -> Result<LockedOutput, Wrong> {
    let digest = part.digest("digest")?;
    let artifact = match part.text("kind")? {
        "file" => Artifact { kind: ArtifactKind::File, digest, files: 1, bytes: digest.size() },
        "tree" => Artifact {
            kind: ArtifactKind::Tree,
            digest,
            files: part.number("files")?,
            bytes: part.number("bytes")?,
        },
        other => return Err(part.wrong("kind", format!("`{other}` is neither `file` nor `tree`"))),
    };
    let executable = part.fields.remove("executable") == Some(&Value::Bool(true));
    let at = match part.fields.contains_key("at") {
        // Elsewhere than in the project, checking out would write where nobody expects it.
        true => {
            let text = part.text("at")?;
            let place = plan::place(text).filter(|place| place.as_os_str() == text);
            Some(
                place
                    .ok_or_else(|| part.wrong("at", format!("`{text}` is no place inside of the project")))?,
            )
        }
        false => None,
    };
    part.end()?;
    Ok(LockedOutput { artifact, executable, at })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn sample() -> LockFile {
        let digest = Digest::of(b"x");
        let file = Artifact { kind: ArtifactKind::File, digest, files: 1, bytes: 1 };
        let tree = Artifact { kind: ArtifactKind::Tree, digest, files: 3, bytes: 12 };
        let stage = LockedStage {
            key: ActionKey(digest),
            version: "0.1.0".to_owned(),
            from: Material::from([("with.lr".to_owned(), json!(0.1)), ("cmd".to_owned(), json!("a\nb"))]),
            outputs: BTreeMap::from([
                (
                    "model".to_owned(),
                    LockedOutput { artifact: file, executable: true, at: Some("results/m.onnx".into()) },
                ),
                ("logs".to_owned(), LockedOutput { artifact: tree, executable: false, at: None }),
            ]),
        };
        let stages = LockedStages::from([
            (StageId("train[lr=0.1]".to_owned()), stage.clone()),
            (StageId("bare".to_owned()), LockedStage { outputs: BTreeMap::new(), ..stage }),
        ]);
        LockFile { pipelines: BTreeMap::from([("train.yaml".to_owned(), stages)]) }
    }

    #[test]
    fn golden_text() {
        let text = sample().render();
        insta::assert_snapshot!(text);
        assert_eq!(LockFile::parse(&text).unwrap(), sample());
    }

    #[test]
    fn a_wrong_field_is_named() {
        let text = sample().render();
        let mut faults = String::new();
        for (from, to) in [
            ("\"results/m.onnx\"", "\"../m.onnx\""),
            ("\"results/m.onnx\"", "\"/etc/passwd\""),
            ("\"results/m.onnx\"", "\".git/hooks/post-checkout\""),
            ("\"results/m.onnx\"", "\"results/./m.onnx\""),
            ("\"results/m.onnx\"", "7"),
            ("files: 3", "files: -1"),
            ("files: 3", "files: 1e400"),
            ("files: 3", "files: 99999999999999999999999"),
            ("kind: \"tree\"", "kind: \"link\""),
            (":1\"\n          executable", ":x\"\n          executable"),
            ("version: \"0.1.0\"", "vrsion: \"0.1.0\""),
        ] {
            assert!(text.contains(from), "{from}");
            let Fault { line, what } = LockFile::parse(&text.replacen(from, to, 1)).unwrap_err();
            faults.push_str(&format!("{line} {what:?}\n"));
        }
        insta::assert_snapshot!(faults);
    }
}
