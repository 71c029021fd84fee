//! Every finding that a pipeline file can get is shown by a snapshot, so that each text was read by a person once.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What is never shown.
const INTERNAL: &[&str] = &["plan::follow-up"];

fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let all =
        walkdir::WalkDir::new(root).sort_by_file_name().into_iter().map(|item| item.unwrap().into_path());
    let wanted =
        |path: &PathBuf| path.extension().is_some_and(|extension| extensions.iter().any(|e| extension == *e));
    all.filter(wanted).collect()
}

/// Words of the form `spec::some-code` between two marks.
fn codes(text: &str, open: char, close: char) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in ["spec::", "plan::"] {
        for (at, _) in text.match_indices(&format!("{open}{start}")) {
            let word: String = text[at + 1..]
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || matches!(c, ':' | '-'))
                .collect();
            if word.len() > start.len() && text[at + 1 + word.len()..].starts_with(close) {
                found.insert(word);
            }
        }
    }
    found
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

#[test]
fn every_code_has_a_snapshot() {
    let mut made: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut shown: BTreeSet<String> = BTreeSet::new();
    for path in files("src", &["rs", "snap"]) {
        let text = fs::read_to_string(&path).unwrap();
        if is_test(path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap()) {
            shown.extend(codes(&text, '[', ']'));
        } else {
            made.extend(codes(&text, '"', '"').into_iter().map(|code| (code, path.clone())));
        }
    }
    for path in files("tests", &["rs", "snap"]) {
        let text = fs::read_to_string(&path).unwrap();
        shown.extend(codes(&text, '[', ']'));
        // The formats for programs have them as JSON.
        if path.extension().is_some_and(|extension| extension == "snap") {
            shown.extend(codes(&text, '"', '"'));
        }
    }
    assert!(made.len() > 50, "the codes are not found where they are made");
    let missing: Vec<_> = made
        .iter()
        .filter(|(code, _)| !shown.contains(*code))
        .filter(|(code, _)| !INTERNAL.contains(&code.as_str()))
        .map(|(code, path)| format!("{code}, made in {}", path.display()))
        .collect();
    assert!(missing.is_empty(), "no snapshot shows these findings:\n{}", missing.join("\n"));
}
