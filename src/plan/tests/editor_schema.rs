use super::*;

/// The pipeline as a plain value, as an editor's schema sees it.
fn value(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn complaints(text: &str) -> Vec<String> {
    let schema = schema(&Machine::new().catalog);
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.iter_errors(&value(text)).map(|error| error.instance_path().to_string()).collect()
}

#[test]
fn it_takes_what_the_compiler_takes() {
    assert_eq!(complaints(full::QUICKSTART), Vec::<String>::new());
}

#[test]
fn it_refuses_what_the_compiler_refuses() {
    let wrong = [
        ("epochs: \"${{ params.epochs }}\"", "epochs: six"),
        ("budget: 2MiB", "budget: 2parsecs"),
        ("amount: 50%", "amonut: 50%"),
        ("uses: prune,", "use: prune,"),
        ("transform: horizontal-flip", "transform: sideways-flip"),
        ("role: calibration", "role: calibrations"),
        ("cache: false", "cache: sometimes"),
        ("on: [oom]", "on: [om]"),
        ("value: 1pp", "val: 1pp"),
        ("version: 1", "version: 2"),
        ("inputs: { model: \"${{ stages.prune", "inputs: { modle: \"${{ stages.prune"),
    ];
    for (right, mistake) in wrong {
        let text = full::QUICKSTART.replace(right, mistake);
        assert_ne!(text, full::QUICKSTART, "{right} is not in the pipeline");
        assert_ne!(complaints(&text), Vec::<String>::new(), "{mistake}");
        assert!(Machine::new().compile(&text).is_err(), "{mistake}");
    }
}

/// An entry that uses `train`, against the schema of that program alone.
fn stage_complaints(text: &str) -> Vec<String> {
    let machine = Machine::new();
    let schema = stage_schema(&machine.catalog["train"]);
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.iter_errors(&value(text)).map(|error| error.instance_path().to_string()).collect()
}

#[test]
fn one_program_has_a_schema_of_its_own() {
    let right = "{ uses: train, inputs: { data: d, preprocess: p }, with: { epochs: 3 }, cache: false }";
    assert_eq!(stage_complaints(right), Vec::<String>::new());
    for (wrong, place) in [
        ("{ uses: prune, inputs: { data: d, preprocess: p } }", "/uses"),
        ("{ uses: train, inputs: { data: d } }", "/inputs"),
        ("{ uses: train, inputs: { data: d, preprocess: p }, with: { epochs: six } }", "/with/epochs"),
        ("{ uses: train, inputs: { data: d, preprocess: p }, outputs: { modle: m } }", "/outputs"),
    ] {
        assert_eq!(stage_complaints(wrong), [place], "{wrong}");
    }
}

#[test]
fn without_programs_it_is_the_language() {
    let schema = schema(&BTreeMap::new());
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&value(full::QUICKSTART)));
    assert!(!validator.is_valid(&value("{ version: 1, stages: { a: { uses: \"two words\" } } }")));
}

#[test]
fn it_knows_searches() {
    let with = |search: &str| {
        format!(
            "version: 1\nparams: {{ samples: 3 }}\nsearch: {search}\nstages: {{ s: {{ uses: surfaces, with: {{ samples: \"${{{{ params.samples }}}}\" }} }} }}\n"
        )
    };
    let good = [
        "{ over: { params.samples: [1, 2], s.with.samples: { int: [8, 512], scale: log, points: 3 } }, minimize: s:size }",
        "{ over: { params.samples: { log: [1e-4, 1e-1] } }, maximize: [s:top1], trials: 5, strategy: tpe, seed: 3 }",
        "{ over: { params.samples: { linear: [1ms, 2ms], step: 1ms } }, minimize: s:size }",
    ];
    for search in good {
        assert_eq!(complaints(&with(search)), Vec::<String>::new(), "{search}");
        let compiled = Machine::new().compile(&with(search));
        assert!(compiled.is_ok(), "{search}: {compiled:?}");
    }
    let wrong = [
        "{ over: { params.samples: [] }, minimize: s:size }",
        "{ over: { params.samples: { lin: [1, 2] } }, minimize: s:size }",
        "{ over: { params.samples: { log: [1, 2], step: 1 } }, minimize: s:size }",
        "{ over: { samples: [1] }, minimize: s:size }",
        "{ over: { params.samples: [1] } }",
        "{ minimize: s:size }",
        "{ over: { params.samples: [1] }, minimize: s:size, strategy: best }",
        "{ over: { params.samples: [1] }, minimize: s:size, trials: 0 }",
    ];
    for search in wrong {
        assert_ne!(complaints(&with(search)), Vec::<String>::new(), "{search}");
        assert!(Machine::new().compile(&with(search)).is_err(), "{search}");
    }
}
