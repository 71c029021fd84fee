//! A flag that says: stop. Set once, seen by everyone who waits for it.

use tokio::sync::watch;

/// Sets the flag; so does a clone.
#[derive(Debug, Clone)]
pub struct Canceller(watch::Sender<bool>);

/// Sees the flag. Clones see the same one.
#[derive(Debug, Clone)]
pub struct Cancel(Option<watch::Receiver<bool>>);

impl Canceller {
    /// A new flag, not set.
    pub fn new() -> (Self, Cancel) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Cancel(Some(receiver)))
    }

    /// Sets the flag, for good.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// A flag that nobody can set.
    pub fn never() -> Self {
        Self(None)
    }

    /// True once the flag is set.
    pub fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|receiver| *receiver.borrow())
    }

    /// Returns when the flag is set; never if nobody can set it any more.
    pub async fn cancelled(&self) {
        if let Some(receiver) = &self.0
            && receiver.clone().wait_for(|set| *set).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::never()
    }
}
