//! Agreements: when they are in force, who may read what, and what of the other side's statements counts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that fails this way says where"
)]

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::actuation::{Mode, Request, Reversibility};
use counterfoil_protocol::admissibility::gather::{ChainView, Inputs, decide};
use counterfoil_protocol::admissibility::{Activation, Composition, Profile, SilenceRule, Verdict};
use counterfoil_protocol::ids::{OrganisationId, StatementId, Timestamp};
use counterfoil_protocol::mesh::{
    Acceptance, Agreement, AgreementError, Agreements, Answer, LinkState, Outside, Recognition,
};
use counterfoil_protocol::observation::Subject;
use counterfoil_protocol::statement::{Draft, Kind, Statement, Visibility};
use counterfoil_protocol::test_support::mesh::{Chain, NOW};
use counterfoil_protocol::test_support::{draft, observation};

const FROM: Timestamp = Timestamp(100);
const UNTIL: Timestamp = Timestamp(3000);

fn agreement(parties: &[&Chain]) -> Agreement {
    let mut parties: Vec<OrganisationId> = parties.iter().map(|chain| chain.organisation.id()).collect();
    parties.sort();
    Agreement {
        parties,
        kinds: vec![Kind::Observation],
        subjects: Vec::new(),
        jurisdictions: Vec::new(),
        from: FROM,
        until: Some(UNTIL),
        link_answer_s: None,
        purpose: String::new(),
    }
}

fn accept(chain: &mut Chain, agreement: StatementId, withdrawn: bool) {
    chain.say(Kind::Acceptance, &Acceptance { agreement, withdrawn });
}

fn known(chains: &[&Chain]) -> Agreements {
    Agreements::of(chains.iter().flat_map(|chain| &chain.statements))
}

/// What `chain` says to the parties alone.
fn limited(chain: &mut Chain, agreement: StatementId, kind: Kind, subject: &str) -> StatementId {
    let id = chain.organisation.id();
    let mut said = observation("evaluation/x", 7);
    said.subjects = vec![subject.parse().unwrap()];
    let visibility = Visibility::Parties(agreement);
    let plain =
        if kind == Kind::Observation { draft(Some(id), kind, &said) } else { draft(Some(id), kind, &0) };
    let signed = Draft { visibility, ..plain }.sign(&chain.organisation.authority_key).unwrap();
    chain.append(signed)
}

fn last(chain: &Chain) -> &Statement {
    chain.statements.last().unwrap().statement()
}

#[test]
fn it_is_in_force_when_all_have_accepted_until_one_withdraws() {
    let (mut a, mut b, mut c) = (Chain::new(1), Chain::new(2), Chain::new(3));
    let (b_id, c_id) = (b.organisation.id(), c.organisation.id());
    let id = a.say(Kind::Agreement, &agreement(&[&a, &b, &c]));
    let state = |a: &Chain, b: &Chain, c: &Chain, at| known(&[a, b, c]).in_force(&id, at).map(|_| ()).err();
    assert!(matches!(state(&a, &b, &c, NOW), Some(Outside::NotAccepted(id)) if id == b_id || id == c_id));
    accept(&mut b, id, false);
    assert_eq!(state(&a, &b, &c, NOW), Some(Outside::NotAccepted(c_id)));
    accept(&mut c, id, false);
    assert_eq!(state(&a, &b, &c, NOW), None);
    assert_eq!(state(&a, &b, &c, FROM), None);
    assert_eq!(state(&a, &b, &c, UNTIL), None);
    assert_eq!(state(&a, &b, &c, Timestamp(FROM.0 - 1)), Some(Outside::NotYet(FROM)));
    assert_eq!(state(&a, &b, &c, UNTIL.plus(1)), Some(Outside::Ended(UNTIL)));
    assert_eq!(known(&[&a, &b, &c]).next_change(FROM), Some(UNTIL.plus(1)));
    assert_eq!(known(&[&a, &b, &c]).next_change(UNTIL.plus(1)), None);

    // Each party alone ends it, the one that proposed it too; and may come back.
    accept(&mut b, id, true);
    assert_eq!(state(&a, &b, &c, NOW), Some(Outside::Withdrawn(b_id)));
    accept(&mut b, id, false);
    assert_eq!(state(&a, &b, &c, NOW), None);
    accept(&mut a, id, true);
    assert_eq!(state(&a, &b, &c, NOW), Some(Outside::Withdrawn(a.organisation.id())));

    // In whatever order they arrive.
    assert_eq!(known(&[&c, &b, &a]), known(&[&a, &b, &c]));
    let backwards = Agreements::of(a.statements.iter().chain(&b.statements).chain(&c.statements).rev());
    assert_eq!(backwards, known(&[&a, &b, &c]));
}

#[test]
fn nobody_binds_others_and_no_stranger_counts() {
    let (mut a, mut b, mut c) = (Chain::new(1), Chain::new(2), Chain::new(3));
    // C proposes what only A and B would be bound by.
    let id = c.say(Kind::Agreement, &agreement(&[&a, &b]));
    accept(&mut a, id, false);
    accept(&mut b, id, false);
    let outside = known(&[&a, &b, &c]).in_force(&id, NOW).err();
    assert_eq!(outside, Some(Outside::NoParty(c.organisation.id())));
    // A and B agree; C's word changes nothing.
    let id = a.say(Kind::Agreement, &agreement(&[&a, &b]));
    accept(&mut b, id, false);
    accept(&mut c, id, true);
    assert!(known(&[&a, &b, &c]).in_force(&id, NOW).is_ok());
    let pair = [a.organisation.id(), c.organisation.id()];
    assert_eq!(known(&[&a, &b]).between(&id, &pair, NOW).err(), Some(Outside::NoParty(pair[1])));
    let unknown = StatementId::from_bytes([9; 32]);
    assert_eq!(known(&[&a, &b]).in_force(&unknown, NOW).err(), Some(Outside::Unknown(unknown)));
}

#[test]
fn parties_read_what_it_covers_and_nobody_else_reads_anything() {
    let (mut a, mut b, c) = (Chain::new(1), Chain::new(2), Chain::new(3));
    let [a_id, b_id, c_id] = [&a, &b, &c].map(|chain| chain.organisation.id());
    let narrow = Agreement { subjects: vec!["name:triage*".into()], ..agreement(&[&a, &b]) };
    let id = a.say(Kind::Agreement, &narrow);
    limited(&mut a, id, Kind::Observation, "triage-2");
    let covered = last(&a).clone();
    limited(&mut a, id, Kind::Observation, "other");
    let uncovered = last(&a).clone();
    let reads = |a: &Chain, b: &Chain, reader, statement: &Statement, at| {
        known(&[a, b]).audience(reader, at).may_read(statement)
    };
    assert!(!reads(&a, &b, b_id, &covered, NOW), "not accepted yet");
    accept(&mut b, id, false);
    assert!(reads(&a, &b, b_id, &covered, NOW));
    assert!(!reads(&a, &b, b_id, &uncovered, NOW), "another subject");
    assert!(!reads(&a, &b, b_id, &covered, UNTIL.plus(1)));
    assert!(!reads(&a, &b, c_id, &covered, NOW));
    assert!(reads(&a, &b, a_id, &covered, NOW) && reads(&a, &b, a_id, &uncovered, NOW), "its own");
    assert!(reads(&a, &b, c_id, a.statements[0].statement(), NOW), "what is for the mesh");
    accept(&mut b, id, true);
    assert!(!reads(&a, &b, b_id, &covered, NOW));

    // B cannot limit to an agreement of A's what C is to read, and C cannot name one that it is no party to.
    accept(&mut b, id, false);
    let mut c = c;
    limited(&mut c, id, Kind::Observation, "triage-2");
    assert!(!known(&[&a, &b, &c]).audience(b_id, NOW).may_read(last(&c)));

    let private = Draft {
        visibility: Visibility::Private,
        ..draft(Some(a_id), Kind::Observation, &observation("evaluation/x", 7))
    };
    a.append(private.sign(&a.organisation.authority_key).unwrap());
    assert!(reads(&a, &b, a_id, last(&a), NOW) && !reads(&a, &b, b_id, last(&a), NOW));
}

const PROFILE: &str = r#"
    id = "p"
    version = 1
    title = "P"
    family = "contractual"
    actions = ["*"]
    rule = "shown"
    [requirements.shown]
    claims = ["evaluation/*"]
"#;

fn verdict(supplier: &mut Chain, decider: &mut Chain, at: Timestamp) -> Verdict {
    for chain in [&mut *supplier, &mut *decider] {
        chain.sign(chain.head.as_ref().map_or(0, |head| head.seq().0 + 1));
    }
    let views = [&*supplier, &*decider].map(|chain| {
        let standing = chain.statements.iter().filter(|s| s.kind().is_standing()).collect();
        (chain.organisation.id(), ChainView { state: &chain.state, standing, basis: chain.basis() })
    });
    let inputs = Inputs {
        decider: decider.organisation.id(),
        request: Request {
            action: "deploy/x".into(),
            subjects: vec![Subject::Named("triage-2".into())],
            actuator: "gateway".into(),
            scopes: BTreeMap::new(),
            predicted: BTreeMap::new(),
            reversibility: Reversibility::Reversible,
            harm: Vec::new(),
            purpose: String::new(),
        },
        time: at,
        mesh: None,
        chains: views.into_iter().collect(),
        inquiries: Vec::new(),
        silence: SilenceRule::Recognised,
        evidence: supplier.statements.iter().filter(|s| s.kind() == Kind::Observation).collect(),
        forked: BTreeSet::new(),
    };
    decide(&inputs).unwrap().1
}

/// The mode, and why the one piece of evidence is refused.
fn outcome(supplier: &mut Chain, decider: &mut Chain, at: Timestamp) -> (Mode, Option<String>) {
    let verdict = verdict(supplier, decider, at);
    let considered = &verdict.profiles[0].requirements["shown"].considered;
    assert_eq!(considered.len(), 1);
    let refused = considered[0].refused.iter().find(|reason| reason.code == "agreement");
    (verdict.mode, refused.map(|reason| reason.text.to_string()))
}

#[test]
fn evidence_for_parties_counts_while_and_as_far_as_the_agreement_lets_it() {
    let story = |change: fn(&mut Agreement)| {
        let (mut supplier, mut decider) = (Chain::new(1), Chain::new(2));
        let recognition = Recognition::of(supplier.organisation.id(), vec!["*".into()]);
        decider.say(Kind::Recognition, &recognition);
        let profile = decider.say(Kind::Profile, &Profile::from_toml(PROFILE).unwrap());
        let activation = Activation { profiles: vec![profile], composition: Composition::Intersection };
        decider.say(Kind::Activation, &activation);
        let mut agreed = agreement(&[&supplier, &decider]);
        change(&mut agreed);
        let id = supplier.say(Kind::Agreement, &agreed);
        limited(&mut supplier, id, Kind::Observation, "triage-2");
        (supplier, decider, id)
    };
    let (mut supplier, mut decider, id) = story(|_| ());
    let not_accepted = format!("{} has not accepted the agreement", decider.organisation.id());
    assert_eq!(outcome(&mut supplier, &mut decider, NOW), (Mode::Defer, Some(not_accepted)));
    accept(&mut decider, id, false);
    assert_eq!(outcome(&mut supplier, &mut decider, NOW), (Mode::Continue, None));
    let ended = format!("the agreement ended at {UNTIL}");
    assert_eq!(outcome(&mut supplier, &mut decider, UNTIL.plus(1)), (Mode::Defer, Some(ended)));
    accept(&mut supplier, id, true);
    assert_eq!(outcome(&mut supplier, &mut decider, NOW).0, Mode::Defer);

    // The test organisations act in the EU.
    let (mut supplier, mut decider, id) = story(|agreed| agreed.jurisdictions = vec!["US".into()]);
    accept(&mut decider, id, false);
    let elsewhere = "the agreement does not cover the signer's jurisdictions".to_owned();
    assert_eq!(outcome(&mut supplier, &mut decider, NOW), (Mode::Defer, Some(elsewhere)));
    let (mut supplier, mut decider, id) =
        story(|agreed| agreed.jurisdictions = vec!["US".into(), "EU".into()]);
    accept(&mut decider, id, false);
    assert_eq!(outcome(&mut supplier, &mut decider, NOW), (Mode::Continue, None));
    let (mut supplier, mut decider, id) = story(|agreed| agreed.kinds = vec![Kind::Link]);
    accept(&mut decider, id, false);
    let kind = "the agreement does not cover observation statements".to_owned();
    assert_eq!(outcome(&mut supplier, &mut decider, NOW), (Mode::Defer, Some(kind)));
    let (mut supplier, mut decider, id) = story(|agreed| agreed.subjects = vec!["name:other".into()]);
    accept(&mut decider, id, false);
    let subject = "the agreement does not cover subject name:triage-2".to_owned();
    assert_eq!(outcome(&mut supplier, &mut decider, NOW), (Mode::Defer, Some(subject)));
}

#[test]
fn an_agreement_that_cannot_be_meant_is_refused() {
    let (a, b) = (Chain::new(1), Chain::new(2));
    let with = |change: &dyn Fn(&mut Agreement)| {
        let mut changed = agreement(&[&a, &b]);
        change(&mut changed);
        changed.check()
    };
    assert_eq!(with(&|_| ()), Ok(()));
    assert_eq!(with(&|one| one.parties.truncate(1)), Err(AgreementError::Parties(1)));
    assert_eq!(with(&|one| one.parties.reverse()), Err(AgreementError::Parties(2)));
    assert_eq!(with(&|one| one.parties[1] = one.parties[0]), Err(AgreementError::Parties(2)));
    assert_eq!(with(&|one| one.kinds.clear()), Err(AgreementError::Kinds));
    assert_eq!(with(&|one| one.kinds.push(Kind::Recall)), Err(AgreementError::Kinds));
    assert_eq!(with(&|one| one.subjects.push(String::new())), Err(AgreementError::Patterns));
    assert_eq!(with(&|one| one.purpose = "x".repeat(257)), Err(AgreementError::Patterns));
    let window = AgreementError::Window { from: FROM, until: Timestamp(99) };
    assert_eq!(with(&|one| one.until = Some(Timestamp(99))), Err(window));
    assert_eq!(with(&|one| one.link_answer_s = Some(0)), Err(AgreementError::NoTime));
}

#[test]
fn a_link_is_open_until_it_is_answered_or_its_time_is_over() {
    let refused = Answer::Refused("no".into());
    assert_eq!(LinkState::of(None, 60, Some(60)), LinkState::Open);
    assert_eq!(LinkState::of(None, 61, Some(60)), LinkState::Lapsed);
    assert_eq!(LinkState::of(None, u64::MAX, None), LinkState::Open);
    assert_eq!(LinkState::of(Some(&Answer::Accepted), 61, Some(60)), LinkState::Matched);
    assert_eq!(LinkState::of(Some(&refused), 0, Some(60)), LinkState::Refused);
}
