//! Long chains over lines that are slow, that break, and that a relay carries.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::time::Duration;

use counterfoil_federation::Config;
use counterfoil_node::service::read::StatementView;
use counterfoil_protocol::ids::StatementId;
use counterfoil_protocol::statement::Visibility;
use counterfoil_tests::fleet::{Fleet, until};
use counterfoil_tests::lab::{Host, Lab};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node-under-test");
/// Longest wait for anything that the nodes do.
const PATIENCE: Duration = Duration::from_secs(60);
/// Content of a statement.
const BYTES: usize = 20_000;

/// Whether a statement is on a node's disk, whether or not all that comes before its head is.
fn has(fleet: &Fleet, number: usize, id: &StatementId) -> Result<(), String> {
    let view: Result<StatementView, _> = fleet.nodes[number].client().get(&format!("/v1/statements/{id}"));
    view.map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn a_backfill_that_is_cut_off_goes_on_where_it_stopped_also_after_a_restart() {
    const AUTHOR: usize = 0;
    const READER: usize = 1;
    const STATEMENTS: usize = 160;
    let mut lab = match Lab::new(11) {
        Ok(lab) => lab,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let hosts: Vec<Host> = (1..=2).map(|n| lab.host(n).unwrap()).collect();
    let mut fleet = Fleet::found(PROGRAM, folder.path(), &hosts).unwrap();
    fleet.meet(1, &[]).unwrap();
    fleet.settle(PATIENCE).unwrap();
    fleet.nodes[READER].kill().unwrap();
    let appender = fleet.appender(AUTHOR).unwrap();
    let observe = |n| appender.observe_bytes(n, BYTES, Visibility::Mesh).unwrap().statement;
    let said: Vec<StatementId> = (0..STATEMENTS as u64).map(observe).collect();

    let (from, to) = ([hosts[AUTHOR].port], [hosts[READER].port]);
    lab.wire().change(from[0], to[0], |condition| condition.bytes_per_s = Some(500_000));
    let before = lab.wire().traffic().bytes;
    fleet.nodes[READER].start().unwrap();
    until(PATIENCE, || has(&fleet, READER, &said[STATEMENTS * 6 / 10])).unwrap();
    lab.wire().cut(&from, &to, true);
    lab.wire().cut(&to, &from, true);
    let here = || said.partition_point(|id| has(&fleet, READER, id).is_ok());
    let there = here();
    fleet.nodes[READER].kill().unwrap();
    fleet.nodes[READER].start().unwrap();
    // Nothing comes: what is here was on disk.
    let kept = here();
    assert!(there <= kept && kept < STATEMENTS, "{there}, then {kept} were here when it was cut off");

    lab.wire().cut(&from, &to, false);
    lab.wire().cut(&to, &from, false);
    fleet.settle(PATIENCE).unwrap();
    assert_eq!(here(), STATEMENTS);
    // One copy, with what the transport adds, and what was on the way when it was cut off. To begin again would cost six tenths
    // more.
    let (bytes, copy) = (lab.wire().traffic().bytes - before, (STATEMENTS * BYTES) as u64);
    println!("{kept} of {STATEMENTS} were kept; {bytes} bytes went over the wire for {copy}");
    assert!((copy..copy * 14 / 10).contains(&bytes), "{bytes} bytes for {copy}");
}

#[test]
fn what_only_a_node_behind_translation_may_give_comes_over_the_relay_however_much_it_is() {
    const RELAY: usize = 0;
    const AUTHOR: usize = 1;
    const READER: usize = 2;
    const STATEMENTS: u64 = 40;
    let mut lab = match Lab::new(12) {
        Ok(lab) => lab,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let mut hosts = vec![lab.host(1).unwrap()];
    hosts.extend(lab.behind_router(9, 2).unwrap());
    let mut fleet = Fleet::found(PROGRAM, folder.path(), &hosts).unwrap();
    fleet.meet(1, &[AUTHOR, READER]).unwrap();
    fleet.await_peers(READER, &[RELAY, AUTHOR], PATIENCE).unwrap();
    fleet.settle(PATIENCE).unwrap();

    // An agreement between the two, so that the relay, a member too, never has what it carries.
    let agree = ["mesh", "agree", &fleet.ids[READER], "--kind", "observation"];
    let agreement = fleet.nodes[AUTHOR].run(&agree).unwrap()["statement"].as_str().unwrap().to_owned();
    let (agreements, is) = (["mesh", "agreements"], |all: &Value, what: &str| all[0][what] == json!(true));
    fleet.nodes[READER].until(&agreements, |all| is(all, "to_accept")).unwrap();
    fleet.nodes[READER].run(&["mesh", "agree", "--accept", &agreement]).unwrap();
    fleet.nodes[AUTHOR].until(&agreements, |all| is(all, "in_force")).unwrap();
    // While the reader is away, so that it asks for as much at once as goes into one answer.
    fleet.nodes[READER].kill().unwrap();
    let parties = Visibility::Parties(agreement.parse().unwrap());
    let appender = fleet.appender(AUTHOR).unwrap();
    let said: Vec<StatementId> =
        (0..STATEMENTS).map(|n| appender.observe_bytes(n, BYTES, parties).unwrap().statement).collect();
    fleet.nodes[READER].start().unwrap();
    for id in &said {
        until(PATIENCE, || has(&fleet, READER, id)).unwrap();
        assert!(has(&fleet, RELAY, id).is_err(), "the relay has {id}");
    }
    fleet.settle(PATIENCE).unwrap();
    for (number, other) in [(AUTHOR, READER), (READER, AUTHOR)] {
        assert!(fleet.peer_of(number, other).unwrap().unwrap().relayed, "{number} to {other}");
    }
    // Six times what the library's relay carries, and single answers beyond it.
    let most = 128 * 1024;
    assert!(Config::default().page_bytes_max > most && STATEMENTS * BYTES as u64 > 6 * most as u64);
}
