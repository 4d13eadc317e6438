//! An organisation that acts in stages, under declared classes and orderings, and sometimes under an override.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a builder that cannot build is a broken test"
)]

use std::collections::{BTreeMap, BTreeSet};

use super::mesh::{Chain, Mesh, NOW};
use super::{draft, observation};
use crate::actuation::request::Reversibility;
use crate::actuation::{ActionClass, Effect, Mode, Override, OverrideBudget, Permit, Request};
use crate::admissibility::gather::{ChainView, Inputs, decide};
use crate::admissibility::{Activation, Composition, Decision, Profile, SilenceRule, Verdict};
use crate::bundle::{Wanted, write};
use crate::identity::{AuthorityKind, Credential, Scope};
use crate::ids::{ByteString, StatementId, Timestamp};
use crate::keys::{SecretKey, Signer as _};
use crate::statement::{Draft, Kind, Payload, Verified};

const PROFILE: &str = r#"
    id = "safety"
    version = 1
    title = "Safety"
    family = "safety"
    actions = ["*"]
    rule = "evaluation"
    [requirements.evaluation]
    claims = ["evaluation/*"]
"#;

const ROLL_OUT: &str = r#"
    action = "update/*"
    reversibility = "compensable"
    harm = ["delay"]
    stages = { dimension = "traffic", steps = [["1 %"], ["10 %"], ["100 %"]] }
"#;

/// An ordering of harm that refuses for want of information.
pub const EU: &str = r#"
    jurisdiction = "EU"
    order = ["inconvenience", "delay", "injury"]
    refuse-missing-from = "delay"
"#;

/// The chain, and what counts on.
pub struct World {
    /// Whose chain it is that acts.
    pub chain: Chain,
    /// The number of the next head.
    pub seq: u64,
    tokens: u8,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A profile in force, an action class with three stages, and the evaluation of subject 7.
    pub fn new() -> Self {
        let mut chain = Chain::new(2);
        let profile = chain.say(Kind::Profile, &Profile::from_toml(PROFILE).unwrap());
        let composition = Composition::Intersection;
        chain.say(Kind::Activation, &Activation { profiles: vec![profile], composition });
        chain.say(Kind::ActionClass, &ActionClass::from_toml(ROLL_OUT).unwrap());
        chain.say(Kind::Observation, &observation("evaluation/x", 7));
        Self { chain, seq: 0, tokens: 0 }
    }

    /// A request about the `n`th subject.
    pub fn request(n: u64) -> Request {
        let values = ["1 %", "10 %", "100 %"].map(str::to_owned).to_vec();
        Request {
            action: "update/triage".into(),
            subjects: observation("evaluation/x", n).subjects,
            actuator: "gateway".into(),
            scopes: BTreeMap::from([("traffic".to_owned(), values)]),
            predicted: BTreeMap::from([("errors".into(), "<=20".into())]),
            reversibility: Reversibility::Reversible,
            harm: vec![],
            purpose: String::new(),
        }
    }

    /// What a decision about this would be now, resting on these statements too.
    pub fn would_decide(&mut self, request: Request, on: &[StatementId]) -> (Decision, Verdict) {
        self.chain.sign(self.seq);
        self.seq += 1;
        let chain = &self.chain;
        let standing = chain.statements.iter().filter(|s| s.kind().is_standing()).collect();
        let view = ChainView { state: &chain.state, standing, basis: chain.basis() };
        let is_evidence =
            |s: &&Verified| matches!(s.payload(), Payload::Observation(_)) || on.contains(&s.id());
        let inputs = Inputs {
            decider: chain.organisation.id(),
            request,
            time: NOW,
            mesh: None,
            chains: BTreeMap::from([(chain.organisation.id(), view)]),
            evidence: chain.statements.iter().filter(is_evidence).collect(),
            forked: BTreeSet::new(),
            inquiries: Vec::new(),
            silence: SilenceRule::Recognised,
        };
        decide(&inputs).unwrap()
    }

    /// Decides and records it.
    pub fn decide(&mut self, request: Request, on: &[StatementId]) -> (StatementId, Verdict) {
        let (decision, verdict) = self.would_decide(request, on);
        (self.chain.say(Kind::Decision, &decision), verdict)
    }

    /// The permit of a decision.
    pub fn permit(&mut self, decision: StatementId, verdict: &Verdict) -> StatementId {
        let stage = verdict.governed.as_ref().unwrap().permit_stage();
        self.permit_for(decision, verdict, stage)
    }

    /// A permit for a stage, be it the decided one or not.
    pub fn permit_for(
        &mut self,
        decision: StatementId,
        verdict: &Verdict,
        stage: Option<(u32, u32)>,
    ) -> StatementId {
        self.tokens += 1;
        let permit = Permit {
            decision,
            mode: verdict.mode,
            scopes: verdict.scopes.clone(),
            actuator: "gateway".into(),
            not_before: NOW,
            expires: NOW.plus(60),
            token: ByteString(vec![self.tokens; 16]),
            effect_by: NOW.plus(60),
            stage,
        };
        let payload = permit.to_claims().unwrap();
        let organisation = &self.chain.organisation;
        let unsigned = Draft { payload, ..draft(Some(organisation.id()), Kind::Permit, &0) };
        let signed = unsigned.sign(&organisation.authority_key).unwrap();
        self.chain.append(signed)
    }

    /// So many errors were observed under a permit.
    pub fn effect(&mut self, permit: StatementId, errors: &str) -> StatementId {
        let observed = BTreeMap::from([("errors".to_owned(), errors.to_owned())]);
        let mismatches = Effect::compare(&Self::request(7).predicted, &observed);
        self.chain.say(Kind::Effect, &Effect { permit, effective: NOW, observed, mismatches })
    }

    /// One stage: decided, permitted, done. Gives what the next decision rests on, and what was granted.
    pub fn stage(&mut self, on: &[StatementId], errors: &str) -> ([StatementId; 3], Mode, String) {
        let (decision, verdict) = self.decide(Self::request(7), on);
        let permit = self.permit(decision, &verdict);
        let effect = self.effect(permit, errors);
        let granted = verdict.scopes["traffic"].join(" ");
        ([decision, permit, effect], verdict.mode, granted)
    }

    /// The lineage of a statement.
    pub fn bundle(mut self, about: StatementId) -> Vec<u8> {
        self.chain.sign(self.seq);
        write(&Mesh::of([self.chain]), &Wanted::lineage(&[about])).unwrap()
    }

    /// An authority with a budget of two overrides, and the first of them.
    pub fn officer(&mut self) -> SecretKey {
        let key = SecretKey::from_seed(&[77; 32]);
        let credential = Credential {
            key: key.public_key(),
            kind: AuthorityKind::HumanRole,
            role: "officer".into(),
            scopes: vec![Scope { kinds: vec![Kind::Override], claims: vec![], subjects: vec![] }],
            jurisdictions: vec![],
            competence: vec![],
            not_before: Timestamp(0),
            expires: None,
            delegation: 0,
            issuer: None,
            authority: None,
            overrides: Some(OverrideBudget { count: 2, window_s: 86_400 }),
        };
        let credential = self.chain.organisation.root_statement(Kind::Credential, &credential);
        self.chain.append(credential);
        key
    }

    /// An override that the holder of this key signs.
    pub fn overrides(&mut self, key: &SecretKey, request: &Request) -> StatementId {
        // Two acts that say the same in the same second would be one.
        self.tokens += 1;
        let says = Override::of(request, &format!("mass casualty {}", self.tokens));
        let signed = draft(Some(self.chain.organisation.id()), Kind::Override, &says).sign(key).unwrap();
        self.chain.append(signed)
    }
}
