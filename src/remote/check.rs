//! What works with a remote and what does not, by trying.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Key, RemoteError, Session,
    objects::{Put, When},
    session::random,
};

/// Clocks that differ by more than this many seconds are worth a word; S3 refuses at 900.
const SKEW: u64 = 60;

/// How one trial went.
#[derive(Debug)]
pub enum Verdict {
    /// It works.
    Works(String),
    /// It does not work, and nothing depends on it.
    Lacks(String),
    /// It does not work, and has to.
    Fails(RemoteError),
    /// Something is not as it should be.
    Wrong(String),
}

/// One trial.
#[derive(Debug)]
pub struct Probe {
    /// What was tried.
    pub what: &'static str,
    /// How it went.
    pub verdict: Verdict,
}

impl Session {
    /// Tries what a remote has to do, from reading to an upload in parts, and takes away what it wrote. Ends at the first thing that
    /// has to work and does not.
    pub async fn check(self: &Arc<Self>, write: bool) -> Vec<Probe> {
        let mut probes = Vec::new();
        // The first failure ends the list, and is its last line.
        let _ = self.try_all(write, &mut probes).await;
        probes
    }

    async fn try_all(self: &Arc<Self>, write: bool, probes: &mut Vec<Probe>) -> Result<(), ()> {
        let prefix = format!("stagewright-check/{:016x}/", random());
        let listed = self.ask(0, |objects| objects.list(&prefix, None)).await;
        note(probes, "access", listed, |_| "objects can be listed".to_owned())?;
        self.clock(probes);
        let format = self.check_format().await;
        note(probes, "format", format, |known| {
            if known { "a Stagewright remote of this format" } else { "nothing of Stagewright's yet" }
                .to_owned()
        })?;
        if !write {
            probes.push(Probe {
                what: "write",
                verdict: Verdict::Lacks("not tried: the remote is set to be read only".to_owned()),
            });
            return Ok(());
        }
        let (small, large) = (Key::ours(format!("{prefix}small")), Key::ours(format!("{prefix}large")));
        let done = self.try_writing(probes, &small, &large).await;
        let removed = async {
            self.ask(0, |objects| objects.delete(&small)).await?;
            self.ask(0, |objects| objects.delete(&large)).await
        };
        let removed = removed.await;
        done?;
        note(probes, "delete", removed, |()| "what was written for this check is gone again".to_owned())
    }

    fn clock(&self, probes: &mut Vec<Probe>) {
        let Some(ahead) = self.objects().clock_ahead() else { return };
        let seconds = ahead.unsigned_abs();
        let verdict = if seconds <= SKEW {
            Verdict::Works("this machine's and the server's agree".to_owned())
        } else {
            let which = if ahead > 0 { "behind" } else { "ahead of" };
            Verdict::Wrong(format!(
                "this machine's is {seconds} s {which} the server's; at 900 s requests are refused"
            ))
        };
        probes.push(Probe { what: "clock", verdict });
    }

    async fn try_writing(&self, probes: &mut Vec<Probe>, small: &Key, large: &Key) -> Result<(), ()> {
        let text = Bytes::from_static(b"Written by `stagewright remote check`; it can be deleted.\n");
        let put = self.ask(0, |objects| objects.put(small, text.clone(), When::Always)).await;
        note(probes, "write", put, |_| "an object can be written".to_owned())?;
        let whole = self.ask(0, |objects| objects.get(small, None)).await;
        note(probes, "read", self.same(whole, &text), |()| "what was written comes back".to_owned())?;
        let range = self.ask(0, |objects| objects.get(small, Some(8..10))).await;
        note(probes, "range", self.same(range, &text[8..10]), |()| {
            "a piece of an object can be read".to_owned()
        })?;
        let again =
            self.ask(0, |objects| objects.put(small, Bytes::from_static(b"other"), When::Absent)).await;
        let verdict = match again {
            Ok(Put::Existed) => Verdict::Works("an object is not overwritten when that is the condition".to_owned()),
            Ok(Put::Written) => Verdict::Lacks(
                "the server overwrites all the same; nothing here depends on it, two pushers of one result only do the work twice"
                    .to_owned(),
            ),
            Err(RemoteError::Refused { reason, .. }) => Verdict::Lacks(format!("the server does not know them ({reason})")),
            Err(error) => Verdict::Fails(error),
        };
        let failed = matches!(verdict, Verdict::Fails(_));
        probes.push(Probe { what: "conditional writes", verdict });
        if failed {
            return Err(());
        }
        let parts = self.try_parts(large).await;
        note(probes, "parts", parts, |()| "a large object can be sent in parts".to_owned())
    }

    async fn try_parts(&self, key: &Key) -> Result<(), RemoteError> {
        let (first, last) = (Bytes::from(vec![1; 5 << 20]), Bytes::from_static(b"end"));
        let dropped = self.ask(0, |objects| objects.begin(key)).await?;
        self.ask(0, |objects| objects.abort(key, &dropped)).await?;
        let upload = self.ask(0, |objects| objects.begin(key)).await?;
        let size = first.len() as u64;
        let mut parts = Vec::new();
        for (number, offset, body) in [(1, 0, first), (2, size, last)] {
            let put = self.ask(body.len() as u64, |objects| {
                objects.put_part(key, &upload, number, offset, body.clone())
            });
            parts.push(put.await?);
        }
        self.ask(0, |objects| objects.complete(key, &upload, &parts)).await?;
        let end = self.ask(0, |objects| objects.get(key, Some(size..size + 3))).await;
        self.same(end, b"end")
    }

    fn same(&self, got: Result<Bytes, RemoteError>, wanted: &[u8]) -> Result<(), RemoteError> {
        if got?[..] == *wanted {
            return Ok(());
        }
        Err(RemoteError::Refused {
            place: self.place(),
            action: "read back what was written".to_owned(),
            reason: "other bytes came".to_owned(),
        })
    }
}

fn note<T>(
    probes: &mut Vec<Probe>,
    what: &'static str,
    done: Result<T, RemoteError>,
    say: impl FnOnce(T) -> String,
) -> Result<(), ()> {
    match done {
        Ok(found) => {
            probes.push(Probe { what, verdict: Verdict::Works(say(found)) });
            Ok(())
        }
        Err(error) => {
            probes.push(Probe { what, verdict: Verdict::Fails(error) });
            Err(())
        }
    }
}
