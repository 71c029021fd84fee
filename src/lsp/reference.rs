//! References inside of `${{ … }}`: `stages.train[seed=0].outputs.model`, also half-written ones.

use std::ops::Range;

/// Longest expression looked at, in bytes.
const REACH: usize = 4096;

/// A reference, or the start of one, around an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// Its parts with their places, selectors in brackets left out: `stages`, `train`, `outputs`, `model`.
    pub parts: Vec<(String, Range<usize>)>,
    /// Index of the part that the offset is in.
    pub at: usize,
}

impl Reference {
    /// The reference around an offset; none outside of an expression. Its last part is empty behind a dot and where nothing is
    /// written yet.
    pub fn around(text: &str, offset: usize) -> Option<Self> {
        let end = expression_end(text, offset)?;
        let bytes = text.as_bytes();
        let mut start = offset;
        let floor = expression_start(text, offset)?;
        while start > floor {
            let byte = bytes[start - 1];
            if byte == b']' {
                // Over a selector, whatever it holds.
                match text.get(floor..start)?.rfind('[') {
                    Some(open) => start = floor + open,
                    None => break,
                }
            } else if is_name(byte) || byte == b'.' {
                start -= 1;
            } else {
                break;
            }
        }
        let mut parts = Vec::new();
        let mut at = start;
        loop {
            let from = at;
            while at < end && is_name(bytes[at]) {
                at += 1;
            }
            parts.push((text.get(from..at)?.to_owned(), from..at));
            while at < end && bytes[at] == b'[' {
                match text.get(at..end)?.find(']') {
                    Some(close) => at += close + 1,
                    None => break,
                }
            }
            if at < end && bytes[at] == b'.' {
                at += 1;
            } else {
                break;
            }
        }
        let index = parts.iter().position(|(_, range)| range.start <= offset && offset <= range.end)?;
        Some(Self { parts, at: index })
    }

    /// What stands before the part that the offset is in.
    pub fn before(&self) -> Vec<&str> {
        self.parts[..self.at].iter().map(|(part, _)| part.as_str()).collect()
    }

    /// The parts up to and with the one that the offset is in.
    pub fn up_to(&self) -> Vec<&str> {
        self.parts[..=self.at].iter().map(|(part, _)| part.as_str()).collect()
    }

    /// Place of the part that the offset is in.
    pub fn range(&self) -> &Range<usize> {
        &self.parts[self.at].1
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Offset behind the `${{` that the offset is inside of.
fn expression_start(text: &str, offset: usize) -> Option<usize> {
    let mut floor = offset.saturating_sub(REACH);
    while !text.is_char_boundary(floor) {
        floor += 1;
    }
    let before = text.get(floor..offset)?;
    let open = before.rfind("${{")?;
    (!before[open..].contains("}}")).then_some(floor + open + 3)
}

fn expression_end(text: &str, offset: usize) -> Option<usize> {
    let rest = text.get(offset..)?;
    let line = rest.find('\n').unwrap_or(rest.len());
    Some(offset + rest[..line].find("}}").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `|` is the cursor.
    fn parts(marked: &str) -> Option<String> {
        let offset = marked.find('|').unwrap();
        let found = Reference::around(&marked.replace('|', ""), offset)?;
        let parts: Vec<&str> = found.parts.iter().map(|(part, _)| part.as_str()).collect();
        Some(format!("{} @{}", parts.join("."), found.at))
    }

    #[test]
    fn references_are_found_around_the_cursor() {
        for (marked, found) in [
            ("a: ${{ params.ep|ochs }}", Some("params.epochs @1")),
            ("a: ${{ stages.train[seed=0].outputs.|", Some("stages.train.outputs. @3")),
            ("a: ${{ stages.tr|ain[*].outputs.model }}", Some("stages.train.outputs.model @1")),
            ("a: ${{ | }}", Some(" @0")),
            ("a: ${{ host.gpus > 0 && par|", Some("par @0")),
            ("a: ${{ contains(params.|, 'x') }}", Some("params. @1")),
            ("a: ${{ x }} b|", None),
            ("a: b|", None),
        ] {
            assert_eq!(parts(marked).as_deref(), found, "{marked}");
        }
    }
}
