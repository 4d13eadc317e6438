//! Stories of single faults, told in small worlds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::BTreeSet;
use std::sync::Arc;

use counterfoil_federation::Input;
use counterfoil_federation::effect::GossipId;
use counterfoil_federation::message::{Topic, encode};
use counterfoil_protocol::chain::HeadDraft;
use counterfoil_protocol::chain::proof::root;
use counterfoil_protocol::chain::tree::leaf_hash;
use counterfoil_protocol::ids::{ByteString, HeadSeq, OrganisationId, TreeSize};
use counterfoil_protocol::mesh::{Admission, Ballot};
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::TestOrganisation;
use counterfoil_simnet::story::{check_all_is_well, mesh};
use counterfoil_simnet::wire::hint;
use counterfoil_simnet::workload::{self, What};
use counterfoil_simnet::world::World;

#[test]
fn all_members_have_all_heads_and_the_charters_quorum_has_witnessed_them() {
    let mut world = mesh(1, 3).unwrap();
    world.append(1, world.hosts[1].organisation.observation(1));
    world.run_for(10_000);
    check_all_is_well(&world).unwrap();
    for host in &world.hosts {
        for chain in host.disk.chains().values() {
            assert!(!chain.cosignatures.is_empty(), "a quorum of one has cosigned");
        }
    }
}

#[test]
fn an_outsider_is_told_nothing_until_enough_members_have_voted_for_it() {
    let mut world = mesh(2, 3).unwrap();
    let outsider = Arc::new(TestOrganisation::new(77));
    assert_eq!(world.add_host(outsider.clone(), &[0, 1, 2]), 3);
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
fn a_node_introduces_itself_once_its_chain_says_which_peer_it_is() {
    let mut world = mesh(2, 3).unwrap();
    let outsider = Arc::new(TestOrganisation::new(77));
    world.add_host(outsider.clone(), &[0, 1, 2]);
    world.start(3).unwrap();
    // Its first head is let out as soon as there is one statement, and everybody is connected by then.
    world.run_for(1_000);
    outsider.opening().into_iter().for_each(|statement| world.append(3, statement));
    world.run_for(10_000);
    assert!(world.history.penalties.is_empty(), "{:?}", world.history.penalties);
    assert!(world.hosts[0].engine.as_ref().unwrap().candidates().contains(&outsider.id()));
}

#[test]
fn what_was_under_way_when_a_peer_got_another_key_is_nobodys_word() {
    for wait_ms in (0..60).step_by(4) {
        let mut world = mesh(3, 3).unwrap();
        world.run_for(10_000);
        world.cut(0, 1);
        world.run_for(1_000);
        // Both introduce themselves, and before that arrives one of them goes on under another key.
        world.heal();
        world.run_for(wait_ms);
        workload::say(&mut world, 0, What::Rotate);
        world.run_for(10_000);
        assert!(world.history.penalties.is_empty(), "{wait_ms} ms: {:?}", world.history.penalties);
        check_all_is_well(&world).unwrap();
    }
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
    let mut world = mesh(4, 4).unwrap();
    let twin = world.hosts[0].organisation.clone();
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
    let told = hint(ByteString(forged.bytes().to_vec()), Vec::new());
    // It reaches one honest host only.
    let bytes = encode(&told).unwrap();
    let peer = world.key(0);
    world.input(1, Input::Heard { peer, gossip: GossipId(1 << 60), topic: Topic::Heads, bytes });
    world.run_for(10_000);
    for index in 1..=3 {
        let engine = world.hosts[index].engine.as_ref().unwrap();
        assert_eq!(engine.misbehaved(), BTreeSet::from([guilty]), "host {index}");
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
    let is_member = |world: &World, host: usize| {
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
    let seen = |world: &World, host: usize| world.hosts[host].disk.chains()[&own].entries.len();
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
    let tell = |world: &mut World, root| {
        let old = HeadDraft {
            organisation: guilty.id(),
            seq: HeadSeq(earlier.seq().0 + 1),
            previous: Some(earlier.hash()),
            size: TreeSize(earlier.size().0 + 1),
            root,
            standing: earlier.standing(),
            issued_at: earlier.issued_at(),
        };
        let head = old.sign(guilty.chain_key.as_ref()).unwrap();
        let told = hint(ByteString(head.bytes().to_vec()), Vec::new());
        let bytes = encode(&told).unwrap();
        let (peer, gossip) = (world.key(2), GossipId(1 << 60));
        world.input(1, Input::Heard { peer, gossip, topic: Topic::Heads, bytes });
        world.run_for(10_000);
    };
    let chain = &world.hosts[1].disk.chains()[&guilty.id()];
    let honest = root(chain, TreeSize(earlier.size().0 + 1));
    tell(&mut world, honest.unwrap());
    assert!(world.hosts.iter().all(|host| host.disk.proofs().is_empty()), "it fits, so it proves nothing");
    tell(&mut world, leaf_hash(b"another tree"));
    for host in 1..=2 {
        assert!(world.hosts[host].disk.proofs().contains_key(&guilty.id()), "host {host}");
    }
}
