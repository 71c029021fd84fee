//! Text → [`Outline`].

use std::ops::Range;

use super::{Container, Entry, Outline, Word};

/// Deepest nesting followed; what is deeper is passed over.
const MAX_DEPTH: usize = 64;

/// Marks that no plain word in brackets holds.
const FLOW_ENDS: &[u8] = b",{}[]";

pub(super) fn outline(text: &str) -> Outline {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), outline: Outline::default(), open: Vec::new() };
    let mut at = 0;
    while at < text.len() {
        at = scanner.line(at);
    }
    scanner.outline
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    outline: Outline,
    /// Containers written in lines that may still get entries, outermost first.
    open: Vec<usize>,
}

impl Scanner<'_> {
    fn line_end(&self, at: usize) -> usize {
        self.bytes[at..].iter().position(|&byte| byte == b'\n').map_or(self.bytes.len(), |length| at + length)
    }

    fn skip_blanks(&self, mut at: usize) -> usize {
        while matches!(self.bytes.get(at), Some(b' ' | b'\t' | b'\r')) {
            at += 1;
        }
        at
    }

    /// Reads the line that starts at `start`, with all that belongs to its value; gives the start of the next one.
    fn line(&mut self, start: usize) -> usize {
        let end = self.line_end(start);
        let mut at = self.skip_blanks(start);
        let next = (end + 1).min(self.bytes.len());
        let rest = self.text.get(at..end).unwrap_or_default();
        if at >= end
            || rest.starts_with('#')
            || at == start && (rest.starts_with("---") || rest.starts_with('%'))
        {
            return next;
        }
        let mut item = None;
        while self.bytes[at] == b'-'
            && matches!(self.bytes.get(at + 1), None | Some(b' ' | b'\n' | b'\r' | b'\t'))
        {
            let Some(entry) = self.entry(at - start, true, None, at, at + 1) else { return next };
            item = Some(entry);
            at = self.skip_blanks(at + 1);
            if at >= end || self.bytes[at] == b'#' {
                return next;
            }
        }
        let value = match self.key(at, end) {
            Some((key, after)) => {
                let Some(entry) = self.entry(at - start, false, Some(key), at, after) else { return next };
                (entry, after)
            }
            None => match item {
                Some(entry) => (entry, at),
                None => {
                    let word = self.plain(at, end, false);
                    if let Some(entry) = self.entry(at - start, false, Some(word), at, end) {
                        self.outline.entries[entry].loose = true;
                    }
                    return next;
                }
            },
        };
        self.value(value.0, value.1, at - start)
    }

    /// The key that starts at `at`, and the offset behind its colon.
    fn key(&self, at: usize, end: usize) -> Option<(Word, usize)> {
        let ends =
            |colon: usize| matches!(self.bytes.get(colon + 1), None | Some(b' ' | b'\t' | b'\n' | b'\r'));
        if matches!(self.bytes[at], b'"' | b'\'') {
            let word = self.quoted(at, end)?;
            let colon = self.skip_blanks(word.range.end);
            return (self.bytes.get(colon) == Some(&b':') && ends(colon)).then(|| (word, colon + 1));
        }
        if matches!(self.bytes[at], b'{' | b'[' | b'$' | b'&' | b'*' | b'!' | b'|' | b'>') {
            return None;
        }
        let mut colon = at;
        while colon < end {
            match self.bytes[colon] {
                b':' if ends(colon) => {
                    let text = self.text.get(at..colon)?.trim_end();
                    let word = Word { text: text.to_owned(), range: at..at + text.len(), quoted: false };
                    return (!text.is_empty()).then_some((word, colon + 1));
                }
                b'#' if colon > at && self.bytes[colon - 1] == b' ' => return None,
                _ => colon += 1,
            }
        }
        None
    }

    /// A new entry at a column; opens and closes containers as the column says.
    fn entry(
        &mut self,
        column: usize,
        list: bool,
        key: Option<Word>,
        start: usize,
        after: usize,
    ) -> Option<usize> {
        let container = self.container(column, list)?;
        Some(self.add(container, key, start, after))
    }

    fn container(&mut self, column: usize, list: bool) -> Option<usize> {
        while let Some(&top) = self.open.last() {
            let Container { indent, list: is_list, .. } = self.outline.containers[top];
            // A list may stand at the column of the key it belongs to.
            if indent > column || indent == column && is_list && !list {
                self.open.pop();
            } else if indent == column && is_list == list {
                return Some(top);
            } else {
                break;
            }
        }
        let parent = match self.open.last() {
            None => None,
            Some(&top) => Some(*self.outline.containers[top].entries.last()?),
        };
        if self.open.len() >= MAX_DEPTH {
            return None;
        }
        let container = self.contain(parent, list, None, column);
        self.open.push(container);
        Some(container)
    }

    fn contain(
        &mut self,
        parent: Option<usize>,
        list: bool,
        flow: Option<Range<usize>>,
        indent: usize,
    ) -> usize {
        let index = self.outline.containers.len();
        self.outline.containers.push(Container {
            parent,
            list,
            flow,
            closed: false,
            indent,
            entries: Vec::new(),
        });
        if let Some(parent) = parent {
            self.outline.entries[parent].child = Some(index);
        }
        index
    }

    fn add(&mut self, container: usize, key: Option<Word>, start: usize, after: usize) -> usize {
        let index = self.outline.entries.len();
        self.outline.entries.push(Entry {
            container,
            key,
            loose: false,
            start,
            after,
            value: None,
            child: None,
        });
        self.outline.containers[container].entries.push(index);
        index
    }

    /// Reads the value of an entry; gives the start of the line behind it.
    fn value(&mut self, entry: usize, at: usize, column: usize) -> usize {
        let end = self.line_end(at);
        let next = |end: usize| (end + 1).min(self.bytes.len());
        let mut at = self.skip_blanks(at);
        // Anchors and tags stand before the value.
        while at < end && matches!(self.bytes[at], b'&' | b'!') {
            at = self.bytes[at..end].iter().position(|&byte| byte == b' ').map_or(end, |length| at + length);
            at = self.skip_blanks(at);
        }
        if at >= end || self.bytes[at] == b'#' {
            return next(end);
        }
        match self.bytes[at] {
            b'{' | b'[' => {
                let behind = self.flow(entry, at, column, 0);
                next(self.line_end(behind))
            }
            b'|' | b'>' if self.is_block_header(at, end) => {
                let behind = self.block(end, column);
                let text = self.text.get(at..behind).unwrap_or_default().to_owned();
                self.outline.entries[entry].value = Some(Word { text, range: at..behind, quoted: true });
                behind
            }
            b'"' | b'\'' => {
                let word = self.quoted(at, self.bytes.len()).filter(|word| !word.text.contains("\n\n"));
                let word = word.unwrap_or_else(|| self.unclosed(at, end));
                let behind = word.range.end;
                self.outline.entries[entry].value = Some(word);
                next(self.line_end(behind))
            }
            _ => {
                let word = self.plain(at, end, false);
                self.outline.entries[entry].value = Some(word);
                next(end)
            }
        }
    }

    fn is_block_header(&self, at: usize, end: usize) -> bool {
        let rest = self.text.get(at + 1..end).unwrap_or_default();
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')).trim();
        rest.is_empty() || rest.starts_with('#')
    }

    /// End of the block scalar whose header ends at `end` and whose key stands at `column`.
    fn block(&self, end: usize, column: usize) -> usize {
        let mut at = (end + 1).min(self.bytes.len());
        while at < self.bytes.len() {
            let line = self.line_end(at);
            let first = self.skip_blanks(at);
            if first < line && first - at <= column {
                break;
            }
            at = (line + 1).min(self.bytes.len());
        }
        at
    }

    /// A quoted word that ends before `limit`; none if its closing quote is missing.
    fn quoted(&self, at: usize, limit: usize) -> Option<Word> {
        let quote = self.bytes[at];
        let mut end = at + 1;
        while end < limit {
            match self.bytes[end] {
                b'\\' if quote == b'"' => end += 2,
                byte if byte == quote && quote == b'\'' && self.bytes.get(end + 1) == Some(&quote) => {
                    end += 2
                }
                byte if byte == quote => {
                    let text = self.text.get(at + 1..end)?.to_owned();
                    return Some(Word { text, range: at..end + 1, quoted: true });
                }
                _ => end += 1,
            }
        }
        None
    }

    /// What is being written behind an opening quote: up to the end of the line.
    fn unclosed(&self, at: usize, end: usize) -> Word {
        let text = self.text.get(at + 1..end).unwrap_or_default();
        Word { text: text.to_owned(), range: at..end, quoted: true }
    }

    /// A word without quotes. An expression in it is one piece whatever it holds.
    fn plain(&self, at: usize, end: usize, flow: bool) -> Word {
        let mut stop = at;
        while stop < end {
            if self.bytes[stop..end].starts_with(b"${{") {
                let rest = self.text.get(stop..end).unwrap_or_default();
                stop = rest.find("}}").map_or(end, |length| stop + length + 2);
                continue;
            }
            let byte = self.bytes[stop];
            let comment = byte == b'#' && stop > at && self.bytes[stop - 1] == b' ';
            if comment || flow && FLOW_ENDS.contains(&byte) {
                break;
            }
            stop += 1;
        }
        let text = self.text.get(at..stop).unwrap_or_default().trim_end();
        Word { text: text.to_owned(), range: at..at + text.len(), quoted: false }
    }

    /// Reads what is in brackets; gives the offset behind the closing one. Where that is missing, the brackets end before the
    /// first line that looks like a key as far out as the line they were opened in.
    fn flow(&mut self, parent: usize, at: usize, column: usize, depth: usize) -> usize {
        let list = self.bytes[at] == b'[';
        let open = at;
        let container = self.contain(Some(parent), list, Some(open..self.bytes.len()), 0);
        let mut at = open + 1;
        loop {
            let (next, given_up) = self.skip_in_flow(at, column);
            at = next;
            let closing = matches!(self.bytes.get(at), Some(b'}' | b']'));
            if given_up || at >= self.bytes.len() || closing {
                let closed = closing && !given_up;
                let behind = at + usize::from(closed);
                let found = &mut self.outline.containers[container];
                found.closed = closed;
                found.flow = Some(open..behind);
                return behind;
            }
            let end = self.line_end(at);
            let start = at;
            let mut key = None;
            if !list && !matches!(self.bytes[at], b'{' | b'[') {
                let word = match self.bytes[at] {
                    b'"' | b'\'' => self.quoted(at, end).unwrap_or_else(|| self.unclosed(at, end)),
                    _ => self.flow_key(at, end),
                };
                at = self.skip_blanks(word.range.end.max(at));
                let colon = self.bytes.get(at) == Some(&b':');
                at += usize::from(colon);
                key = Some((word, colon));
            }
            let colon = key.as_ref().is_none_or(|(_, colon)| *colon);
            let entry = self.add(container, key.map(|(word, _)| word), start, at);
            self.outline.entries[entry].loose = !colon;
            if colon {
                at = self.flow_value(entry, at, column, depth);
            }
            // A mark that is no word here must not be looked at for ever.
            if at == start {
                at += self.text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
            }
        }
    }

    fn flow_value(&mut self, entry: usize, at: usize, column: usize, depth: usize) -> usize {
        let at = self.skip_blanks(at);
        let end = self.line_end(at);
        match self.bytes.get(at) {
            Some(b'{' | b'[') if depth < MAX_DEPTH => self.flow(entry, at, column, depth + 1),
            None | Some(b',' | b'}' | b']' | b'\n' | b'{' | b'[') => at,
            Some(b'"' | b'\'') => {
                let word = self.quoted(at, end).unwrap_or_else(|| self.unclosed(at, end));
                let behind = word.range.end;
                self.outline.entries[entry].value = Some(word);
                behind
            }
            Some(_) => {
                let word = self.plain(at, end, true);
                let behind = word.range.end;
                self.outline.entries[entry].value = Some(word);
                behind
            }
        }
    }

    fn flow_key(&self, at: usize, end: usize) -> Word {
        let word = self.plain(at, end, true);
        let colon = word.text.char_indices().find(|&(index, c)| {
            let after = self.bytes.get(at + index + 1);
            c == ':' && (after.is_none_or(|byte| byte.is_ascii_whitespace() || FLOW_ENDS.contains(byte)))
        });
        match colon {
            Some((index, _)) => {
                let text = word.text[..index].trim_end();
                Word { text: text.to_owned(), range: at..at + text.len(), quoted: false }
            }
            None => word,
        }
    }

    /// Skips blanks, commas, comments and line ends; true if the brackets were given up.
    fn skip_in_flow(&self, mut at: usize, column: usize) -> (usize, bool) {
        while let Some(byte) = self.bytes.get(at) {
            match byte {
                b' ' | b'\t' | b'\r' | b',' => at += 1,
                b'#' => at = self.line_end(at),
                b'\n' => {
                    let first = self.skip_blanks(at + 1);
                    let end = self.line_end(first);
                    let looks_like_key = first < end && self.key(first, end).is_some();
                    if looks_like_key && first - (at + 1) <= column {
                        return (at, true);
                    }
                    at += 1;
                }
                _ => break,
            }
        }
        (at, false)
    }
}
