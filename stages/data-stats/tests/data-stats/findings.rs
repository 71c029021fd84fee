//! Damaged files, duplicates, leaks, suspicious images.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};
use stagewright_sdk::{ErrorClass, GateStatus};
use stagewright_stage_data_stats::duplicates::{equal_groups, leaking, near_groups};

use crate::{fixture_run, fixtures, put, run, strings, write};

fn groups(value: &Value) -> Vec<Vec<&str>> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group.as_array().unwrap().iter().map(|member| member["id"].as_str().unwrap()).collect())
        .collect()
}

#[test]
fn planted_faults_are_all_found() {
    let run = fixture_run(json!({})).unwrap();
    let stats = run.json("stats");
    let (leak, twin) = (["test/cat/leak.png", "train/cat/1.png"], ["train/cat/twin.png", "train/dog/2.png"]);
    assert_eq!(groups(&stats["duplicates"]["groups"]), [leak, twin]);
    assert_eq!(stats["duplicates"]["samples"], 2);
    assert_eq!(stats["duplicates"]["samples-by-bytes"], 1, "the leak has the same pixels in other bytes");
    assert_eq!(stats["duplicates"]["label-conflicts"], 1);
    assert_eq!(groups(&stats["near-duplicates"]["groups"]), [["test/dog/near.png", "train/dog/3.png"]]);
    assert_eq!(groups(&stats["leakage"]["exact"]["groups"]), [leak]);
    assert_eq!(stats["leakage"]["near"]["samples"], 2);
    assert_eq!(stats["leakage"]["exact"]["fraction"], 1.0 / 7.0);

    let flagged = |kind: &str| strings(&stats["quality"][kind]["ids"]).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(flagged("dark"), BTreeSet::from(["train/dog/dark.png"]));
    assert_eq!(flagged("light"), BTreeSet::from(["train/dog/light.png"]));
    assert_eq!(flagged("odd-aspect"), BTreeSet::from(["train/dog/thin.png"]));
    assert_eq!(flagged("grayscale"), BTreeSet::from(["train/cat/grey.png"]));
    assert_eq!(flagged("low-information"), BTreeSet::from(["train/cat/flat.png"]));
    let blurry = BTreeSet::from(["test/dog/blurry.png", "train/dog/big.png", "train/dog/dark.png"]);
    assert_eq!(flagged("blurry"), blurry);
    let odd = BTreeSet::from(["test/dog/blurry.png", "train/dog/big.png", "train/dog/thin.png"]);
    assert_eq!(flagged("odd-size"), odd);

    let metric = |name: &str| run.outcome.metric(name);
    let counts =
        ["samples", "classes", "train", "validation", "test", "corrupt", "duplicates", "near-duplicates"];
    let values = counts.map(|name| metric(name).unwrap());
    assert_eq!(values, [24.0, 2.0, 17.0, 0.0, 7.0, 0.0, 2.0, 1.0]);
    assert_eq!((metric("leakage"), metric("near-leakage")), (Some(1.0), Some(2.0)));
    assert_eq!(run.outcome.warnings(), ["1 groups of images with the same pixels have different classes"]);
    let report = run.text("report");
    for part in
        ["| exact duplicates | 2 (1 by bytes) |", "`test/cat/leak.png` (test) = `train/cat/1.png` (train)"]
    {
        assert!(report.contains(part), "{part} is missing in\n{report}");
    }
}

#[test]
fn the_gate_counts_leaks() {
    let gate = |params: Value| {
        let run = fixture_run(params).unwrap();
        (run.gate().status, run.gate().reason.clone())
    };
    let (status, reason) = gate(json!({}));
    assert_eq!(status, GateStatus::Failed);
    let expected = "1 of 7 held-out samples have the same pixels as one of an earlier split; allowed: 0; for example \
                    test/cat/leak.png and train/cat/1.png; `on-duplicate: skip` leaves exact copies out";
    assert_eq!(reason, expected);
    assert_eq!(gate(json!({ "max-leakage": 1 })).0, GateStatus::Passed);
    assert_eq!(gate(json!({ "max-leakage": 1, "leakage-of": "near" })).0, GateStatus::Failed);
    assert_eq!(gate(json!({ "max-leakage": 2, "leakage-of": "near" })).0, GateStatus::Passed);
    let off = gate(json!({ "leakage-of": "near", "near-duplicates": "off" }));
    assert_eq!(off.0, GateStatus::NotApplicable);
    assert_eq!(off.1, "`leakage-of: near` needs `near-duplicates` switched on");
}

#[test]
fn skipped_duplicates_leave_no_leak_and_test_data_as_it_was() {
    let run = fixture_run(json!({ "on-duplicate": "skip" })).unwrap();
    assert_eq!(run.gate().status, GateStatus::Passed);
    let contract = run.json("preprocess");
    assert_eq!(strings(&contract["splits"]["exclude"]), ["train/cat/1.png", "train/dog/2.png"]);
    assert_eq!(run.json("stats")["excluded"], contract["splits"]["exclude"]);
    assert_eq!(run.json("stats")["dataset"]["samples"], 24, "the digest is over all samples");
    assert_eq!(run.outcome.metric("test"), Some(7.0));
}

fn damaged(root: &std::path::Path) {
    for i in 0..6 {
        put(root, &format!("a/{i}.png"), [8, 8], i);
        put(root, &format!("b/{i}.png"), [8, 8], 10 + i);
    }
    let whole = fs::read(root.join("a/1.png")).unwrap();
    write(root, "a/cut.png", &whole[..whole.len() / 2]);
    write(root, "a/empty.jpg", b"");
    write(root, "b/page.png", b"<!doctype html>");
}

#[test]
fn damaged_files_fail_the_stage_by_name() {
    let folder = tempfile::tempdir().unwrap();
    damaged(folder.path());
    let fault = run(folder.path(), json!({})).err().unwrap().0;
    assert_eq!(fault.class, ErrorClass::User);
    let lines = [
        "3 of 15 images can't be decoded:",
        "  a/cut.png: it is truncated: the end of the image is missing",
        "  a/empty.jpg: the file is empty",
        "  b/page.png: it is neither JPEG nor PNG: it starts with the mark of text, as HTML or SVG does",
    ];
    assert_eq!(fault.message, lines.join("\n"));
    assert!(fault.hint.unwrap().contains("`on-corrupt: skip`"));
}

#[test]
fn damaged_files_are_left_out_where_wanted() {
    let folder = tempfile::tempdir().unwrap();
    damaged(folder.path());
    let skipped = run(folder.path(), json!({ "on-corrupt": "skip", "test-fraction": 0.0 })).unwrap();
    let corrupt = ["a/cut.png", "a/empty.jpg", "b/page.png"];
    assert_eq!(strings(&skipped.json("preprocess")["splits"]["exclude"]), corrupt);
    let stats = skipped.json("stats");
    assert_eq!(stats["files"]["corrupt"].as_array().unwrap().len(), 3);
    assert_eq!(skipped.outcome.metric("corrupt"), Some(3.0));
    assert_eq!(skipped.outcome.warnings(), ["3 images can't be decoded and are left out of every split"]);
    let all: usize = ["train", "validation", "test"]
        .map(|name| skipped.outcome.metric(name).unwrap() as usize)
        .iter()
        .sum();
    assert_eq!(all, 12);

    let broken = tempfile::tempdir().unwrap();
    write(broken.path(), "a/1.png", b"\x89PNG\r\n\x1a\n");
    let fault = run(broken.path(), json!({ "on-corrupt": "skip", "size": 8 })).err().unwrap().0;
    assert_eq!(fault.message, "1 of 1 images can't be decoded:\n  a/1.png: it ends before its header");
    assert_eq!(fault.hint.unwrap(), "check that the dataset is complete");
}

#[test]
fn names_and_rotations_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let images = fixtures().join("../dataset/images");
    let rotated = fs::read(images.join("rotated.jpg")).unwrap();
    for i in 0..5 {
        put(folder.path(), &format!("a/{i}.png"), [16, 12], i);
    }
    write(folder.path(), "a/turned.jpg", &rotated);
    write(folder.path(), "a/wrong.png", &fs::read(images.join("444.jpg")).unwrap());
    write(folder.path(), "a/notes.txt", b"x");
    let run = run(folder.path(), json!({ "test-fraction": 0.0, "validation-fraction": 0.0 })).unwrap();
    let files = run.json("stats")["files"].clone();
    assert_eq!(files["rotated"], json!([{ "id": "a/turned.jpg", "reason": "EXIF orientation 6" }]));
    assert_eq!(files["wrong-extension"], json!([{ "id": "a/wrong.png", "reason": "JPEG in a .png file" }]));
    assert_eq!(files["ignored"], json!(["a/notes.txt"]));
    let warnings = run.outcome.warnings();
    let expected = [
        "1 files have a name of another format, for example a/wrong.png: JPEG in a .png file",
        "1 images are marked as rotated (EXIF), for example a/turned.jpg; pixels are used as stored",
        "the dataset has a single class, so there is nothing to tell apart",
    ];
    assert_eq!(warnings, expected);
    assert_eq!(run.gate().reason, "every sample is in the train split");
    assert_eq!(run.gate().status, GateStatus::NotApplicable);
}

#[test]
fn groups_by_distance() {
    let hashes = [(0, 0u64), (1, 0), (2, 0b11), (3, 0b1111 << 60), (4, 0b1), (5, u64::MAX)];
    assert_eq!(near_groups(&hashes, 0), [[0, 1]]);
    // 0 and 0b11 are linked through 0b1.
    assert_eq!(near_groups(&hashes, 1), [vec![0, 1, 2, 4]]);
    assert_eq!(near_groups(&hashes, 4), [vec![0, 1, 2, 3, 4]]);
    assert_eq!(equal_groups([(0, 'x'), (1, 'y'), (2, 'x')].into_iter()), [[0, 2]]);
}

#[test]
fn grouping_in_blocks_finds_what_comparing_all_pairs_finds() {
    // Hashes clustered around a few centres, so that there are pairs at every distance.
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let centres: Vec<u64> = (0..8).map(|_| random() << 31 ^ random()).collect();
    let hashes: Vec<(usize, u64)> = (0..150)
        .map(|index| {
            let flips = (0..random() % 9).fold(0u64, |mask, _| mask ^ 1 << (random() % 64));
            (index, centres[index % 8] ^ flips)
        })
        .collect();
    for distance in 0..=8 {
        let mut group: Vec<usize> = (0..hashes.len()).collect();
        for _ in 0..hashes.len() {
            for a in 0..hashes.len() {
                for b in 0..hashes.len() {
                    if (hashes[a].1 ^ hashes[b].1).count_ones() <= distance {
                        group[a] = group[a].min(group[b]);
                    }
                }
            }
        }
        let expected = equal_groups(group.into_iter().enumerate());
        assert_eq!(near_groups(&hashes, distance), expected, "distance {distance}");
    }
}

#[test]
fn a_leak_counts_outside_the_first_split_it_reaches() {
    let split = |index: usize| [Some(0), Some(1), Some(2), None][index % 4];
    assert_eq!(leaking(&[0, 4, 8], split), Vec::<usize>::new());
    assert_eq!(leaking(&[0, 1, 2, 3, 5], split), [1, 2, 5]);
    assert_eq!(leaking(&[1, 2], split), [2]);
    assert_eq!(leaking(&[2, 3, 6], split), Vec::<usize>::new());
}
