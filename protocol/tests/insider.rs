//! Somebody inside with a key cannot forge the record: not alter it, not back-date it, not take anything out. With the key of
//! one authority nothing comes of it at all; with the chain's own key as well, witnesses do not cosign, and whoever has seen
//! the record before holds a proof of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that fails this way says where"
)]

use std::collections::BTreeSet;

use counterfoil_protocol::bundle::{Wanted, verify, write};
use counterfoil_protocol::chain::anchor::{Anchor, AnchoredHead};
use counterfoil_protocol::chain::cosignature::cosign;
use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::chain::proof::{consistency_proof, verify_consistency};
use counterfoil_protocol::chain::{Head, HeadDraft, SignedHead};
use counterfoil_protocol::ids::{ByteString, HeadSeq, StatementId, Timestamp};
use counterfoil_protocol::lineage::Recall;
use counterfoil_protocol::mesh::{Charter, OnFork};
use counterfoil_protocol::statement::{Authentic, Draft, Kind};
use counterfoil_protocol::test_support::mesh::{Chain, Mesh};
use counterfoil_protocol::test_support::{draft, observation};

/// Seconds at which witnesses saw the record.
const SEEN: u64 = 1400;

/// What an insider does to a record of which the witnesses have seen a head.
type Forgery = fn(&Chain, Vec<Authentic>) -> Vec<Authentic>;

fn said(chain: &Chain, n: u64, issued_at: u64) -> Authentic {
    let plain = draft(Some(chain.organisation.id()), Kind::Observation, &observation("evaluation/test", n));
    let dated = Draft { issued_at: Timestamp(issued_at), ..plain };
    dated.sign(&chain.organisation.authority_key).unwrap()
}

/// What the organisation says, in order: its opening, a charter, observations, and a recall of the second.
fn record(chain: &Chain, witness: &Chain) -> Vec<Authentic> {
    let charter = Charter {
        name: "m".into(),
        members: vec![chain.organisation.id(), witness.organisation.id()],
        admission_threshold: 2,
        witness_quorum: 1,
        freshness_s: 600,
        link_answer_s: 600,
        on_fork: OnFork::Quarantine,
        amendment_threshold: None,
        witnesses: None,
    };
    let mut all = vec![chain.organisation.statement(Kind::Charter, &charter)];
    all.extend((1..=4).map(|n| said(chain, n, 1000 + n)));
    let recall = Recall {
        statement: all[2].statement().id(),
        subjects: observation("evaluation/test", 2).subjects,
        reason: "flawed".into(),
    };
    all.push(chain.organisation.statement(Kind::Recall, &recall));
    all.push(said(chain, 5, 1010));
    all
}

/// The chain of these statements.
fn chain_of(seed: u64, statements: Vec<Authentic>) -> Chain {
    let mut chain = Chain::new(seed);
    for statement in statements {
        chain.append(statement);
    }
    chain
}

fn cosigned(head: &SignedHead, witness: &Chain) -> String {
    let key = witness.organisation.witness_key.as_ref();
    let line = cosign(witness.organisation.id(), key, Timestamp(SEEN), head.note().text()).unwrap();
    line.line.to_text()
}

/// A witness whose chain is known.
fn witness() -> Chain {
    let mut witness = Chain::new(2);
    witness.sign(0);
    witness
}

/// Alters, takes out, puts in earlier, and reorders; at every place that is not the organisation's opening.
fn forgeries() -> Vec<(&'static str, Forgery)> {
    vec![
        ("an observation says something else", |chain, mut all| {
            all[1] = said(chain, 99, 1001);
            all
        }),
        ("an observation is dated back", |chain, mut all| {
            all[4] = said(chain, 4, 3);
            all
        }),
        ("an observation is taken out", |_, mut all| {
            all.remove(3);
            all
        }),
        ("the recall is taken out", |_, mut all| {
            all.remove(5);
            all
        }),
        ("the last one is taken out", |_, mut all| {
            all.pop();
            all
        }),
        ("one is put in before the others", |chain, mut all| {
            all.insert(1, said(chain, 98, 1000));
            all
        }),
        ("two change places", |_, mut all| {
            all.swap(1, 3);
            all
        }),
    ]
}

/// Every statement of the chain that is no standing one, so that a bundle has to show it.
fn about(chain: &Chain) -> Vec<StatementId> {
    chain.statements.iter().filter(|one| !one.kind().is_standing()).map(|one| one.id()).collect()
}

#[test]
fn with_the_key_of_an_authority_no_forged_record_verifies() {
    let witness = witness();
    let honest = Chain::new(1);
    let mut whole = chain_of(1, record(&honest, &witness));
    let head = whole.sign(0);
    let line = cosigned(&head, &witness);
    whole.cosignatures = vec![line.clone()];
    let mesh = Mesh::of([whole, witness]);
    let id = honest.organisation.id();
    let report = verify(&write(&mesh, &Wanted::lineage(&about(&mesh.chains[&id]))).unwrap());
    assert!(report.is_verified(), "{:?}", report.failures().collect::<Vec<_>>());

    for (what, forge) in forgeries() {
        let witness = self::witness();
        let mut forged = chain_of(1, forge(&honest, record(&honest, &witness)));
        // No head but the one that was seen can be shown: an authority's key signs none.
        (forged.head, forged.cosignatures) = (Some(head.clone()), vec![line.clone()]);
        let wanted = Wanted::lineage(&about(&forged));
        let mesh = Mesh::of([forged, witness]);
        // What does not even fit into a file cannot be shown to anybody.
        if let Ok(bundle) = write(&mesh, &wanted) {
            let report = verify(&bundle);
            assert!(!report.is_verified(), "{what}: it verifies");
            let checks: BTreeSet<&str> = report.failures().map(|check| check.check).collect();
            let expected = ["inclusion", "completeness", "chain"];
            assert!(checks.iter().any(|check| expected.contains(check)), "{what}: {checks:?}");
        }
    }

    let mut range = counterfoil_protocol::chain::CompactRange::default();
    range.append(head.root());
    let forged = HeadDraft {
        organisation: id,
        seq: HeadSeq(1),
        previous: Some(head.hash()),
        size: range.size(),
        root: range.root(),
        standing: head.standing(),
        issued_at: Timestamp(1500),
    };
    let forged = forged.sign(&honest.organisation.authority_key).unwrap();
    let opened = Head::parse(forged.bytes().clone())
        .and_then(|head| head.verify(&mesh.chains[&id].state.description().chain_key));
    assert!(opened.is_err(), "an authority signs no heads");
}

#[test]
fn with_the_chains_key_as_well_no_witness_cosigns_and_the_forgery_convicts_itself() {
    let witness = witness();
    let honest = Chain::new(1);
    let mut whole = chain_of(1, record(&honest, &witness));
    let seen = whole.sign(0);
    for (what, forge) in forgeries() {
        let mut forged = chain_of(1, forge(&honest, record(&honest, &witness)));
        // As long as what was seen, or longer: a shorter one is no news to a witness.
        while forged.statements.len() <= whole.statements.len() {
            forged.append(said(&honest, 90 + forged.statements.len() as u64, 1020));
        }
        let head = forged.sign(1);
        // Whatever proof it gives: the leaves of the forged tree do not lead from the root that was seen.
        let proof = consistency_proof(&forged.leaves(), seen.size(), head.size()).unwrap();
        let checked = verify_consistency(seen.size(), &seen.root(), head.size(), &head.root(), &proof);
        assert!(checked.is_err(), "{what}: a witness would cosign it");

        // And with the same number as the one that was seen it is a proof of two signatures.
        let mut twin = chain_of(1, forge(&honest, record(&honest, &witness)));
        let head = twin.sign(0);
        let inception = honest.organisation.inception.statement().bytes();
        let proof = Misbehaviour::of(inception, &seen, &head).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(proof.check().unwrap().0, honest.organisation.id(), "{what}");
    }
}

#[test]
fn a_statement_that_claims_an_earlier_time_shows_when_it_was_made() {
    let mut witness = witness();
    let other = cosigned(witness.head.as_ref().unwrap(), &Chain::new(1));
    let seen = witness.head.clone().unwrap();
    let honest = Chain::new(1);
    let mut chain = chain_of(1, record(&honest, &witness));
    // The record had embedded what was seen at that second.
    let checkpoint = format!("{}{other}", seen.note());
    let embedded = AnchoredHead {
        organisation: witness.organisation.id(),
        head: seen.hash(),
        size: seen.size(),
        checkpoint: ByteString(checkpoint.into_bytes()),
    };
    chain.say(Kind::Anchor, &Anchor { heads: vec![embedded] });
    let backdated = chain.append(said(&honest, 50, 5));
    chain.sign(0);
    witness.sign(1);
    let wanted = Wanted::lineage(&about(&chain));
    let report = verify(&write(&Mesh::of([chain, witness]), &wanted).unwrap());
    assert!(report.is_verified(), "{:?}", report.failures().collect::<Vec<_>>());
    let times = report.times.iter().find(|times| times.statement == backdated).unwrap();
    assert_eq!(times.issued_at, Timestamp(5), "what it says of itself is a label");
    assert_eq!(times.not_before, Some(Timestamp(SEEN)), "what is proven is another time");
}
