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
use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use counterfoil_protocol::actuation::{Effect, Mode, Permit, Request};
use counterfoil_protocol::admissibility::gather::{ChainView, Inputs, decide};
use counterfoil_protocol::admissibility::{Activation, Basis, Composition, Profile};
use counterfoil_protocol::bundle::{
    ChainSource, Entry, InOrder, Outcome, Report, Section, Settings, Source, TrustFile, Wanted, verify,
    verify_file, verify_with, write,
};
use counterfoil_protocol::chain::checkpoint::verifier;
use counterfoil_protocol::chain::cosignature::{cosign, witness_name};
use counterfoil_protocol::chain::note::VerifierKey;
use counterfoil_protocol::chain::proof::{LeafHashes, Subtrees, inclusion_proof};
use counterfoil_protocol::chain::receipt::receipt;
use counterfoil_protocol::chain::{CompactRange, Hash, HeadDraft, LeafDigest, SignedHead};
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::identity::OrganisationState;
use counterfoil_protocol::ids::{
    ByteString, HeadSeq, MeshId, OrganisationId, Position, StatementId, Timestamp,
};
use counterfoil_protocol::keys::Signer as _;
use counterfoil_protocol::lineage::graph::{EdgeSet, EdgeSource};
use counterfoil_protocol::lineage::{Edge, edges};
use counterfoil_protocol::mesh::{
    Answer, Charter, Counterfoil, Link, LinkTarget, OnFork, Recognition, Relation,
};
use counterfoil_protocol::observation::SubjectKey;
use counterfoil_protocol::statement::{Authentic, Draft, Kind, Verified, verify as verify_statement};
use counterfoil_protocol::test_support::{TestOrganisation, draft, observation};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(2000);

/// One organisation's chain in memory.
struct Chain {
    organisation: TestOrganisation,
    state: OrganisationState,
    statements: Vec<Verified>,
    head: Option<SignedHead>,
    cosignatures: Vec<String>,
    /// Positions whose statements whoever writes the bundle does not have.
    withheld: BTreeSet<Position>,
}

impl Chain {
    fn new(seed: u64) -> Self {
        let organisation = TestOrganisation::new(seed);
        let state = OrganisationState::from_inception(organisation.inception.statement()).unwrap();
        let (statements, cosignatures, withheld) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut chain = Self { organisation, state, statements, head: None, cosignatures, withheld };
        for statement in chain.organisation.opening() {
            chain.append(statement);
        }
        chain
    }

    fn append(&mut self, statement: Authentic) -> StatementId {
        let verified = verify_statement(&self.state, statement).unwrap();
        self.state.apply(&verified).unwrap();
        let id = verified.id();
        self.statements.push(verified);
        id
    }

    fn say<T: serde::Serialize>(&mut self, kind: Kind, payload: &T) -> StatementId {
        let statement = self.organisation.statement(kind, payload);
        self.append(statement)
    }

    fn leaves(&self) -> LeafHashes {
        LeafHashes(self.statements.iter().map(|s| s.leaf_digest().leaf_hash()).collect())
    }

    fn sign(&mut self, seq: u64) -> SignedHead {
        let mut range = CompactRange::default();
        self.leaves().0.iter().for_each(|leaf| range.append(*leaf));
        let head = HeadDraft {
            organisation: self.organisation.id(),
            seq: HeadSeq(seq),
            previous: self.head.as_ref().map(SignedHead::hash),
            size: range.size(),
            root: range.root(),
            standing: self.state.standing_digest(),
            issued_at: Timestamp(1000 + seq),
        }
        .sign(self.organisation.chain_key.as_ref())
        .unwrap();
        self.head = Some(head.clone());
        self.cosignatures.clear();
        head
    }

    fn basis(&self) -> Basis {
        Basis {
            organisation: self.organisation.id(),
            head: ByteString(self.head.as_ref().unwrap().bytes().to_vec()),
            cosignatures: self.cosignatures.clone(),
            seen: NOW,
        }
    }

    /// Receipt and checkpoint of the statement at `position`.
    fn proof(&self, position: Position) -> (ByteString, ByteString) {
        let head = self.head.as_ref().unwrap();
        let path = inclusion_proof(&self.leaves(), position, head.size()).unwrap();
        let key = self.organisation.chain_key.public_key();
        let organisation = self.organisation.id();
        let bytes =
            receipt(&organisation, &key, head.receipt_signature(), head.size(), position, &path).unwrap();
        (ByteString(bytes), ByteString(head.note().to_string().into_bytes()))
    }
}

#[derive(Default)]
struct Mesh {
    chains: BTreeMap<OrganisationId, Chain>,
    edges: EdgeSet,
    disclosures: BTreeMap<StatementId, Vec<Vec<u8>>>,
}

impl EdgeSource for Mesh {
    type Error = Infallible;
    fn upstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, Infallible> {
        self.edges.upstream(node)
    }
    fn downstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, Infallible> {
        self.edges.downstream(node)
    }
}

impl Source for Mesh {
    fn place(&self, statement: &StatementId) -> Result<Option<(OrganisationId, Position)>, Infallible> {
        let mut all = self.chains.values().flat_map(|chain| chain.statements.iter());
        Ok(all.find(|s| s.id() == *statement).map(|s| (s.organisation(), s.position())))
    }
    fn statement(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<Arc<[u8]>>, Infallible> {
        let chain = &self.chains[organisation];
        let statement =
            chain.statements.get(position.0 as usize).filter(|_| !chain.withheld.contains(&position));
        Ok(statement.map(|statement| statement.bytes().clone()))
    }
    fn withheld(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<LeafDigest>, Infallible> {
        let withheld = self.chains[organisation].withheld.contains(&position);
        let statement = self.chains[organisation].statements.get(position.0 as usize);
        Ok(statement.filter(|_| withheld).map(Verified::leaf_digest))
    }
    fn chain(&self, organisation: &OrganisationId) -> Result<Option<ChainSource>, Infallible> {
        let chain = &self.chains[organisation];
        let standing = chain.statements.iter().filter(|s| s.kind().is_standing());
        Ok(chain.head.as_ref().map(|head| ChainSource {
            head: head.clone(),
            cosignatures: chain.cosignatures.clone(),
            standing: standing.map(Verified::position).collect(),
        }))
    }
    fn tree(&self, organisation: &OrganisationId) -> impl Subtrees {
        self.chains[organisation].leaves()
    }
    fn disclosures(&self, statement: &StatementId) -> Result<Vec<Vec<u8>>, Infallible> {
        Ok(self.disclosures.get(statement).cloned().unwrap_or_default())
    }
    fn misbehaviour(&self, _: &OrganisationId) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(None)
    }
}

const PROFILE: &str = r#"
    id = "clinical"
    version = 1
    title = "Clinical deployment"
    family = "clinical"
    actions = ["deploy/*"]
    vetoes = ["recall"]
    rule = "evaluation"
    [requirements.evaluation]
    claims = ["evaluation/*"]
"#;

/// A supplier's evaluation, linked and acknowledged; a decision on it, its permit and its effect.
fn story() -> (Mesh, [StatementId; 2]) {
    let (mut supplier, mut deployer) = (Chain::new(1), Chain::new(2));
    let (supplier_id, deployer_id) = (supplier.organisation.id(), deployer.organisation.id());
    let mut members = vec![supplier_id, deployer_id];
    members.sort();
    let charter = Charter {
        name: "test".into(),
        members,
        admission_threshold: 2,
        witness_quorum: 1,
        freshness_s: 600,
        link_answer_s: 600,
        on_fork: OnFork::Quarantine,
    };
    let mesh = MeshId::from(supplier.say(Kind::Charter, &charter));
    let evidence = observation("evaluation/clinical", 7);
    let subject = evidence.subjects[0].clone();
    let evaluation = supplier.say(Kind::Observation, &evidence);
    supplier.say(Kind::Observation, &observation("evaluation/clinical", 8));
    supplier.sign(0);

    deployer.say(
        Kind::Recognition,
        &Recognition { organisation: supplier_id, claims: vec!["evaluation/*".into()], roles: vec![] },
    );
    let profile = deployer.say(Kind::Profile, &Profile::from_toml(PROFILE).unwrap());
    deployer.say(
        Kind::Activation,
        &Activation { profiles: vec![profile], composition: Composition::Intersection },
    );
    let (bytes, checkpoint) = supplier.proof(Position(4));
    let target = LinkTarget {
        organisation: supplier_id,
        position: Position(4),
        statement: evaluation,
        receipt: bytes,
        checkpoint,
    };
    let link = Link { target, relation: Relation::Uses, from: None, purpose: "deployment".into() };
    let link = deployer.say(Kind::Link, &link);
    let link_at = deployer.statements.last().unwrap().position();
    deployer.sign(0);
    let (receipt, checkpoint) = deployer.proof(link_at);
    supplier.say(
        Kind::Counterfoil,
        &Counterfoil {
            link,
            organisation: deployer_id,
            position: link_at,
            receipt,
            checkpoint,
            answer: Answer::Accepted,
        },
    );
    let head = supplier.sign(1);
    let witness = deployer.organisation.witness_key.clone();
    let line = cosign(deployer_id, witness.as_ref(), Timestamp(1500), head.note().text()).unwrap();
    supplier.cosignatures.push(line.line.to_text());

    let request = Request {
        action: "deploy/triage".into(),
        subjects: vec![subject],
        actuator: "pacs".into(),
        scopes: BTreeMap::new(),
        predicted: BTreeMap::from([("status".into(), "active".into())]),
        reversibility: counterfoil_protocol::actuation::request::Reversibility::Reversible,
        harm: vec![],
        purpose: String::new(),
    };
    let views = [&supplier, &deployer].map(|chain| {
        let standing = chain.statements.iter().filter(|s| s.kind().is_standing()).collect();
        (chain.organisation.id(), ChainView { state: &chain.state, standing, basis: chain.basis() })
    });
    let inputs = Inputs {
        decider: deployer_id,
        request,
        time: NOW,
        mesh: Some(mesh),
        chains: views.into_iter().collect(),
        evidence: supplier.statements.iter().filter(|s| s.id() == evaluation).collect(),
        forked: Default::default(),
    };
    let (decision, verdict) = decide(&inputs).unwrap();
    assert_eq!(verdict.mode, Mode::Continue);
    let decided = deployer.say(Kind::Decision, &decision);
    let permit = Permit {
        decision: decided,
        mode: verdict.mode,
        scopes: verdict.scopes,
        actuator: "pacs".into(),
        not_before: NOW,
        expires: NOW.plus(60),
        token: ByteString(vec![1; 16]),
        effect_by: NOW.plus(60),
    };
    let payload = permit.to_claims().unwrap();
    let unsigned = Draft { payload, ..draft(Some(deployer_id), Kind::Permit, &0) };
    let permit = deployer.append(unsigned.sign(&deployer.organisation.authority_key).unwrap());
    deployer.say(
        Kind::Effect,
        &Effect {
            permit,
            effective: NOW,
            observed: BTreeMap::from([("status".into(), "active".into())]),
            mismatches: vec![],
        },
    );
    deployer.sign(1);

    let all = supplier.statements.iter().chain(&deployer.statements);
    let edges = all.flat_map(|s| edges(s.id(), s.payload())).collect();
    let chains = BTreeMap::from([(supplier_id, supplier), (deployer_id, deployer)]);
    (Mesh { chains, edges, disclosures: BTreeMap::new() }, [decided, link])
}

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
    let organisation = chain.organisation.id();
    let disclosures = BTreeMap::from([(id, disclosures)]);
    let mesh =
        Mesh { chains: BTreeMap::from([(organisation, chain)]), edges: EdgeSet::default(), disclosures };
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
