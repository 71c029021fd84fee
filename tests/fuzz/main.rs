//! The entry points of the fuzz targets, on the stable compiler: with the seeds, with changed seeds, with random bytes.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../fuzz/entry.rs"]
mod entry;

use std::{fs, path::Path, sync::OnceLock};

use proptest::prelude::*;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

fn pipelines() -> &'static [Vec<u8>] {
    static SEEDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SEEDS.get_or_init(|| seeds("pipeline"))
}

fn expressions() -> &'static [Vec<u8>] {
    static SEEDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SEEDS.get_or_init(|| seeds("expression"))
}

#[test]
fn the_seeds_hold() {
    pipelines().iter().for_each(|seed| entry::pipeline(seed));
    expressions().iter().for_each(|seed| entry::expression(seed));
}

/// Some bytes of a seed taken out, some put in.
fn changed(seed: &[u8], at: usize, remove: usize, insert: &[u8]) -> Vec<u8> {
    let at = at % (seed.len() + 1);
    let end = (at + remove).min(seed.len());
    [&seed[..at], insert, &seed[end..]].concat()
}

/// Bytes that mean something to YAML or to expressions, mostly.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(
            [
                "\n",
                "\n  ",
                "\n    ",
                ": ",
                "- ",
                "{",
                "}",
                "[",
                "]",
                ",",
                "#",
                " # ",
                "'",
                "\"",
                "|\n",
                ">-\n",
                "&a ",
                "*a",
                "<<: ",
                "${{ ",
                " }}",
                "\t",
                "---\n",
                "!t ",
                "? ",
                "\u{feff}",
                "ü",
                "🦀",
                "stages",
                "uses",
                "params.",
                "fromJSON(",
                "format('{0}', ",
                "&&",
                "==",
                "!",
                "0x",
                "1e999",
                "~",
                "no",
                "matrix",
                "'{'",
                "[*]",
                "[m=1]",
            ]
            .to_vec()
        )
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_a_pipeline(data in bytes()) {
        entry::pipeline(&data);
    }

    #[test]
    fn changed_pipelines(which in any::<prop::sample::Index>(), at in any::<usize>(), remove in 0_usize..24, insert in bytes()) {
        entry::pipeline(&changed(which.get::<Vec<u8>>(pipelines()), at, remove, &insert));
    }

    #[test]
    fn any_bytes_as_an_expression(data in bytes()) {
        entry::expression(&data);
    }

    #[test]
    fn changed_expressions(which in any::<prop::sample::Index>(), at in any::<usize>(), remove in 0_usize..8, insert in bytes()) {
        entry::expression(&changed(which.get::<Vec<u8>>(expressions()), at, remove, &insert));
    }
}
