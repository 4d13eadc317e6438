//! The rules of identity, one row each: what stands in the chain, what is to be added, and whether it may be.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a builder that cannot build is a broken test"
)]

use super::{TestOrganisation, draft, observation};
use crate::actuation::OverrideBudget;
use crate::admissibility::{Activation, Composition};
use crate::identity::{
    ActivationQuorum, AuthorityKind, Credential, NodeBinding, Organisation, OrganisationState, Revocation,
    Scope, Status, Suspension,
};
use crate::ids::{AuthorityId, Position, StatementId, Timestamp};
use crate::keys::{SecretKey, Signer};
use crate::statement::{Authentic, Endorsed, Kind, Statement, verify};

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

/// A chain under construction, with what the rows need by name.
pub struct World {
    /// Whose it is.
    pub organisation: TestOrganisation,
    /// What its statements add up to.
    pub state: OrganisationState,
    /// All of them.
    pub statements: Vec<Statement>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// The chain of an organisation with its opening statements.
    pub fn new() -> Self {
        let organisation = TestOrganisation::new(1);
        let state = OrganisationState::from_inception(organisation.inception.statement()).unwrap();
        let mut world = Self { organisation, state, statements: Vec::new() };
        for statement in world.organisation.opening() {
            world.add(statement);
        }
        world
    }

    /// Appends a statement that may stand here.
    pub fn add(&mut self, statement: Authentic) {
        let verified = verify(&self.state, statement).unwrap();
        self.state.apply(&verified).unwrap();
        self.statements.push(verified.statement().clone());
    }

    /// What becomes of a statement at the next position: nothing, or the check it fails with its words.
    pub fn tries(&self, statement: Authentic) -> Option<(&'static str, String)> {
        // As from the wire: the signature is checked with the key that the chain knows.
        let again = Statement::parse(statement.statement().bytes().clone()).unwrap();
        let outcome = self.state.authenticate(again).and_then(|authentic| verify(&self.state, authentic));
        outcome.err().map(|refusal| (refusal.check(), refusal.to_string()))
    }

    fn steward(&self) -> AuthorityId {
        self.state.authority_of(&self.organisation.authority_key.public_key().id()).unwrap()
    }

    /// The authority whose key has this number.
    pub fn authority(&self, n: u8) -> AuthorityId {
        self.state.authority_of(&key(n).public_key().id()).unwrap()
    }

    /// A credential for the key of this number: evaluations may be observed.
    pub fn credential(&self, n: u8) -> Credential {
        Credential {
            key: key(n).public_key(),
            kind: AuthorityKind::HumanRole,
            role: format!("role-{n}"),
            scopes: vec![scope(&[Kind::Observation], &["evaluation/*"])],
            jurisdictions: vec![],
            competence: vec![],
            not_before: Timestamp(0),
            expires: None,
            delegation: 0,
            issuer: None,
            authority: None,
            overrides: None,
        }
    }

    /// A credential by the root.
    pub fn issue(&self, credential: &Credential) -> Authentic {
        self.organisation.root_statement(Kind::Credential, credential)
    }

    /// A credential by an authority.
    fn delegate(&self, issuer: u8, credential: &Credential) -> Authentic {
        self.act(&key(issuer), Kind::Credential, credential)
    }

    /// An act by one key alone.
    fn act<T: serde::Serialize>(&self, key: &SecretKey, kind: Kind, content: &T) -> Authentic {
        self.sign(key, kind, &Endorsed::new(kind, content, &[]).unwrap())
    }

    /// Says something with any key.
    pub fn sign<T: serde::Serialize>(&self, key: &SecretKey, kind: Kind, payload: &T) -> Authentic {
        draft(Some(self.organisation.id()), kind, payload).sign(key).unwrap()
    }

    /// An evaluation, observed with the key of this number.
    pub fn observe(&self, n: u8) -> Authentic {
        self.sign(&key(n), Kind::Observation, &observation("evaluation/x", 1))
    }

    fn suspend(&self, authority: AuthorityId, lifted: bool) -> Authentic {
        let suspension = Suspension { authority, reason: "test".into(), lifted };
        self.organisation.root_statement(Kind::Suspension, &suspension)
    }

    /// A revocation by the root.
    pub fn revoke(&self, authority: AuthorityId) -> Authentic {
        let revocation =
            Revocation { authority, reason: "test".into(), compromised_since: None, compromised_at: None };
        self.organisation.root_statement(Kind::Revocation, &revocation)
    }

    /// The next version of the organisation: its keys are the committed one and the first two of today.
    fn next_version(&self) -> Organisation {
        let now = self.state.description().clone();
        let next = TestOrganisation::next_root_key(1);
        let root_keys = vec![next.public_key(), now.root_keys[0], now.root_keys[1]];
        Organisation { version: now.version + 1, root_keys, ..now }
    }

    /// A rotation by these of today's keys and the new one.
    fn rotate(&self, next: &Organisation, today: &[usize]) -> Authentic {
        let new = TestOrganisation::next_root_key(1);
        let keys = &self.organisation.root_keys;
        let mut signers: Vec<&dyn Signer> = today[1..].iter().map(|n| &keys[*n] as &dyn Signer).collect();
        signers.push(&new);
        let endorsed = Endorsed::new(Kind::Organisation, next, &signers).unwrap();
        self.sign(&keys[today[0]], Kind::Organisation, &endorsed)
    }
}

fn scope(kinds: &[Kind], claims: &[&str]) -> Scope {
    let claims = claims.iter().map(|claim| (*claim).to_owned()).collect();
    Scope { kinds: kinds.to_vec(), claims, subjects: vec![] }
}

/// Name, what stands in the chain before, what is tried, and the check and words of the refusal; none where it passes.
pub type Row = (&'static str, fn(&mut World), fn(&World) -> Authentic, Option<(&'static str, &'static str)>);

fn nothing(_: &mut World) {}

/// An authority 10 that may issue further ones, one level deep, for evaluations until second 5000.
fn with_issuer(world: &mut World) {
    let issuer = Credential {
        delegation: 1,
        expires: Some(Timestamp(5000)),
        scopes: vec![scope(&[Kind::Observation, Kind::Credential], &["evaluation/*"])],
        ..world.credential(10)
    };
    world.add(world.issue(&issuer));
}

fn budget(count: u32, window_s: u64) -> Option<OverrideBudget> {
    Some(OverrideBudget { count, window_s })
}

/// As [`with_issuer`], with three overrides a day.
fn with_overriding_issuer(world: &mut World) {
    let issuer = Credential {
        delegation: 1,
        expires: Some(Timestamp(5000)),
        scopes: vec![scope(&[Kind::Observation, Kind::Credential], &["evaluation/*"])],
        overrides: budget(3, 86_400),
        ..world.credential(10)
    };
    world.add(world.issue(&issuer));
}

fn delegated(world: &World) -> Credential {
    Credential { issuer: Some(world.authority(10)), expires: Some(Timestamp(4000)), ..world.credential(11) }
}

fn with_delegate(world: &mut World) {
    with_issuer(world);
    let delegate = delegated(world);
    world.add(world.delegate(10, &delegate));
}

/// An authority 10.
pub fn with_authority(world: &mut World) {
    world.add(world.issue(&world.credential(10)));
}

/// It is suspended.
pub fn suspended(world: &mut World) {
    with_authority(world);
    world.add(world.suspend(world.authority(10), false));
}

fn lifted(world: &mut World) {
    suspended(world);
    world.add(world.suspend(world.authority(10), true));
}

fn revoked(world: &mut World) {
    with_authority(world);
    world.add(world.revoke(world.authority(10)));
}

fn succession(world: &World) -> Credential {
    Credential { key: key(20).public_key(), authority: Some(world.authority(10)), ..world.credential(10) }
}

/// It has another key, number 20.
pub fn succeeded(world: &mut World) {
    with_authority(world);
    let next = succession(world);
    world.add(world.issue(&next));
}

fn rotated(world: &mut World) {
    let next = world.next_version();
    world.add(world.rotate(&next, &[0, 1]));
}

fn binding(world: &World, counter: u64, signer: &SecretKey) -> Authentic {
    let peer = world.organisation.peer_key.public_key();
    let expires = Timestamp(9000);
    let message = NodeBinding::message(&world.organisation.id(), &peer, counter, expires);
    let binding = NodeBinding {
        mesh: None,
        peer_key: peer,
        counter,
        expires,
        addresses: vec![],
        peer_signature: signer.sign(&message),
    };
    world.organisation.statement(Kind::Node, &binding)
}

/// Activations need two of roles 10 and 11, who may approve and activate.
fn with_quorum(world: &mut World) {
    let quorum = ActivationQuorum { approvals: 2, roles: vec!["role-*".into()] };
    let next = Organisation { activation_quorum: Some(quorum), ..world.next_version() };
    world.add(world.rotate(&next, &[0, 1]));
    for n in [10, 11] {
        let scopes = vec![scope(&[Kind::Approval, Kind::Activation], &[])];
        let credential = Credential { scopes, ..world.credential(n) };
        let endorsed =
            Endorsed::new(Kind::Credential, &credential, &[&world.organisation.root_keys[1]]).unwrap();
        world.add(world.sign(&world.organisation.root_keys[0], Kind::Credential, &endorsed));
    }
}

fn activation(n: u8) -> Activation {
    Activation { profiles: vec![StatementId::from_bytes([n; 32])], composition: Composition::Intersection }
}

fn approved_by(world: &mut World, n: u8) {
    world.add(world.sign(&key(n), Kind::Approval, &activation(1)));
}

/// Number 11 stands behind activation 1.
fn approved(world: &mut World) {
    with_quorum(world);
    approved_by(world, 11);
}

/// Every rule, kept and broken.
pub const ROWS: &[Row] = &[
    // Acts of the root.
    ("two of three root keys issue", nothing, |w| w.issue(&w.credential(10)), None),
    (
        "one root key does not",
        nothing,
        |w| {
            let endorsed = Endorsed::new(Kind::Credential, &w.credential(10), &[]).unwrap();
            w.sign(&w.organisation.root_keys[0], Kind::Credential, &endorsed)
        },
        Some(("threshold", "1 of the 2 root keys")),
    ),
    (
        "one root key twice does not",
        nothing,
        |w| {
            let one = &w.organisation.root_keys[0];
            let endorsed = Endorsed::new(Kind::Credential, &w.credential(10), &[one, one]).unwrap();
            w.sign(one, Kind::Credential, &endorsed)
        },
        Some(("threshold", "1 of the 2 root keys")),
    ),
    (
        "an approval of another kind of act does not count",
        nothing,
        |w| {
            let other = &w.organisation.root_keys[1];
            let endorsed = Endorsed::new(Kind::Revocation, &w.credential(10), &[other]).unwrap();
            w.sign(&w.organisation.root_keys[0], Kind::Credential, &endorsed)
        },
        Some(("threshold", "1 of the 2 root keys")),
    ),
    (
        "root keys observe nothing",
        nothing,
        |w| w.sign(&w.organisation.root_keys[0], Kind::Observation, &observation("evaluation/x", 1)),
        Some(("root-act", "use an authority")),
    ),
    ("a stranger's key", nothing, |w| w.observe(99), Some(("key", "issue a credential"))),
    (
        "another organisation's statement",
        nothing,
        |_| TestOrganisation::new(2).observation(1),
        Some(("key", "")),
    ),
    // Quorums of activations.
    (
        "an activation by one of the two that it needs",
        with_quorum,
        |w| w.sign(&key(10), Kind::Activation, &activation(1)),
        Some((
            "activation-quorum",
            "1 of the 2 approvals needed stand behind this activation; still to approve",
        )),
    ),
    (
        "an activation that the other has approved",
        approved,
        |w| w.sign(&key(10), Kind::Activation, &activation(1)),
        None,
    ),
    (
        "another activation than was approved",
        approved,
        |w| w.sign(&key(10), Kind::Activation, &activation(2)),
        Some(("activation-quorum", "role-11")),
    ),
    (
        "whoever approves and activates counts once",
        approved,
        |w| w.sign(&key(11), Kind::Activation, &activation(1)),
        Some(("activation-quorum", "role-10")),
    ),
    (
        "a signer whose role does not count needs two others",
        approved,
        |w| w.organisation.statement(Kind::Activation, &activation(1)),
        Some(("activation-quorum", "role-10")),
    ),
    (
        "and has them",
        |w| {
            approved(w);
            approved_by(w, 10);
        },
        |w| w.organisation.statement(Kind::Activation, &activation(1)),
        None,
    ),
    (
        "an approval is used up by the activation",
        |w| {
            approved(w);
            w.add(w.sign(&key(10), Kind::Activation, &activation(1)));
        },
        |w| w.sign(&key(10), Kind::Activation, &activation(1)),
        Some(("activation-quorum", "1 of the 2")),
    ),
    (
        "a later approval of something else takes an earlier one back",
        |w| {
            approved(w);
            w.add(w.sign(&key(11), Kind::Approval, &activation(2)));
        },
        |w| w.sign(&key(10), Kind::Activation, &activation(1)),
        Some(("activation-quorum", "1 of the 2")),
    ),
    (
        "an approval by an authority that was suspended since",
        |w| {
            approved(w);
            let suspension = Suspension { authority: w.authority(11), reason: "test".into(), lifted: false };
            let endorsed =
                Endorsed::new(Kind::Suspension, &suspension, &[&w.organisation.root_keys[1]]).unwrap();
            w.add(w.sign(&w.organisation.root_keys[0], Kind::Suspension, &endorsed));
        },
        |w| w.sign(&key(10), Kind::Activation, &activation(1)),
        Some(("activation-quorum", "nobody")),
    ),
    (
        "a quorum of nobody",
        nothing,
        |w| {
            let quorum = Some(ActivationQuorum { approvals: 0, roles: vec![] });
            w.rotate(&Organisation { activation_quorum: quorum, ..w.next_version() }, &[0, 1])
        },
        Some(("payload", "1 to 32 authorities")),
    ),
    // Credentials.
    (
        "a key serves once",
        with_authority,
        |w| w.issue(&w.credential(10)),
        Some(("identity", "use a new key")),
    ),
    (
        "a root key is no authority's",
        nothing,
        |w| w.issue(&Credential { key: w.organisation.root_keys[0].public_key(), ..w.credential(10) }),
        Some(("identity", "use a new key")),
    ),
    (
        "a credential without scope",
        nothing,
        |w| w.issue(&Credential { scopes: vec![], ..w.credential(10) }),
        Some(("payload", "allow nothing")),
    ),
    (
        "a credential that ends before it begins",
        nothing,
        |w| {
            w.issue(&Credential { not_before: Timestamp(9), expires: Some(Timestamp(8)), ..w.credential(10) })
        },
        Some(("payload", "before it is valid")),
    ),
    (
        "a credential that names an issuer by the root",
        with_issuer,
        |w| w.issue(&delegated(w)),
        Some(("identity", "another issuer")),
    ),
    ("within its scope", with_authority, |w| w.observe(10), None),
    (
        "another claim",
        with_authority,
        |w| w.sign(&key(10), Kind::Observation, &observation("assessment/x", 1)),
        Some(("scope", "claim assessment/x")),
    ),
    (
        "another kind",
        with_authority,
        |w| w.sign(&key(10), Kind::Status, &w.state.status_now(Timestamp(9))),
        Some(("scope", "status statements")),
    ),
    (
        "before its time",
        |w| {
            w.add(w.issue(&Credential { not_before: Timestamp(2000), ..w.credential(10) }));
        },
        |w| w.observe(10),
        Some(("credential-not-yet-valid", "not valid yet")),
    ),
    (
        "after its time",
        |w| {
            w.add(w.issue(&Credential { expires: Some(Timestamp(999)), ..w.credential(10) }));
        },
        |w| w.observe(10),
        Some(("credential-expired", "expired")),
    ),
    // Delegation.
    ("a narrower credential by an issuer", with_issuer, |w| w.delegate(10, &delegated(w)), None),
    ("the delegate signs", with_delegate, |w| w.observe(11), None),
    (
        "a wider scope",
        with_issuer,
        |w| w.delegate(10, &Credential { scopes: vec![scope(&[Kind::Observation], &["*"])], ..delegated(w) }),
        Some(("delegation", "scope")),
    ),
    (
        "a longer validity",
        with_issuer,
        |w| w.delegate(10, &Credential { expires: Some(Timestamp(6000)), ..delegated(w) }),
        Some(("delegation", "validity")),
    ),
    (
        "an unlimited validity",
        with_issuer,
        |w| w.delegate(10, &Credential { expires: None, ..delegated(w) }),
        Some(("delegation", "validity")),
    ),
    (
        "as deep as its issuer",
        with_issuer,
        |w| w.delegate(10, &Credential { delegation: 1, ..delegated(w) }),
        Some(("delegation", "depth")),
    ),
    (
        "overrides that its issuer does not have",
        with_issuer,
        |w| w.delegate(10, &Credential { overrides: budget(1, 86_400), ..delegated(w) }),
        Some(("delegation", "overrides")),
    ),
    (
        "fewer overrides than its issuer, in a longer time",
        with_overriding_issuer,
        |w| w.delegate(10, &Credential { overrides: budget(2, 86_401), ..delegated(w) }),
        None,
    ),
    (
        "more overrides than its issuer",
        with_overriding_issuer,
        |w| w.delegate(10, &Credential { overrides: budget(4, 86_400), ..delegated(w) }),
        Some(("delegation", "overrides")),
    ),
    (
        "as many overrides as its issuer in a shorter time",
        with_overriding_issuer,
        |w| w.delegate(10, &Credential { overrides: budget(3, 86_399), ..delegated(w) }),
        Some(("delegation", "overrides")),
    ),
    (
        "a budget that allows nothing",
        nothing,
        |w| w.issue(&Credential { overrides: budget(0, 86_400), ..w.credential(10) }),
        Some(("payload", "budget of overrides")),
    ),
    (
        "another issuer than the one that signs",
        with_issuer,
        |w| w.delegate(10, &Credential { issuer: Some(w.steward()), ..delegated(w) }),
        Some(("identity", "another issuer")),
    ),
    (
        "an authority that may not issue",
        with_authority,
        |w| w.delegate(10, &Credential { issuer: Some(w.authority(10)), ..w.credential(11) }),
        Some(("scope", "credential statements")),
    ),
    (
        "the delegate of a suspended issuer",
        |w| {
            with_delegate(w);
            w.add(w.suspend(w.authority(10), false));
        },
        |w| w.observe(11),
        Some(("credential-suspended", "suspended")),
    ),
    // Suspension.
    ("suspended", suspended, |w| w.observe(10), Some(("credential-suspended", "suspended"))),
    ("lifted", lifted, |w| w.observe(10), None),
    (
        "suspended twice",
        suspended,
        |w| w.suspend(w.authority(10), false),
        Some(("identity", "suspended already")),
    ),
    ("lifted twice", lifted, |w| w.suspend(w.authority(10), true), Some(("identity", "not suspended"))),
    ("suspended again after it was lifted", lifted, |w| w.suspend(w.authority(10), false), None),
    (
        "a suspension of nobody",
        nothing,
        |w| w.suspend(AuthorityId::from_bytes([9; 32]), false),
        Some(("identity", "no authority")),
    ),
    (
        "a suspension of the revoked",
        revoked,
        |w| w.suspend(w.authority(10), false),
        Some(("identity", "is revoked")),
    ),
    // Revocation.
    ("revoked", revoked, |w| w.observe(10), Some(("credential-revoked", "revoked"))),
    ("revoked twice", revoked, |w| w.revoke(w.authority(10)), Some(("identity", "revoked already"))),
    (
        "a revocation of nobody",
        nothing,
        |w| w.revoke(AuthorityId::from_bytes([9; 32])),
        Some(("identity", "no authority")),
    ),
    (
        "compromised in the future",
        with_authority,
        |w| {
            let revocation = Revocation {
                authority: w.authority(10),
                reason: "test".into(),
                compromised_since: Some(Position(99)),
                compromised_at: None,
            };
            w.organisation.root_statement(Kind::Revocation, &revocation)
        },
        Some(("identity", "future")),
    ),
    (
        "the key of the revoked again",
        revoked,
        |w| w.issue(&w.credential(10)),
        Some(("identity", "use a new key")),
    ),
    // A new key for an authority.
    ("a new key", with_authority, |w| w.issue(&succession(w)), None),
    ("the new key signs", succeeded, |w| w.observe(20), None),
    ("the former key does not", succeeded, |w| w.observe(10), Some(("former-key", "a newer one"))),
    (
        "another role with the new key",
        with_authority,
        |w| w.issue(&Credential { role: "other".into(), ..succession(w) }),
        Some(("identity", "keeps its kind, role")),
    ),
    ("a new key for the revoked", revoked, |w| w.issue(&succession(w)), Some(("identity", "is revoked"))),
    (
        "a new key for nobody",
        with_authority,
        |w| w.issue(&Credential { authority: Some(AuthorityId::from_bytes([9; 32])), ..succession(w) }),
        Some(("identity", "no authority")),
    ),
    // Status.
    (
        "a status that is so",
        suspended,
        |w| w.organisation.statement(Kind::Status, &w.state.status_now(Timestamp(9))),
        None,
    ),
    (
        "a status that leaves somebody out",
        suspended,
        |w| {
            let status = Status { suspended: vec![], ..w.state.status_now(Timestamp(9)) };
            w.organisation.statement(Kind::Status, &status)
        },
        Some(("identity", "not what the chain says")),
    ),
    (
        "a status that adds somebody",
        with_authority,
        |w| {
            let status = Status { revoked: vec![w.authority(10)], ..w.state.status_now(Timestamp(9)) };
            w.organisation.statement(Kind::Status, &status)
        },
        Some(("identity", "not what the chain says")),
    ),
    // Rotation.
    ("a rotation with both thresholds", nothing, |w| w.rotate(&w.next_version(), &[0, 1]), None),
    (
        "without the threshold of today",
        nothing,
        |w| w.rotate(&w.next_version(), &[0]),
        Some(("threshold", "1 of the 2")),
    ),
    (
        "without the threshold of tomorrow",
        nothing,
        |w| w.rotate(&Organisation { threshold: 3, ..w.next_version() }, &[0, 2]),
        Some(("threshold", "2 of the 3")),
    ),
    (
        "a version left out",
        nothing,
        |w| w.rotate(&Organisation { version: 2, ..w.next_version() }, &[0, 1]),
        Some(("identity", "one by one")),
    ),
    (
        "a key that nobody committed to",
        nothing,
        |w| {
            let mut next = w.next_version();
            next.root_keys.push(key(77).public_key());
            w.rotate(&next, &[0, 1])
        },
        Some(("identity", "not committed to")),
    ),
    (
        "another chain key",
        nothing,
        |w| w.rotate(&Organisation { chain_key: key(78).public_key(), ..w.next_version() }, &[0, 1]),
        Some(("identity", "leaves chain and witness keys alone")),
    ),
    (
        "the same version again",
        rotated,
        |w| w.rotate(w.state.description(), &[0, 1]),
        Some(("identity", "one by one")),
    ),
    (
        "a rotation by an authority whose credential allows it",
        |w| {
            let scopes = vec![scope(&[Kind::Organisation], &[])];
            w.add(w.issue(&Credential { scopes, ..w.credential(10) }));
        },
        |w| {
            let next =
                Organisation { root_keys: vec![key(77).public_key()], threshold: 1, ..w.next_version() };
            w.act(&key(10), Kind::Organisation, &next)
        },
        Some(("root-act", "root keys alone")),
    ),
    // Node bindings.
    ("a binding with a higher counter", nothing, |w| binding(w, 2, &w.organisation.peer_key), None),
    (
        "a binding with the same counter",
        nothing,
        |w| binding(w, 1, &w.organisation.peer_key),
        Some(("identity", "does not exceed")),
    ),
    (
        "a binding that the peer did not sign",
        nothing,
        |w| binding(w, 2, &key(9)),
        Some(("identity", "did not sign")),
    ),
];
