use super::*;

#[test]
fn expressions_say_what_is_wrong_and_where() {
    insta::assert_snapshot!(stage_said(r#"with:
  a: ${params.lr}
  b: ${epochs}
  c: "${{ params.x + 1 }}"
  d: ${{ params.x == "fp32" }}
  e: ${{ param.x }}
  f: ${{ runner.os }}
  g: "${{ }}"
  h: ${{ params.x
  i: ${{ containz('a', 'b') }}
  j: ${{ contains('a') }}
  k: ${{ (params.x }}
  l: ${{ params. }}
  m: ${{ params.x = 1 }}
  n: ${{ 'open }}
  o: ${{ stages.a[*.x }}
  p: ${{ stages.a[seed].x }}
  q: "é ${{ params.x & 1 }} ${{ 12ab }}"
  r: "esc\taped ${{ nope }}"
  s: ${{ params.* }}"#), @r#"
    pipeline.yaml:6:10: error[spec::bare-dollar]: `${params.lr}` is not an expression
      6 |       a: ${params.lr}
        |          ^^^^^^^^^^^^
      help: write `${{ params.lr }}`

    pipeline.yaml:7:10: error[spec::bare-dollar]: `${epochs}` is not an expression
      7 |       b: ${epochs}
        |          ^^^^^^^^^
      help: write `${{ params.epochs }}`

    pipeline.yaml:8:24: error[spec::expression]: `+` has no meaning in an expression
      8 |       c: "${{ params.x + 1 }}"
        |                        ^
      help: expressions do not calculate; compute the value where the params are written

    pipeline.yaml:9:26: error[spec::expression]: `"` has no meaning in an expression
      9 |       d: ${{ params.x == "fp32" }}
        |                          ^
      help: a text in an expression stands in single quotes: 'text'

    pipeline.yaml:10:14: error[spec::unknown-context]: `param` names nothing an expression can refer to
      10 |       e: ${{ param.x }}
         |              ^^^^^
      help: did you mean `params`?

    pipeline.yaml:11:14: error[spec::unknown-context]: `runner` names nothing an expression can refer to
      11 |       f: ${{ runner.os }}
         |              ^^^^^^
      help: facts about the machine are in `host`

    pipeline.yaml:12:14: error[spec::expression]: the expression is empty
      12 |       g: "${{ }}"
         |              ^
      help: write for example `${{ params.x }}`

    pipeline.yaml:13:10: error[spec::expression]: an expression is not closed
      13 |       h: ${{ params.x
         |          ^^^^^^^^^^^^ its `}}` is missing

    pipeline.yaml:14:14: error[spec::unknown-function]: there is no function `containz`
      14 |       i: ${{ containz('a', 'b') }}
         |              ^^^^^^^^
      help: did you mean `contains`?

    pipeline.yaml:15:14: error[spec::expression]: `contains` takes 2 arguments, here are 1
      15 |       j: ${{ contains('a') }}
         |              ^^^^^^^^^^^^^

    pipeline.yaml:16:24: error[spec::expression]: expected `)`, found the end of the expression
      16 |       k: ${{ (params.x }}
         |                        ^

    pipeline.yaml:17:22: error[spec::expression]: expected a name behind `.`, found the end of the expression
      17 |       l: ${{ params. }}
         |                      ^

    pipeline.yaml:18:23: error[spec::expression]: expected an operator or the end of the expression, found `=`
      18 |       m: ${{ params.x = 1 }}
         |                       ^
      help: write `==` to compare

    pipeline.yaml:19:10: error[spec::expression]: an expression is not closed
      19 |       n: ${{ 'open }}
         |          ^^^^^^^^^^^^ its `}}` is missing

    pipeline.yaml:20:24: error[spec::expression]: expected `]`, found `.`
      20 |       o: ${{ stages.a[*.x }}
         |                        ^

    pipeline.yaml:21:27: error[spec::expression]: expected `=`, found `]`
      21 |       p: ${{ stages.a[seed].x }}
         |                           ^

    pipeline.yaml:22:26: error[spec::expression]: `&` has no meaning in an expression
      22 |       q: "é ${{ params.x & 1 }} ${{ 12ab }}"
         |                          ^
      help: write `&&`

    pipeline.yaml:22:37: error[spec::expression]: `12ab` is not a number
      22 |       q: "é ${{ params.x & 1 }} ${{ 12ab }}"
         |                                     ^^^^
      help: a text stands in single quotes: '2ms'

    pipeline.yaml:23:10: error[spec::unknown-context]: `nope` names nothing an expression can refer to
      23 |       r: "esc\taped ${{ nope }}"
         |          ^^^^^^^^^^^^^^^^^^^^^^^
      help: there is `params`, `matrix`, `stages`, `env`, `git`, `run`, `host`, `secrets`

    pipeline.yaml:24:21: error[spec::expression]: expected a name behind `.`, found `*`
      24 |       s: ${{ params.* }}
         |                     ^
      help: `[*]` gathers the stages of a matrix: `stages.train[*].outputs.model`
    "#);
}

#[test]
fn conditions_are_whole_expressions() {
    insta::assert_snapshot!([
        stage_said("if: host.gpu"),
        stage_said("if: ${{ params.a }} && ${{ params.b }}"),
        stage_said("if: [a]"),
        stage_said("if: false"),
    ].join("\n"), @r"
    pipeline.yaml:5:9: error[spec::condition]: `if` is an expression
      5 |     if: host.gpu
        |         ^^^^^^^^ this is text
      help: write `if: ${{ host.gpu }}`

    pipeline.yaml:5:9: error[spec::condition]: `if` mixes text and expressions, which would always be true
      5 |     if: ${{ params.a }} && ${{ params.b }}
        |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: write one expression: `if: ${{ params.a && params.b }}`

    pipeline.yaml:5:9: error[spec::type]: `if` is an expression or a boolean; here it is a list
      5 |     if: [a]
        |         ^^^

    fine
    ");
}

#[test]
fn precedence_is_githubs() {
    use expression::{ExpressionKind, Operator};
    let text = "version: 1\nstages: { a: { uses: p, if: \"${{ !params.a && params.b == 1 || 2 < 3 != true }}\" } }\n";
    let spec = parse("p", text).unwrap();
    let expression = &spec.stages[0].condition.as_ref().unwrap().expression;
    let ExpressionKind::Binary(Operator::Or, left, right) = &expression.kind else {
        panic!("{expression:?}")
    };
    let ExpressionKind::Binary(Operator::And, not, equal) = &left.kind else { panic!("{left:?}") };
    assert!(matches!(not.kind, ExpressionKind::Not(_)));
    assert!(matches!(equal.kind, ExpressionKind::Binary(Operator::Equal, ..)));
    let ExpressionKind::Binary(Operator::NotEqual, less, _) = &right.kind else { panic!("{right:?}") };
    assert!(matches!(less.kind, ExpressionKind::Binary(Operator::Less, ..)));
    assert_eq!(&text[equal.span.clone()], "params.b == 1");
}
