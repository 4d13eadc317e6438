//! Real nodes that have lost their head lock go on in a new epoch of the chain key, and others follow.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::path::{Path, PathBuf};
use std::process::Command;

use counterfoil_node::keystore::Keystore;
use counterfoil_protocol::bundle::{Outcome, verify};
use counterfoil_tests::process::Process;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

fn observe(folder: &Path, node: &Process, n: usize) -> Result<Value, Value> {
    let path = folder.join(format!("claim-{n}.json"));
    let claim = json!({ "claim": "evaluation/test", "subjects": [format!("name:subject-{n}")] });
    std::fs::write(&path, claim.to_string()).unwrap();
    let output = node.output(&["observe", &path.to_string_lossy()]).unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice::<Value>(&output.stdout).unwrap()[0]["said"].clone());
    }
    Err(serde_json::from_slice(&output.stderr).unwrap())
}

fn refused(node: &Process, arguments: &[&str]) -> String {
    let output = node.output(arguments).unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn chain<'a>(chains: &'a Value, organisation: &str) -> Option<&'a Value> {
    chains.as_array()?.iter().find(|chain| chain["organisation"] == organisation)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap().to_owned()
}

/// Writes a bundle about statements, and has the first verifier judge it.
fn bundle(folder: &Path, node: &Process, about: &[&str]) -> Vec<u8> {
    let path = folder.join("lineage.cfb");
    let out = path.to_string_lossy().into_owned();
    node.run(&[&["bundle"], about, &["-o", &out]].concat()).unwrap();
    std::fs::read(&path).unwrap()
}

#[test]
fn a_node_alone_goes_on_when_its_operator_says_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let recover = ["root", "recover", "--reason", "the disk failed", "--alone", "--lose-after", "4"];
    assert!(refused(&node, &recover).contains("stop the node first"));
    let before = observe(folder.path(), &node, 1).unwrap();
    let receipt = folder.path().join("receipt");
    node.run(&["receipt", &text(&before, "statement"), "-o", &receipt.to_string_lossy()]).unwrap();
    let vkey = text(&node.run(&["status"]).unwrap(), "vkey");
    node.kill().unwrap();
    assert!(refused(&node, &recover).contains("nothing is to be recovered"));

    std::fs::remove_file(node.data().join("head.lock")).unwrap();
    node.start().unwrap();
    let refusal = observe(folder.path(), &node, 2).unwrap_err();
    assert!(refusal["error"].as_str().unwrap().contains("`root recover`"), "{refusal}");
    node.kill().unwrap();

    // It asks for each thing that it cannot know.
    assert!(refused(&node, &recover[..4]).contains("--alone"));
    assert!(refused(&node, &recover[..5]).contains("--lose-after 4"));
    let other = [&recover[..6], &["5"]].concat();
    assert!(refused(&node, &other).contains("4 statements are here, not 5"));
    assert!(!node.data().join("head.lock").exists());
    let done = node.run(&recover).unwrap();
    assert_eq!((&done["seq"], &done["size"]), (&json!(1u64 << 40), &json!(5)));
    assert!(refused(&node, &recover).contains("nothing is to be recovered"));
    assert_eq!(node.run(&["fsck"]).unwrap()["damage"], json!([]));

    node.start().unwrap();
    let status = node.run(&["status"]).unwrap();
    assert!(status["frozen"].is_null(), "{status}");
    assert_ne!(text(&status, "vkey"), vkey);
    let after = observe(folder.path(), &node, 3).unwrap();
    assert_eq!(after["position"], 5);
    let log = node.run(&["log", "--kind", "organisation"]).unwrap();
    assert!(
        log.to_string().contains("recovers from lost heads with a new chain key: the disk failed"),
        "{log}"
    );
    // The new chain key is no root key: credentials and rotations go on.
    node.run(&["authority", "issue", "--role", "auditor"]).unwrap();
    node.run(&["root", "rotate"]).unwrap();

    let about = [text(&before, "statement"), text(&after, "statement")];
    let bytes = bundle(folder.path(), &node, &[&about[0], &about[1]]);
    let report = verify(&bytes);
    assert!(report.is_verified(), "{report:?}");
    let told = report.checks.iter().find(|check| check.check == "recovery").unwrap();
    assert_eq!(told.outcome, Outcome::Passed);
    assert!(told.detail.contains("from a head of 4 statements") && told.detail.contains("nobody was asked"));
    let out = node.run(&["verify", &folder.path().join("lineage.cfb").to_string_lossy()]).unwrap();
    assert!(out.to_string().contains("the disk failed"), "{out}");
    if let Some(second) = second_verifier() {
        let path = folder.path().join("lineage.cfb");
        let output = Command::new("node").arg(second).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("recovery"), "{said}");
    }
}

/// The second verifier's command; none where this machine has no Node, which under `CI=true` is a failure.
fn second_verifier() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/ui");
    if !Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success()) {
        assert!(
            !std::env::var("CI").is_ok_and(|ci| ci == "true"),
            "node is missing; `make setup` installs it"
        );
        return None;
    }
    assert!(Command::new(root.join("build.sh")).status().unwrap().success());
    Some(root.join("dist/verify/cli.js"))
}

#[test]
fn members_are_asked_first_and_follow() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes: Vec<Process> = ["one", "two", "three"]
        .iter()
        .map(|name| Process::found(PROGRAM, &folder.path().join(name), name).unwrap())
        .collect();
    for node in &nodes {
        node.start().unwrap();
    }
    let ids: Vec<String> =
        nodes.iter().map(|node| text(&node.run(&["status"]).unwrap(), "organisation")).collect();
    let create = ["mesh", "create", "--name", "m", "--quorum", "1", "--threshold", "2"];
    nodes[0].run(&[&create[..], &["--member", &ids[1], "--member", &ids[2]]].concat()).unwrap();
    nodes[0].keep_addresses().unwrap();
    let invitation = nodes[0].run(&["mesh", "invite"]).unwrap();
    for node in &mut nodes[1..] {
        node.run(&["mesh", "join", invitation.as_str().unwrap()]).unwrap();
        node.keep_addresses().unwrap();
    }
    let (victim, own) = (&nodes[1], &ids[1]);
    observe(folder.path(), victim, 0).unwrap();
    let backup = folder.path().join("backup").to_string_lossy().into_owned();
    victim.run(&["backup", &backup]).unwrap();
    let mut before = Value::Null;
    for n in 1..4 {
        before = observe(folder.path(), victim, n).unwrap();
    }
    let size = victim.run(&["status"]).unwrap()["size"].as_u64().unwrap();
    let is_known = |chains: &Value, size: u64| chain(chains, own).is_some_and(|one| one["size"] == size);
    for other in [&nodes[0], &nodes[2]] {
        other.until(&["sync", "status"], |chains| is_known(chains, size)).unwrap();
    }

    // Everything is gone but an old backup, and so is the head lock. One member does not run.
    victim.kill().unwrap();
    nodes[2].kill().unwrap();
    std::fs::remove_dir_all(victim.data()).unwrap();
    victim.run(&["restore", &backup]).unwrap();
    let recover = ["root", "recover", "--reason", "lost in a fire", "--lose-after"];
    let kept = size.to_string();
    let recover_all = [&recover[..], &[kept.as_str()]].concat();
    assert!(refused(victim, &recover_all).contains("has not asked the members"));
    victim.start().unwrap();
    // What the members have comes back first; the node does not sign for all that.
    victim.until(&["status"], |status| status["size"] == size).unwrap();
    assert!(observe(folder.path(), victim, 9).is_err());
    let asked = victim.data().join("asked.json");
    let has_answered = |count: usize| {
        let read = std::fs::read(&asked).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        read.is_some_and(|read| {
            read["asked"].as_array().is_some_and(|asked| asked.len() == count) && read["holding"] == json!([])
        })
    };
    victim.until(&["status"], |_| has_answered(1)).unwrap();
    victim.kill().unwrap();
    assert!(refused(victim, &recover_all).contains("did not answer when the node ran last"));
    nodes[2].start().unwrap();
    victim.start().unwrap();
    victim.until(&["status"], |_| has_answered(2)).unwrap();
    victim.kill().unwrap();
    victim.run(&recover_all).unwrap();
    assert!(!asked.exists());

    victim.start().unwrap();
    let after = observe(folder.path(), victim, 10).unwrap();
    assert_eq!(after["position"], size + 1);
    for node in &nodes {
        let chains = node.until(&["sync", "status"], |chains| is_known(chains, size + 2)).unwrap();
        let found = chain(&chains, own).unwrap();
        assert_eq!((&found["epoch"], &found["misbehaved"]), (&json!(1), &json!(false)), "{chains}");
        assert!(found["not_followed"].is_null(), "{chains}");
        assert_eq!(node.run(&["forks", "list"]).unwrap(), json!([]));
        let about = [text(&before, "statement"), text(&after, "statement")];
        let report = verify(&bundle(folder.path(), node, &[&about[0], &about[1]]));
        assert!(report.is_verified(), "{report:?}");
        let told = report.checks.iter().find(|check| check.check == "recovery").unwrap();
        assert!(told.detail.contains("all 2 other members"), "{}", told.detail);
    }
    // A member that starts anew still knows the epochs from its disk.
    nodes[0].kill().unwrap();
    assert_eq!(nodes[0].run(&["fsck"]).unwrap()["damage"], json!([]));
    nodes[0].start().unwrap();
    let last = observe(folder.path(), victim, 11).unwrap();
    let size = last["position"].as_u64().unwrap() + 1;
    nodes[0].until(&["sync", "status"], |chains| is_known(chains, size)).unwrap();
}

#[test]
fn a_recovery_that_was_cut_off_is_finished_by_running_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::found(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let (keys, lock) = (node.data().join("keys/node.keys"), node.data().join("head.lock"));
    let before = std::fs::read(&keys).unwrap();
    std::fs::remove_file(&lock).unwrap();
    let recover = ["root", "recover", "--reason", "test", "--alone", "--lose-after", "3"];
    let done = node.run(&recover).unwrap();
    let (head, after) = (std::fs::read(&lock).unwrap(), std::fs::read(&keys).unwrap());
    // As it is when the command ends right behind the database: no head lock, and the key not in its place yet.
    let passphrase = b"for tests alone";
    let mut cut_off = Keystore::load(&keys, passphrase).unwrap();
    cut_off.rename("chain", "chain-next");
    cut_off.save(&keys, passphrase).unwrap();
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(node.run(&recover).unwrap(), done, "nothing is signed a second time");
    assert_eq!(std::fs::read(&lock).unwrap(), head);

    // As if the keystore had been put back from before: the key that the chain names is not there.
    std::fs::write(&keys, &before).unwrap();
    node.start().unwrap();
    let refusal = observe(folder.path(), &node, 1).unwrap_err();
    assert!(refusal["error"].as_str().unwrap().contains("the keystore's chain key is"), "{refusal}");
    node.kill().unwrap();
    // With the keys it signs; without them another epoch begins.
    std::fs::write(&keys, &after).unwrap();
    node.start().unwrap();
    assert_eq!(observe(folder.path(), &node, 2).unwrap()["position"], 4);
    node.kill().unwrap();
    std::fs::write(&keys, &before).unwrap();
    let done = node.run(&["root", "recover", "--reason", "keys", "--alone", "--lose-after", "5"]).unwrap();
    assert_eq!(done["seq"], json!(2u64 << 40));
    node.start().unwrap();
    assert_eq!(observe(folder.path(), &node, 3).unwrap()["position"], 6);
}
