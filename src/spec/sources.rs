//! The files a pipeline is written in. A place is an offset into all of them one after the other, so one range says both
//! which file and where.

use std::ops::Range;

use super::diagnostic::{Diagnostic, LineIndex};

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    name: String,
    text: String,
    base: usize,
    lines: LineIndex,
}

/// All files of a pipeline, the pipeline file itself first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// A place in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<'a> {
    /// The file.
    pub file: &'a SourceFile,
    /// Byte range in its text.
    pub range: Range<usize>,
}

impl SourceFile {
    /// Path as messages call it, relative to the project root.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its lines.
    pub fn lines(&self) -> &LineIndex {
        &self.lines
    }

    /// Where its first byte stands among all files.
    pub fn base(&self) -> usize {
        self.base
    }

    /// Line and column, both from 1, of an offset into the text; columns count characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.line(offset);
        let start = self.lines.start_of(line);
        let before = self.text.get(start..offset.max(start)).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

impl Sources {
    /// A pipeline in one file.
    pub fn single(name: &str, text: &str) -> Self {
        let mut sources = Self::default();
        sources.add(name, text);
        sources
    }

    /// Adds a file; gives where its first byte stands.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> usize {
        // One byte apart, so that the end of a file is not the start of the next.
        let base = self.files.last().map_or(0, |last| last.base + last.text.len() + 1);
        let (name, text, lines) = (name.to_owned(), text.to_owned(), LineIndex::new(text));
        self.files.push(SourceFile { name, text, base, lines });
        base
    }

    /// The files, the pipeline file itself first.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// A file by its name.
    pub fn file(&self, name: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// File and range in it of a place; none only where there are no files.
    pub fn locate(&self, span: &Range<usize>) -> Option<Located<'_>> {
        let index = self.files.partition_point(|file| file.base <= span.start).checked_sub(1)?;
        let file = self.files.get(index)?;
        let start = (span.start - file.base).min(file.text.len());
        let end = span.end.saturating_sub(file.base).clamp(start, file.text.len());
        Some(Located { file, range: start..end })
    }

    /// Line, from 1, of a place in its file.
    pub fn line(&self, offset: usize) -> usize {
        self.locate(&(offset..offset)).map_or(1, |located| located.file.lines.line(located.range.start))
    }

    /// A finding as one about a single file (its index), with places in that file's text: for formats that know no more. What
    /// is in other files goes into the hint.
    pub fn in_one_file(&self, diagnostic: &Diagnostic) -> (usize, Diagnostic) {
        let located =
            diagnostic.labels.iter().filter_map(|(span, remark)| Some((self.locate(span)?, remark)));
        let mut own: Option<&SourceFile> = None;
        let mut found = Diagnostic { labels: Vec::new(), ..diagnostic.clone() };
        for (Located { file, range }, remark) in located {
            if own.get_or_insert(file).base == file.base {
                found.labels.push((range, remark.clone()));
            } else {
                let (line, column) = file.position(range.start);
                let separator = if remark.is_empty() { "" } else { ": " };
                found.also(&format!("{remark}{separator}{}:{line}:{column}", file.name));
            }
        }
        let index = own.and_then(|own| self.files.iter().position(|file| file.base == own.base));
        (index.unwrap_or(0), found)
    }

    /// Compact text form of a finding, for logs and pipes:
    ///
    /// ```text
    /// pipeline.yaml:3:5: error[spec::unknown-key]: unknown key `useing` in stage `a`
    ///   3 |     useing: train
    ///     |     ^^^^^^ did you mean `uses`?
    ///   help: …
    /// ```
    pub fn render(&self, diagnostic: &Diagnostic) -> String {
        let Diagnostic { code, message, hint, labels, severity } = diagnostic;
        let located: Vec<_> =
            labels.iter().filter_map(|(span, remark)| Some((self.locate(span)?, remark))).collect();
        let mut shown = located.first().map(|(place, _)| place.file).or(self.files.first());
        let mut out = String::new();
        match (located.first(), shown) {
            (Some((place, _)), Some(file)) => {
                let (line, column) = file.position(place.range.start);
                out.push_str(&format!("{}:{line}:{column}: ", file.name));
            }
            (None, Some(file)) => out.push_str(&format!("{}: ", file.name)),
            (_, None) => {}
        }
        out.push_str(&format!("{severity}[{code}]: {message}\n"));
        let width = located
            .iter()
            .map(|(place, _)| place.file.lines.line(place.range.start).to_string().len())
            .max()
            .unwrap_or_default();
        for (Located { file, range }, remark) in located {
            if shown != Some(file) {
                let (line, column) = file.position(range.start);
                out.push_str(&format!("  {:>width$}--> {}:{line}:{column}\n", "", file.name));
                shown = Some(file);
            }
            let line = file.lines.line(range.start);
            let start = file.lines.start_of(line);
            let source = file.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
            let indent = file.text.get(start..range.start.max(start)).unwrap_or_default();
            let length = file
                .text
                .get(range.clone())
                .map_or(1, |covered| covered.lines().next().unwrap_or_default().chars().count())
                .clamp(1, source.chars().count().saturating_sub(indent.chars().count()).max(1));
            // Tabs keep their place, so that the carets stand below what they mean.
            let indent: String = indent.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            out.push_str(&format!("  {line:>width$} | {source}\n"));
            let under = format!("  {:>width$} | {indent}{} {remark}", "", "^".repeat(length));
            out.push_str(under.trim_end());
            out.push('\n');
        }
        if let Some(hint) = hint {
            out.push_str(&format!("  help: {}\n", hint.replace('\n', "\n        ")));
        }
        out
    }
}
