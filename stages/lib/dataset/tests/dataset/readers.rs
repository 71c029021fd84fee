//! Folder layouts and binary files.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use stagewright_dataset::{Dataset, DatasetError, Image, Part, Preprocess};
use stagewright_sdk::{ErrorClass, StageFault};

fn put(root: &Path, id: &str, shade: u8) {
    let path = root.join(id);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, Image { width: 2, height: 1, pixels: vec![shade; 6] }.to_png()).unwrap();
}

fn ids(dataset: &Dataset) -> Vec<&str> {
    dataset.samples.iter().map(|sample| sample.id.as_str()).collect()
}

fn failure(root: &Path) -> (String, StageFault) {
    let error = Dataset::open(root).unwrap_err();
    let root = root.display().to_string();
    (error.to_string().replace(&root, "DATA"), error.into())
}

#[test]
fn class_folders() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for id in ["b/1.png", "a/2.PNG", "a/10.jpeg", "B/x.jpg", "a/deep/er.png", ".git/c/x.png", "a/.hidden.png"]
    {
        put(root, id, 7);
    }
    fs::write(root.join("a/notes.txt"), "x").unwrap();
    fs::write(root.join("README.md"), "x").unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    let dataset = Dataset::open(root).unwrap();
    assert_eq!(dataset.classes, ["B", "a", "b"], "sorted bytewise, without empty folders");
    assert_eq!(ids(&dataset), ["B/x.jpg", "a/10.jpeg", "a/2.PNG", "a/deep/er.png", "b/1.png"]);
    assert_eq!(dataset.samples.iter().map(|sample| sample.label).collect::<Vec<_>>(), [0, 1, 1, 1, 2]);
    assert!(dataset.samples.iter().all(|sample| sample.part == Part::Unsplit));
    assert_eq!(dataset.ignored, ["a/notes.txt"]);
    assert_eq!(dataset.image(0).unwrap().pixels, [7; 6]);
}

#[cfg(unix)]
#[test]
fn linked_files_and_folders_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "elsewhere/1.png", 3);
    let root = folder.path().join("data");
    fs::create_dir_all(root.join("a")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), root.join("b")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere/1.png"), root.join("a/2.png")).unwrap();
    assert_eq!(ids(&Dataset::open(&root).unwrap()), ["a/2.png", "b/1.png"]);
}

#[test]
fn split_class_folders() {
    let folder = tempfile::tempdir().unwrap();
    for id in ["train/a/1.png", "train/b/1.png", "test/b/1.png", "val/c/1.png"] {
        put(folder.path(), id, 0);
    }
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(dataset.classes, ["a", "b", "c"]);
    let parts: Vec<_> =
        dataset.samples.iter().map(|sample| (sample.id.as_str(), sample.label, sample.part)).collect();
    let expected = [
        ("test/b/1.png", 1, Part::Test),
        ("train/a/1.png", 0, Part::Train),
        ("train/b/1.png", 1, Part::Train),
        ("val/c/1.png", 2, Part::Validation),
    ];
    assert_eq!(parts, expected);
}

#[test]
fn a_class_may_be_called_train() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "train/1.png", 0);
    put(folder.path(), "plane/1.png", 0);
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(dataset.classes, ["plane", "train"]);
    assert_eq!(dataset.samples[0].part, Part::Unsplit);
}

#[test]
fn folders_that_leave_open_what_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    put(root, "train/a/1.png", 0);
    put(root, "extra/1.png", 0);
    let (text, fault) = failure(root);
    assert_eq!(text, "DATA is not a dataset of images: next to train with class folders it has extra");
    assert_eq!(fault.0.hint.unwrap(), "move every class folder below train/, test/ or validation/, or none");
    assert_eq!(fault.0.class, ErrorClass::User);
    fs::remove_dir_all(root.join("extra")).unwrap();
    put(root, "val/a/1.png", 0);
    put(root, "validation/a/1.png", 0);
    assert_eq!(failure(root).0, "DATA is not a dataset of images: it has both val/ and validation/");
}

#[test]
fn folders_without_images() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let empty = "DATA is not a dataset of images: it holds no image in a class folder";
    assert_eq!(failure(root).0, empty);
    fs::write(root.join("1.png"), "x").unwrap();
    assert_eq!(failure(root).0, empty);
    let (text, fault) = failure(&root.join("1.png"));
    assert_eq!(text, "DATA is not a dataset of images: it is a file, not a folder");
    assert_eq!(fault.0.hint.unwrap(), "unpack an archive first and give the folder");
    let (text, fault) = failure(&root.join("missing"));
    assert!(text.starts_with("cannot read DATA: No such file"), "{text}");
    assert_eq!(fault.0.class, ErrorClass::User);
}

#[test]
fn a_damaged_image_is_named() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a/1.png", 0);
    fs::write(folder.path().join("a/1.png"), "").unwrap();
    let error = Dataset::open(folder.path()).unwrap().image(0).unwrap_err();
    assert_eq!(error.to_string(), "image a/1.png can't be decoded: the file is empty");
    let fault = StageFault::from(error);
    assert_eq!(fault.0.class, ErrorClass::User);
    assert!(fault.0.hint.unwrap().contains("on-corrupt: skip"));
}

/// A CIFAR-10 record: label, then planes that start with red, green, blue.
fn record(label: u8, colours: [u8; 3]) -> Vec<u8> {
    let mut bytes = vec![label];
    for colour in colours {
        let mut plane = vec![0; 1024];
        plane[0] = colour;
        plane[33] = colour + 1;
        bytes.extend(plane);
    }
    bytes
}

#[test]
fn cifar_binary() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // Names not in alphabetical order, one of them without samples.
    fs::write(root.join("batches.meta.txt"), "zebra\ncat\nowl\n\n").unwrap();
    fs::write(root.join("data_batch_1.bin"), [record(0, [10, 20, 30]), record(1, [1, 2, 3])].concat())
        .unwrap();
    fs::write(root.join("test_batch.bin"), record(1, [5, 6, 7])).unwrap();
    let dataset = Dataset::open(root).unwrap();
    assert_eq!(dataset.classes, ["cat", "zebra"]);
    assert_eq!(ids(&dataset), ["data_batch_1.bin#0", "data_batch_1.bin#1", "test_batch.bin#0"]);
    assert_eq!(dataset.samples.iter().map(|sample| sample.label).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!(dataset.samples[2].part, Part::Test);
    assert_eq!(dataset.record_size(0), Some([32, 32]));
    let image = dataset.image(0).unwrap();
    assert_eq!((image.width, image.height), (32, 32));
    assert_eq!(image.pixels[..3], [10, 20, 30]);
    let second_row_second_column = (32 + 1) * 3;
    assert_eq!(image.pixels[second_row_second_column..][..3], [11, 21, 31]);

    fs::write(root.join("data_batch_1.bin"), record(3, [0; 3])).unwrap();
    let text = failure(root).0;
    assert_eq!(
        text,
        "DATA/data_batch_1.bin is damaged: record 0 has label 3, but batches.meta.txt names 3 classes"
    );
    fs::write(root.join("data_batch_1.bin"), &record(0, [0; 3])[1..]).unwrap();
    let text = failure(root).0;
    assert_eq!(
        text,
        "DATA/data_batch_1.bin is damaged: its 3072 bytes are not a whole number of records of 3073 bytes"
    );
    fs::remove_file(root.join("batches.meta.txt")).unwrap();
    assert!(failure(root).0.contains("no batches.meta.txt"));
}

fn idx(magic: u32, sizes: &[u32], body: &[u8]) -> Vec<u8> {
    let header = [magic].iter().chain(sizes).flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    [header.as_slice(), body].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx_plain_and_compressed() {
    let images = idx(0x803, &[3, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    let labels = idx(0x801, &[3], &[7, 0, 7]);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("train-images-idx3-ubyte"), &images).unwrap();
    fs::write(root.join("train-labels-idx1-ubyte.gz"), gzip(&labels)).unwrap();
    fs::write(root.join("t10k-images-idx3-ubyte.gz"), gzip(&images)).unwrap();
    fs::write(root.join("t10k-labels-idx1-ubyte"), &labels).unwrap();
    let dataset = Dataset::open(root).unwrap();
    assert_eq!(dataset.classes, ["0", "7"]);
    assert_eq!(dataset.samples[0].id, "t10k-images-idx3-ubyte#0", "the id leaves .gz out");
    assert_eq!(dataset.samples[0].part, Part::Test);
    let second = &dataset.samples[4];
    assert_eq!(
        (second.id.as_str(), second.label, second.part),
        ("train-images-idx3-ubyte#1", 0, Part::Train)
    );
    assert_eq!(dataset.bytes(4).unwrap(), [5, 6, 7, 8]);
    assert_eq!(dataset.image(4).unwrap().pixels, [5, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8]);
}

#[test]
fn many_idx_classes_stay_in_numeric_order() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("train-images-idx3-ubyte"), idx(0x803, &[3, 1, 1], &[1, 2, 3])).unwrap();
    fs::write(folder.path().join("train-labels-idx1-ubyte"), idx(0x801, &[3], &[2, 10, 1])).unwrap();
    assert_eq!(Dataset::open(folder.path()).unwrap().classes, ["01", "02", "10"]);
}

#[test]
fn damaged_idx_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let name = "train-images-idx3-ubyte";
    let images = idx(0x803, &[2, 1, 2], &[1, 2, 3, 4]);
    fs::write(root.join(name), &images).unwrap();
    assert!(failure(root).0.ends_with("but neither train-labels-idx1-ubyte nor train-labels-idx1-ubyte.gz"));
    fs::write(root.join("train-labels-idx1-ubyte"), idx(0x801, &[3], &[0, 0, 0])).unwrap();
    assert_eq!(failure(root).0, "DATA/train-labels-idx1-ubyte is damaged: it has 3 labels for 2 images");
    let cases = [
        (images[..19].to_vec(), "its header says 4 bytes of data, it has 3"),
        (images[..7].to_vec(), "it ends too early"),
        ([images.as_slice(), &[0]].concat(), "it goes on after the 4 bytes of data that its header says"),
        (idx(0x801, &[2], &[0, 0]), "its magic number is 0x00000801 instead of 0x00000803"),
        (idx(0x803, &[u32::MAX, u32::MAX, 9], &[]), "its header says dimensions [4294967295, 4294967295, 9]"),
        (idx(0x803, &[0, 1, 1], &[]), "its header says dimensions [0, 1, 1]"),
    ];
    for (bytes, reason) in cases {
        fs::write(root.join(name), bytes).unwrap();
        assert_eq!(failure(root).0, format!("DATA/{name} is damaged: {reason}"));
    }
    fs::remove_file(root.join(name)).unwrap();
    let mut packed = gzip(&images);
    let end = packed.len();
    packed[end - 8] ^= 1;
    fs::write(root.join(format!("{name}.gz")), packed).unwrap();
    assert!(
        failure(root).0.starts_with("DATA/train-images-idx3-ubyte.gz is damaged: "),
        "the checksum is compared"
    );
}

#[test]
fn classes_must_be_those_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "cat/1.png", 0);
    put(folder.path(), "dog/1.png", 0);
    let dataset = Dataset::open(folder.path()).unwrap();
    let check = |classes: &[&str]| {
        let mut contract: Preprocess = crate::contract::contract();
        contract.classes = classes.iter().map(|name| (*name).to_owned()).collect();
        dataset.check_classes(&contract).map_err(|error: DatasetError| error.to_string())
    };
    assert_eq!(check(&["cat", "dog"]), Ok(()));
    let other = "the dataset has other classes than the preprocessing contract: ";
    assert_eq!(check(&["dog", "cat"]), Err(format!("{other}the same names in another order")));
    let expected = format!("{other}only in the contract: `cow`; only in the dataset: `dog`");
    assert_eq!(check(&["cat", "cow"]), Err(expected));
}
