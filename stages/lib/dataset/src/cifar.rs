//! CIFAR-10 in its binary distribution: records of one label byte and 3072 pixel bytes (red, green, blue planes of
//! 32×32). Format: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::{fs, path::Path, sync::Arc};

use crate::{
    DatasetError,
    dataset::{Dataset, Part, RecordLayout, Sample, Source},
};

const LAYOUT: RecordLayout = RecordLayout { width: 32, height: 32, planes: 3 };
const META: &str = "batches.meta.txt";

/// Names and parts of the batch files that are there.
fn batches(root: &Path) -> Vec<(String, Part)> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let mut names: Vec<(String, Part)> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| {
            let part = match name.strip_suffix(".bin")? {
                "test_batch" => Part::Test,
                stem if stem.starts_with("data_batch_") => Part::Train,
                _ => return None,
            };
            Some((name, part))
        })
        .collect();
    names.sort();
    names
}

pub(crate) fn is_here(root: &Path) -> bool {
    !batches(root).is_empty()
}

pub(crate) fn open(root: &Path) -> Result<Dataset, DatasetError> {
    let names = class_names(&root.join(META))?;
    let mut samples = Vec::new();
    let record = 1 + LAYOUT.bytes();
    for (name, part) in batches(root) {
        let path = root.join(&name);
        let bytes = fs::read(&path).map_err(|source| DatasetError::Read { path: path.clone(), source })?;
        if bytes.is_empty() || bytes.len() % record != 0 {
            let reason =
                format!("its {} bytes are not a whole number of records of {record} bytes", bytes.len());
            return Err(DatasetError::Binary { path, reason });
        }
        let blob: Arc<[u8]> = bytes.into();
        for index in 0..blob.len() / record {
            let label = usize::from(blob[index * record]);
            if label >= names.len() {
                let reason =
                    format!("record {index} has label {label}, but {META} names {} classes", names.len());
                return Err(DatasetError::Binary { path, reason });
            }
            samples.push(Sample {
                id: format!("{name}#{index}"),
                label,
                part,
                source: Source::Record {
                    blob: Arc::clone(&blob),
                    offset: index * record + 1,
                    layout: LAYOUT,
                },
            });
        }
    }
    let classes = relabel(&names, &mut samples);
    Ok(Dataset { root: root.to_owned(), classes, samples, ignored: Vec::new() })
}

fn class_names(path: &Path) -> Result<Vec<String>, DatasetError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(DatasetError::Layout {
                path: path.parent().unwrap_or(path).to_owned(),
                reason: format!("it has CIFAR-10 batches, but no {META} with the names of the classes"),
                hint: format!("unpack {META} from the same archive next to the batches"),
            });
        }
        Err(source) => return Err(DatasetError::Read { path: path.to_owned(), source }),
    };
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    if names.is_empty() || unique.len() != names.len() {
        let reason = "it must name every class once, one a line".to_owned();
        return Err(DatasetError::Binary { path: path.to_owned(), reason });
    }
    Ok(names)
}

/// Sorts the classes by name, drops those without a sample, and gives the samples their labels in that order.
fn relabel(names: &[String], samples: &mut [Sample]) -> Vec<String> {
    let mut used: Vec<usize> = samples.iter().map(|sample| sample.label).collect();
    used.sort_unstable();
    used.dedup();
    used.sort_by(|a, b| names[*a].cmp(&names[*b]));
    let mut label_of = vec![0; names.len()];
    for (label, &original) in used.iter().enumerate() {
        label_of[original] = label;
    }
    for sample in samples {
        sample.label = label_of[sample.label];
    }
    used.into_iter().map(|original| names[original].clone()).collect()
}
