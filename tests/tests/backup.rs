//! Backups of real nodes: an old one is put back, the node catches up before it signs, and nobody sees a fork.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::path::Path;

use counterfoil_node::cli::client::{Address, Client, Refused};
use counterfoil_tests::process::Process;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

/// Lets a node say something, and gives the command's answer.
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

fn mesh(folder: &Path) -> Vec<Process> {
    let mut nodes: Vec<Process> = ["one", "two", "three"]
        .iter()
        .map(|name| Process::found(PROGRAM, &folder.join(name), name).unwrap())
        .collect();
    for node in &nodes {
        node.start().unwrap();
    }
    let id = |node: &Process| node.run(&["status"]).unwrap()["organisation"].as_str().unwrap().to_owned();
    let ids: Vec<String> = nodes.iter().map(id).collect();
    let create = ["mesh", "create", "--name", "m", "--quorum", "1", "--threshold", "2"];
    nodes[0].run(&[&create[..], &["--member", &ids[1], "--member", &ids[2]]].concat()).unwrap();
    nodes[0].keep_addresses().unwrap();
    let invitation = nodes[0].run(&["mesh", "invite"]).unwrap();
    for node in &mut nodes[1..] {
        node.run(&["mesh", "join", invitation.as_str().unwrap()]).unwrap();
        node.keep_addresses().unwrap();
    }
    nodes
}

fn size_of(chains: &Value, organisation: &str) -> Option<u64> {
    let mut chains = chains.as_array()?.iter();
    chains.find(|chain| chain["organisation"] == organisation)?["size"].as_u64()
}

/// Leaves nothing in a data directory but what stays with the node.
fn wipe(data: &Path) {
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() == "head.lock" {
            continue;
        }
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    }
}

#[test]
fn an_old_backup_signs_nothing_until_it_has_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = mesh(folder.path());
    let (victim, others) = (&nodes[1], [&nodes[0], &nodes[2]]);
    let own = victim.run(&["status"]).unwrap()["organisation"].as_str().unwrap().to_owned();
    let mut said = Vec::new();
    for n in 0..3 {
        said.push(observe(folder.path(), victim, n).unwrap());
    }
    let backup = folder.path().join("backup");
    let backup_text = backup.to_string_lossy().into_owned();
    let manifest = victim.run(&["backup", &backup_text]).unwrap();
    assert_eq!(manifest["organisation"], own.as_str());
    assert!(manifest["files"]["keys/node.keys"]["blake3"].is_string(), "{manifest}");
    assert!(!manifest.to_string().contains("head.lock") && !backup.join("head.lock").exists());
    assert!(refused(victim, &["backup", &backup_text]).contains("is not empty"));
    for n in 3..8 {
        said.push(observe(folder.path(), victim, n).unwrap());
    }
    let size = victim.run(&["status"]).unwrap()["size"].as_u64().unwrap();
    for other in others {
        other.until(&["sync", "status"], |chains| size_of(chains, &own) == Some(size)).unwrap();
    }

    victim.kill().unwrap();
    others.iter().for_each(|other| other.kill().unwrap());
    let lock = std::fs::read(victim.data().join("head.lock")).unwrap();
    assert!(refused(victim, &["restore", &backup_text]).contains("nothing but head.lock"));
    wipe(victim.data());
    let restored = victim.run(&["restore", &backup_text]).unwrap();
    assert_eq!(restored["head_lock"], true);
    assert_eq!(std::fs::read(victim.data().join("head.lock")).unwrap(), lock);

    // Alone it knows that it is behind, and does not sign.
    victim.start().unwrap();
    let alone = observe(folder.path(), victim, 100).unwrap_err();
    assert_eq!(alone["check"], "head-lock", "{alone}");
    assert!(alone["error"].as_str().unwrap().contains("lags behind its head lock"), "{alone}");
    assert!(victim.run(&["status"]).unwrap()["size"].as_u64().unwrap() < size);
    assert_eq!(std::fs::read(victim.data().join("head.lock")).unwrap(), lock);

    others.iter().for_each(|other| other.start().unwrap());
    victim.until(&["status"], |status| status["frozen"].is_null() && status["size"] == size).unwrap();
    let after = observe(folder.path(), victim, 101).unwrap();
    assert_eq!(after["position"], size, "{after}");
    for node in &nodes {
        let chains =
            node.until(&["sync", "status"], |chains| size_of(chains, &own) == Some(size + 1)).unwrap();
        assert!(chains.as_array().unwrap().iter().all(|chain| chain["misbehaved"] == false), "{chains}");
        assert_eq!(node.run(&["forks", "list"]).unwrap(), json!([]));
        for said in said.iter().chain([&after]) {
            let out = folder.path().join("receipt");
            let id = said["statement"].as_str().unwrap();
            let proof = node.run(&["receipt", id, "-o", &out.to_string_lossy()]).unwrap();
            assert_eq!(proof["position"], said["position"], "{said}");
        }
    }
    victim.kill().unwrap();
    assert_eq!(victim.run(&["fsck"]).unwrap()["damage"], json!([]));
}

#[test]
fn a_node_without_its_head_lock_says_what_is_wrong_and_does_not_sign() {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::found(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    // A node that does not run is backed up from its files.
    let backup = folder.path().join("backup").to_string_lossy().into_owned();
    node.run(&["backup", &backup]).unwrap();
    let copy = Process::at(PROGRAM, &folder.path().join("copy"));
    let restored = copy.run(&["restore", &backup]).unwrap();
    assert_eq!(restored["head_lock"], false);
    copy.start().unwrap();
    for attempt in 0..2 {
        let refusal = observe(folder.path(), &copy, attempt).unwrap_err();
        assert_eq!(refusal["check"], "head-lock", "{refusal}");
        let text = refusal["error"].as_str().unwrap();
        for part in ["head.lock is missing", "head 2 of 3 statements", "put head.lock back", "`sync status`"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    let status = copy.run(&["status"]).unwrap();
    assert_eq!(status["size"], 3);
    assert!(status["frozen"].as_str().unwrap().contains("head.lock is missing"), "{status}");
    assert!(!copy.data().join("head.lock").exists());
    // With the lock back in its place it goes on.
    copy.kill().unwrap();
    std::fs::copy(node.data().join("head.lock"), copy.data().join("head.lock")).unwrap();
    copy.start().unwrap();
    assert_eq!(observe(folder.path(), &copy, 9).unwrap()["position"], 3);
}

#[test]
fn what_is_not_whole_is_not_restored_and_strangers_make_no_backups() {
    let folder = tempfile::tempdir().unwrap();
    let node = Process::started(PROGRAM, &folder.path().join("node"), "North Hospital").unwrap();
    let api = node.run(&["status"]).unwrap()["api"].as_str().unwrap().to_owned();
    let token = std::fs::read_to_string(node.data().join("api.token")).unwrap().trim().to_owned();
    let client = Client::new(Address::Tcp(api, token));
    let wish = json!({ "path": folder.path().join("over-tcp") });
    let error = client.post::<Value>("/v1/backups", &wish).unwrap_err();
    assert_eq!(error.downcast_ref::<Refused>().unwrap().0.status, 404);
    assert!(!folder.path().join("over-tcp").exists());
    assert!(refused(&node, &["backup", &node.data().join("in").to_string_lossy()]).contains("inside"));

    let backup = folder.path().join("backup");
    let text = backup.to_string_lossy().into_owned();
    node.run(&["backup", &text]).unwrap();
    let copy = Process::at(PROGRAM, &folder.path().join("copy"));
    let refuse = |what: &str| {
        let error = refused(&copy, &["restore", &text]);
        assert!(error.contains(what) && error.contains("nothing was restored"), "{what}: {error}");
        assert!(!copy.data().join("inception.cose").exists() && !copy.data().join("db").exists());
    };
    let keys = backup.join("keys/node.keys");
    let whole = std::fs::read(&keys).unwrap();
    let mut changed = whole.clone();
    changed[20] ^= 1;
    std::fs::write(&keys, &changed).unwrap();
    refuse("keys/node.keys is not what its manifest says");
    std::fs::remove_file(&keys).unwrap();
    refuse("keys/node.keys is missing");
    std::fs::write(&keys, &whole).unwrap();
    std::fs::write(backup.join("head.lock"), b"old").unwrap();
    refuse("head.lock is not in its manifest");
    std::fs::remove_file(backup.join("head.lock")).unwrap();
    let manifest = std::fs::read_to_string(backup.join("manifest.json")).unwrap();
    std::fs::write(backup.join("manifest.json"), manifest.replace("node.toml", "head.lock")).unwrap();
    refuse("belongs to no backup");
    std::fs::remove_file(backup.join("manifest.json")).unwrap();
    refuse("never finished");
    std::fs::write(backup.join("manifest.json"), manifest).unwrap();
    // A lock of somebody else's is not built upon, nor touched.
    let other = Process::found(PROGRAM, &folder.path().join("other"), "South Hospital").unwrap();
    std::fs::create_dir_all(copy.data()).unwrap();
    std::fs::copy(other.data().join("head.lock"), copy.data().join("head.lock")).unwrap();
    refuse("is not the head lock of");
    std::fs::remove_file(copy.data().join("head.lock")).unwrap();
    copy.run(&["restore", &text]).unwrap();
    assert_eq!(copy.run(&["fsck"]).unwrap()["damage"], json!([]));
}
