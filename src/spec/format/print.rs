//! A document → its canonical text.

use saphyr_parser::ScalarStyle;

use super::{
    WIDTH,
    order::Kind as Place,
    read::{Brackets, Document, Entry, Kind, Line, Node, Written},
    scalar,
};

pub(super) fn print(document: &Document) -> String {
    let printer = Printer { sort: !document.aliases };
    let mut lines = match &document.root.kind {
        Kind::List(..) | Kind::Map(..) => printer.block(&document.root, 0, Place::Pipeline),
        Kind::Scalar(written) => vec![scalar::line(written, false, false)],
        Kind::Alias(name) => vec![format!("*{name}")],
    };
    comment_lines(&document.tail, 0, &mut lines);
    while lines.first().is_some_and(String::is_empty) {
        lines.remove(0);
    }
    lines.join("\n") + "\n"
}

struct Printer {
    sort: bool,
}

/// A blank line, unless there is one: of several, one stays, and one at the end of a text that keeps its blank lines is a part of it.
fn blank_line(lines: &mut Vec<String>) {
    if lines.last().is_none_or(|line| !line.trim().is_empty()) {
        lines.push(String::new());
    }
}

fn comment_lines(comments: &[Line], indent: usize, lines: &mut Vec<String>) {
    for comment in comments {
        if comment.blank {
            blank_line(lines);
        }
        lines.push(format!("{}{}", " ".repeat(indent), comment.text));
    }
}

/// Comments inside of brackets have no place on one line.
fn has_comments(node: &Node) -> bool {
    match &node.kind {
        Kind::List(entries, brackets) | Kind::Map(entries, brackets) => {
            !brackets.tail.is_empty()
                || entries.iter().any(|entry| {
                    !entry.lead.is_empty() || entry.trail.is_some() || has_comments(&entry.value)
                })
        }
        Kind::Scalar(_) | Kind::Alias(_) => false,
    }
}

/// An entry as it is printed: perhaps under another key, perhaps with the comments of one that was dissolved.
struct Printed<'d> {
    key: Option<String>,
    lead: Vec<Line>,
    blank: bool,
    value: &'d Node,
    trail: Option<&'d str>,
    place: Place,
}

impl Printer {
    /// Lines of a list or map at an indentation.
    fn block(&self, node: &Node, indent: usize, place: Place) -> Vec<String> {
        let mut lines = Vec::new();
        let (entries, brackets) = match &node.kind {
            Kind::List(entries, brackets) | Kind::Map(entries, brackets) => (entries, brackets),
            Kind::Scalar(_) | Kind::Alias(_) => return lines,
        };
        for entry in self.ordered(entries, place, false) {
            comment_lines(&entry.lead, indent, &mut lines);
            if entry.blank {
                blank_line(&mut lines);
            }
            let mut entry = self.entry(&entry, indent);
            // Blank lines that begin an entry stand before its dash.
            if lines.last().is_some_and(String::is_empty) && entry.first().is_some_and(String::is_empty) {
                entry.remove(0);
            }
            lines.extend(entry);
        }
        comment_lines(&brackets.tail, indent, &mut lines);
        lines
    }

    fn ordered<'d>(&self, entries: &'d [Entry], place: Place, flow: bool) -> Vec<Printed<'d>> {
        let mut printed: Vec<(usize, Printed<'d>)> =
            entries.iter().map(|entry| self.printed(entry, place, flow)).collect();
        if self.sort {
            // What introduces the file stays at its top.
            let header = match printed.first_mut() {
                Some((_, first)) if place == Place::Pipeline => std::mem::take(&mut first.lead),
                _ => Vec::new(),
            };
            printed.sort_by_key(|(rank, _)| *rank);
            if let Some((_, first)) = printed.first_mut().filter(|_| !header.is_empty()) {
                first.lead.splice(0..0, header);
            }
        }
        printed.into_iter().map(|(_, entry)| entry).collect()
    }

    fn printed<'d>(&self, entry: &'d Entry, place: Place, flow: bool) -> (usize, Printed<'d>) {
        let trail = entry.trail.as_deref();
        let plain = |key, under| Printed {
            key,
            lead: entry.lead.clone(),
            blank: entry.blank,
            value: &entry.value,
            trail,
            place: under,
        };
        let Some(key) = &entry.key else { return (0, plain(None, place)) };
        // `strategy` that holds a matrix and nothing else is that matrix.
        if place == Place::Stage
            && key.value == "strategy"
            && entry.value.anchor.is_none()
            && let Kind::Map(inner, Brackets { tail, .. }) = &entry.value.kind
            && let ([only], true) = (&inner[..], tail.is_empty())
            && only.key.as_ref().is_some_and(|key| key.value == "matrix")
        {
            let mut lead = entry.lead.clone();
            lead.extend(
                trail.map(|text| Line { blank: entry.blank && entry.lead.is_empty(), text: text.to_owned() }),
            );
            lead.extend(only.lead.iter().cloned());
            let printed = Printed {
                key: Some("matrix".to_owned()),
                blank: entry.blank && lead.is_empty(),
                lead,
                value: &only.value,
                trail: only.trail.as_deref(),
                place: Place::Other,
            };
            return (place.rank("matrix"), printed);
        }
        let canonical = place.canonical(&key.value);
        let shown = if canonical == key.value { scalar::line(key, flow, true) } else { canonical.to_owned() };
        (place.rank(canonical), plain(Some(shown), place.under(&key.value)))
    }

    fn entry(&self, entry: &Printed<'_>, indent: usize) -> Vec<String> {
        let pad = " ".repeat(indent);
        let trail = entry.trail.map_or_else(String::new, |comment| format!(" {comment}"));
        let head = match &entry.key {
            Some(key) => format!("{pad}{key}:"),
            None => format!("{pad}-"),
        };
        let anchor = entry.value.anchor.as_ref().map_or_else(String::new, |name| format!(" &{name}"));
        match &entry.value.kind {
            Kind::Alias(name) => vec![format!("{head} *{name}{trail}")],
            Kind::Scalar(written) if is_block(written) => {
                self.block_scalar(&format!("{head}{anchor}"), written, &trail, indent)
            }
            Kind::Scalar(written) => {
                let text = scalar::line(written, false, false);
                let space = if text.is_empty() { "" } else { " " };
                vec![format!("{head}{anchor}{space}{text}{trail}")]
            }
            Kind::List(items, brackets) | Kind::Map(items, brackets) => {
                if let Some(inline) = self.inline(entry.value, brackets, entry.place) {
                    let line = format!("{head}{anchor} {inline}");
                    if line.chars().count() <= WIDTH || items.is_empty() {
                        return vec![line + &trail];
                    }
                }
                let mut lines = self.block(entry.value, indent + 2, entry.place);
                if entry.key.is_none() && anchor.is_empty() {
                    let mut item = behind_dash(lines, indent);
                    // A comment behind a dash that stands alone would be read as one above what follows.
                    item.splice(0..0, entry.trail.map(|comment| format!("{pad}{comment}")));
                    return item;
                }
                lines.insert(0, format!("{head}{anchor}{trail}"));
                lines
            }
        }
    }

    /// The whole on one line, where it was written in brackets and has no comments.
    fn inline(&self, node: &Node, brackets: &Brackets, place: Place) -> Option<String> {
        let (Kind::List(entries, _) | Kind::Map(entries, _)) = &node.kind else { return None };
        let may = brackets.flow && !has_comments(node);
        may.then(|| self.flow(entries, matches!(node.kind, Kind::Map(..)), place))
    }

    fn flow(&self, entries: &[Entry], map: bool, place: Place) -> String {
        let parts: Vec<String> = self
            .ordered(entries, place, true)
            .iter()
            .map(|entry| {
                let value = self.flow_value(entry.value, entry.place);
                match &entry.key {
                    Some(key) if value.is_empty() => format!("{key}:"),
                    Some(key) => format!("{key}: {value}"),
                    None => value,
                }
            })
            .collect();
        match (map, parts.is_empty()) {
            (true, true) => "{}".to_owned(),
            (true, false) => format!("{{ {} }}", parts.join(", ")),
            (false, _) => format!("[{}]", parts.join(", ")),
        }
    }

    fn flow_value(&self, node: &Node, place: Place) -> String {
        let anchor = node.anchor.as_ref().map_or_else(String::new, |name| format!("&{name} "));
        let value = match &node.kind {
            Kind::Alias(name) => format!("*{name}"),
            Kind::Scalar(written) => scalar::line(written, true, false),
            Kind::List(entries, _) => self.flow(entries, false, place),
            Kind::Map(entries, _) => self.flow(entries, true, place),
        };
        // An empty item between commas would be none.
        let value = if value.is_empty() { "null".to_owned() } else { value };
        format!("{anchor}{value}")
    }

    /// A block scalar with its lines as they are, moved to the indentation.
    fn block_scalar(&self, head: &str, written: &Written, trail: &str, indent: usize) -> Vec<String> {
        let mut source = written.source.lines();
        let header = source.next().unwrap_or_default();
        let header = header.split(" #").next().unwrap_or_default().trim();
        let mut content: Vec<&str> = source.collect();
        // With an indicator the first line may start with blanks of its own; the value tells how many.
        let first = written.value.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let own = first.len() - first.trim_start_matches(' ').len();
        let shallowest = match content.iter().find(|line| !line.trim().is_empty()) {
            Some(line) => (line.len() - line.trim_start_matches(' ').len()).saturating_sub(own),
            // Of blanks alone, only the value tells which are its own.
            None => {
                content = written.value.lines().collect();
                0
            }
        };
        let header: String = header.chars().map(|c| if c.is_ascii_digit() { '2' } else { c }).collect();
        let pad = " ".repeat(indent + 2);
        let mut lines = vec![format!("{head} {header}{trail}")];
        for line in content {
            let rest = line
                .get(shallowest.min(line.len() - line.trim_start_matches(' ').len())..)
                .unwrap_or_default();
            lines.push(if rest.is_empty() { String::new() } else { format!("{pad}{rest}") });
        }
        // Blank lines behind it belong to what follows, unless it keeps them.
        while !header.contains('+') && lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

fn is_block(written: &Written) -> bool {
    matches!(written.style, ScalarStyle::Literal | ScalarStyle::Folded)
}

/// Puts the dash of an item before the first of its lines that is no comment.
fn behind_dash(mut lines: Vec<String>, indent: usize) -> Vec<String> {
    let first = lines.iter().position(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    });
    let pad = " ".repeat(indent);
    if let Some(first) = first {
        let content = lines[first].get(indent + 2..).unwrap_or_default().to_owned();
        lines[first] = format!("{pad}- {content}");
        for line in lines.iter_mut().take(first) {
            *line = line.get(2..).unwrap_or_default().to_owned();
        }
    }
    lines
}
