//! A [`Workflow`] → YAML, the same text for the same workflow.

use std::fmt::Write;

use super::workflow::{Job, Step, Work, Workflow};

/// A piece of YAML.
enum Node {
    Text(String),
    Number(u64),
    Bool(bool),
    /// Lines, as they are.
    Lines(String),
    /// A list of texts on one line.
    Row(Vec<String>),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// `{}`.
    Nothing,
    /// A key with nothing behind it.
    Bare,
}

struct Entry {
    key: String,
    value: Node,
    remark: Option<String>,
}

fn entry(key: &str, value: Node) -> Entry {
    Entry { key: key.to_owned(), value, remark: None }
}

fn text(value: &str) -> Node {
    Node::Text(value.to_owned())
}

fn expression(value: &str) -> Node {
    Node::Text(format!("${{{{ {value} }}}}"))
}

fn texts(values: &[(String, String)]) -> Node {
    Node::Map(values.iter().map(|(key, value)| entry(key, text(value))).collect())
}

impl Workflow {
    /// The file's text.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        for line in &self.header {
            let _ = writeln!(out, "# {line}");
        }
        let mut entries = vec![
            entry("name", text(&self.name)),
            entry(
                "on",
                Node::Map(vec![
                    entry("push", Node::Map(vec![entry("branches", Node::Row(vec![self.branch.clone()]))])),
                    entry("pull_request", Node::Bare),
                    entry("workflow_dispatch", Node::Bare),
                ]),
            ),
            entry("permissions", Node::Nothing),
            entry(
                "concurrency",
                Node::Map(vec![
                    entry("group", text(&self.concurrency)),
                    // What a branch publishes is brought to its end.
                    entry("cancel-in-progress", expression("github.event_name == 'pull_request'")),
                ]),
            ),
        ];
        let mut run = vec![entry("shell", text("bash"))];
        run.extend(self.folder.as_deref().map(|folder| entry("working-directory", text(folder))));
        entries.push(entry("defaults", Node::Map(vec![entry("run", Node::Map(run))])));
        if !self.env.is_empty() {
            entries.push(entry("env", texts(&self.env)));
        }
        let jobs = self.jobs.iter().map(|job| entry(&job.id, job_node(job)));
        entries.push(entry("jobs", Node::Map(jobs.collect())));
        map(&mut out, &entries, 0, false);
        out
    }
}

fn job_node(job: &Job) -> Node {
    let mut entries = vec![entry("name", text(&job.name))];
    if !job.needs.is_empty() {
        entries.push(entry("needs", Node::Row(job.needs.clone())));
    }
    entries.extend(job.condition.as_deref().map(|condition| entry("if", expression(condition))));
    entries.push(match &job.runs_on[..] {
        [one] => entry("runs-on", text(one)),
        labels => entry("runs-on", Node::Row(labels.to_vec())),
    });
    entries.push(entry("timeout-minutes", Node::Number(job.timeout_minutes)));
    if job.continue_on_error {
        entries.push(entry("continue-on-error", Node::Bool(true)));
    }
    let permissions = job.permissions.iter().map(|permission| Entry {
        remark: Some(permission.reason.to_owned()),
        ..entry(permission.scope, text(permission.level))
    });
    entries.push(entry("permissions", Node::Map(permissions.collect())));
    if let Some(stages) = &job.matrix {
        entries.push(entry(
            "strategy",
            Node::Map(vec![
                // A failed combination says nothing of the others, as in a run on one machine with `--keep-going`.
                entry("fail-fast", Node::Bool(false)),
                entry("matrix", Node::Map(vec![entry("stage", expression(stages))])),
            ]),
        ));
    }
    if !job.outputs.is_empty() {
        let outputs = job.outputs.iter().map(|(name, value)| entry(name, expression(value)));
        entries.push(entry("outputs", Node::Map(outputs.collect())));
    }
    entries.push(entry("steps", Node::List(job.steps.iter().map(step_node).collect())));
    Node::Map(entries)
}

fn step_node(step: &Step) -> Node {
    let mut entries = vec![entry("name", text(&step.name))];
    entries.extend(step.id.map(|id| entry("id", text(id))));
    entries.extend(step.condition.as_deref().map(|condition| entry("if", expression(condition))));
    match &step.work {
        Work::Uses { action, version, with } => {
            let remark = version.map(str::to_owned);
            entries.push(Entry { remark, ..entry("uses", text(action)) });
            if !with.is_empty() {
                entries.push(entry("with", texts(with)));
            }
        }
        Work::Run(lines) if lines.contains('\n') => entries.push(entry("run", Node::Lines(lines.clone()))),
        Work::Run(line) => entries.push(entry("run", text(line))),
    }
    if !step.env.is_empty() {
        entries.push(entry("env", texts(&step.env)));
    }
    Node::Map(entries)
}

/// Writes the entries of a map; the first one goes on the line that is begun, where `begun` says so.
fn map(out: &mut String, entries: &[Entry], depth: usize, mut begun: bool) {
    for Entry { key, value, remark } in entries {
        if !std::mem::take(&mut begun) {
            out.push_str(&"  ".repeat(depth));
        }
        out.push_str(&scalar(key));
        out.push(':');
        match value {
            Node::Map(entries) => {
                end_line(out, remark.as_deref());
                map(out, entries, depth + 1, false);
                continue;
            }
            Node::List(items) => {
                end_line(out, remark.as_deref());
                for item in items {
                    out.push_str(&"  ".repeat(depth + 1));
                    out.push_str("- ");
                    match item {
                        Node::Map(entries) => map(out, entries, depth + 2, true),
                        other => {
                            plain(out, other);
                            out.push('\n');
                        }
                    }
                }
                continue;
            }
            Node::Bare => {}
            Node::Lines(lines) => {
                out.push_str(" |");
                end_line(out, remark.as_deref());
                for line in lines.lines() {
                    let _ = writeln!(out, "{}{line}", "  ".repeat(depth + 1));
                }
                continue;
            }
            other => {
                out.push(' ');
                plain(out, other);
            }
        }
        end_line(out, remark.as_deref());
    }
}

fn end_line(out: &mut String, remark: Option<&str>) {
    if let Some(remark) = remark {
        let _ = write!(out, " # {remark}");
    }
    out.push('\n');
}

fn plain(out: &mut String, node: &Node) {
    match node {
        Node::Text(value) => out.push_str(&scalar(value)),
        Node::Number(value) => {
            let _ = write!(out, "{value}");
        }
        Node::Bool(value) => {
            let _ = write!(out, "{value}");
        }
        Node::Row(values) => {
            let quoted: Vec<String> = values.iter().map(|value| in_row(value)).collect();
            let _ = write!(out, "[{}]", quoted.join(", "));
        }
        Node::Nothing => out.push_str("{}"),
        Node::Bare | Node::Lines(_) | Node::List(_) | Node::Map(_) => {}
    }
}

/// A text as a scalar: bare where no reader of YAML, old or new, can take it for anything else, else in double quotes.
fn scalar(value: &str) -> String {
    // `.5` and `.inf` are numbers.
    let starts =
        value.starts_with("./") || value.starts_with(|c: char| c.is_ascii_alphabetic() || "$/_".contains(c));
    let inside = value.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    let breaks = value.contains(": ") || value.contains(" #") || value.ends_with([':', ' ']);
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    // GitHub's files have a key `on`, and its parser reads YAML 1.2, where that is a text.
    let word = words.contains(&value.to_ascii_lowercase().as_str()) && value != "on";
    if starts && inside && !breaks && !word { value.to_owned() } else { quoted(value) }
}

/// Inside brackets, commas and brackets mean something as well.
fn in_row(value: &str) -> String {
    if value.contains([',', '[', ']', '{', '}']) { quoted(value) } else { scalar(value) }
}

/// JSON's strings are YAML's.
fn quoted(value: &str) -> String {
    serde_json::Value::String(value.to_owned()).to_string()
}
