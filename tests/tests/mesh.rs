//! A mesh of real processes whose nodes are killed at any moment: what was acknowledged stays provable, no head is signed
//! twice, and everybody ends with the same chains.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::path::Path;

use counterfoil_tests::process::Process;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");
const KILLS: usize = 50;

fn claim(folder: &Path, n: usize) -> String {
    let path = folder.join(format!("claim-{n}.json"));
    let claim = json!({ "claim": "evaluation/test", "subjects": [format!("name:subject-{n}")] });
    std::fs::write(&path, claim.to_string()).unwrap();
    path.to_string_lossy().into_owned()
}

/// Chains with their sizes, as a node sees them.
fn sizes(status: &Value) -> Vec<(String, u64)> {
    let chains = status["chains"].as_array().unwrap();
    chains
        .iter()
        .map(|chain| (chain["organisation"].as_str().unwrap().to_owned(), chain["size"].as_u64().unwrap()))
        .collect()
}

#[test]
fn fifty_kills_in_a_mesh_lose_nothing_and_fork_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes: Vec<Process> = ["one", "two", "three"]
        .iter()
        .map(|name| Process::found(PROGRAM, &folder.path().join(name), name).unwrap())
        .collect();
    for node in &nodes {
        node.start().unwrap();
    }
    let ids: Vec<String> = nodes
        .iter()
        .map(|node| node.run(&["status"]).unwrap()["organisation"].as_str().unwrap().to_owned())
        .collect();
    let create = ["mesh", "create", "--name", "m", "--quorum", "1", "--threshold", "2"];
    nodes[0].run(&[&create[..], &["--member", &ids[1], "--member", &ids[2]]].concat()).unwrap();
    nodes[0].keep_addresses().unwrap();
    let invitation = nodes[0].run(&["mesh", "invite"]).unwrap();
    for node in &mut nodes[1..] {
        node.run(&["mesh", "join", invitation.as_str().unwrap()]).unwrap();
        node.keep_addresses().unwrap();
    }

    let mut acknowledged = Vec::new();
    for kill in 0..KILLS {
        let victim = kill % nodes.len();
        let said = nodes[victim].run(&["observe", &claim(folder.path(), kill)]).unwrap();
        acknowledged.push((victim, said[0]["said"].clone()));
        // A second one is under way when the process dies: acknowledged or not, nothing may break.
        let path = claim(folder.path(), 1000 + kill);
        let node = &nodes[victim];
        let dying = std::thread::scope(|scope| {
            let under_way = scope.spawn(move || node.run(&["observe", &path]).ok());
            // Another moment each time.
            (0..kill * 4_000).for_each(|_| std::thread::yield_now());
            node.kill().unwrap();
            under_way.join().unwrap()
        });
        if let Some(said) = dying {
            acknowledged.push((victim, said[0]["said"].clone()));
        }
        nodes[victim].start().unwrap();
    }

    // Everybody catches up with everybody, and nobody was convicted of anything.
    let own: Vec<(String, u64)> = nodes
        .iter()
        .map(|node| {
            let status = node.run(&["status"]).unwrap();
            (status["organisation"].as_str().unwrap().to_owned(), status["size"].as_u64().unwrap())
        })
        .collect();
    for node in &nodes {
        let settled = node
            .until(&["status"], |status| {
                let seen = sizes(status);
                own.iter().all(|(id, size)| seen.iter().any(|(other, seen)| other == id && seen >= size))
            })
            .unwrap();
        assert!(settled["chains"].as_array().unwrap().iter().all(|chain| chain["misbehaved"] == false));
        assert!(settled["frozen"].is_null(), "{settled}");
        assert_eq!(node.run(&["forks", "list"]).unwrap(), json!([]));
    }
    // Every acknowledged statement has its receipt, at its author and at everybody else, at the position that was said.
    let mut seqs = std::collections::BTreeMap::new();
    for (victim, said) in &acknowledged {
        let id = said["statement"].as_str().unwrap();
        for node in &nodes {
            let out = node.data().join("receipt");
            let proof = node.run(&["receipt", id, "-o", &out.to_string_lossy()]).unwrap();
            assert_eq!(proof["position"], said["position"], "{said}");
        }
        let before = seqs.insert((*victim, said["seq"].as_u64().unwrap()), said["size"].as_u64().unwrap());
        assert!(before.is_none_or(|size| size == said["size"].as_u64().unwrap()), "two heads {said}");
    }
    assert!(acknowledged.len() >= KILLS, "{} acknowledged", acknowledged.len());
}
