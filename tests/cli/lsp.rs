//! The language server as an editor meets it: messages over stdin and stdout, recorded as transcripts.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::bench::Project;

struct Editor {
    project: Project,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    transcript: String,
    next: i32,
}

impl Editor {
    fn start(project: Project) -> Self {
        let mut child = project
            .here(&["lsp", "--stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut editor = Self { project, child, stdin, stdout, transcript: String::new(), next: 0 };
        let root = editor.uri("");
        editor.ask("initialize", json!({ "processId": null, "rootUri": root, "capabilities": {} }));
        editor.tell("initialized", json!({}));
        editor
    }

    fn uri(&self, name: &str) -> String {
        format!("file://{}", self.project.path(name).display())
    }

    fn send(&mut self, message: &Value) {
        self.record("editor", message);
        let body = message.to_string();
        let stdin = self.stdin.as_mut().unwrap();
        write!(stdin, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        stdin.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// The next message of the server.
    fn hear(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the server has ended");
            match line.trim().split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().unwrap(),
                None if line.trim().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stdout.read_exact(&mut body).unwrap();
        let message = serde_json::from_slice(&body).unwrap();
        self.record("server", &message);
        message
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        let answer = self.hear();
        assert_eq!(answer["id"], id);
        answer
    }

    fn at(&mut self, method: &str, name: &str, line: u32, character: u32) -> Value {
        let uri = self.uri(name);
        let params =
            json!({ "textDocument": { "uri": uri }, "position": { "line": line, "character": character } });
        self.ask(method, params)["result"].clone()
    }

    fn open(&mut self, name: &str, text: &str) -> Value {
        let uri = self.uri(name);
        let document = json!({ "uri": uri, "languageId": "yaml", "version": 1, "text": text });
        self.tell("textDocument/didOpen", json!({ "textDocument": document }));
        self.hear()["params"]["diagnostics"].clone()
    }

    fn change(&mut self, name: &str, version: u32, text: &str) -> Value {
        let uri = self.uri(name);
        let params = json!({ "textDocument": { "uri": uri, "version": version }, "contentChanges": [{ "text": text }] });
        self.tell("textDocument/didChange", params);
        self.hear()["params"]["diagnostics"].clone()
    }

    fn record(&mut self, who: &str, message: &Value) {
        let place = std::fs::canonicalize(self.project.path(".")).unwrap();
        let text = message.to_string().replace(&*place.to_string_lossy(), "<project>");
        let text = text.replace(&*self.project.path("").to_string_lossy(), "<project>/");
        self.transcript.push_str(&format!("{who}: {text}\n"));
    }

    /// Says goodbye in order; gives the transcript.
    fn end(mut self) -> String {
        self.ask("shutdown", Value::Null);
        self.tell("exit", Value::Null);
        self.stdin = None;
        assert!(self.child.wait().unwrap().success());
        self.transcript
    }
}

const BROKEN: &str = "version: 1
name: größe 🦀
params: { greeting: hello }
stages:
  first:
    uses: fake
    with: { doo: [] }
  second:
    uses: fake
    inputs:
      data: ${{ stages.first.
";

#[test]
fn a_session_from_a_broken_file_to_a_sound_one() {
    let project = Project::new(BROKEN);
    let mut editor = Editor::start(project);
    let found = editor.open("pipeline.yaml", BROKEN);
    let codes: Vec<&str> =
        found.as_array().unwrap().iter().map(|found| found["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["plan::unknown-param", "spec::expression"]);
    let labels = |items: &Value| -> Vec<String> {
        items.as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        labels(&editor.at("textDocument/completion", "pipeline.yaml", 10, 29)),
        ["outputs", "result", "metrics"]
    );
    assert_eq!(labels(&editor.at("textDocument/completion", "pipeline.yaml", 6, 12)), ["do"]);
    let sound = BROKEN.replace("doo: []", "do: []").replace("stages.first.", "stages.first.outputs.out }}");
    assert_eq!(editor.change("pipeline.yaml", 2, &sound), json!([]));
    let hover = editor.at("textDocument/hover", "pipeline.yaml", 6, 13);
    assert_eq!(hover["contents"]["value"], "**do** — array\n\nSteps to carry out.\n\nHere: `[]`");
    let place = editor.at("textDocument/definition", "pipeline.yaml", 10, 27);
    assert_eq!(place["range"]["start"], json!({ "line": 4, "character": 2 }));
    let uri = editor.uri("pipeline.yaml");
    let options = json!({ "tabSize": 2, "insertSpaces": true });
    let edits =
        editor.ask("textDocument/formatting", json!({ "textDocument": { "uri": uri }, "options": options }));
    assert_eq!(edits["result"], json!([]), "it is in canonical form");
    assert_snapshot!("lsp-session", editor.end());
}

#[test]
fn columns_are_utf_16_code_units() {
    let project = Project::new("version: 1\n");
    let mut editor = Editor::start(project);
    // The crab is two code units, one code point and four bytes.
    let text = "version: 1\nparams: { \"🦀ü\": 1, x: 2 }\nstages:\n  a: { uses: fake, if: \"${{ '🦀' == params.y }}\" }\n";
    let found = editor.open("pipeline.yaml", text);
    let start = &found[0]["range"]["start"];
    let line = text.lines().nth(3).unwrap();
    let column = line[..line.find("y }}").unwrap()].encode_utf16().count();
    assert_eq!(*start, json!({ "line": 3, "character": column }));
    let items = editor.at("textDocument/completion", "pipeline.yaml", 3, u32::try_from(column).unwrap());
    assert_eq!(items[0]["label"], "x");
    assert_eq!(items[0]["textEdit"]["range"]["start"]["character"], column);
    editor.end();
}

#[test]
fn files_that_read_each_other_are_checked_together() {
    let project = Project::new("version: 1\n");
    project.write("params.yaml", "lr: 1\n");
    let mut editor = Editor::start(project);
    let text = "version: 1\nparams: params.yaml\nstages:\n  a:\n    uses: fake\n    with: { do: [] }\n    if: ${{ params.lr > 0 }}\n";
    assert_eq!(editor.open("pipeline.yaml", text), json!([]));
    let place = editor.at("textDocument/definition", "pipeline.yaml", 6, 20);
    assert!(place["uri"].as_str().unwrap().ends_with("/params.yaml"), "{place}");
    // Not saved: the text in the editor counts.
    assert_eq!(editor.open("params.yaml", "lr: 1\n"), json!([]));
    let uri = editor.uri("params.yaml");
    let params =
        json!({ "textDocument": { "uri": uri, "version": 2 }, "contentChanges": [{ "text": "rate: 1\n" }] });
    editor.tell("textDocument/didChange", params);
    let (first, second) = (editor.hear(), editor.hear());
    let pipeline = [first, second]
        .into_iter()
        .find(|told| told["params"]["uri"].as_str().unwrap().ends_with("/pipeline.yaml"));
    let told = pipeline.unwrap()["params"]["diagnostics"].clone();
    assert!(told[0]["message"].as_str().unwrap().contains("`params` has no `lr`"), "{told}");
    editor.end();
}

#[test]
fn what_it_does_not_know_is_answered_and_the_end_is_orderly() {
    let project = Project::new("version: 1\n");
    let mut editor = Editor::start(project);
    assert_eq!(editor.ask("textDocument/rename", json!({}))["error"]["code"], -32601);
    assert_eq!(editor.ask("textDocument/hover", json!({ "wrong": 1 }))["error"]["code"], -32602);
    assert_eq!(editor.at("textDocument/hover", "never-opened.yaml", 0, 0), Value::Null);
    editor.end();
}

#[test]
fn what_the_project_lacks_is_told_where_it_is_needed() {
    let project = Project::new("version: 1\n");
    project.write("stagewright.toml", "[stages]\npaths = ['stages']\n");
    project.write("stages/stagewright-stage-lame", "#!/bin/sh\necho limping >&2; exit 3\n");
    let program = project.path("stages/stagewright-stage-lame");
    std::fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    project.write("dvc.lock", "schema: '2.0'\nstages: [no, map]\n");
    let mut editor = Editor::start(project);
    let lame = editor.open("pipeline.yaml", "version: 1\nstages:\n  a: { uses: lame }\n");
    let lock = editor.open("dvc.yaml", "stages:\n  a: { cmd: make }\n");
    let place = std::fs::canonicalize(editor.project.path(".")).unwrap();
    let told = serde_json::to_string_pretty(&[lame, lock]).unwrap();
    assert_snapshot!("lsp-project", told.replace(&*place.to_string_lossy(), "<project>"));
    editor.end();
}
