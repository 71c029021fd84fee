use super::*;

fn assignment(text: &str) -> Result<Assignment, OverrideError> {
    text.parse()
}

#[test]
fn a_place_and_its_values_are_read_as_a_pipeline_file_would() {
    let read = |text: &str| {
        let Assignment { place, values } = assignment(text).unwrap();
        let values: Vec<_> = values.iter().map(Value::to_string).collect();
        format!("{place} {}", values.join(" "))
    };
    insta::assert_snapshot!([
        "params.epochs=3",
        "params.train.lr=0.1,1e-2",
        "train.with.name=\"a,b\",c",
        "train.with.shape=[1, 2],[3]",
        "train[lr=0.1,seed=0].with.optimizer={name: sgd, lr: 1}",
        "train.with.text=it's,that's",
        "params.x=null,true,2ms,a=b",
        "train.with.do.0.text=x",
    ].map(read).join("\n"), @r#"
    params.epochs 3
    params.train.lr 0.1 0.01
    train.with.name "a,b" "c"
    train.with.shape [1,2] [3]
    train[lr=0.1,seed=0].with.optimizer {"lr":1,"name":"sgd"}
    train.with.text "it's" "that's"
    params.x null true "2ms" "a=b"
    train.with.do.0.text "x"
    "#);
}

#[test]
fn what_is_no_override_says_what_to_write() {
    let said = |text: &str| {
        let error = assignment(text).and_then(|one| Overrides::single(&[one])).unwrap_err();
        format!("{error}{}", error.hint().map(|hint| format!("\n    {hint}")).unwrap_or_default())
    };
    insta::assert_snapshot!(
        ["epochs=3", "params.epochs", "params=3", "train.lr=3", "params.a..b=1", "params.x=", "params.x=no",
         "params.x=010", "params.x=[1", "params.x=${{ params.y }}", "params.x=1,2"].map(said).join("\n"),
        @r#"
    `epochs` is neither `params.<key>` nor `<stage>.with.<key>`
        write for example `params.epochs=3` or `train.with.optimizer.lr=0.01`
    `params.epochs` is no `KEY=VALUE`
        write for example `params.epochs=3` or `train.with.optimizer.lr=0.01`
    `params` is neither `params.<key>` nor `<stage>.with.<key>`
        write for example `params.epochs=3` or `train.with.optimizer.lr=0.01`
    `train.lr` is neither `params.<key>` nor `<stage>.with.<key>`
        write for example `params.epochs=3` or `train.with.optimizer.lr=0.01`
    `params.a..b` is neither `params.<key>` nor `<stage>.with.<key>`
        write for example `params.epochs=3` or `train.with.optimizer.lr=0.01`
    the value of `params.x`: it is empty
        write `params.x=null` for nothing, or `params.x='""'` for the empty text
    the value of `params.x`: `no` is a boolean to YAML 1.1 and text to YAML 1.2
        write `false`, or "no" in quotes for the text
    the value of `params.x`: `010` is octal to YAML 1.1 and decimal to YAML 1.2
        write `10`, or `0o10` for octal, or quotes for the text
    the value of `params.x`: this is not YAML: while parsing a flow sequence, expected ',' or ']'
    the value of `params.x`: a param can't be an expression
        params are where values start; compute with them in the stages
    `params.x` has 2 values, and one is wanted here
        a text with a comma in it stands in quotes: '"a,b"'
    "#);
}

const PIPELINE: &str = r#"version: 1
params: { epochs: 6, deep: { samples: 100, sizes: [1, 2] } }
stages:
  images: { uses: surfaces, with: { samples: "${{ params.deep.samples }}" } }
  train:
    uses: train
    matrix: { seed: [0, 1] }
    inputs: { data: data/cifar10, preprocess: { path: data/cifar10 } }
    with: { epochs: "${{ params.epochs }}", optimizer: { name: sgd } }
"#;

fn with(overrides: &[&'static str]) -> Result<Plan, Vec<Diagnostic>> {
    Machine { overrides: overrides.to_vec(), ..Machine::new() }.compile(PIPELINE)
}

#[test]
fn params_and_stages_are_overridden() {
    let plan = with(&[
        "params.deep.samples=7",
        "params.deep.sizes.1=5",
        "train.with.optimizer.lr=0.5",
        "train[seed=1].with.epochs=1",
        "train.with.budget=2MiB",
    ])
    .unwrap();
    let params = |id: &str| &plan.actions.iter().find(|action| action.id.0 == id).unwrap().params;
    assert_eq!(params("images")["samples"], json!(7));
    assert_eq!(params("train[seed=0]")["epochs"], json!(6));
    assert_eq!(params("train[seed=1]")["epochs"], json!(1));
    assert_eq!(params("train[seed=0]")["optimizer"]["lr"], json!(0.5));
    assert_eq!(params("train[seed=0]")["budget"], json!(2 << 20));
}

#[test]
fn overrides_of_nothing_and_wrong_values_are_refused() {
    let said = |overrides: &[&'static str]| rendered(&with(overrides).unwrap_err(), PIPELINE);
    insta::assert_snapshot!(said(&[
        "params.epohcs=3",
        "params.epochs.x=3",
        "params.deep.sizes.2=1",
        "trian.with.epochs=1",
        "train[seed=2].with.epochs=1",
    ]), @r"
    pipeline.yaml: error[plan::override]: `params.epohcs` is set, but `params` has no `epohcs`
      help: did you mean `epochs`?

    pipeline.yaml: error[plan::override]: `params.epochs.x` is set, but `params.epochs` is a number

    pipeline.yaml: error[plan::override]: `params.deep.sizes.2` is set, but `params.deep.sizes` has no `2`
      help: it is a list of 2 items, counted from 0

    pipeline.yaml: error[plan::override]: `trian.with.epochs`: there is no stage `trian`
      help: did you mean `train`?

    pipeline.yaml: error[plan::override]: `train[seed=2].with.epochs`: there is no stage `train[seed=2]`
      help: did you mean `train[seed=0]`?
    ");
    insta::assert_snapshot!(said(&[
        "train.with.epochs=0",
        "train.with.budgt=2MiB",
        "images.with.samples=many",
    ]), @r#"
    pipeline.yaml:4:46: error[plan::param]: `samples` of stage `images` must be a whole number; here it is `many`
      4 |   images: { uses: surfaces, with: { samples: "${{ params.deep.samples }}" } }
        |                                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: `samples`: Number of images (default 100)
            set on the command line: `images.with.samples`

    pipeline.yaml:9:11: error[plan::unknown-param]: stage `train` (train) has no param `budgt`
      9 |     with: { epochs: "${{ params.epochs }}", optimizer: { name: sgd } }
        |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: did you mean `budget`?
            set on the command line: `train.with.epochs`, `train.with.budgt`

    pipeline.yaml:9:21: error[plan::param]: `epochs` of stage `train` is `0`; it must be at least 1
      9 |     with: { epochs: "${{ params.epochs }}", optimizer: { name: sgd } }
        |                     ^^^^^^^^^^^^^^^^^^^^^^
      help: `epochs`: Passes over the training data (default 10)
            set on the command line: `train.with.epochs`, `train.with.budgt`
    "#);
}
