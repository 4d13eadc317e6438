//! Agreements between simulated organisations: what is for parties reaches all of them and nobody else, whenever they
//! accept, whoever is away, and through every fault.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_protocol::ids::{OrganisationId, StatementId, Timestamp};
use counterfoil_protocol::mesh::{Acceptance, Agreement};
use counterfoil_protocol::statement::{Authentic, Draft, Kind, Visibility};
use counterfoil_protocol::test_support::{draft, observation};
use counterfoil_simnet::checkers::{Violation, bounds::limited_stays_limited};
use counterfoil_simnet::network::Weather;
use counterfoil_simnet::story::{check_all_is_well, mesh};
use counterfoil_simnet::world::World;

/// Proposed by the first of the hosts named.
fn agreement(world: &World, parties: &[usize], until: Option<Timestamp>) -> Authentic {
    let mut ids: Vec<OrganisationId> = parties.iter().map(|host| world.hosts[*host].id()).collect();
    ids.sort();
    let agreement = Agreement {
        parties: ids,
        kinds: vec![Kind::Observation],
        subjects: Vec::new(),
        jurisdictions: Vec::new(),
        from: Timestamp(0),
        until,
        link_answer_s: None,
        purpose: String::new(),
    };
    world.hosts[parties[0]].organisation.statement(Kind::Agreement, &agreement)
}

fn accept(world: &mut World, host: usize, agreement: StatementId, withdrawn: bool) {
    let acceptance = Acceptance { agreement, withdrawn };
    world.append(host, world.hosts[host].organisation.statement(Kind::Acceptance, &acceptance));
}

/// What a host says to the parties of an agreement, or to nobody. Gives its id.
fn limited(world: &mut World, host: usize, visibility: Visibility, n: u64) -> StatementId {
    let organisation = world.hosts[host].organisation.clone();
    let said = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/test", n));
    let signed = Draft { visibility, ..said }.sign(&organisation.authority_key).unwrap();
    let id = signed.statement().id();
    world.append(host, signed);
    id
}

/// Whether a host's disk has a statement.
fn has(world: &World, host: usize, id: StatementId) -> bool {
    let chains = world.hosts[host].disk.chains().values();
    chains.flat_map(|chain| &chain.entries).any(|stored| stored.statement.as_ref().is_some_and(|s| s.0 == id))
}

/// The hosts that have it.
fn readers(world: &World, id: StatementId) -> Vec<usize> {
    (0..world.hosts.len()).filter(|host| has(world, *host, id)).collect()
}

fn leak(world: &World) -> Option<Violation> {
    let disks: Vec<_> =
        world.hosts.iter().enumerate().map(|(index, host)| (index, host.id(), host.disk.chains())).collect();
    limited_stays_limited(&disks)
}

#[test]
fn parties_are_given_what_was_said_before_and_after_all_had_accepted() {
    let mut world = mesh(31, 4).unwrap();
    let proposal = agreement(&world, &[0, 1, 2], None);
    let id = proposal.statement().id();
    world.append(0, proposal);
    world.run_for(1_000);
    let visibility = Visibility::Parties(id);
    let before: Vec<_> = (1..=7).map(|n| limited(&mut world, 0, visibility, n)).collect();
    let private = limited(&mut world, 0, Visibility::Private, 90);
    accept(&mut world, 1, id, false);
    world.run_for(20_000);
    check_all_is_well(&world).unwrap();
    before.iter().for_each(|one| assert_eq!(readers(&world, *one), [0], "the third has not accepted"));

    accept(&mut world, 2, id, false);
    world.run_for(20_000);
    before.iter().for_each(|one| assert_eq!(readers(&world, *one), [0, 1, 2]));
    let after: Vec<_> =
        [(0, 20), (1, 21), (2, 22)].map(|(host, n)| limited(&mut world, host, visibility, n)).into();
    world.run_for(20_000);
    after.iter().for_each(|one| assert_eq!(readers(&world, *one), [0, 1, 2]));
    assert_eq!(readers(&world, private), [0]);

    // What has crossed stays; nothing more does.
    accept(&mut world, 1, id, true);
    world.run_for(10_000);
    let refused = limited(&mut world, 2, visibility, 30);
    world.run_for(10_000);
    assert_eq!(readers(&world, refused), Vec::<usize>::new(), "it is not even appended");
    assert_eq!(leak(&world), None);
    check_all_is_well(&world).unwrap();
}

#[test]
fn who_was_away_gets_it_from_its_author_also_when_others_told_of_it_first() {
    let mut world = mesh(32, 4).unwrap();
    let proposal = agreement(&world, &[0, 1], None);
    let id = proposal.statement().id();
    world.append(0, proposal);
    accept(&mut world, 1, id, false);
    world.run_for(10_000);
    // The author and the other party lose each other; the others pass the chain on, without what is not for them.
    world.cut(0, 1);
    let said = limited(&mut world, 0, Visibility::Parties(id), 1);
    world.run_for(20_000);
    assert_eq!(readers(&world, said), [0]);
    check_all_is_well(&world).unwrap();
    world.heal();
    world.run_for(20_000);
    assert_eq!(readers(&world, said), [0, 1]);
    assert_eq!(leak(&world), None);
}

#[test]
fn an_agreement_ends_by_itself_when_its_time_is_over() {
    let mut world = mesh(33, 3).unwrap();
    // The world begins at second 1000 and has run for ten.
    let proposal = agreement(&world, &[0, 1], Some(Timestamp(1040)));
    let id = proposal.statement().id();
    world.append(0, proposal);
    world.run_for(40_000);
    accept(&mut world, 1, id, false);
    let late = limited(&mut world, 0, Visibility::Parties(id), 1);
    world.run_for(20_000);
    assert_eq!(readers(&world, late), Vec::<usize>::new());
    assert_eq!(leak(&world), None);
}

#[test]
fn through_crashes_partitions_and_loss_all_parties_get_it_and_nobody_else() {
    for seed in 40..46 {
        let mut world = mesh(seed, 5).unwrap();
        let proposals = [agreement(&world, &[0, 1, 2], None), agreement(&world, &[3, 0], None)];
        let ids = [proposals[0].statement().id(), proposals[1].statement().id()];
        let [first, second] = proposals;
        world.append(0, first);
        world.append(3, second);
        world.run_for(1_000);
        world.network.weather = Weather { loss: 100, duplication: 100, delay_ms: 200 };
        let mut said = Vec::new();
        let words = [(1, ids[0]), (2, ids[0]), (0, ids[1])];
        for n in 0..12u64 {
            let (a, b) = (world.below(5) as usize, world.below(5) as usize);
            if a != b {
                world.cut(a, b);
            }
            if let Some((host, id)) = words.get(n as usize / 3).filter(|_| n % 3 == 0) {
                accept(&mut world, *host, *id, false);
            }
            said.push((limited(&mut world, 0, Visibility::Parties(ids[0]), 100 + n), vec![0, 1, 2]));
            said.push((limited(&mut world, 3, Visibility::Parties(ids[1]), 200 + n), vec![0, 3]));
            let ms = 200 + world.below(800);
            world.run_for(ms);
            let victim = world.below(5) as usize;
            world.crash(victim);
            world.run_for(100);
            assert_eq!(leak(&world), None, "seed {seed}");
            world.start(victim).unwrap();
            if n % 4 == 3 {
                world.heal();
            }
        }
        world.network.weather = Weather { loss: 0, duplication: 0, delay_ms: 5 };
        world.heal();
        // A word that a crash took back is said again.
        for (host, id) in words {
            accept(&mut world, host, id, false);
        }
        world.run_for(60_000);
        assert_eq!(leak(&world), None, "seed {seed}");
        check_all_is_well(&world).unwrap();
        let mut arrived = 0;
        for (id, parties) in said {
            let readers = readers(&world, id);
            assert!(readers.is_empty() || readers == parties, "seed {seed}: {readers:?} of {parties:?}");
            arrived += usize::from(!readers.is_empty());
        }
        assert!(arrived > 0, "seed {seed}: nothing was said");
    }
}

#[test]
fn the_checker_sees_what_lies_where_it_must_not() {
    let mut world = mesh(34, 3).unwrap();
    let proposal = agreement(&world, &[0, 1], None);
    let id = proposal.statement().id();
    world.append(0, proposal);
    accept(&mut world, 1, id, false);
    world.run_for(1_000);
    limited(&mut world, 0, Visibility::Parties(id), 1);
    world.run_for(20_000);
    assert_eq!(leak(&world), None);
    // Two disks are taken for each other's.
    let disks = [(0, 1), (1, 2), (2, 0)]
        .map(|(index, of)| (index, world.hosts[index].id(), world.hosts[of].disk.chains()));
    assert_eq!(limited_stays_limited(&disks).unwrap().checker, "limited-stays-limited");
    let mut world = mesh(35, 2).unwrap();
    limited(&mut world, 0, Visibility::Private, 1);
    world.run_for(10_000);
    assert_eq!(leak(&world), None);
    let disks = [(1, world.hosts[1].id(), world.hosts[0].disk.chains())];
    assert_eq!(limited_stays_limited(&disks).unwrap().checker, "limited-stays-limited");
}
