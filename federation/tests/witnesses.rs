//! The witnesses of a chain: who they are, what becomes of their signatures, and that nobody misses them unnoticed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

#[allow(dead_code, reason = "each story uses what it needs of the town")]
mod town;

use counterfoil_federation::effect::{Effect, Write};
use counterfoil_federation::engine::Identity;
use counterfoil_federation::store::{ChainSnapshot, Snapshot};
use counterfoil_federation::{Config, Engine};
use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::mesh::{Ballot, Charter};
use town::{ALICE, BOB, CAROL, Town, observe, three, vote};

#[test]
fn only_the_chosen_witness_cosigns() {
    let mut town = Town::new(4, 4, Config::default(), |charter| charter.witnesses = Some(1));
    let bob = town.id(BOB);
    let chosen = town.hosts[ALICE].engine.witnesses(&bob);
    assert_eq!(chosen.len(), 1);
    observe(&mut town, BOB, 1);
    town.pass(5_000);
    for host in 0..4 {
        let signed: Vec<OrganisationId> =
            town.hosts[host].engine.replicas()[&bob].cosignatures().keys().copied().collect();
        assert_eq!(signed, *chosen, "host {host}");
    }
}

#[test]
fn a_signature_of_whom_the_votes_make_no_witness_is_let_go_on_disk_too() {
    let one_witness = |charter: &mut Charter| (charter.witnesses, charter.witness_quorum) = (Some(1), 1);
    let mut town = Town::new(4, 4, Config::default(), one_witness);
    let carol = town.id(CAROL);
    let chosen = town.hosts[CAROL].engine.witnesses(&carol)[0];
    let others: Vec<usize> = (0..4).filter(|host| *host != CAROL && town.id(*host) != chosen).collect();
    observe(&mut town, CAROL, 1);
    let signed = |town: &Town| {
        let chain = &town.hosts[CAROL].engine.replicas()[&carol];
        chain.cosignatures().keys().copied().collect::<Vec<_>>()
    };
    assert_eq!(signed(&town), [chosen]);
    // Both votes are of the second in which it signed, so it was none by then.
    for voter in others {
        drop(town.did(CAROL));
        let vote = vote(&town, voter, chosen, Ballot::Expel);
        town.append(voter, vote);
    }
    let did = town.did(CAROL);
    assert!(did.contains(&"write 0 cosignatures".to_owned()), "{did:?}");
    assert!(!signed(&town).contains(&chosen));
}

#[test]
fn what_a_start_does_not_take_in_of_the_signatures_on_disk_is_let_go_there() {
    let one_witness = |charter: &mut Charter| (charter.witnesses, charter.witness_quorum) = (Some(1), 1);
    let mut town = Town::new(4, 4, Config::default(), one_witness);
    let carol = town.id(CAROL);
    observe(&mut town, CAROL, 1);
    let host = &town.hosts[CAROL];
    let own = &host.engine.replicas()[&carol];
    let standing = own.standing().iter().map(|one| (one.position(), one.bytes().clone())).collect();
    let head = own.head().unwrap().bytes().clone();
    let chain = ChainSnapshot {
        organisation: carol,
        range: own.range().clone(),
        standing,
        head: Some(head.clone()),
        cosignatures: own.lines(),
    };
    assert_eq!(chain.cosignatures.len(), 1);
    let start = |chains: Vec<ChainSnapshot>| {
        let identity = Identity {
            inception: host.organisation.inception.statement().bytes().clone(),
            chain_key: host.organisation.chain_key.clone(),
            witness_key: host.organisation.witness_key.clone(),
        };
        let membership = host.engine.membership().unwrap();
        let mesh = Some((town.mesh, membership.charter().clone()));
        let snapshot = Snapshot { chains, locked: Some(head.clone()), mesh, ..Snapshot::default() };
        let mut engine = Engine::new(Config::default(), identity, &snapshot, [8; 32]).unwrap();
        std::iter::from_fn(move || engine.poll_effect()).collect::<Vec<_>>()
    };
    // Of the witness's chain, and so of its key, nothing is on disk.
    let effects = start(vec![chain.clone()]);
    let [Effect::Persist { writes, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let [Write::Cosignatures { lines, .. }] = writes.as_slice() else { panic!("{writes:?}") };
    assert!(lines.is_empty());
    assert!(start(vec![ChainSnapshot { cosignatures: Vec::new(), ..chain }]).is_empty());
}

#[test]
fn witnesses_that_are_silent_are_named_once() {
    let mut town = Town::new(3, 3, Config::default(), |charter| charter.witness_quorum = 2);
    town.disconnect(ALICE, CAROL);
    town.disconnect(BOB, CAROL);
    observe(&mut town, ALICE, 1);
    drop(town.did(ALICE));
    town.pass(60_000);
    let did = town.did(ALICE);
    assert_eq!(did.iter().filter(|did| *did == "1 witnesses of 5 silent").count(), 1, "{did:?}");
    town.connect(BOB, CAROL);
    town.pass(10_000);
    assert!(town.did(ALICE).contains(&"witnessed 5".to_owned()));
}

#[test]
fn witnesses_that_are_away_are_named_though_nothing_waits_for_them() {
    let mut town = three();
    let carol = town.id(CAROL);
    town.disconnect(ALICE, CAROL);
    town.pass(58_000);
    let alarms = |town: &mut Town| {
        let did = town.did(ALICE);
        did.into_iter().filter(|did| did.ends_with("witnesses away")).collect::<Vec<_>>()
    };
    assert_eq!(alarms(&mut town), [""; 0], "word of her still counts");
    town.pass(6_000);
    assert_eq!(alarms(&mut town), ["1 of 2 witnesses away"]);
    assert!(town.hosts[ALICE].engine.witnesses_away().contains(&carol));
    town.pass(120_000);
    assert_eq!(alarms(&mut town), [""; 0], "it is said once");
    town.connect(ALICE, CAROL);
    town.pass(4_000);
    assert!(town.hosts[ALICE].engine.witnesses_away().is_empty());
    town.disconnect(ALICE, CAROL);
    town.disconnect(ALICE, BOB);
    town.pass(70_000);
    assert_eq!(alarms(&mut town), ["2 of 2 witnesses away"], "and again when it happens again");
}
