//! A workflow carried out as GitHub would: each job on a machine of its own, which has the repository's files and nothing else.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::expression::{self, Scope};
use crate::bench::{Project, programs};

#[derive(Clone, Copy)]
pub enum Event {
    Push,
    PullRequest { fork: bool },
}

pub struct Runner<'a> {
    project: &'a Project,
    workflow: Value,
    /// What is in the repository.
    files: &'a [&'a str],
    secrets: Value,
    event: Event,
    only: Option<&'a str>,
}

/// What came of it.
pub struct Ran {
    /// By name: how it ended, and its machine.
    jobs: Vec<(String, &'static str, Option<Machine>)>,
}

/// The disk of one job.
struct Machine {
    folder: TempDir,
    said: String,
}

impl<'a> Runner<'a> {
    pub fn new(
        project: &'a Project,
        workflow: &str,
        files: &'a [&'a str],
        secrets: &[(&str, &str)],
        event: Event,
    ) -> Self {
        let secrets: Map<String, Value> =
            secrets.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let workflow = serde_yaml::from_str(&project.read(workflow)).unwrap();
        Self { project, workflow, files, secrets: Value::Object(secrets), event, only: None }
    }

    /// Only one job.
    pub fn only(self, job: &'a str) -> Self {
        Self { only: Some(job), ..self }
    }

    pub fn run(&self) -> Ran {
        let mut ran = Ran { jobs: Vec::new() };
        // Result and outputs of each job; failed ones among all that came before it.
        let mut needs: BTreeMap<String, Value> = BTreeMap::new();
        let mut failed: BTreeMap<String, bool> = BTreeMap::new();
        // A map that was read is sorted; the order of the file is that of what each needs.
        for (id, job) in self.in_order() {
            let wanted: Vec<String> = job["needs"].as_array().into_iter().flatten().map(text).collect();
            let before: Map<String, Value> =
                wanted.iter().map(|need| (need.clone(), needs[need].clone())).collect();
            let any_failed = wanted.iter().any(|need| failed[need]);
            let mut names = self.names();
            names["needs"] = Value::Object(before);
            let scope = Scope { names: &names, failed: any_failed };
            let condition = job["if"].as_str().unwrap();
            if !expression::truthy(&expression::value(condition, &scope)) {
                needs.insert(id.clone(), json!({"result": "skipped", "outputs": {}}));
                failed.insert(id.clone(), any_failed);
                ran.jobs.push((id.clone(), "skipped", None));
                continue;
            }
            let combinations = match job["strategy"]["matrix"]["stage"].as_str() {
                Some(stages) => expression::value(stages, &scope).as_array().unwrap().clone(),
                None => vec![Value::Null],
            };
            let (mut good, mut outputs) = (true, json!({}));
            for stage in combinations {
                let name = stage.as_str().map_or_else(|| id.clone(), str::to_owned);
                let mut names = names.clone();
                names["matrix"] = json!({ "stage": stage });
                let (machine, fine, said) = self.job(job, names);
                (good, outputs) = (good && fine, said);
                ran.jobs.push((name, if fine { "success" } else { "failure" }, Some(machine)));
            }
            let result = if good { "success" } else { "failure" };
            needs.insert(id.clone(), json!({ "result": result, "outputs": outputs }));
            failed.insert(id.clone(), any_failed || !good);
        }
        ran
    }

    /// The jobs, each after those it needs, otherwise in the order of the file.
    fn in_order(&self) -> Vec<(String, &Value)> {
        let yaml = self.workflow["jobs"].as_object().unwrap();
        let mut waiting: Vec<(String, &Value)> = yaml.iter().map(|(id, job)| (id.clone(), job)).collect();
        if let Some(only) = self.only {
            waiting.retain(|(id, _)| id == only);
        }
        let rank =
            |id: &str| ["plan", "greet", "train", "bench", "report"].iter().position(|name| *name == id);
        waiting.sort_by_key(|(id, _)| rank(id).unwrap_or(usize::MAX));
        let mut done: Vec<(String, &Value)> = Vec::new();
        while !waiting.is_empty() {
            let at = waiting.iter().position(|(_, job)| {
                let mut needs = job["needs"].as_array().into_iter().flatten().map(text);
                needs.all(|need| done.iter().any(|(id, _)| *id == need))
            });
            done.push(waiting.remove(at.expect("needs in a circle")));
        }
        done
    }

    fn names(&self) -> Value {
        let (name, event) = match self.event {
            Event::Push => ("push", json!({})),
            Event::PullRequest { fork } => {
                let from = if fork { "them/demo" } else { "us/demo" };
                let pull =
                    json!({"number": 7, "base": {"ref": "main"}, "head": {"repo": {"full_name": from}}});
                ("pull_request", json!({ "pull_request": pull }))
            }
        };
        json!({
            "github": { "event_name": name, "event": event, "repository": "us/demo", "ref": "refs/heads/main", "token": "t0ken" },
            // A fork is given none.
            "secrets": if matches!(self.event, Event::PullRequest { fork: true }) { json!({}) } else { self.secrets.clone() },
            "vars": {},
        })
    }

    /// One job on a fresh machine: how it ended, and its outputs.
    fn job(&self, job: &Value, names: Value) -> (Machine, bool, Value) {
        let folder = tempfile::tempdir().unwrap();
        for file in self.files {
            fs::copy(self.project.path(file), folder.path().join(file)).unwrap();
        }
        let outside = folder.path().join(".runner");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("event.json"), names["github"]["event"].to_string()).unwrap();
        let mut machine = Machine { folder, said: String::new() };
        let (mut fine, mut steps) = (true, Map::new());
        for step in job["steps"].as_array().unwrap() {
            let scope = Scope { names: &names, failed: !fine };
            let wanted = match step["if"].as_str() {
                Some(condition) => expression::truthy(&expression::value(condition, &scope)),
                None => fine,
            };
            // What actions do is done: the files are there, the program is in the path.
            let Some(line) = step["run"].as_str().filter(|_| wanted) else { continue };
            assert!(!line.contains("${{"), "an expression in a line for the shell: {line}");
            let output = outside.join("output");
            fs::write(&output, "").unwrap();
            let mut command = Command::new("bash");
            command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", line]);
            command.current_dir(machine.folder.path()).env_clear();
            command.env("PATH", format!("{}:/usr/bin:/bin", programs().display()));
            for variables in [&self.workflow["env"], &step["env"]] {
                for (name, value) in variables.as_object().into_iter().flatten() {
                    command.env(name, expression::text(value.as_str().unwrap(), &scope));
                }
            }
            command.env("GITHUB_ACTIONS", "true").env("GITHUB_REPOSITORY", "us/demo");
            command.env("GITHUB_REF_NAME", "main").env("GITHUB_EVENT_PATH", outside.join("event.json"));
            command.env("GITHUB_OUTPUT", &output).env("GITHUB_STEP_SUMMARY", outside.join("summary.md"));
            let done = command.output().unwrap();
            let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
            machine.said.push_str(&said);
            fine &= done.status.success();
            if let Some(id) = step["id"].as_str() {
                steps.insert(
                    id.to_owned(),
                    json!({ "outputs": outputs(&fs::read_to_string(&output).unwrap()) }),
                );
            }
        }
        let mut names = names;
        names["steps"] = Value::Object(steps);
        let scope = Scope { names: &names, failed: !fine };
        let declared = job["outputs"].as_object().into_iter().flatten();
        let outputs = declared
            .map(|(name, value)| (name.clone(), json!(expression::text(value.as_str().unwrap(), &scope))));
        (machine, fine, Value::Object(outputs.collect()))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The file of a step's outputs.
fn outputs(file: &str) -> Value {
    let mut found = Map::new();
    let mut lines = file.lines();
    while let Some(line) = lines.next() {
        let (name, end) = line.split_once("<<").unwrap();
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        found.insert(name.to_owned(), json!(value.join("\n")));
    }
    Value::Object(found)
}

impl Ran {
    pub fn table(&self) -> String {
        self.jobs.iter().map(|(name, ended, _)| format!("{name}: {ended}\n")).collect()
    }

    fn machine(&self, job: &str) -> &Machine {
        let found = self.jobs.iter().find(|(name, ..)| name == job);
        found.and_then(|(_, _, machine)| machine.as_ref()).unwrap()
    }

    /// The folder that a job worked in.
    pub fn folder(&self, job: &str) -> &Path {
        self.machine(job).folder.path()
    }

    /// Its log.
    pub fn said(&self, job: &str) -> &str {
        &self.machine(job).said
    }

    /// Its summary.
    pub fn summary(&self, job: &str) -> String {
        fs::read_to_string(self.folder(job).join(".runner/summary.md")).unwrap_or_default()
    }

    /// Its last run as JSON.
    pub fn show(&self, job: &str) -> String {
        let program: PathBuf = programs().join("stagewright");
        let done =
            Command::new(program).args(["show", "--json"]).current_dir(self.folder(job)).output().unwrap();
        String::from_utf8(done.stdout).unwrap()
    }
}
