use super::*;

const HEAD: &str = r#"version: 1
params: { fast: true, floor: 90 }
stages:
  a: { uses: train, inputs: { data: data/cifar10, preprocess: { path: data/cifar10 } } }
  m: { uses: surfaces, matrix: { seed: [0, 1] } }
"#;

fn with(stages: &str) -> String {
    let stages: String = stages.trim().lines().map(|line| format!("  {}\n", line.trim())).collect();
    format!("{HEAD}{stages}")
}

/// What is planned, without the stages that every pipeline here has.
fn planned(stages: &str) -> String {
    let text = shown(&plan(&with(stages)));
    let own = text.find("\nq").map_or("", |at| &text[at + 1..]);
    own.lines().filter(|line| !line.contains("with {")).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_known_is_decided_and_the_rest_waits() {
    insta::assert_snapshot!(planned(r#"
        q1: { uses: surfaces, if: "${{ always() }}" }
        q2: { uses: surfaces, if: "${{ true || stages.a.result == 'failure' }}" }
        q3: { uses: surfaces, if: "${{ false && stages.a.result == 'failure' }}" }
        q4: { uses: surfaces, if: "${{ stages.a.metrics.validation.top1 >= params.floor }}" }
        q5: { uses: surfaces, if: "${{ !params.fast || contains(stages.m[*].result, 'failure') }}" }
        q6: { uses: surfaces, needs: [a], if: "${{ failure() }}" }
        q7: { uses: surfaces, needs: [a], if: "${{ always() && stages.m[seed=1].result != 'success' }}" }
        q8: { uses: surfaces, if: "${{ fromJSON(format('[{0}]', stages.a.metrics.validation.top1))[0] > 1 }}" }
        q9: { uses: surfaces, needs: [q3] }
    "#), @r"
    q1 (line 6)
        the run decides ${{ always() }}, asking [], whatever becomes of others
    q2 (line 7)
    q3 (line 8)
        skipped: `if: ${{ false && stages.a.result == 'failure' }}`
    q4 (line 9)
        the run decides ${{ stages.a.metrics.validation.top1 >= params.floor }}, asking [a]
    q5 (line 10)
        the run decides ${{ !params.fast || contains(stages.m[*].result, 'failure') }}, asking [m[seed=0] m[seed=1]]
    q6 (line 11)
        needs a
        the run decides ${{ failure() }}, asking [], whatever becomes of others
    q7 (line 12)
        needs a
        the run decides ${{ always() && stages.m[seed=1].result != 'success' }}, asking [m[seed=1]], whatever becomes of others
    q8 (line 13)
        the run decides ${{ fromJSON(format('[{0}]', stages.a.metrics.validation.top1))[0] > 1 }}, asking [a]
    q9 (line 14)
        needs q3
        skipped: it needs `q3`, which is skipped
    ");
}

#[test]
fn skipping_goes_on_unless_the_condition_asks_for_it() {
    insta::assert_snapshot!(planned(r#"
        q0: { uses: surfaces, if: false }
        q1: { uses: surfaces, needs: [q0], if: "${{ always() }}" }
        q2: { uses: surfaces, if: "${{ stages.q0.result == 'skipped' }}" }
        q3: { uses: surfaces, if: "${{ always() && stages.q0.result == 'skipped' }}" }
        q4: { uses: data-stats, inputs: { data: "${{ stages.q0.outputs.data }}" }, if: "${{ always() }}" }
        q5: { uses: benchmark, inputs: { models: { path: models/mine.onnx }, data: "${{ stages.q0.outputs.data }}" }, if: "${{ always() }}" }
    "#), @r"
    q0 (line 6)
        skipped: `if: false`
    q1 (line 7)
        needs q0
        the run decides ${{ always() }}, asking [], whatever becomes of others
    q2 (line 8)
        the run decides ${{ stages.q0.result == 'skipped' }}, asking [q0]
        skipped: its `if` asks `q0`, which is skipped
    q3 (line 9)
        the run decides ${{ always() && stages.q0.result == 'skipped' }}, asking [q0], whatever becomes of others
    q4 (line 10)
        data <- data=q0.data: dataset/images
        the run decides ${{ always() }}, asking [], whatever becomes of others
        skipped: its input `data` comes from `q0`, which is skipped
    q5 (line 11)
        data <- nothing
        models <- mine=models/mine.onnx: model/onnx
        the run decides ${{ always() }}, asking [], whatever becomes of others
    warning: input `data` of stage `q5` goes without `data`: stage `q0` is skipped
    ");
}

#[test]
fn what_a_condition_can_not_ask() {
    insta::assert_snapshot!(refused(&with(r#"
        q1: { uses: surfaces, if: "${{ failure() }}" }
        q2: { uses: surfaces, if: "${{ cancelled() || true }}" }
        q3: { uses: surfaces, if: "${{ stages.a.outcome == 'x' }}" }
        q4: { uses: surfaces, if: "${{ stages.a.outputs.model }}" }
        q5: { uses: surfaces, if: "${{ stages.m.result == 'x' }}" }
        q6: { uses: surfaces, if: "${{ true || stages.nope.result == 'x' }}" }
        q7: { uses: surfaces, if: "${{ stages.a.metrics == 1 }}" }
        q8: { uses: surfaces, if: "${{ run.attempt == 1 }}" }
        q9: { uses: surfaces, if: "${{ stages.a }}" }
        r1: { uses: surfaces, if: "${{ stages.r2.result == 'success' }}" }
        r2: { uses: surfaces, needs: [r1] }
        r3: { uses: surfaces, if: "${{ stages.r3.metrics.x > 1 }}" }
        r4: { uses: surfaces, if: "${{ hashFiles(stages.a.result) }}" }
    "#)), @r#"
    pipeline.yaml:6:29: error[plan::condition]: `failure()` asks what stage `q1` depends on, and it depends on nothing
      6 |   q1: { uses: surfaces, if: "${{ failure() }}" }
        |                             ^^^^^^^^^^^^^^^^^^^ would be decided before anything has run
      help: name the stages it looks at: `needs: [<stage>]`

    pipeline.yaml:7:29: error[plan::condition]: `cancelled()` asks what stage `q2` depends on, and it depends on nothing
      7 |   q2: { uses: surfaces, if: "${{ cancelled() || true }}" }
        |                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ would be decided before anything has run
      help: name the stages it looks at: `needs: [<stage>]`

    pipeline.yaml:8:43: error[plan::unknown-reference]: `stages.a` has no `outcome`
      8 |   q3: { uses: surfaces, if: "${{ stages.a.outcome == 'x' }}" }
        |                                           ^^^^^^^
      help: write `stages.a.outputs.<port>`; `if` can also ask for `stages.a.result` and `stages.a.metrics.<name>`

    pipeline.yaml:9:34: error[plan::output-value]: an output has no value that a condition could ask for
      9 |   q4: { uses: surfaces, if: "${{ stages.a.outputs.model }}" }
        |                                  ^^^^^^^^^^^^^^^^^^^^^^
      help: ask for `stages.a.result` or for one of its metrics

    pipeline.yaml:10:41: error[plan::matrix-reference]: `m` is a matrix of stages
      10 |   q5: { uses: surfaces, if: "${{ stages.m.result == 'x' }}" }
         |                                         ^ which of them?
      help: write `m[*]` for all, or for example `m[seed=0]`

    pipeline.yaml:11:49: error[plan::unknown-stage]: there is no stage `nope`
      11 |   q6: { uses: surfaces, if: "${{ true || stages.nope.result == 'x' }}" }
         |                                                 ^^^^
      help: there is `a`, `m`, `q1`, `q2`, `q3`, `q4`, `q5`, `q6`, `q7`, `q8`, `q9`, `r1` and 3 more

    pipeline.yaml:12:34: error[plan::unknown-reference]: `stages.a.metrics` needs the name of a metric
      12 |   q7: { uses: surfaces, if: "${{ stages.a.metrics == 1 }}" }
         |                                  ^^^^^^^^^^^^^^^^
      help: write `stages.a.metrics.<name>`

    pipeline.yaml:13:34: error[plan::unknown-reference]: `run` has nothing of this name for a condition
      13 |   q8: { uses: surfaces, if: "${{ run.attempt == 1 }}" }
         |                                  ^^^^^^^^^^^
      help: a condition is decided before the first attempt; `run.attempt` is for `env`

    pipeline.yaml:14:34: error[plan::unknown-reference]: `stages.a` needs a word behind it
      14 |   q9: { uses: surfaces, if: "${{ stages.a }}" }
         |                                  ^^^^^^^^
      help: write `stages.a.outputs.<port>`; `if` can also ask for `stages.a.result` and `stages.a.metrics.<name>`

    pipeline.yaml:16:33: error[plan::cycle]: stages wait for each other: r1 → r2 → r1
      16 |   r2: { uses: surfaces, needs: [r1] }
         |                                 ^^ `r2` waits for `r1`
      15 |   r1: { uses: surfaces, if: "${{ stages.r2.result == 'success' }}" }
         |                                  ^^^^^^^^^^^^^^^^ `r1` waits for `r2`
      help: remove one of these inputs, `needs` or `if`

    pipeline.yaml:17:34: error[plan::cycle]: stage `r3` waits for itself
      17 |   r3: { uses: surfaces, if: "${{ stages.r3.metrics.x > 1 }}" }
         |                                  ^^^^^^^^^^^^^^^^^^^
      help: a stage can wait for other stages only

    pipeline.yaml:18:34: error[plan::run-value]: what `hashFiles()` looks for is known only during the run
      18 |   r4: { uses: surfaces, if: "${{ hashFiles(stages.a.result) }}" }
         |                                  ^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: the `if` of a stage can ask for it; everything else is fixed before anything runs
    "#);
}

#[test]
fn a_metric_that_no_manifest_lists_is_worth_a_warning() {
    let plan = plan(&with(r#"q: { uses: surfaces, if: "${{ stages.a.metrics.validation.top2 > 1 }}" }"#));
    insta::assert_snapshot!(plan.warnings.join("\n"), @"`if` of stage `q`: the manifest of stage `a` lists no metric `validation.top2`; did you mean `validation.top1`?");
}

#[test]
fn only_conditions_of_stages_wait_for_the_run() {
    insta::assert_snapshot!(refused(&with(r#"
        q1: { uses: surfaces, with: { samples: "${{ stages.a.metrics.x }}" } }
        q2: { uses: data-stats, inputs: { data: [ { path: data/cifar10, if: "${{ failure() }}" } ] } }
        q3: { uses: surfaces, matrix: { n: "${{ fromJSON(run.id) }}" } }
        q4: { uses: surfaces, env: { A: "${{ run.x }}", B: "${{ toJSON(run.id) }}", C: "${{ run.id }}-${{ params.no }}" } }
        q5: { uses: surfaces, seed: "${{ stages.a.result }}" }
    "#)), @r#"
    pipeline.yaml:6:47: error[plan::run-value]: `stages.a.metrics` is known only during the run
      6 |   q1: { uses: surfaces, with: { samples: "${{ stages.a.metrics.x }}" } }
        |                                               ^^^^^^^^^^^^^^^^^^
      help: the `if` of a stage can ask for it; everything else is fixed before anything runs

    pipeline.yaml:7:76: error[plan::run-value]: `failure()` is known only during the run
      7 |   q2: { uses: data-stats, inputs: { data: [ { path: data/cifar10, if: "${{ failure() }}" } ] } }
        |                                                                            ^^^^^^^^^
      help: the `if` of a stage can ask for it; everything else is fixed before anything runs

    pipeline.yaml:8:52: error[plan::run-value]: `run.id` is known only during the run
      8 |   q3: { uses: surfaces, matrix: { n: "${{ fromJSON(run.id) }}" } }
        |                                                    ^^^^^^
      help: it would change the action key with every run; a variable under `env` can be "${{ run.id }}", and `if` can ask for it

    pipeline.yaml:9:40: error[plan::run-value]: `run.x` is known only during the run
      9 |   q4: { uses: surfaces, env: { A: "${{ run.x }}", B: "${{ toJSON(run.id) }}", C: "${{ run.id }}-${{ params.no }}" } }
        |                                        ^^^^^
      help: it would change the action key with every run; a variable under `env` can be "${{ run.id }}", and `if` can ask for it

    pipeline.yaml:9:66: error[plan::run-value]: `run.id` is known only during the run
      9 |   q4: { uses: surfaces, env: { A: "${{ run.x }}", B: "${{ toJSON(run.id) }}", C: "${{ run.id }}-${{ params.no }}" } }
        |                                                                  ^^^^^^
      help: it would change the action key with every run; a variable under `env` can be "${{ run.id }}", and `if` can ask for it

    pipeline.yaml:9:108: error[plan::unknown-reference]: `params` has no `no`
      9 |   q4: { uses: surfaces, env: { A: "${{ run.x }}", B: "${{ toJSON(run.id) }}", C: "${{ run.id }}-${{ params.no }}" } }
        |                                                                                                            ^^
      help: there is `fast`, `floor`

    pipeline.yaml:10:36: error[plan::run-value]: `stages.a.result` is known only during the run
      10 |   q5: { uses: surfaces, seed: "${{ stages.a.result }}" }
         |                                    ^^^^^^^^^^^^^^^
      help: the `if` of a stage can ask for it; everything else is fixed before anything runs
    "#);
}

#[test]
fn variables_may_name_the_run_and_stay_out_of_the_key() {
    let text = with(
        r#"q: { uses: surfaces, env: { ID: "${{ run.id }}/${{ run.attempt }}-${{ params.floor }}", K: x } }"#,
    );
    let of = |text: &str| plan(text).actions.into_iter().find(|action| action.id.0 == "q").unwrap();
    let action = of(&text);
    assert_eq!(action.env, BTreeMap::from([("K".to_owned(), "x".to_owned())]));
    assert_eq!(action.run_env["ID"].fill("run-7", 2), "run-7/2-90");
    let key = |action: &Action| KeyMaterial::new(action, BTreeMap::new(), "").key().unwrap();
    assert_eq!(key(&action), key(&of(&text.replace("run.attempt", "run.id"))));
    // A stage's own word stands in for the pipeline's, whichever of the two names the run.
    let fixed = of(&text.replace("stages:\n", "env: { ID: fixed, K: \"${{ run.id }}\" }\nstages:\n"));
    assert_eq!((fixed.env.len(), fixed.run_env.len()), (1, 1));
}

#[test]
fn files_are_hashed_before_the_run() {
    let plan = plan(&with(
        r#"q: { uses: surfaces, if: "${{ hashFiles('a', 'b*') == 'digest of a b*' }}", env: { H: "${{ hashFiles('x') }}" } }"#,
    ));
    let action = plan.actions.iter().find(|action| action.id.0 == "q").unwrap();
    assert_eq!((action.env["H"].as_str(), &action.skip, &action.condition), ("digest of x", &None, &None));
    insta::assert_snapshot!(refused(&with(r#"q: { uses: surfaces, env: { H: "${{ hashFiles('broken[') }}" } }"#)), @r#"
    pipeline.yaml:6:39: error[plan::hash-files]: `hashFiles`: no pattern
      6 |   q: { uses: surfaces, env: { H: "${{ hashFiles('broken[') }}" } }
        |                                       ^^^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn secrets_are_named_and_nothing_else() {
    let plan = plan(&with("q: { uses: surfaces, secrets: [TOKEN, KEY] }"));
    let action = plan.actions.iter().find(|action| action.id.0 == "q").unwrap();
    assert_eq!(action.secrets, ["TOKEN", "KEY"]);
    insta::assert_snapshot!(refused(&with(r#"
        q1: { uses: surfaces, secrets: [A, A], env: { B: x } }
        q2: { uses: surfaces, secrets: [B, "a=b", ""], env: { B: "${{ run.id }}" } }
        q3: { uses: surfaces, env: { C: "${{ secrets.C }}" } }
        q4: { uses: surfaces, if: "${{ secrets.D != '' }}", secrets: D }
        q5: { uses: surfaces, with: { samples: "${{ secrets }}" } }
    "#)), @r#"
    pipeline.yaml:6:38: error[plan::secret]: secret `A` is listed twice
      6 |   q1: { uses: surfaces, secrets: [A, A], env: { B: x } }
        |                                      ^

    pipeline.yaml:7:35: error[plan::secret]: `B` is a secret and a variable under `env`
      7 |   q2: { uses: surfaces, secrets: [B, "a=b", ""], env: { B: "${{ run.id }}" } }
        |                                   ^
      help: the program would see one of them; remove the other

    pipeline.yaml:7:38: error[plan::secret]: `a=b` can't be the name of a variable, and so of no secret
      7 |   q2: { uses: surfaces, secrets: [B, "a=b", ""], env: { B: "${{ run.id }}" } }
        |                                      ^^^^^
      help: a secret is the name of a variable of the environment that `stagewright run` starts in

    pipeline.yaml:7:45: error[plan::secret]: `` can't be the name of a variable, and so of no secret
      7 |   q2: { uses: surfaces, secrets: [B, "a=b", ""], env: { B: "${{ run.id }}" } }
        |                                             ^^
      help: a secret is the name of a variable of the environment that `stagewright run` starts in

    pipeline.yaml:8:40: error[plan::secret]: a secret can't be read by an expression
      8 |   q3: { uses: surfaces, env: { C: "${{ secrets.C }}" } }
        |                                        ^^^^^^^^^ it would enter the action key, the logs and the lineage
      help: write `secrets: [C]` in the stage; its program finds the value in the variable `C`

    pipeline.yaml:9:34: error[plan::secret]: a secret can't be read by an expression
      9 |   q4: { uses: surfaces, if: "${{ secrets.D != '' }}", secrets: D }
        |                                  ^^^^^^^^^ it would enter the action key, the logs and the lineage
      help: write `secrets: [D]` in the stage; its program finds the value in the variable `D`

    pipeline.yaml:10:47: error[plan::secret]: a secret can't be read by an expression
      10 |   q5: { uses: surfaces, with: { samples: "${{ secrets }}" } }
         |                                               ^^^^^^^ it would enter the action key, the logs and the lineage
      help: list names under `secrets` of the stage; its program finds the values in its environment
    "#);
}
