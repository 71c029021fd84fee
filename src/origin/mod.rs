//! Where imported data comes from: asked what it has now, and brought.
//!
//! ```text
//! http(s)://…   ETag, else Content-MD5 or Last-Modified
//! s3://…        ETag
//! a path        MD5, of a folder that of its listing, as in pointer files
//! ```
//!
//! What is brought is written into a folder that is nobody's work tree, and is whole or an error.

mod error;
mod http;
mod place;
mod s3;

pub use error::OriginError;
pub use place::{Origin, Seen};
