use super::*;

/// A pipeline with files beside it, all of which may be broken.
fn read_all(text: &str, files: &[(&str, &str)]) -> PipelineSpec {
    read("pipelines/main.yaml", text, &mut |path| {
        let found = files.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "no such file".to_owned())
    })
}

fn said_of(text: &str, files: &[(&str, &str)]) -> String {
    let spec = read_all(text, files);
    spec.errors.iter().map(|found| spec.sources.render(found)).collect::<Vec<_>>().join("\n")
}

#[test]
fn files_are_merged_and_places_lead_into_the_right_one() {
    let common = "version: 1\nparams: { batch: 8 }\nenv: { A: \"1\" }\ntargets: { size: { on: b, max: 1MB } }\nstages:\n  b: { uses: q }\n";
    let spec = read_all(
        "version: 1\ninclude: [../shared/common.yaml, more.yaml]\nparams: { epochs: 3 }\nstages:\n  a: { uses: p }\n",
        &[
            ("shared/common.yaml", common),
            (
                "pipelines/more.yaml",
                "version: 1\ninclude: ../shared/common.yaml\nenv: { B: ä }\nx-note: mine\n",
            ),
        ],
    );
    assert_eq!(spec.errors, []);
    let names: Vec<_> = spec.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(spec.params.merged(), serde_json::json!({ "epochs": 3, "batch": 8 }));
    assert_eq!((spec.env.len(), spec.targets.len()), (2, 1));
    let files: Vec<_> = spec.sources.files().iter().map(SourceFile::name).collect();
    assert_eq!(files, ["pipelines/main.yaml", "shared/common.yaml", "pipelines/more.yaml"]);
    let place = spec.sources.locate(&spec.stages[1].uses().unwrap().program.span).unwrap();
    assert_eq!((place.file.name(), &common[place.range.clone()]), ("shared/common.yaml", "q"));
    assert_eq!(place.file.position(place.range.start), (6, 14));
    assert_eq!(spec.sources.line(spec.stages[1].name.span.start), 6);
}

#[test]
fn what_is_wrong_with_included_files() {
    let clash = "version: 1\nparams: { epochs: 1 }\nenv: { A: x }\ntargets: { t: { on: a, max: 1 } }\nstages:\n  a: { uses: q }\n";
    insta::assert_snapshot!(said_of(
        "version: 1\ninclude: [clash.yaml, own.yaml, none.yaml, ../../out.yaml, /etc/x, \"${{ params.x }}\", text.yaml, empty.yaml]\nparams: { epochs: 3 }\nenv: { A: y }\ntargets: { t: { on: a, max: 1 } }\nstages:\n  a: { uses: p }\n",
        &[
            ("pipelines/clash.yaml", clash),
            ("pipelines/own.yaml", "name: x\ndefaults: {}\nseed: 1\nstages: [a]\n"),
            ("pipelines/text.yaml", "version: 1\n\tx: 1\n"),
            ("pipelines/empty.yaml", "# nothing\n"),
        ],
    ), @r#"
    pipelines/main.yaml:2:33: error[spec::include]: cannot read the included file `pipelines/none.yaml`: no such file
      2 | include: [clash.yaml, own.yaml, none.yaml, ../../out.yaml, /etc/x, "${{ params.x }}", text.yaml, empty.yaml]
        |                                 ^^^^^^^^^
      help: the path is relative to the file that includes it

    pipelines/main.yaml:2:44: error[spec::include]: `../../out.yaml` leads out of the project
      2 | include: [clash.yaml, own.yaml, none.yaml, ../../out.yaml, /etc/x, "${{ params.x }}", text.yaml, empty.yaml]
        |                                            ^^^^^^^^^^^^^^
      help: an included file is named by its path relative to the file that includes it

    pipelines/main.yaml:2:60: error[spec::include]: `/etc/x` leads out of the project
      2 | include: [clash.yaml, own.yaml, none.yaml, ../../out.yaml, /etc/x, "${{ params.x }}", text.yaml, empty.yaml]
        |                                                            ^^^^^^
      help: an included file is named by its path relative to the file that includes it

    pipelines/main.yaml:2:68: error[spec::no-expression]: a file of `include` can't be an expression
      2 | include: [clash.yaml, own.yaml, none.yaml, ../../out.yaml, /etc/x, "${{ params.x }}", text.yaml, empty.yaml]
        |                                                                    ^^^^^^^^^^^^^^^^^
      help: write the value itself

    pipelines/clash.yaml:2:11: error[spec::name-clash]: param `epochs` is declared in two files
      2 | params: { epochs: 1 }
        |           ^^^^^^ a second time
       --> pipelines/main.yaml:3:11
      3 | params: { epochs: 3 }
        |           ^^^^^^ first here
      help: give one of them another name, or remove it

    pipelines/clash.yaml:3:8: error[spec::name-clash]: variable `A` is declared in two files
      3 | env: { A: x }
        |        ^ a second time
       --> pipelines/main.yaml:4:8
      4 | env: { A: y }
        |        ^ first here
      help: give one of them another name, or remove it

    pipelines/clash.yaml:4:12: error[spec::name-clash]: target `t` is declared in two files
      4 | targets: { t: { on: a, max: 1 } }
        |            ^ a second time
       --> pipelines/main.yaml:5:12
      5 | targets: { t: { on: a, max: 1 } }
        |            ^ first here
      help: give one of them another name, or remove it

    pipelines/clash.yaml:6:3: error[spec::name-clash]: stage `a` is declared in two files
      6 |   a: { uses: q }
        |   ^ a second time
       --> pipelines/main.yaml:7:3
      7 |   a: { uses: p }
        |   ^ first here
      help: give one of them another name, or remove it

    pipelines/own.yaml:1:1: error[spec::include-key]: `name` belongs into the pipeline file, not into one that it includes
      1 | name: x
        | ^^^^
      help: an included file gives `params`, `env`, `targets` and `stages`

    pipelines/own.yaml:1:1: error[spec::missing-key]: the included file has no `version`
      1 | name: x
        | ^
      help: start the file with `version: 1`

    pipelines/own.yaml:2:1: error[spec::include-key]: `defaults` belongs into the pipeline file, not into one that it includes
      2 | defaults: {}
        | ^^^^^^^^
      help: an included file gives `params`, `env`, `targets` and `stages`

    pipelines/own.yaml:3:1: error[spec::include-key]: `seed` belongs into the pipeline file, not into one that it includes
      3 | seed: 1
        | ^^^^
      help: an included file gives `params`, `env`, `targets` and `stages`

    pipelines/own.yaml:4:9: error[spec::type]: `stages` is a map; here it is a list
      4 | stages: [a]
        |         ^^^

    pipelines/text.yaml:2:1: error[spec::tab]: a tab indents this line; YAML indents by spaces
      2 | 	x: 1
        | ^ this is a tab
      help: replace the tab by spaces

    pipelines/empty.yaml:1:1: error[spec::empty]: the file is empty
      1 | # nothing
        | ^
      help: a pipeline starts with `version: 1` and declares `stages`
    "#);
}

#[test]
fn a_circle_of_files_is_told_by_its_path() {
    insta::assert_snapshot!(said_of(
        "version: 1\ninclude: b.yaml\nstages:\n  a: { uses: p }\n",
        &[
            ("pipelines/b.yaml", "version: 1\ninclude: [sub/c.yaml]\n"),
            ("pipelines/sub/c.yaml", "version: 1\ninclude: [../main.yaml, c.yaml]\n"),
        ],
    ), @r"
    pipelines/sub/c.yaml:2:11: error[spec::include-cycle]: files include each other: pipelines/main.yaml → pipelines/b.yaml → pipelines/sub/c.yaml → pipelines/main.yaml
      2 | include: [../main.yaml, c.yaml]
        |           ^^^^^^^^^^^^
      help: remove one of these entries of `include`

    pipelines/sub/c.yaml:2:25: error[spec::include-cycle]: files include each other: pipelines/sub/c.yaml → pipelines/sub/c.yaml
      2 | include: [../main.yaml, c.yaml]
        |                         ^^^^^^
      help: remove one of these entries of `include`
    ");
}

#[test]
fn params_files_override_each_other_whatever_they_are_written_in() {
    let spec = read_all(
        "version: 1\nparams: [a.yaml, b.json, c.toml, empty.yaml]\nstages:\n  a: { uses: p }\n",
        &[
            ("a.yaml", "train: { lr: 0.1, epochs: 3 }\nkeep: [1, 2]\ndollar: ${HOME}\n"),
            ("b.json", "{\"train\": {\"lr\": 1e-3}, \"smile\": \"\\ud83d\\ude00 \\/\"}"),
            ("c.toml", "day = 2024-05-01\n[train]\nepochs = 9\nnames = [\"x\"]\n"),
            ("empty.yaml", ""),
        ],
    );
    assert_eq!(spec.errors, []);
    assert_eq!(
        spec.params.merged(),
        serde_json::json!({
            "train": { "lr": 1e-3, "epochs": 9, "names": ["x"] },
            "keep": [1, 2], "dollar": "${HOME}", "smile": "😀 /", "day": "2024-05-01",
        })
    );
    let lr = spec.params.files[0].value.as_ref().and_then(|value| value.get("train")).unwrap();
    let place = spec.sources.locate(&lr.0.span).unwrap();
    assert_eq!((place.file.name(), place.range), ("a.yaml", 0..5));
}

#[test]
fn what_is_wrong_with_params_files() {
    insta::assert_snapshot!(said_of(
        "version: 1\nparams: [a.yaml, b.json, c.toml, none.yaml, list.yaml, inf.toml]\nstages:\n  a: { uses: p }\n",
        &[
            ("a.yaml", "x: no\ny: 010\ny: 1\nz: \"${{ params.x }}\"\n"),
            ("b.json", "{\"x\": 1,\n \"x\": }"),
            ("c.toml", "a = 1\nb = \n"),
            ("list.yaml", "- 1\n"),
            ("inf.toml", "x = inf\n"),
        ],
    ), @r#"
    pipelines/main.yaml:2:34: error[spec::params-file]: cannot read the params file `none.yaml`: no such file
      2 | params: [a.yaml, b.json, c.toml, none.yaml, list.yaml, inf.toml]
        |                                  ^^^^^^^^^
      help: the path is relative to the project's root

    a.yaml:1:4: error[spec::ambiguous]: `no` is a boolean to YAML 1.1 and text to YAML 1.2
      1 | x: no
        |    ^^
      help: write `false`, or "no" in quotes for the text

    a.yaml:2:4: error[spec::ambiguous]: `010` is octal to YAML 1.1 and decimal to YAML 1.2
      2 | y: 010
        |    ^^^
      help: write `10`, or `0o10` for octal, or quotes for the text

    a.yaml:3:1: error[spec::duplicate-key]: `y` is given twice in the same map
      3 | y: 1
        | ^ a second time
      2 | y: 010
        | ^ first here

    a.yaml:4:4: error[spec::no-expression]: a param can't be an expression
      4 | z: "${{ params.x }}"
        |    ^^^^^^^^^^^^^^^^^
      help: params are where values start; compute with them in the stages

    b.json:2:2: error[spec::duplicate-key]: `x` is given twice in the same map
      2 |  "x": }
        |  ^^^ a second time
      1 | {"x": 1,
        |  ^^^ first here

    c.toml:2:5: error[spec::syntax]: this is not TOML: string values must be quoted, expected literal string
      2 | b = 
        |     ^ noticed here

    list.yaml:1:1: error[spec::params-file]: a params file holds a map; `list.yaml` holds a list
      1 | - 1
        | ^

    inf.toml:1:1: error[spec::params-file]: `inf` is not a finite number
      1 | x = inf
        | ^ in this file
      help: write a finite number, or quotes for the text
    "#);
}

#[test]
fn too_many_files_are_refused() {
    let list: Vec<_> = (0..300).map(|index| format!("f{index}.yaml")).collect();
    let text = format!("version: 1\ninclude: [{}]\nstages:\n  a: {{ uses: p }}\n", list.join(", "));
    let spec = read("p.yaml", &text, &mut |_| Ok("version: 1\n".to_owned()));
    assert_eq!(spec.errors.len(), 300 - 255);
    insta::assert_snapshot!(spec.errors[0].message, @"the pipeline includes more than 256 files");
}
