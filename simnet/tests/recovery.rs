//! Hosts that have lost track of their own heads and go on in a new epoch, honestly and not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::BTreeSet;

use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::identity::epoch_of;
use counterfoil_protocol::ids::OrganisationId;
use counterfoil_simnet::checkers::{OnDisk, convergence, exposure, no_honest_conviction};
use counterfoil_simnet::network::Weather;
use counterfoil_simnet::story::{check_all_is_well, mesh};
use counterfoil_simnet::world::World;

fn observe(world: &mut World, host: usize, count: u64) {
    for _ in 0..count {
        world.hosts[host].appended += 1;
        let n = world.hosts[host].appended;
        world.append(host, world.hosts[host].organisation.observation(n));
    }
}

fn proofs(world: &World) -> Vec<OnDisk<'_>> {
    world.hosts.iter().enumerate().map(|(index, host)| (index, host.disk.proofs())).collect()
}

fn frozen(world: &World, host: usize) -> Option<String> {
    world.hosts[host].engine.as_ref().unwrap().frozen().map(str::to_owned)
}

/// How many statements of host 0's chain a host has, and of which epoch its head is.
fn known(world: &World, host: usize) -> (usize, u64) {
    let chain = &world.hosts[host].disk.chains()[&world.hosts[0].id()];
    (chain.entries.len(), epoch_of(chain.head.as_ref().unwrap().seq()))
}

#[test]
fn a_lost_head_lock_is_recovered_from_and_everybody_follows() {
    for seed in 1..=20 {
        let mut world = mesh(seed, 4).unwrap();
        world.network.weather =
            Weather { loss: world.below(200), duplication: 100, delay_ms: 1 + world.below(300) };
        for epoch in 1..=2 {
            observe(&mut world, 0, 5);
            world.run_for(20_000);
            world.crash(0);
            world.hosts[0].disk.lose_lock();
            world.start(0).unwrap();
            observe(&mut world, 0, 1);
            world.run_for(20_000);
            assert!(frozen(&world, 0).unwrap().contains("head.lock is missing"), "seed {seed}");
            world.crash(0);
            world.recover(0).unwrap();
            assert_eq!(frozen(&world, 0), None);
            observe(&mut world, 0, 3);
            world.run_for(20_000);
            assert_eq!(known(&world, 0).1, epoch);
        }
        world.network.weather = Weather { loss: 0, duplication: 0, delay_ms: 20 };
        world.heal();
        world.run_for(60_000);
        check_all_is_well(&world).unwrap_or_else(|v| panic!("seed {seed}: {}: {}", v.checker, v.text));
        assert!(world.hosts.iter().all(|host| host.disk.proofs().is_empty()), "seed {seed}");
    }
}

#[test]
fn what_peers_have_is_fetched_before_and_is_not_given_up() {
    let mut world = mesh(3, 3).unwrap();
    let backup = world.hosts[0].disk.chains().clone();
    observe(&mut world, 0, 6);
    world.run_for(10_000);
    let all = known(&world, 0);
    world.crash(0);
    world.hosts[0].disk.restore_data(backup);
    world.hosts[0].disk.lose_lock();
    world.start(0).unwrap();
    world.run_for(20_000);
    assert_eq!(known(&world, 0), all, "it fetched what it had signed");
    assert!(frozen(&world, 0).is_some(), "and still it does not know whether that is all");
    world.crash(0);
    world.recover(0).unwrap();
    observe(&mut world, 0, 2);
    world.run_for(20_000);
    assert_eq!(known(&world, 1), (all.0 + 3, 1));
    check_all_is_well(&world).unwrap();
}

#[test]
fn what_nobody_has_is_given_up_and_convicts_nobody() {
    let mut world = mesh(4, 3).unwrap();
    observe(&mut world, 0, 2);
    world.run_for(10_000);
    let backup = world.hosts[0].disk.chains().clone();
    let kept = world.history.acknowledged.len();
    world.cut(0, 1);
    world.cut(0, 2);
    observe(&mut world, 0, 4);
    world.run_for(5_000);
    assert!(world.history.acknowledged.len() > kept, "it was said, and nobody heard");
    world.crash(0);
    world.hosts[0].disk.restore_data(backup);
    world.heal();
    world.start(0).unwrap();
    world.run_for(30_000);
    assert!(frozen(&world, 0).unwrap().contains("lags behind its head lock"));
    world.crash(0);
    world.recover(0).unwrap();
    world.history.acknowledged.truncate(kept);
    observe(&mut world, 0, 2);
    world.run_for(20_000);
    check_all_is_well(&world).unwrap();
    assert_eq!(no_honest_conviction(&proofs(&world), &BTreeSet::new()), None);
    assert_eq!(known(&world, 2).1, 1);
}

#[test]
fn who_holds_what_was_given_up_does_not_follow_and_convicts_nobody() {
    let mut world = mesh(5, 4).unwrap();
    observe(&mut world, 0, 2);
    world.run_for(10_000);
    let backup = world.hosts[0].disk.chains().clone();
    // Host 1 alone hears what is said then, and is away when the others are asked.
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        world.cut(a, b);
    }
    observe(&mut world, 0, 4);
    world.run_for(5_000);
    let held = known(&world, 1);
    world.crash(0);
    world.hosts[0].disk.restore_data(backup);
    world.hosts[0].disk.lose_lock();
    world.heal();
    for other in [0, 2, 3] {
        world.cut(1, other);
    }
    world.start(0).unwrap();
    world.run_for(10_000);
    world.crash(0);
    world.recover(0).unwrap();
    observe(&mut world, 0, 9);
    world.run_for(10_000);
    world.heal();
    world.run_for(30_000);
    let victim = world.hosts[0].id();
    assert_eq!(known(&world, 1), held, "what it was told stands");
    let reason = world.hosts[1].engine.as_ref().unwrap().not_followed()[&victim].clone();
    assert!(reason.contains("does not go on from head"), "{reason}");
    for follower in [2, 3] {
        assert_eq!(known(&world, follower), known(&world, 0));
        assert!(world.hosts[follower].engine.as_ref().unwrap().not_followed().is_empty());
    }
    assert!(world.hosts.iter().all(|host| host.disk.proofs().is_empty()));
}

/// Two machines with one organisation's keys, each shown to others; `change` happens to the second before all meet.
fn two_faces(
    seed: u64,
    before: impl Fn(&mut World),
    change: impl Fn(&mut World, usize),
) -> (World, OrganisationId) {
    let mut world = mesh(seed, 4).unwrap();
    before(&mut world);
    let face = world.second_face(0, &BTreeSet::from([2, 3])).unwrap();
    world.cut(1, 2);
    world.cut(1, 3);
    observe(&mut world, 0, 3);
    observe(&mut world, face, 5);
    world.run_for(10_000);
    change(&mut world, face);
    world.run_for(10_000);
    world.heal();
    world.run_for(10_000);
    let guilty = world.hosts[0].id();
    (world, guilty)
}

fn assert_exposed(world: &World, guilty: OrganisationId, epoch: u64) {
    let all = proofs(world);
    let honest: Vec<OnDisk<'_>> = all.into_iter().filter(|(host, _)| (1..=3).contains(host)).collect();
    assert_eq!(exposure(&honest, &BTreeSet::from([guilty])), None);
    assert_eq!(no_honest_conviction(&honest, &BTreeSet::from([guilty])), None);
    for (_, proofs) in honest {
        let proof = Misbehaviour::parse(&proofs[&guilty]).unwrap();
        assert_eq!(proof.succession.len() as u64, epoch, "{proof:?}");
    }
}

#[test]
fn a_recovery_hides_no_fork() {
    for seed in 1..=10 {
        // It forks its chain, and one face pretends to have lost its head lock.
        let (world, guilty) = two_faces(
            seed,
            |_| {},
            |world, face| {
                world.crash(face);
                world.hosts[face].disk.lose_lock();
                world.recover(face).unwrap();
                observe(world, face, 2);
            },
        );
        assert_exposed(&world, guilty, 0);
    }
}

#[test]
fn a_fork_in_a_later_epoch_is_exposed_as_in_the_first() {
    for seed in 1..=10 {
        let (world, guilty) = two_faces(
            seed,
            |world| {
                world.crash(0);
                world.hosts[0].disk.lose_lock();
                world.recover(0).unwrap();
                world.run_for(20_000);
                assert_eq!(known(world, 3).1, 1);
            },
            |_, _| {},
        );
        assert_exposed(&world, guilty, 1);
    }
}

#[test]
fn hosts_that_were_away_learn_of_the_new_epoch_from_each_other() {
    let mut world = mesh(9, 4).unwrap();
    world.crash(3);
    world.crash(0);
    world.hosts[0].disk.lose_lock();
    world.recover(0).unwrap();
    observe(&mut world, 0, 2);
    world.run_for(10_000);
    world.cut(0, 3);
    world.start(3).unwrap();
    world.cut(0, 3);
    world.run_for(30_000);
    assert_eq!(known(&world, 3), known(&world, 0));
    world.heal();
    world.run_for(20_000);
    check_all_is_well(&world).unwrap();
    let hosts: BTreeSet<_> = world.hosts.iter().map(|host| host.id()).collect();
    assert_eq!(convergence(&world.heads(), &hosts), None);
}
