use super::*;

fn train(with: &str) -> String {
    format!(
        "version: 1\nparams: {{ n: 3 }}\nstages:\n  stats: {{ uses: data-stats, inputs: {{ data: data/cifar10 }} }}\n  train:\n    uses: train\n    inputs: {{ data: data/cifar10, preprocess: \"${{{{ stages.stats.outputs.preprocess }}}}\" }}\n    with:\n{}",
        with.lines().map(|line| format!("      {line}\n")).collect::<String>()
    )
}

fn params(with: &str) -> Value {
    let plan = plan(&train(with));
    plan.actions.iter().find(|action| action.id.0 == "train").unwrap().params.clone()
}

#[test]
fn defaults_are_filled_in_through_the_branches() {
    assert_eq!(
        params("epochs: 3"),
        json!({
            "epochs": 3, "batch-size": "auto", "nesterov": false, "precision": "fp32", "budget": 1_000_000, "patience": null,
            "optimizer": { "name": "adamw", "lr": 0.001 },
        })
    );
    assert_eq!(
        params("optimizer: { name: sgd }")["optimizer"],
        json!({ "name": "sgd", "lr": 0.1, "momentum": 0.9 })
    );
    assert_eq!(params("batch-size: 32")["batch-size"], json!(32));
}

#[test]
fn units_become_numbers() {
    let params = params("budget: 1.5MiB\npatience: 2m");
    assert_eq!((&params["budget"], &params["patience"]), (&json!(1_572_864), &json!(120)));
    assert_eq!(plan(&train("budget: 1.1GiB")).actions[1].params["budget"], json!(1_181_116_006));
}

#[test]
fn params_that_do_not_fit() {
    insta::assert_snapshot!(refused(&train(
        "epochs: 0
batch-size: autp
nesterov: yes
precision: fp16
budget: 64
patience: 3GiB
optimizer: { name: sgd, lr: fast, momentun: 0.9 }
epoch: 3
learning: 1"
    )), @r"
    pipeline.yaml:9:15: error[plan::param]: `epochs` of stage `train` is `0`; it must be at least 1
      9 |       epochs: 0
        |               ^
      help: `epochs`: Passes over the training data (default 10)

    pipeline.yaml:10:19: error[plan::param]: `batch-size` of stage `train` can't be `autp`
      10 |       batch-size: autp
         |                   ^^^^
      help: did you mean `auto`?

    pipeline.yaml:11:17: error[plan::param]: `nesterov` of stage `train` must be `true` or `false`; here it is `yes`
      11 |       nesterov: yes
         |                 ^^^
      help: write `true`; YAML 1.2 reads this word as text

    pipeline.yaml:12:18: error[plan::param]: `precision` of stage `train` is `fp16`; it must be one of `fp32`, `bf16`
      12 |       precision: fp16
         |                  ^^^^
      help: did you mean `fp32`?

    pipeline.yaml:13:15: error[plan::unit]: `budget` of stage `train` needs a unit: `64` alone is not a size
      13 |       budget: 64
         |               ^^
      help: write a number with one of the units `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`

    pipeline.yaml:14:17: error[plan::unit]: `patience` of stage `train` is a time; `3GiB` is a size
      14 |       patience: 3GiB
         |                 ^^^^
      help: write a number with one of the units `ms`, `s`, `m`, `h`

    pipeline.yaml:15:35: error[plan::param]: `optimizer.lr` of stage `train` must be a number; here it is `fast`
      15 |       optimizer: { name: sgd, lr: fast, momentun: 0.9 }
         |                                   ^^^^

    pipeline.yaml:15:41: error[plan::unknown-param]: `optimizer` of stage `train` has no param `momentun`
      15 |       optimizer: { name: sgd, lr: fast, momentun: 0.9 }
         |                                         ^^^^^^^^
      help: did you mean `momentum`?

    pipeline.yaml:16:7: error[plan::unknown-param]: stage `train` (train) has no param `epoch`
      16 |       epoch: 3
         |       ^^^^^
      help: did you mean `epochs`?

    pipeline.yaml:17:7: error[plan::unknown-param]: stage `train` (train) has no param `learning`
      17 |       learning: 1
         |       ^^^^^^^^
      help: there is `batch-size`, `budget`, `epochs`, `nesterov`, `optimizer`, `patience`, `precision`
    ");
    insta::assert_snapshot!(refused(&train(
        "epochs: \"${{ 'six' }}\"
batch-size: 0
budget: 64 KB
patience: \"${{ params.n }}\"
optimizer: { name: adm }"
    )), @r#"
    pipeline.yaml:9:15: error[plan::param]: `epochs` of stage `train` must be a whole number; here it is `six`
      9 |       epochs: "${{ 'six' }}"
        |               ^^^^^^^^^^^^^^
      help: `epochs`: Passes over the training data (default 10)

    pipeline.yaml:10:19: error[plan::param]: `batch-size` of stage `train` is `0`; it must be at least 1
      10 |       batch-size: 0
         |                   ^

    pipeline.yaml:11:15: error[plan::unit]: `budget` of stage `train`: `KB` in `64 KB` is not a unit
      11 |       budget: 64 KB
         |               ^^^^^
      help: write `kB` (1000) or `KiB` (1024)

    pipeline.yaml:12:17: error[plan::unit]: `patience` of stage `train` needs a unit: `3` alone is not a time
      12 |       patience: "${{ params.n }}"
         |                 ^^^^^^^^^^^^^^^^^
      help: write a number with one of the units `ms`, `s`, `m`, `h`

    pipeline.yaml:13:26: error[plan::param]: `optimizer.name` of stage `train` is `adm`, which is not known
      13 |       optimizer: { name: adm }
         |                          ^^^
      help: there is `adamw`, `sgd`
    "#);
    insta::assert_snapshot!(refused(&train("epochs: 2.5\nbudget: many\nbatch-size: [1]\noptimizer: { lr: 1 }\npatience: soon")), @r"
    pipeline.yaml:9:15: error[plan::param]: `epochs` of stage `train` must be a whole number; here it is `2.5`
      9 |       epochs: 2.5
        |               ^^^
      help: `epochs`: Passes over the training data (default 10)

    pipeline.yaml:10:15: error[plan::unit]: `budget` of stage `train`: `many` does not start with a number
      10 |       budget: many
         |               ^^^^
      help: write a number with one of the units `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`

    pipeline.yaml:11:19: error[plan::param]: `batch-size` of stage `train` can't be a list
      11 |       batch-size: [1]
         |                   ^^^
      help: it is `auto` or a whole number

    pipeline.yaml:12:18: error[plan::param]: `optimizer` of stage `train` needs `name`
      12 |       optimizer: { lr: 1 }
         |                  ^^^^^^^^^
      help: it is one of `adamw`, `sgd`

    pipeline.yaml:13:17: error[plan::unit]: `patience` of stage `train`: `soon` does not start with a number
      13 |       patience: soon
         |                 ^^^^
      help: write a number with one of the units `ms`, `s`, `m`, `h`
    ");
    insta::assert_snapshot!(refused(&train("optimizer: adamw")), @r"
    pipeline.yaml:9:18: error[plan::param]: `optimizer` of stage `train` can't be `adamw`
      9 |       optimizer: adamw
        |                  ^^^^^
      help: it is a map whose `name` is one of `adamw`, `sgd`
    ");
}

#[test]
fn positions_inside_of_lists_are_exact() {
    insta::assert_snapshot!(refused(r#"version: 1
stages:
  images: { uses: surfaces, with: { sampels: 1 } }
  stats: { uses: data-stats, inputs: { data: "${{ stages.images.outputs.data }}" }, with: { x: 1 } }
  augment:
    uses: augment
    inputs: { data: "${{ stages.images.outputs.data }}", preprocess: "${{ stages.stats.outputs.preprocess }}" }
    with:
      transforms:
        - { transform: horizontal-flip, p: 1.5 }
        - { transform: random-crop, p: 0.5 }
        - { transform: vertical-flip }
        - { padding: 4 }
        - { transform: random-crop, padding: 4deg }
        - flip
"#), @r#"
    pipeline.yaml:3:37: error[plan::unknown-param]: stage `images` (surfaces) has no param `sampels`
      3 |   images: { uses: surfaces, with: { sampels: 1 } }
        |                                     ^^^^^^^
      help: did you mean `samples`?

    pipeline.yaml:4:93: error[plan::unknown-param]: stage `stats` (data-stats) has no param `x`
      4 |   stats: { uses: data-stats, inputs: { data: "${{ stages.images.outputs.data }}" }, with: { x: 1 } }
        |                                                                                             ^
      help: it takes no params

    pipeline.yaml:10:44: error[plan::param]: `transforms[0].p` of stage `augment` is `1.5`; it may be at most 1
      10 |         - { transform: horizontal-flip, p: 1.5 }
         |                                            ^^^

    pipeline.yaml:11:37: error[plan::unknown-param]: `transforms[1]` of stage `augment` has no param `p`
      11 |         - { transform: random-crop, p: 0.5 }
         |                                     ^
      help: there is `padding`, `transform`

    pipeline.yaml:12:24: error[plan::param]: `transforms[2].transform` of stage `augment` is `vertical-flip`, which is not known
      12 |         - { transform: vertical-flip }
         |                        ^^^^^^^^^^^^^
      help: there is `horizontal-flip`, `random-crop`

    pipeline.yaml:13:11: error[plan::param]: `transforms[3]` of stage `augment` needs `transform`
      13 |         - { padding: 4 }
         |           ^^^^^^^^^^^^^^
      help: it is one of `horizontal-flip`, `random-crop`

    pipeline.yaml:14:46: error[plan::unit]: `transforms[4].padding` of stage `augment` is a number of pixels; `4deg` is an angle
      14 |         - { transform: random-crop, padding: 4deg }
         |                                              ^^^^
      help: write a number with one of the units `px`

    pipeline.yaml:15:11: error[plan::param]: `transforms[5]` of stage `augment` can't be `flip`
      15 |         - flip
         |           ^^^^
      help: it is a map whose `transform` is one of `horizontal-flip`, `random-crop`
    "#);
}

#[test]
fn required_params_and_broken_schemas() {
    let mut machine = Machine::new();
    let change = |machine: &mut Machine, schema: Value| {
        let program = machine.catalog.get_mut("surfaces").unwrap();
        program.manifest = Arc::new(Manifest { params: schema, ..(*program.manifest).clone() });
    };
    let text = "version: 1\nstages:\n  a: { uses: surfaces }\n  b: { uses: surfaces, with: { size: 3 } }\n";
    let said = |machine: &Machine| rendered(&machine.compile(text).unwrap_err(), text);
    change(
        &mut machine,
        json!({ "type": "object", "required": ["size"], "properties": { "size": { "type": "array", "minItems": 2, "description": "Height and width.\nMore." } } }),
    );
    insta::assert_snapshot!(said(&machine), @r"
    pipeline.yaml:3:3: error[plan::param]: stage `a` needs the param `size`
      3 |   a: { uses: surfaces }
        |   ^
      help: `size`: Height and width

    pipeline.yaml:4:38: error[plan::param]: `size` of stage `b` must be a list; here it is `3`
      4 |   b: { uses: surfaces, with: { size: 3 } }
        |                                      ^
      help: `size`: Height and width
    ");
    change(&mut machine, json!({ "type": "nonsense" }));
    insta::assert_snapshot!(said(&machine), @r#"
    pipeline.yaml:3:3: error[plan::manifest]: the params schema of `surfaces` is not valid: "nonsense" is not valid under any of the schemas listed in the 'anyOf' keyword
      3 |   a: { uses: surfaces }
        |   ^
      help: this is a defect of the stage program

    pipeline.yaml:4:3: error[plan::manifest]: the params schema of `surfaces` is not valid: "nonsense" is not valid under any of the schemas listed in the 'anyOf' keyword
      4 |   b: { uses: surfaces, with: { size: 3 } }
        |   ^
      help: this is a defect of the stage program
    "#);
    // An open schema takes what it does not name.
    change(
        &mut machine,
        json!({ "type": "object", "additionalProperties": { "type": "integer", "x-unit": "ms" } }),
    );
    let text = "version: 1\nstages:\n  a: { uses: surfaces, with: { anything: 2s } }\n";
    assert_eq!(machine.compile(text).unwrap().actions[0].params, json!({ "anything": 2000 }));
}

#[test]
fn shared_definitions_are_followed() {
    let mut machine = Machine::new();
    let program = machine.catalog.get_mut("surfaces").unwrap();
    program.manifest = Arc::new(Manifest {
        params: json!({
            "type": "object",
            "properties": { "a": { "$ref": "#/$defs/part" } },
            "$defs": { "part": { "allOf": [{ "type": "object", "properties": { "wait": { "type": "number", "x-unit": "s", "default": 5 }, "part": { "$ref": "#/$defs/part" } } }] } },
        }),
        ..(*program.manifest).clone()
    });
    let text = "version: 1\nstages:\n  a: { uses: surfaces, with: { a: { part: { wait: 1m } } } }\n";
    assert_eq!(
        machine.compile(text).unwrap().actions[0].params,
        json!({ "a": { "wait": 5, "part": { "wait": 60 } } })
    );
    let text = "version: 1\nstages:\n  a: { uses: surfaces, with: { a: { part: { wiat: 1m } } } }\n";
    insta::assert_snapshot!(rendered(&machine.compile(text).unwrap_err(), text), @r"
    pipeline.yaml:3:45: error[plan::unknown-param]: `a.part` of stage `a` has no param `wiat`
      3 |   a: { uses: surfaces, with: { a: { part: { wiat: 1m } } } }
        |                                             ^^^^
      help: did you mean `wait`?
    ");
}

#[test]
fn rules_between_params_say_which_other_one_is_behind_them() {
    insta::assert_snapshot!(refused(
        r#"version: 1
stages:
  a: { uses: ruled, with: { nesterov: true, precision: bf16, patience: 3, batch-size: auto } }
  b: { uses: ruled, with: { epochs: 2000 } }
  c: { uses: ruled, with: { budget: 3 } }
  d: { uses: ruled, with: { nesterov: true, epochs: 3 } }
"#
    ), @r"
    pipeline.yaml:3:56: error[plan::param]: `precision` of stage `a` is `bf16`; it must be `fp32`, because `nesterov` is `true`
      3 |   a: { uses: ruled, with: { nesterov: true, precision: bf16, patience: 3, batch-size: auto } }
        |                                                        ^^^^
      help: look ahead in full precision

    pipeline.yaml:3:72: error[plan::param]: `patience` of stage `a` must be left out; here it is `3`, because `nesterov` is `true`
      3 |   a: { uses: ruled, with: { nesterov: true, precision: bf16, patience: 3, batch-size: auto } }
        |                                                                        ^
      help: look ahead in full precision

    pipeline.yaml:3:87: error[plan::param]: `batch-size` of stage `a` must be a whole number; here it is `auto`, because `precision` is one of `bf16`, `fp16`
      3 |   a: { uses: ruled, with: { nesterov: true, precision: bf16, patience: 3, batch-size: auto } }
        |                                                                                       ^^^^

    pipeline.yaml:4:37: error[plan::param]: `epochs` of stage `b` is `2000`; it may be at most 1000, because `precision` is not one of `bf16`, `fp16`
      4 |   b: { uses: ruled, with: { epochs: 2000 } }
        |                                     ^^^^
      help: `epochs`: Passes over the training data (default 10)

    pipeline.yaml:5:27: error[plan::param]: stage `c` needs the param `reason`, because `budget` is given
      5 |   c: { uses: ruled, with: { budget: 3 } }
        |                           ^^^^^^^^^^^^^^
      help: `reason`: Why there is a budget
    ");
}
