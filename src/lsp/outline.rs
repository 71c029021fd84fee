//! Which keys and values stand where in a pipeline file, however broken it is.
//!
//! The parser of [`crate::spec`] gives up where the text is no YAML, which is the usual state of a file that someone is
//! writing in. This one goes by indentation and brackets alone, never fails, and says of every offset what is being written
//! there. What it makes of a sound file agrees with YAML; aliases, merges and keys over several lines it does not follow.

mod place;
mod scan;

use std::ops::Range;

pub(super) use place::{Place, Role};

/// A word as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Without quotes.
    pub text: String,
    /// With quotes.
    pub range: Range<usize>,
    /// Whether quotes surround it.
    pub quoted: bool,
}

/// One step from the root of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Entry of a map.
    Key(String),
    /// Item of a list.
    Item(usize),
}

/// A map or a list.
#[derive(Debug)]
struct Container {
    /// The entry whose value it is; none for the root.
    parent: Option<usize>,
    list: bool,
    /// Written with brackets, and then from the opening one to behind the closing one.
    flow: Option<Range<usize>>,
    /// The closing bracket is there.
    closed: bool,
    /// Column of its entries, where it is written in lines.
    indent: usize,
    entries: Vec<usize>,
}

/// An entry of a map or an item of a list.
#[derive(Debug)]
struct Entry {
    container: usize,
    /// None for an item.
    key: Option<Word>,
    /// No colon stands behind the key: it may become a key or be a value.
    loose: bool,
    /// Where it begins.
    start: usize,
    /// Behind the colon or the dash.
    after: usize,
    value: Option<Word>,
    child: Option<usize>,
}

/// The keys and values of a file.
#[derive(Debug, Default)]
pub(super) struct Outline {
    containers: Vec<Container>,
    entries: Vec<Entry>,
}

impl Outline {
    /// Reads a text.
    pub fn new(text: &str) -> Self {
        scan::outline(text)
    }

    fn root(&self) -> Option<usize> {
        self.containers.iter().position(|container| container.parent.is_none())
    }

    fn segment(&self, entry: usize) -> Segment {
        let Entry { container, key, .. } = &self.entries[entry];
        match key {
            Some(key) => Segment::Key(key.text.clone()),
            None => {
                let items = &self.containers[*container].entries;
                Segment::Item(items.iter().position(|item| *item == entry).unwrap_or(0))
            }
        }
    }

    /// The way from the root to an entry, itself included.
    fn path(&self, entry: usize) -> Vec<Segment> {
        let mut path = vec![self.segment(entry)];
        let mut at = self.containers[self.entries[entry].container].parent;
        while let Some(entry) = at {
            path.push(self.segment(entry));
            at = self.containers[self.entries[entry].container].parent;
        }
        path.reverse();
        path
    }

    fn container_path(&self, container: usize) -> Vec<Segment> {
        self.containers[container].parent.map_or_else(Vec::new, |entry| self.path(entry))
    }

    fn find(&self, path: &[Segment]) -> Option<usize> {
        let mut container = self.root()?;
        let (last, way) = path.split_last()?;
        let step = |container: usize, segment: &Segment| {
            let entries = &self.containers[container].entries;
            match segment {
                Segment::Item(index) => entries.get(*index).copied(),
                Segment::Key(name) => entries
                    .iter()
                    .copied()
                    .find(|entry| self.entries[*entry].key.as_ref().is_some_and(|key| key.text == *name)),
            }
        };
        for segment in way {
            container = self.entries[step(container, segment)?].child?;
        }
        step(container, last)
    }

    /// The key at a path.
    pub fn key(&self, path: &[Segment]) -> Option<&Word> {
        self.entries[self.find(path)?].key.as_ref()
    }

    /// The scalar at a path.
    pub fn value(&self, path: &[Segment]) -> Option<&Word> {
        self.entries[self.find(path)?].value.as_ref()
    }

    /// Keys of the map at a path, in the order written; an empty path is the root.
    pub fn keys(&self, path: &[Segment]) -> Vec<&Word> {
        let container = match path {
            [] => self.root(),
            path => self.find(path).and_then(|entry| self.entries[entry].child),
        };
        let entries = container.map_or(&[][..], |container| &self.containers[container].entries);
        entries
            .iter()
            .filter(|entry| !self.entries[**entry].loose)
            .filter_map(|entry| self.entries[*entry].key.as_ref())
            .collect()
    }

    /// The map or scalar at a path as JSON, as far as that needs no schema: numbers and booleans as YAML reads them.
    pub fn json(&self, path: &[Segment]) -> serde_json::Value {
        self.find(path).map_or(serde_json::Value::Null, |entry| self.entry_json(entry))
    }

    fn entry_json(&self, entry: usize) -> serde_json::Value {
        let Entry { value, child, .. } = &self.entries[entry];
        if let Some(child) = child {
            let Container { list, entries, .. } = &self.containers[*child];
            return if *list {
                entries.iter().map(|entry| self.entry_json(*entry)).collect()
            } else {
                let fields = entries.iter().filter_map(|entry| {
                    Some((self.entries[*entry].key.as_ref()?.text.clone(), self.entry_json(*entry)))
                });
                serde_json::Value::Object(fields.collect())
            };
        }
        match value {
            None => serde_json::Value::Null,
            Some(word) if word.quoted => word.text.as_str().into(),
            Some(word) => serde_yaml::from_str(&word.text).unwrap_or_else(|_| word.text.as_str().into()),
        }
    }
}

/// A path from keys alone.
pub(super) fn keys<const N: usize>(names: [&str; N]) -> Vec<Segment> {
    names.into_iter().map(|name| Segment::Key(name.to_owned())).collect()
}
