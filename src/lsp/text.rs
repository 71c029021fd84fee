//! Offsets of ours ↔ positions of the protocol, which counts lines from 0 and columns in UTF-16 code units.

use std::ops::Range;

use lsp_types::Position;

/// A text with its lines indexed.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    text: String,
    starts: Vec<usize>,
}

impl Text {
    pub fn new(text: String) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Position of a byte offset; what lies inside of a character or behind the end counts as the next border before.
    pub fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|&start| start <= offset).saturating_sub(1);
        let before =
            self.starts.get(line).and_then(|&start| self.text.get(start..offset)).unwrap_or_default();
        let column = before.encode_utf16().count();
        Position::new(u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }

    /// Byte offset of a position; a column behind the end of its line is that end, as the protocol says.
    pub fn offset(&self, position: Position) -> usize {
        let line = usize::try_from(position.line).unwrap_or(usize::MAX);
        let Some(&start) = self.starts.get(line) else { return self.text.len() };
        let source = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let mut left = usize::try_from(position.character).unwrap_or(usize::MAX);
        for (at, character) in source.char_indices() {
            // A column inside of a surrogate pair is that character.
            if left < character.len_utf16() {
                return start + at;
            }
            left -= character.len_utf16();
        }
        start + source.len()
    }

    pub fn range(&self, range: &Range<usize>) -> lsp_types::Range {
        lsp_types::Range::new(self.position(range.start), self.position(range.end.max(range.start)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_are_utf_16() {
        let text = Text::new("a: ü\n\"🦀x\": 1\r\nend".to_owned());
        assert_eq!(text.position(text.as_str().find('x').unwrap()), Position::new(1, 3));
        assert_eq!(text.offset(Position::new(1, 3)), text.as_str().find('x').unwrap());
        assert_eq!(text.offset(Position::new(1, 2)), text.as_str().find('🦀').unwrap(), "inside of the pair");
        assert_eq!(text.offset(Position::new(0, 99)), "a: ü".len());
        assert_eq!(text.offset(Position::new(1, 99)), text.as_str().find('\r').unwrap());
        assert_eq!(text.offset(Position::new(99, 0)), text.as_str().len());
        assert_eq!(text.position(9999), Position::new(2, 3));
    }

    proptest! {
        #[test]
        fn every_border_comes_back(text in "[a-zäß🦀\\n]{0,40}") {
            let text = Text::new(text);
            for (at, _) in text.as_str().char_indices() {
                prop_assert_eq!(text.offset(text.position(at)), at);
            }
        }
    }
}
