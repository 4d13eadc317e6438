//! A member's peer that floods, dawdles or announces too much: the others go on, and the node that it turns to stays small.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails this way says where"
)]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use counterfoil_federation::message::MESSAGE_BYTES_MAX;
use counterfoil_tests::fleet::{Fleet, PORT, until};
use counterfoil_tests::hostile::{Fate, Hostile};
use counterfoil_tests::lab::{Host, Lab};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");
const HOSTILE: &str = env!("CARGO_BIN_EXE_hostile");
/// Longest until a statement is at another node. The hostile peer goes on all the while, and after it.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many times statements go to and fro while a hostile peer is at work.
const ROUNDS: u64 = 6;
/// After so long, what the hostile peer does has had its effect, if it ever has.
const EFFECT: Duration = Duration::from_secs(60);
/// Requests of one connection that are read at one time, on each of the two protocols.
const STREAMS_MAX: u64 = 24;
/// Connections that are being set up at one time, from one address and from all.
const PENDING_MAX: u64 = 64;
/// Addresses of somebody who has many: enough to take all of these.
const ADDRESSES: u8 = 20;
/// Peers that speak for nobody: as many as a node lets stay, and as many as may be on their way out.
const STRANGERS_MAX: usize = 64 + 16;
/// Memory for the database, in MiB: it is the same whatever others do.
const DATABASE_MIB: &str = "8";
/// By how much the node under attack may grow, whoever attacks it: by whole messages on all streams of a connection that wait
/// for their last bytes, 24 MiB, ...
const WAITING_KIB: u64 = 2 * STREAMS_MAX * MESSAGE_BYTES_MAX as u64 / 1024;
/// ... and besides by what is smaller: the buffers of connections of strangers, some 80 KiB each, 5 MiB; messages that are kept
/// in mind although whoever floods was let go, twice its budget and those under way by then, some 12,000 of 1 KiB; and what the
/// node's own work leaves to the allocator.
const GROWTH_KIB: u64 = 24 * 1024;
/// Length of the name of a topic that is nobody's.
const TOPIC_BYTES: u64 = 16 * 1024;
/// The node that is attacked.
const TARGET: usize = 0;
/// Two others.
const NEIGHBOUR: usize = 1;
const OTHER: usize = 2;
/// Those whose keys hostile peers have.
const MALLORY: usize = 3;
const TRUDY: usize = 4;

/// Hostile peers, one after the other; those that are sent away for a while come last.
const ATTACKS: [(&str, usize); 11] = [
    ("malformed", MALLORY),
    ("unread", MALLORY),
    ("slow", MALLORY),
    ("silent", MALLORY),
    ("crowd", MALLORY),
    ("reserve", MALLORY),
    ("oversized", MALLORY),
    ("topics", MALLORY),
    ("flood", TRUDY),
    ("hoard", MALLORY),
    ("ask", MALLORY),
];

/// Whether a hostile peer has gone on since then.
fn goes_on(mode: &str, before: &Fate, now: &Fate) -> bool {
    let more = |what: &str| now.count(what) > before.count(what);
    match mode {
        "malformed" => more("published"),
        // Whoever was sent away can but try to come back.
        "flood" => more("published") || more("dialled"),
        "ask" => more("asked") || more("dialled"),
        // Answers are on their way to it.
        "unread" => now.count("asked") > now.count("answered") + now.count("refused") + now.count("failed"),
        "slow" | "silent" | "hoard" => more("done") && now.count("held") > 0,
        "crowd" => more("done"),
        "reserve" => more("denied"),
        "oversized" => more("asked"),
        _ => more("subscribed"),
    }
}

/// Whether it has had the effect that it is to have, and no other.
fn is_as_wanted(mode: &str, fate: &Fate, seen: &Seen, fleet: &Fleet) -> bool {
    let said = |what: &str| {
        let log = std::fs::read_to_string(fleet.nodes[TARGET].data().join("node.log")).unwrap();
        log.contains(what)
    };
    let held = fate.count("held");
    match mode {
        // Hardly any reaches those who check signatures: nobody listens any more to whoever passes on such messages.
        "malformed" => {
            assert!(seen.limited < fate.count("published").max(20_000) / 4, "{fate:?}, {seen:?}");
            fate.count("published") > 20_000
        }
        // What is said of one chain has a budget, and so has whoever says it, who is let go in the end.
        "flood" => {
            let is_over = fate.count("closed") > 0 && fate.count("dialled") > 1;
            is_over && seen.limited_chain > 0 && said("it passes on far more than its budget allows")
        }
        "ask" => {
            let is_over = fate.count("closed") > 0 && fate.count("dialled") > 1;
            is_over && fate.count("refused") > 0 && said("it asks far more than its budget allows")
        }
        // Its connection is closed although nobody takes what was to be sent on it.
        "unread" => fate.count("closed") > 0 && fate.count("dialled") > 1,
        "slow" => {
            assert!(held <= 2 * STREAMS_MAX && fate.count("answered") == 0, "{fate:?}");
            held > STREAMS_MAX && fate.count("failed") > 0
        }
        "hoard" => {
            assert!(held <= 2 * STREAMS_MAX && fate.count("answered") == 0, "{fate:?}");
            // What it holds is all there.
            held > STREAMS_MAX && seen.resident_kib > seen.before_kib + WAITING_KIB / 2
        }
        "silent" => held >= PENDING_MAX,
        "crowd" => {
            assert!(seen.strangers <= STRANGERS_MAX, "{seen:?}");
            seen.strangers > 10
        }
        // The target is a relay, for members alone.
        "reserve" => {
            assert_eq!(fate.count("reserved"), 0, "{fate:?}");
            fate.count("denied") > 1
        }
        "oversized" => {
            assert_eq!((fate.count("answered"), held), (0, 0), "{fate:?}");
            fate.count("failed") > 0 && fate.count("published") > 0
        }
        // That others go on is all that is shown here; which topics are kept, the node's own tests show.
        _ => fate.count("subscribed") * TOPIC_BYTES > (2 * GROWTH_KIB) * 1024,
    }
}

/// What was seen while a hostile peer was at work.
#[derive(Debug, Default)]
struct Seen {
    /// How many times statements went to and fro while it went on.
    rounds: u64,
    /// Most messages and requests of one connection of it that the target dropped because they were too many.
    limited: u64,
    /// Messages about its organisation's chain that the target dropped because they were too many.
    limited_chain: u64,
    /// Most peers of the target that speak for nobody.
    strangers: usize,
    /// Memory of the target before, in KiB, and the most since.
    before_kib: u64,
    resident_kib: u64,
}

impl Seen {
    fn look(&mut self, fleet: &Fleet, whose: usize) {
        let peer = fleet.peer_of(TARGET, whose).unwrap();
        self.limited = self.limited.max(peer.map_or(0, |peer| peer.limited));
        self.limited_chain = fleet.chain_of(TARGET, whose).unwrap().unwrap().limited;
        let strangers =
            fleet.peers(TARGET).unwrap().iter().filter(|peer| peer.organisation.is_none()).count();
        self.strangers = self.strangers.max(strangers);
        self.resident_kib = self.resident_kib.max(fleet.nodes[TARGET].resident_kib().unwrap());
    }
}

/// Statements go to and fro: acknowledged by their authors, and under the same head at the others.
fn round(fleet: &Fleet) {
    for (author, readers) in [(TARGET, [NEIGHBOUR, OTHER]), (OTHER, [TARGET, NEIGHBOUR])] {
        let size = fleet.observe(author, 0).unwrap().size.0;
        let own = fleet.chain_of(author, author).unwrap().unwrap();
        assert_eq!(own.size.0, size);
        for reader in readers {
            fleet.await_size(reader, author, size, PATIENCE).unwrap();
            let there = fleet.chain_of(reader, author).unwrap().unwrap();
            assert_eq!((there.size, there.root, there.misbehaved), (own.size, own.root, false));
        }
    }
}

/// Statements go to and fro while the hostile peer works, at least [`ROUNDS`] times and until it has had its effect; meanwhile
/// the target does not grow.
fn withstand(
    fleet: &Fleet,
    hostile: &mut Hostile,
    (mode, whose): (&str, usize),
    before_kib: u64,
) -> (Fate, Seen) {
    let mut seen = Seen { before_kib, ..Seen::default() };
    let most_kib = before_kib + GROWTH_KIB + if mode == "hoard" { WAITING_KIB } else { 0 };
    let mut fate = hostile.fate().unwrap();
    let until = Instant::now() + EFFECT;
    while Instant::now() < until {
        round(fleet);
        seen.look(fleet, whose);
        let now = hostile.fate().unwrap();
        assert!(seen.resident_kib < most_kib, "{mode}: it grew: {now:?}, {seen:?}");
        seen.rounds += u64::from(goes_on(mode, &fate, &now));
        fate = now;
        if is_as_wanted(mode, &fate, &seen, fleet) && seen.rounds >= ROUNDS {
            return (fate, seen);
        }
    }
    panic!("{mode}: it has not had its effect: {fate:?}, {seen:?}");
}

#[test]
fn a_flooding_a_slow_and_an_oversized_peer_disturb_nobody() {
    let mut lab = match Lab::new(9) {
        Ok(lab) => lab,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let hosts: Vec<Host> = (1..=5).map(|n| lab.host(n).unwrap()).collect();
    lab.small_buffers(&hosts[MALLORY]).unwrap();
    let addresses = lab.more_addresses(&hosts[MALLORY], 100, ADDRESSES).unwrap();
    let mut fleet = Fleet::found(PROGRAM, folder.path(), &hosts).unwrap();
    fleet.nodes.iter_mut().for_each(|node| node.always(&["--database-mib", DATABASE_MIB]));
    fleet.meet(2, &[]).unwrap();
    fleet.settle(Duration::from_secs(60)).unwrap();
    fleet.await_peers(TARGET, &[NEIGHBOUR, OTHER, MALLORY, TRUDY], PATIENCE).unwrap();
    for whose in [MALLORY, TRUDY] {
        fleet.nodes[whose].kill().unwrap();
    }
    let is_gone = || {
        let peers = fleet.peers(TARGET).map_err(|error| error.to_string())?;
        if peers.len() == 2 { Ok(()) } else { Err(format!("its connection is still there: {peers:?}")) }
    };
    until(PATIENCE, is_gone).unwrap();
    let before = fleet.nodes[TARGET].resident_kib().unwrap();
    let start = |mode: &str, whose: usize, from: &[Ipv4Addr]| {
        let address = format!("/ip4/{}/tcp/{PORT}", hosts[TARGET].address);
        let order: Vec<String> =
            [mode.to_owned()].into_iter().chain(from.iter().map(ToString::to_string)).collect();
        let (space, data) = (Some(hosts[whose].space.as_str()), fleet.nodes[whose].data());
        Hostile::start(HOSTILE, space, data, &address, &order).unwrap()
    };
    // All the while one is there that reads nothing more, and so answers nothing.
    let mut deaf = Some(start("deaf", TRUDY, &[]));
    let is_introduced = || {
        let fate = deaf.as_mut().unwrap().fate().map_err(|error| error.to_string())?;
        if fate.is_introduced() { Ok(()) } else { Err(format!("{fate:?}")) }
    };
    until(PATIENCE, is_introduced).unwrap();
    for (mode, whose) in ATTACKS {
        if whose == TRUDY {
            let is_let_go = || match fleet.peer_of(TARGET, TRUDY).map_err(|error| error.to_string())? {
                None => Ok(()),
                Some(peer) => Err(format!("it is still there: {peer:?}")),
            };
            until(3 * PATIENCE, is_let_go).unwrap();
            drop(deaf.take());
        }
        let mut hostile = start(mode, whose, if mode == "silent" { &addresses } else { &[] });
        if mode == "silent" || mode == "crowd" {
            let is_there = || {
                let fate = hostile.fate().map_err(|error| error.to_string())?;
                let peers = fleet.peers(TARGET).map_err(|error| error.to_string())?;
                let strangers = peers.iter().filter(|peer| peer.organisation.is_none()).count();
                let is_there = fate.count("held") >= PENDING_MAX || strangers > 10;
                if is_there { Ok(()) } else { Err(format!("{fate:?}, {strangers} strangers")) }
            };
            until(PATIENCE, is_there).unwrap();
            // Whoever comes back meanwhile is let in beside those who say nothing, or nothing of interest.
            fleet.nodes[OTHER].kill().unwrap();
            fleet.nodes[OTHER].start().unwrap();
            fleet.await_peers(OTHER, &[TARGET, NEIGHBOUR], PATIENCE).unwrap();
        }
        let (fate, seen) = withstand(&fleet, &mut hostile, (mode, whose), before);
        println!("{mode}: {fate:?}, {seen:?}");
        // Those who only connect leave no room for others at their address.
        assert!(fate.is_introduced() || ["silent", "crowd", "reserve"].contains(&mode), "{mode}: {fate:?}");
    }
    // The members themselves are as welcome as before once they behave.
    for whose in [MALLORY, TRUDY] {
        fleet.nodes[whose].start().unwrap();
    }
    fleet.settle(Duration::from_secs(60)).unwrap();
    fleet.check().unwrap();
}
