//! Claims that are sealed in a real node's chain, and disclosed to whom its owner chooses.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_tests::process::Process;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

#[test]
fn a_sealed_claim_stays_out_of_sight_until_it_is_disclosed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let claim = json!({
        "claim": "evaluation/test", "subjects": ["name:model"],
        "content": { "site": "ward seven", "cohort": "thirty patients", "grade": 2 },
    });
    std::fs::write(path("claim.json"), claim.to_string()).unwrap();
    let said = node.run(&["observe", &path("claim.json"), "--seal", "site", "--seal", "cohort"]).unwrap();
    let id = said[0]["statement"].as_str().unwrap();
    node.run(&["show", id, "--raw", "-o", &path("statement.cose")]).unwrap();
    let holds = |name: &str, text: &str| {
        let bytes = std::fs::read(path(name)).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    assert!(holds("statement.cose", "grade"));
    for hidden in ["ward seven", "thirty patients", "site", "cohort"] {
        assert!(!holds("statement.cose", hidden), "{hidden}");
    }

    let verified = |name: &str| -> Value { node.run(&["verify", &path(name)]).unwrap()[0].clone() };
    node.run(&["bundle", id, "-o", &path("closed.cfb")]).unwrap();
    assert_eq!(verified("closed.cfb")["report"].get("disclosed"), None);
    assert!(!holds("closed.cfb", "ward seven"));

    // Also after a restart: what was sealed is on disk, with what opens it.
    node.kill().unwrap();
    node.start().unwrap();
    node.run(&["bundle", id, "--disclose", &format!("{id}=site"), "-o", &path("open.cfb")]).unwrap();
    assert!(holds("open.cfb", "ward seven") && !holds("open.cfb", "thirty patients"));
    let disclosed = &verified("open.cfb")["report"]["disclosed"];
    assert_eq!(disclosed.as_array().map(Vec::len), Some(1));
    assert_eq!((&disclosed[0]["statement"], &disclosed[0]["name"]), (&json!(id), &json!("site")));
    assert_eq!(disclosed[0]["value"], json!("ward seven"));

    // What cannot be sealed or disclosed is named, and nothing is written.
    let fails = |arguments: &[&str], because: &str| {
        let output = node.output(arguments).unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && error.contains(because), "{error}");
    };
    fails(&["observe", &path("claim.json"), "--seal", "height"], "height");
    fails(&["bundle", id, "--disclose", &format!("{id}=height"), "-o", &path("none.cfb")], "height");
    assert!(!folder.path().join("none.cfb").exists());
}
