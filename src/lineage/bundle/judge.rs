//! Does a bundle prove what it is about?

use std::path::Path;

use super::{Bundle, Opened};
use crate::{
    digest::Digest,
    lineage::{
        Blobs, Case, Fault, FaultKind, Library, LineageError, Log, Node, Resource, TrustPolicy, Verification,
        verify_chains,
    },
};

/// What was found out about a bundle.
#[derive(Debug)]
pub struct Judgement {
    /// Faults and notes.
    pub found: Verification,
    /// The results that it is about, where it could be read.
    pub proven: Vec<Proven>,
    /// Names and ids of the keys that counted.
    pub keys: Vec<(String, String)>,
    /// They are those of the bundle's own policy.
    pub own_policy: bool,
    /// Members of the archive.
    pub members: usize,
}

/// A result that a bundle is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Name within the statement: port and file.
    pub name: String,
    /// The stage that made it.
    pub stage: String,
    /// SHA-256, in hex.
    pub sha256: String,
    /// Its bytes are in the bundle, and were hashed.
    pub hashed: bool,
}

/// Opens a bundle and judges it: by `policy`, or by its own. `asked` is a SHA-256 in hex that it has to be about instead of what its
/// index says. Errors are those of the file system; all else is a fault.
pub fn judge(
    path: &Path,
    policy: Option<&TrustPolicy>,
    asked: Option<&str>,
) -> Result<Judgement, LineageError> {
    let mut judged = Judgement {
        found: Verification::default(),
        proven: Vec::new(),
        keys: Vec::new(),
        own_policy: policy.is_none(),
        members: 0,
    };
    let bundle = match Bundle::open(path)? {
        Opened::Sound(bundle) => bundle,
        Opened::Faulty(faults) => {
            judged.found.faults = faults;
            return Ok(judged);
        }
    };
    judged.members = bundle.members();
    let own = match policy {
        Some(_) => None,
        None => match bundle.policy() {
            Ok(own) => own,
            Err(error @ LineageError::Io { .. }) => return Err(error),
            Err(error) => {
                judged.found.faults.push(fault(FaultKind::Malformed, "trust/policy.toml", &error));
                return Ok(judged);
            }
        },
    };
    let policy = policy.or(own.as_ref());
    let counts = policy.into_iter().flat_map(TrustPolicy::keys);
    judged.keys = counts.map(|(name, key)| (name.clone(), key.id.to_string())).collect();
    let library = bundle.library();
    let starts = match starts(&bundle, &library, asked) {
        Ok(starts) => starts,
        Err(fault) => {
            judged.found.faults.push(fault);
            return Ok(judged);
        }
    };
    let case = Case {
        blobs: &*bundle,
        log: Log::Proofs(&bundle.log),
        library: &library,
        policy,
        sources: None,
        bytes: bundle.has_bytes(),
    };
    judged.found = verify_chains(&case, &starts);
    if !bundle.has_bytes() {
        let note = "the artifacts' bytes are not in the bundle: the statements name them by digest, and none was hashed";
        judged.found.notes.push(note.to_owned());
    }
    for (node, sha256) in &starts {
        let meant = node.statement.subject.iter().filter(|one| match sha256 {
            Some(sha256) => one.sha256() == Some(sha256),
            None => one.to_artifact().is_some(),
        });
        judged.proven.extend(meant.map(|one| proven(&bundle, node, one)));
    }
    Ok(judged)
}

fn fault(kind: FaultKind, link: &str, what: impl std::fmt::Display) -> Fault {
    Fault { kind, link: link.to_owned(), what: what.to_string() }
}

/// The statements that a verification starts from, with the SHA-256 that is meant.
fn starts<'a>(
    bundle: &'a Bundle,
    library: &'a Library,
    asked: Option<&'a str>,
) -> Result<Vec<(&'a Node, Option<&'a str>)>, Fault> {
    if let Some(asked) = asked {
        let what = format!("nothing in it made sha256:{asked}");
        let node = library.maker(asked);
        return node
            .map(|node| vec![(node, Some(asked))])
            .ok_or_else(|| fault(FaultKind::Incomplete, "the bundle", what));
    }
    let subjects = &bundle.index.subject;
    if subjects.is_empty() {
        return Err(fault(FaultKind::Malformed, "index.json", "it names nothing that the bundle is about"));
    }
    let start = |one: &'a super::content::IndexSubject| {
        let what = |what: &str| {
            fault(
                FaultKind::Incomplete,
                "index.json",
                format!("the statement {} {what}", one.statement.short()),
            )
        };
        let node = library.blob(&one.statement.hex()).filter(|node| node.digest == one.statement);
        let node = node.ok_or_else(|| what("that it is about is not in the bundle, or can't be read"))?;
        match one.sha256.as_deref() {
            Some(sha256) if !node.is_about(sha256) => Err(what(&format!("is not about sha256:{sha256}"))),
            sha256 => Ok((node, sha256)),
        }
    };
    subjects.iter().map(start).collect()
}

fn proven(bundle: &Bundle, node: &Node, one: &Resource) -> Proven {
    let digest = one.to_artifact().map(|artifact| artifact.digest);
    let sha256 = one.sha256().unwrap_or_default().to_owned();
    let hashed = match &digest {
        Some(digest) => bundle.hash_again(digest).is_ok_and(|found: Digest| found == *digest),
        None => bundle.has(&sha256),
    };
    Proven { name: one.name.clone(), stage: node.stage().unwrap_or("?").to_owned(), sha256, hashed }
}
