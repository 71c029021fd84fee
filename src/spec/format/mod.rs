//! The canonical form of a pipeline file: order of keys, words, quotes, indentation. Comments and blank lines stay, and so
//! does the meaning, which is compared before anything is given back.
//!
//! - Keys of the language stand in the order of the language; the user's own (stages, params, ports, axes, `x-` keys) in
//!   theirs.
//! - Of two words for one thing the canonical one is written: `matrix`, `cpus`, `gpus`, `cmd`.
//! - Texts have quotes only where they need them. Numbers are left as they are.
//! - Two spaces indent; lists stand one step in. What is written in braces stays so while it fits on a line.

mod meaning;
mod order;
mod print;
mod read;
mod scalar;
#[cfg(test)]
mod tests;

use super::{
    diagnostic::{Diagnostic, LineIndex},
    pipeline::{self, Role},
    tree,
    types::PipelineSpec,
};

/// Columns that a line with braces may have.
const WIDTH: usize = 110;

/// Why a file is left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It has errors.
    #[error("it has {} error(s)", .0.len())]
    Invalid(Vec<Diagnostic>),
    /// It uses something of YAML that has no canonical form.
    #[error("line {line} holds {what}")]
    Unsupported {
        /// What it is.
        what: &'static str,
        /// Line, from 1.
        line: usize,
    },
    /// The result would not mean the same, which is a defect of this program.
    #[error("its canonical form would not mean the same; this is a defect of stagewright")]
    Unsafe,
}

/// The canonical form of a pipeline file, or of one that a pipeline includes.
pub fn format(text: &str) -> Result<String, FormatError> {
    let before = well_formed(text)?;
    if let Some(at) = lone_return(text) {
        let line = text[..at].matches('\n').count() + 1;
        return Err(FormatError::Unsupported {
            what: "a carriage return that is not followed by a line feed",
            line,
        });
    }
    let document = read::read(text)?;
    let formatted = print::print(&document);
    let after = well_formed(&formatted).map_err(|_| FormatError::Unsafe)?;
    let same = meaning::meaning(&before) == meaning::meaning(&after)
        && read::comments(text).is_ok_and(|old| read::comments(&formatted).is_ok_and(|new| old == new));
    if same { Ok(formatted) } else { Err(FormatError::Unsafe) }
}

/// Where a carriage return alone ends a line: YAML takes it for one, and editors show it as all sorts of things.
fn lone_return(text: &str) -> Option<usize> {
    text.match_indices('\r').map(|(at, _)| at).find(|at| !text[at + 1..].starts_with('\n'))
}

/// The tree of a file without errors of form.
fn well_formed(text: &str) -> Result<tree::Node, FormatError> {
    let mut findings = Vec::new();
    let root = tree::parse(text, &LineIndex::new(text), &mut findings);
    let errors = |findings: Vec<Diagnostic>| -> Vec<Diagnostic> {
        findings.into_iter().filter(Diagnostic::is_error).collect()
    };
    let Some(root) = root else {
        let mut errors = errors(findings);
        if errors.is_empty() {
            errors.push(pipeline::empty(0));
        }
        return Err(FormatError::Invalid(errors));
    };
    let as_role = |role| {
        let mut found = findings.clone();
        pipeline::read(&mut PipelineSpec::default(), &root, role, &mut found);
        errors(found)
    };
    let wrong = as_role(Role::Pipeline);
    if wrong.is_empty() || as_role(Role::Included).is_empty() {
        Ok(root)
    } else {
        Err(FormatError::Invalid(wrong))
    }
}
