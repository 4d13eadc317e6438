//! The demonstration as a user runs it: real processes, one JSON object, a bundle that verifies and no changed one that
//! does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::path::Path;
use std::process::Command;

use counterfoil_protocol::bundle::verify;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

fn demo(folder: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(PROGRAM)
        .args(["--json", "demo", "--exit", "--folder"])
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_story_ends_as_told_and_its_bundle_proves_it() {
    let folder = tempfile::tempdir().unwrap();
    let told = demo(&folder.path().join("demo"), &[]);
    assert_eq!(told["verdicts"], serde_json::json!(["defer", "partial", "refuse"]));
    assert_eq!((&told["verified"], &told["recomputed_twice"]), (&Value::Bool(true), &Value::Bool(true)));
    let organisations = told["organisations"].as_array().unwrap();
    assert_eq!(organisations.len(), 4);
    for one in organisations {
        assert_eq!(one["peers"], 3, "{one}");
        assert!(one["size"].as_u64().unwrap() > 5 && !one["root"].as_str().unwrap().is_empty());
    }
    assert!(told["steps"].as_array().unwrap().iter().all(|step| step["ms"].is_u64()));

    let bundle = told["bundle"].as_str().unwrap();
    // What was decided is held between what witnesses had seen before and after.
    let report = verify(&std::fs::read(bundle).unwrap());
    let decisions: Vec<_> = report
        .times
        .iter()
        .filter(|times| times.kind == counterfoil_protocol::statement::Kind::Decision)
        .collect();
    assert_eq!(decisions.len(), 3);
    for times in decisions {
        assert!(times.not_after.is_some_and(|at| at >= times.issued_at), "{times:?}");
        assert!(times.not_before.is_none_or(|at| at <= times.issued_at), "{times:?}");
    }
    let verified = Command::new(PROGRAM).args(["verify", bundle]).output().unwrap();
    assert_eq!(verified.status.code(), Some(0));
    let bytes = std::fs::read(bundle).unwrap();
    // Each step hits another kind of place: steps and length have no common measure.
    for at in (0..bytes.len()).step_by(997) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x01;
        let report = verify(&changed);
        assert!(!report.is_verified() && report.failures().next().is_some(), "byte {at}");
    }
    let flipped = folder.path().join("flipped.cfb");
    let mut changed = bytes.clone();
    changed[bytes.len() / 3] ^= 0x80;
    std::fs::write(&flipped, changed).unwrap();
    let refused = Command::new(PROGRAM).arg("verify").arg(&flipped).output().unwrap();
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("file-digest"));
}

#[test]
fn each_attack_is_caught_by_its_check() {
    let folder = tempfile::tempdir().unwrap();
    let told = demo(&folder.path().join("demo"), &["tamper"]);
    let attacks = told["attacks"].as_array().unwrap();
    let caught: Vec<(bool, &str)> = attacks
        .iter()
        .map(|attack| (attack["caught"].as_bool().unwrap(), attack["check"].as_str().unwrap()))
        .collect();
    assert_eq!(caught.len(), 4);
    assert!(caught.iter().all(|(is_caught, _)| *is_caught), "{caught:?}");
    assert!(caught[0].1.starts_with("file-digest"), "{caught:?}");
    assert_eq!(&caught[1..], [(true, "gap"), (true, "credential-revoked"), (true, "fork")]);
    for evidence in [&attacks[0], &attacks[1], &attacks[3]] {
        assert!(Path::new(evidence["evidence"].as_str().unwrap()).is_file());
    }
}
