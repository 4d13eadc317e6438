//! An organisation that shows two chains is exposed to every member within a bound, and nobody else is.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_federation::Input;
use counterfoil_federation::effect::GossipId;
use counterfoil_federation::message::{Announcement, Topic};
use counterfoil_protocol::chain::HeadDraft;
use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::chain::tree::leaf_hash;
use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::mesh::{Admission, Ballot};
use counterfoil_protocol::statement::Kind;
use counterfoil_simnet::checkers::{exposure, no_honest_conviction};
use counterfoil_simnet::equivocation::{BOUND_MS, run};
use counterfoil_simnet::swarm::mesh;

#[test]
fn forty_seeds_of_two_faces_are_exposed_within_the_bound() {
    let (mut slowest, mut different) = (0, 0);
    for seed in 1..=40 {
        let hosts = 3 + seed % 4;
        let run = run(seed, hosts).unwrap_or_else(|v| panic!("seed {seed}: {}: {}", v.checker, v.text));
        assert!(run.within_ms <= BOUND_MS, "seed {seed}: {} ms", run.within_ms);
        slowest = slowest.max(run.within_ms);
        different += u64::from(run.sizes.0 != run.sizes.1);
    }
    assert!(different >= 20, "{different} runs with branches of different lengths");
    println!("slowest exposure {slowest} ms; {different} of 40 runs with branches of different lengths");
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    assert_eq!(run(7, 5).unwrap(), run(7, 5).unwrap());
}

#[test]
fn each_checker_catches_a_planted_fault() {
    let world = mesh(5, 3).unwrap();
    let (guilty, honest) = (&world.hosts[0], &world.hosts[1]);
    let proof = |host: &counterfoil_simnet::host::Host| {
        let organisation = &host.organisation;
        let known = host.disk.chains()[&host.id()].head.clone().unwrap();
        let second = HeadDraft {
            organisation: host.id(),
            seq: known.seq(),
            previous: known.previous(),
            size: known.size(),
            root: leaf_hash(b"another tree"),
            standing: known.standing(),
            issued_at: known.issued_at(),
        };
        let second = second.sign(organisation.chain_key.as_ref()).unwrap();
        let inception = organisation.inception.statement().bytes();
        let proof = Misbehaviour::of(inception, &known, &second).unwrap();
        Arc::<[u8]>::from(counterfoil_federation::message::encode(&proof).unwrap())
    };
    let equivocators = BTreeSet::from([guilty.id()]);
    let with = BTreeMap::from([(guilty.id(), proof(guilty))]);
    assert_eq!(exposure(&[(1, &with), (2, &with)], &equivocators), None);
    assert_eq!(no_honest_conviction(&[(1, &with)], &equivocators), None);

    let without = BTreeMap::new();
    let missed = exposure(&[(1, &with), (2, &without)], &equivocators).unwrap();
    assert_eq!(missed.checker, "exposure");
    assert!(missed.text.starts_with("host 2"), "{}", missed.text);
    let mut damaged = with.clone();
    let changed: Vec<u8> = with[&guilty.id()].iter().map(|byte| byte ^ 1).collect();
    damaged.insert(guilty.id(), changed.into());
    assert!(exposure(&[(1, &damaged)], &equivocators).is_some());
    let of_another = BTreeMap::from([(guilty.id(), proof(honest))]);
    assert!(exposure(&[(1, &of_another)], &equivocators).is_some());

    for wrong in [damaged, of_another, BTreeMap::from([(honest.id(), proof(honest))])] {
        let violation = no_honest_conviction(&[(1, &wrong)], &equivocators).unwrap();
        assert_eq!(violation.checker, "no-honest-conviction");
    }
}

#[test]
fn an_equivocators_votes_count_no_more_wherever_they_were_seen() {
    let mut world = mesh(6, 4).unwrap();
    let guilty = world.hosts[0].id();
    let mesh_id = world.hosts[1].engine.as_ref().unwrap().membership().unwrap().mesh();
    let candidate = OrganisationId::from_bytes([7; 32]);
    let vote = Admission { mesh: mesh_id, organisation: candidate, ballot: Ballot::Admit, after: None };
    world.append(1, world.hosts[1].organisation.statement(Kind::Admission, &vote));
    world.run_for(5_000);
    // One face votes before one part of the members, the other face says something else before the rest.
    let face = world.second_face(0, &BTreeSet::from([3])).unwrap();
    for honest in 1..=2 {
        world.cut(honest, 3);
    }
    world.append(0, world.hosts[0].organisation.statement(Kind::Admission, &vote));
    for n in 1..=4 {
        world.append(face, world.hosts[face].organisation.observation(n));
    }
    world.run_for(10_000);
    let is_member = |world: &counterfoil_simnet::world::World, host: usize| {
        world.hosts[host].engine.as_ref().unwrap().membership().unwrap().contains(&candidate)
    };
    assert_eq!([1, 2, 3].map(|host| is_member(&world, host)), [true, true, false]);
    world.heal();
    world.run_for(20_000);
    for host in 1..=3 {
        let engine = world.hosts[host].engine.as_ref().unwrap();
        assert_eq!(engine.misbehaved(), BTreeSet::from([guilty]), "host {host}");
        assert!(engine.membership().unwrap().is_quarantined(&guilty));
        assert!(!is_member(&world, host), "host {host}: one vote of the two needed");
    }
    // Its nodes get no more pages either, while members go on among themselves.
    let own = world.hosts[1].id();
    let seen = |world: &counterfoil_simnet::world::World, host: usize| {
        world.hosts[host].disk.chains()[&own].entries.len()
    };
    let before = [0, 2, face].map(|host| seen(&world, host));
    world.append(1, world.hosts[1].organisation.observation(1));
    world.run_for(20_000);
    assert_eq!([0, 2, face].map(|host| seen(&world, host)), [before[0], before[1] + 1, before[2]]);
}

#[test]
fn an_older_head_of_another_branch_is_found_out_by_the_own_store() {
    let mut world = mesh(8, 3).unwrap();
    let guilty = world.hosts[0].organisation.clone();
    let earlier = world.hosts[1].disk.chains()[&guilty.id()].head.clone().unwrap();
    for n in 1..=9 {
        world.append(0, guilty.observation(n));
        world.run_for(500);
    }
    world.run_for(5_000);
    let chain = &world.hosts[1].disk.chains()[&guilty.id()];
    assert!(chain.head.as_ref().unwrap().size().0 > earlier.size().0 + 5);
    // A head that was signed long ago, over what was never shown here; its branch is gone.
    let tell = |world: &mut counterfoil_simnet::world::World, root| {
        let old = HeadDraft {
            organisation: guilty.id(),
            seq: counterfoil_protocol::ids::HeadSeq(earlier.seq().0 + 1),
            previous: Some(earlier.hash()),
            size: counterfoil_protocol::ids::TreeSize(earlier.size().0 + 1),
            root,
            standing: earlier.standing(),
            issued_at: earlier.issued_at(),
        };
        let head = old.sign(guilty.chain_key.as_ref()).unwrap();
        let head = counterfoil_protocol::ids::ByteString(head.bytes().to_vec());
        let told = Announcement {
            head,
            cosignatures: Vec::new(),
            inception: None,
            succession: Vec::new(),
            page: None,
        };
        let bytes = counterfoil_federation::message::encode(&told).unwrap();
        let (peer, gossip) = (world.key(2), GossipId(1 << 60));
        world.input(1, Input::Heard { peer, gossip, topic: Topic::Heads, bytes });
        world.run_for(10_000);
    };
    let chain = &world.hosts[1].disk.chains()[&guilty.id()];
    let honest = counterfoil_protocol::chain::proof::root(
        chain,
        counterfoil_protocol::ids::TreeSize(earlier.size().0 + 1),
    );
    tell(&mut world, honest.unwrap());
    assert!(world.hosts.iter().all(|host| host.disk.proofs().is_empty()), "it fits, so it proves nothing");
    tell(&mut world, leaf_hash(b"another tree"));
    for host in 1..=2 {
        assert!(world.hosts[host].disk.proofs().contains_key(&guilty.id()), "host {host}");
    }
}
