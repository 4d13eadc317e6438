//! A node's data survives what happens to it, and what is damaged is found.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use counterfoil_federation::Config;
use counterfoil_federation::engine::Identity;
use counterfoil_node::runtime::{Runtime, RuntimeError};
use counterfoil_node::store::{EvidenceEdges, HeadLock, Memory, Store, StoreError};
use counterfoil_protocol::actuation::{Mode, Request, Reversibility};
use counterfoil_protocol::admissibility::gather::relevant;
use counterfoil_protocol::admissibility::{Decision, EvidenceRef, SilenceRule};
use counterfoil_protocol::chain::proof::{inclusion_proof, verify_inclusion};
use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::ids::{ByteString, HeadSeq, Position, StatementId, Timestamp, TreeSize};
use counterfoil_protocol::keys::SecretKey;
use counterfoil_protocol::lineage::graph::EdgeSource as _;
use counterfoil_protocol::lineage::index::Direction;
use counterfoil_protocol::lineage::{Edge, EdgeKind, edges};
use counterfoil_protocol::observation::{Observation, Subject, SubjectKey};
use counterfoil_protocol::statement::{Kind, Payload};
use counterfoil_protocol::test_support::{TestOrganisation, draft, observation};

fn identity(organisation: &TestOrganisation) -> Identity {
    Identity {
        inception: organisation.inception.statement().bytes().clone(),
        chain_key: organisation.chain_key.clone(),
        witness_key: organisation.witness_key.clone(),
    }
}

fn start(directory: &Path, organisation: &TestOrganisation) -> Runtime {
    Runtime::start(directory, identity(organisation), Config::default(), Memory::default()).unwrap()
}

/// A node with its opening statements and so many observations.
fn filled(directory: &Path, organisation: &TestOrganisation, observations: u64) -> Runtime {
    let node = start(directory, organisation);
    for statement in organisation.opening() {
        node.append(statement.statement().bytes()).unwrap();
    }
    let replies: Vec<_> = (1..=observations)
        .map(|n| node.submit(organisation.observation(n).statement().bytes()).unwrap())
        .collect();
    // What one caller hands over stays in order, whichever core checks its signature.
    for (reply, position) in replies.into_iter().zip(3..) {
        assert_eq!(reply.recv().unwrap().unwrap().position, Position(position));
    }
    node
}

#[test]
fn what_was_acknowledged_is_proven_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let organisation = TestOrganisation::new(1);
    filled(directory.path(), &organisation, 600).stop();
    let node = start(directory.path(), &organisation);
    let last = node.append(organisation.observation(601).statement().bytes()).unwrap();
    assert_eq!(last.position, Position(603));
    assert_eq!(last.head.size(), TreeSize(604));
    let store = node.store();
    let chain = store.chain(organisation.id());
    for n in [1, 300, 601] {
        let statement = organisation.observation(n);
        let id = statement.statement().id();
        let (owner, position) = store.place(&id).unwrap().unwrap();
        assert_eq!(owner, organisation.id());
        let path = inclusion_proof(&chain, position, last.head.size()).unwrap();
        let leaf = LeafDigest::of(statement.statement().bytes()).leaf_hash();
        verify_inclusion(&leaf, position, last.head.size(), &path, &last.head.root()).unwrap();
    }
    let report = store.fsck().unwrap();
    assert_eq!((report.chains, report.entries, report.damage), (1, 604, vec![]));
}

#[test]
fn a_refusal_names_its_check_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let organisation = TestOrganisation::new(1);
    let node = filled(directory.path(), &organisation, 1);
    let refused = node.append(TestOrganisation::new(2).observation(1).statement().bytes()).unwrap_err();
    assert!(refused.to_string().contains("it is a statement of org:"), "{refused}");
    let stranger = SecretKey::from_seed(&[99; 32]);
    let by_nobody = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/test", 1));
    let refused = node.append(by_nobody.sign(&stranger).unwrap().statement().bytes()).unwrap_err();
    assert!(refused.to_string().contains("neither a root key nor the key of an authority"), "{refused}");
    let garbage = node.append(b"not a statement").unwrap_err();
    assert!(garbage.to_string().contains("tag 18 is missing"), "{garbage}");
    let mut changed = organisation.observation(2).statement().bytes().to_vec();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    assert!(matches!(node.append(&changed), Err(RuntimeError::Refused(_))));
    let next = node.append(organisation.observation(2).statement().bytes()).unwrap();
    assert_eq!(next.position, Position(4));
}

#[test]
fn what_is_given_again_is_answered_with_its_place_and_gets_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let organisation = TestOrganisation::new(1);
    let node = filled(directory.path(), &organisation, 3);
    let first = node.append(organisation.observation(9).statement().bytes()).unwrap();
    let next = node.append(organisation.observation(10).statement().bytes()).unwrap();
    let again = node.append(organisation.observation(9).statement().bytes()).unwrap();
    assert_eq!((again.statement, again.position), (first.statement, first.position));
    assert_eq!(again.head.hash(), next.head.hash(), "under the head of today");
    node.stop();
    drop(node);
    let node = start(directory.path(), &organisation);
    let again = node.append(organisation.observation(9).statement().bytes()).unwrap();
    assert_eq!((again.position, again.head.size()), (first.position, next.head.size()));
}

#[test]
fn the_head_lock_is_for_one_process_and_one_successor() {
    let directory = tempfile::tempdir().unwrap();
    let organisation = TestOrganisation::new(1);
    let node = filled(directory.path(), &organisation, 3);
    let second =
        Runtime::start(directory.path(), identity(&organisation), Config::default(), Memory::default());
    assert!(matches!(second, Err(RuntimeError::Store(StoreError::File { .. }))));
    node.stop();
    drop(node);
    let mut lock = HeadLock::open(&directory.path().join("head.lock")).unwrap();
    let held = counterfoil_protocol::chain::Head::parse(lock.held().unwrap().clone()).unwrap();
    let head = held.clone().verify(&organisation_chain_key(&organisation)).unwrap();
    assert!(head.seq() >= HeadSeq(3));
    assert_eq!(lock.swap(head.previous(), &head).unwrap(), Err(Some(held.hash())));
}

fn organisation_chain_key(organisation: &TestOrganisation) -> counterfoil_protocol::keys::PublicKey {
    use counterfoil_protocol::keys::Signer as _;
    organisation.chain_key.public_key()
}

#[test]
fn data_that_lags_behind_the_head_lock_signs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let organisation = TestOrganisation::new(1);
    filled(directory.path(), &organisation, 1).stop();
    let backup = tempfile::tempdir().unwrap();
    copy(&directory.path().join("db"), &backup.path().join("db"));
    let node = start(directory.path(), &organisation);
    node.append(organisation.observation(2).statement().bytes()).unwrap();
    node.stop();
    drop(node);
    std::fs::remove_dir_all(directory.path().join("db")).unwrap();
    copy(&backup.path().join("db"), &directory.path().join("db"));
    let node = start(directory.path(), &organisation);
    let refused = node.append(organisation.observation(3).statement().bytes()).unwrap_err();
    assert!(refused.to_string().contains("lags behind its head lock"), "{refused}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn fsck_reads_an_empty_store() {
    let directory = tempfile::tempdir().unwrap();
    let report = Store::open(directory.path(), Memory::default()).unwrap().fsck().unwrap();
    assert_eq!((report.chains, report.entries, report.damage), (0, 0, vec![]));
}

#[test]
fn the_lineage_in_memory_is_what_is_on_disk_after_each_append() {
    let directory = tempfile::tempdir().unwrap();
    let organisation = TestOrganisation::new(1);
    let node = filled(directory.path(), &organisation, 1);
    let mut ids = vec![organisation.observation(1).statement().id()];
    let mut nodes: BTreeSet<SubjectKey> = BTreeSet::new();
    for n in 2..40u64 {
        // Each derives from some that came before, and from what does not exist.
        let mut said = observation("provenance/test", n % 7);
        said.derived_from = ids.iter().copied().filter(|id| id.as_bytes()[0] as u64 % 5 == n % 5).collect();
        said.materials = vec![Subject::Named(format!("material {}", n % 3))];
        let statement = organisation.statement(Kind::Observation, &said);
        node.append(statement.statement().bytes()).unwrap();
        let id = statement.statement().id();
        ids.push(id);
        let payload = Payload::Observation(Box::new(said.clone()));
        for edge in edges(id, &payload) {
            nodes.extend([edge.from, edge.to]);
        }
        // What the index finds at each node is what the database has there, and what activities add to it.
        let found = node.store().lineage(|index| {
            let at = |key: &SubjectKey, direction| {
                let number = index.find(key).unwrap();
                let all = index.edges_at(number, direction).filter_map(|(edge, _)| index.edge(edge));
                let activity = |e: &Edge| matches!(e.kind, EdgeKind::GeneratedBy | EdgeKind::Used);
                all.filter(|edge| !activity(edge)).collect::<BTreeSet<_>>()
            };
            nodes
                .iter()
                .map(|key| (at(key, Direction::Backward), at(key, Direction::Forward)))
                .collect::<Vec<_>>()
        });
        for (key, (backward, forward)) in nodes.iter().zip(found.unwrap()) {
            assert_eq!(backward, node.store().upstream(key).unwrap().into_iter().collect());
            assert_eq!(forward, node.store().downstream(key).unwrap().into_iter().collect());
        }
    }
    // A restart begins anew and comes to the same.
    let all = |node: &Runtime| node.store().lineage(|index| (index.nodes(), index.edges())).unwrap();
    let before = all(&node);
    node.stop();
    drop(node);
    assert_eq!(all(&start(directory.path(), &organisation)), before);
}

/// A decision about a subject, on one piece of evidence.
fn decision(subject: &Subject, evidence: EvidenceRef, n: u64) -> Decision {
    Decision {
        request: Request {
            action: "deploy".into(),
            subjects: vec![subject.clone()],
            actuator: "gateway".into(),
            scopes: BTreeMap::new(),
            predicted: BTreeMap::new(),
            reversibility: Reversibility::Reversible,
            harm: Vec::new(),
            purpose: n.to_string(),
        },
        time: Timestamp(n),
        mesh: None,
        activation: StatementId::from_bytes([7; 32]),
        basis: Vec::new(),
        inquiries: Vec::new(),
        silence: SilenceRule::default(),
        evidence: vec![evidence],
        forked: Vec::new(),
        mode: Mode::Continue,
        verdict: ByteString(Vec::new()),
    }
}

#[test]
fn evidence_is_found_without_going_over_earlier_decisions_and_they_are_found_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let organisation = TestOrganisation::new(1);
    let node = filled(directory.path(), &organisation, 0);
    let mut said = observation("evaluation/test", 1);
    said.materials = vec![Subject::Named("material".into())];
    let subject = said.subjects[0].clone();
    let first = organisation.statement(Kind::Observation, &said);
    let place = node.append(first.statement().bytes()).unwrap();
    let id = first.statement().id();
    let about_material = Observation { subjects: said.materials.clone(), ..observation("datasheet/test", 2) };
    let about_material = organisation.statement(Kind::Observation, &about_material);
    node.append(about_material.statement().bytes()).unwrap();
    let found = |subjects: &[Subject]| relevant(subjects, &EvidenceEdges(node.store())).unwrap();
    let evidence = BTreeSet::from([id, about_material.statement().id()]);
    assert_eq!(found(std::slice::from_ref(&subject)), evidence);

    let weighed = EvidenceRef { organisation: organisation.id(), position: place.position, statement: id };
    let decisions: BTreeSet<StatementId> = (1..4)
        .map(|n| {
            let made = organisation.statement(Kind::Decision, &decision(&subject, weighed.clone(), n));
            node.append(made.statement().bytes()).unwrap().statement
        })
        .collect();
    // What is found over all edges is the same, and the decisions, which are no evidence.
    assert_eq!(found(std::slice::from_ref(&subject)), evidence);
    let all = relevant(std::slice::from_ref(&subject), node.store().as_ref()).unwrap();
    assert_eq!(all, evidence.union(&decisions).copied().collect());
    let about = node.store().decisions_about(&subject.key()).unwrap();
    assert_eq!(about.into_iter().collect::<BTreeSet<_>>(), decisions);
    assert!(node.store().decisions_about(&SubjectKey::Statement(id)).unwrap().is_empty(), "none is about it");
    let resting = node.store().downstream(&SubjectKey::Statement(id)).unwrap();
    let resting =
        resting.iter().filter(|edge| edge.kind == EdgeKind::EvidenceFor).map(|edge| edge.asserted_by);
    assert_eq!(resting.collect::<BTreeSet<_>>(), decisions, "a recall reaches them");
    // A decision that is asked about leads to what it was about.
    let asked = [Subject::Statement(*decisions.first().unwrap())];
    assert!(found(&asked).is_superset(&evidence), "{:?}", found(&asked));
}
