//! Changes of a page while somebody looks at it, as server-sent events.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{sync::mpsc::Sender, task::spawn_blocking, time::timeout};

use super::pages::Pages;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// A look that takes long is followed by a pause of so many times that: nobody's machine is kept busy by a page.
const REST: u32 = 10;
/// So often something is said, so that a connection which has broken shows.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// These elements of the page, by their ids. `place` is where to go on from after a break.
    Pieces {
        /// How far the log was read.
        place: u64,
        /// Ids and elements.
        pieces: Vec<(String, String)>,
    },
    /// More than elements can tell: the page is to be read anew.
    Whole,
    /// The page will not change any more, and is to be read a last time.
    End,
}

impl Change {
    /// As <https://html.spec.whatwg.org/multipage/server-sent-events.html> wants it.
    fn encode(&self) -> Bytes {
        match self {
            Self::Pieces { place, pieces } => {
                // JSON has no line breaks of its own, and texts can always be written.
                let pieces = serde_json::to_string(pieces).unwrap_or_else(|_| "[]".to_owned());
                format!("event: pieces\nid: {place}\ndata: {pieces}\n\n").into()
            }
            Self::Whole => Bytes::from_static(b"event: whole\ndata:\n\n"),
            Self::End => Bytes::from_static(b"event: end\ndata:\n\n"),
        }
    }
}

/// Something that changes.
pub(super) trait Watch: Send + 'static {
    /// What has changed since the last look. Nothing is said twice.
    fn look(&mut self, pages: &Pages) -> Vec<Change>;
}

/// Tells every change until the end of what is watched, or until nobody listens any more.
pub(super) async fn tell<W: Watch>(mut watch: W, pages: Arc<Pages>, listener: Sender<Bytes>) {
    // At once, so that the browser knows that it is connected.
    if listener.send(Bytes::from_static(b"retry: 2000\n\n")).await.is_err() {
        return;
    }
    let mut said = Instant::now();
    loop {
        let began = Instant::now();
        let pages = Arc::clone(&pages);
        let looked = spawn_blocking(move || {
            let changes = watch.look(&pages);
            (watch, changes)
        });
        let Ok((back, changes)) = looked.await else { return };
        watch = back;
        let took = began.elapsed();
        let over = changes.contains(&Change::End);
        let mut lines: Vec<Bytes> = changes.iter().map(Change::encode).collect();
        if lines.is_empty() && said.elapsed() > SIGN_OF_LIFE {
            lines.push(Bytes::from_static(b":\n\n"));
        }
        for line in lines {
            if listener.send(line).await.is_err() {
                return;
            }
            said = Instant::now();
        }
        if over || timeout(PAUSE.max(took * REST), listener.closed()).await.is_ok() {
            return;
        }
    }
}
