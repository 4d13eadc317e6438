//! A small mesh's lineage in one file: it verifies, it says the same twice, and whatever is changed or left out is named.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails this way says where"
)]

#[allow(dead_code, reason = "shared with other tests, which use more of it")]
mod mutation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use counterfoil_protocol::bundle::{
    Earlier, Entry, InOrder, Outcome, Report, Section, Settings, TrustFile, Wanted, verify, verify_file,
    verify_with, write,
};
use counterfoil_protocol::chain::checkpoint::verifier;
use counterfoil_protocol::chain::cosignature::witness_name;
use counterfoil_protocol::chain::note::VerifierKey;
use counterfoil_protocol::chain::{Hash, LeafDigest};
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::{Position, StatementId, Timestamp, TreeSize};
use counterfoil_protocol::keys::Signer as _;
use counterfoil_protocol::lineage::Recall;
use counterfoil_protocol::statement::{Kind, Verified};
use counterfoil_protocol::test_support::mesh::{Chain, Mesh, story};
use counterfoil_protocol::test_support::{TestOrganisation, observation};
use proptest::prelude::*;

fn failed(report: &Report) -> Vec<&'static str> {
    report.failures().map(|check| check.check).collect()
}

/// The same file with another content and the digest that belongs to it: what somebody who means it would do.
fn redigested(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 32;
    let digest = blake3(&bytes[..at - 2]);
    bytes[at..].copy_from_slice(&digest);
    bytes
}

#[test]
fn a_recall_of_something_else_comes_with_what_it_withdraws() {
    let mut chain = Chain::new(5);
    let about = chain.say(Kind::Observation, &observation("evaluation/test", 1));
    let other = observation("evaluation/test", 2);
    let statement = chain.say(Kind::Observation, &other);
    chain.say(Kind::Observation, &observation("evaluation/test", 3));
    let recall = Recall { statement, subjects: other.subjects, reason: "it was wrong".into() };
    chain.say(Kind::Recall, &recall);
    chain.sign(0);
    let report = verify(&write(&Mesh::of([chain]), &Wanted::lineage(&[about])).unwrap());
    assert_eq!(report.failures().collect::<Vec<_>>(), Vec::<&_>::new());
    assert_eq!(report.organisations[0].included, 6);
}

#[test]
fn a_lineage_is_proven_from_its_bundle_alone_and_decided_again_byte_for_byte() {
    let (mesh, about) = story();
    let bytes = write(&mesh, &Wanted::lineage(&about)).unwrap();
    assert_eq!(write(&mesh, &Wanted::lineage(&[about[1], about[0]])).unwrap(), bytes);
    let report = verify(&bytes);
    assert_eq!(report.failures().collect::<Vec<_>>(), Vec::<&_>::new());
    assert!(report.is_verified() && report.checks.iter().all(|c| c.outcome == Outcome::Passed));
    assert_eq!(report, verify(&bytes));
    let [entry] = report.decisions.as_slice() else { panic!("one decision") };
    assert_eq!((entry.decision, entry.recomputed.as_ref()), (about[0], Some(&entry.verdict)));
    let checks: std::collections::BTreeSet<_> = report.checks.iter().map(|check| check.check).collect();
    for expected in
        ["file-digest", "completeness", "cosignatures", "decision", "permit", "effect", "link", "counterfoil"]
    {
        assert!(checks.contains(expected), "{expected} in {checks:?}");
    }
    let included: u64 = report.organisations.iter().map(|o| o.included).sum();
    let there: u64 = mesh.chains.values().map(|chain| chain.statements.len() as u64).sum();
    assert_eq!(included, there - 1, "the other evaluation has no part in it");
}

/// All that the supplier said from `first` to `last`.
fn period(mesh: &Mesh, first: u64, last: u64) -> Wanted {
    let supplier = TestOrganisation::new(1).id();
    assert!(mesh.chains.contains_key(&supplier));
    Wanted { period: Some((Timestamp(first), Timestamp(last), vec![supplier])), ..Wanted::default() }
}

fn outcome(report: &Report, check: &str) -> Vec<Outcome> {
    report.checks.iter().filter(|one| one.check == check).map(|one| one.outcome).collect()
}

#[test]
fn a_period_is_complete_and_bounded_or_says_what_is_missing() {
    let (mut mesh, _) = story();
    // Everything in this story was issued at second 1000.
    let whole = verify(&write(&mesh, &period(&mesh, 1000, 1000)).unwrap());
    assert!(whole.is_verified(), "{:?}", failed(&whole));
    assert_eq!(
        (outcome(&whole, "range"), outcome(&whole, "period")),
        (vec![Outcome::Passed], vec![Outcome::Passed])
    );
    let supplier = TestOrganisation::new(1).id();
    let entry = whole.organisations.iter().find(|one| one.organisation == supplier).unwrap();
    assert_eq!(entry.included, entry.size.0);
    // A period in which nothing was said is empty, and that is proven too.
    for (first, last) in [(1, 999), (1001, 2000)] {
        let empty = verify(&write(&mesh, &period(&mesh, first, last)).unwrap());
        assert!(empty.is_verified(), "{:?}", failed(&empty));
        assert_eq!(outcome(&empty, "period"), [Outcome::Passed]);
    }
    // What is withheld is counted, not hidden.
    mesh.chains.get_mut(&supplier).unwrap().withheld.insert(Position(5));
    let partly = verify(&write(&mesh, &period(&mesh, 1000, 1000)).unwrap());
    assert!(partly.is_verified());
    assert_eq!(outcome(&partly, "range"), [Outcome::NotProven]);
}

#[test]
fn witnesses_say_when_a_statement_was_there_at_the_latest() {
    let (mesh, about) = story();
    let report = verify(&write(&mesh, &Wanted::lineage(&about)).unwrap());
    let supplier = TestOrganisation::new(1).id();
    let (seen, unseen): (Vec<_>, Vec<_>) =
        report.times.iter().partition(|times| times.organisation == supplier);
    assert!(seen.iter().all(|times| times.not_after == Some(Timestamp(1500))), "{seen:?}");
    assert!(unseen.iter().all(|times| times.not_after.is_none()));
}

#[test]
fn a_trust_file_says_whose_chains_are_meant_and_whose_cosignatures_count() {
    let (mesh, about) = story();
    let bytes = write(&mesh, &Wanted::lineage(&about)).unwrap();
    let (supplier, deployer) = (TestOrganisation::new(1), TestOrganisation::new(2));
    let log = verifier(&supplier.id(), supplier.chain_key.public_key()).unwrap();
    let witness =
        VerifierKey::cosigner(&witness_name(&deployer.id()), deployer.witness_key.public_key()).unwrap();
    let names = format!("log {log}\norganisation {} hospital\n", deployer.id());
    let check = |text: &str| failed(&verify_with(&bytes, &TrustFile::parse(text).unwrap()));
    assert_eq!(check(&names), Vec::<&str>::new());
    assert_eq!(check(&format!("log {log}\n")), ["trust"]);
    // The deployer had seen the supplier's head; nobody had seen the deployer's.
    let quorum = format!("{names}witness w {witness}\ngroup g 1 w\nquorum g\n");
    assert_eq!(check(&quorum), ["trust-quorum"]);
}

#[test]
fn what_is_unknown_is_refused_by_name() {
    let (mesh, _) = story();
    let unknown = StatementId::from_bytes([9; 32]);
    assert!(
        write(&mesh, &Wanted::lineage(&[unknown])).unwrap_err().to_string().contains(&unknown.to_string())
    );
    assert_eq!(failed(&verify(b"")), ["file-digest", "file-form"]);
    assert_eq!(failed(&verify(b"CFBUNDLE\x03")), ["file-digest", "file-form"]);
}

#[test]
fn every_changed_byte_fails_and_names_a_check() {
    let (mesh, about) = story();
    let bytes = write(&mesh, &Wanted::lineage(&about)).unwrap();
    // Every seventh byte keeps this quick; the property below takes any byte.
    for at in (0..bytes.len()).step_by(7 * 13) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x20;
        let report = verify(&changed);
        assert!(!report.is_verified(), "byte {at}");
        assert_eq!(report.failures().next().unwrap().check, "file-digest", "byte {at}");
    }
}

#[test]
fn what_is_not_kept_is_found_again() {
    let (mesh, about) = story();
    for wanted in [Wanted::lineage(&about), period(&mesh, 1000, 1000)] {
        let bytes = write(&mesh, &wanted).unwrap();
        let whole = verify(&bytes);
        let settings = Settings { kept_bytes: 0, ..Settings::default() };
        let mut file = std::io::Cursor::new(&bytes);
        let (mut sparing, found) = verify_file(&mut file, &settings, &InOrder).unwrap();
        assert_eq!(sparing.checks, whole.checks);
        assert_eq!(
            found.iter().map(Verified::id).collect::<BTreeSet<_>>(),
            wanted.about.iter().copied().collect()
        );
        // Times are given for what is kept.
        sparing.times = whole.times.clone();
        assert_eq!(sparing, whole);
    }
    // Also when what is missing is not there the second time either.
    let bytes = write(&mesh, &Wanted::lineage(&about)).unwrap();
    let without = edited(&bytes, |entries| {
        let evaluation =
            entries.iter().position(|(_, entry)| kind_of(entry) == Some(Kind::Observation)).unwrap();
        entries[evaluation].1 = absent(&entries[evaluation].1);
    });
    let settings = Settings { kept_bytes: 0, ..Settings::default() };
    let (report, _) = verify_file(&mut std::io::Cursor::new(&without), &settings, &InOrder).unwrap();
    assert_eq!(report.checks, verify(&without).checks);
    assert_eq!(failed(&report), ["gap"]);
}

/// The items of a bundle, changed and put together again.
fn edited(bytes: &[u8], edit: impl FnOnce(&mut Vec<(usize, Entry)>)) -> Vec<u8> {
    with_sections(bytes, |_| (), edit)
}

fn with_sections(
    bytes: &[u8],
    edit_sections: impl FnOnce(&mut Vec<Section>),
    edit: impl FnOnce(&mut Vec<(usize, Entry)>),
) -> Vec<u8> {
    use counterfoil_protocol::codec;
    let mut at = 9;
    let next = |at: &mut usize| {
        let length = codec::item_length(&bytes[*at..]).unwrap().unwrap();
        *at += length;
        bytes[*at - length..*at].to_vec()
    };
    let mut out = bytes[..9].to_vec();
    out.extend(next(&mut at));
    let (mut sections, mut entries) = (Vec::new(), Vec::new());
    while bytes.len() - at > 34 {
        let section: Section = codec::decode(&next(&mut at), 1 << 20).unwrap();
        for _ in 0..section.entries {
            entries.push((sections.len(), Entry::decode(&next(&mut at)).unwrap()));
        }
        sections.push(section);
    }
    edit_sections(&mut sections);
    edit(&mut entries);
    for (number, mut section) in sections.into_iter().enumerate() {
        let own: Vec<_> = entries.iter().filter(|(of, _)| *of == number).collect();
        section.entries = own.len() as u64;
        out.extend(codec::encode(&section).unwrap());
        own.iter().for_each(|(_, entry)| entry.encode(&mut out));
    }
    out.extend([0x58, 0x20]);
    out.extend([0; 32]);
    redigested(out)
}

fn kind_of(entry: &Entry) -> Option<Kind> {
    let Entry::Statement { bytes, .. } = entry else { return None };
    Some(counterfoil_protocol::statement::Statement::parse(bytes.clone()).unwrap().header().kind)
}

/// The leaf hash in place of a statement.
fn absent(entry: &Entry) -> Entry {
    let Entry::Statement { bytes, .. } = entry else { panic!("a statement") };
    Entry::Absent { level: 0, root: LeafDigest::of(bytes).leaf_hash() }
}

#[test]
fn whatever_is_left_out_moved_or_added_is_named() {
    let (mesh, about) = story();
    let bytes = write(&mesh, &Wanted::lineage(&about)).unwrap();
    assert_eq!(edited(&bytes, |_| ()), bytes);
    let place = |entries: &[(usize, Entry)], kind: Kind| {
        entries.iter().position(|(_, entry)| kind_of(entry) == Some(kind)).unwrap()
    };
    type Edit<'a> = Box<dyn FnOnce(&mut Vec<(usize, Entry)>) + 'a>;
    let hidden = |kind: Kind| -> Edit<'_> {
        Box::new(move |entries: &mut Vec<(usize, Entry)>| {
            let at = place(entries, kind);
            entries[at].1 = absent(&entries[at].1);
        })
    };
    let cases: Vec<(Edit<'_>, &str)> = vec![
        (hidden(Kind::Observation), "gap"),
        (hidden(Kind::Decision), "about"),
        (hidden(Kind::Credential), "signature"),
        (hidden(Kind::Profile), "completeness"),
        (hidden(Kind::Recognition), "completeness"),
        (hidden(Kind::Organisation), "inception"),
        (Box::new(|entries| drop(entries.remove(place(entries, Kind::Profile)))), "inclusion"),
        (Box::new(|entries| drop(entries.pop())), "inclusion"),
        (Box::new(|entries| entries.swap(4, 5)), "inclusion"),
        (Box::new(|entries| entries.push(entries[entries.len() - 1].clone())), "inclusion"),
        (Box::new(|entries| entries[5].1 = Entry::Absent { level: 9, root: Hash([0; 32]) }), "inclusion"),
        (Box::new(|entries| entries[5].1 = Entry::Absent { level: 64, root: Hash([0; 32]) }), "inclusion"),
        (
            Box::new(|entries| {
                let at = place(entries, Kind::Observation);
                let Entry::Statement { disclosures, .. } = &mut entries[at].1 else { panic!("a statement") };
                disclosures
                    .push(vec![0x83, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x61, 0x61, 1]);
            }),
            "disclosure",
        ),
    ];
    for (number, (edit, check)) in cases.into_iter().enumerate() {
        let report = verify(&edited(&bytes, edit));
        assert_eq!(failed(&report).first(), Some(&check), "case {number}: {:?}", failed(&report));
    }
}

/// What nobody checks could be changed unnoticed, so it has no place in a file.
#[test]
fn an_earlier_size_is_earlier_than_the_head() {
    let (mesh, about) = story();
    let bytes = write(&mesh, &Wanted::lineage(&about)).unwrap();
    let sizes: BTreeMap<_, _> =
        verify(&bytes).organisations.iter().map(|one| (one.organisation, one.size)).collect();
    type Change = fn(&mut Vec<Earlier>, TreeSize);
    let cases: [(Change, &str); 3] = [
        (|earlier, size| earlier.push(Earlier { size, proof: vec![] }), "and the head's is"),
        (
            |earlier, size| earlier.push(Earlier { size: TreeSize(size.0 + 8), proof: vec![] }),
            "and the head's is",
        ),
        (|earlier, _| earlier.push(earlier[earlier.len() - 1].clone()), "do not ascend"),
    ];
    for (change, message) in cases {
        let changed = with_sections(
            &bytes,
            |sections| {
                let section = sections.iter_mut().find(|section| !section.earlier.is_empty()).unwrap();
                let size = sizes[&section.organisation];
                assert!(section.earlier.iter().all(|one| one.size < size), "the writer writes none of them");
                change(&mut section.earlier, size);
            },
            |_| (),
        );
        let report = verify(&changed);
        let first = report.failures().next().unwrap();
        assert_eq!(first.check, "file-form");
        assert!(first.detail.contains(message), "{}", first.detail);
    }
}

#[test]
fn sealed_claims_are_disclosed_one_by_one() {
    use counterfoil_protocol::codec::Value;
    use counterfoil_protocol::observation::{Disclosure, sealed};
    let mut chain = Chain::new(1);
    let disclosures: Vec<Vec<u8>> = ["age", "name"]
        .iter()
        .map(|name| {
            Disclosure { salt: [3; 16], name: (*name).into(), value: Value::Bool(true) }.to_bytes().unwrap()
        })
        .collect();
    let mut claim = observation("evaluation/clinical", 7);
    claim.sealed = disclosures.iter().map(|bytes| sealed::seal(bytes)).collect();
    claim.sealed.sort_by_key(|digest| digest.0);
    let id = chain.say(Kind::Observation, &claim);
    chain.sign(0);
    let mut mesh = Mesh::of([chain]);
    mesh.disclosures.insert(id, disclosures);
    let name = |name: &str| BTreeMap::from([(id, BTreeSet::from([name.to_owned()]))]);
    let shown = write(&mesh, &Wanted { disclose: name("age"), ..Wanted::lineage(&[id]) }).unwrap();
    let report = verify(&shown);
    assert!(report.is_verified(), "{:?}", failed(&report));
    let [disclosed] = report.disclosed.as_slice() else { panic!("one claim") };
    assert_eq!(
        (disclosed.statement, disclosed.name.as_str(), &disclosed.value),
        (id, "age", &Value::Bool(true))
    );
    assert!(verify(&write(&mesh, &Wanted::lineage(&[id])).unwrap()).disclosed.is_empty());
    let error = write(&mesh, &Wanted { disclose: name("height"), ..Wanted::lineage(&[id]) }).unwrap_err();
    assert!(error.to_string().contains("height"), "{error}");
}

proptest! {
    #![proptest_config(mutation::cases(200))]
    #[test]
    fn a_changed_byte_fails_even_when_the_digest_is_made_to_fit(
        at in any::<prop::sample::Index>(), bit in 0u8..8
    ) {
        static BUNDLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let (mesh, about) = story();
            write(&mesh, &Wanted::lineage(&about)).unwrap()
        });
        let at = at.index(BUNDLE.len() - 34);
        let mut changed = BUNDLE.clone();
        changed[at] ^= 1 << bit;
        let report = verify(&redigested(changed));
        prop_assert!(!report.is_verified(), "byte {}", at);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut file = b"CFBUNDLE\x02".to_vec();
        file.extend_from_slice(&bytes);
        prop_assert!(!verify(&file).is_verified());
    }
}
