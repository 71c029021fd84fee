//! Evidence that was tampered with, in every way that one file can be.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path, sync::OnceLock};

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use stagewright::{
    config::{Config, Environment},
    digest::Digest,
    lineage::{
        self, Algorithm, Case, Entry, Envelope, FOLDER, FaultKind, IN_TOTO, Kind, Ledger, Log, PrivateKey,
        Revocation, Signing, Statement, TrustPolicy, Verification, WorkTree,
    },
    store::LocalStore,
};

use crate::{
    evidence::Signed,
    project::{ActionExt, metric, plan, stage, step, write},
};

/// Data, two stages one after the other, a third with gates.
fn chain() -> Signed {
    let signed = Signed::new(Algorithm::EcdsaP256);
    signed.project.write("data/cat/1.png", "one");
    signed.project.write("data/dog/2.png", "two");
    let gate = json!({"step": "gate", "name": "sane", "status": "passed", "reason": "it is"});
    signed.run(vec![
        stage("prepare", vec![step("concatenate")]).reads_path("data"),
        stage("train", vec![metric("top1", 90.0), step("concatenate")]).reads("prepare"),
        stage("check", vec![gate, write("report")]).reads("train"),
    ]);
    signed
}

fn verify_in(root: &Path, target: Option<&str>) -> Verification {
    let config = Config::load(root, &Environment::default()).unwrap();
    let store = LocalStore::open(&config.store_dir).unwrap();
    let policy = TrustPolicy::load(&root.join(FOLDER)).unwrap();
    let ledger = match Ledger::load(&config.state_dir) {
        Ok(ledger) => ledger,
        // As the command does: an unreadable ledger ends it with an error, which is as loud as a fault.
        Err(_) => return broken(),
    };
    let library = lineage::Library::load(&ledger, &store);
    let case = Case {
        blobs: &store,
        log: Log::Ledger(&ledger),
        library: &library,
        policy: policy.as_ref(),
        sources: Some(WorkTree { root: &config.root, store: &store }),
        bytes: true,
    };
    match target.map(|target| library.find(target, root, &store)) {
        None => lineage::verify_all(&case),
        Some(Ok((node, hash))) => lineage::verify_chain(&case, node, hash.as_deref()),
        Some(Err(_)) => broken(),
    }
}

fn broken() -> Verification {
    let fault = lineage::Fault { kind: FaultKind::Incomplete, link: String::new(), what: String::new() };
    Verification { faults: vec![fault], ..Verification::default() }
}

fn verify(signed: &Signed, target: &str) -> Verification {
    verify_in(&signed.project.path("."), Some(target))
}

fn kinds(found: &Verification) -> BTreeSet<FaultKind> {
    found.faults.iter().map(|fault| fault.kind).collect()
}

#[test]
fn an_untouched_chain_holds() {
    let signed = chain();
    for target in ["prepare", "train", "check"] {
        let found = verify(&signed, target);
        assert_eq!(found.faults, [], "{target}");
    }
    let found = verify(&signed, "check");
    assert_eq!((found.gates, found.notes.len()), (1, 0));
    assert!(found.statements >= 5 && found.files >= 5, "{found:?}");
    // A deployed copy, under any name and anywhere, finds its statement.
    let made = fs::read(signed.project.path("data/cat/1.png")).unwrap();
    assert_eq!(made, b"one");
    let blob = signed.evidence()[2].statement.subject[0].sha256().unwrap().to_owned();
    assert_eq!(verify(&signed, &blob[..16]).faults, []);
    assert_eq!(verify_in(&signed.project.path("."), None).faults, []);
}

/// The untouched chain, made once; each case works on a copy.
fn pristine() -> &'static Signed {
    static CHAIN: OnceLock<Signed> = OnceLock::new();
    CHAIN.get_or_init(chain)
}

fn copied() -> (tempfile::TempDir, Vec<Entry>) {
    let to = tempfile::tempdir().unwrap();
    let from = pristine().project.path(".");
    for item in walkdir::WalkDir::new(&from).into_iter().map(Result::unwrap) {
        let place = to.path().join(item.path().strip_prefix(&from).unwrap());
        if item.file_type().is_dir() {
            fs::create_dir_all(&place).unwrap();
        } else {
            fs::copy(item.path(), &place).unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
    let entries = Ledger::load(&to.path().join(".stagewright")).unwrap().entries().to_vec();
    (to, entries)
}

fn blob(root: &Path, digest: &Digest) -> std::path::PathBuf {
    LocalStore::open(&root.join(".stagewright/store")).unwrap().blob_path(digest)
}

fn write_ledger(root: &Path, entries: &[Entry]) {
    let lines: Vec<String> =
        entries.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
    fs::write(root.join(".stagewright/lineage-v1/ledger.jsonl"), lines.concat()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_flipped_bit_of_a_statement_or_an_output_is_found(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (folder, entries) = copied();
        let store = LocalStore::open(&folder.path().join(".stagewright/store")).unwrap();
        let mut files: Vec<_> = entries.iter().map(|entry| store.blob_path(&entry.statement)).collect();
        let all = pristine().evidence();
        let outputs = all.iter().filter(|one| one.entry.kind == Kind::Stage).flat_map(|one| &one.statement.subject);
        files.extend(outputs.filter_map(|one| Some(store.blob_path(&one.to_artifact()?.digest))));
        files.push(folder.path().join("data/cat/1.png"));
        let file = which.get(&files);
        let mut bytes = fs::read(file).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        fs::write(file, bytes).unwrap();
        let found = verify_in(folder.path(), Some("check"));
        prop_assert!(found.gravest().is_some(), "{}", file.display());
    }

    #[test]
    fn a_dropped_swapped_or_moved_statement_is_found(a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), how in 0u8..4) {
        let (folder, mut entries) = copied();
        let (a, b) = (a.index(entries.len()), b.index(entries.len()));
        prop_assume!(how < 2 || a != b);
        match how {
            // Its bytes are gone.
            0 => fs::remove_file(blob(folder.path(), &entries[a].statement)).unwrap(),
            // The ledger never knew it.
            1 => drop(entries.remove(a)),
            // One stands where the other was.
            2 => {
                let (one, other) = (blob(folder.path(), &entries[a].statement), blob(folder.path(), &entries[b].statement));
                fs::copy(other, one).map(drop).unwrap();
            }
            _ => entries.swap(a, b),
        }
        write_ledger(folder.path(), &entries);
        let found = verify_in(folder.path(), Some("check"));
        prop_assert!(found.gravest().is_some(), "{how} {a} {b}");
        prop_assert!(verify_in(folder.path(), None).gravest().is_some(), "{how} {a} {b}");
    }

    #[test]
    fn a_statement_signed_again_by_somebody_else_is_found(which in any::<prop::sample::Index>(), lies in any::<bool>()) {
        let (folder, mut entries) = copied();
        let which = which.index(entries.len());
        let path = blob(folder.path(), &entries[which].statement);
        let mut payload = Envelope::decode("it", &fs::read(path).unwrap()).unwrap().payload();
        if lies {
            let mut statement: Statement = serde_json::from_slice(&payload).unwrap();
            statement.subject[0].name.push('!');
            payload = serde_json::to_vec(&statement).unwrap();
        }
        let eve = Signing::with_key("eve", PrivateKey::generate(Algorithm::Ed25519)).unwrap();
        let bytes = eve.seal(IN_TOTO, &payload).unwrap().encode().unwrap();
        let store = LocalStore::open(&folder.path().join(".stagewright/store")).unwrap();
        store.put(&bytes).unwrap();
        let Entry { kind, run, subjects, .. } = entries[which].clone();
        entries[which] = Entry::new(&bytes, kind, run, subjects);
        write_ledger(folder.path(), &entries);
        // Even where the ledger's checkpoints are signed again as well, by the same stranger.
        fs::remove_file(folder.path().join(".stagewright/lineage-v1/checkpoints.jsonl")).unwrap();
        Ledger::load(&folder.path().join(".stagewright")).unwrap().checkpoint(&eve).unwrap();
        let found = verify_in(folder.path(), Some("check"));
        prop_assert!(kinds(&found).contains(&FaultKind::Untrusted), "{:?}", found.faults);
    }
}

#[test]
fn each_fault_has_its_kind_and_names_the_link() {
    let signed = chain();
    let told = |found: &Verification| {
        let fault = found.faults.iter().min_by_key(|fault| fault.kind).unwrap();
        (fault.kind, fault.link.clone(), fault.what.clone())
    };
    let all = signed.evidence();
    let output = all.iter().find(|one| one.entry.kind == Kind::Stage).unwrap().statement.subject[0]
        .to_artifact()
        .unwrap();
    let path = signed.project.store.blob_path(&output.digest);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let (kind, link, _) = told(&verify(&signed, "check"));
    assert!(kind == FaultKind::Missing && link.starts_with("stage `prepare`"), "{kind} {link}");
    fs::write(&path, "other").unwrap();
    let (kind, link, what) = told(&verify(&signed, "check"));
    assert!(
        kind == FaultKind::Bytes && link.starts_with("stage `prepare`") && what.contains("out/out.txt"),
        "{what}"
    );
    fs::write(&path, bytes).unwrap();

    signed.project.write("data/dog/2.png", "too");
    let (kind, link, what) = told(&verify(&signed, "check"));
    assert!(
        kind == FaultKind::Source && link.starts_with("stage `prepare`") && what.contains("dog/2.png"),
        "{what}"
    );
    signed.project.write("data/dog/2.png", "two");

    let revoke = |keep_before: Option<Timestamp>| {
        let mut policy = signed.policy();
        let at = Timestamp::now();
        policy.revoke("ada", Revocation { at, reason: "leaked".to_owned(), keep_before }).unwrap();
        policy.save().unwrap();
    };
    revoke(Some(Timestamp::now()));
    assert_eq!(verify(&signed, "check").faults, [], "what a replaced key signed stays valid");
    revoke(None);
    let (kind, _, what) = told(&verify(&signed, "check"));
    assert!(kind == FaultKind::Untrusted && what.contains("`ada` is revoked (leaked)"), "{what}");
    fs::remove_dir_all(signed.project.path(FOLDER)).unwrap();
    assert_eq!(told(&verify(&signed, "check")).0, FaultKind::Untrusted);
}

#[test]
fn a_failed_gate_and_a_missing_signature_are_faults_of_their_own() {
    let signed = chain();
    let gate = json!({"step": "gate", "name": "fast", "status": "failed", "reason": "3 ms is more than 2"});
    let actions = || vec![stage("slow", vec![gate.clone(), write("x")])];
    signed.run(actions());
    let found = verify(&signed, "slow");
    assert_eq!(kinds(&found), BTreeSet::from([FaultKind::Gate]));
    assert_eq!(found.faults[0].what, "gate `fast` of stage `slow` failed: 3 ms is more than 2");
    assert_eq!(verify(&signed, "check").faults, [], "another run's gate is not its business");

    signed.project.run_with(plan(vec![stage("bare", vec![write("y")])]), &crate::project::options()).unwrap();
    assert_eq!(kinds(&verify(&signed, "bare")), BTreeSet::from([FaultKind::Unsigned]));
}

#[test]
fn a_ledger_that_was_cut_back_is_betrayed_by_a_kept_checkpoint() {
    let signed = chain();
    let state = signed.project.config.state_dir.join("lineage-v1");
    let before = ["ledger.jsonl", "checkpoints.jsonl"].map(|name| fs::read(state.join(name)).unwrap());
    signed.run(vec![stage("later", vec![write("z")])]);
    let kept = Ledger::load(&signed.project.config.state_dir).unwrap().checkpoints().unwrap().pop().unwrap();
    let since = || {
        let (config, store) = (&signed.project.config, &signed.project.store);
        let (ledger, library) = lineage::open(config, store).unwrap();
        let policy = signed.policy();
        let case = Case {
            blobs: store,
            log: Log::Ledger(&ledger),
            library: &library,
            policy: Some(&policy),
            sources: Some(WorkTree { root: &config.root, store }),
            bytes: true,
        };
        let mut found = lineage::verify_all(&case);
        lineage::verify_since(&case, &ledger, &kept, &mut found);
        kinds(&found)
    };
    assert_eq!(since(), BTreeSet::new());
    signed.run(vec![stage("later", vec![write("more")])]);
    assert_eq!(since(), BTreeSet::new(), "a ledger that grew is a continuation");
    for (name, bytes) in ["ledger.jsonl", "checkpoints.jsonl"].iter().zip(before) {
        fs::write(state.join(name), bytes).unwrap();
    }
    assert_eq!(since(), BTreeSet::from([FaultKind::Ledger]));
}

#[test]
fn what_descends_from_an_image_is_named() {
    let signed = chain();
    signed.project.write("other.txt", "else");
    let run = signed.run(vec![stage("apart", vec![step("concatenate")]).reads_path("other.txt")]).summary.run;
    let (_, library) = lineage::open(&signed.project.config, &signed.project.store).unwrap();
    let impact = lineage::impact(&library, &Digest::of(b"two").hex(), &signed.project.store);
    let found: Vec<_> =
        impact.found.iter().map(|(node, path)| (node.stage().unwrap(), path.as_str())).collect();
    assert_eq!(found, [("prepare", "data/dog/2.png")]);
    let names: Vec<_> = impact.descends.iter().map(|node| node.stage().unwrap()).collect();
    assert_eq!(names, ["prepare", "train", "check"]);
    assert!(impact.runs.len() == 1 && !impact.runs.contains(&run));
    let nothing = lineage::impact(&library, &Digest::of(b"three").hex(), &signed.project.store);
    assert!(nothing.found.is_empty() && nothing.descends.is_empty() && nothing.untold.is_empty());
}
