//! Seeded runs, the stories that matter most, and a planted fault for each checker.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_protocol::chain::HeadDraft;
use counterfoil_protocol::chain::tree::leaf_hash;
use counterfoil_protocol::ids::{HeadHash, OrganisationId, Position};
use counterfoil_protocol::mesh::{Admission, Ballot};
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::TestOrganisation;
use counterfoil_simnet::checkers::{AppendOnly, acknowledged_is_provable, convergence, no_honest_fork};
use counterfoil_simnet::swarm::{check_all_is_well, mesh, mesh_of, run};

#[test]
fn forty_seeds_of_crashes_partitions_and_loss_end_well() {
    for seed in 1..=40 {
        let history = run(seed, 4, 30).unwrap_or_else(|v| panic!("seed {seed}: {}: {}", v.checker, v.text));
        assert!(!history.acknowledged.is_empty(), "seed {seed} did nothing");
    }
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    assert_eq!(run(7, 4, 30).unwrap().trace, run(7, 4, 30).unwrap().trace);
}

#[test]
fn all_members_have_all_heads_and_the_charters_quorum_has_witnessed_them() {
    let mut world = mesh(1, 3).unwrap();
    world.append(1, world.hosts[1].organisation.observation(1));
    world.run_for(10_000);
    check_all_is_well(&world).unwrap();
    for host in &world.hosts {
        for chain in host.disk.chains().values() {
            assert_eq!(chain.cosignatures.len(), 2, "both others have cosigned");
        }
    }
}

#[test]
fn an_outsider_is_told_nothing_until_enough_members_have_voted_for_it() {
    let mut world = mesh(2, 3).unwrap();
    let outsider = Arc::new(TestOrganisation::new(77));
    world.hosts.push(counterfoil_simnet::host::Host::new(outsider.clone()));
    world.start(3).unwrap();
    outsider.opening().into_iter().for_each(|statement| world.append(3, statement));
    world.run_for(10_000);
    assert_eq!(world.hosts[3].disk.chains().len(), 1, "its own chain alone");
    assert!(world.hosts[0].engine.as_ref().unwrap().candidates().contains(&outsider.id()));

    let (mesh_id, members) = {
        let membership = world.hosts[0].engine.as_ref().unwrap().membership().unwrap();
        (membership.mesh(), membership.members().to_vec())
    };
    assert_eq!(members.len(), 3);
    let vote = Admission { mesh: mesh_id, organisation: outsider.id(), ballot: Ballot::Admit, after: None };
    world.append(0, world.hosts[0].organisation.statement(Kind::Admission, &vote));
    world.run_for(10_000);
    assert_eq!(world.hosts[3].disk.chains().len(), 1, "one vote of the two needed");
    world.append(1, world.hosts[1].organisation.statement(Kind::Admission, &vote));
    world.run_for(20_000);
    check_all_is_well(&world).unwrap();
    assert_eq!(world.hosts[3].disk.chains().len(), 4);
}

#[test]
fn a_restored_backup_signs_nothing_until_it_has_caught_up() {
    let mut world = mesh(3, 3).unwrap();
    let backup = world.hosts[0].disk.chains().clone();
    for n in 1..=5 {
        world.append(0, world.hosts[0].organisation.observation(n));
    }
    world.run_for(10_000);
    let acknowledged = world.history.acknowledged.len();
    world.crash(0);
    world.hosts[0].disk.restore_data(backup);
    world.cut(0, 1);
    world.cut(0, 2);
    world.start(0).unwrap();
    world.append(0, world.hosts[0].organisation.observation(9));
    world.run_for(5_000);
    assert!(world.hosts[0].engine.as_ref().unwrap().frozen().is_some());
    assert_eq!(world.history.acknowledged.len(), acknowledged, "nothing was signed");
    world.heal();
    world.run_for(20_000);
    assert_eq!(world.hosts[0].engine.as_ref().unwrap().frozen(), None);
    world.append(0, world.hosts[0].organisation.observation(10));
    world.run_for(10_000);
    assert_eq!(world.history.acknowledged.len(), acknowledged + 1);
    check_all_is_well(&world).unwrap();
}

#[test]
fn two_nodes_with_one_key_are_exposed_to_everybody() {
    let twin = Arc::new(TestOrganisation::new(500));
    let others = (501..=503).map(|seed| Arc::new(TestOrganisation::new(seed)));
    let organisations: Vec<_> = std::iter::once(twin.clone()).chain(others).collect();
    let mut world = mesh_of(4, organisations).unwrap();
    let guilty = twin.id();
    for n in 1..=3 {
        world.append(0, twin.observation(n));
    }
    world.run_for(10_000);
    // The same keys on a second machine: a head with the number of the first machine's, over another tree.
    let known = world.hosts[1].disk.chains()[&guilty].head.clone().unwrap();
    let forged = HeadDraft {
        organisation: guilty,
        seq: known.seq(),
        previous: known.previous(),
        size: known.size(),
        root: leaf_hash(b"another tree"),
        standing: known.standing(),
        issued_at: known.issued_at(),
    };
    let forged = forged.sign(twin.chain_key.as_ref()).unwrap();
    let announcement = counterfoil_federation::message::Announcement {
        head: counterfoil_protocol::ids::ByteString(forged.bytes().to_vec()),
        cosignatures: Vec::new(),
        inception: None,
        succession: Vec::new(),
        page: None,
    };
    // It reaches one honest host only.
    let bytes = counterfoil_federation::message::encode(&announcement).unwrap();
    let peer = world.key(0);
    world.input(
        1,
        counterfoil_federation::Input::Heard {
            peer,
            gossip: counterfoil_federation::effect::GossipId(1 << 60),
            topic: counterfoil_federation::message::Topic::Heads,
            bytes,
        },
    );
    world.run_for(10_000);
    for index in 1..=3 {
        let engine = world.hosts[index].engine.as_ref().unwrap();
        assert_eq!(engine.misbehaved(), BTreeSet::from([guilty]), "host {index}");
    }
}

#[test]
fn each_checker_catches_a_planted_fault() {
    let world = mesh(5, 3).unwrap();
    check_all_is_well(&world).unwrap();
    let id = world.hosts[0].id();
    let chain = &world.hosts[0].disk.chains()[&id];

    let mut append_only = AppendOnly::default();
    assert_eq!(append_only.look(0, id, chain), None);
    let mut shorter = chain.clone();
    shorter.entries.pop();
    assert_eq!(append_only.look(0, id, &shorter).unwrap().checker, "append-only");

    let mut history = world.history.clone();
    assert_eq!(no_honest_fork(&history, &BTreeSet::new()), None);
    let mut second = history.published[0].clone();
    second.hash = HeadHash::from_bytes([9; 32]);
    history.published.push(second);
    assert_eq!(no_honest_fork(&history, &BTreeSet::new()).unwrap().checker, "no-honest-fork");

    let organisations: BTreeSet<OrganisationId> = world.hosts.iter().map(|host| host.id()).collect();
    let mut heads = world.heads();
    assert_eq!(convergence(&heads, &organisations), None);
    heads[2].1.insert(id, Some(HeadHash::from_bytes([9; 32])));
    assert_eq!(convergence(&heads, &organisations).unwrap().checker, "convergence");

    let history = world.history.clone();
    let chains: BTreeMap<_, _> = world.hosts.iter().map(|h| (h.id(), &h.disk.chains()[&h.id()])).collect();
    assert_eq!(acknowledged_is_provable(&history, &chains), None);
    let mut lost = history.clone();
    lost.acknowledged[0].position = Position(1_000);
    assert_eq!(acknowledged_is_provable(&lost, &chains).unwrap().checker, "acknowledged-provable");
    let truncated = BTreeMap::from([(id, &shorter)]);
    let mut last = history;
    last.acknowledged.retain(|a| a.organisation == id);
    assert!(acknowledged_is_provable(&last, &truncated).is_some());
}
