//! Text → a document in which every comment and blank line has its place.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as EventSpan};

use super::FormatError;

/// A whole file.
pub(super) struct Document {
    pub root: Node,
    /// Comments behind everything.
    pub tail: Vec<Line>,
    /// Values are named and repeated: then the order of keys has to stay.
    pub aliases: bool,
}

/// A comment on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// A blank line stands before it.
    pub blank: bool,
    pub text: String,
}

pub(super) struct Node {
    pub anchor: Option<String>,
    pub kind: Kind,
}

pub(super) enum Kind {
    Scalar(Written),
    Alias(String),
    List(Vec<Entry>, Brackets),
    Map(Vec<Entry>, Brackets),
}

/// How a list or map is written.
#[derive(Default)]
pub(super) struct Brackets {
    pub flow: bool,
    /// Comments behind the last entry.
    pub tail: Vec<Line>,
}

/// A scalar as it is written.
pub(super) struct Written {
    pub style: ScalarStyle,
    pub value: String,
    pub source: String,
}

/// An entry of a map, or an item of a list, which has no key.
pub(super) struct Entry {
    pub lead: Vec<Line>,
    /// A blank line stands right before it.
    pub blank: bool,
    pub key: Option<Written>,
    pub value: Node,
    /// Comment on its line.
    pub trail: Option<String>,
}

/// A comment where it stands.
struct Comment {
    at: usize,
    column: usize,
    own_line: bool,
    blank: bool,
    text: String,
}

/// All comments, sorted: what must be the same afterwards.
pub(super) fn comments(text: &str) -> Result<Vec<String>, FormatError> {
    let mut all: Vec<String> = find(text, &events(text)?).into_iter().map(|comment| comment.text).collect();
    all.sort();
    Ok(all)
}

type Placed<'t> = (Event<'t>, Range<usize>);

fn events(text: &str) -> Result<Vec<Placed<'_>>, FormatError> {
    let offsets: Vec<usize> =
        text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).collect();
    let byte = |index: usize| offsets.get(index).copied().unwrap_or(text.len());
    let span =
        |span: EventSpan| byte(span.start.index())..byte(span.end.index()).max(byte(span.start.index()));
    let mut found = Vec::new();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, place) = event.map_err(|_| FormatError::Unsafe)?;
        found.push((event, span(place)));
    }
    Ok(found)
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Whether the line above the one of an offset is blank.
fn blank_above(text: &str, at: usize) -> bool {
    let start = line_start(text, at);
    start > 0 && text[line_start(text, start - 1)..start - 1].trim().is_empty()
}

/// A `#` outside of all scalars, at the start of a line or behind a blank.
fn find(text: &str, events: &[Placed<'_>]) -> Vec<Comment> {
    let scalars: Vec<Range<usize>> = events
        .iter()
        .filter_map(|(event, span)| match event {
            Event::Scalar(_, style, id, _) => Some(extent(text, *style, node_start(text, *id, span), span).1),
            _ => None,
        })
        .collect();
    let mut found: Vec<Comment> = Vec::new();
    let mut behind = 0;
    for (at, _) in text.match_indices('#') {
        let inside = scalars.iter().any(|span| span.contains(&at));
        let after_blank = at == 0 || text[..at].ends_with([' ', '\t', '\n']);
        if at < behind || inside || !after_blank {
            continue;
        }
        let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
        behind = end;
        let start = line_start(text, at);
        let own_line = text[start..at].trim_start_matches('\u{feff}').trim().is_empty();
        found.push(Comment {
            at,
            column: text[start..at].chars().count(),
            own_line,
            blank: own_line && blank_above(text, at),
            text: text[at..end].trim_end().to_owned(),
        });
    }
    found
}

/// Where a node starts behind its anchor.
fn node_start(text: &str, id: usize, span: &Range<usize>) -> usize {
    if id == 0 {
        return span.start;
    }
    let rest = &text[span.start..];
    let name = rest.find(|c: char| c.is_whitespace() || ",[]{}".contains(c)).unwrap_or(rest.len());
    text.len() - rest[name..].trim_start().len()
}

/// Where a scalar is written, and the part of it that holds no comment: the parser lets a quoted scalar end where the next
/// word starts, and a block scalar start behind its header, where there may be a comment.
fn extent(text: &str, style: ScalarStyle, start: usize, span: &Range<usize>) -> (Range<usize>, Range<usize>) {
    let bytes = text.as_bytes();
    match style {
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
            let quote = if style == ScalarStyle::SingleQuoted { b'\'' } else { b'"' };
            let mut end = start + 1;
            while let Some(&byte) = bytes.get(end) {
                let doubled = byte == quote && quote == b'\'' && bytes.get(end + 1) == Some(&quote);
                match byte {
                    b'\\' if quote == b'"' => end += 2,
                    _ if doubled => end += 2,
                    _ if byte == quote => break,
                    _ => end += 1,
                }
            }
            let range = start..(end + 1).min(text.len());
            (range.clone(), range)
        }
        ScalarStyle::Literal | ScalarStyle::Folded => {
            // The header is the last line above the content that is not blank; without content it may be this very line.
            let own = line_start(text, start);
            let mut above = own;
            let mut found = None;
            while above > 0 && found.is_none() {
                let end = above - 1;
                above = line_start(text, end);
                if !text[above..end].trim().is_empty() {
                    found = header(&text[above..end]).map(|at| above + at);
                    break;
                }
            }
            let own_end = text[own..].find('\n').map_or(text.len(), |length| own + length);
            let header = found.or_else(|| header(&text[own..own_end]).map(|at| own + at)).unwrap_or(start);
            let content = text[header..].find('\n').map_or(text.len(), |length| header + length);
            let end = span.end.max(content);
            // The parser counts the next line's indentation as well.
            let whole = text[..end].trim_end_matches(' ');
            let end = if whole.ends_with('\n') { whole.len().max(content) } else { end };
            (header..end, content..end)
        }
        ScalarStyle::Plain => (start..span.end.max(start), start..span.end.max(start)),
    }
}

/// Where the header of a block scalar stands in a line that ends with one.
fn header(line: &str) -> Option<usize> {
    let is_header = |rest: &str| {
        let rest = rest[1..].trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
        rest.trim().is_empty() || rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#')
    };
    line.match_indices(['|', '>'])
        .map(|(at, _)| at)
        .find(|&at| (at == 0 || line[..at].ends_with([' ', '\t'])) && is_header(&line[at..]))
}

pub(super) fn read(text: &str) -> Result<Document, FormatError> {
    let events = events(text)?;
    let comments = find(text, &events);
    let mut reader = Reader {
        text,
        comments: comments.into_iter().peekable(),
        events: events.into_iter().peekable(),
        pending: Vec::new(),
        trails: Vec::new(),
        last: None,
        begun: None,
        aliases: false,
    };
    loop {
        match reader.events.peek() {
            Some((Event::Nothing | Event::StreamStart | Event::DocumentStart(_), _)) => {
                drop(reader.events.next())
            }
            Some(_) => break,
            None => return Err(FormatError::Unsafe),
        }
    }
    let mut root = reader.node()?;
    reader.flush(text.len());
    let tail = reader.pending.drain(..).map(|(_, line)| line).collect();
    let trails = std::mem::take(&mut reader.trails);
    place_trails(&mut root, &trails, &mut 0);
    Ok(Document { root, tail, aliases: reader.aliases })
}

struct Reader<'t, E: Iterator<Item = Placed<'t>>, C: Iterator<Item = Comment>> {
    text: &'t str,
    events: std::iter::Peekable<E>,
    comments: std::iter::Peekable<C>,
    /// Comments on lines of their own that wait for what they are about, with their columns.
    pending: Vec<(usize, Line)>,
    /// Comments on the line of an entry, by the number of the entry in the order of the file.
    trails: Vec<Option<String>>,
    /// The entry that the last word belongs to.
    last: Option<usize>,
    /// Start of the line on which the last entry began.
    begun: Option<usize>,
    aliases: bool,
}

impl<'t, E: Iterator<Item = Placed<'t>>, C: Iterator<Item = Comment>> Reader<'t, E, C> {
    /// Takes the comments before an offset.
    fn flush(&mut self, before: usize) {
        while let Some(comment) = self.comments.next_if(|comment| comment.at < before) {
            let free = self.last.filter(|last| !comment.own_line && self.trails[*last].is_none());
            match free {
                Some(last) => self.trails[last] = Some(comment.text),
                None => {
                    self.pending.push((comment.column, Line { blank: comment.blank, text: comment.text }))
                }
            }
        }
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    fn unsupported<T>(&self, what: &'static str, at: usize) -> Result<T, FormatError> {
        Err(FormatError::Unsupported { what, line: self.line(at) })
    }

    /// Name of the anchor that a node starts with, and where the node itself starts.
    fn anchor(&self, id: usize, span: &Range<usize>) -> (Option<String>, usize) {
        let start = node_start(self.text, id, span);
        // The name itself may begin with `&`.
        let written = || self.text[span.start..start].trim();
        let name = || written().strip_prefix('&').unwrap_or_default().to_owned();
        ((id != 0).then(name), start)
    }

    fn node(&mut self) -> Result<Node, FormatError> {
        let Some((event, span)) = self.events.next() else { return Err(FormatError::Unsafe) };
        self.flush(span.start);
        match event {
            Event::Alias(_) => {
                self.aliases = true;
                let written = self.text[span].trim_end();
                let name = written.strip_prefix('*').unwrap_or(written).to_owned();
                Ok(Node { anchor: None, kind: Kind::Alias(name) })
            }
            Event::Scalar(value, style, id, tag) => {
                if tag.is_some() {
                    return self.unsupported("a tag", span.start);
                }
                let (anchor, start) = self.anchor(id, &span);
                let (whole, _) = extent(self.text, style, start, &span);
                let source = self.text.get(whole).unwrap_or_default().to_owned();
                let written = Written { style, value: value.into_owned(), source };
                Ok(Node { anchor, kind: Kind::Scalar(written) })
            }
            Event::SequenceStart(id, _) => {
                let (anchor, start) = self.anchor(id, &span);
                let flow = self.text[start..].starts_with('[');
                let (items, brackets) = self.entries(flow, false)?;
                Ok(Node { anchor, kind: Kind::List(items, brackets) })
            }
            Event::MappingStart(id, _) => {
                let (anchor, start) = self.anchor(id, &span);
                let flow = self.text[start..].starts_with('{');
                let (entries, brackets) = self.entries(flow, true)?;
                Ok(Node { anchor, kind: Kind::Map(entries, brackets) })
            }
            _ => Err(FormatError::Unsafe),
        }
    }

    fn entries(&mut self, flow: bool, map: bool) -> Result<(Vec<Entry>, Brackets), FormatError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut column = None;
        loop {
            let Some((event, span)) = self.events.peek() else { return Err(FormatError::Unsafe) };
            let end = matches!(event, Event::SequenceEnd | Event::MappingEnd);
            let span = match event {
                // A comment behind its header belongs to the entry that begins here.
                Event::Scalar(_, style @ (ScalarStyle::Literal | ScalarStyle::Folded), id, _) => {
                    extent(self.text, *style, node_start(self.text, *id, span), span).0
                }
                _ => span.clone(),
            };
            self.flush(span.start);
            if end {
                self.events.next();
                // What is indented like the entries is about them, what stands further out about what follows.
                let own = match column {
                    Some(column) if !flow => self.pending.iter().take_while(|(at, _)| *at >= column).count(),
                    _ => {
                        if flow {
                            self.pending.len()
                        } else {
                            0
                        }
                    }
                };
                let tail = self.pending.drain(..own).map(|(_, line)| line).collect();
                return Ok((entries, Brackets { flow, tail }));
            }
            let start = line_start(self.text, span.start);
            let indent = self.text[start..].chars().take_while(|c| *c == ' ').count();
            if column.is_none() {
                let at = self.text[start..span.start].chars().count();
                // An item begins at its dash; the first key of a map may stand behind one.
                let dash = self.text[start..span.start].trim_end().strip_suffix('-');
                column = Some(match dash {
                    _ if map => at,
                    Some(before) => before.chars().count(),
                    // The dash stands alone on a line above.
                    None => indent.saturating_sub(1).min(at),
                });
            }
            let lead = self.pending.drain(..).map(|(_, line)| line).collect();
            // Of several that begin on one line, the outermost has the blank line above it.
            let blank = self.begun.replace(start) != Some(start)
                && blank_above(self.text, span.start)
                && self.text[start..span.start].trim_start_matches(['-', ' ']).is_empty();
            let number = self.trails.len();
            self.trails.push(None);
            self.last = Some(number);
            let key = if map {
                let node = self.node()?;
                match node.kind {
                    Kind::Scalar(written) if node.anchor.is_none() => Some(written),
                    Kind::Scalar(_) => return self.unsupported("a key with an anchor", span.start),
                    _ => return self.unsupported("a key that is no text", span.start),
                }
            } else {
                None
            };
            self.last = Some(number);
            let value = self.node()?;
            if !matches!(value.kind, Kind::List(..) | Kind::Map(..)) || is_flow(&value) {
                self.last = Some(number);
            }
            entries.push(Entry { lead, blank, key, value, trail: None });
        }
    }
}

fn is_flow(node: &Node) -> bool {
    matches!(&node.kind, Kind::List(_, brackets) | Kind::Map(_, brackets) if brackets.flow)
}

/// Gives the comments that stand on lines of entries to them, in the order in which the entries were read.
fn place_trails(node: &mut Node, trails: &[Option<String>], number: &mut usize) {
    let (Kind::List(entries, _) | Kind::Map(entries, _)) = &mut node.kind else { return };
    for entry in entries {
        entry.trail = trails.get(*number).cloned().flatten();
        *number += 1;
        place_trails(&mut entry.value, trails, number);
    }
}
