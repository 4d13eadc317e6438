//! The rules of identity, valid and violated: every refusal names its check, and changes nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_protocol::identity::{Organisation, OrganisationState, Revocation, Scope, Standing};
use counterfoil_protocol::ids::{AuthorityId, Position, Timestamp};
use counterfoil_protocol::keys::{SecretKey, Signer};
use counterfoil_protocol::statement::{
    Authentic, Draft, Endorsed, Kind, Payload, Refusal, Statement, Visibility, verify,
};
use counterfoil_protocol::test_support::{TestOrganisation, draft, observation};

/// A chain's state after some statements, each of which must pass.
fn folded(organisation: &TestOrganisation, more: &[Authentic]) -> OrganisationState {
    let mut state = OrganisationState::from_inception(organisation.inception.statement()).unwrap();
    for statement in organisation.opening().iter().chain(more) {
        let verified = verify(&state, statement.clone()).unwrap();
        state.apply(&verified).unwrap();
    }
    state
}

fn refusal(state: &OrganisationState, statement: Authentic) -> Refusal {
    verify(state, statement).unwrap_err()
}

#[test]
fn an_authority_signs_what_its_scope_covers_and_nothing_else() {
    let organisation = TestOrganisation::new(1);
    let key = SecretKey::from_seed(&[42; 32]);
    let scope =
        Scope { kinds: vec![Kind::Observation], claims: vec!["evaluation/*".into()], subjects: vec![] };
    let state = folded(&organisation, &[organisation.credential(&key, vec![scope], 0)]);
    let sign = |kind, payload: &_| draft(Some(organisation.id()), kind, payload).sign(&key).unwrap();
    let good = sign(Kind::Observation, &observation("evaluation/clinical", 1));
    assert_eq!(verify(&state, good).unwrap().position(), Position(4));
    let other_claim = sign(Kind::Observation, &observation("assessment/conformity", 1));
    assert_eq!(refusal(&state, other_claim).check(), "scope");
    let stranger = SecretKey::from_seed(&[43; 32]);
    let unknown = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/x", 1));
    assert_eq!(refusal(&state, unknown.sign(&stranger).unwrap()).check(), "key");
    let chain = OrganisationState::from_inception(TestOrganisation::new(2).inception.statement()).unwrap();
    assert_eq!(refusal(&chain, organisation.observation(1)).check(), "chain");
}

#[test]
fn acts_of_the_root_need_the_threshold() {
    let organisation = TestOrganisation::new(1);
    let state = folded(&organisation, &[]);
    let key = SecretKey::from_seed(&[42; 32]);
    let enough = organisation.credential(&key, vec![Scope::everything()], 0);
    assert!(verify(&state, enough.clone()).is_ok());
    // The same content, with nobody's approval beside the envelope's own signature.
    let Payload::Credential(_, endorsed) =
        Payload::decode(Kind::Credential, enough.statement().payload()).unwrap()
    else {
        unreachable!("a credential's payload")
    };
    let alone = Endorsed { body: endorsed.body, approvals: Vec::new() };
    let alone =
        draft(Some(organisation.id()), Kind::Credential, &alone).sign(&organisation.root_keys[0]).unwrap();
    let refused = refusal(&state, alone);
    assert_eq!(refused, Refusal::Threshold { kind: Kind::Credential, found: 1, needed: 2 });
    let by_root = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/x", 1));
    assert_eq!(refusal(&state, by_root.sign(&organisation.root_keys[0]).unwrap()).check(), "root-act");
}

#[test]
fn a_revocation_holds_from_its_position_on_and_cannot_be_undone_by_issuing_again() {
    let organisation = TestOrganisation::new(1);
    let key = SecretKey::from_seed(&[42; 32]);
    let credential = organisation.credential(&key, vec![Scope::everything()], 0);
    let authority = AuthorityId::from(credential.statement().id());
    let revocation =
        Revocation { authority, reason: "left".into(), compromised_since: None, compromised_at: None };
    let revoke = organisation.root_statement(Kind::Revocation, &revocation);
    let state = folded(&organisation, &[credential.clone(), revoke]);
    assert_eq!(state.standing_at(&authority, Position(3), Timestamp(1000)), Standing::InForce);
    assert_eq!(state.standing_at(&authority, Position(4), Timestamp(1000)), Standing::Revoked);
    let late = draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/x", 1));
    assert_eq!(refusal(&state, late.sign(&key).unwrap()).check(), "credential-revoked");
    assert_eq!(refusal(&state, credential).check(), "identity");
}

#[test]
fn a_compromise_reaches_back() {
    let organisation = TestOrganisation::new(1);
    let key = SecretKey::from_seed(&[42; 32]);
    let credential = organisation.credential(&key, vec![Scope::everything()], 0);
    let authority = AuthorityId::from(credential.statement().id());
    let revocation = Revocation {
        authority,
        reason: "stolen".into(),
        compromised_since: Some(Position(4)),
        compromised_at: None,
    };
    let state =
        folded(&organisation, &[credential, organisation.root_statement(Kind::Revocation, &revocation)]);
    assert_eq!(state.standing_at(&authority, Position(3), Timestamp(1000)), Standing::InForce);
    assert_eq!(state.standing_at(&authority, Position(4), Timestamp(1000)), Standing::Compromised);
}

#[test]
fn root_keys_rotate_to_keys_that_were_committed_to_and_one_version_at_a_time() {
    let organisation = TestOrganisation::new(1);
    let state = folded(&organisation, &[]);
    // The committed key of the builder: seed 1, number 8.
    let mut seed = [8; 32];
    seed[..8].copy_from_slice(&1u64.to_be_bytes());
    let committed = SecretKey::from_seed(&seed);
    let next = |version, key: &SecretKey| Organisation {
        version,
        root_keys: vec![key.public_key(), organisation.root_keys[0].public_key()],
        threshold: 2,
        ..state.description().clone()
    };
    let rotate = |next: &Organisation, new: &SecretKey| {
        let approvals: [&dyn Signer; 2] = [&organisation.root_keys[1], new];
        let endorsed = Endorsed::new(Kind::Organisation, next, &approvals).unwrap();
        draft(Some(organisation.id()), Kind::Organisation, &endorsed)
            .sign(&organisation.root_keys[0])
            .unwrap()
    };
    let verified = verify(&state, rotate(&next(1, &committed), &committed)).unwrap();
    let mut after = state.clone();
    after.apply(&verified).unwrap();
    assert_eq!(after.description().version, 1);
    let old = organisation.credential(&SecretKey::from_seed(&[50; 32]), vec![Scope::everything()], 0);
    assert_eq!(refusal(&after, old).check(), "threshold", "one of the old keys is no root key any more");
    assert_eq!(refusal(&state, rotate(&next(2, &committed), &committed)).check(), "identity");
    let stranger = SecretKey::from_seed(&[51; 32]);
    assert_eq!(refusal(&state, rotate(&next(1, &stranger), &stranger)).check(), "identity");
}

#[test]
fn no_changed_byte_of_a_statement_passes() {
    let organisation = TestOrganisation::new(1);
    let state = folded(&organisation, &[]);
    let bytes = organisation.observation(7).statement().bytes().to_vec();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let passes = Statement::parse(changed)
            .ok()
            .and_then(|statement| state.authenticate(statement).ok())
            .is_some_and(|authentic| verify(&state, authentic).is_ok());
        assert!(!passes, "byte {at}");
    }
}

#[test]
fn visibility_and_refs_are_read_back_and_standing_statements_are_for_all() {
    let organisation = TestOrganisation::new(1);
    let refs =
        vec![organisation.observation(2).statement().id(), organisation.observation(1).statement().id()];
    let mut sorted = refs.clone();
    sorted.sort();
    let draft = Draft {
        refs,
        visibility: Visibility::Private,
        subject: Some("name:triage".into()),
        ..draft(Some(organisation.id()), Kind::Observation, &observation("evaluation/x", 1))
    };
    let signed = draft.clone().sign(&organisation.authority_key).unwrap();
    let header = signed.statement().header();
    assert_eq!((header.refs.clone(), header.visibility), (sorted, Visibility::Private));
    let hidden = Draft { kind: Kind::Recall, ..draft };
    assert!(hidden.sign(&organisation.authority_key).unwrap_err().to_string().contains("whole mesh"));
}
