//! Disputes of what a decision rests on, and decisions under other circumstances.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails this way says where"
)]

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::actuation::{Mode, Request, Reversibility};
use counterfoil_protocol::admissibility::dispute::links_on;
use counterfoil_protocol::admissibility::gather::{ChainView, Inputs, case, decide};
use counterfoil_protocol::admissibility::scenario::{Setting, read_evidence};
use counterfoil_protocol::admissibility::verdict::RequirementState;
use counterfoil_protocol::admissibility::what_if::{Supposition, SuppositionError, what_if, with_profile};
use counterfoil_protocol::admissibility::{Activation, Composition, Profile, SilenceRule, Verdict, evaluate};
use counterfoil_protocol::ids::{OrganisationId, Position, StatementId, Timestamp};
use counterfoil_protocol::lineage::edges;
use counterfoil_protocol::lineage::graph::EdgeSet;
use counterfoil_protocol::mesh::{Link, LinkTarget, Recognition, Relation};
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::mesh::{Chain, NOW};
use counterfoil_protocol::test_support::observation;

const PROFILE: &str = r#"
    id = "clinical"
    version = 1
    title = "Clinical deployment"
    family = "clinical"
    actions = ["deploy/*"]
    vetoes = ["recall", "dispute"]
    rule = { all = ["evaluation", "audit"] }
    [requirements.evaluation]
    claims = ["evaluation/*"]
    max-age-days = 100
    [requirements.audit]
    claims = ["audit/*"]
"#;

/// Who decides, whose evidence it weighs, and a third who may have something to say about it.
struct Story {
    decider: Chain,
    supplier: Chain,
    third: Chain,
    evaluation: StatementId,
    audit: StatementId,
}

impl Story {
    fn new() -> Self {
        let (mut decider, mut supplier, third) = (Chain::new(1), Chain::new(2), Chain::new(3));
        let evaluation = supplier.say(Kind::Observation, &observation("evaluation/clinical", 7));
        let audit = decider.say(Kind::Observation, &observation("audit/internal", 7));
        let recognition = Recognition::of(supplier.organisation.id(), vec!["evaluation/*".into()]);
        decider.say(Kind::Recognition, &recognition);
        let declared = decider.say(Kind::Profile, &Profile::from_toml(PROFILE).unwrap());
        let composition = Composition::Intersection;
        decider.say(Kind::Activation, &Activation { profiles: vec![declared], composition });
        Self { decider, supplier, third, evaluation, audit }
    }

    fn sign(&mut self) {
        for chain in [&mut self.decider, &mut self.supplier, &mut self.third] {
            chain.sign(chain.head.as_ref().map_or(0, |head| head.seq().0 + 1));
        }
    }

    fn inputs(&mut self) -> Inputs<'_> {
        self.sign();
        let all = || [&self.decider, &self.supplier, &self.third].into_iter();
        let views = all().map(|chain| {
            let standing = chain.statements.iter().filter(|s| s.kind().is_standing()).collect();
            (chain.organisation.id(), ChainView { state: &chain.state, standing, basis: chain.basis() })
        });
        Inputs {
            decider: self.decider.organisation.id(),
            request: Request {
                action: "deploy/triage".into(),
                subjects: observation("a/b", 7).subjects,
                actuator: "gateway".into(),
                scopes: BTreeMap::new(),
                predicted: BTreeMap::new(),
                reversibility: Reversibility::Reversible,
                harm: Vec::new(),
                purpose: String::new(),
            },
            time: NOW,
            mesh: None,
            chains: views.collect(),
            inquiries: Vec::new(),
            silence: SilenceRule::Recognised,
            evidence: all()
                .flat_map(|chain| &chain.statements)
                .filter(|s| matches!(s.kind(), Kind::Observation | Kind::Link))
                .collect(),
            forked: BTreeSet::new(),
        }
    }

    fn verdict(&mut self) -> Verdict {
        decide(&self.inputs()).unwrap().1
    }

    /// The third organisation, or the decider, links to the supplier's evaluation.
    fn link(&mut self, by_decider: bool, relation: Relation) -> StatementId {
        self.sign();
        let place = self.supplier.statements.iter().position(|s| s.id() == self.evaluation).unwrap();
        let position = Position(place as u64);
        let (receipt, checkpoint) = self.supplier.proof(position);
        let organisation = self.supplier.organisation.id();
        let target = LinkTarget { organisation, position, statement: self.evaluation, receipt, checkpoint };
        let link =
            Link { target, relation, from: None, purpose: "the cohort is not ours".into(), agreement: None };
        let chain = if by_decider { &mut self.decider } else { &mut self.third };
        chain.say(Kind::Link, &link)
    }
}

#[test]
fn a_dispute_ends_the_matter_until_it_is_taken_back() {
    let mut story = Story::new();
    assert_eq!(story.verdict().mode, Mode::Continue);
    let dispute = story.link(true, Relation::Disputes);
    let verdict = story.verdict();
    assert_eq!(verdict.mode, Mode::Refuse);
    let [veto] = verdict.profiles[0].vetoes.as_slice() else { panic!("{verdict:?}") };
    assert_eq!((veto.kind.name(), veto.statement), ("dispute", Some(dispute)));
    assert_eq!(veto.evidence, [story.evaluation]);
    assert_eq!(veto.reason, "the cohort is not ours");
    // The evidence stands; whether a dispute ends the matter is for the profile to say.
    let evaluation = &verdict.profiles[0].requirements["evaluation"];
    assert_eq!(evaluation.state, RequirementState::Met);
    story.link(true, Relation::Approves);
    assert_eq!(story.verdict().mode, Mode::Continue);
    story.link(true, Relation::Disputes);
    assert_eq!(story.verdict().mode, Mode::Refuse);
}

#[test]
fn only_those_who_are_recognised_are_heard() {
    let mut story = Story::new();
    story.link(false, Relation::Disputes);
    assert_eq!(story.verdict().mode, Mode::Continue, "nobody recognises the third organisation");
    let third = story.third.organisation.id();
    story.decider.say(Kind::Recognition, &Recognition::of(third, vec!["dataset/*".into()]));
    assert_eq!(story.verdict().mode, Mode::Continue, "it is recognised for something else");
    story.decider.say(Kind::Recognition, &Recognition::of(third, vec!["evaluation/*".into()]));
    assert_eq!(story.verdict().mode, Mode::Refuse);
    let back = Recognition { withdrawn: true, ..Recognition::of(third, vec!["evaluation/*".into()]) };
    story.decider.say(Kind::Recognition, &back);
    assert_eq!(story.verdict().mode, Mode::Continue, "the recognition was taken back");
}

#[test]
fn disputes_are_found_from_what_they_dispute() {
    let mut story = Story::new();
    let dispute = story.link(false, Relation::Disputes);
    let all = story.third.statements.iter().chain(&story.supplier.statements);
    let graph: EdgeSet = all.flat_map(|s| edges(s.id(), s.payload())).collect();
    let Ok(found) = links_on(&BTreeSet::from([story.evaluation, story.audit]), &graph);
    assert_eq!(found, BTreeSet::from([dispute]));
}

fn suppose(change: impl FnOnce(&mut Supposition)) -> Supposition {
    let mut supposition = Supposition::default();
    change(&mut supposition);
    supposition
}

#[test]
fn without_a_necessary_authority_the_verdict_falls() {
    let mut story = Story::new();
    let necessary = story.verdict().necessary;
    assert_eq!(necessary.len(), 2);
    let (evaluation, audit) = (story.evaluation, story.audit);
    let compared = what_if(story.inputs(), &suppose(|s| s.without = BTreeSet::from([evaluation]))).unwrap();
    assert_eq!(compared.difference.mode, (Mode::Continue, Mode::Defer));
    let [changed] = compared.difference.requirements.as_slice() else { panic!("{compared:#?}") };
    assert_eq!((changed.before, changed.after), (Some(RequirementState::Met), Some(RequirementState::Unmet)));
    assert_eq!(changed.lost, [(evaluation, "it would not be there".to_owned())]);
    assert_eq!(compared.difference.no_longer_necessary.len(), 2);
    // As if it had been revoked before it spoke.
    for authority in necessary {
        let compared =
            what_if(story.inputs(), &suppose(|s| s.revoked = BTreeSet::from([authority]))).unwrap();
        assert_eq!(compared.difference.mode, (Mode::Continue, Mode::Defer));
    }
    // What plays no part is no supposition.
    let nothing =
        what_if(story.inputs(), &suppose(|s| s.without = BTreeSet::from([StatementId::from_bytes([9; 32])])));
    assert!(matches!(nothing, Err(SuppositionError::Statement(_))));
    let same = what_if(story.inputs(), &Supposition::default()).unwrap();
    assert!(same.difference.is_same && same.difference.requirements.is_empty());
    assert_eq!(evaluate(&case(&story.inputs()).unwrap()).unwrap(), same.before);
    assert_ne!(evaluation, audit);
}

#[test]
fn evidence_ages_and_is_supposed() {
    let mut story = Story::new();
    let later = NOW.plus(101 * 86_400);
    let aged = what_if(story.inputs(), &suppose(|s| s.at = Some(later))).unwrap();
    assert_eq!(aged.difference.mode, (Mode::Continue, Mode::Defer));
    assert!(aged.difference.requirements[0].lost[0].1.contains("days old"), "{:#?}", aged.difference);
    let earlier = what_if(story.inputs(), &suppose(|s| s.at = Some(Timestamp(NOW.0 - 1))));
    assert!(matches!(earlier, Err(SuppositionError::Earlier { .. })));

    let subjects = observation("a/b", 7).subjects;
    let setting =
        Setting { time: later, subjects: &subjects, organisation: &|_| OrganisationId::from_bytes([8; 32]) };
    let text = "[evidence.new]\nclaim = \"evaluation/again\"\nage-days = 3\n";
    let with: Vec<_> = read_evidence(text, &setting).unwrap().into_iter().map(|(_, item)| item).collect();
    let supposed = suppose(|s| {
        s.at = Some(later);
        s.with = with;
    });
    let renewed = what_if(story.inputs(), &supposed).unwrap();
    assert_eq!(renewed.difference.mode, (Mode::Continue, Mode::Continue));
    assert_eq!(renewed.difference.newly_necessary.len(), 1);
}

#[test]
fn a_recall_can_be_supposed_away() {
    let mut story = Story::new();
    let recall = counterfoil_protocol::lineage::Recall {
        statement: story.evaluation,
        subjects: observation("a/b", 7).subjects,
        reason: "wrong cohort".into(),
    };
    let recall = story.supplier.say(Kind::Recall, &recall);
    assert_eq!(story.verdict().mode, Mode::Refuse);
    let compared = what_if(story.inputs(), &suppose(|s| s.without = BTreeSet::from([recall]))).unwrap();
    assert_eq!(compared.difference.mode, (Mode::Refuse, Mode::Continue));
}

#[test]
fn another_profile_takes_the_place_of_the_one_with_its_name() {
    let mut story = Story::new();
    let weaker = Profile::from_toml(&PROFILE.replace("{ all =", "{ any =")).unwrap();
    let other =
        Profile::from_toml(&PROFILE.replace("\"clinical\"\n    version", "\"other\"\n    version")).unwrap();
    let case = case(&story.inputs()).unwrap();
    let declared = StatementId::from_bytes([5; 32]);
    let replaced = with_profile(case.clone(), declared, &weaker);
    assert_eq!(replaced.profiles.len(), 1);
    assert_eq!(replaced.profiles[0].profile, weaker);
    assert_eq!(with_profile(case, declared, &other).profiles.len(), 2);
}
