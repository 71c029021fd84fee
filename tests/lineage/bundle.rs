//! Bundles: what is packed, and what becomes of one that somebody touched.

use std::{fs, path::Path, sync::OnceLock};

use proptest::prelude::*;
use serde_json::{Value, json};
use stagewright::{
    digest::Digest,
    lineage::{
        self, Algorithm, FOLDER, FaultKind, IN_TOTO, PrivateKey, Signing, Statement, TrustPolicy,
        bundle::{self, Evidence, Judgement},
        export::Subject,
    },
};

use crate::{
    evidence::Signed,
    project::{ActionExt, metric, stage, step, write},
};

/// A chain of three stages, packed; a later run follows in the ledger.
fn made() -> &'static (Signed, Vec<u8>) {
    static MADE: OnceLock<(Signed, Vec<u8>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let signed = Signed::new(Algorithm::EcdsaP256);
        signed.project.write("data/cat/1.png", "one");
        signed.run(vec![stage("before", vec![write("b")])]);
        let gate = json!({"step": "gate", "name": "sane", "status": "passed", "reason": "it is"});
        signed.run(vec![
            stage("prepare", vec![step("concatenate")]).reads_path("data"),
            stage("train", vec![metric("top1", 90.0), step("concatenate")]).reads("prepare"),
            stage("check", vec![gate, write("report")]).reads("train"),
        ]);
        let bytes = pack(&signed, true);
        (signed, bytes)
    })
}

fn pack(signed: &Signed, bytes: bool) -> Vec<u8> {
    let (ledger, library) = lineage::open(&signed.project.config, &signed.project.store).unwrap();
    let (policy, node) = (signed.policy(), library.stage("check").unwrap());
    let from =
        Evidence { ledger: &ledger, library: &library, store: &signed.project.store, policy: Some(&policy) };
    let package = bundle::pack(&from, &[Subject { node, sha256: None }], bytes).unwrap();
    let mut out = Vec::new();
    package.write(Path::new("it"), &mut out).unwrap();
    out
}

fn judge(bytes: &[u8]) -> Judgement {
    judge_by(bytes, None)
}

fn judge_by(bytes: &[u8], policy: Option<&TrustPolicy>) -> Judgement {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.tar");
    fs::write(&path, bytes).unwrap();
    bundle::judge(&path, policy, None).unwrap()
}

/// The members of an archive: name and content.
fn unpack(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut members = Vec::new();
    let mut at = 0;
    while bytes[at] != 0 {
        let text = |from: usize, to: usize| {
            let field = &bytes[at + from..at + to];
            String::from_utf8(field.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap()
        };
        let size = usize::from_str_radix(&text(124, 135), 8).unwrap();
        members.push((text(0, 100), bytes[at + 512..at + 512 + size].to_vec()));
        at += 512 + size.div_ceil(512) * 512;
    }
    members
}

/// An archive as `tar` writes it, with a kind of member and a target of links.
fn tar(members: &[(&str, &[u8], u8)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content, kind) in members {
        let mut header = [0u8; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, b"0000644\x000000000\x000000000\0");
        put(124, format!("{:011o}\x0000000000000\0        ", content.len()).as_bytes());
        put(156, &[*kind]);
        put(157, if *kind == b'0' { b"" } else { b"/etc/passwd" });
        put(257, b"ustar\x0000");
        put(329, b"0000000\x000000000\0");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(content);
        out.resize(out.len().div_ceil(512) * 512, 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// Writes the members again as somebody would who knows the format: with an index that fits them.
fn forge(mut members: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let rest = |name: &str| name != "index.json";
    let of_kind = |name: &str| {
        let order =
            ["index.json", "README.txt", "log.json", "trust/policy", "trust/keys", "statements", "blobs"];
        order.iter().position(|start| name.starts_with(start))
    };
    members.sort_by(|(a, _), (b, _)| (of_kind(a), a).cmp(&(of_kind(b), b)));
    let mut index: Value = serde_json::from_slice(&members[0].1).unwrap();
    let named: Vec<Value> = members
        .iter()
        .filter(|(name, _)| rest(name))
        .map(|(name, content)| json!({"name": name, "digest": Digest::of(content)}))
        .collect();
    index["members"] = Value::Array(named);
    let text = |value: &Value| serde_json::to_string(value).unwrap();
    // The order of its fields is part of its spelling, and a map has none.
    let subjects: Vec<String> = index["subject"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("    {{\n      \"statement\": {}\n    }}", text(&one["statement"])))
        .collect();
    let lines: Vec<String> = index["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            format!(
                "    {{\n      \"name\": {},\n      \"digest\": {}\n    }}",
                text(&one["name"]),
                text(&one["digest"])
            )
        })
        .collect();
    members[0].1 = format!(
        "{{\n  \"format\": \"stagewright/bundle@1\",\n  \"subject\": [\n{}\n  ],\n  \"blobs\": {},\n  \"members\": [\n{}\n  ]\n}}\n",
        subjects.join(",\n"),
        text(&index["blobs"]),
        lines.join(",\n")
    )
    .into_bytes();
    let all: Vec<(&str, &[u8], u8)> =
        members.iter().map(|(name, content)| (name.as_str(), content.as_slice(), b'0')).collect();
    tar(&all)
}

fn gravest(judged: &Judgement) -> Option<FaultKind> {
    judged.found.gravest()
}

#[test]
fn a_bundle_proves_its_result_alone() {
    let (signed, bytes) = made();
    let judged = judge(bytes);
    assert_eq!((judged.found.faults.as_slice(), judged.found.notes.as_slice()), (&[][..], &[][..]));
    assert_eq!((judged.proven.len(), judged.proven[0].stage.as_str()), (1, "check"));
    assert!(judged.proven[0].hashed && judged.own_policy && judged.found.gates == 1);
    assert_eq!(judged.keys, [("ada".to_owned(), signed.key.public().id().unwrap().to_string())]);
    assert_eq!(forge(unpack(bytes)), *bytes, "the tests write what the program writes");
    let names: Vec<String> = unpack(bytes).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&format!("blobs/{}", Digest::of(b"report").hex())), "{names:?}");
    assert!(!names.contains(&format!("blobs/{}", Digest::of(b"b").hex())), "another run's is not in it");
    assert_eq!(pack(signed, true), *bytes);
    // What happens later in the project changes nothing of it.
    signed.run(vec![stage("later", vec![write("z")])]);
    assert_eq!(pack(signed, true), *bytes);

    let named = judge(&pack(signed, false));
    assert_eq!(named.found.faults, []);
    assert!(!named.proven[0].hashed && named.found.notes[0].contains("not in the bundle"));
    assert!(named.members < judged.members);

    let folder = tempfile::tempdir().unwrap();
    let mut mine = TrustPolicy::new(&folder.path().join(FOLDER));
    mine.trust("eve", PrivateKey::generate(Algorithm::Ed25519).public(), jiff::Timestamp::UNIX_EPOCH)
        .unwrap();
    assert_eq!(gravest(&judge_by(bytes, Some(&mine))), Some(FaultKind::Untrusted));
    assert_eq!(gravest(&judge_by(bytes, Some(&signed.policy()))), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_flipped_bit_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (_, bytes) = made();
        let mut bytes = bytes.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(gravest(&judge(&bytes)).is_some(), "bit {bit} of byte {at}");
    }

    #[test]
    fn any_cut_or_longer_archive_is_refused(length in any::<prop::sample::Index>(), more in 1usize..2000) {
        let (_, bytes) = made();
        prop_assert!(gravest(&judge(&bytes[..length.index(bytes.len())])).is_some());
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + more, 0);
        prop_assert!(gravest(&judge(&longer)).is_some());
    }

    /// Who changes members and writes an index that fits is found by what the statements say.
    #[test]
    fn a_forged_archive_is_found(a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), how in 0u8..7, bit in 0u8..8, at in any::<prop::sample::Index>()) {
        let (_, bytes) = made();
        let mut members = unpack(bytes);
        let evidence = |(name, _): &(String, Vec<u8>)| {
            // A log of a stage is a by-product; nothing but its own name says what it was.
            name.starts_with("statements/") || name == "log.json" || name.starts_with("trust/")
                || name.starts_with("blobs/")
        };
        let places: Vec<usize> = (0..members.len()).filter(|at| evidence(&members[*at])).collect();
        let (a, b) = (*a.get(&places), *b.get(&places));
        match how {
            0 => {
                prop_assume!(!is_extra(&members[a]));
                drop(members.remove(a));
            }
            1 => {
                prop_assume!(a != b && members[a].1 != members[b].1);
                let (one, other) = (members[a].1.clone(), members[b].1.clone());
                (members[a].1, members[b].1) = (other, one);
            }
            2 => {
                prop_assume!(!members[a].1.is_empty());
                let at = at.index(members[a].1.len());
                members[a].1[at] ^= 1 << bit;
                prop_assume!(members[a].0 != "log.json" && !members[a].0.starts_with("trust/"));
            }
            // Also its name is made to fit.
            3 => {
                let (name, content) = &mut members[a];
                prop_assume!(!content.is_empty() && !name.starts_with("trust/") && name != "log.json");
                prop_assume!(!is_extra(&(name.clone(), content.clone())));
                let at = at.index(content.len());
                content[at] ^= 1 << bit;
                let hash = Digest::of(content).hex();
                *name = if name.starts_with("blobs/") { format!("blobs/{hash}") } else { format!("statements/{hash}.json") };
            }
            // A stranger signs a statement again, and has the log name it.
            4 => {
                let statements: Vec<usize> =
                    (0..members.len()).filter(|at| members[*at].0.starts_with("statements/")).collect();
                let at = *statements.get(a % statements.len()).unwrap();
                let old = Digest::of(&members[at].1);
                let payload = lineage::Envelope::decode("it", &members[at].1).unwrap().payload();
                let eve = Signing::with_key("eve", PrivateKey::generate(Algorithm::Ed25519)).unwrap();
                members[at].1 = eve.seal(IN_TOTO, &payload).unwrap().encode().unwrap();
                let new = Digest::of(&members[at].1);
                members[at].0 = format!("statements/{}.json", new.hex());
                for name in ["log.json", "index.json"] {
                    let log = members.iter_mut().find(|(of, _)| of == name).unwrap();
                    log.1 = String::from_utf8(log.1.clone()).unwrap().replace(&old.to_string(), &new.to_string()).into_bytes();
                }
            }
            // The log forgets a statement, and the archive as well.
            _ => {
                let log = members.iter_mut().find(|(of, _)| of == "log.json").unwrap();
                let mut value: Value = serde_json::from_slice(&log.1).unwrap();
                let entries = value["entries"].as_array_mut().unwrap();
                let at = a % entries.len();
                let gone: Digest = entries.remove(at)["statement"].as_str().unwrap().parse().unwrap();
                log.1 = serde_json::to_vec_pretty(&value).unwrap();
                if how == 6 {
                    members.retain(|(name, _)| !name.contains(&gone.hex()));
                }
            }
        }
        let judged = judge(&forge(members));
        prop_assert!(gravest(&judged).is_some(), "{how} {a} {b}");
    }
}

/// Members that a bundle can do without: by-products, which no verification asks for.
fn is_extra((name, content): &(String, Vec<u8>)) -> bool {
    let is_listing = content.starts_with(b"stagewright-tree");
    let is_output = [&b"one"[..], b"report"].contains(&content.as_slice());
    name.starts_with("blobs/") && (is_listing || !is_output)
}

#[test]
fn hostile_archives_are_refused_and_nothing_is_unpacked() {
    let (_, bytes) = made();
    let members = unpack(bytes);
    let index = members[0].1.clone();
    let hash = "0".repeat(64);
    let blob = format!("blobs/{hash}");
    let told = |archive: &[u8]| {
        let judged = judge(archive);
        let fault = &judged.found.faults[0];
        assert_eq!(fault.kind, FaultKind::Malformed);
        format!("{}: {}", fault.link, fault.what)
    };
    let with = |name: &str, content: &[u8], kind: u8| {
        told(&tar(&[("index.json", &index, b'0'), (name, content, kind)]))
    };
    let mut sized = tar(&[("index.json", &index, b'0'), (&blob, b"x", b'0')]);
    let at = 512 + index.len().div_ceil(512) * 512;
    // Says to have 7 EiB.
    sized[at + 124..at + 136].copy_from_slice(&[0x80, 0, 0, 0, 0x70, 0, 0, 0, 0, 0, 0, 0]);
    sized[at + 148..at + 156].copy_from_slice(b"        ");
    let sum: u32 = sized[at..at + 512].iter().map(|byte| u32::from(*byte)).sum();
    sized[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let report = [
        with("../../etc/cron.d/x", b"x", b'0'),
        with("/etc/passwd", b"x", b'0'),
        with("blobs/../index.json", b"x", b'0'),
        with("trust/keys/../../x.pem", b"x", b'0'),
        with(&blob, b"", b'2'),
        with(&blob, b"", b'1'),
        with("blobs/", b"", b'5'),
        with(&blob, b"", b'3'),
        with(&blob, b"x", b'L'),
        with("index.json", b"x", b'0'),
        told(&sized),
        told(b"PK\x03\x04"),
        told(&[0x1f; 1024]),
        told(b""),
    ]
    .join("\n");
    insta::assert_snapshot!(report);

    // A text that is too deep, too long or not one.
    let deep = format!("{{\"format\":{}", "[".repeat(100_000));
    assert!(told(&tar(&[("index.json", deep.as_bytes(), b'0')])).starts_with("index.json: "));
    let other = String::from_utf8(index).unwrap().replace("bundle@1", "bundle@2");
    assert_eq!(
        told(&tar(&[("index.json", other.as_bytes(), b'0')])),
        "index.json: its format is `stagewright/bundle@2`; this release reads `stagewright/bundle@1`"
    );
}

#[test]
fn a_statement_that_says_something_else_is_found_though_all_else_fits() {
    let (signed, bytes) = made();
    let mut members = unpack(bytes);
    // Somebody with a trusted key, but not the log: says another thing of the same stage.
    let at = members.iter().position(|(name, content)| {
        name.starts_with("statements/")
            && String::from_utf8_lossy(&lineage::Envelope::decode("it", content).unwrap().payload())
                .contains("\"invocationId\"")
    });
    let at = at.unwrap();
    let old = Digest::of(&members[at].1);
    let mut statement: Statement =
        serde_json::from_slice(&lineage::Envelope::decode("it", &members[at].1).unwrap().payload()).unwrap();
    statement.predicate["buildDefinition"]["externalParameters"]["params"] = json!({"epochs": 1000});
    let ada = Signing::with_key("ada", signed.key.clone()).unwrap();
    members[at].1 = ada.seal(IN_TOTO, &serde_json::to_vec(&statement).unwrap()).unwrap().encode().unwrap();
    let new = Digest::of(&members[at].1);
    members[at].0 = format!("statements/{}.json", new.hex());
    for name in ["log.json", "index.json"] {
        let text = members.iter_mut().find(|(of, _)| of == name).unwrap();
        text.1 = String::from_utf8(text.1.clone())
            .unwrap()
            .replace(&old.to_string(), &new.to_string())
            .into_bytes();
    }
    assert_eq!(gravest(&judge(&forge(members))), Some(FaultKind::Ledger));
}
