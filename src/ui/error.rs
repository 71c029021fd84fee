//! Why the pages can't be served.

use crate::store::StoreError;

/// Why the pages can't be served.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    /// Somebody else listens there.
    #[error("port {port} of 127.0.0.1 is in use")]
    InUse {
        /// The port.
        port: u16,
    },
    /// The system refused.
    #[error("cannot listen on port {port} of 127.0.0.1: {source}")]
    Listen {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}
