//! Every file of the public vectors is used: COSE, SCITT, receipts and signed models here, Merkle proofs and Ed25519 in
//! `conformance`. A new file that no test knows fails.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use counterfoil_node::import::scitt::{ForeignReceipt, Sign1};
use counterfoil_node::import::{Trust, import};
use counterfoil_protocol::chain::Hash;
use counterfoil_protocol::chain::proof::{verify_consistency, verify_inclusion};
use counterfoil_protocol::ids::{Position, TreeSize};
use counterfoil_protocol::observation::SourceSignature;
use counterfoil_tests::shared::shared;
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap()
}

fn pem(spki: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki))
}

/// The key of a COSE working group vector; none of a kind that nobody here signs with.
fn key(of: &Value) -> Option<Trust> {
    let coordinate = |name: &str| {
        let hexadecimal = of[format!("{name}_hex")].as_str().map(hex);
        hexadecimal.or_else(|| of[name].as_str().map(|text| URL_SAFE_NO_PAD.decode(text).unwrap()))
    };
    let spki = match of["crv"].as_str()? {
        "P-256" => {
            let mut spki = hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004");
            spki.extend(coordinate("x")?);
            spki.extend(coordinate("y")?);
            spki
        }
        "Ed25519" => {
            let mut spki = hex("302a300506032b6570032100");
            spki.extend(coordinate("x")?);
            spki
        }
        _ => return None,
    };
    let mut trust = Trust::default();
    trust.add("vector", pem(&spki).as_bytes()).unwrap();
    Some(trust)
}

fn trust(path: &Path) -> Trust {
    let mut trust = Trust::default();
    trust.add(&path.display().to_string(), &std::fs::read(path).unwrap()).unwrap();
    trust
}

/// COSE_Sign1 vectors: those that fail in their names, or in their `fail` field, fail.
fn cose(path: &Path) {
    let case = json(path);
    let bytes = hex(case["output"]["cbor"].as_str().unwrap());
    if case["input"]["sign0"].is_null() {
        // COSE_Sign with several signers: statements have one, so its tag is refused.
        assert!(Sign1::parse(&bytes).is_err(), "{}", path.display());
        return;
    }
    let Some(key) = key(&case["input"]["sign0"]["key"]) else {
        // Ed448: the object is read, and no key of ours could have signed it.
        assert!(Sign1::parse(&bytes).is_ok(), "{}", path.display());
        return;
    };
    let name = path.file_name().unwrap().to_string_lossy();
    let should = !name.contains("fail") && case["fail"].as_bool() != Some(true);
    let verified = Sign1::parse(&bytes).and_then(|statement| statement.verify(None, &key));
    assert_eq!(verified.is_ok(), should, "{name}: {verified:?}");
}

/// Statement, receipt and both keys, with what verifying each must give.
fn scitt(folder: &Path) {
    let expected = json(&folder.join("expected.json"));
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let statement = Sign1::parse(&read("statement.cose")).unwrap();
    let payload = read("payload.bin");
    let sum = counterfoil_protocol::digest::sha256(&[&payload]);
    assert_eq!(hex(expected["payload_sha256"].as_str().unwrap()), sum, "{}", folder.display());
    let detached = statement.payload().is_none().then_some(payload.as_slice());
    let signed = statement.verify(detached, &trust(&folder.join("issuer-key.pub"))).is_ok();
    assert_eq!(Value::Bool(signed), expected["statement_signature_valid"], "{}", folder.display());
    let entry: [u8; 32] = hex(expected["leaf_entry"].as_str().unwrap()).try_into().unwrap();
    assert_eq!(statement.entry(), entry, "{}", folder.display());
    let log = trust(&folder.join("log-key.pub"));
    let root = ForeignReceipt::parse(&read("receipt.cose")).and_then(|receipt| receipt.verify(&entry, &log));
    assert_eq!(Value::Bool(root.is_ok()), expected["receipt_valid"], "{}: {root:?}", folder.display());
    if let (Ok(root), Some(wanted)) = (&root, expected["reconstructed_root"].as_str()) {
        assert_eq!(root.0.as_slice(), hex(wanted));
    }
    assert_eq!(expected["result"] == "VALID", signed && root.is_ok());
}

/// The draft's sample receipts: no keys are published for them, so their shape is what can be checked, and that the
/// consistency proof leads from one root to another.
fn sample_receipt(path: &Path) {
    let receipt = ForeignReceipt::parse(&std::fs::read(path).unwrap()).unwrap();
    let roots = receipt.consistent_roots(&Hash([0; 32]));
    let is_consistency = path.to_string_lossy().contains("consistency");
    assert_eq!(roots.is_some_and(|(older, newer)| older != newer), is_consistency, "{}", path.display());
    let refused = receipt.verify(&[0; 32], &Trust::default()).unwrap_err();
    assert!(["inclusion", "receipt-signature"].contains(&refused.check), "{refused}");
}

/// OpenSSF Model Signing: valid ones are read (no key is given, so nothing is verified), invalid ones are refused or, where
/// what is missing is the proof alone, not verified.
fn signed_model(path: &Path) {
    let name = path.display().to_string();
    let imported = import(&std::fs::read(path).unwrap(), &name, &Trust::default());
    if name.contains("/valid/") {
        let imported = imported.unwrap();
        assert_eq!(imported.claim, "provenance/model-signature", "{name}");
        assert_eq!(imported.source.signature, SourceSignature::Unverified, "{name}");
    } else if let Ok(imported) = imported {
        let is_verified = imported.source.signature >= SourceSignature::Verified;
        assert!(imported.claim != "provenance/model-signature" || !is_verified, "{name}");
    }
}

fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok().map(Hash)
}

fn proof(case: &Value) -> Option<Vec<Hash>> {
    case["proof"].as_array().into_iter().flatten().map(|text| hash(text.as_str()?)).collect()
}

/// A proof within a part of a tree is the proof of a tree that begins there; the part must be aligned to be one.
fn subtree_inclusion(path: &Path) {
    let case = json(path);
    let number = |name: &str| case[name].as_u64().unwrap();
    let (start, end, index) = (number("start"), number("end"), number("leafIdx"));
    let holds = || {
        let size = end.checked_sub(start).filter(|size| *size > 0)?;
        if start % size.checked_next_power_of_two()? != 0 {
            return None;
        }
        let (leaf, root) = (hash(case["leafHash"].as_str()?)?, hash(case["root"].as_str()?)?);
        let position = Position(index.checked_sub(start)?);
        verify_inclusion(&leaf, position, TreeSize(size), &proof(&case)?, &root).ok()
    };
    assert_eq!(holds().is_none(), case["wantErr"].as_bool().unwrap(), "{}", path.display());
}

/// Parts that begin with the tree are what an ordinary consistency proof is about. Our formats have no proofs about parts
/// that begin later, so those files are read and counted, and left alone.
fn subtree_consistency(path: &Path) {
    let case = json(path);
    let number = |name: &str| case[name].as_u64();
    let (Some(start), Some(end), Some(size)) = (number("start"), number("end"), number("size")) else {
        assert_eq!(case["wantErr"], true, "{}", path.display());
        return;
    };
    if start != 0 {
        return;
    }
    let holds = || {
        let (one, two) = (hash(case["root1"].as_str()?)?, hash(case["root2"].as_str()?)?);
        verify_consistency(TreeSize(end), &one, TreeSize(size), &two, &proof(&case)?).ok()
    };
    // Some cases have a text in place of a root, to say that it does not matter. Here a root has 32 bytes.
    let has_roots = ["root1", "root2"].iter().all(|name| case[*name].as_str().and_then(hash).is_some());
    let should = case["wantErr"] == false && has_roots;
    assert_eq!(holds().is_some(), should, "{}", path.display());
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

#[test]
fn every_file_of_the_public_vectors_is_used() {
    let Some(root) = shared("vectors") else { return };
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let mut used = 0;
    for path in files {
        let place = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let parts: Vec<&str> = place.split('/').collect();
        let is_json = place.ends_with(".json") || parts[0] == "merkle-rfc6962";
        match parts.as_slice() {
            ["cose-eddsa" | "cose-sign1", _] => cose(&path),
            ["scitt-cose", _, "expected.json"] => scitt(path.parent().unwrap()),
            // Read with their folder's `expected.json`.
            ["scitt-cose", _, "statement.cose" | "receipt.cose" | "payload.bin"] => {}
            ["scitt-cose", _, "issuer-key.pub" | "log-key.pub"] => {}
            ["cose-receipts", name] if name.ends_with(".cbor") => sample_receipt(&path),
            // The same two receipts for people, and their grammar.
            ["cose-receipts", name] if name.ends_with(".diag") || name.ends_with(".cddl") => {}
            ["oms", ..] if is_json => signed_model(&path),
            ["merkle-rfc6962", "subtreeinclusion", ..] => subtree_inclusion(&path),
            ["merkle-rfc6962", "subtreeconsistency", ..] => subtree_consistency(&path),
            // Run by `conformance`.
            ["merkle-rfc6962", "inclusion" | "consistency", ..] if is_json => {}
            ["ed25519-cctv", "ed25519vectors.json"] => {}
            // For people.
            ["ed25519-cctv", "README.md" | "LICENSE"] | ["SOURCES.tsv"] => continue,
            _ => unreachable!("no test uses {place}"),
        }
        used += 1;
    }
    assert!(used > 300, "{used} files used");
}
