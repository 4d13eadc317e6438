//! No input makes a decoder panic, and what a decoder accepts is canonical: written back, it says the same, and where
//! the format has no optional fields it is the same bytes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails this way says where"
)]

mod mutation;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use counterfoil_protocol::actuation::governance::{Governed, OrderingRuling, OverrideRuling, StageRuling};
use counterfoil_protocol::actuation::{
    ActionClass, CorrectiveAction, Effect, HarmOrdering, Mismatch, Mode, Nonconformity, Override, Permit,
    Request, Reversibility,
};
use counterfoil_protocol::admissibility::verdict::{
    Considered, MissingRequirement, Outcome, ProfileOutcome, Reason, RequirementOutcome, RequirementState,
    SufficientSet, Unheard,
};
use counterfoil_protocol::admissibility::{
    Activation, Basis, Composition, Decision, EvidenceRef, Finding, FindingKind, Inquiry, InquiryAnswer,
    Profile, Relation as EvidenceRelation, SetCount, SilenceRule, Verdict,
};
use counterfoil_protocol::chain::anchor::{Anchor, AnchoredHead};
use counterfoil_protocol::chain::checkpoint::{Checkpoint, origin, verifier};
use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::chain::note::{Note, VerifierKey};
use counterfoil_protocol::chain::receipt::{Receipt, receipt};
use counterfoil_protocol::chain::tile::TilePath;
use counterfoil_protocol::chain::{Hash, Head, HeadDraft, SignedHead};
use counterfoil_protocol::codec::{self, CodecError, Value};
use counterfoil_protocol::cose::{self, Sign1};
use counterfoil_protocol::identity::{Revocation, StandingDigest, Status, Suspension};
use counterfoil_protocol::ids::{
    AuthorityId, BlobId, ByteString, Bytes, HeadHash, HeadSeq, KeyId, MeshId, Position, StatementId,
    Timestamp, TreeSize,
};
use counterfoil_protocol::keys::Signer;
use counterfoil_protocol::limits::{EXPRESSION_BYTES_MAX, PAYLOAD_BYTES_MAX};
use counterfoil_protocol::lineage::{Acknowledgement, EdgeKind, Recall, RecallResponse};
use counterfoil_protocol::mesh::{
    Acceptance, Admission, Agreement, Amendment, Answer, Ballot, Charter, Counterfoil, Invitation, Join,
    Leave, Link, LinkTarget, OnFork, Recognition, Relation,
};
use counterfoil_protocol::observation::{
    Metric, Observation, Source, SourceCheck, SourceSignature, Subject, SubjectKey,
};
use counterfoil_protocol::statement::{Draft, Endorsed, Kind, Payload, Statement, Visibility};
use counterfoil_protocol::test_support::{TestOrganisation, draft, observation};
use counterfoil_protocol::weighting::{Dimension, Ppm, Step, Weighed, Weight};
use mutation::{cases, grafted, mutated, noise};
use proptest::prelude::*;

const PROFILE: &str = r#"
    id = "clinical"
    version = 1
    title = "Clinical deployment"
    family = "clinical"
    actions = ["deploy/*"]
    vetoes = ["recall"]
    rule = { all = ["evaluation", { at_least = 1, of = ["assessment"] }] }
    missing = { irreversible = "refuse" }
    limits = [{ unless = "assessment", dimension = "site", allow = ["north"] }]
    degraded = { site = ["north"] }
    overrides = { forbidden = ["deploy/icu"], vetoes = ["recall"], irreversible = true }

    [requirements.evaluation]
    claims = ["evaluation/*"]
    floors = { quality = 500000 }
    expression = "content.sensitivity_ppm >= 900000"

    [requirements.assessment]
    claims = ["assessment/conformity"]
    kinds = ["external-body"]
    reached = { edges = ["derived-from"], depth = 3 }
"#;

const ACTION_CLASS: &str = r#"
    action = "deploy/*"
    reversibility = "irreversible"
    point-of-no-return = { what = "the patient is treated", after-s = 60 }
    harm = ["injury"]
    stages = { dimension = "site", steps = [["north"], ["north", "south"]] }
    permit-s = 60
    effect-s = 600
"#;

const HARM_ORDERING: &str = r#"
    jurisdiction = "EU"
    order = ["delay", "injury"]
    refuse-missing-from = "injury"
    human-role-from = "delay"
"#;

/// Something valid for every decoder.
struct Samples {
    heads: [SignedHead; 2],
    statements: Vec<Vec<u8>>,
    payloads: Vec<(Kind, Vec<u8>)>,
    receipt: Vec<u8>,
    verdict: Vec<u8>,
    misbehaviour: Vec<u8>,
}

static SAMPLES: LazyLock<Samples> = LazyLock::new(samples);

fn samples() -> Samples {
    let organisation = TestOrganisation::new(1);
    let id = organisation.id();
    let statement = StatementId::from_bytes([3; 32]);
    let head = |root: u8| {
        let (size, root) = (TreeSize(5), Hash([root; 32]));
        let (seq, previous) = (HeadSeq(2), Some(HeadHash::from_bytes([7; 32])));
        let (standing, issued_at) = (StandingDigest::EMPTY, Timestamp(1000));
        let draft = HeadDraft { organisation: id, seq, previous, size, root, standing, issued_at };
        draft.sign(organisation.chain_key.as_ref()).unwrap()
    };
    let heads = [head(1), head(2)];
    let proof = Misbehaviour::of(organisation.inception.statement().bytes(), &heads[0], &heads[1]).unwrap();
    let (key, path) = (organisation.chain_key.public_key(), [Hash([5; 32]), Hash([6; 32])]);
    let receipt = receipt(&id, &key, heads[0].receipt_signature(), TreeSize(5), Position(3), &path).unwrap();
    let verdict = verdict(statement).to_bytes().unwrap();
    let payloads = payloads(&organisation, &heads[0], &receipt, &verdict);
    let mut statements: Vec<Vec<u8>> =
        organisation.opening().iter().map(|s| s.statement().bytes().to_vec()).collect();
    for (kind, payload) in &payloads {
        let visibility = if kind.is_standing() { Visibility::Mesh } else { Visibility::Parties(statement) };
        let (subject, refs) = (Some("scanner".to_owned()), vec![statement, StatementId::from_bytes([2; 32])]);
        let draft =
            Draft { subject, refs, visibility, payload: payload.clone(), ..draft(Some(id), *kind, &0) };
        let signed = draft.sign(&organisation.authority_key).unwrap();
        statements.push(signed.statement().bytes().to_vec());
    }
    Samples { heads, statements, payloads, receipt, verdict, misbehaviour: codec::encode(&proof).unwrap() }
}

fn inquiries(organisation: counterfoil_protocol::ids::OrganisationId) -> Vec<Inquiry> {
    let since = Some(Timestamp(5));
    let answers = [
        InquiryAnswer::Answered { named: 3, came: 2, missing: 1 },
        InquiryAnswer::Silent { since },
        InquiryAnswer::Unreachable { since: None },
        InquiryAnswer::Refused,
    ];
    answers.map(|answer| Inquiry { organisation, answer }).to_vec()
}

fn verdict(statement: StatementId) -> Verdict {
    let authority = AuthorityId::from(statement);
    let step = Step { dimension: Dimension::Quality, found: "nothing declared".into(), value: Ppm::ZERO };
    let outcome = RequirementOutcome {
        state: RequirementState::Met,
        considered: vec![Considered {
            statement,
            authority,
            organisation: statement.into(),
            relation: EvidenceRelation::Reached(vec![EdgeKind::DerivedFrom]),
            translation: None,
            weighed: Weighed { weight: WEIGHT, derivation: vec![step].into() },
            refused: vec![reason("too-old")].into(),
        }],
        unheard: vec![Unheard { organisation: statement.into(), since: Some(Timestamp(7)) }],
    };
    let veto = Finding {
        kind: FindingKind::Recall,
        organisation: statement.into(),
        statement: Some(statement),
        evidence: vec![statement],
        subjects: vec![SubjectKey::Name("scans".into())],
        reason: "flawed".into(),
    };
    let missing = MissingRequirement {
        profile: "clinical".into(),
        requirement: "assessment".into(),
        state: RequirementState::Unmet,
        way_out: "ask the assessor".into(),
    };
    Verdict {
        mode: Mode::Partial,
        scopes: BTreeMap::from([("site".into(), vec!["north".into()])]),
        withheld: BTreeMap::from([("site".into(), vec!["south".into()])]),
        profiles: vec![ProfileOutcome {
            profile: "clinical".into(),
            declared_by: statement,
            outcome: Outcome::Unmet,
            requirements: BTreeMap::from([("evaluation".into(), outcome)]),
            vetoes: vec![veto],
        }],
        necessary: vec![authority],
        sufficient: vec![SufficientSet { statements: vec![statement], authorities: vec![authority] }].into(),
        sufficient_count: Some(SetCount::from(65)),
        missing: vec![vec![missing]].into(),
        missing_count: Some(SetCount::from(1)),
        truncated: true,
        weight: Some(WEIGHT),
        reasons: vec![reason("partial")],
        governed: Some(Box::new(Governed {
            classes: vec![statement],
            reversibility: Reversibility::Compensable,
            harm: vec!["delay".into()],
            orderings: vec![OrderingRuling {
                declared_by: statement,
                jurisdiction: "EU".into(),
                gravity: 1,
                of: 2,
            }],
            stage: Some(StageRuling { class: statement, dimension: "site".into(), cleared: 1, of: 3 }),
            degraded: true,
            overridden: Some(OverrideRuling {
                statement,
                authority,
                reason: "mass casualty".into(),
                instead_of: Mode::Defer,
                left: 1,
            }),
        })),
    }
}

const WEIGHT: Weight = Weight {
    quality: Ppm::new(500_000),
    provenance: Ppm::FULL,
    recency: Ppm::new(3),
    authority: Ppm::FULL,
    corroboration: Ppm::ZERO,
};

fn reason(code: &'static str) -> Reason {
    Reason { code: code.into(), text: "because".into() }
}

/// A payload of every kind.
fn payloads(
    organisation: &TestOrganisation,
    head: &SignedHead,
    receipt: &[u8],
    verdict: &[u8],
) -> Vec<(Kind, Vec<u8>)> {
    let statement = StatementId::from_bytes([3; 32]);
    let (id, mesh, time) = (organisation.id(), MeshId::from(statement), Timestamp(1000));
    let subject = observation("evaluation/test", 1).subjects[0].clone();
    let (receipt, verdict) = (ByteString(receipt.to_vec()), ByteString(verdict.to_vec()));
    let checkpoint = ByteString(head.note().to_string().into_bytes());
    let scopes = BTreeMap::from([("site".to_owned(), vec!["north".to_owned()])]);
    let charter = Charter {
        name: "test".into(),
        members: vec![id],
        admission_threshold: 1,
        witness_quorum: 1,
        freshness_s: 600,
        link_answer_s: 600,
        on_fork: OnFork::Quarantine,
        amendment_threshold: None,
        witnesses: None,
    };
    let revocation = Revocation {
        authority: statement.into(),
        reason: "left".into(),
        compromised_since: Some(Position(3)),
        compromised_at: Some(Timestamp(7)),
    };
    let request = Request {
        action: "deploy/triage".into(),
        subjects: vec![subject.clone()],
        actuator: "pacs".into(),
        scopes: scopes.clone(),
        predicted: BTreeMap::from([("status".into(), "active".into())]),
        reversibility: Reversibility::Compensable,
        harm: vec!["delay".into()],
        purpose: "triage".into(),
    };
    let decision = Decision {
        request,
        time,
        mesh: Some(mesh),
        activation: statement,
        basis: vec![Basis {
            organisation: id,
            head: ByteString(head.bytes().to_vec()),
            cosignatures: vec!["line\n".into()],
            seen: time,
        }],
        inquiries: inquiries(id),
        silence: SilenceRule::Recognised,
        evidence: vec![EvidenceRef { organisation: id, position: Position(3), statement }],
        forked: vec![id],
        mode: Mode::Partial,
        verdict,
    };
    let permit = Permit {
        decision: statement,
        mode: Mode::Partial,
        scopes,
        actuator: "pacs".into(),
        not_before: time,
        expires: time.plus(60),
        token: ByteString(vec![7; 16]),
        effect_by: time.plus(90),
        stage: Some((2, 3)),
    };
    let effect = Effect {
        permit: statement,
        effective: time,
        observed: BTreeMap::from([("status".into(), "idle".into())]),
        mismatches: vec![Mismatch {
            name: "status".into(),
            predicted: "active".into(),
            observed: Some("idle".into()),
        }],
    };
    let target = LinkTarget {
        organisation: id,
        position: Position(3),
        statement,
        receipt: receipt.clone(),
        checkpoint: checkpoint.clone(),
    };
    let link = Link {
        target,
        relation: Relation::Uses,
        from: Some(statement),
        purpose: "use".into(),
        agreement: Some(statement),
    };
    let counterfoil = Counterfoil {
        link: statement,
        organisation: id,
        position: Position(3),
        receipt,
        checkpoint: checkpoint.clone(),
        answer: Answer::Refused("not known here".into()),
    };
    let anchored = AnchoredHead { organisation: id, head: head.hash(), size: head.size(), checkpoint };
    let weights = BTreeMap::from([("clinical".to_owned(), 2)]);
    let acknowledgement = Acknowledgement {
        recall: statement,
        head: Bytes([4; 32]),
        decisions: vec![statement],
        permits: vec![statement],
        response: RecallResponse::Noted,
    };
    let mut all: Vec<(Kind, Vec<u8>)> = organisation
        .opening()
        .iter()
        .map(|s| (s.statement().header().kind, s.statement().payload().to_vec()))
        .collect();
    let mut add = |kind: Kind, payload: Result<Vec<u8>, CodecError>| all.push((kind, payload.unwrap()));
    let signers: [&dyn Signer; 1] = [&organisation.root_keys[1]];
    let endorsed = Endorsed::new(Kind::Revocation, &revocation, &signers).unwrap();
    add(Kind::Revocation, codec::encode(&endorsed));
    let suspension = Suspension { authority: statement.into(), reason: "leave".into(), lifted: true };
    add(Kind::Suspension, codec::encode(&Endorsed::new(Kind::Suspension, &suspension, &signers).unwrap()));
    let status = Status { revoked: vec![statement.into()], suspended: vec![statement.into()], next_by: time };
    add(Kind::Status, codec::encode(&status));
    add(Kind::Charter, codec::encode(&charter));
    add(Kind::Join, codec::encode(&Join { mesh, invitation: None }));
    add(
        Kind::Admission,
        codec::encode(&Admission { mesh, organisation: id, ballot: Ballot::Admit, after: None }),
    );
    let amendment = Amendment { mesh, version: 1, terms: charter.terms() };
    add(Kind::Amendment, codec::encode(&amendment));
    let invitation = Invitation { mesh, organisation: Some(id), expires: time };
    add(Kind::Invitation, codec::encode(&invitation));
    add(Kind::Leave, codec::encode(&Leave { mesh }));
    add(
        Kind::Recognition,
        codec::encode(&Recognition {
            roles: vec!["b".into()],
            role_map: BTreeMap::from([("b".into(), "c".into())]),
            claim_map: BTreeMap::from([("a/b".into(), "c/d".into())]),
            authority_cap: Some(Ppm::new(500_000)),
            ..Recognition::of(id, vec!["a/*".into()])
        }),
    );
    add(
        Kind::Agreement,
        codec::encode(&Agreement {
            parties: vec![StatementId::from_bytes([1; 32]).into(), StatementId::from_bytes([2; 32]).into()],
            kinds: vec![Kind::Observation, Kind::Link],
            subjects: vec!["name:a*".into()],
            jurisdictions: vec!["EU".into()],
            from: Timestamp(1),
            until: Some(Timestamp(2)),
            link_answer_s: Some(3),
            purpose: "use".into(),
        }),
    );
    add(Kind::Acceptance, codec::encode(&Acceptance { agreement: statement, withdrawn: true }));
    add(Kind::Observation, codec::encode(&full_observation(statement)));
    add(Kind::Link, codec::encode(&link));
    add(Kind::Counterfoil, codec::encode(&counterfoil));
    add(Kind::Anchor, codec::encode(&Anchor { heads: vec![anchored] }));
    add(Kind::Profile, codec::encode(&Profile::from_toml(PROFILE).unwrap()));
    let composition = Composition::Weighted { weights, threshold: 2 };
    let activation = codec::encode(&Activation { profiles: vec![statement], composition });
    add(Kind::Activation, activation.clone());
    add(Kind::Decision, codec::encode(&decision));
    add(Kind::Permit, permit.to_claims());
    add(Kind::Effect, codec::encode(&effect));
    add(Kind::Nonconformity, codec::encode(&Nonconformity { cause: statement, finding: "late".into() }));
    add(Kind::ActionClass, codec::encode(&ActionClass::from_toml(ACTION_CLASS).unwrap()));
    add(Kind::HarmOrdering, codec::encode(&HarmOrdering::from_toml(HARM_ORDERING).unwrap()));
    add(Kind::Override, codec::encode(&Override::of(&decision.request, "mass casualty")));
    let action = CorrectiveAction {
        nonconformity: statement,
        action: "retrain".into(),
        causes: vec![statement],
        responsible: Some("officer".into()),
        due: Some(time),
        closes: true,
        evidence: vec![statement],
    };
    add(Kind::CorrectiveAction, codec::encode(&action));
    add(Kind::Recall, codec::encode(&Recall { statement, subjects: vec![subject], reason: "flawed".into() }));
    add(Kind::Acknowledgement, codec::encode(&acknowledgement));
    add(Kind::Approval, activation);
    all
}

/// An observation in which every field says something.
fn full_observation(statement: StatementId) -> Observation {
    let plain = observation("evaluation/test", 1);
    let check = SourceCheck { check: "signature".into(), proven: true, detail: "by the vendor".into() };
    Observation {
        expires: Some(Timestamp(2000)),
        adverse: true,
        content: BTreeMap::from([("n".into(), Value::Integer(1.into()))]),
        sealed: Vec::new(),
        metrics: vec![Metric { name: "sensitivity".into(), ppm: -3 }],
        derived_from: vec![statement],
        materials: vec![Subject::Named("scans".into()), Subject::Statement(statement)],
        source: Some(Source {
            format: "pdf".into(),
            document: BlobId::from_bytes([8; 32]),
            signature: SourceSignature::Verified,
            signer: Some("vendor".into()),
            witnessed: Some(Timestamp(1500)),
            checks: vec![check],
        }),
        ..plain
    }
}

/// What a payload says, written again.
fn rewritten(payload: &Payload) -> Vec<u8> {
    match payload {
        Payload::Organisation(_, endorsed) => codec::encode(endorsed),
        Payload::Credential(_, endorsed) => codec::encode(endorsed),
        Payload::Revocation(_, endorsed) => codec::encode(endorsed),
        Payload::Suspension(_, endorsed) => codec::encode(endorsed),
        Payload::Status(payload) => codec::encode(payload),
        Payload::Node(payload) => codec::encode(payload),
        Payload::Charter(payload) => codec::encode(payload),
        Payload::Join(payload) => codec::encode(payload),
        Payload::Admission(payload) => codec::encode(payload),
        Payload::Amendment(payload) => codec::encode(payload),
        Payload::Invitation(payload) => codec::encode(payload),
        Payload::Leave(payload) => codec::encode(payload),
        Payload::Recognition(payload) => codec::encode(payload),
        Payload::Agreement(payload) => codec::encode(payload),
        Payload::Acceptance(payload) => codec::encode(payload),
        Payload::Observation(payload) => codec::encode(payload),
        Payload::Link(payload) => codec::encode(payload),
        Payload::Counterfoil(payload) => codec::encode(payload),
        Payload::Anchor(payload) => codec::encode(payload),
        Payload::Profile(payload) => codec::encode(payload),
        Payload::Activation(payload) | Payload::Approval(payload) => codec::encode(payload),
        Payload::Decision(payload) => codec::encode(payload),
        Payload::Permit(payload) => payload.to_claims(),
        Payload::Effect(payload) => codec::encode(payload),
        Payload::Nonconformity(payload) => codec::encode(payload),
        Payload::ActionClass(payload) => codec::encode(payload),
        Payload::HarmOrdering(payload) => codec::encode(payload),
        Payload::Override(payload) => codec::encode(payload),
        Payload::CorrectiveAction(payload) => codec::encode(payload),
        Payload::Recall(payload) => codec::encode(payload),
        Payload::Acknowledgement(payload) => codec::encode(payload),
    }
    .unwrap()
}

fn check_codec(bytes: &[u8]) {
    if let Ok(value) = codec::from_bytes(bytes, bytes.len()) {
        assert_eq!(codec::to_bytes(&value).unwrap(), bytes);
    }
    if let Ok((value, rest)) = codec::first_item(bytes) {
        let mut again = codec::to_bytes(&value).unwrap();
        again.extend_from_slice(rest);
        assert_eq!(again, bytes);
    }
}

/// A COSE_Sign1's parts, put together again; gives the protected header and the payload.
fn check_sign1(bytes: &[u8]) -> (&[u8], &[u8]) {
    let parts = Sign1::parse(bytes).unwrap();
    let (protected, payload) = (&bytes[parts.protected], &bytes[parts.payload]);
    assert_eq!(cose::assemble(protected, payload, &parts.signature), bytes);
    (protected, payload)
}

fn check_statement(bytes: &[u8]) {
    let Ok(statement) = Statement::parse(bytes) else { return };
    assert_eq!(statement.bytes().as_ref(), bytes);
    let (protected, payload) = check_sign1(bytes);
    assert_eq!(statement.payload(), payload);
    // The header says nothing beyond what its fields say: a draft of them has the same, but for the key.
    let header = statement.header().clone();
    let draft = Draft {
        kind: header.kind,
        organisation: header.organisation,
        subject: header.subject,
        issued_at: header.issued_at,
        refs: header.refs,
        visibility: header.visibility,
        payload: Vec::new(),
    };
    let key = &TestOrganisation::new(1).authority_key;
    let again = draft.sign(key).unwrap().into_statement();
    let without_key = |header: &[u8], key: &KeyId| {
        let at = header.windows(32).position(|window| window == key.as_bytes()).unwrap();
        [&header[..at], &header[at + 32..]].concat()
    };
    let (other, _) = check_sign1(again.bytes());
    assert_eq!(without_key(protected, &header.key), without_key(other, &again.header().key));
}

fn check_payload(bytes: &[u8]) {
    for kind in Kind::ALL {
        if let Ok(payload) = Payload::decode(*kind, bytes) {
            check_codec(bytes);
            // serde reads past a default that is spelled out or a set out of order: what it wrote itself is final.
            let again = rewritten(&payload);
            assert_eq!(Payload::decode(*kind, &again).unwrap(), payload, "{kind}");
            if matches!(kind, Kind::Permit | Kind::Join | Kind::Anchor | Kind::Acknowledgement) {
                assert_eq!(again, bytes, "{kind}");
            }
        }
    }
}

fn check_head(bytes: &[u8]) {
    if Head::parse(bytes).is_ok() {
        let (protected, payload) = check_sign1(bytes);
        for part in [protected, payload] {
            assert_eq!(codec::to_bytes(&codec::from_bytes(part, part.len()).unwrap()).unwrap(), part);
        }
    }
}

fn check_receipt(bytes: &[u8]) {
    if Receipt::parse(bytes).is_ok() {
        // Everything but the tag and the nil payload is strict CBOR.
        let mut rest = &bytes[2..];
        for part in 0..3 {
            check_codec(rest);
            rest = codec::first_item(rest).unwrap().1;
            if part == 1 {
                rest = rest.strip_prefix(&[0xf6]).unwrap();
            }
        }
        assert!(rest.is_empty());
    }
}

fn check_note(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
    }
}

fn check_texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(checkpoint) = Checkpoint::parse(&text) {
        assert_eq!(checkpoint.to_text(), text);
    }
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
}

fn check_misbehaviour(bytes: &[u8]) {
    if let Ok(proof) = Misbehaviour::parse(bytes) {
        assert_eq!(codec::encode(&proof).unwrap(), bytes);
        let _ = proof.check();
    }
}

fn check_verdict(bytes: &[u8]) {
    if let Ok(verdict) = codec::decode::<Verdict>(bytes, PAYLOAD_BYTES_MAX) {
        check_codec(bytes);
        let again = codec::decode::<Verdict>(&verdict.to_bytes().unwrap(), PAYLOAD_BYTES_MAX).unwrap();
        assert_eq!(again, verdict);
    }
}

fn check_profile(text: &str) {
    if let Ok(profile) = Profile::from_toml(text) {
        let bytes = codec::encode(&profile).unwrap();
        let Ok(Payload::Profile(again)) = Payload::decode(Kind::Profile, &bytes) else {
            panic!("a profile's own encoding is refused")
        };
        assert_eq!(*again, profile);
    }
}

fn check_all(bytes: &[u8]) {
    check_codec(bytes);
    check_statement(bytes);
    check_payload(bytes);
    check_head(bytes);
    check_receipt(bytes);
    check_note(bytes);
    check_texts(bytes);
    check_misbehaviour(bytes);
    check_verdict(bytes);
    check_profile(&String::from_utf8_lossy(bytes));
}

fn payload_bytes() -> Vec<Vec<u8>> {
    SAMPLES.payloads.iter().map(|(_, payload)| payload.clone()).collect()
}

fn texts() -> Vec<Vec<u8>> {
    let organisation = TestOrganisation::new(1);
    let key = verifier(&organisation.id(), organisation.chain_key.public_key()).unwrap();
    let root = Hash([1; 32]);
    let checkpoint = Checkpoint { origin: origin(&organisation.id()), size: TreeSize(70), root };
    ["tile/0/x001/234.p/17", "tile/entries/005"]
        .into_iter()
        .map(str::to_owned)
        .chain([key.to_string(), checkpoint.to_text()])
        .map(String::into_bytes)
        .collect()
}

#[test]
fn every_sample_is_accepted() {
    let samples = &*SAMPLES;
    let mut kinds: Vec<Kind> = Vec::new();
    for (kind, payload) in &samples.payloads {
        assert_eq!(&rewritten(&Payload::decode(*kind, payload).unwrap()), payload, "{kind}");
        kinds.push(*kind);
    }
    kinds.sort();
    assert_eq!(kinds, Kind::ALL, "a sample of every kind");
    for statement in &samples.statements {
        Statement::parse(statement.as_slice()).unwrap();
        check_statement(statement);
    }
    for head in &samples.heads {
        Head::parse(head.bytes().clone()).unwrap();
        check_head(head.bytes());
        Note::parse(head.note().to_string().as_bytes()).unwrap();
    }
    Receipt::parse(&samples.receipt).unwrap();
    codec::decode::<Verdict>(&samples.verdict, PAYLOAD_BYTES_MAX).unwrap();
    Misbehaviour::parse(&samples.misbehaviour).unwrap().check().unwrap();
    let [tile, entries, key, checkpoint] = &texts()[..] else { panic!("four texts") };
    for path in [tile, entries] {
        std::str::from_utf8(path).unwrap().parse::<TilePath>().unwrap();
    }
    std::str::from_utf8(key).unwrap().parse::<VerifierKey>().unwrap();
    Checkpoint::parse(std::str::from_utf8(checkpoint).unwrap()).unwrap();
}

/// What no random text reaches: nesting as deep as the length allows.
#[test]
fn depth_overflows_no_stack() {
    for bracket in ["(", "[", "{", "-", "!", "a?", "{a:", "f(", "a.b(", "a["] {
        let expression = bracket.repeat(EXPRESSION_BYTES_MAX / bracket.len());
        let text = PROFILE.replace("content.sensitivity_ppm >= 900000", &expression);
        assert!(Profile::from_toml(&text).is_err(), "{bracket}");
    }
    for rule in ["[", "{ all = [", "{ all.all = ["] {
        assert!(Profile::from_toml(&format!("rule = {}", rule.repeat(20_000))).is_err(), "{rule}");
    }
    for item in
        [&[0x81][..], &[0xa1, 0x00], &[0xd2], &[0xd2, 0x84], &[0x9b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]]
    {
        check_all(&item.repeat(20_000));
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_bytes(bytes in noise()) {
        check_all(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_structure_that_fits(bytes in noise()) {
        check_all(&cose::assemble(&bytes, &bytes, &Bytes([1; 64])));
        check_all(&[&[0xd2, 0x84], bytes.as_slice()].concat());
        check_all(&[b"a\n\n\xe2\x80\x94 a ", bytes.as_slice()].concat());
    }

    #[test]
    fn any_text(text in "[ -~\n]{0,200}", path in "tile/[0-9a-z]{1,3}(/x?[0-9]{1,4}){1,4}(\\.p/[0-9]{1,3})?") {
        check_all(text.as_bytes());
        check_texts(path.as_bytes());
    }

    #[test]
    fn changed_statements(bytes in mutated(SAMPLES.statements.clone())) {
        check_statement(&bytes);
    }

    #[test]
    fn statements_with_another_header(header in grafted(headers())) {
        check_statement(&cose::assemble(&header, &SAMPLES.payloads[0].1, &Bytes([1; 64])));
        check_head(&cose::assemble(&header, &SAMPLES.payloads[0].1, &Bytes([1; 64])));
    }

    #[test]
    fn changed_payloads(bytes in mutated(payload_bytes())) {
        check_codec(&bytes);
        check_payload(&bytes);
    }

    #[test]
    fn payloads_of_another_shape(bytes in grafted(payload_bytes())) {
        check_codec(&bytes);
        check_payload(&bytes);
    }

    #[test]
    fn changed_heads(bytes in mutated(SAMPLES.heads.iter().map(|head| head.bytes().to_vec()).collect())) {
        check_head(&bytes);
    }

    #[test]
    fn changed_receipts(bytes in mutated(vec![SAMPLES.receipt.clone()])) {
        check_receipt(&bytes);
    }

    #[test]
    fn changed_notes(bytes in mutated(vec![SAMPLES.heads[0].note().to_string().into_bytes()])) {
        check_note(&bytes);
        check_texts(&bytes);
    }

    #[test]
    fn changed_texts(bytes in mutated(texts())) {
        check_texts(&bytes);
    }

    #[test]
    fn changed_proofs_of_misbehaviour(bytes in mutated(vec![SAMPLES.misbehaviour.clone()])) {
        check_misbehaviour(&bytes);
    }

    #[test]
    fn proofs_of_misbehaviour_of_another_shape(bytes in grafted(vec![SAMPLES.misbehaviour.clone()])) {
        check_misbehaviour(&bytes);
    }

    #[test]
    fn changed_verdicts(bytes in mutated(vec![SAMPLES.verdict.clone()])) {
        check_verdict(&bytes);
    }

    #[test]
    fn verdicts_of_another_shape(bytes in grafted(vec![SAMPLES.verdict.clone()])) {
        check_verdict(&bytes);
    }

    #[test]
    fn changed_profiles(bytes in mutated(vec![PROFILE.as_bytes().to_vec()])) {
        check_profile(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn profiles_with_another_expression(expression in "[-a-z0-9_ .,!?:=<>()+*/&|\\[\\]{}%']{0,80}") {
        check_profile(&PROFILE.replace("content.sensitivity_ppm >= 900000", &expression));
    }
}

/// Protected headers, of which the unit of change is the tree.
fn headers() -> Vec<Vec<u8>> {
    let heads = SAMPLES.heads.iter().map(|head| head.bytes().to_vec());
    heads.chain(SAMPLES.statements.clone()).map(|bytes| check_sign1(&bytes).0.to_vec()).collect()
}
