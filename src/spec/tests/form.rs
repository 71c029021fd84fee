use super::*;

#[test]
fn all_errors_of_a_file_come_at_once() {
    insta::assert_snapshot!(said(r#"
version: 2
nme: x
on: push
include: [other.yaml]
params: 3
stages:
  train:
    use: train
    timeout-minutes: 5m
    cache: 1
    x-mine: { anything: goes }
  train:
    uses: train
  1st: { uses: p }
  other: [a]
"#), @r"
    pipeline.yaml:2:10: error[spec::version]: version 2 of the language is not known
      2 | version: 2
        |          ^
      help: this release reads version 1

    pipeline.yaml:3:1: error[spec::unknown-key]: unknown key `nme` in the pipeline
      3 | nme: x
        | ^^^
      help: did you mean `name`?

    pipeline.yaml:4:1: error[spec::workflow-key]: `on` is a key of a GitHub workflow, not of a pipeline
      4 | on: push
        | ^^
      help: a pipeline declares `stages`; triggers and jobs live in .github/workflows

    pipeline.yaml:5:11: error[spec::include]: cannot read the included file `other.yaml`: this is not a project with files
      5 | include: [other.yaml]
        |           ^^^^^^^^^^
      help: the path is relative to the file that includes it

    pipeline.yaml:6:9: error[spec::type]: `params` is a map, the path of a file, or a list of paths; here it is `3`
      6 | params: 3
        |         ^

    pipeline.yaml:8:3: error[spec::missing-key]: stage `train` has neither `uses` nor `cmd`
      8 |   train:
        |   ^^^^^
      help: name the stage program, `uses: train`, or give a command, `cmd: python train.py`

    pipeline.yaml:9:5: error[spec::unknown-key]: unknown key `use` in stage `train`
      9 |     use: train
        |     ^^^
      help: did you mean `uses`?

    pipeline.yaml:10:22: error[spec::type]: `timeout-minutes` is a number of minutes above 0; here it is text
      10 |     timeout-minutes: 5m
         |                      ^^
      help: the unit is in the key: write the number alone

    pipeline.yaml:11:12: error[spec::type]: `cache` is `true` or `false`; here it is `1`
      11 |     cache: 1
         |            ^

    pipeline.yaml:13:3: error[spec::duplicate-key]: `train` is given twice in the same map
      13 |   train:
         |   ^^^^^ a second time
       8 |   train:
         |   ^^^^^ first here

    pipeline.yaml:15:3: error[spec::stage-name]: `1st` can't be the name of a stage
      15 |   1st: { uses: p }
         |   ^^^
      help: a name starts with a letter and goes on with letters, digits, `-` and `_`

    pipeline.yaml:16:10: error[spec::type]: stage `other` is a map; here it is a list
      16 |   other: [a]
         |          ^^^
    ");
}

#[test]
fn what_is_missing_is_named() {
    insta::assert_snapshot!([said(""), said("# only a comment\n"), said("[1]"), said("name: x"), said("version: 1\nstages:\n")].join("\n"), @r"
    pipeline.yaml:1:1: error[spec::empty]: the file is empty
      1 | 
        | ^
      help: a pipeline starts with `version: 1` and declares `stages`

    pipeline.yaml:1:1: error[spec::empty]: the file is empty
      1 | # only a comment
        | ^
      help: a pipeline starts with `version: 1` and declares `stages`

    pipeline.yaml:1:1: error[spec::type]: a pipeline is a map; here it is a list
      1 | [1]
        | ^^^

    pipeline.yaml:1:1: error[spec::missing-key]: the pipeline has no `version`
      1 | name: x
        | ^
      help: start the file with `version: 1`

    pipeline.yaml:1:1: error[spec::missing-key]: the pipeline has no `stages`
      1 | name: x
        | ^
      help: declare a stage: `stages: { train: { uses: train } }`

    pipeline.yaml:2:1: error[spec::no-stages]: `stages` declares no stage
      2 | stages:
        | ^^^^^^
      help: declare one: `train: { uses: train }`
    ");
}

#[test]
fn text_that_is_no_yaml() {
    insta::assert_snapshot!([
        said("version: 1\nstages:\n\ttrain:\n\t\tuses: p\n"),
        said("version: 1\nstages: { a: [ }\n"),
        said("version: 1\nname: \"open\n"),
        said("a: b: c\n"),
        said("version: 1\n---\nversion: 1\n"),
        said("version: !!int 1\nstages: { a: { uses: p } }\n"),
        said("version: 1\nstages: { ${{ params.x }}: { uses: p } }\n"),
    ].join("\n"), @r#"
    pipeline.yaml:3:1: error[spec::tab]: a tab indents this line; YAML indents by spaces
      3 | 	train:
        | ^ this is a tab
      help: replace the tab by spaces

    pipeline.yaml:2:16: error[spec::syntax]: this is not YAML: while parsing a node, did not find expected node content
      2 | stages: { a: [ }
        |                ^ noticed here

    pipeline.yaml:2:7: error[spec::syntax]: this is not YAML: while scanning a quoted scalar, found unexpected end of stream
      2 | name: "open
        |       ^ noticed here

    pipeline.yaml:1:5: error[spec::syntax]: this is not YAML: mapping values are not allowed in this context
      1 | a: b: c
        |     ^ noticed here

    pipeline.yaml:2:1: error[spec::documents]: the file holds more than one YAML document
      2 | ---
        | ^^^ a second one starts here
      help: put each pipeline into a file of its own

    pipeline.yaml:1:10: error[spec::tag]: YAML tags have no meaning in a pipeline
      1 | version: !!int 1
        |          ^^^^^^^ this value carries a tag
      help: remove the tag; quotes make a value text

    pipeline.yaml:2:12: error[spec::syntax]: this is not YAML: while parsing a flow mapping, did not find expected ',' or '}'
      2 | stages: { ${{ params.x }}: { uses: p } }
        |            ^ noticed here
      help: an expression inside `{ }` or `[ ]`, or as a key, needs quotes: "${{ … }}"
    "#);
}

#[test]
fn surprises_of_yaml_1_1() {
    insta::assert_snapshot!(said("version: 1
params: { fast: yes, list: [No, \"no\"] }
stages:
  a:
    uses: p
    cache: off
    if: no
    matrix: { m: [on, 'on'] }
    needs: [off]
    with:
      a-word-that-a-schema-knows: off
      mode: 0644
      count: 1_000
      time: 1:30
      fine: '010'
      level: .inf
"), @r#"
    pipeline.yaml:2:17: error[spec::ambiguous]: `yes` is a boolean to YAML 1.1 and text to YAML 1.2
      2 | params: { fast: yes, list: [No, "no"] }
        |                 ^^^
      help: write `true`, or "yes" in quotes for the text

    pipeline.yaml:2:29: error[spec::ambiguous]: `No` is a boolean to YAML 1.1 and text to YAML 1.2
      2 | params: { fast: yes, list: [No, "no"] }
        |                             ^^
      help: write `false`, or "No" in quotes for the text

    pipeline.yaml:6:12: error[spec::ambiguous]: `off` is a boolean to YAML 1.1 and text to YAML 1.2
      6 |     cache: off
        |            ^^^
      help: write `false`, or "off" in quotes for the text

    pipeline.yaml:7:9: error[spec::ambiguous]: `no` is a boolean to YAML 1.1 and text to YAML 1.2
      7 |     if: no
        |         ^^
      help: write `false`, or "no" in quotes for the text

    pipeline.yaml:8:19: error[spec::ambiguous]: `on` is a boolean to YAML 1.1 and text to YAML 1.2
      8 |     matrix: { m: [on, 'on'] }
        |                   ^^
      help: write `true`, or "on" in quotes for the text

    pipeline.yaml:12:13: error[spec::ambiguous]: `0644` is octal to YAML 1.1 and decimal to YAML 1.2
      12 |       mode: 0644
         |             ^^^^
      help: write `644`, or `0o644` for octal, or quotes for the text

    pipeline.yaml:13:14: error[spec::ambiguous]: `1_000` is a number to YAML 1.1 and text to YAML 1.2
      13 |       count: 1_000
         |              ^^^^^
      help: write `1000`, or quotes for the text

    pipeline.yaml:14:13: error[spec::ambiguous]: `1:30` is a number of base 60 to YAML 1.1 and text to YAML 1.2
      14 |       time: 1:30
         |             ^^^^
      help: write the number with a unit (`90s`, `30m`), or quotes for the text

    pipeline.yaml:16:14: error[spec::ambiguous]: `.inf` is not a finite number
      16 |       level: .inf
         |              ^^^^
      help: write a finite number, or quotes for the text
    "#);
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        laughs
            .push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", ")));
    }
    let deep = format!("version: 1\nx: {}{}\n", "[".repeat(70), "]".repeat(70));
    let large = "#".repeat(tree::MAX_BYTES + 1);
    insta::assert_snapshot!([
        said(&laughs),
        said(&deep).replace(&"[".repeat(60), "[…"),
        said("version: 1\nx: &a [*a]\n"),
        said(&large).replace(&"#".repeat(64), ""),
    ].join("\n"), @r"
    pipeline.yaml:7:10: error[spec::alias-bomb]: the aliases of this file stand for more than 100000 values
      7 | a5: &a5 [*a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4]
        |          ^^^ this alias exceeds the limit

    pipeline.yaml:2:67: error[spec::too-deep]: more than 64 lists and maps stand inside each other
      2 | x: […[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
        |                                                                   ^ this one is too deep

    pipeline.yaml:2:8: error[spec::alias]: an alias stands inside the value it names
      2 | x: &a [*a]
        |        ^^ this value would contain itself

    pipeline.yaml:1:1: error[spec::too-large]: the file has 8388609 bytes; 8388608 are allowed
      1 | #
        | ^
      help: split the file with `include`, or generate fewer stages and use `matrix:`
    ");
}

#[test]
fn anchors_and_merges_work() {
    let text = "version: 1\nx-base: &base { uses: p, cache: false }\nstages:\n  a: { <<: *base, cache: true }\n  b: *base\n";
    let spec = parse("pipeline.yaml", text).unwrap();
    assert_eq!(spec.stages[0].settings.cache, Some(true));
    assert_eq!(spec.stages[0].uses().unwrap().program.value, "p");
    assert_eq!(spec.stages[1].settings.cache, Some(false));
    insta::assert_snapshot!(said(text), @r"
    fine
    pipeline.yaml:4:8: warning[spec::merge-key]: `<<` is not part of YAML 1.2; it is read as YAML 1.1 does
      4 |   a: { <<: *base, cache: true }
        |        ^^ merges the keys of another map
    ");
}

#[test]
fn a_byte_order_mark_is_no_error() {
    assert!(parse("p", &format!("\u{feff}{FULL}")).is_ok(), "{}", said(&format!("\u{feff}{FULL}")));
}
