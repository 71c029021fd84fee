//! What can be written at the cursor.

use std::ops::Range;

use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, MarkupContent, MarkupKind,
    TextEdit,
};
use serde_json::Value;
use stagewright_protocol::Port;

use super::{
    knowledge::Knowledge,
    outline::{Place, Role, Segment, keys},
    prose,
    reference::Reference,
};
use crate::{
    plan::port_accepts,
    spec::expression::{Context, Function},
};

/// Everything that fits at an offset, best first.
pub(super) fn complete(known: &Knowledge<'_>, offset: usize) -> Vec<CompletionItem> {
    let text = known.text.as_str();
    let place = known.outline.place(text, offset);
    if let Some(reference) = Reference::around(text, offset) {
        let stage = place.as_ref().and_then(|place| Knowledge::stage_of(&place.path)).map(str::to_owned);
        return Answer::new(known, reference.range().clone()).expression(&reference, stage.as_deref());
    }
    let Some(place) = place else { return Vec::new() };
    let word = on_one_line(text, &place, offset);
    let mut answer = Answer::new(known, word);
    if place.role != Role::Value {
        answer.keys(&place);
    }
    if place.role != Role::Key {
        answer.values(&place);
    }
    answer.items
}

/// The word to replace: the protocol wants it on one line, and quotes stay.
fn on_one_line(text: &str, place: &Place, offset: usize) -> Range<usize> {
    let word = &place.word;
    match text.get(word.clone()) {
        Some(covered) if !covered.contains('\n') => {
            let closed = place.quoted && covered.len() > 1 && covered.ends_with(['"', '\'']);
            word.start + usize::from(place.quoted)..word.end - usize::from(closed)
        }
        _ => offset..offset,
    }
}

struct Answer<'k, 'a> {
    known: &'k Knowledge<'a>,
    word: Range<usize>,
    items: Vec<CompletionItem>,
}

impl<'k, 'a> Answer<'k, 'a> {
    fn new(known: &'k Knowledge<'a>, word: Range<usize>) -> Self {
        Self { known, word, items: Vec::new() }
    }

    fn add(
        &mut self,
        label: &str,
        new: &str,
        kind: CompletionItemKind,
        detail: String,
        documentation: String,
    ) {
        if self.items.iter().any(|item| item.label == label) {
            return;
        }
        let edit = TextEdit::new(self.known.text.range(&self.word), new.to_owned());
        let documentation =
            (!documentation.is_empty()).then_some(Documentation::MarkupContent(MarkupContent {
                kind: MarkupKind::Markdown,
                value: documentation,
            }));
        self.items.push(CompletionItem {
            label: label.to_owned(),
            kind: Some(kind),
            detail: (!detail.is_empty()).then_some(detail),
            documentation,
            // In the order in which they are given here, which is that of the language and not of the alphabet.
            sort_text: Some(format!("{:04}", self.items.len())),
            text_edit: Some(CompletionTextEdit::Edit(edit)),
            ..CompletionItem::default()
        });
    }

    fn keys(&mut self, place: &Place) {
        let path = &place.path;
        let word = place.word.clone();
        let own = |range: &Range<usize>| *range == word && !word.is_empty();
        let there: Vec<String> = self
            .known
            .outline
            .keys(path)
            .into_iter()
            .filter(|key| !own(&key.range))
            .map(|key| key.text.clone())
            .collect();
        let behind = self.known.text.as_str().get(word.end..).unwrap_or_default();
        let has_colon = behind.trim_start_matches([' ', '"', '\'']).starts_with(':');
        let ports = self.ports(path);
        for (name, port, side) in &ports {
            if !there.contains(name) {
                let new = if has_colon { name.clone() } else { format!("{name}: ") };
                let detail =
                    format!("{}{}", port.artifact_type, if port.required { "" } else { ", optional" });
                self.add(name, &new, CompletionItemKind::FIELD, detail, prose::port(name, port, side));
            }
        }
        if !ports.is_empty() {
            return;
        }
        let view = self.known.view(path);
        let mut names = view.properties();
        // A manifest's keys have no order; the language's have.
        names.sort_by_key(|name| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
        for name in names.into_iter().filter(|name| !there.iter().any(|key| key == name)) {
            let mut way = path.clone();
            way.push(Segment::Key(name.to_owned()));
            let inner = self.known.view(&way);
            if inner.keyword("deprecated").is_some() {
                continue;
            }
            let colon = if inner.is_nested() && !place.flow { ":" } else { ": " };
            let new = if has_colon { name.to_owned() } else { format!("{name}{colon}") };
            self.add(
                name,
                &new,
                CompletionItemKind::PROPERTY,
                prose::facts(&inner),
                prose::key(name, &inner),
            );
        }
    }

    /// Ports, where the keys of a map are ports.
    fn ports(&self, path: &[Segment]) -> Vec<(String, Port, &'static str)> {
        let [Segment::Key(section), Segment::Key(stage), Segment::Key(side)] = path else {
            return Vec::new();
        };
        let Some(program) = self.known.program(stage).filter(|_| section == "stages") else {
            return Vec::new();
        };
        let (ports, side) = match side.as_str() {
            "inputs" => (&program.manifest.inputs, "input"),
            "outputs" => (&program.manifest.outputs, "output"),
            _ => return Vec::new(),
        };
        ports.iter().map(|(name, port)| (name.clone(), port.clone(), side)).collect()
    }

    fn values(&mut self, place: &Place) {
        let known = self.known;
        let path = &place.path;
        let names: Vec<&str> = path
            .iter()
            .filter_map(|segment| match segment {
                Segment::Key(name) => Some(name.as_str()),
                Segment::Item(_) => None,
            })
            .collect();
        match names[..] {
            ["stages", _, "uses"] => {
                for (name, program) in known.programs {
                    let summary = program.manifest.summary.clone();
                    self.add(
                        name,
                        name,
                        CompletionItemKind::MODULE,
                        summary,
                        prose::program(&program.manifest),
                    );
                }
            }
            ["stages", own, "needs"] => self.stages(Some(own)),
            ["targets", _, "on"] => self.stages(None),
            ["targets", target, "metric"] => {
                let stage =
                    known.outline.value(&keys(["targets", target, "on"])).map(|word| word.text.clone());
                let stage =
                    stage.as_deref().and_then(|stage| stage.split('[').next()).unwrap_or_default().to_owned();
                if let Some(program) = known.program(&stage) {
                    for (name, meaning) in &program.manifest.metrics {
                        self.add(name, name, CompletionItemKind::VALUE, meaning.clone(), String::new());
                    }
                }
            }
            ["stages", own, "inputs", port] | ["stages", own, "inputs", port, "from"] => {
                self.outputs_for(own, port, place);
            }
            _ => {
                let view = known.view(path);
                for (word, meaning) in view.words() {
                    let new = if needs_quotes(&word) && !place.quoted {
                        format!("\"{word}\"")
                    } else {
                        word.clone()
                    };
                    self.add(
                        &word,
                        &new,
                        CompletionItemKind::ENUM_MEMBER,
                        String::new(),
                        meaning.unwrap_or_default().to_owned(),
                    );
                }
                if let Some(default) = view
                    .keyword("default")
                    .filter(|value| !value.is_object() && !value.is_array() && !value.is_null())
                {
                    let shown = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
                    let unit = view.keyword("x-unit").and_then(Value::as_str).unwrap_or_default();
                    // A number of a unit is written with it, where the language has that unit.
                    let new = match crate::spec::units::Quantity::parse(&format!("{shown}{unit}")) {
                        Ok(_) if default.is_number() => format!("{shown}{unit}"),
                        _ => shown,
                    };
                    self.add(&new, &new, CompletionItemKind::VALUE, "the default".to_owned(), String::new());
                }
            }
        }
    }

    fn stages(&mut self, but: Option<&str>) {
        for name in self.known.stages().into_iter().filter(|name| Some(name.as_str()) != but) {
            let program = self.known.program(&name);
            let detail = program.map_or_else(String::new, |program| program.manifest.name.clone());
            self.add(&name, &name, CompletionItemKind::MODULE, detail, String::new());
        }
    }

    /// Outputs of other stages that fit a port, as expressions.
    fn outputs_for(&mut self, own: &str, port: &str, place: &Place) {
        let wanted = self.known.program(own).and_then(|program| program.manifest.inputs.get(port));
        for stage in self.known.stages().into_iter().filter(|stage| stage != own) {
            let Some(program) = self.known.program(&stage) else { continue };
            for (output, made) in &program.manifest.outputs {
                if wanted.is_some_and(|wanted| !port_accepts(wanted, &made.artifact_type)) {
                    continue;
                }
                let label = format!("${{{{ stages.{stage}.outputs.{output} }}}}");
                // Between brackets the braces of an expression need quotes.
                let new = if place.flow && !place.quoted { format!("\"{label}\"") } else { label.clone() };
                let doc = prose::port(output, made, "output");
                self.add(&label, &new, CompletionItemKind::REFERENCE, made.artifact_type.clone(), doc);
            }
        }
    }

    fn expression(mut self, reference: &Reference, stage: Option<&str>) -> Vec<CompletionItem> {
        let known = self.known;
        match reference.before()[..] {
            [] => {
                for word in Context::WORDS.iter().filter(|word| **word != "secrets") {
                    let meaning = prose::context(word).unwrap_or_default().to_owned();
                    self.add(word, word, CompletionItemKind::VARIABLE, String::new(), meaning);
                }
                for function in Function::WORDS.iter().filter_map(|word| Function::from_word(word)) {
                    let (call, meaning) = prose::function(function);
                    let new =
                        if call.ends_with("()") { call.to_owned() } else { format!("{}(", function.word()) };
                    self.add(call, &new, CompletionItemKind::FUNCTION, String::new(), meaning.to_owned());
                }
            }
            ["params", ref way @ ..] => {
                let params = known.params();
                let inner = way.iter().try_fold(&params, |value, key| value.get(key));
                self.entries(inner.unwrap_or(&Value::Null));
            }
            ["host"] => self.entries(
                &known.host.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Value>(),
            ),
            ["git"] => {
                self.entries(&known.analysis.git);
                for (name, meaning) in [
                    ("commit", "Digest of the commit."),
                    ("branch", "Name of the branch."),
                    ("dirty", "Whether something is not committed."),
                ] {
                    self.add(name, name, CompletionItemKind::FIELD, String::new(), meaning.to_owned());
                }
            }
            ["env"] => self.entries(&known.env(stage).into_iter().collect::<Value>()),
            ["matrix"] => {
                let axes = stage.map(|stage| known.matrix(stage)).unwrap_or_default();
                self.entries(&axes.into_iter().collect::<Value>());
            }
            ["stages"] => self.stages(stage),
            ["stages", _] => {
                for (name, meaning) in [
                    ("outputs", "What the stage writes, to be bound to a port."),
                    (
                        "result",
                        "`success`, `failure`, `cancelled` or `skipped`; for conditions, decided during the run.",
                    ),
                    ("metrics", "What the stage reports; for conditions, decided during the run."),
                ] {
                    self.add(name, name, CompletionItemKind::FIELD, String::new(), meaning.to_owned());
                }
            }
            ["stages", producer, "outputs"] => {
                for (name, port) in
                    known.program(producer).iter().flat_map(|program| &program.manifest.outputs)
                {
                    let doc = prose::port(name, port, "output");
                    self.add(name, name, CompletionItemKind::FIELD, port.artifact_type.clone(), doc);
                }
            }
            ["stages", producer, "metrics"] => {
                for (name, meaning) in
                    known.program(producer).iter().flat_map(|program| &program.manifest.metrics)
                {
                    self.add(name, name, CompletionItemKind::FIELD, meaning.clone(), String::new());
                }
            }
            _ => {}
        }
        self.items
    }

    fn entries(&mut self, map: &Value) {
        for (name, value) in map.as_object().into_iter().flatten() {
            self.add(name, name, CompletionItemKind::FIELD, prose::value(value), String::new());
        }
    }
}

/// Keys in the order in which a pipeline is written; others follow.
const ORDER: &[&str] = &[
    "version", "name", "include", "params", "env", "seed", "defaults", "targets", "stages", "uses", "cmd",
    "wdir", "deps", "outs", "metrics", "plots", "inputs", "with", "outputs", "needs", "matrix", "if", "from",
    "path",
];

fn needs_quotes(word: &str) -> bool {
    crate::spec::truth_word(word).is_some()
}
