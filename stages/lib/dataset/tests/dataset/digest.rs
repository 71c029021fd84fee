//! The Merkle tree and the manifest of samples.

use std::fs;

use stagewright_dataset::{Dataset, SampleManifest, leaf_hash, merkle_root};

use crate::expected;

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn roots_are_those_of_the_definition() {
    let roots = expected("merkle");
    for (count, root) in roots.as_array().unwrap().iter().enumerate() {
        let leaves: Vec<[u8; 32]> = (0..count).map(|i| leaf_hash(format!("leaf {i}").as_bytes())).collect();
        assert_eq!(hex(merkle_root(&leaves)), root.as_str().unwrap(), "{count} leaves");
    }
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    // Test vectors published with RFC 6962's reference implementation.
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let hashes = leaves.map(leaf_hash);
    assert_eq!(
        hex(merkle_root(&hashes[..1])),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
    assert_eq!(hex(merkle_root(&hashes)), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
}

#[test]
fn the_digest_changes_with_bytes_label_and_id() {
    let folder = tempfile::tempdir().unwrap();
    let root = |ids: &[&str], content: &[u8; 32]| {
        let root = folder.path().join(ids.join("-").replace('/', "_"));
        for id in ids {
            let path = root.join(id);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let dataset = Dataset::open(&root).unwrap();
        let manifest = SampleManifest::new(&dataset, &vec![*content; dataset.len()]);
        (manifest.root(), manifest.to_text())
    };
    let (first, text) = root(&["a/1.png", "b/2.png"], &[7; 32]);
    let digest = "07".repeat(32);
    assert_eq!(text, format!("{digest} 0 a/1.png\n{digest} 1 b/2.png\n"));
    assert_ne!(first, root(&["a/1.png", "b/2.png"], &[8; 32]).0);
    assert_ne!(first, root(&["a/1.png", "b/3.png"], &[7; 32]).0);
    assert_ne!(first, root(&["a/1.png", "b/2.png", "b/3.png"], &[7; 32]).0);
    assert_eq!(first, root(&["a/1.png", "b/2.png"], &[7; 32]).0);
}
