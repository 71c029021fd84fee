//! The layouts with one folder per class, with and without `train/`, `test/`, `validation/`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use walkdir::WalkDir;

use crate::{
    DatasetError,
    dataset::{Dataset, Part, Sample, Source},
};

/// Folder names that stand for a part.
const PARTS: [(&str, Part); 4] = [
    ("train", Part::Train),
    ("test", Part::Test),
    ("validation", Part::Validation),
    ("val", Part::Validation),
];

const EXPECTED: &str = "one folder per class with .jpg, .jpeg or .png files, also below train/, test/ and validation/; \
                        CIFAR-10 binary or IDX files are read too";

/// A file found below a class folder.
struct Found {
    id: String,
    class: String,
    part: Part,
    path: PathBuf,
}

pub(crate) fn open(root: &Path) -> Result<Dataset, DatasetError> {
    let folders = visible_folders(root)?;
    let named: Vec<(&str, Part)> =
        PARTS.into_iter().filter(|(name, _)| folders.iter().any(|folder| folder == name)).collect();
    let mut split = false;
    for (name, _) in &named {
        split |= !visible_folders(&root.join(name))?.is_empty();
    }
    let mut found = Vec::new();
    let mut ignored = Vec::new();
    if split {
        check_parts(root, &folders, &named)?;
        for (name, part) in named {
            for class in visible_folders(&root.join(name))? {
                collect(root, &format!("{name}/{class}"), &class, part, &mut found, &mut ignored)?;
            }
        }
    } else {
        for class in folders {
            collect(root, &class, &class, Part::Unsplit, &mut found, &mut ignored)?;
        }
    }
    if found.is_empty() {
        return Err(layout(root, "it holds no image in a class folder".to_owned()));
    }

    let names: BTreeSet<&str> = found.iter().map(|file| file.class.as_str()).collect();
    let labels: BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(label, name)| (*name, label)).collect();
    let classes = names.iter().map(|name| (*name).to_owned()).collect();
    let samples = found
        .iter()
        .map(|file| Sample {
            id: file.id.clone(),
            label: labels[file.class.as_str()],
            part: file.part,
            source: Source::File(file.path.clone()),
        })
        .collect();
    ignored.sort();
    Ok(Dataset { root: root.to_owned(), classes, samples, ignored })
}

/// A folder that is a part and one that is not, or two names of one part, leave open what is meant.
fn check_parts(root: &Path, folders: &[String], named: &[(&str, Part)]) -> Result<(), DatasetError> {
    let others: Vec<&str> = folders
        .iter()
        .map(String::as_str)
        .filter(|folder| named.iter().all(|(name, _)| name != folder))
        .collect();
    if !others.is_empty() {
        let named: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
        return Err(DatasetError::Layout {
            path: root.to_owned(),
            reason: format!("next to {} with class folders it has {}", named.join(", "), others.join(", ")),
            hint: "move every class folder below train/, test/ or validation/, or none".to_owned(),
        });
    }
    if ["val", "validation"].iter().all(|wanted| named.iter().any(|(name, _)| name == wanted)) {
        return Err(DatasetError::Layout {
            path: root.to_owned(),
            reason: "it has both val/ and validation/".to_owned(),
            hint: "keep one of the two".to_owned(),
        });
    }
    Ok(())
}

/// Takes every image below one class folder; other files are listed in `ignored`.
fn collect(
    root: &Path,
    folder: &str,
    class: &str,
    part: Part,
    found: &mut Vec<Found>,
    ignored: &mut Vec<String>,
) -> Result<(), DatasetError> {
    let top = root.join(folder);
    let walk = WalkDir::new(&top).follow_links(true).into_iter();
    // The entry at depth 0 is the class folder itself.
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name())) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(&top).to_owned();
            DatasetError::Read { path, source: error.into() }
        })?;
        if !entry.file_type().is_file() {
            continue;
        }
        let inside = entry.path().strip_prefix(&top).unwrap_or(entry.path());
        let parts: Option<Vec<&str>> = inside.iter().map(|part| part.to_str()).collect();
        let Some(parts) = parts else {
            let shown = entry.path().display();
            return Err(DatasetError::Layout {
                path: root.to_owned(),
                reason: format!("the name of {shown} is not UTF-8, so it can't be an id"),
                hint: "rename the file".to_owned(),
            });
        };
        let id = format!("{folder}/{}", parts.join("/"));
        if is_image(inside) {
            found.push(Found { id, class: class.to_owned(), part, path: entry.path().to_owned() });
        } else {
            ignored.push(id);
        }
    }
    Ok(())
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png"))
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Names of the folders directly inside a folder, sorted, without hidden ones; empty if it is a file.
fn visible_folders(folder: &Path) -> Result<Vec<String>, DatasetError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let read = |source| DatasetError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        // `path().is_dir()` follows links, as inputs may be linked into place.
        if is_hidden(&entry.file_name()) || !entry.path().is_dir() {
            continue;
        }
        match entry.file_name().into_string() {
            Ok(name) => names.push(name),
            Err(name) => {
                let name = name.to_string_lossy();
                return Err(layout(
                    folder,
                    format!("the folder name `{name}` is not UTF-8, so it can't be a class"),
                ));
            }
        }
    }
    names.sort();
    Ok(names)
}

fn layout(root: &Path, reason: String) -> DatasetError {
    DatasetError::Layout { path: root.to_owned(), reason, hint: format!("expected: {EXPECTED}") }
}
