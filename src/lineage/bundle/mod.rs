//! A bundle: everything that proves a result, in one archive that needs nothing else.
//!
//! ```text
//! pack    project → Package → archive     statements, proofs of the ledger, public keys and policy, bytes, an index
//! open    archive → Bundle                every byte held against the index, and the archive against its only spelling
//! judge   Bundle → Verification           as a project is verified, with the proofs instead of the ledger
//! ```
//!
//! A reader believes nothing of what it finds: names are compared with a grammar and never used as paths, sizes with the length of
//! the file, contents with the index, the index with its only spelling. So every flipped bit is found. What somebody changed who
//! also wrote a new index is found by the signatures, the digests within the statements, and the proofs. Nothing is unpacked.

mod archive;
mod content;
mod judge;
mod open;
mod pack;

use content::MemberName;
pub(super) use content::hashes;
pub use content::{LogProofs, ProvenEntry, ProvenHead};
pub use judge::{Judgement, Proven, judge};
pub use open::{Bundle, Opened};
pub use pack::{Evidence, Package, pack};
