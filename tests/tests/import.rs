//! What comes from organisations outside a node's mesh: whole, with the proofs that it has there, and signed anew by nobody.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_tests::process::Process;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

#[test]
fn a_foreign_lineage_comes_in_with_its_proofs_and_stands_as_far_as_its_authors_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let found = |name: &str| Process::started(PROGRAM, &folder.path().join(name), name).unwrap();
    let (north, south) = (found("north"), found("south"));
    let claim = json!({ "claim": "evaluation/test", "subjects": ["name:model"], "content": { "grade": 2 } });
    std::fs::write(path("claim.json"), claim.to_string()).unwrap();
    let observe = |node: &Process, arguments: &[&str]| -> Value {
        node.run(&[&["observe"], arguments].concat()).unwrap()[0].clone()
    };
    let data = observe(&north, &[&path("claim.json"), "--subject", "name:data"]);
    let data = data["statement"].as_str().unwrap();
    let said = observe(&north, &[&path("claim.json"), "--derived-from", data]);
    let id = said["statement"].as_str().unwrap();
    north.run(&["bundle", id, "-o", &path("lineage.cfb")]).unwrap();

    // Whole and right, but by whom nobody here can say.
    let stranger = observe(&south, &[&path("lineage.cfb")]);
    assert_eq!(stranger["claim"], "attestation/counterfoil");
    assert_eq!(stranger["source"]["signature"], "unverified");
    let subjects: Vec<&str> =
        stranger["subjects"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(subjects, [id, "name:model"]);
    // The document is here as it came, and proves what it proved there.
    let document = stranger["source"]["document"].as_str().unwrap().to_owned();
    let blobs = std::fs::read_dir(folder.path().join("south/blobs")).unwrap();
    let kept: Vec<_> = blobs
        .map(|blob| blob.unwrap().path())
        .filter(|path| document.contains(&*path.file_name().unwrap().to_string_lossy()))
        .collect();
    let [kept] = kept.as_slice() else { panic!("{document}: {kept:?}") };
    assert_eq!(south.run(&["verify", &kept.to_string_lossy()]).unwrap()[0]["verified"], true);
    // Its statements have their place in lineages here.
    let own = stranger["statement"].as_str().unwrap();
    let graph = south.run(&["trace", own, "--wait", "0"]).unwrap().to_string();
    assert!(graph.contains(id), "{graph}");

    let status = |node: &Process| node.run(&["status"]).unwrap()["organisation"].as_str().unwrap().to_owned();
    std::fs::write(path("trust"), format!("organisation {} North\n", status(&north))).unwrap();
    let known = observe(&south, &[&path("lineage.cfb"), "--trust", &path("trust")]);
    assert_eq!(
        (&known["source"]["signature"], &known["source"]["signer"]),
        (&json!("verified"), &json!(status(&north)))
    );

    let fails = |arguments: &[&str], because: &str| {
        let output = south.output(&[&["observe"], arguments].concat()).unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && error.contains(because), "{error}");
    };
    std::fs::write(path("others"), format!("organisation {} South\n", status(&south))).unwrap();
    fails(&[&path("lineage.cfb"), "--trust", &path("others")], "bundle-trust");
    let mut bytes = std::fs::read(path("lineage.cfb")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path("changed.cfb"), bytes).unwrap();
    fails(&[&path("changed.cfb")], "file-digest");
}
