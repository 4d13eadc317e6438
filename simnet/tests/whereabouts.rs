//! Looking for statements that are not here, in a simulated mesh: they come from whoever has them, withheld ones do not, and
//! whoever asks waits no longer than it said.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::BTreeSet;

use counterfoil_federation::Input;
use counterfoil_federation::effect::GatherId;
use counterfoil_federation::whereabouts::LocatedAnswer;
use counterfoil_protocol::ids::StatementId;
use counterfoil_protocol::statement::{Draft, Kind, Visibility};
use counterfoil_protocol::test_support::{draft, observation};
use counterfoil_simnet::network::Weather;
use counterfoil_simnet::story::{check_all_is_well, mesh};
use counterfoil_simnet::world::World;

fn look_for(world: &mut World, host: usize, id: StatementId) {
    world.located.clear();
    let statements = BTreeSet::from([id]);
    world.input(host, Input::Locate { gather: GatherId(1), statements, wait_ms: 3_000 });
}

/// What came of asking host `other`, once there is an answer.
fn answer(world: &World, other: usize) -> Option<LocatedAnswer> {
    let (_, _, answers) = world.located.first()?;
    let id = world.hosts[other].id();
    answers.iter().find(|one| one.organisation == id).map(|one| one.answer.clone())
}

fn is_here(world: &World, host: usize, id: &StatementId) -> bool {
    let chains = world.hosts[host].disk.chains();
    chains
        .values()
        .flat_map(|chain| &chain.entries)
        .any(|entry| entry.statement.as_ref().is_some_and(|(found, ..)| found == id))
}

/// Statements that host 0 makes while host 2 cannot hear it; host 1 hears both.
fn said_behind_the_back(world: &mut World, count: u64, visibility: Visibility) -> StatementId {
    world.cut(0, 2);
    world.cut(1, 2);
    let organisation = world.hosts[0].organisation.clone();
    let mut last = None;
    for n in 1..=count {
        let said = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/test", n));
        let statement = Draft { visibility, ..said }.sign(&organisation.authority_key).unwrap();
        last = Some(statement.statement().id());
        world.append(0, statement);
    }
    world.run_for(10_000);
    last.unwrap()
}

#[test]
fn a_long_chain_comes_whole_from_its_author_or_from_somebody_else() {
    for author_is_away in [false, true] {
        let mut world = mesh(71, 3).unwrap();
        let id = said_behind_the_back(&mut world, 12, Visibility::Mesh);
        if author_is_away {
            world.crash(0);
        }
        world.heal();
        look_for(&mut world, 2, id);
        assert!(!is_here(&world, 2, &id));
        world.run_for(3_000);
        let other = answer(&world, 1).unwrap();
        assert!(matches!(&other, LocatedAnswer::Has(places) if places[0].open), "{other:?}");
        let author = answer(&world, 0).unwrap();
        assert_eq!(matches!(author, LocatedAnswer::Unreachable { .. }), author_is_away, "{author:?}");
        assert!(is_here(&world, 2, &id));
        check_all_is_well(&world).unwrap();
    }
}

#[test]
fn of_what_is_withheld_the_digest_comes_and_nothing_else() {
    let mut world = mesh(72, 3).unwrap();
    let id = said_behind_the_back(&mut world, 3, Visibility::Private);
    world.heal();
    look_for(&mut world, 2, id);
    world.run_for(3_000);
    let author = answer(&world, 0).unwrap();
    assert!(matches!(&author, LocatedAnswer::Has(places) if !places[0].open), "{author:?}");
    assert_eq!(answer(&world, 1), Some(LocatedAnswer::Has(Vec::new())), "it has the digest alone");
    assert!(!is_here(&world, 2, &id));
    check_all_is_well(&world).unwrap();
}

#[test]
fn who_is_silent_is_waited_for_no_longer_than_was_said() {
    let mut world = mesh(73, 3).unwrap();
    let id = said_behind_the_back(&mut world, 1, Visibility::Mesh);
    world.heal();
    world.run_for(5_000);
    world.network.weather = Weather { loss: 1000, duplication: 0, delay_ms: 20 };
    let other = StatementId::from_bytes([7; 32]);
    look_for(&mut world, 2, other);
    world.run_for(2_990);
    assert_eq!(answer(&world, 0), None);
    world.run_for(20);
    assert!(matches!(answer(&world, 0), Some(LocatedAnswer::Silent { since: Some(_) })));
    assert!(is_here(&world, 2, &id), "what had come is here");
}
