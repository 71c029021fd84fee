//! IDX files (MNIST and its like): big-endian header, then one byte a pixel. Format:
//! <http://yann.lecun.com/exdb/mnist/>.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::read::GzDecoder;

use crate::{
    DatasetError,
    dataset::{Dataset, Part, RecordLayout, Sample, Source},
};

/// Magic numbers: unsigned bytes of three dimensions, of one dimension.
const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;
/// Largest body that is read, so that a wrong header does not ask for all memory.
const MAX_BYTES: u64 = 1 << 33;

const SETS: [(&str, Part); 2] = [("train", Part::Train), ("t10k", Part::Test)];

/// The file or its compressed twin.
fn locate(root: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")]
        .into_iter()
        .map(|name| root.join(name))
        .find(|path| path.is_file())
}

pub(crate) fn is_here(root: &Path) -> bool {
    SETS.iter().any(|(set, _)| locate(root, &format!("{set}-images-idx3-ubyte")).is_some())
}

pub(crate) fn open(root: &Path) -> Result<Dataset, DatasetError> {
    let mut samples = Vec::new();
    for (set, part) in SETS {
        // The id leaves `.gz` out, so that packing a file does not move its samples to other splits.
        let images_name = format!("{set}-images-idx3-ubyte");
        let Some(images_path) = locate(root, &images_name) else { continue };
        let labels_name = format!("{set}-labels-idx1-ubyte");
        let Some(labels_path) = locate(root, &labels_name) else {
            return Err(DatasetError::Layout {
                path: root.to_owned(),
                reason: format!("it has {images_name}, but neither {labels_name} nor {labels_name}.gz"),
                hint: "put the labels next to the images".to_owned(),
            });
        };
        let (dimensions, pixels) = read(&images_path, IMAGES_MAGIC, 3)?;
        let (_, labels) = read(&labels_path, LABELS_MAGIC, 1)?;
        let (count, height, width) = (dimensions[0], dimensions[1], dimensions[2]);
        if labels.len() != count {
            let reason = format!("it has {} labels for {count} images", labels.len());
            return Err(DatasetError::Binary { path: labels_path, reason });
        }
        let layout = RecordLayout { width, height, planes: 1 };
        let blob: Arc<[u8]> = pixels.into();
        samples.extend(labels.iter().enumerate().map(|(index, &label)| Sample {
            id: format!("{images_name}#{index}"),
            label: usize::from(label),
            part,
            source: Source::Record { blob: Arc::clone(&blob), offset: index * layout.bytes(), layout },
        }));
    }
    let classes = name_classes(&mut samples);
    Ok(Dataset { root: root.to_owned(), classes, samples, ignored: Vec::new() })
}

/// Names classes by their number, padded with zeros so that bytewise order is numeric order, and closes gaps.
fn name_classes(samples: &mut [Sample]) -> Vec<String> {
    let mut used: Vec<usize> = samples.iter().map(|sample| sample.label).collect();
    used.sort_unstable();
    used.dedup();
    let digits = used.last().map_or(1, |last| last.to_string().len());
    for sample in samples {
        // Always found: `used` holds every label.
        sample.label = used.binary_search(&sample.label).unwrap_or_default();
    }
    used.iter().map(|number| format!("{number:0digits$}")).collect()
}

/// Dimensions and body of one file.
fn read(path: &Path, magic: u32, dimensions: usize) -> Result<(Vec<usize>, Vec<u8>), DatasetError> {
    let file = File::open(path).map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
    let file = BufReader::new(file);
    if path.extension().is_some_and(|extension| extension == "gz") {
        read_body(path, GzDecoder::new(file), magic, dimensions)
    } else {
        read_body(path, file, magic, dimensions)
    }
}

fn read_body(
    path: &Path,
    mut stream: impl Read,
    magic: u32,
    dimensions: usize,
) -> Result<(Vec<usize>, Vec<u8>), DatasetError> {
    let damaged = |reason: String| DatasetError::Binary { path: path.to_owned(), reason };
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it ends too early".to_owned()),
        _ => damaged(error.to_string()),
    };
    let mut number = || -> io::Result<u32> {
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    };
    let found = number().map_err(broken)?;
    if found != magic {
        return Err(damaged(format!("its magic number is {found:#010x} instead of {magic:#010x}")));
    }
    let mut sizes = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        sizes.push(number().map_err(broken)? as usize);
    }
    let total =
        sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64)).unwrap_or(u64::MAX);
    if total == 0 || total > MAX_BYTES {
        return Err(damaged(format!("its header says dimensions {sizes:?}")));
    }
    let mut body = Vec::new();
    stream.by_ref().take(total).read_to_end(&mut body).map_err(broken)?;
    if (body.len() as u64) < total {
        return Err(damaged(format!("its header says {total} bytes of data, it has {}", body.len())));
    }
    // Reading on also makes the gzip reader compare its checksum.
    if stream.read(&mut [0]).map_err(broken)? != 0 {
        return Err(damaged(format!("it goes on after the {total} bytes of data that its header says")));
    }
    Ok((sizes, body))
}
