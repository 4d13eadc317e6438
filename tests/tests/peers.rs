//! Real nodes that get new peer keys one after the other: nobody is lost, and no former key speaks for anybody.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::path::Path;

use counterfoil_tests::process::Process;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");

fn mesh(folder: &Path) -> (Vec<Process>, Vec<String>) {
    let mut nodes: Vec<Process> = ["one", "two", "three"]
        .iter()
        .map(|name| Process::found(PROGRAM, &folder.join(name), name).unwrap())
        .collect();
    nodes.iter().for_each(|node| node.start().unwrap());
    let status = |node: &Process| node.run(&["status"]).unwrap();
    let ids: Vec<String> =
        nodes.iter().map(|node| status(node)["organisation"].as_str().unwrap().to_owned()).collect();
    let create = ["mesh", "create", "--name", "m", "--quorum", "1", "--threshold", "2"];
    nodes[0].run(&[&create[..], &["--member", &ids[1], "--member", &ids[2]]].concat()).unwrap();
    nodes[0].keep_addresses().unwrap();
    let invitation = nodes[0].run(&["mesh", "invite"]).unwrap();
    for node in &mut nodes[1..] {
        node.run(&["mesh", "join", invitation.as_str().unwrap()]).unwrap();
        node.keep_addresses().unwrap();
    }
    // Whoever is away from now on is found by the others: they know where it is.
    for node in &nodes {
        let says_where = |one: &Value| one["kind"] == "node" && one["payload"]["addresses"].is_array();
        let log = node.until(&["log"], |log| log.as_array().unwrap().iter().any(says_where)).unwrap();
        let binding = log.as_array().unwrap().iter().find(|one| says_where(one)).unwrap();
        let show = ["show", binding["statement"].as_str().unwrap()];
        nodes.iter().for_each(|other| drop(other.until(&show, |_| true).unwrap()));
    }
    (nodes, ids)
}

fn peer_id(node: &Process) -> String {
    node.run(&["status"]).unwrap()["peer_id"].as_str().unwrap().to_owned()
}

fn is_peer(peers: &Value, id: &str, organisation: &str) -> bool {
    let mut peers = peers.as_array().unwrap().iter();
    peers.any(|peer| peer["peer_id"] == id && peer["organisation"] == organisation)
}

#[test]
fn peer_keys_are_replaced_one_after_the_other_and_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, ids) = mesh(folder.path());
    let claim = folder.path().join("claim.json");
    std::fs::write(&claim, json!({ "claim": "evaluation/test", "subjects": ["name:x"] }).to_string())
        .unwrap();
    let claim = claim.to_string_lossy().into_owned();
    for (index, node) in nodes.iter().enumerate() {
        let before = peer_id(node);
        // Whoever is away meanwhile knows nothing of the new key when it comes back, and is told.
        let away = &nodes[(index + 1) % nodes.len()];
        away.kill().unwrap();
        let rotated = node.run(&["node", "rotate"]).unwrap();
        let now = peer_id(node);
        assert_eq!(rotated["peer_id"], now.as_str());
        assert_ne!(now, before);
        let said = node.run(&["observe", &claim]).unwrap();
        away.start().unwrap();
        for other in nodes.iter().filter(|other| other.data() != node.data()) {
            let is_new =
                |peers: &Value| is_peer(peers, &now, &ids[index]) && !is_peer(peers, &before, &ids[index]);
            let peers = other.until(&["peers"], is_new).unwrap();
            let reached =
                peers.as_array().unwrap().iter().find(|peer| peer["peer_id"] == now.as_str()).unwrap();
            assert_eq!((&reached["relayed"], &reached["penalty"]), (&json!(false), &json!(0)), "{reached}");
            assert!(reached["address"].as_str().unwrap().starts_with("/ip4/127.0.0.1/tcp/"), "{reached}");
            let size = said[0]["said"]["size"].as_u64().unwrap();
            let is_here = |chains: &Value| {
                let mut chains = chains.as_array().unwrap().iter();
                chains.any(|chain| {
                    chain["organisation"] == ids[index].as_str() && chain["size"].as_u64().unwrap() >= size
                })
            };
            other.until(&["sync", "status"], is_here).unwrap();
        }
        node.kill().unwrap();
        node.start().unwrap();
        assert_eq!(peer_id(node), now, "a restart keeps the key");
    }
    for node in &nodes {
        node.until(&["peers"], |peers| peers.as_array().unwrap().len() == 2).unwrap();
        assert_eq!(node.run(&["forks", "list"]).unwrap(), json!([]));
    }
}

#[test]
fn whoever_was_invited_finds_the_inviter_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let found = |name: &str| Process::started(PROGRAM, &folder.path().join(name), name).unwrap();
    let (mut inviter, invited) = (found("inviter"), found("invited"));
    let id = invited.run(&["status"]).unwrap()["organisation"].as_str().unwrap().to_owned();
    inviter.run(&["mesh", "create", "--name", "m", "--member", &id]).unwrap();
    inviter.keep_addresses().unwrap();
    let invitation = inviter.run(&["mesh", "invite"]).unwrap();
    // They have not met when each has been started anew; nobody has told the inviter where the invited is.
    inviter.kill().unwrap();
    invited.run(&["mesh", "join", invitation.as_str().unwrap()]).unwrap();
    invited.kill().unwrap();
    invited.start().unwrap();
    inviter.start().unwrap();
    let peer = peer_id(&invited);
    inviter.until(&["peers"], |peers| is_peer(peers, &peer, &id)).unwrap();
}
