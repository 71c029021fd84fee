//! YAML text → a tree in which every node knows its place, within budgets for size, depth and aliases.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as EventSpan};
use serde_json::Number;

use super::{
    diagnostic::{Diagnostic, LineIndex},
    scalar::{self, Scalar},
    types::{Name, Span, Spanned},
};

/// Longest file read.
pub(crate) const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Deepest nesting of lists and maps.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most nodes that aliases and merges may add.
const MAX_ALIASED: usize = 100_000;

/// A YAML node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub span: Span,
    pub data: NodeData,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NodeData {
    Null,
    Bool(bool),
    Number(Number),
    Text {
        text: String,
        /// Where the text stands unchanged in the file, if it does (no escapes, no folding).
        verbatim: Option<usize>,
        /// Written without quotes.
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Name, Node)>),
}

impl Node {
    /// Moves all places, for a file that is not the first of a pipeline.
    pub fn shift(&mut self, by: usize) {
        let moved = |span: &Span| span.start + by..span.end + by;
        self.span = moved(&self.span);
        match &mut self.data {
            NodeData::Text { verbatim, .. } => *verbatim = verbatim.map(|at| at + by),
            NodeData::List(items) => items.iter_mut().for_each(|item| item.shift(by)),
            NodeData::Map(entries) => {
                for (key, value) in entries {
                    key.span = moved(&key.span);
                    value.shift(by);
                }
            }
            NodeData::Null | NodeData::Bool(_) | NodeData::Number(_) => {}
        }
    }

    /// What it is called in messages.
    pub fn kind(&self) -> String {
        match &self.data {
            NodeData::Null => "nothing".to_owned(),
            NodeData::Bool(value) => format!("`{value}`"),
            NodeData::Number(number) => format!("`{number}`"),
            NodeData::Text { .. } => "text".to_owned(),
            NodeData::List(_) => "a list".to_owned(),
            NodeData::Map(_) => "a map".to_owned(),
        }
    }
}

/// A node with what aliases to it cost.
#[derive(Clone)]
struct Anchored {
    node: Node,
    nodes: usize,
    height: usize,
}

/// A list or map that is not closed yet.
struct Open {
    start: usize,
    anchor: usize,
    nodes: usize,
    height: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<(Name, Node)>, index: KeyIndex, merges: Vec<(Span, Node)>, key: Option<Key> },
}

/// Maps with more keys than this are not searched one by one.
const FEW_KEYS: usize = 16;

/// Finds keys of a map that is being read. Most maps have few, and then looking at each is faster than hashing them.
#[derive(Default)]
struct KeyIndex {
    /// Positions of the first entries by their keys, as far as it was brought.
    positions: HashMap<String, usize>,
}

impl KeyIndex {
    /// Place of the key, if an entry has it.
    fn find<'a>(&mut self, entries: &'a [(Name, Node)], key: &str) -> Option<&'a Span> {
        if entries.len() <= FEW_KEYS {
            return entries.iter().find(|(name, _)| name.value == key).map(|(name, _)| &name.span);
        }
        for (position, (name, _)) in entries.iter().enumerate().skip(self.positions.len()) {
            self.positions.insert(name.value.clone(), position);
        }
        self.positions.get(key).map(|position| &entries[*position].0.span)
    }
}

/// A key that waits for its value.
enum Key {
    Plain(Name),
    Merge(Span),
    /// Already reported; its value is dropped.
    Refused,
}

/// Parses one YAML document. All that is wrong with it goes to `diagnostics`; no tree comes back where the text is no
/// YAML at all.
pub(crate) fn parse(text: &str, lines: &LineIndex, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    if text.len() > MAX_BYTES {
        diagnostics.push(too_large(text.len()));
        return None;
    }
    Builder::new(text, lines, diagnostics).run()
}

/// A file beyond [`MAX_BYTES`].
pub(crate) fn too_large(bytes: usize) -> Diagnostic {
    Diagnostic::error("spec::too-large", format!("the file has {bytes} bytes; {MAX_BYTES} are allowed"))
        .at(0..1, "")
        .hint("split the file with `include`, or generate fewer stages and use `matrix:`")
}

struct Builder<'a> {
    text: &'a str,
    lines: &'a LineIndex,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// Byte offset of each character, where characters and bytes differ.
    offsets: Option<Vec<usize>>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    root: Option<Node>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, lines: &'a LineIndex, diagnostics: &'a mut Vec<Diagnostic>) -> Self {
        let offsets = (!text.is_ascii())
            .then(|| text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).collect());
        Self {
            text,
            lines,
            diagnostics,
            offsets,
            stack: Vec::new(),
            anchors: HashMap::new(),
            aliased: 0,
            root: None,
        }
    }

    fn byte(&self, index: usize) -> usize {
        match &self.offsets {
            Some(offsets) => offsets.get(index).copied().unwrap_or(self.text.len()),
            None => index.min(self.text.len()),
        }
    }

    fn span(&self, span: EventSpan) -> Span {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }

    fn run(mut self) -> Option<Node> {
        let mut parser = Parser::new_from_str(self.text);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    let at = self.byte(error.marker().index());
                    self.syntax(at, error.info());
                    return None;
                }
            };
            let span = self.span(span);
            match event {
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        self.diagnostics.push(
                            Diagnostic::error(
                                "spec::documents",
                                "the file holds more than one YAML document",
                            )
                            .at(span, "a second one starts here")
                            .hint("put each pipeline into a file of its own"),
                        );
                        return None;
                    }
                }
                Event::Scalar(value, style, anchor, tag) => {
                    self.refuse_tag(tag.is_some(), &span);
                    self.scalar(&value, style, anchor, span);
                }
                Event::SequenceStart(anchor, tag) => {
                    self.refuse_tag(tag.is_some(), &span);
                    self.open(Content::List(Vec::new()), anchor, span)?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.refuse_tag(tag.is_some(), &span);
                    let content = Content::Map {
                        entries: Vec::new(),
                        index: KeyIndex::default(),
                        merges: Vec::new(),
                        key: None,
                    };
                    self.open(content, anchor, span)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
                Event::Alias(anchor) => self.alias(anchor, span)?,
            }
        }
        self.root
    }

    fn syntax(&mut self, at: usize, info: &str) {
        let line = self.lines.line(at);
        // The parser notices a tab where the next token should have stood; the tab is on that line or above it, or begins
        // the next one.
        let last = line + usize::from(info.contains("tab"));
        let tab = (line.saturating_sub(1).max(1)..=last).find_map(|line| {
            let start = self.lines.start_of(line);
            let source = self.text.get(start..)?.lines().next()?;
            let indent = source.len() - source.trim_start_matches([' ', '\t']).len();
            source[..indent].find('\t').map(|column| start + column)
        });
        self.diagnostics.push(match tab {
            Some(tab) => Diagnostic::error("spec::tab", "a tab indents this line; YAML indents by spaces")
                .at(tab..tab + 1, "this is a tab")
                .hint("replace the tab by spaces"),
            None => {
                let end = self
                    .text
                    .get(at..)
                    .and_then(|rest| rest.chars().next())
                    .map_or(at, |c| at + c.len_utf8());
                let error = Diagnostic::error("spec::syntax", format!("this is not YAML: {info}"))
                    .at(at..end, "noticed here");
                // Between braces the `{` of an unquoted expression opens another map.
                let source = self.text.get(self.lines.start_of(line)..).and_then(|rest| rest.lines().next());
                if source.is_some_and(|source| source.contains("${{")) {
                    error.hint("an expression inside `{ }` or `[ ]`, or as a key, needs quotes: \"${{ … }}\"")
                } else {
                    error
                }
            }
        });
    }

    fn refuse_tag(&mut self, tagged: bool, span: &Span) {
        if tagged {
            self.diagnostics.push(
                Diagnostic::error("spec::tag", "YAML tags have no meaning in a pipeline")
                    .at(span.clone(), "this value carries a tag")
                    .hint("remove the tag; quotes make a value text"),
            );
        }
    }

    fn scalar(&mut self, value: &str, style: ScalarStyle, anchor: usize, span: Span) {
        let source = self.text.get(span.clone()).unwrap_or_default();
        let as_key = matches!(self.stack.last(), Some(Open { content: Content::Map { key: None, .. }, .. }));
        let data = match style {
            // A key is a name whatever it looks like.
            ScalarStyle::Plain if !as_key => match scalar::resolve(value) {
                Scalar::Null => NodeData::Null,
                Scalar::Bool(value) => NodeData::Bool(value),
                Scalar::Number(number) => NodeData::Number(number),
                Scalar::Text => NodeData::Text {
                    text: value.to_owned(),
                    verbatim: source.starts_with(value).then_some(span.start),
                    plain: true,
                },
                Scalar::Surprise { message, hint } => {
                    self.diagnostics
                        .push(Diagnostic::error("spec::ambiguous", message).at(span.clone(), "").hint(hint));
                    NodeData::Null
                }
            },
            _ => {
                let inner = if matches!(style, ScalarStyle::Plain) { 0 } else { 1 };
                NodeData::Text {
                    text: value.to_owned(),
                    verbatim: source
                        .get(inner..)
                        .filter(|s| s.starts_with(value))
                        .map(|_| span.start + inner),
                    plain: matches!(style, ScalarStyle::Plain),
                }
            }
        };
        let plain = style == ScalarStyle::Plain;
        self.push(Anchored { node: Node { span, data }, nodes: 1, height: 0 }, anchor, plain);
    }

    fn open(&mut self, content: Content, anchor: usize, span: Span) -> Option<()> {
        if self.stack.len() >= MAX_DEPTH {
            self.diagnostics.push(
                Diagnostic::error(
                    "spec::too-deep",
                    format!("more than {MAX_DEPTH} lists and maps stand inside each other"),
                )
                .at(span.start..span.start + 1, "this one is too deep"),
            );
            return None;
        }
        self.stack.push(Open { start: span.start, anchor, nodes: 1, height: 0, content });
        Some(())
    }

    fn close(&mut self, end: Span) -> Option<()> {
        let Open { start, anchor, nodes, height, content } = self.stack.pop()?;
        let flow = matches!(self.text.as_bytes().get(start), Some(b'[' | b'{'));
        let (data, last) = match content {
            Content::List(items) => {
                let last = items.last().map(|item| item.span.end);
                (NodeData::List(items), last)
            }
            Content::Map { mut entries, merges, .. } => {
                for (span, node) in merges {
                    self.merge(&mut entries, &span, node);
                }
                let last = entries.iter().map(|(key, value)| value.span.end.max(key.span.end)).max();
                (NodeData::Map(entries), last)
            }
        };
        // A block has no closing mark: it ends where its last value does, not where the next token starts.
        let end = if flow { end.end } else { last.unwrap_or(end.end) };
        let span = start..end.max(start);
        self.push(Anchored { node: Node { span, data }, nodes, height: height + 1 }, anchor, false);
        Some(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Option<()> {
        let Some(found) = self.anchors.get(&anchor).cloned() else {
            self.diagnostics.push(
                Diagnostic::error("spec::alias", "an alias stands inside the value it names")
                    .at(span, "this value would contain itself"),
            );
            return None;
        };
        self.aliased += found.nodes;
        if self.aliased > MAX_ALIASED {
            self.diagnostics.push(
                Diagnostic::error(
                    "spec::alias-bomb",
                    format!("the aliases of this file stand for more than {MAX_ALIASED} values"),
                )
                .at(span, "this alias exceeds the limit"),
            );
            return None;
        }
        if self.stack.len() + found.height > MAX_DEPTH {
            self.diagnostics.push(
                Diagnostic::error(
                    "spec::too-deep",
                    format!("more than {MAX_DEPTH} lists and maps stand inside each other"),
                )
                .at(span, "through this alias"),
            );
            return None;
        }
        self.push(found, 0, false);
        Some(())
    }

    /// Puts a finished node where it belongs. `plain`: a scalar without quotes.
    fn push(&mut self, found: Anchored, anchor: usize, plain: bool) {
        if anchor != 0 {
            self.anchors.insert(anchor, found.clone());
        }
        let Anchored { node, nodes, height } = found;
        let Some(parent) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        parent.nodes += nodes;
        parent.height = parent.height.max(height);
        match &mut parent.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, index, merges, key } => match key.take() {
                None => *key = Some(read_key(node, plain, entries, index, self.diagnostics)),
                Some(Key::Plain(name)) => entries.push((name, node)),
                Some(Key::Merge(span)) => merges.push((span, node)),
                Some(Key::Refused) => {}
            },
        }
    }

    fn merge(&mut self, entries: &mut Vec<(Name, Node)>, span: &Span, node: Node) {
        self.diagnostics.push(
            Diagnostic::warning(
                "spec::merge-key",
                "`<<` is not part of YAML 1.2; it is read as YAML 1.1 does",
            )
            .at(span.clone(), "merges the keys of another map"),
        );
        let sources = match node.data {
            NodeData::List(items) => items,
            data => vec![Node { span: node.span, data }],
        };
        for source in sources {
            let NodeData::Map(added) = source.data else {
                self.diagnostics.push(
                    Diagnostic::error("spec::merge-key", "`<<` takes a map or a list of maps")
                        .at(span.clone(), "what is merged here is neither"),
                );
                continue;
            };
            let have: std::collections::HashSet<String> =
                entries.iter().map(|(key, _)| key.value.clone()).collect();
            entries.extend(added.into_iter().filter(|(key, _)| !have.contains(&key.value)));
        }
    }
}

fn read_key(
    node: Node,
    plain: bool,
    entries: &[(Name, Node)],
    index: &mut KeyIndex,
    diagnostics: &mut Vec<Diagnostic>,
) -> Key {
    let NodeData::Text { text, .. } = node.data else {
        diagnostics.push(
            Diagnostic::error("spec::key", format!("a key is text; here it is {}", node.kind()))
                .at(node.span, "")
                .hint("an expression as a value needs quotes: \"${{ … }}\""),
        );
        return Key::Refused;
    };
    if plain && text == "<<" {
        return Key::Merge(node.span);
    }
    if let Some(first) = index.find(entries, &text) {
        diagnostics.push(
            Diagnostic::error("spec::duplicate-key", format!("`{text}` is given twice in the same map"))
                .at(node.span, "a second time")
                .at(first.clone(), "first here"),
        );
        return Key::Refused;
    }
    Key::Plain(Spanned::new(text, node.span))
}
