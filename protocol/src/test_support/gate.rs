//! A k-of-n gate over several organisations' evidence: three profiles that all have to admit, twenty pieces of evidence.
//!
//! Benchmarks ask other engines the same question, so everything that takes part in the answer stands here once.

use std::collections::BTreeMap;

use crate::actuation::{Request, Reversibility};
use crate::admissibility::{
    Case, Composition, Crossing, DeclaredProfile, Evidence, Freshness, Profile, ReceiptStanding,
    RecognitionStanding, Relation,
};
use crate::identity::{AuthorityKind, Standing};
use crate::ids::{AuthorityId, OrganisationId, Position, StatementId, Timestamp};
use crate::observation::{Observation, Subject};

/// Seconds of a day.
pub const DAY_S: u64 = 86_400;
/// When it is decided.
pub const NOW: Timestamp = Timestamp(20_000 * DAY_S);
/// Organisations.
pub const ORGANISATIONS: u8 = 10;
/// Pieces of evidence of one case.
pub const EVIDENCE: usize = 20;
/// What each profile asks for: a claim, of so many independent organisations, at most so many days old.
pub const ASKED: [(&str, u8, u32); 3] =
    [("scan/security", 3, 90), ("approval/clinical", 2, 180), ("audit/conformity", 1, 365)];

/// The profile that asks for one of [`ASKED`].
fn profile(claim: &str, distinct: u8, days: u32) -> Profile {
    let text = format!(
        "id = {claim:?}\nversion = 1\ntitle = \"asks for {claim}\"\nfamily = \"contractual\"\nactions = [\"deploy/*\"]\n\
         rule = \"shown\"\n[requirements.shown]\nclaims = [{claim:?}]\nroles = [\"assessor\"]\n\
         distinct = {distinct}\nmax-age-days = {days}\n"
    );
    Profile::from_toml(&text).expect("a legal profile")
}

/// The case that follows from a seed.
pub fn case(seed: u64) -> Case {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |end: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % end
    };
    let evidence = (0..EVIDENCE).map(|number| item(number, seed, &mut below)).collect();
    let profiles = ASKED.iter().zip(1..).map(|((claim, distinct, days), number)| DeclaredProfile {
        declared_by: StatementId::from_bytes([number; 32]),
        profile: profile(claim, *distinct, *days),
    });
    Case {
        request: Request {
            action: "deploy/clinical".into(),
            subjects: vec![Subject::Named("model".into())],
            actuator: "gateway".into(),
            scopes: BTreeMap::new(),
            predicted: BTreeMap::new(),
            reversibility: Reversibility::Compensable,
            harm: Vec::new(),
            purpose: String::new(),
        },
        time: NOW,
        profiles: profiles.collect(),
        composition: Composition::Intersection,
        evidence,
        findings: Vec::new(),
        unheard: Default::default(),
        governance: Default::default(),
    }
}

/// One piece of evidence; every other one is good for nothing, for one reason or another.
fn item(number: usize, seed: u64, below: &mut impl FnMut(u64) -> u64) -> Evidence {
    let organisation = u8::try_from(below(u64::from(ORGANISATIONS))).unwrap_or_default();
    let (claim, _, days) = ASKED.get(number % ASKED.len()).copied().unwrap_or(ASKED[0]);
    let flaw = below(14);
    let age_days = if flaw == 0 { u64::from(days) + 1 } else { below(60) };
    let mut observation = super::observation(claim, number as u64);
    observation.effective = Timestamp(NOW.0 - age_days * DAY_S);
    observation.subjects = vec![Subject::Named("model".into())];
    let observation = Observation {
        expires: Some(Timestamp(if flaw == 1 { NOW.0 - 1 } else { NOW.0 + DAY_S })),
        adverse: flaw == 2,
        ..observation
    };
    Evidence {
        statement: statement(number, seed),
        organisation: OrganisationId::from_bytes([organisation; 32]),
        position: Position(number as u64),
        authority: AuthorityId::from_bytes([organisation; 32]),
        kind: AuthorityKind::ExternalBody,
        role: if flaw == 3 { "intern" } else { "assessor" }.into(),
        depth: 0,
        standing: if flaw == 4 { Standing::Revoked } else { Standing::InForce },
        observation,
        relation: Relation::Itself,
        receipt: ReceiptStanding::Receipted,
        recognition: match flaw {
            5 => RecognitionStanding::Unrecognised,
            _ => RecognitionStanding::Recognised(StatementId::from_bytes([200; 32])),
        },
        parent: None,
        freshness: if flaw == 6 { Freshness::Stale { age_s: 9_000 } } else { Freshness::Fresh },
        crossing: Crossing::default(),
    }
}

/// The statement of a piece of evidence: another one for each seed, and not in the order in which they are made.
fn statement(number: usize, seed: u64) -> StatementId {
    let mut bytes = [u8::try_from(number).unwrap_or_default().wrapping_mul(151); 32];
    bytes.iter_mut().skip(1).zip(seed.to_le_bytes()).for_each(|(byte, of_seed)| *byte = of_seed);
    StatementId::from_bytes(bytes)
}
