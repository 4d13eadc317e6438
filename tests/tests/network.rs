//! Six real nodes on a network that delays, loses, doubles and partitions, two of them behind address translation: they are
//! killed, get new keys, and end with the same chains.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::time::Duration;

use counterfoil_tests::fleet::{Fleet, until};
use counterfoil_tests::lab::{Condition, Lab, six_hosts};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");
/// Longest wait for anything that the nodes do.
const PATIENCE: Duration = Duration::from_secs(60);

const SEED: u64 = 5;

fn everybody_is_connected(fleet: &Fleet) {
    let all: Vec<usize> = (0..fleet.nodes.len()).collect();
    for number in &all {
        let others: Vec<usize> = all.iter().copied().filter(|other| other != number).collect();
        fleet.await_peers(*number, &others, PATIENCE).unwrap();
    }
}

/// Whether the connection between two nodes is relayed, seen from the first.
fn is_relayed(fleet: &Fleet, number: usize, other: usize) -> bool {
    let peers = fleet.peers(number).unwrap();
    let of =
        |id: &String| peers.iter().find(|peer| peer.organisation.is_some_and(|one| one.to_string() == *id));
    of(&fleet.ids[other]).unwrap().relayed
}

/// Gives every node a new peer key, one after the other, each once the one before is known to everybody.
fn rotate_all(fleet: &Fleet) {
    for (number, node) in fleet.nodes.iter().enumerate() {
        let rotated = node.run(&["node", "rotate"]).unwrap();
        let now = rotated["peer_id"].as_str().unwrap();
        for other in (0..fleet.nodes.len()).filter(|other| *other != number) {
            let is_known = || {
                let peers = fleet.peers(other).map_err(|error| error.to_string())?;
                let known = peers.iter().find(|peer| peer.peer_id == now);
                let speaks_for = known.and_then(|peer| peer.organisation).map(|id| id.to_string());
                if speaks_for.as_ref() == Some(&fleet.ids[number]) {
                    Ok(())
                } else {
                    Err(format!("node {other} does not know the new key of node {number}: {peers:?}"))
                }
            };
            until(PATIENCE, is_known).unwrap();
        }
    }
}

#[test]
fn six_nodes_two_of_them_behind_translation_agree_after_faults_partitions_kills_and_new_keys() {
    let mut lab = match Lab::new(SEED) {
        Ok(lab) => lab,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let hosts = six_hosts(&mut lab).unwrap();
    lab.wire().change_all(|condition| {
        *condition = Condition {
            delay: Duration::from_millis(10),
            jitter: Duration::from_millis(10),
            loss_ppm: 10_000,
            duplicate_ppm: 10_000,
            ..Condition::default()
        };
    });
    let mut fleet = Fleet::found(PROGRAM, folder.path(), &hosts).unwrap();
    fleet.meet(2, &[4, 5]).unwrap();
    everybody_is_connected(&fleet);
    // Those behind the router meet over the relay, and dial everybody else themselves.
    assert!(is_relayed(&fleet, 4, 5) && is_relayed(&fleet, 5, 4));
    assert!(!is_relayed(&fleet, 4, 0) && !is_relayed(&fleet, 5, 0));
    assert!(fleet.status(4).unwrap().relayed >= 1);
    for n in 0..5 {
        for author in 0..6 {
            fleet.observe(author, n).unwrap();
        }
    }
    fleet.settle(PATIENCE).unwrap();

    // Two and two, with one direction of one link still open; the router's side keeps to the first two.
    let (left, right) = ([hosts[0].port, hosts[1].port, hosts[4].port], [hosts[2].port, hosts[3].port]);
    lab.wire().cut(&left, &right, true);
    lab.wire().cut(&right, &left, true);
    lab.wire().cut(&[hosts[0].port], &[hosts[2].port], false);
    let sizes: Vec<u64> = (0..6).map(|author| fleet.observe(author, 100).unwrap().size.0).collect();
    for (number, author) in [(1, 0), (4, 1), (5, 4), (0, 5), (3, 2), (2, 3)] {
        fleet.await_size(number, author, sizes[author], PATIENCE).unwrap();
    }
    for (number, author) in [(0, 2), (2, 0), (3, 4), (5, 3)] {
        let size = fleet.size_of(number, author).unwrap();
        assert!(size < sizes[author], "node {number} heard of node {author} over a cut wire");
    }
    lab.wire().change_all(|condition| condition.is_cut = false);
    fleet.settle(PATIENCE).unwrap();

    // Killed while statements are under way, the relay among them.
    for victim in [0, 3, 5] {
        std::thread::scope(|scope| {
            let appending = scope.spawn(|| (200..).take_while(|n| fleet.observe(victim, *n).is_ok()).count());
            let enough = fleet.acknowledged() + 5;
            let under_way = || if fleet.acknowledged() >= enough { Ok(()) } else { Err("too few".into()) };
            until(PATIENCE, under_way).unwrap();
            fleet.nodes[victim].kill().unwrap();
            assert!(appending.join().unwrap() >= 5);
        });
        fleet.nodes[victim].start().unwrap();
    }
    everybody_is_connected(&fleet);

    rotate_all(&fleet);
    fleet.nodes[1].run(&["root", "rotate"]).unwrap();
    fleet.nodes[2].run(&["authority", "rotate", "steward"]).unwrap();
    for author in 0..6 {
        fleet.observe(author, 10_000).unwrap();
    }
    fleet.settle(PATIENCE).unwrap();
    everybody_is_connected(&fleet);
    assert!(is_relayed(&fleet, 4, 5), "the relay's new key was followed");

    let looked = fleet.check().unwrap();
    assert_eq!(looked, 6 * fleet.acknowledged());
    let traffic = lab.wire().traffic();
    assert!(traffic.lost > 100 && traffic.delivered > 1000, "{traffic:?}");
}
