#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const UGLY: &str = r#"# Shows the canonical form.

name: "demo"   # quoted for nothing
version: 1


stages:
    b:
        # what it reads
        inputs: {model: '${{ stages.a.outputs.model }}', data: "no"}
        uses: 'train'   # the program
        resources: {gpu: 1, cpu: 2}
        # the end of b
    # about a
    a:
        strategy:
            # one run for each
            matrix: {seed: [0,1]}
        with:
            text: |
                two
                  lines

            folded: >-
              one
              line
            empty:
            list:
            - 1
            -   - x
                - y
            - a: 1
              # inside
              b: TRUE
            long: [ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccccccccccccccc", d ]
            noted: { x: 1, # why
              y: 2 }
        uses: a
        x-own: {}

targets:
  t: { max: 1ms, on: a }
# bye
"#;

#[test]
fn the_canonical_form() {
    insta::assert_snapshot!(format(UGLY).unwrap(), @r#"
    # Shows the canonical form.
    version: 1

    name: demo # quoted for nothing

    targets:
      t: { on: a, max: 1ms }

    stages:
      b:
        uses: train # the program
        # what it reads
        inputs: { model: "${{ stages.a.outputs.model }}", data: "no" }
        resources: { cpus: 2, gpus: 1 }
        # the end of b
      # about a
      a:
        uses: a
        # one run for each
        matrix: { seed: [0, 1] }
        with:
          text: |
            two
              lines

          folded: >-
            one
            line
          empty:
          list:
            - 1
            - - x
              - y
            - a: 1
              # inside
              b: true
          long:
            - aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
            - bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
            - cccccccccccccccccccccccccccccccc
            - d
          noted:
            x: 1 # why
            y: 2
        x-own: {}
    # bye
    "#);
}

#[test]
fn a_search_has_its_order_and_its_ranges_keep_theirs() {
    let text = "version: 1\nstages: { a: { uses: a } }\nsearch: { maximize: a:top1, trials: 3, over: { b: [2, 1], a.with.lr: { log: [1, 2] } } }\n";
    insta::assert_snapshot!(format(text).unwrap(), @r"
    version: 1
    search: { over: { b: [2, 1], a.with.lr: { log: [1, 2] } }, trials: 3, maximize: a:top1 }
    stages: { a: { uses: a } }
    ");
}

#[test]
fn an_anchor_may_be_called_as_its_mark() {
    let text =
        "version: 1\nstages: { s: { uses: x, with: { words: [a, &&, && b, *&], more: &* c, again: ** } } }\n";
    let formatted = format(text).unwrap();
    assert!(formatted.contains("words: [a, && null, && b, *&], more: &* c, again: **"), "{formatted}");
}

#[test]
fn it_is_its_own_canonical_form() {
    let once = format(UGLY).unwrap();
    assert_eq!(format(&once).unwrap(), once);
}

#[test]
fn what_stands_above_several_dashes_is_about_the_outermost() {
    let text = "version: 1\nstages:\n  a:\n    uses: x\n    with:\n      v:\n        - 1 # behind\n\n\n\n        - - - 1\n        - [ # why\n            2, 3]\n";
    let once = format(text).unwrap();
    insta::assert_snapshot!(once, @r"
    version: 1
    stages:
      a:
        uses: x
        with:
          v:
            - 1 # behind

            - - - 1
            - [2, 3] # why
    ");
    assert_eq!(format(&once).unwrap(), once);
}

#[test]
fn the_pipelines_that_ship_are_in_canonical_form() {
    for (file, text) in [
        ("pipelines/cifar10.yaml", include_str!("../../../pipelines/cifar10.yaml")),
        (
            "examples/quickstart/pipelines/quickstart.yaml",
            include_str!("../../../examples/quickstart/pipelines/quickstart.yaml"),
        ),
        ("examples/python/pipeline.yaml", include_str!("../../../examples/python/pipeline.yaml")),
    ] {
        assert_eq!(format(text).unwrap(), text, "stagewright fmt {file}");
    }
}

#[test]
fn quotes_stay_where_they_mean_something() {
    let with = |value: &str| {
        let text = format!("version: 1\nstages:\n  a:\n    uses: x\n    with:\n      v: {value}\n");
        let formatted = format(&text).unwrap();
        formatted.lines().last().unwrap().trim().strip_prefix("v: ").unwrap().to_owned()
    };
    for (written, canonical) in [
        ("'text'", "text"),
        ("\"text\"", "text"),
        ("\"1\"", "\"1\""),
        ("'no'", "\"no\""),
        ("'true'", "\"true\""),
        ("'a: b'", "\"a: b\""),
        ("'a #b'", "\"a #b\""),
        ("'say \"x\"'", "say \"x\""),
        ("'\"x\"'", "'\"x\"'"),
        ("\"tab\\there\"", "\"tab\\there\""),
        ("'${{ params.x }}'", "${{ params.x }}"),
        ("[ '${{ params.x }}' ]", "[\"${{ params.x }}\"]"),
        ("''", "\"\""),
        ("' x'", "\" x\""),
        ("'-'", "\"-\""),
        ("'-x'", "-x"),
        ("'010'", "\"010\""),
        ("'1:30'", "\"1:30\""),
        ("3e-3", "3e-3"),
        ("0x1F", "0x1F"),
        ("False", "false"),
        ("~", "null"),
        ("'https://x.org/a?b=c'", "https://x.org/a?b=c"),
        ("{ }", "{}"),
    ] {
        assert_eq!(with(written), canonical, "{written}");
    }
}

#[test]
fn a_key_in_braces_keeps_the_quotes_that_it_needs_there() {
    let text =
        "version: 1\nstages:\n  a:\n    uses: x\n    outputs: { \"r/${{ matrix.seed }}\": out, 'b' : c }\n";
    let formatted = format(text).unwrap();
    assert_eq!(formatted.lines().last().unwrap().trim(), "outputs: { \"r/${{ matrix.seed }}\": out, b: c }");
}

#[test]
fn of_several_blank_lines_one_stays() {
    let text = "version: 1\nstages:\n  a:\n    uses: x\n    with:\n      v:\n        -  # behind\n\n          -\n\n            # inside\n            - 1\n      kept: |+\n        text\n\n\n      after: 1\n";
    let once = format(text).unwrap();
    insta::assert_snapshot!(once, @r"
    version: 1
    stages:
      a:
        uses: x
        with:
          v: # behind

            # inside
            - - - 1
          kept: |+
            text


          after: 1
    ");
    assert_eq!(format(&once).unwrap(), once);
}

#[test]
fn a_line_of_blanks_in_a_text_keeps_those_that_are_its_own() {
    let text = "version: 1\nstages:\n  a:\n    uses: x\n    with:\n        t: |\n            one\n             \n\n            two\n              \n\n";
    let once = format(text).unwrap();
    assert!(once.contains("      t: |\n        one\n         \n\n        two\n          \n"), "{once}");
}

#[test]
fn a_carriage_return_alone_is_refused() {
    let text = "version: 1\n# one\rname: x\nstages:\n  a:\n    uses: x\n";
    assert!(matches!(format(text), Err(FormatError::Unsupported { line: 2, .. })), "{:?}", format(text));
    let windows = "version: 1\r\n# one\r\nname: x\r\nstages:\r\n  a:\r\n    uses: x\r\n";
    assert!(format(windows).unwrap().contains("# one\nname: x\n"));
}

#[test]
fn order_stays_where_values_are_repeated() {
    let text = "version: 1\nx-base: &base { epochs: 1 }\nstages:\n  a:\n    with: *base\n    uses: x\n";
    assert_eq!(format(text).unwrap(), text);
}

#[test]
fn what_has_errors_is_refused() {
    let errors = |text: &str| match format(text) {
        Err(FormatError::Invalid(found)) => found[0].code,
        other => panic!("{other:?}"),
    };
    assert_eq!(errors("version: 1\nstages:\n  a: { uses: x, uses: y }\n"), "spec::duplicate-key");
    assert_eq!(errors("version: [1\n"), "spec::syntax");
    assert_eq!(errors(""), "spec::empty");
}

/// The pipeline with all places taken out of its debug form.
fn without_places(text: &str) -> String {
    let spec = super::super::read("p.yaml", text, &mut |_| Err(String::new()));
    let spec = PipelineSpec { sources: Default::default(), warnings: Vec::new(), ..spec };
    let shown = format!("{spec:?}");
    let mut out = String::new();
    let mut rest = shown.as_str();
    while let Some(dots) = rest.find("..") {
        let before = rest[..dots].trim_end_matches(|c: char| c.is_ascii_digit());
        out.push_str(before);
        rest = rest[dots + 2..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

#[test]
fn a_pipeline_reads_the_same_afterwards() {
    // Keys of the language change places, which the parsed form does not see.
    assert_eq!(without_places(UGLY), without_places(&format(UGLY).unwrap()));
}

/// A value and one of many ways to write it, at an indentation.
#[derive(Debug, Clone)]
enum Shape {
    Scalar(&'static str),
    List(bool, Vec<Shape>),
    Map(bool, Vec<(&'static str, Shape)>),
}

fn shape() -> impl Strategy<Value = Shape> {
    let scalar = prop::sample::select(vec![
        "1",
        "3e-3",
        "true",
        "text",
        "'no'",
        "\"a: b\"",
        "\"#x\"",
        "'it''s'",
        "~",
        "\"\\n\\t\"",
        "\"${{ params.x }}\"",
        "''",
        "2ms",
        "\"- a\"",
        "|\n@line\n@  more\n",
        "|+\n@kept\n\n",
        "|\n@line\n@  \n@more\n@ \n",
        "|1\n@  \n",
        ">1\n@  \n@ x\n@ \n@y\n",
        ">-\n@folded\n@text\n",
        "\"ü 🦀\"",
        "\"\\\\\"",
        "'{}'",
        "\"a, b\"",
    ]);
    let leaf = scalar.prop_map(Shape::Scalar);
    leaf.prop_recursive(3, 20, 4, |inner| {
        let key = prop::sample::select(vec!["a", "b", "uses", "\"quoted key\"", "on", "x-y", "'1'"]);
        prop_oneof![
            (any::<bool>(), prop::collection::vec(inner.clone(), 0..4))
                .prop_map(|(flow, items)| Shape::List(flow, items)),
            (any::<bool>(), prop::collection::btree_map(key, inner, 0..4))
                .prop_map(|(flow, map)| Shape::Map(flow, map.into_iter().collect())),
        ]
    })
}

/// Writes a value behind a key or dash; `noise` decides about comments and blank lines.
fn write(shape: &Shape, indent: usize, flow: bool, noise: &mut impl FnMut(u32) -> u32, out: &mut String) {
    let pad = " ".repeat(indent);
    match shape {
        Shape::Scalar(text) if flow && text.contains('\n') => out.push_str("\"x\""),
        Shape::Scalar(text) => out.push_str(&text.replace('@', &" ".repeat(indent + 1))),
        Shape::List(_, items) if flow || items.is_empty() => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push(' ');
                write(item, indent, true, noise, out);
            }
            out.push_str(" ]");
        }
        Shape::Map(_, entries) if flow || entries.is_empty() => {
            out.push('{');
            for (at, (key, value)) in entries.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&format!(" {key}: "));
                write(value, indent, true, noise, out);
            }
            out.push_str(" }");
        }
        Shape::List(true, _) | Shape::Map(true, _) => write(shape, indent, true, noise, out),
        Shape::List(false, items) => {
            for item in items {
                lead(&pad, noise, out);
                out.push_str("- ");
                write(item, indent + 2, false, noise, out);
            }
        }
        Shape::Map(false, entries) => {
            for (key, value) in entries {
                lead(&pad, noise, out);
                out.push_str(&format!("{key}: "));
                write(value, indent + 1 + noise(3) as usize, false, noise, out);
            }
        }
    }
}

fn lead(pad: &str, noise: &mut impl FnMut(u32) -> u32, out: &mut String) {
    if !out.ends_with('\n') {
        out.push_str(if noise(4) == 0 { " # behind\n" } else { "\n" });
    }
    for _ in 0..noise(3) {
        out.push_str(&match noise(4) {
            0 => "\n".to_owned(),
            1 => format!("{pad}# a comment: {{ with }} marks\n"),
            _ => String::new(),
        });
    }
    out.push_str(pad);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn meaning_and_comments_stay_and_twice_is_once(
        params in prop::collection::vec((prop::sample::select(vec!["a", "b", "c"]), shape()), 0..3),
        with in shape(),
        seed in any::<u64>(),
    ) {
        let mut state = seed | 1;
        let mut noise = move |below: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32 % below
        };
        let mut text = "stages:\n  a:\n    with: { v: 1 }\n    uses: x\n    if: ${{ params.x }}\n  b:\n    uses: y\n    with:\n      v: ".to_owned();
        write(&with, 8, false, &mut noise, &mut text);
        text.push_str(if text.ends_with('\n') { "" } else { "\n" });
        text.push_str("# before version\nversion: 1\n");
        for (index, (key, value)) in params.iter().enumerate() {
            text.push_str(&format!("x-{key}{index}: "));
            write(value, 2, false, &mut noise, &mut text);
            text.push_str(if text.ends_with('\n') { "" } else { "\n" });
        }
        match format(&text) {
            Ok(once) => {
                prop_assert_eq!(format(&once), Ok(once.clone()), "not its own form:\n{}\n---\n{}", text, once);
                prop_assert_eq!(without_places(&text), without_places(&once), "{}\n---\n{}", text, once);
            }
            // Whatever the generator makes that is no sound pipeline is left alone; that its form is unsafe never is an answer.
            Err(FormatError::Invalid(_)) => {}
            Err(error) => prop_assert!(false, "{error}:\n{text}"),
        }
    }

    #[test]
    fn any_text_is_formatted_or_refused(text in "(version: 1\n|stages:\n|  a:\n|    uses: x\n|[ \\-\\{\\}\\[\\],:#|>&*'\"a\n]|ü){0,20}") {
        if let Ok(once) = format(&text) {
            prop_assert_eq!(format(&once), Ok(once.clone()), "{}", text);
        }
    }
}
