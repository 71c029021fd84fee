//! Errors of form and of the plan come together, and what follows from another error is not told.

use super::*;

fn said(text: &str, files: &[(&str, &str)]) -> String {
    let machine = Machine::new();
    let spec = machine.read(text, files);
    let found = machine.compile_with(text, files).unwrap_err();
    found.iter().map(|diagnostic| spec.sources.render(diagnostic)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_stage_that_could_be_read_is_checked_although_another_one_is_broken() {
    insta::assert_snapshot!(said(
        r#"version: 1
params: { epochs: 6 }
stages:
  images: { uses: surfaces, wiht: { samples: 3 } }
  grid: { uses: surfaces, matrix: { n: [1, 2] }, timeout-minutes: 5m }
  odd: { uses: surfcaes, cache: no }
  stats: { uses: data-stats, inputs: { data: "${{ stages.images.outputs.data }}" }, with: { x: 1 } }
  train:
    uses: train
    inputs: { data: "${{ stages.grid[n=7].outputs.data }}", preprocess: "${{ stages.stats.outputs.preproces }}" }
    with: { epochs: "${{ params.epohcs }}" }
    needs: [odd, grid, nothing]
targets:
  t: { on: images, max: 3 }
  u: { on: traim, max: 3 }
"#,
        &[],
    ), @r#"
    pipeline.yaml:4:29: error[spec::unknown-key]: unknown key `wiht` in stage `images`
      4 |   images: { uses: surfaces, wiht: { samples: 3 } }
        |                             ^^^^
      help: did you mean `with`?

    pipeline.yaml:5:67: error[spec::type]: `timeout-minutes` is a number of minutes above 0; here it is text
      5 |   grid: { uses: surfaces, matrix: { n: [1, 2] }, timeout-minutes: 5m }
        |                                                                   ^^
      help: the unit is in the key: write the number alone

    pipeline.yaml:6:16: error[plan::unknown-program]: there is no stage program `surfcaes`
      6 |   odd: { uses: surfcaes, cache: no }
        |                ^^^^^^^^
      help: did you mean `surfaces`?

    pipeline.yaml:6:33: error[spec::ambiguous]: `no` is a boolean to YAML 1.1 and text to YAML 1.2
      6 |   odd: { uses: surfcaes, cache: no }
        |                                 ^^
      help: write `false`, or "no" in quotes for the text

    pipeline.yaml:7:93: error[plan::unknown-param]: stage `stats` (data-stats) has no param `x`
      7 |   stats: { uses: data-stats, inputs: { data: "${{ stages.images.outputs.data }}" }, with: { x: 1 } }
        |                                                                                             ^
      help: it takes no params

    pipeline.yaml:10:99: error[plan::unknown-port]: stage `stats` (data-stats) has no output `preproces`
      10 |     inputs: { data: "${{ stages.grid[n=7].outputs.data }}", preprocess: "${{ stages.stats.outputs.preproces }}" }
         |                                                                                                   ^^^^^^^^^
      help: did you mean `preprocess`?

    pipeline.yaml:11:33: error[plan::unknown-reference]: `params` has no `epohcs`
      11 |     with: { epochs: "${{ params.epohcs }}" }
         |                                 ^^^^^^
      help: did you mean `epochs`?

    pipeline.yaml:12:24: error[plan::unknown-stage]: there is no stage `nothing`
      12 |     needs: [odd, grid, nothing]
         |                        ^^^^^^^
      help: there is `images`, `grid`, `odd`, `stats`, `train`

    pipeline.yaml:15:12: error[plan::unknown-stage]: there is no stage `traim`
      15 |   u: { on: traim, max: 3 }
         |            ^^^^^
      help: did you mean `train`?
    "#);
}

#[test]
fn names_that_could_not_be_read_are_not_missed() {
    insta::assert_snapshot!(said(
        r#"version: 1
include: [gone.yaml]
params: { epochs: "${{ env.X }}" }
env: [A]
stages:
  a: { uses: surfaces, with: { samples: "${{ params.more }}" }, env: { B: "${{ env.C }}" } }
  b: { uses: data-stats, inputs: { data: "${{ stages.elsewhere.outputs.data }}" } }
  c: { uses: prune, with: { amount: 3 } }
"#,
        &[],
    ), @r#"
    pipeline.yaml:2:11: error[spec::include]: cannot read the included file `gone.yaml`: no such file
      2 | include: [gone.yaml]
        |           ^^^^^^^^^
      help: the path is relative to the file that includes it

    pipeline.yaml:3:19: error[spec::no-expression]: a param can't be an expression
      3 | params: { epochs: "${{ env.X }}" }
        |                   ^^^^^^^^^^^^^^^
      help: params are where values start; compute with them in the stages

    pipeline.yaml:4:6: error[spec::type]: `env` is a map; here it is a list
      4 | env: [A]
        |      ^^^

    pipeline.yaml:8:3: error[plan::unbound]: input `model` of stage `c` is not bound: the model/checkpoint
      8 |   c: { uses: prune, with: { amount: 3 } }
        |   ^ needs model/checkpoint
      help: no stage gives model/checkpoint; bind a path

    pipeline.yaml:8:37: error[plan::param]: `amount` of stage `c` is `3`; it may be at most 1
      8 |   c: { uses: prune, with: { amount: 3 } }
        |                                     ^
    "#);
}

#[test]
fn findings_of_an_included_file_lead_into_it() {
    insta::assert_snapshot!(said(
        "version: 1\ninclude: more.yaml\nstages:\n  images: { uses: surfaces }\n",
        &[("more.yaml", "# ä\nversion: 1\nstages:\n  stats: { uses: data-stats, inputs: { data: \"${{ stages.stats2.outputs.stats }}\" } }\n  stats2: { uses: data-stats, inputs: { data: \"${{ stages.images.outputs.data }}\" } }\n  model: { uses: prune, inputs: { model: \"${{ stages.images.outputs.data }}\" } }\n")],
    ), @r#"
    more.yaml:4:46: error[plan::port-type]: output `stats` of stage `stats2` is stats/dataset, but input `data` takes dataset/images
      4 |   stats: { uses: data-stats, inputs: { data: "${{ stages.stats2.outputs.stats }}" } }
        |                                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ takes dataset/images
      5 |   stats2: { uses: data-stats, inputs: { data: "${{ stages.images.outputs.data }}" } }
        |   ^^^^^^ gives stats/dataset
      help: `${{ stages.images.outputs.data }}` would fit

    more.yaml:6:42: error[plan::port-type]: output `data` of stage `images` is dataset/images, but input `model` takes model/checkpoint
      6 |   model: { uses: prune, inputs: { model: "${{ stages.images.outputs.data }}" } }
        |                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ takes model/checkpoint
       --> pipeline.yaml:4:3
      4 |   images: { uses: surfaces }
        |   ^^^^^^ gives dataset/images
      help: a stage that uses `train` makes model/checkpoint out of dataset/images
    "#);
}
