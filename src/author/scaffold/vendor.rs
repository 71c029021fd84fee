//! The SDK for Rust as a folder of a project: sources as they are, manifests freed from the workspace they come from.

use std::path::PathBuf;

use toml::{Table, Value};

use super::ScaffoldError;

/// Settings that the manifests inherit.
const WORKSPACE: &str = include_str!("../../../Cargo.toml");

/// A package with its manifest and sources.
struct Package {
    name: &'static str,
    manifest: &'static str,
    sources: &'static [(&'static str, &'static str)],
}

macro_rules! package {
    ($name:literal, $folder:literal, [$($file:literal),* $(,)?]) => {
        Package {
            name: $name,
            manifest: include_str!(concat!("../../../stages/lib/", $folder, "/Cargo.toml")),
            sources: &[$(($file, include_str!(concat!("../../../stages/lib/", $folder, "/src/", $file)))),*],
        }
    };
}

const PACKAGES: &[Package] = &[
    package!("stagewright-protocol", "protocol", ["lib.rs", "manifest.rs", "message.rs"]),
    package!(
        "stagewright-sdk",
        "sdk",
        ["builder.rs", "context.rs", "fault.rs", "lib.rs", "session.rs", "testing.rs"]
    ),
];

/// The files, below `vendor/`.
pub(super) fn files() -> Result<Vec<(PathBuf, String)>, ScaffoldError> {
    let mut files = Vec::new();
    for package in PACKAGES {
        let folder = PathBuf::from("vendor").join(package.name);
        files.push((folder.join("Cargo.toml"), manifest(package)?));
        for (file, text) in package.sources {
            files.push((folder.join("src").join(file), (*text).to_owned()));
        }
    }
    Ok(files)
}

fn manifest(package: &Package) -> Result<String, ScaffoldError> {
    let failed = |reason: String| ScaffoldError::Manifest { package: package.name, reason };
    let parse = |text: &str| text.parse::<Table>().map_err(|error| failed(error.to_string()));
    let workspace = parse(WORKSPACE)?;
    let inherited = |section: &str| {
        let found = workspace.get("workspace").and_then(|table| table.get(section));
        found.and_then(Value::as_table).cloned().unwrap_or_default()
    };
    let mut written = parse(package.manifest)?;
    // Lints and tests are matters of the workspace.
    written.remove("lints");
    written.remove("dev-dependencies");
    for (section, shared) in [("package", inherited("package")), ("dependencies", inherited("dependencies"))]
    {
        let Some(Value::Table(entries)) = written.get_mut(section) else { continue };
        for (name, entry) in entries.iter_mut() {
            if PACKAGES.iter().any(|package| package.name == name) {
                *entry = Value::Table(Table::from_iter([("path".to_owned(), format!("../{name}").into())]));
            } else if entry.get("workspace").is_some() {
                let base =
                    shared.get(name).ok_or_else(|| failed(format!("nothing to inherit for {name}")))?;
                *entry = merged(base, entry);
            }
        }
    }
    toml::to_string(&written).map_err(|error| failed(error.to_string()))
}

/// What the workspace says of a dependency, with the features that the package adds.
fn merged(base: &Value, own: &Value) -> Value {
    let added = own.get("features").and_then(Value::as_array).cloned().unwrap_or_default();
    if added.is_empty() {
        return base.clone();
    }
    let mut table = match base {
        Value::Table(table) => table.clone(),
        version => Table::from_iter([("version".to_owned(), version.clone())]),
    };
    let mut features = table.get("features").and_then(Value::as_array).cloned().unwrap_or_default();
    features.extend(added);
    table.insert("features".to_owned(), Value::Array(features));
    Value::Table(table)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn no_source_file_is_left_out() {
        for package in PACKAGES {
            let folder = package.name.strip_prefix("stagewright-").unwrap();
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/lib").join(folder).join("src");
            let there: BTreeSet<String> = walkdir::WalkDir::new(&source)
                .into_iter()
                .map(Result::unwrap)
                .filter(|item| item.file_type().is_file())
                .map(|item| item.path().strip_prefix(&source).unwrap().to_str().unwrap().to_owned())
                .collect();
            let listed = package.sources.iter().map(|(file, _)| (*file).to_owned()).collect();
            assert_eq!(there, listed, "{}", package.name);
        }
    }

    #[test]
    fn manifests_stand_alone() {
        for (path, text) in files().unwrap().iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
            assert!(!text.contains("workspace"), "{}: {text}", path.display());
        }
        let sdk = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/lib/sdk/Cargo.toml"))
            .unwrap();
        assert!(sdk.contains("rustix"), "the features below are what it adds");
        let table: Table = manifest(&PACKAGES[1]).unwrap().parse().unwrap();
        let features = table["dependencies"]["rustix"]["features"].as_array().unwrap();
        assert_eq!(
            features.iter().map(|f| f.as_str().unwrap()).collect::<Vec<_>>(),
            ["std", "stdio", "process"]
        );
        assert_eq!(
            table["dependencies"]["stagewright-protocol"]["path"].as_str(),
            Some("../stagewright-protocol")
        );
        assert_eq!(table["package"]["edition"].as_str(), Some("2024"));
    }
}
