//! What is being written at an offset.

use std::ops::Range;

use super::{Container, Entry, Outline, Segment};

/// What may be written at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Role {
    /// A key of the map.
    Key,
    /// The value of the entry.
    Value,
    /// Either the first key of a map or the value of the entry: nothing tells yet.
    Either,
}

/// What is being written at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Place {
    /// The map, for a key; else the entry whose value it is.
    pub path: Vec<Segment>,
    /// What may be written.
    pub role: Role,
    /// The word under the cursor; empty where there is none.
    pub word: Range<usize>,
    /// Quotes surround the word.
    pub quoted: bool,
    /// Inside of brackets.
    pub flow: bool,
}

impl Outline {
    /// What is being written at an offset; none in comments and where nothing fits.
    pub fn place(&self, text: &str, offset: usize) -> Option<Place> {
        let touches = |range: &Range<usize>| range.start <= offset && offset <= range.end;
        for (index, entry) in self.entries.iter().enumerate() {
            if let Some(key) = entry.key.as_ref().filter(|key| touches(&key.range)) {
                let path = self.container_path(entry.container);
                let fresh =
                    entry.loose && self.containers[entry.container].entries.len() == 1 && !path.is_empty();
                let flow = self.containers[entry.container].flow.is_some();
                let role = if fresh && !flow { Role::Either } else { Role::Key };
                return Some(Place { path, role, word: key.range.clone(), quoted: key.quoted, flow });
            }
            if let Some(value) = entry.value.as_ref().filter(|value| touches(&value.range)) {
                let flow = self.containers[entry.container].flow.is_some();
                let path = self.path(index);
                return Some(Place {
                    path,
                    role: Role::Value,
                    word: value.range.clone(),
                    quoted: value.quoted,
                    flow,
                });
            }
        }
        let line = text.get(..offset)?.rfind('\n').map_or(0, |at| at + 1);
        let before = text.get(line..offset)?;
        if before.contains(" #") || before.trim_start().starts_with('#') {
            return None;
        }
        self.in_brackets(offset).or_else(|| self.in_lines(line, before, offset))
    }

    fn in_brackets(&self, offset: usize) -> Option<Place> {
        // A bracket that is closed right before the cursor is left behind.
        let inside = |container: &Container| {
            let range = container.flow.as_ref();
            range.is_some_and(|range| {
                range.start < offset && offset < range.end + usize::from(!container.closed)
            })
        };
        let (index, container) = self
            .containers
            .iter()
            .enumerate()
            .filter(|(_, container)| inside(container))
            .max_by_key(|(_, container)| container.flow.as_ref().map_or(0, |range| range.start))?;
        let last = container.entries.iter().copied().rfind(|entry| self.entries[*entry].start < offset);
        let waiting = last.filter(|entry| {
            let Entry { value, child, after, loose, .. } = &self.entries[*entry];
            value.is_none() && child.is_none() && !loose && *after <= offset
        });
        let place = |path, role| Some(Place { path, role, word: offset..offset, quoted: false, flow: true });
        match waiting {
            Some(entry) => place(self.path(entry), Role::Value),
            None if container.list => {
                let mut path = self.container_path(index);
                path.push(Segment::Item(container.entries.len()));
                place(path, Role::Value)
            }
            None => place(self.container_path(index), Role::Key),
        }
    }

    fn in_lines(&self, line: usize, before: &str, offset: usize) -> Option<Place> {
        let column = before.len();
        let blank = before.trim().is_empty();
        let block = |entry: &Entry| self.containers[entry.container].flow.is_none();
        let last = self.entries.iter().rposition(|entry| entry.start < offset && block(entry));
        let place = |path, role| Some(Place { path, role, word: offset..offset, quoted: false, flow: false });
        let Some(last) = last else {
            return (blank && column == 0).then(|| place(Vec::new(), Role::Key)).flatten();
        };
        let Entry { container, value, child, after, start, loose, .. } = &self.entries[last];
        if *start >= line {
            // On the line of the entry itself: behind `key: ` or `- `.
            let open = value.is_none() && child.is_none() && !loose && *after <= offset;
            return open
                .then(|| {
                    place(
                        self.path(last),
                        if before.trim_end().ends_with('-') { Role::Either } else { Role::Value },
                    )
                })
                .flatten();
        }
        if !blank {
            return None;
        }
        if column > self.containers[*container].indent {
            let open = value.is_none() && child.is_none() && !loose;
            return open.then(|| place(self.path(last), Role::Either)).flatten();
        }
        // Out to the map whose entries stand at this column.
        let mut at = Some(*container);
        while let Some(container) = at {
            let found = &self.containers[container];
            if found.indent == column && !found.list {
                return place(self.container_path(container), Role::Key);
            }
            if found.indent < column {
                return None;
            }
            at = found.parent.map(|entry| self.entries[entry].container);
        }
        None
    }
}
