#![allow(clippy::unwrap_used)]
use serde_json::Value;

use super::*;

const TEXT: &str = "version: 1\nname: \"größe\"\nstages:\n  a:\n    useing: train\n";

fn findings() -> Vec<Diagnostic> {
    let key = TEXT.find("useing").unwrap();
    let name = TEXT.find("\"größe\"").unwrap();
    let colon = TEXT.find(": \"größe\"").unwrap();
    vec![
        Diagnostic::error("spec::unknown-key", "unknown key `useing`, 100 % sure")
            .at(key..key + 6, "")
            .at(name..name + "\"größe\"".len(), "not this one")
            .hint("did you mean `uses`?"),
        Diagnostic::warning("spec::merge-key", "over\nlines").at(colon..key, ""),
        Diagnostic::error("plan::whole", "about the whole file"),
    ]
}

fn report<'a>(findings: &'a [Diagnostic], file: &'a str) -> Report<'a> {
    let findings = findings.iter().map(|diagnostic| Located { diagnostic, file, text: TEXT }).collect();
    Report { findings, failure: None }
}

#[test]
fn columns_count_code_points_and_ends_stand_behind() {
    let end = TEXT.find("größe\"").unwrap() + "größe\"".len();
    let found = region(TEXT, &LineIndex::new(TEXT), &(6 + 11..end));
    assert_eq!(found, Region { start_line: 2, start_column: 7, end_line: 2, end_column: 14 });
    // Out of the text: the last line, no panic.
    let beyond = region(TEXT, &LineIndex::new(TEXT), &(900..1000));
    assert_eq!(beyond.start_line, 6);
}

#[test]
fn github_escapes_what_would_end_a_command() {
    insta::assert_snapshot!(github(&report(&findings(), "a,b:c/100%.yaml")), @r"
    ::error file=a%2Cb%3Ac/100%25.yaml,line=5,endLine=5,col=5,endColumn=10,title=spec%3A%3Aunknown-key::unknown key `useing`, 100 %25 sure%0Ahelp: did you mean `uses`?
    ::error file=a%2Cb%3Ac/100%25.yaml,title=plan%3A%3Awhole::about the whole file
    ::warning file=a%2Cb%3Ac/100%25.yaml,line=2,endLine=5,title=spec%3A%3Amerge-key::over%0Alines
    ");
}

#[test]
fn github_gets_ten_annotations_of_a_severity_at_most() {
    let many: Vec<_> =
        (0..12).map(|n| Diagnostic::error("spec::x", format!("number {n}")).at(n..n + 1, "")).collect();
    let said = github(&report(&many, "p.yaml"));
    assert_eq!(said.lines().count(), 10);
    assert_eq!(
        said.lines().last().unwrap(),
        "::error file=p.yaml::3 more errors; `stagewright check` shows all of them"
    );
}

#[test]
fn sarif_has_what_the_standard_requires() {
    let findings = findings();
    let log: Value = serde_json::from_str(&sarif(&report(&findings, "größe a.yaml"))).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!((rules.len(), results.len()), (3, 3));
    for result in results {
        // ruleIndex leads to the rule of ruleId, every message has a text, every column is at least 1.
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "gr%C3%B6%C3%9Fe%20a.yaml");
        if let Some(region) = place.get("region") {
            let at = |key: &str| region[key].as_u64().unwrap();
            assert!(at("startColumn") >= 1 && at("startLine") >= 1);
            assert!((at("endLine"), at("endColumn")) >= (at("startLine"), at("startColumn")));
        }
    }
    assert_eq!(results[0]["relatedLocations"][0]["message"]["text"], "not this one");
    assert_eq!(results[1]["level"], "warning");
    assert_eq!(results[2]["locations"][0]["physicalLocation"].get("region"), None);
}

#[test]
fn a_check_that_came_to_no_end_says_so_in_every_format() {
    let failure = Failure { message: "cannot read\np.yaml".to_owned(), hint: Some("look".to_owned()) };
    let report = Report { findings: Vec::new(), failure: Some(failure) };
    assert_eq!(github(&report), "::error::cannot read%0Ap.yaml%0Ahelp: look\n");
    let log: Value = serde_json::from_str(&sarif(&report)).unwrap();
    assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], false);
    let document: Value = serde_json::from_str(&json(&report)).unwrap();
    assert_eq!(document["failure"]["hint"], "look");
}

#[test]
fn json_is_for_scripts() {
    let findings = findings();
    let document: Value = serde_json::from_str(&json(&report(&findings, "p.yaml"))).unwrap();
    assert_eq!((&document["errors"], &document["warnings"]), (&2.into(), &1.into()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&document["findings"][0]).unwrap(), @r#"
    {
      "code": "spec::unknown-key",
      "file": "p.yaml",
      "hint": "did you mean `uses`?",
      "labels": [
        {
          "range": {
            "end": {
              "column": 11,
              "line": 5
            },
            "start": {
              "column": 5,
              "line": 5
            }
          },
          "remark": ""
        },
        {
          "range": {
            "end": {
              "column": 14,
              "line": 2
            },
            "start": {
              "column": 7,
              "line": 2
            }
          },
          "remark": "not this one"
        }
      ],
      "message": "unknown key `useing`, 100 % sure",
      "range": {
        "end": {
          "column": 11,
          "line": 5
        },
        "start": {
          "column": 5,
          "line": 5
        }
      },
      "severity": "error"
    }
    "#);
}
