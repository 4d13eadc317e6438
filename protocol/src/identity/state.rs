//! The fold over a chain's standing statements: which keys, authorities and bindings are in force at each position.
//!
//! One fold serves the admission to one's own chain and the verification of foreign ones.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::credential::Credential;
use super::epoch::Epochs;
use super::node::NodeBinding;
use super::organisation::Organisation;
use super::recovery::Recovery;
use super::revocation::Status;
use super::standing::StandingDigest;
use crate::admissibility::Activation;
use crate::chain::SignedHead;
use crate::ids::{AuthorityId, KeyId, MeshId, OrganisationId, Position, StatementId, Timestamp, TreeSize};
use crate::keys::PublicKey;
use crate::limits::SUCCESSION_BYTES_MAX;
use crate::statement::{Authentic, Endorsed, Kind, Payload, Refusal, Signatory, Statement, Verified};

/// How an authority stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It may sign.
    InForce,
    /// Its time has not begun.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// It is suspended.
    Suspended,
    /// Its credential was revoked.
    Revoked,
    /// It signed at a position from which on its key may have been in other hands.
    Compromised,
    /// Nothing in force says what it may do.
    Unknown,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InForce => "in force",
            Self::NotYetValid => "not valid yet",
            Self::Expired => "expired",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Compromised => "signed after its key was compromised",
            Self::Unknown => "unknown",
        })
    }
}

/// One authority, as its organisation's chain has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityRecord {
    /// The credential in force: the first, or the latest that gave it a new key.
    pub credential: Credential,
    /// Where the authority was made.
    pub issued_at: Position,
    /// Where it was suspended, and where that was lifted, in order.
    pub suspensions: Vec<(Position, Option<Position>)>,
    /// Where it was revoked, if it was.
    pub revoked_at: Option<Position>,
    /// From where on its key may have been in other hands.
    pub compromised_since: Option<Position>,
    /// When its key may have come into other hands.
    pub compromised_at: Option<Timestamp>,
    /// Levels of delegation between the root keys and this authority.
    pub depth: u8,
    /// The authority, credentialed by the root itself, that this one's delegation goes back to.
    pub root: AuthorityId,
}

/// What is in force in one organisation after the first `size` statements of its chain.
#[derive(Debug, Clone)]
pub struct OrganisationState {
    id: OrganisationId,
    organisation: Organisation,
    epochs: Epochs,
    /// Bytes of all organisation statements.
    succession_bytes: usize,
    /// The ids of its root keys.
    root_ids: Vec<KeyId>,
    size: TreeSize,
    standing: StandingDigest,
    authorities: BTreeMap<AuthorityId, AuthorityRecord>,
    keys: BTreeMap<KeyId, AuthorityId>,
    public_keys: BTreeMap<KeyId, PublicKey>,
    nodes: BTreeMap<KeyId, NodeBinding>,
    status: Option<(Position, Status)>,
    /// The activation that each authority stands behind, since the last one: at most one of each.
    approvals: BTreeMap<AuthorityId, Activation>,
}

impl AuthorityRecord {
    /// Whether a suspension holds at `position`.
    pub fn is_suspended_at(&self, position: Position) -> bool {
        let holds = |(from, to): &(Position, Option<Position>)| {
            position >= *from && to.is_none_or(|lifted| position < lifted)
        };
        self.suspensions.iter().any(holds)
    }
}

impl OrganisationState {
    /// The state of a chain that has nothing yet but is to begin with `inception`.
    ///
    /// The inception is *not* folded yet: verify it against this state and [`apply`](Self::apply) it like any other.
    ///
    /// # Errors
    /// [`Refusal`] when `inception` is no valid inception.
    pub fn from_inception(inception: &Statement) -> Result<Self, Refusal> {
        let header = inception.header();
        let refuse = |what: &str| Refusal::Identity(what.to_owned());
        if header.kind != Kind::Organisation || header.organisation.is_some() {
            return Err(refuse("a chain begins with the inception of its organisation"));
        }
        let kind = header.kind;
        let payload =
            Payload::decode(kind, inception.payload()).map_err(|error| Refusal::Payload { kind, error })?;
        let Payload::Organisation(organisation, _) = payload else {
            return Err(refuse("a chain begins with the inception of its organisation"));
        };
        if organisation.version != 0 {
            return Err(refuse("an inception has version 0"));
        }
        let id = inception.id().into();
        let mut state = Self {
            id,
            epochs: Epochs::new(id, organisation.chain_key),
            succession_bytes: 0,
            organisation: *organisation,
            root_ids: Vec::new(),
            size: TreeSize(0),
            standing: StandingDigest::EMPTY,
            authorities: BTreeMap::new(),
            keys: BTreeMap::new(),
            public_keys: BTreeMap::new(),
            nodes: BTreeMap::new(),
            status: None,
            approvals: BTreeMap::new(),
        };
        state.refresh_keys();
        Ok(state)
    }

    /// The state of a chain of `size` statements, folded anew from its standing statements, the inception first.
    ///
    /// # Errors
    /// [`Refusal`] when they are not the standing statements of one chain, in order.
    pub fn under<'a>(
        standing: impl IntoIterator<Item = &'a Verified>,
        size: TreeSize,
    ) -> Result<Self, Refusal> {
        let mut standing = standing.into_iter().peekable();
        let inception = standing.peek().map(|verified| verified.statement());
        let inception =
            inception.ok_or_else(|| Refusal::Identity("the chain's inception is missing".into()))?;
        let mut state = Self::from_inception(inception)?;
        for verified in standing.take_while(|verified| size.contains(verified.position())) {
            state.skip_to(verified.position());
            state.apply(verified)?;
        }
        state.skip_to(size.next_position());
        Ok(state)
    }

    /// The organisation.
    pub const fn organisation(&self) -> OrganisationId {
        self.id
    }

    /// What it says about itself.
    pub const fn description(&self) -> &Organisation {
        &self.organisation
    }

    /// Which chain key signs which sizes of the chain.
    pub const fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// How many statements were folded.
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// Where the next statement goes.
    pub const fn next_position(&self) -> Position {
        self.size.next_position()
    }

    /// The digest over the standing statements folded so far.
    pub const fn standing_digest(&self) -> StandingDigest {
        self.standing
    }

    /// The public key with this id, if it is or was one of the organisation's signing keys.
    pub fn public_key(&self, key: &KeyId) -> Option<&PublicKey> {
        self.public_keys.get(key)
    }

    /// Every authority, in the order of their ids.
    pub const fn authorities(&self) -> &BTreeMap<AuthorityId, AuthorityRecord> {
        &self.authorities
    }

    /// The authority that has this key.
    pub fn authority_of(&self, key: &KeyId) -> Option<AuthorityId> {
        self.keys.get(key).copied()
    }

    /// Where the holder of a key may act: what its credential says, or wherever the organisation may.
    pub fn jurisdictions_of(&self, key: &KeyId) -> &[String] {
        let record = self.authority_of(key).and_then(|authority| self.authorities.get(&authority));
        match record.map(|record| record.credential.jurisdictions.as_slice()) {
            Some(named) if !named.is_empty() => named,
            _ => &self.organisation.jurisdictions,
        }
    }

    /// The binding of a peer, if it holds at `now`.
    pub fn node(&self, peer: &PublicKey, now: Timestamp) -> Option<&NodeBinding> {
        self.nodes.get(&peer.id()).filter(|binding| now <= binding.expires)
    }

    /// Bindings of all peers, expired ones included.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeBinding> {
        self.nodes.values()
    }

    /// Bindings that hold in a mesh: those with the highest counter. Expired ones are among them.
    pub fn speakers(&self, mesh: MeshId) -> impl Iterator<Item = &NodeBinding> {
        let is_here = move |binding: &&NodeBinding| binding.mesh.is_none_or(|bound| bound == mesh);
        let highest = self.nodes().filter(is_here).map(|binding| binding.counter).max();
        self.nodes().filter(is_here).filter(move |binding| Some(binding.counter) == highest)
    }

    /// The latest list of those who are revoked or suspended, and where it stands.
    pub const fn status(&self) -> Option<&(Position, Status)> {
        self.status.as_ref()
    }

    /// The list that a status statement at the next position would have to give.
    pub fn status_now(&self, next_by: Timestamp) -> Status {
        let position = self.next_position();
        let those = |which: &dyn Fn(&AuthorityRecord) -> bool| {
            self.authorities.iter().filter(|(_, record)| which(record)).map(|(id, _)| *id).collect()
        };
        Status {
            revoked: those(&|record| record.revoked_at.is_some()),
            suspended: those(&|record| record.revoked_at.is_none() && record.is_suspended_at(position)),
            next_by,
        }
    }

    /// How `authority` stands for a statement at `position`, seen from the whole of this state.
    pub fn standing_at(&self, authority: &AuthorityId, position: Position, time: Timestamp) -> Standing {
        self.standing_with_witnesses(authority, position, time, None)
    }

    /// As [`Self::standing_at`], for a statement that a quorum of witnesses had seen at `witnessed`. What they had seen
    /// before the key may have come into other hands stands.
    pub fn standing_with_witnesses(
        &self,
        authority: &AuthorityId,
        position: Position,
        time: Timestamp,
        witnessed: Option<Timestamp>,
    ) -> Standing {
        let Some(record) = self.authorities.get(authority) else { return Standing::Unknown };
        let is_older = match (witnessed, record.compromised_at) {
            (Some(seen), Some(lost)) => seen < lost,
            // Without both there is nothing to tell before from after.
            _ => false,
        };
        if record.compromised_since.is_some_and(|since| position >= since) && !is_older {
            return Standing::Compromised;
        }
        if record.revoked_at.is_some_and(|revoked| position >= revoked) {
            return Standing::Revoked;
        }
        if record.is_suspended_at(position) {
            return Standing::Suspended;
        }
        if time < record.credential.not_before || position < record.issued_at {
            return Standing::NotYetValid;
        }
        if !record.credential.is_valid_at(time) {
            return Standing::Expired;
        }
        match record.credential.issuer {
            None => Standing::InForce,
            // What an issuer could not do when it issued, those who stand on its word cannot do; and while it is suspended,
            // neither can they.
            Some(issuer) => match self.standing_with_witnesses(&issuer, record.issued_at, time, witnessed) {
                Standing::InForce | Standing::Expired | Standing::NotYetValid => {
                    let suspended =
                        self.authorities.get(&issuer).is_some_and(|i| i.is_suspended_at(position));
                    if suspended { Standing::Suspended } else { Standing::InForce }
                }
                fallen => fallen,
            },
        }
    }

    /// Checks the signature of `statement` with the key that it names.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`], [`Refusal::Signature`].
    pub fn authenticate(&self, statement: Statement) -> Result<Authentic, Refusal> {
        let key = statement.header().key;
        let public_key = *self.public_key(&key).ok_or(Refusal::UnknownKey(key))?;
        statement.authenticate(&public_key).map_err(Refusal::Signature)
    }

    /// Who stands behind `statement` at the next position.
    pub(crate) fn signatory(&self, statement: &Statement, payload: &Payload) -> Result<Signatory, Refusal> {
        let header = statement.header();
        let position = self.next_position();
        if header.organisation.is_none() != (position == Position(0)) {
            return Err(Refusal::Identity("an inception stands at position 0 and nowhere else".into()));
        }
        let is_root = self.root_ids.contains(&header.key);
        let signatory = if is_root {
            self.check_root_act(statement, payload)?;
            Signatory::Root
        } else {
            let authority = self.authority_of(&header.key).ok_or(Refusal::UnknownKey(header.key))?;
            self.check_authority(authority, statement, payload)?;
            Signatory::Authority(authority)
        };
        self.check_identity_rules(payload, signatory)?;
        if let Payload::Activation(activation) = payload {
            self.check_quorum(activation, signatory, header.issued_at)?;
        }
        Ok(signatory)
    }

    fn check_root_act(&self, statement: &Statement, payload: &Payload) -> Result<(), Refusal> {
        let (kind, key) = (statement.header().kind, statement.header().key);
        match payload {
            Payload::Organisation(next, endorsed) if self.next_position() != Position(0) => {
                self.check_rotation(next, endorsed, key)?;
                match &next.recovery {
                    Some(recovery) => self.check_recovery(next, recovery, statement.bytes().len()).map(drop),
                    None => Ok(()),
                }
            }
            Payload::Organisation(_, endorsed)
            | Payload::Credential(_, endorsed)
            | Payload::Revocation(_, endorsed)
            | Payload::Suspension(_, endorsed) => {
                let found = endorsed.count(kind, &self.organisation.root_keys, key);
                self.check_threshold(kind, found, self.organisation.threshold)
            }
            Payload::Node(_) => Ok(()),
            _ => Err(Refusal::NotForRoot(kind)),
        }
    }

    fn check_threshold(&self, kind: Kind, found: usize, needed: u8) -> Result<(), Refusal> {
        if found < usize::from(needed) { Err(Refusal::Threshold { kind, found, needed }) } else { Ok(()) }
    }

    /// A rotation has both thresholds, and its keys were committed to by the version before. One of today's keys wraps it:
    /// whoever reads it has no other yet.
    fn check_rotation(&self, next: &Organisation, endorsed: &Endorsed, key: KeyId) -> Result<(), Refusal> {
        let current = &self.organisation;
        if current.version.checked_add(1) != Some(next.version) {
            let text = format!("version {} follows version {}", next.version, current.version);
            return Err(Refusal::Identity(text + "; versions go up one by one"));
        }
        let kind = Kind::Organisation;
        self.check_threshold(kind, endorsed.count(kind, &current.root_keys, key), current.threshold)?;
        self.check_threshold(kind, endorsed.count(kind, &next.root_keys, key), next.threshold)?;
        let keeps_chain_key = next.chain_key == current.chain_key;
        if next.witness_key != current.witness_key || !keeps_chain_key && next.recovery.is_none() {
            return Err(Refusal::Identity(
                "a rotation of root keys leaves chain and witness keys alone".into(),
            ));
        }
        let is_committed = |key: &PublicKey| {
            current.root_keys.contains(key) || current.next_root_keys.contains(&key.commitment())
        };
        match next.root_keys.iter().find(|key| !is_committed(key)) {
            Some(key) => Err(Refusal::Identity(format!(
                "root key {key} was not committed to by version {}",
                current.version
            ))),
            None => Ok(()),
        }
    }

    /// A recovery names a head that the chain key in force signed, and brings a key that never had a place here. Gives the
    /// head. Whether the tree goes on from it is for [`Recovery::check_tree`].
    fn check_recovery(
        &self,
        next: &Organisation,
        recovery: &Recovery,
        bytes: usize,
    ) -> Result<SignedHead, Refusal> {
        let refuse = |text: String| Refusal::Identity(text);
        let key = next.chain_key.id();
        if self.public_keys.contains_key(&key) || self.epochs.of_key(&key).is_some() {
            return Err(refuse(format!("{key} has a place in this organisation already; use a new key")));
        }
        let base = recovery.head().map_err(|error| refuse(format!("the base of the recovery: {error}")))?;
        let (covered, epoch) = (base.claimed_size(), self.epochs.at(base.claimed_size()).number);
        if covered > self.size || epoch != self.epochs.latest().number {
            return Err(refuse(format!(
                "the base of the recovery covers {covered} statements, and is not a head of the epoch that ends here"
            )));
        }
        let base = self.epochs.open_head(base);
        let base = base.map_err(|error| refuse(format!("the base of the recovery: {error}")))?;
        if self.succession_bytes.saturating_add(bytes) > SUCCESSION_BYTES_MAX {
            return Err(refuse(format!(
                "the organisation's versions have more than {SUCCESSION_BYTES_MAX} bytes together, so that what the new key \
                 signs could not be proven to be its own"
            )));
        }
        Ok(base)
    }

    fn check_authority(
        &self,
        authority: AuthorityId,
        statement: &Statement,
        payload: &Payload,
    ) -> Result<(), Refusal> {
        let (header, position) = (statement.header(), self.next_position());
        // No credential stands for the thresholds and commitments of a rotation.
        if header.kind == Kind::Organisation {
            return Err(Refusal::ForRoot(header.kind));
        }
        let standing = self.standing_at(&authority, position, header.issued_at);
        if standing != Standing::InForce {
            return Err(Refusal::NotInForce { authority, position, standing });
        }
        let Some(record) = self.authorities.get(&authority) else {
            return Err(Refusal::UnknownKey(header.key));
        };
        if self.public_keys.get(&header.key) != Some(&record.credential.key) {
            // The authority goes on, with another key.
            return Err(Refusal::FormerKey { authority, key: header.key });
        }
        let claim = payload.claim();
        if !record.credential.covers(header.kind, claim, header.subject.as_deref()) {
            return Err(Refusal::OutOfScope {
                authority,
                role: record.credential.role.clone(),
                kind: header.kind,
                claim: claim.map(|claim| format!(" with claim {claim}")).unwrap_or_default(),
            });
        }
        if let Payload::Credential(credential, _) = payload {
            credential.check_narrower_than(&record.credential)?;
        }
        Ok(())
    }

    fn check_identity_rules(&self, payload: &Payload, signatory: Signatory) -> Result<(), Refusal> {
        let refuse = |text: String| Err(Refusal::Identity(text));
        match payload {
            Payload::Credential(credential, _) => {
                let id = credential.key.id();
                if self.public_keys.contains_key(&id) {
                    // Also keeps an approved credential from being issued a second time after its revocation.
                    return refuse(format!("{id} has a place in this organisation already; use a new key"));
                }
                let issuer = match signatory {
                    Signatory::Root => None,
                    Signatory::Authority(authority) => Some(authority),
                };
                if credential.issuer != issuer {
                    return refuse("the credential names another issuer than the one that signed it".into());
                }
                credential.authority.map_or(Ok(()), |authority| self.check_succession(&authority, credential))
            }
            Payload::Suspension(suspension, _) => {
                let Some(record) = self.authorities.get(&suspension.authority) else {
                    return refuse(format!("{} is no authority of this organisation", suspension.authority));
                };
                if record.revoked_at.is_some() {
                    return refuse(format!(
                        "{} is revoked; there is nothing to suspend",
                        suspension.authority
                    ));
                }
                match (record.is_suspended_at(self.next_position()), suspension.lifted) {
                    (true, false) => refuse(format!("{} is suspended already", suspension.authority)),
                    (false, true) => refuse(format!("{} is not suspended", suspension.authority)),
                    _ => Ok(()),
                }
            }
            Payload::Status(status) => {
                if *status == self.status_now(status.next_by) {
                    Ok(())
                } else {
                    refuse("the status is not what the chain says at this position".into())
                }
            }
            Payload::Revocation(revocation, _) => {
                let Some(record) = self.authorities.get(&revocation.authority) else {
                    return refuse(format!("{} is no authority of this organisation", revocation.authority));
                };
                if record.revoked_at.is_some() {
                    return refuse(format!("{} is revoked already", revocation.authority));
                }
                if revocation.compromised_since.is_some_and(|since| since > self.next_position()) {
                    return refuse("compromised_since lies in the future".into());
                }
                Ok(())
            }
            Payload::Node(binding) => {
                if !binding.is_agreed_by_peer(&self.id) {
                    return refuse("the peer's key did not sign this binding".into());
                }
                match self.nodes.get(&binding.peer_key.id()) {
                    Some(earlier) if earlier.counter >= binding.counter => refuse(format!(
                        "binding counter {} does not exceed the earlier {}",
                        binding.counter, earlier.counter
                    )),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// As many authorities in force as the organisation asks for stand behind just this activation.
    fn check_quorum(
        &self,
        activation: &Activation,
        signatory: Signatory,
        time: Timestamp,
    ) -> Result<(), Refusal> {
        let Some(quorum) = &self.organisation.activation_quorum else { return Ok(()) };
        let position = self.next_position();
        let may_count = |id: &AuthorityId| {
            let role = self.authorities.get(id).map(|record| record.credential.role.as_str());
            role.is_some_and(|role| quorum.counts(role))
                && self.standing_at(id, position, time) == Standing::InForce
        };
        let stands_behind = |id: &AuthorityId| {
            signatory == Signatory::Authority(*id) || self.approvals.get(id) == Some(activation)
        };
        let (behind, others): (Vec<_>, Vec<_>) =
            self.authorities.keys().filter(|id| may_count(id)).partition(|id| stands_behind(id));
        if behind.len() >= usize::from(quorum.approvals) {
            return Ok(());
        }
        let may_approve = |id: &&&AuthorityId| {
            let record = self.authorities.get(**id);
            record.is_some_and(|record| record.credential.covers(Kind::Approval, None, None))
        };
        let roles: Vec<&str> = others
            .iter()
            .filter(may_approve)
            .filter_map(|id| self.authorities.get(*id))
            .map(|record| record.credential.role.as_str())
            .collect();
        let missing = if roles.is_empty() {
            format!("nobody; issue authorities that may sign approval statements, roles {:?}", quorum.roles)
        } else {
            roles.join(", ")
        };
        Err(Refusal::ActivationQuorum { found: behind.len(), needed: quorum.approvals, missing })
    }

    /// A new key for an authority that goes on: of the same kind and role, by the same issuer.
    fn check_succession(&self, authority: &AuthorityId, next: &Credential) -> Result<(), Refusal> {
        let refuse = |text: String| Err(Refusal::Identity(text));
        let Some(record) = self.authorities.get(authority) else {
            return refuse(format!(
                "{authority}, which is to have a new key, is no authority of this organisation"
            ));
        };
        if record.revoked_at.is_some() {
            return refuse(format!("{authority} is revoked; make a new authority in its place"));
        }
        let now = &record.credential;
        if (next.kind, &next.role, next.issuer) != (now.kind, &now.role, now.issuer) {
            return refuse(format!("{authority} keeps its kind, role and issuer when it has a new key"));
        }
        Ok(())
    }

    /// Folds a statement that was verified against this very state.
    ///
    /// # Errors
    /// [`Refusal::Identity`] when it was verified for another chain or position; nothing is changed then.
    pub fn apply(&mut self, verified: &Verified) -> Result<(), Refusal> {
        if verified.organisation() != self.id || verified.position() != self.next_position() {
            return Err(Refusal::Identity(format!(
                "verified for position {} of {}, not for {} of {}",
                verified.position(),
                verified.organisation(),
                self.next_position(),
                self.id
            )));
        }
        let position = verified.position();
        match verified.payload() {
            Payload::Organisation(organisation, _) => {
                let bytes = verified.bytes().len();
                if let Some(recovery) = &organisation.recovery {
                    let base = self.check_recovery(organisation, recovery, bytes)?;
                    self.epochs.begin(position, organisation.chain_key, base);
                }
                self.succession_bytes = self.succession_bytes.saturating_add(bytes);
                self.organisation = (**organisation).clone();
                self.refresh_keys();
            }
            Payload::Credential(credential, _) => {
                if let Some(record) = credential.authority.and_then(|id| self.authorities.get_mut(&id)) {
                    let authority = credential.authority.unwrap_or(AuthorityId::from(verified.id()));
                    record.credential = (**credential).clone();
                    self.keys.insert(credential.key.id(), authority);
                    self.public_keys.insert(credential.key.id(), credential.key);
                    self.advance(verified);
                    return Ok(());
                }
                let authority = AuthorityId::from(verified.id());
                let (depth, root) = match credential.issuer.and_then(|id| self.authorities.get(&id)) {
                    Some(issuer) => (issuer.depth.saturating_add(1), issuer.root),
                    None => (0, authority),
                };
                self.keys.insert(credential.key.id(), authority);
                self.public_keys.insert(credential.key.id(), credential.key);
                let record = AuthorityRecord {
                    credential: (**credential).clone(),
                    issued_at: position,
                    suspensions: Vec::new(),
                    revoked_at: None,
                    compromised_since: None,
                    compromised_at: None,
                    depth,
                    root,
                };
                self.authorities.insert(authority, record);
            }
            Payload::Revocation(revocation, _) => {
                if let Some(record) = self.authorities.get_mut(&revocation.authority) {
                    record.revoked_at = Some(position);
                    record.compromised_since = revocation.compromised_since;
                    record.compromised_at = revocation.compromised_at;
                }
            }
            Payload::Suspension(suspension, _) => {
                if let Some(record) = self.authorities.get_mut(&suspension.authority) {
                    match record.suspensions.last_mut().filter(|_| suspension.lifted) {
                        Some(last) => last.1 = Some(position),
                        None => record.suspensions.push((position, None)),
                    }
                }
            }
            Payload::Status(status) => self.status = Some((position, status.clone())),
            Payload::Approval(activation) => {
                if let Signatory::Authority(authority) = verified.signatory() {
                    self.approvals.insert(authority, activation.clone());
                }
            }
            // What was approved is in force now, or something else is.
            Payload::Activation(_) => self.approvals.clear(),
            Payload::Node(binding) => {
                self.nodes.insert(binding.peer_key.id(), (**binding).clone());
            }
            _ => {}
        }
        self.advance(verified);
        Ok(())
    }

    fn advance(&mut self, verified: &Verified) {
        if verified.kind().is_standing() {
            self.standing = self.standing.with(verified.position(), verified.id());
        }
        self.size = verified.position().size_with();
    }

    /// Folds a standing statement of which only place and id are known. The digest over all of them comes out; what it says is
    /// not in force here.
    pub fn pass_over(&mut self, position: Position, statement: StatementId) {
        self.standing = self.standing.with(position, statement);
        self.size = position.size_with();
    }

    /// Folds all positions before `next` whose statements this reader does not see: only their digests are known.
    ///
    /// What is withheld is never a standing statement, or the standing digest of the next head would not come out.
    pub fn skip_to(&mut self, next: Position) {
        self.size = self.size.max(TreeSize(next.0));
    }

    fn refresh_keys(&mut self) {
        self.root_ids = self.organisation.root_keys.iter().map(PublicKey::id).collect();
        for key in &self.organisation.root_keys {
            self.public_keys.insert(key.id(), *key);
        }
    }
}
