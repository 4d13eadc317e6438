//! Cases for the evaluator, made from a string of bytes: each choice takes a byte, and zero is the plainest choice, so
//! that what proptest shrinks gets simpler.

use std::collections::BTreeMap;

use counterfoil_protocol::actuation::{Governance, Mode, Request, Reversibility};
use counterfoil_protocol::admissibility::profile::{Reach, ScopeLimit};
use counterfoil_protocol::admissibility::{
    Case, Composition, Crossing, DeclaredProfile, Evidence, Finding, FindingKind, Freshness, Profile,
    ReceiptStanding, RecognitionStanding, Relation, Requirement, Rule, Silence,
};
use counterfoil_protocol::codec::Value;
use counterfoil_protocol::identity::{AuthorityKind, Standing};
use counterfoil_protocol::ids::{AuthorityId, BlobId, OrganisationId, Position, StatementId, Timestamp};
use counterfoil_protocol::lineage::EdgeKind;
use counterfoil_protocol::mesh::Recognition;
use counterfoil_protocol::observation::{Metric, Observation, Source, SourceSignature, Subject};
use counterfoil_protocol::weighting::{Dimension, Ppm, Rubric};

/// Most pieces of evidence in a case: brute force looks at each subset.
pub(crate) const EVIDENCE: usize = 12;
/// Bytes that a case is made from.
pub(crate) const BYTES: usize = 700;
pub(crate) const DAY: u64 = 86_400;
pub(crate) const NOW: u64 = 1000 * DAY;

/// The expressions in use; the reference says in Rust what each means.
pub(crate) const EXPRESSIONS: [&str; 5] = [
    "content.grade >= 2",
    "metrics.score >= 500000 || claim == 'audit/b'",
    "age_days < 10 && !adverse",
    "content.absent == 1",
    "content.grade",
];

/// Choices, one byte each; zero when all are used up.
pub(crate) struct Dice<'a>(std::slice::Iter<'a, u8>);

impl<'a> Dice<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % end
    }

    /// True about once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn some<T: Clone>(&mut self, from: &[T]) -> Vec<T> {
        if self.once_in(8) { vec![self.pick(from)] } else { Vec::new() }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

pub(crate) fn organisation(n: usize) -> OrganisationId {
    OrganisationId::from_bytes([n as u8 + 1; 32])
}

fn statement(n: usize) -> StatementId {
    // So that the order of the ids is not the order in which they are made.
    StatementId::from_bytes([(n as u8).wrapping_mul(151) ^ 0x5a; 32])
}

pub(crate) fn case(dice: &mut Dice<'_>) -> Case {
    let reversibility =
        dice.pick(&[Reversibility::Reversible, Reversibility::Compensable, Reversibility::Irreversible]);
    let scopes = BTreeMap::from([("region".to_owned(), vec!["north".to_owned(), "south".to_owned()])]);
    let request = Request {
        action: "deploy/clinical".into(),
        subjects: vec![Subject::Named("model".into())],
        actuator: "gateway".into(),
        scopes,
        predicted: BTreeMap::new(),
        reversibility,
        harm: Vec::new(),
        purpose: String::new(),
    };
    let profiles: Vec<_> = (0..dice.pick(&[1, 1, 1, 2, 3])).map(|n| declared(dice, n)).collect();
    let ids: Vec<String> = profiles.iter().map(|declared| declared.profile.id.clone()).collect();
    let composition = match dice.below(4) {
        0 | 1 => Composition::Intersection,
        2 => Composition::Weighted {
            weights: ids.iter().map(|id| (id.clone(), dice.below(4) as u32)).collect(),
            threshold: 1 + dice.below(5) as u32,
        },
        _ => Composition::Hierarchical { order: ids },
    };
    let count = dice.pick(&[0, 3, 6, 9, 10, 11, EVIDENCE]);
    let mut evidence: Vec<_> = (0..count).map(|n| evidence(dice, n)).collect();
    if dice.once_in(3) {
        // With so much that can be wrong with each, few cases would have many sets.
        evidence.iter_mut().for_each(repair);
    }
    let findings = if dice.once_in(3) { vec![finding(dice, evidence.len())] } else { Vec::new() };
    let unheard = if dice.once_in(4) {
        let since = dice.pick(&[None, Some(Timestamp(NOW - DAY))]);
        let silent = dice.some(&[organisation(0), organisation(1), organisation(9)]);
        let mut silence = |id: OrganisationId| Silence {
            since,
            recognitions: (0..dice.below(4)).map(|_| recognition(dice, id)).collect(),
        };
        silent.into_iter().map(|id| (id, silence(id))).collect()
    } else {
        BTreeMap::new()
    };
    let governance = Governance::default();
    Case { request, time: Timestamp(NOW), profiles, composition, evidence, findings, unheard, governance }
}

fn recognition(dice: &mut Dice<'_>, of: OrganisationId) -> Recognition {
    let map = |foreign: &str, own: &str| BTreeMap::from([(foreign.to_owned(), own.to_owned())]);
    let claims = ["*", "test/*", "audit/b", "test/a", "pruefung/*"];
    let mut found = Recognition {
        roles: dice.some(&["steward".to_owned(), "assess*".to_owned(), "prüf*".to_owned()]),
        withdrawn: dice.once_in(3),
        ..Recognition::of(of, vec![dice.pick(&claims).into()])
    };
    if !found.withdrawn && dice.once_in(3) {
        found.role_map = map(dice.pick(&["steward", "prüfer"]), dice.pick(&["assessor", "other"]));
    }
    if !found.withdrawn && dice.once_in(3) {
        found.claim_map = map(dice.pick(&["test/a", "pruefung/a"]), dice.pick(&["test/b", "audit/b"]));
    }
    found.check().expect("a legal recognition");
    found
}

fn declared(dice: &mut Dice<'_>, n: usize) -> DeclaredProfile {
    let names: Vec<String> =
        ["r1", "r2", "r3", "r4"][..1 + dice.below(4)].iter().map(|s| (*s).into()).collect();
    let requirements = names.iter().map(|name| (name.clone(), requirement(dice))).collect();
    let half_life = |dice: &mut Dice<'_>| dice.pick(&[2u32, 10, 30]);
    let rubric = Rubric { floor: 200_000, target: dice.pick(&[800_000, 100_000, 200_000]) };
    let limit =
        ScopeLimit { unless: dice.pick(&names), dimension: "region".into(), allow: vec!["north".into()] };
    let profile = Profile {
        id: format!("profile-{n}"),
        version: 1,
        title: "a profile".into(),
        family: "clinical".into(),
        jurisdictions: Vec::new(),
        actions: vec![if dice.once_in(8) { "retire/*" } else { "deploy/*" }.into()],
        half_life_days: BTreeMap::from([
            ("audit/*".to_owned(), half_life(dice)),
            ("test/a".to_owned(), half_life(dice)),
        ]),
        quality: if dice.once_in(2) {
            BTreeMap::from([("score".to_owned(), rubric)])
        } else {
            BTreeMap::new()
        },
        rule: rule(dice, &names, 0),
        requirements,
        vetoes: dice
            .some(&[FindingKind::Recall, FindingKind::Adverse, FindingKind::Fork, FindingKind::Dispute])
            .into_iter()
            .collect(),
        limits: if dice.once_in(4) { vec![limit] } else { Vec::new() },
        missing: BTreeMap::from([(Reversibility::Irreversible, dice.pick(&[Mode::Defer, Mode::Refuse]))]),
        degraded: BTreeMap::new(),
        overrides: None,
    };
    profile.check().expect("a legal profile");
    DeclaredProfile { declared_by: statement(100 + n), profile }
}

fn rule(dice: &mut Dice<'_>, names: &[String], depth: usize) -> Rule {
    let parts = |dice: &mut Dice<'_>| -> Vec<Rule> {
        (0..1 + dice.below(4)).map(|_| rule(dice, names, depth + 1)).collect()
    };
    match if depth == 2 { 0 } else { dice.below(4) } {
        0 => Rule::Requirement(dice.pick(names)),
        1 => Rule::All { all: parts(dice) },
        2 => Rule::Any { any: parts(dice) },
        _ => {
            let of = parts(dice);
            Rule::AtLeast { at_least: 1 + dice.below(of.len()) as u16, of }
        }
    }
}

fn requirement(dice: &mut Dice<'_>) -> Requirement {
    let floor = |dice: &mut Dice<'_>| {
        let dimension = dice.pick(&Dimension::ALL);
        let ppm = [250_000, 500_000, 500_001, 707_106, 750_000, 900_000, 950_000];
        (dimension, Ppm::new(dice.pick(&ppm)))
    };
    let reach = Reach { edges: vec![EdgeKind::DerivedFrom, EdgeKind::Used], depth: 1 + dice.below(2) as u8 };
    Requirement {
        claims: vec![dice.pick(&["*", "*", "test/*", "audit/*", "test/a", "audit/b"]).into()],
        organisations: dice.some(&[organisation(0), organisation(1)]),
        roles: dice.some(&["steward".to_owned(), "assess*".to_owned()]),
        kinds: dice.some(&[AuthorityKind::HumanRole, AuthorityKind::Model]),
        unrecognised: dice.once_in(4),
        reached: if dice.once_in(8) { Some(reach) } else { None },
        floors: (0..dice.pick(&[0, 0, 0, 1, 2])).map(|_| floor(dice)).collect(),
        max_age_days: if dice.once_in(8) { Some(dice.pick(&[20, 40])) } else { None },
        expression: if dice.once_in(8) { Some(dice.pick(&EXPRESSIONS).into()) } else { None },
        distinct: 1 + dice.pick(&[0, 0, 0, 1, 2, 2]),
        owner: None,
    }
}

pub(crate) fn evidence(dice: &mut Dice<'_>, n: usize) -> Evidence {
    let who = dice.below(16);
    let organisation_number = who / 2;
    let age = dice.pick(&[0u64, 0, 0, 1, 2, 5, 10, 15, 30, 60]);
    let in_force =
        |dice: &mut Dice<'_>, bad: Standing| if dice.once_in(12) { bad } else { Standing::InForce };
    let bad = dice.pick(&[Standing::Unknown, Standing::Revoked]);
    let path =
        vec![dice.pick(&[EdgeKind::DerivedFrom, EdgeKind::Used, EdgeKind::LinksTo]); 1 + dice.below(3)];
    let parent = dice.pick(&["holding".to_owned(), organisation(1).to_string()]);
    let receipt = [
        ReceiptStanding::Witnessed { at: Timestamp(NOW) },
        ReceiptStanding::Receipted,
        ReceiptStanding::None,
    ];
    let recognition = [
        RecognitionStanding::Own,
        RecognitionStanding::Recognised(statement(200)),
        RecognitionStanding::Own,
        RecognitionStanding::Own,
        RecognitionStanding::Unrecognised,
    ];
    Evidence {
        statement: statement(n),
        organisation: organisation(organisation_number),
        position: Position(n as u64),
        authority: AuthorityId::from_bytes([who as u8 + 50; 32]),
        kind: dice.pick(&[
            AuthorityKind::HumanRole,
            AuthorityKind::ExternalBody,
            AuthorityKind::Service,
            AuthorityKind::Sensor,
            AuthorityKind::Model,
        ]),
        role: dice.pick(&["steward", "assessor"]).into(),
        depth: dice.pick(&[0, 0, 1, 3, 12]),
        standing: in_force(dice, bad),
        observation: observation(dice, NOW - age * DAY),
        relation: if dice.once_in(5) { Relation::Reached(path) } else { Relation::Itself },
        receipt: dice.pick(&receipt),
        recognition: dice.pick(&recognition),
        // The organisation's own, so the same for all of its statements.
        parent: (organisation_number >= 6).then_some(parent),
        freshness: if dice.once_in(10) {
            dice.pick(&[Freshness::Stale { age_s: 9000 }, Freshness::Unreachable { since: Timestamp(9) }])
        } else {
            Freshness::Fresh
        },
        crossing: Crossing {
            authority_cap: dice.once_in(8).then(|| Ppm::new(650_000)),
            ..Crossing::default()
        },
    }
}

fn repair(item: &mut Evidence) {
    item.standing = Standing::InForce;
    item.recognition = RecognitionStanding::Own;
    item.freshness = Freshness::Fresh;
    item.relation = Relation::Itself;
    item.observation.effective = Timestamp(NOW);
    item.observation.adverse = false;
}

fn observation(dice: &mut Dice<'_>, effective: u64) -> Observation {
    let signature = [
        SourceSignature::VerifiedAndLogged,
        SourceSignature::Verified,
        SourceSignature::Unverified,
        SourceSignature::Unsigned,
    ];
    let source = Source {
        format: "test".into(),
        document: BlobId::from_bytes([dice.below(3) as u8; 32]),
        signature: dice.pick(&signature),
        signer: None,
        witnessed: None,
        checks: Vec::new(),
    };
    let metric = Metric { name: "score".into(), ppm: dice.pick(&[900_000, 500_000, 150_000, -7]) };
    let late = if dice.once_in(12) { 2 * DAY } else { 0 };
    Observation {
        claim: dice.pick(&["test/a", "test/b", "audit/a", "audit/b"]).into(),
        subjects: vec![Subject::Named("model".into())],
        effective: Timestamp(effective + late),
        expires: if dice.once_in(8) { Some(Timestamp(dice.pick(&[NOW - 1, NOW]))) } else { None },
        adverse: dice.once_in(12),
        content: BTreeMap::from([("grade".to_owned(), Value::Integer(dice.below(4).into()))]),
        sealed: Vec::new(),
        metrics: if dice.once_in(2) { vec![metric] } else { Vec::new() },
        derived_from: Vec::new(),
        materials: Vec::new(),
        source: if dice.once_in(8) { Some(source) } else { None },
    }
}

fn finding(dice: &mut Dice<'_>, evidence: usize) -> Finding {
    Finding {
        kind: dice.pick(&[
            FindingKind::Recall,
            FindingKind::Adverse,
            FindingKind::Fork,
            FindingKind::Dispute,
        ]),
        organisation: organisation(0),
        statement: None,
        evidence: vec![statement(dice.below(evidence + 1))],
        subjects: Vec::new(),
        reason: "found".into(),
    }
}
