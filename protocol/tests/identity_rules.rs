//! The rules of identity, one row each: what stands in the chain, what is to be added, and whether it may be.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_protocol::identity::{Revocation, Standing};
use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::statement::{Kind, Payload, verify};
use counterfoil_protocol::test_support::identity::{ROWS, World, succeeded, suspended, with_authority};
use counterfoil_protocol::test_support::recovery::RECOVERY_ROWS;

#[test]
fn every_rule_holds_and_is_refused_by_name_where_it_does_not() {
    for (name, prepare, attempt, expected) in ROWS.iter().chain(RECOVERY_ROWS) {
        let mut world = World::new();
        prepare(&mut world);
        let before = world.state.standing_digest();
        let found = world.tries(attempt(&world));
        match (&found, expected) {
            (None, None) => {}
            (Some((check, words)), Some((expected, fragment))) => {
                assert!(check == expected && words.contains(fragment), "{name}: {check}: {words}");
            }
            _ => assert_eq!(found.as_ref().map(|f| f.0), expected.map(|e| e.0), "{name}: {found:?}"),
        }
        assert_eq!(world.state.standing_digest(), before, "{name}");
    }
    assert!(ROWS.len() >= 50 && RECOVERY_ROWS.len() >= 25, "{} rows", ROWS.len() + RECOVERY_ROWS.len());
}

#[test]
fn what_witnesses_had_seen_before_a_key_was_lost_stands() {
    let mut world = World::new();
    with_authority(&mut world);
    let signed_at = world.state.next_position();
    world.add(world.observe(10));
    let authority = world.authority(10);
    let revocation = Revocation {
        authority,
        reason: "stolen".into(),
        compromised_since: Some(signed_at),
        compromised_at: Some(Timestamp(5000)),
    };
    world.add(world.organisation.root_statement(Kind::Revocation, &revocation));
    let standing = |witnessed: Option<u64>| {
        let witnessed = witnessed.map(Timestamp);
        world.state.standing_with_witnesses(&authority, signed_at, Timestamp(1000), witnessed)
    };
    assert_eq!(standing(None), Standing::Compromised);
    assert_eq!(standing(Some(5000)), Standing::Compromised);
    assert_eq!(standing(Some(4999)), Standing::InForce);
}

#[test]
fn a_status_tells_those_with_few_statements_who_is_out() {
    let mut world = World::new();
    suspended(&mut world);
    world.add(world.issue(&world.credential(12)));
    world.add(world.revoke(world.authority(12)));
    let status = world.state.status_now(Timestamp(9000));
    assert_eq!(
        (&status.revoked, &status.suspended),
        (&vec![world.authority(12)], &vec![world.authority(10)])
    );
    let at = world.state.next_position();
    world.add(world.organisation.statement(Kind::Status, &status));
    assert_eq!(world.state.status(), Some(&(at, status)));
}

#[test]
fn an_authority_keeps_its_id_when_it_has_a_new_key() {
    let mut world = World::new();
    succeeded(&mut world);
    let statement = world.observe(20);
    let verified = verify(&world.state, statement).unwrap();
    let Payload::Observation(_) = verified.payload() else { unreachable!("an observation") };
    assert_eq!(
        verified.signatory(),
        counterfoil_protocol::statement::Signatory::Authority(world.authority(10))
    );
}
