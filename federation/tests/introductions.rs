//! Introductions: who a peer speaks for, shown by as few statements as that takes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

#[allow(dead_code, reason = "each story uses what it needs of the town")]
mod town;

use counterfoil_federation::Config;
use counterfoil_federation::message::{Introduction, MESSAGE_BYTES_MAX, NAMED_BYTES, Request, encode};
use counterfoil_federation::replica::{Replica, ReplicaError};
use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::mesh::Invitation;
use counterfoil_protocol::statement::Kind;
use town::Town;

const ALICE: usize = 0;
const BOB: usize = 1;
/// Standing statements that say nothing of who signs.
const MANY: usize = 300;

/// Two who know each other; bob has said much of what stands.
fn talkative() -> Town {
    let mut town = Town::new(2, 2, Config::default(), |charter| charter.admission_threshold = 1);
    for n in 0..MANY {
        let expires = Timestamp(1_000_000 + n as u64);
        let invitation = Invitation { mesh: town.mesh, organisation: None, expires };
        town.append(BOB, town.hosts[BOB].organisation.statement(Kind::Invitation, &invitation));
    }
    town.pass(4_000);
    town
}

fn introduction(town: &Town) -> Introduction {
    town.hosts[BOB].engine.replicas()[&town.id(BOB)].introduction(town.mesh).unwrap()
}

#[test]
fn what_does_not_say_who_signs_costs_forty_bytes() {
    let mut town = talkative();
    let introduction = introduction(&town);
    assert_eq!(introduction.standing.len(), 3, "inception, credential, binding");
    assert_eq!(introduction.named.0.len(), MANY * NAMED_BYTES);
    let bytes = encode(&Request::Hello(Box::new(introduction.clone()))).unwrap().len();
    let rest = bytes - MANY * NAMED_BYTES;
    let room = (MESSAGE_BYTES_MAX - rest) / NAMED_BYTES;
    assert!(room > 12_000, "{room} fit into one message");

    let (whole, head) = Replica::introduced(&introduction).unwrap();
    let own = &town.hosts[BOB].engine.replicas()[&town.id(BOB)];
    assert_eq!(Some(&head), own.head());
    assert_eq!(whole.state().nodes().count(), 1);
    assert_eq!(whole.state().standing_digest(), own.state().standing_digest());

    town.disconnect(ALICE, BOB);
    drop(town.did(ALICE));
    town.connect(ALICE, BOB);
    assert!(town.did(ALICE).contains(&"introduced, admitted: true".to_owned()));
}

#[test]
fn what_is_named_is_all_there_is_and_in_its_place() {
    let town = talkative();
    let good = introduction(&town);
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bad = good.clone();
        change(&mut bad.named.0);
        Replica::introduced(&bad).unwrap_err()
    };
    let is_span = |error: ReplicaError| matches!(error, ReplicaError::Span { .. });
    assert_eq!(refused(&|named| named[20] ^= 1), ReplicaError::Standing, "another statement");
    assert_eq!(refused(&|named| named.truncate(40)), ReplicaError::Standing, "left out");
    assert_eq!(refused(&|named| named.push(0)), ReplicaError::Standing, "part of one");
    assert_eq!(refused(&Vec::clear), ReplicaError::Standing, "none");
    assert!(is_span(refused(&|named| named.rotate_left(NAMED_BYTES))), "out of order");
    assert!(is_span(refused(&|named| named.extend_from_within(..NAMED_BYTES))), "twice");
    assert!(is_span(refused(&|named| named[0] = 1)), "beyond the head");
    let mut hidden = good.clone();
    hidden.standing.remove(1);
    assert!(Replica::introduced(&hidden).is_err(), "the binding's signer is not shown");
}
