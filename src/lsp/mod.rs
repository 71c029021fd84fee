//! A language server for pipeline files: findings as one types, completion, hover, go to definition.
//!
//! Findings are those of `check`, made from the text in the editor. Completion, hover and definition go by an outline that
//! survives any text, so they work in a file that is half-written. Only full texts are exchanged: pipelines are small.

mod analysis;
mod completion;
mod definition;
mod diagnostics;
mod hover;
mod knowledge;
mod outline;
mod prose;
mod reference;
mod schema;
mod server;
#[cfg(test)]
mod tests;
mod text;

pub use server::{LspError, serve};
