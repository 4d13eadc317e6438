//! Introductions: who a peer speaks for, shown by as few statements as that takes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

#[allow(dead_code, reason = "each story uses what it needs of the town")]
mod town;

use counterfoil_federation::message::{Introduction, MESSAGE_BYTES_MAX, NAMED_BYTES, Request, encode};
use counterfoil_federation::replica::{Replica, ReplicaError};
use counterfoil_federation::{Config, Input};
use counterfoil_protocol::identity::NodeBinding;
use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::keys::{SecretKey, Signer as _};
use counterfoil_protocol::mesh::Invitation;
use counterfoil_protocol::statement::{Authentic, Kind};
use town::{ALICE, BOB, CAROL, Town, observe, size, three};

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

fn binding(town: &Town, host: usize, counter: u64, expires: u64) -> Authentic {
    binding_of(town, host, &town.hosts[host].organisation.peer_key, counter, expires)
}

fn binding_of(town: &Town, host: usize, peer: &SecretKey, counter: u64, expires: u64) -> Authentic {
    let organisation = &town.hosts[host].organisation;
    let expires = Timestamp(expires);
    let key = peer.public_key();
    let message = NodeBinding::message(&organisation.id(), &key, counter, expires);
    let binding = NodeBinding {
        mesh: None,
        peer_key: key,
        counter,
        expires,
        addresses: Vec::new(),
        peer_signature: peer.sign(&message),
    };
    organisation.statement(Kind::Node, &binding)
}

#[test]
fn a_peer_that_was_away_beyond_its_bindings_expiry_renews_it_and_catches_up() {
    let mut town = three();
    let soon = town.now.timestamp().0 + 60;
    town.append(CAROL, binding(&town, CAROL, 2, soon));
    town.pass(5_000);
    assert_eq!(town.hosts[ALICE].engine.peers().filter(|peer| peer.binding.is_some()).count(), 2);
    town.disconnect(ALICE, CAROL);
    town.disconnect(BOB, CAROL);
    observe(&mut town, ALICE, 1);
    town.pass(120_000);
    drop(town.did(ALICE));
    town.connect(ALICE, CAROL);
    town.pass(5_000);
    let did = town.did(ALICE);
    assert!(did.iter().any(|did| did.contains("has expired")), "{did:?}");
    assert!(!did.iter().any(|did| did.contains("penalised") || did.contains("disconnect")), "{did:?}");
    assert_eq!(size(&town, CAROL, ALICE), 4, "who does not say who it is at present is told nothing");
    town.append(CAROL, binding(&town, CAROL, 3, soon + 100_000));
    town.pass(5_000);
    assert_eq!((size(&town, CAROL, ALICE), size(&town, ALICE, CAROL)), (5, 5));
}

#[test]
fn a_binding_that_runs_out_on_an_open_line_ends_what_the_peer_may_hear() {
    let mut town = three();
    let soon = town.now.timestamp().0 + 30;
    town.append(CAROL, binding(&town, CAROL, 2, soon));
    town.pass(60_000);
    let carol = town.key(CAROL);
    let speaks = |town: &Town| {
        let peer = town.hosts[ALICE].engine.peers().find(|peer| peer.key == carol).unwrap().clone();
        peer.organisation
    };
    assert_eq!(speaks(&town), None);
    town.append(CAROL, binding(&town, CAROL, 3, soon + 100_000));
    town.pass(5_000);
    assert_eq!(speaks(&town), Some(town.id(CAROL)));
}

#[test]
fn an_old_introduction_does_not_displace_a_newer_one() {
    let mut town = three();
    let far = town.now.timestamp().0 + 1_000_000;
    // What carol's node, restored from an old backup, would say again.
    let old = town.hosts[CAROL].engine.replicas()[&town.id(CAROL)].introduction(town.mesh).unwrap();
    town.append(CAROL, binding(&town, CAROL, 7, far));
    town.pass(5_000);
    let channel = counterfoil_federation::effect::ChannelId(77_777);
    let request = Request::Hello(Box::new(old));
    town.give(ALICE, Input::Asked { peer: town.key(CAROL), channel, request });
    let carol = town.hosts[ALICE].engine.peers().find(|peer| peer.key == town.key(CAROL)).unwrap();
    assert_eq!(carol.binding, Some((7, Timestamp(far))));
}

#[test]
fn a_peer_key_that_another_took_the_place_of_speaks_for_nobody_wherever_that_is_known() {
    let mut town = three();
    let later = town.now.timestamp().0 + 100_000;
    let next = SecretKey::from_seed(&[99; 32]);
    let carol = town.key(CAROL);
    let speaks = |town: &Town| {
        let peer = town.hosts[ALICE].engine.peers().find(|peer| peer.key == carol).unwrap().clone();
        peer.organisation
    };
    town.append(CAROL, binding_of(&town, CAROL, &next, 1, later));
    town.pass(5_000);
    assert_eq!(speaks(&town), Some(town.id(CAROL)), "of two with one counter neither is above the other");
    town.append(CAROL, binding_of(&town, CAROL, &next, 2, later));
    town.pass(5_000);
    assert_eq!(speaks(&town), None);
    drop(town.did(ALICE));
    town.disconnect(ALICE, CAROL);
    town.connect(ALICE, CAROL);
    town.pass(5_000);
    assert_eq!(speaks(&town), None);
    let did = town.did(ALICE);
    assert!(!did.iter().any(|did| did.contains("penalised")), "it may have been away meanwhile: {did:?}");
    // Whoever kept the former key cannot bring it back with a former chain: the highest counter that is known holds.
    town.append(CAROL, binding(&town, CAROL, 3, later));
    town.pass(5_000);
    assert_eq!(speaks(&town), Some(town.id(CAROL)));
}
