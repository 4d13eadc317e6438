//! A member's peer that floods, dawdles or announces too much: the others go on, and the node that it turns to stays small.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use counterfoil_federation::Config;
use counterfoil_protocol::ids::OrganisationId;
use counterfoil_tests::fleet::{Fleet, PORT, until};
use counterfoil_tests::lab::{Host, Lab};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");
const HOSTILE: &str = env!("CARGO_BIN_EXE_hostile");
/// Longest until a statement is at the other nodes, whatever the hostile peer does.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a hostile peer goes on.
const SECONDS: u64 = 5;
/// By how much the node under attack may grow.
const GROWTH_KIB: u64 = 128 * 1024;
/// Peers that speak for nobody, as many as a node lets stay.
const STRANGERS_MAX: usize = 64;
/// The node that is attacked.
const TARGET: usize = 0;
/// Two others.
const NEIGHBOUR: usize = 1;
const OTHER: usize = 2;
/// The one whose key the hostile peer has.
const MALLORY: usize = 3;

/// A hostile peer at work; it ends by itself, or with the test.
struct Hostile(Option<Child>);

impl Hostile {
    fn start(fleet: &Fleet, host: &Host, target: &Host, mode: &str) -> Self {
        let address = format!("/ip4/{}/tcp/{PORT}", target.address);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &host.space, HOSTILE]).arg(fleet.nodes[MALLORY].data());
        command.args([&address, mode, &SECONDS.to_string()]).env("COUNTERFOIL_PASSPHRASE", "for tests alone");
        command.env_remove("COUNTERFOIL_PASSPHRASE_FILE");
        Self(Some(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()))
    }

    fn works(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// What became of it.
    fn fate(mut self) -> Value {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What was seen while a hostile peer was at work.
#[derive(Debug, Default)]
struct Seen {
    /// How many times statements went to and fro.
    rounds: u64,
    /// Most messages and requests of it that the target said it dropped.
    limited: u64,
    /// Most peers of the target that speak for nobody.
    strangers: usize,
    /// Most memory of the target, in KiB.
    resident_kib: u64,
}

/// Statements go to and fro while the hostile peer works; meanwhile the target does not grow.
fn go_on(fleet: &Fleet, hostile: &mut Hostile, before_kib: u64) -> Seen {
    let mut seen = Seen::default();
    while hostile.works() {
        seen.rounds += 1;
        for (author, readers) in [(TARGET, [NEIGHBOUR, OTHER]), (OTHER, [TARGET, NEIGHBOUR])] {
            let size = fleet.observe(author, 0).unwrap().size.0;
            for reader in readers {
                fleet.await_size(reader, author, size, PATIENCE).unwrap();
            }
        }
        let peers = fleet.peers(TARGET).unwrap();
        let is_mallory = |id: &OrganisationId| id.to_string() == fleet.ids[MALLORY];
        let of_peer = peers.iter().find(|peer| peer.organisation.as_ref().is_some_and(is_mallory));
        let status = fleet.status(TARGET).unwrap();
        let of_chain = status.chains.iter().find(|chain| is_mallory(&chain.organisation)).unwrap();
        seen.limited = seen.limited.max(of_peer.map_or(0, |peer| peer.limited)).max(of_chain.limited);
        seen.strangers = seen.strangers.max(peers.iter().filter(|peer| peer.organisation.is_none()).count());
        seen.resident_kib = seen.resident_kib.max(fleet.nodes[TARGET].resident_kib().unwrap());
        assert!(seen.resident_kib < before_kib + GROWTH_KIB, "it grew from {before_kib} KiB: {seen:?}");
    }
    assert!(seen.rounds > 0);
    seen
}

#[test]
fn a_flooding_a_slow_and_an_oversized_peer_disturb_nobody() {
    let mut lab = match Lab::new(9) {
        Ok(lab) => lab,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let hosts: Vec<Host> = (1..=4).map(|n| lab.host(n).unwrap()).collect();
    let mut fleet = Fleet::found(PROGRAM, folder.path(), &hosts).unwrap();
    fleet.meet(2, &[]).unwrap();
    fleet.settle(Duration::from_secs(60)).unwrap();
    fleet.await_peers(TARGET, &[NEIGHBOUR, OTHER, MALLORY], PATIENCE).unwrap();
    fleet.nodes[MALLORY].kill().unwrap();
    let is_gone = || {
        let peers = fleet.peers(TARGET).map_err(|error| error.to_string())?;
        if peers.len() == 2 { Ok(()) } else { Err(format!("its connection is still there: {peers:?}")) }
    };
    until(PATIENCE, is_gone).unwrap();
    let before = fleet.nodes[TARGET].resident_kib().unwrap();
    for mode in ["flood", "slow", "silent", "crowd", "reserve", "oversized", "ask"] {
        let mut hostile = Hostile::start(&fleet, &hosts[MALLORY], &hosts[TARGET], mode);
        if mode == "silent" || mode == "crowd" {
            // Whoever comes back meanwhile is let in beside those who say nothing, or nothing of interest.
            fleet.nodes[OTHER].kill().unwrap();
            fleet.nodes[OTHER].start().unwrap();
            fleet.await_peers(OTHER, &[TARGET, NEIGHBOUR], PATIENCE).unwrap();
        }
        let seen = go_on(&fleet, &mut hostile, before);
        let fate = hostile.fate();
        println!("{mode}: {fate}, {seen:?}, {before} KiB before");
        let count = |what: &str| fate[what].as_u64().unwrap();
        // Those who only connect leave no room for others at their address.
        assert!(
            fate["introduced"] == true || ["silent", "crowd", "reserve"].contains(&mode),
            "{mode}: {fate}"
        );
        match mode {
            "flood" => {
                // What may be said of one organisation in that time is far less than what is said: the rest is dropped by the
                // budget, or before it by the score of whoever says it.
                let budget = Config::default().organisation_gossip;
                let allowed = u64::from(budget.burst) + u64::from(budget.per_s) * SECONDS;
                assert!(count("published") > 4 * allowed, "it is told who takes what it says: {fate}");
            }
            "ask" => assert!(
                count("refused") + count("closed") > 0,
                "what is beyond its budget is refused: {fate}"
            ),
            "slow" => assert!(count("answered") < 64, "it holds a few streams, and no more: {fate}"),
            "silent" => {}
            // The target is a relay, for members alone.
            "reserve" => assert!(count("reserved") == 0 && count("denied") > 1, "{fate}"),
            // One more may be there while it makes room for itself.
            "crowd" => assert!((10..=STRANGERS_MAX + 1).contains(&seen.strangers), "{seen:?}"),
            _ => assert_eq!(count("answered"), 0, "{fate}"),
        }
    }
    // The member itself is as welcome as before once it behaves.
    fleet.nodes[MALLORY].start().unwrap();
    fleet.settle(Duration::from_secs(60)).unwrap();
    fleet.check().unwrap();
}
