//! Chains whose owner signs what it may not: payloads of every kind, each part of them left out, added to or made into
//! something else, under signatures and a head that are all in order.

use std::collections::BTreeMap;

use counterfoil_protocol::actuation::{
    ActionClass, CorrectiveAction, Effect, HarmOrdering, Mismatch, Nonconformity, Override, OverrideBudget,
};
use counterfoil_protocol::admissibility::{Activation, Composition, Profile};
use counterfoil_protocol::bundle::Manifest;
use counterfoil_protocol::chain::Head;
use counterfoil_protocol::chain::anchor::{Anchor, AnchoredHead};
use counterfoil_protocol::codec::{self, Value};
use counterfoil_protocol::identity::{
    ActivationQuorum, AuthorityKind, Competence, Credential, LostHead, NodeBinding, Organisation, Recovery,
    Revocation, Scope, Status, Suspension,
};
use counterfoil_protocol::ids::{
    AuthorityId, BlobId, ByteString, Bytes, HeadHash, HeadSeq, MeshId, OrganisationId, Position, StatementId,
    Timestamp, TreeSize,
};
use counterfoil_protocol::keys::{SecretKey, Signer as _};
use counterfoil_protocol::lineage::{Acknowledgement, Recall, RecallResponse, edges};
use counterfoil_protocol::mesh::{
    Acceptance, Admission, Agreement, Amendment, Answer, Ballot, Charter, Counterfoil, Invitation, Join,
    Leave, Link, LinkTarget, OnFork, Recognition, Relation,
};
use counterfoil_protocol::observation::{
    ArtifactDigest, Metric, Source, SourceCheck, SourceSignature, Subject, SubjectKey,
};
use counterfoil_protocol::statement::{Draft, Endorsed, Kind, Payload, Statement};
use counterfoil_protocol::test_support::governed;
use counterfoil_protocol::test_support::mesh::story;
use counterfoil_protocol::test_support::recovery::recovery;
use counterfoil_protocol::test_support::{TestOrganisation, draft, observation};
use counterfoil_protocol::weighting::Ppm;
use serde::Serialize;

use super::parts::{Case, Parts, section};
use super::valid;

const SEED: u64 = 1;

/// One chain, to which anything can be appended.
pub(crate) struct World {
    pub(crate) organisation: TestOrganisation,
    pub(crate) said: Vec<Vec<u8>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let organisation = TestOrganisation::new(SEED);
        let said = organisation.opening().iter().map(|one| one.statement().bytes().to_vec()).collect();
        Self { organisation, said }
    }

    /// The steward, whose credential stands at position 1.
    pub(crate) fn authority(&self) -> AuthorityId {
        Statement::parse(self.said[1].as_slice()).unwrap().id().into()
    }

    pub(crate) fn draft(&self, kind: Kind, payload: Vec<u8>) -> Draft {
        Draft { payload, ..draft(Some(self.organisation.id()), kind, &0) }
    }

    /// A bundle about the last statement; what it refers to and is not here is called absent.
    pub(crate) fn bundle(&self) -> Vec<u8> {
        let about = Statement::parse(self.said.last().unwrap().as_slice());
        let about = about.map_or(StatementId::from_bytes([0; 32]), |statement| statement.id());
        let mut parts = Parts {
            manifest: Manifest {
                about: vec![about],
                absent: absent(&self.said),
                limited: vec![],
                misbehaviour: vec![],
                ranges: vec![],
                period: None,
                sections: 1,
            },
            sections: vec![section(&self.organisation, &self.said, &[])],
        };
        parts.count();
        parts.seal()
    }
}

/// What statements refer to that is not among them.
fn absent(said: &[Vec<u8>]) -> Vec<StatementId> {
    let statements: Vec<Statement> =
        said.iter().filter_map(|bytes| Statement::parse(bytes.as_slice()).ok()).collect();
    let mut found = std::collections::BTreeSet::new();
    for statement in &statements {
        found.extend(&statement.header().refs);
        let Ok(payload) = Payload::decode(statement.header().kind, statement.payload()) else { continue };
        for edge in edges(statement.id(), &payload) {
            for node in [edge.from, edge.to] {
                if let SubjectKey::Statement(id) = node {
                    found.insert(id);
                }
            }
        }
    }
    for statement in &statements {
        found.remove(&statement.id());
    }
    found.into_iter().collect()
}

pub(crate) fn to_value<T: Serialize>(content: &T) -> Value {
    codec::from_bytes(&codec::encode(content).unwrap(), usize::MAX).unwrap()
}

/// A value with one change, and what that is.
type Changed = (String, Value);

/// Every part of a value left out, repeated, added to, or made into something else.
fn changes(value: &Value) -> Vec<Changed> {
    let mut found = Vec::new();
    walk(value, "", &mut |what, value| found.push((what, value)));
    found
}

fn walk(value: &Value, at: &str, give: &mut dyn FnMut(String, Value)) {
    for (what, other) in others(value) {
        give(format!("{at} {what}"), other);
    }
    match value {
        Value::Map(fields) => {
            for (n, (name, inner)) in fields.iter().enumerate() {
                let place =
                    format!("{at}/{}", name.as_text().map_or_else(|| format!("{name:?}"), str::to_owned));
                let mut without = fields.clone();
                without.remove(n);
                give(format!("{place} left out"), Value::Map(without));
                walk(inner, &place, &mut |what, inner| {
                    let mut changed = fields.clone();
                    changed[n].1 = inner;
                    give(what, Value::Map(changed));
                });
            }
        }
        Value::Array(items) => {
            if let Some(inner) = items.first() {
                walk(inner, &format!("{at}[0]"), &mut |what, inner| {
                    let mut changed = items.clone();
                    changed[0] = inner;
                    give(what, Value::Array(changed));
                });
            }
        }
        _ => {}
    }
}

/// What else could stand in the place of a value.
fn others(value: &Value) -> Vec<(&'static str, Value)> {
    let text = |text: &str| Value::Text(text.into());
    let mut found = vec![
        ("as a number", 7.into()),
        ("as a text", text("no-such")),
        ("as bytes", Value::Bytes(b"bytes".to_vec())),
        ("as true", Value::Bool(true)),
        ("as an empty array", Value::Array(vec![])),
        ("as an array of itself", Value::Array(vec![value.clone()])),
        ("as an empty map", Value::Map(vec![])),
        ("as a map of itself", Value::Map(vec![(text("named"), value.clone())])),
    ];
    match value {
        Value::Integer(_) => found.extend([
            ("as 0", 0.into()),
            ("as -1", (-1).into()),
            ("as 256", 256.into()),
            ("as 65536", 65536.into()),
            ("as 2^32", (1u64 << 32).into()),
            ("as 2^64 - 1", u64::MAX.into()),
        ]),
        Value::Text(one) => found.extend([
            ("as no text", text("")),
            ("as a long text", text(&"x".repeat(257))),
            ("in capitals", text(&one.to_uppercase())),
            ("as its bytes", Value::Bytes(one.clone().into_bytes())),
            ("with a star", text(&format!("{one}*"))),
        ]),
        Value::Bytes(bytes) => {
            let mut longer = bytes.clone();
            longer.push(0);
            let mut other = bytes.clone();
            other.iter_mut().for_each(|byte| *byte ^= 1);
            found.push(("a byte longer", Value::Bytes(longer)));
            found.push(("a byte shorter", Value::Bytes(bytes[..bytes.len().saturating_sub(1)].to_vec())));
            found.push(("with other bits", Value::Bytes(other)));
        }
        Value::Bool(flag) => found.push(("turned over", Value::Bool(!flag))),
        Value::Array(items) => {
            let mut more = items.clone();
            more.extend(items.first().cloned());
            found.push(("with its first again", Value::Array(more)));
            let mut reversed = items.clone();
            reversed.reverse();
            found.push(("the other way round", Value::Array(reversed)));
            found.push(("one fewer", Value::Array(items[..items.len().saturating_sub(1)].to_vec())));
        }
        Value::Map(fields) => {
            let mut more = fields.clone();
            more.push((text("zzz"), 1.into()));
            found.push(("with a field more", Value::Map(more)));
            let mut more = fields.clone();
            more.push((1.into(), 1.into()));
            found.push(("with a number for a field", Value::Map(more)));
        }
        _ => {}
    }
    found
}

/// The changes of each kind's payload.
pub(crate) fn all() -> Vec<Case> {
    let world = World::new();
    let mut found = Vec::new();
    for (name, kind, payload) in plain(&world) {
        let value = to_value_of(&payload);
        found.push(appended(&world, &name, kind, &value));
        for (what, changed) in changes(&value) {
            found.push(appended(&world, &format!("{name}{what}"), kind, &changed));
        }
    }
    for (name, kind, content) in acts(&world) {
        found.push(endorsed(&world, &name, kind, &content));
        for (what, changed) in changes(&content) {
            found.push(endorsed(&world, &format!("{name}{what}"), kind, &changed));
        }
    }
    found.extend(decided());
    found.extend(governed());
    found
}

fn to_value_of(payload: &[u8]) -> Value {
    codec::from_bytes(payload, usize::MAX).unwrap()
}

fn appended(world: &World, name: &str, kind: Kind, payload: &Value) -> Case {
    let draft = world.draft(kind, codec::to_bytes(payload).unwrap());
    let signed = draft.sign(&world.organisation.authority_key).unwrap();
    let mut said = world.said.clone();
    said.push(signed.statement().bytes().to_vec());
    let world = World { organisation: TestOrganisation::new(SEED), said };
    Case { name: format!("says {name}"), bytes: world.bundle() }
}

fn endorsed(world: &World, name: &str, kind: Kind, content: &Value) -> Case {
    let keys = &world.organisation.root_keys;
    let act = Endorsed::new(kind, content, &[&keys[1]]).unwrap();
    let signed = world.draft(kind, codec::encode(&act).unwrap()).sign(&keys[0]).unwrap();
    let mut said = world.said.clone();
    said.push(signed.statement().bytes().to_vec());
    let world = World { organisation: TestOrganisation::new(SEED), said };
    Case { name: format!("acts {name}"), bytes: world.bundle() }
}

const PROFILE: &str = r#"
    id = "clinical"
    version = 1
    title = "Clinical deployment"
    family = "clinical"
    jurisdictions = ["EU"]
    actions = ["deploy/*"]
    vetoes = ["recall", "adverse", "fork"]
    rule = { all = ["evaluation", { any = ["evaluation", "review"] }, { at_least = 1, of = ["review"] }] }
    limits = [{ unless = "review", dimension = "region", allow = ["DE"] }]
    [half-life-days]
    "evaluation/*" = 90
    [quality.auroc]
    floor = 700000
    target = 900000
    [requirements.evaluation]
    claims = ["evaluation/*"]
    roles = ["assessor"]
    kinds = ["human-role"]
    unrecognised = true
    reached = { edges = ["derived-from", "used"], depth = 3 }
    floors = { quality = 500000 }
    max-age-days = 30
    distinct = 2
    owner = "supplier"
    [requirements.review]
    claims = ["review"]
    expression = "content.sites >= 2"
    [missing]
    irreversible = "refuse"
    [degraded]
    region = ["DE"]
    [overrides]
    forbidden = ["deploy/icu"]
    vetoes = ["recall"]
    irreversible = true
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

fn full_observation() -> counterfoil_protocol::observation::Observation {
    let mut claim = observation("evaluation/clinical", 1);
    claim.subjects = vec![
        Subject::Artifact { digest: ArtifactDigest::sha256_of(b"model"), label: Some("model".into()) },
        Subject::Named("system".into()),
        Subject::Statement(StatementId::from_bytes([4; 32])),
    ];
    claim.expires = Some(Timestamp(50));
    claim.adverse = true;
    claim.content = BTreeMap::from([("sites".into(), Value::Array(vec![1.into(), Value::Bool(false)]))]);
    claim.metrics = vec![Metric { name: "auroc".into(), ppm: -5 }];
    claim.derived_from = vec![StatementId::from_bytes([6; 32])];
    claim.materials = vec![Subject::Statement(StatementId::from_bytes([5; 32]))];
    claim.sealed = vec![Bytes([1; 32]), Bytes([2; 32])];
    claim.source = Some(Source {
        format: "dsse".into(),
        document: BlobId::from_bytes([8; 32]),
        signature: SourceSignature::VerifiedAndLogged,
        signer: Some("somebody".into()),
        witnessed: Some(Timestamp(9)),
        checks: vec![SourceCheck { check: "signature".into(), proven: true, detail: "it holds".into() }],
    });
    claim
}

/// Payloads that an authority signs.
fn plain(world: &World) -> Vec<(String, Kind, Vec<u8>)> {
    fn of<T: Serialize>(name: &str, kind: Kind, payload: &T) -> (String, Kind, Vec<u8>) {
        (name.into(), kind, codec::encode(payload).unwrap())
    }
    let other = OrganisationId::from_bytes([2; 32]);
    let some = StatementId::from_bytes([3; 32]);
    let mesh = MeshId::from(some);
    let proof = || ByteString(vec![1, 2, 3]);
    let target = || LinkTarget {
        organisation: other,
        position: Position(4),
        statement: some,
        receipt: proof(),
        checkpoint: proof(),
    };
    let peer = SecretKey::from_seed(&[11; 32]);
    let (counter, expires) = (1, Timestamp(5000));
    let agreed = NodeBinding::message(&world.organisation.id(), &peer.public_key(), counter, expires);
    let binding = NodeBinding {
        mesh: Some(mesh),
        peer_key: peer.public_key(),
        counter,
        expires,
        addresses: vec!["/dns4/example.org".into()],
        peer_signature: peer.sign(&agreed),
    };
    let charter = Charter {
        name: "mesh".into(),
        members: vec![world.organisation.id(), other],
        admission_threshold: 2,
        witness_quorum: 1,
        freshness_s: 600,
        link_answer_s: 600,
        on_fork: OnFork::Keep,
        amendment_threshold: Some(2),
        witnesses: Some(3),
    };
    let agreement = Agreement {
        parties: vec![OrganisationId::from_bytes([1; 32]), other],
        kinds: vec![Kind::Observation, Kind::Link],
        subjects: vec!["name:a*".into()],
        jurisdictions: vec!["EU".into()],
        from: Timestamp(1),
        until: Some(Timestamp(2)),
        link_answer_s: Some(3),
        purpose: "use".into(),
    };
    let heads = [1, 2].map(|n| AnchoredHead {
        organisation: OrganisationId::from_bytes([n; 32]),
        head: HeadHash::from_bytes([9; 32]),
        size: TreeSize(3),
        checkpoint: proof(),
    });
    let activation = |composition| Activation { profiles: vec![some], composition };
    let weights = BTreeMap::from([("clinical".to_owned(), 2)]);
    let half = |answer| Counterfoil {
        link: some,
        organisation: other,
        position: Position(1),
        receipt: proof(),
        checkpoint: proof(),
        answer,
    };
    vec![
        of("status", Kind::Status, &Status { revoked: vec![], suspended: vec![], next_by: Timestamp(9) }),
        of("node", Kind::Node, &binding),
        of("charter", Kind::Charter, &charter),
        of("join", Kind::Join, &Join { mesh, invitation: Some(some) }),
        of("amendment", Kind::Amendment, &Amendment { mesh, version: 1, terms: charter.terms() }),
        of(
            "invitation",
            Kind::Invitation,
            &Invitation { mesh, organisation: Some(other), expires: Timestamp(9) },
        ),
        of(
            "open invitation",
            Kind::Invitation,
            &Invitation { mesh, organisation: None, expires: Timestamp(9) },
        ),
        of("leave", Kind::Leave, &Leave { mesh }),
        of(
            "admission",
            Kind::Admission,
            &Admission { mesh, organisation: other, ballot: Ballot::Expel, after: Some(some) },
        ),
        of(
            "recognition",
            Kind::Recognition,
            &Recognition {
                roles: vec!["assessor".into()],
                role_map: [("prüfstelle".to_owned(), "conformity-assessor".to_owned())].into(),
                claim_map: [("bewertung/konformitaet".to_owned(), "assessment/conformity".to_owned())].into(),
                authority_cap: Some(Ppm::new(500_000)),
                ..Recognition::of(other, vec!["evaluation/*".into()])
            },
        ),
        of(
            "withdrawn recognition",
            Kind::Recognition,
            &Recognition { withdrawn: true, ..Recognition::of(other, vec!["evaluation/*".into()]) },
        ),
        of("observation", Kind::Observation, &full_observation()),
        of(
            "link",
            Kind::Link,
            &Link {
                target: target(),
                relation: Relation::DerivedFrom,
                from: Some(StatementId::from_bytes([7; 32])),
                purpose: "use".into(),
                agreement: Some(StatementId::from_bytes([8; 32])),
            },
        ),
        of("agreement", Kind::Agreement, &agreement),
        of("acceptance", Kind::Acceptance, &Acceptance { agreement: some, withdrawn: false }),
        of("withdrawal", Kind::Acceptance, &Acceptance { agreement: some, withdrawn: true }),
        of("counterfoil", Kind::Counterfoil, &half(Answer::Refused("no".into()))),
        of("accepting counterfoil", Kind::Counterfoil, &half(Answer::Accepted)),
        of("anchor", Kind::Anchor, &Anchor { heads: heads.to_vec() }),
        of("profile", Kind::Profile, &Profile::from_toml(PROFILE).unwrap()),
        of("activation", Kind::Activation, &activation(Composition::Intersection)),
        of(
            "weighted activation",
            Kind::Activation,
            &activation(Composition::Weighted { weights, threshold: 1 }),
        ),
        of(
            "ordered activation",
            Kind::Activation,
            &activation(Composition::Hierarchical { order: vec!["clinical".into()] }),
        ),
        of("approval", Kind::Approval, &activation(Composition::Intersection)),
        of("action class", Kind::ActionClass, &ActionClass::from_toml(ACTION_CLASS).unwrap()),
        of("harm ordering", Kind::HarmOrdering, &HarmOrdering::from_toml(HARM_ORDERING).unwrap()),
        of(
            "override",
            Kind::Override,
            &Override {
                request: Bytes([1; 32]),
                action: "deploy/triage".into(),
                subjects: vec![Subject::Named("model".into())],
                reason: "mass casualty".into(),
            },
        ),
        of(
            "corrective action",
            Kind::CorrectiveAction,
            &CorrectiveAction {
                nonconformity: some,
                action: "retrain".into(),
                causes: vec![StatementId::from_bytes([4; 32])],
                responsible: Some("officer".into()),
                due: Some(Timestamp(9)),
                closes: true,
                evidence: vec![StatementId::from_bytes([5; 32])],
            },
        ),
        of("nonconformity", Kind::Nonconformity, &Nonconformity { cause: some, finding: "late".into() }),
        of(
            "recall",
            Kind::Recall,
            &Recall {
                statement: some,
                subjects: vec![Subject::Named("model".into())],
                reason: "drift".into(),
            },
        ),
        of(
            "acknowledgement",
            Kind::Acknowledgement,
            &Acknowledgement {
                recall: some,
                head: Bytes([1; 32]),
                decisions: vec![some],
                permits: vec![],
                response: RecallResponse::Noted,
            },
        ),
        of(
            "effect",
            Kind::Effect,
            &Effect {
                permit: some,
                effective: Timestamp(5),
                observed: BTreeMap::from([("status".into(), "active".into())]),
                mismatches: vec![Mismatch {
                    name: "status".into(),
                    predicted: "off".into(),
                    observed: Some("active".into()),
                }],
            },
        ),
    ]
}

/// Contents of acts that root keys sign.
fn acts(world: &World) -> Vec<(String, Kind, Value)> {
    let today = &world.organisation.root_keys;
    let next = TestOrganisation::next_root_key(SEED);
    let rotated = Organisation {
        version: 1,
        name: "renamed".into(),
        domains: vec!["example.org".into()],
        jurisdictions: vec!["EU".into()],
        parent: Some("holding".into()),
        root_keys: vec![today[0].public_key(), today[1].public_key(), next.public_key()],
        threshold: 2,
        next_root_keys: vec![Bytes([5; 32])],
        chain_key: world.organisation.chain_key.public_key(),
        witness_key: world.organisation.witness_key.public_key(),
        activation_quorum: Some(ActivationQuorum { approvals: 2, roles: vec!["board-*".into()] }),
        recovery: None,
    };
    let recovered = recovered_version(world);
    let credential = Credential {
        key: SecretKey::from_seed(&[12; 32]).public_key(),
        kind: AuthorityKind::Sensor,
        role: "sensor".into(),
        scopes: vec![Scope {
            kinds: vec![Kind::Observation],
            claims: vec!["reading/*".into()],
            subjects: vec!["ward-*".into()],
        }],
        jurisdictions: vec!["EU".into()],
        competence: vec![Competence { what: "x".into(), by: "y".into(), until: Timestamp(7) }],
        not_before: Timestamp(1),
        expires: Some(Timestamp(5000)),
        delegation: 1,
        issuer: None,
        authority: None,
        overrides: Some(OverrideBudget { count: 2, window_s: 86_400 }),
    };
    let authority = world.authority();
    let revocation = Revocation {
        authority,
        reason: "left".into(),
        compromised_since: Some(Position(2)),
        compromised_at: Some(Timestamp(900)),
    };
    let suspension = Suspension { authority, reason: "leave".into(), lifted: false };
    vec![
        ("organisation".into(), Kind::Organisation, to_value(&rotated)),
        ("recovery".into(), Kind::Organisation, to_value(&recovered)),
        ("credential".into(), Kind::Credential, to_value(&credential)),
        ("revocation".into(), Kind::Revocation, to_value(&revocation)),
        ("suspension".into(), Kind::Suspension, to_value(&suspension)),
    ]
}

/// The version that goes on from a head over what was said so far.
fn recovered_version(world: &World) -> Organisation {
    let organisation = &world.organisation;
    let base = Head::parse(section(organisation, &world.said, &[]).0.head.0).unwrap();
    let base = base.verify(&organisation.chain_key.public_key()).unwrap();
    let recovery = Recovery {
        lost: Some(LostHead { seq: HeadSeq(5_000), size: TreeSize(5_000) }),
        asked: vec![organisation.id()],
        alone: true,
        ..recovery(&base)
    };
    let inception = organisation.inception.statement();
    match Payload::decode(Kind::Organisation, inception.payload()).unwrap() {
        Payload::Organisation(now, _) => organisation.recovered(&now, recovery, 1),
        _ => unreachable!("an organisation"),
    }
}

/// Decisions, permits and effects of the story, changed and signed again; what came after is cut off.
fn decided() -> Vec<Case> {
    let (mesh, _) = story();
    let deployer = TestOrganisation::new(2);
    let chain = &mesh.chains[&deployer.id()];
    let parts = Parts::of(&valid::lineage());
    let mut found = Vec::new();
    for (at, verified) in chain.statements.iter().enumerate() {
        if !matches!(verified.kind(), Kind::Decision | Kind::Permit | Kind::Effect) {
            continue;
        }
        let value = to_value_of(verified.statement().payload());
        for (what, changed) in changes(&value) {
            let payload = codec::to_bytes(&changed).unwrap();
            let unsigned = Draft { payload, ..draft(Some(deployer.id()), verified.kind(), &0) };
            let signed = unsigned.sign(&deployer.authority_key).unwrap();
            let mut said: Vec<Vec<u8>> =
                chain.statements[..at].iter().map(|one| one.bytes().to_vec()).collect();
            said.push(signed.statement().bytes().to_vec());
            let mut parts = parts.clone();
            parts.manifest.about = vec![signed.statement().id()];
            for part in &mut parts.sections {
                if part.0.organisation == deployer.id() {
                    let earlier: Vec<u64> = part.0.earlier.iter().map(|one| one.size.0).collect();
                    *part = section(&deployer, &said, &earlier);
                }
            }
            parts.count();
            found.push(Case { name: format!("decides {}{what}", verified.kind()), bytes: parts.seal() });
        }
    }
    found
}

/// What an organisation may not do with permits, overrides and corrective actions.
fn governed() -> Vec<Case> {
    let named = |name: &str, bytes| Case { name: name.into(), bytes };
    let mut skipping = governed::World::new();
    let (decision, verdict) = skipping.decide(governed::World::request(7), &[]);
    let permit = skipping.permit_for(decision, &verdict, Some((2, 3)));
    let mut stageless = governed::World::new();
    let (decision, verdict) = stageless.decide(governed::World::request(7), &[]);
    let whole = stageless.permit_for(decision, &verdict, None);
    let mut twice = governed::World::new();
    let key = twice.officer();
    let act = twice.overrides(&key, &governed::World::request(9));
    let first = twice.decide(governed::World::request(9), &[act]).0;
    let second = twice.decide(governed::World::request(9), &[act, first]).0;
    let mut wrong = governed::World::new();
    let stage = wrong.stage(&[], "99").0;
    let action = CorrectiveAction {
        nonconformity: stage[1],
        action: "retrain".into(),
        causes: vec![],
        responsible: None,
        due: None,
        closes: true,
        evidence: vec![],
    };
    let action = wrong.chain.say(Kind::CorrectiveAction, &action);
    vec![
        named("permits a later stage", skipping.bundle(permit)),
        named("permits no stage", stageless.bundle(whole)),
        named("overrides twice", twice.bundle(second)),
        named("corrects a permit", wrong.bundle(action)),
    ]
}
