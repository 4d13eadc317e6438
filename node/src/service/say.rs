//! Signing as one of the organisation's authorities, and appending.

use std::sync::PoisonError;

use counterfoil_protocol::codec;
use counterfoil_protocol::identity::{Competence, Credential, Organisation, OrganisationState, Standing};
use counterfoil_protocol::ids::{
    AuthorityId, ByteString, HeadSeq, OrganisationId, Position, StatementId, Timestamp, TreeSize,
};
use counterfoil_protocol::keys::{PublicKey, SecretKey, Signer as _};
use counterfoil_protocol::observation::sealed;
use counterfoil_protocol::statement::{Draft, Kind, Payload, Visibility};
use serde::{Deserialize, Serialize};

use super::{Node, ServiceError};
use crate::data::{STEWARD, authority_key_name};

/// Something to be said.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Say {
    /// What kind of statement.
    pub kind: Kind,
    /// Its payload in strict CBOR, as base32.
    pub payload: ByteString,
    /// Who says it, by role or id; the steward where nobody is named.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Primary subject, for people and indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Statements that it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<StatementId>,
    /// Who may read it.
    #[serde(default)]
    pub visibility: Visibility,
    /// Disclosures of the claims that it seals, for this node to keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disclosures: Vec<ByteString>,
}

/// What was said, durable and under a head.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Said {
    /// The statement.
    pub statement: StatementId,
    /// Whose chain.
    pub organisation: OrganisationId,
    /// Where.
    pub position: Position,
    /// Size of the chain under the head that covers it.
    pub size: TreeSize,
    /// Which head that is.
    pub seq: HeadSeq,
    /// When it was received, which is not when it took effect.
    pub received: Timestamp,
}

/// One authority, as the chain knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuthorityView {
    /// Its id.
    pub authority: AuthorityId,
    /// Its role.
    pub role: String,
    /// How it stands at present.
    pub standing: String,
    /// Levels of delegation between the root keys and it.
    pub depth: u8,
    /// The statement kinds that it may sign.
    pub kinds: Vec<Kind>,
    /// The claims that it may make.
    pub claims: Vec<String>,
    /// What it was found to be competent in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub competence: Vec<Competence>,
    /// Whether this node has its key.
    pub key_here: bool,
}

impl Say {
    /// Says `payload` as the steward, to the mesh.
    ///
    /// # Errors
    /// [`ServiceError`] when the payload has no strict encoding.
    pub fn new<T: Serialize>(kind: Kind, payload: &T) -> Result<Self, ServiceError> {
        Ok(Self {
            kind,
            payload: ByteString(codec::encode(payload)?),
            authority: None,
            subject: None,
            refs: Vec::new(),
            visibility: Visibility::Mesh,
            disclosures: Vec::new(),
        })
    }
}

impl Node {
    /// Signs and appends. The answer comes when the statement is durable and its head is locked.
    ///
    /// # Errors
    /// [`ServiceError`]; nothing was changed then.
    pub fn say(&self, say: Say) -> Result<Said, ServiceError> {
        let payload = Payload::decode(say.kind, &say.payload.0)
            .map_err(|error| ServiceError::caller("payload", format!("{} statement: {error}", say.kind)))?;
        if !say.disclosures.is_empty() {
            let disclosures: Vec<&[u8]> = say.disclosures.iter().map(|one| one.0.as_slice()).collect();
            let sealed = match &payload {
                Payload::Observation(observation) => observation.sealed.as_slice(),
                _ => &[],
            };
            sealed::open(sealed, &disclosures)
                .map_err(|error| ServiceError::caller("disclosure", error.to_string()))?;
            // Kept before the statement is: a seal that nobody can open would be of no use.
            self.store().keep_disclosures(&say.disclosures)?;
        }
        let role = self.role_of(say.authority.as_deref().unwrap_or(STEWARD))?;
        let key = self.authority_key(&role).ok_or_else(|| {
            let text = format!("this node has no key for an authority {role:?}; see `authority list`");
            ServiceError::refused("key", text)
        })?;
        let draft = Draft {
            kind: say.kind,
            organisation: Some(self.organisation()),
            subject: say.subject,
            issued_at: self.now(),
            refs: say.refs,
            visibility: say.visibility,
            payload: say.payload.0,
        };
        let signed =
            draft.sign(&key).map_err(|error| ServiceError::caller("statement-form", error.to_string()))?;
        self.append(signed.statement().bytes())
    }

    /// Appends a statement that was signed elsewhere.
    ///
    /// # Errors
    /// [`ServiceError`]; nothing was changed then.
    pub fn append(&self, bytes: &[u8]) -> Result<Said, ServiceError> {
        let appended = self.runtime.append(bytes)?;
        Ok(Said {
            statement: appended.statement,
            organisation: self.organisation(),
            position: appended.position,
            size: appended.head.size(),
            seq: appended.head.seq(),
            received: appended.head.issued_at(),
        })
    }

    /// The key with which the authority of this role signs: of the two that there are while it changes, the one that its
    /// credential names.
    fn authority_key(&self, role: &str) -> Option<SecretKey> {
        let state = self.runtime.state();
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let name = authority_key_name(role);
        let next = keys.key(&next_key_name(&name)).filter(|key| is_current(&state, key));
        next.or_else(|| keys.key(&name))
    }

    /// Makes and keeps a key for the authority with this role: its first, or the next if there is one in force. It signs
    /// nothing before its credential is in the chain, and until then its predecessor does.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn new_authority_key(&self, role: &str, succeeds: bool) -> Result<PublicKey, ServiceError> {
        let name = authority_key_name(role);
        let next = next_key_name(&name);
        let (state, now) = (self.runtime.state(), self.now());
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.key(&next).is_some_and(|key| is_current(&state, &key)) {
            keys.rename(&next, &name);
        }
        let standing = keys.key(&name).and_then(|key| state.authority_of(&key.public_key().id()));
        let standing = standing.map(|id| state.standing_at(&id, state.next_position(), now));
        match (succeeds, standing) {
            (false, Some(Standing::InForce | Standing::Suspended)) => {
                let text = format!(
                    "there is an authority {role:?} already; choose another role, or `authority rotate`"
                );
                return Err(ServiceError::refused("duplicate", text));
            }
            (true, None) => {
                let text = format!("this node has no key of an authority {role:?}; see `authority list`");
                return Err(ServiceError::refused("key", text));
            }
            _ => {}
        }
        let target = if succeeds { &next } else { &name };
        // Made earlier, and its credential never came: used now.
        let unused = keys.key(target).filter(|key| state.public_key(&key.public_key().id()).is_none());
        let key = match unused {
            Some(key) => key,
            None => keys.generate(target),
        };
        keys.save(&self.data.node_keys_path(), &self.passphrase).map_err(crate::data::DataError::from)?;
        Ok(key.public_key())
    }

    /// What the organisation says about itself at present.
    pub fn description(&self) -> Organisation {
        self.runtime.state().description().clone()
    }

    /// The chain keys of all epochs, the one in force first: receipts of earlier epochs stand.
    pub fn chain_keys(&self) -> Vec<PublicKey> {
        self.runtime.state().epochs().iter().rev().map(|epoch| epoch.key).collect()
    }

    /// The credential in force of an authority.
    ///
    /// # Errors
    /// [`ServiceError`] when there is no such authority.
    pub fn credential(&self, text: &str) -> Result<(AuthorityId, Credential), ServiceError> {
        let id = self.find_authority(text)?;
        let state = self.runtime.state();
        let record = state.authorities().get(&id);
        let record = record.ok_or_else(|| ServiceError::absent(format!("{id} is no authority here")))?;
        Ok((id, record.credential.clone()))
    }

    /// The role of the authority with this role or id.
    fn role_of(&self, text: &str) -> Result<String, ServiceError> {
        let Ok(id) = text.parse::<AuthorityId>() else { return Ok(text.to_owned()) };
        let state = self.runtime.state();
        state.authorities().get(&id).map(|record| record.credential.role.clone()).ok_or_else(|| {
            ServiceError::absent(format!("{id} is no authority of this organisation; see `authority list`"))
        })
    }

    /// The authority with this role or id; among several of one role the one in force.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn find_authority(&self, text: &str) -> Result<AuthorityId, ServiceError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let found = self.authorities()?.into_iter().filter(|authority| authority.role == text);
        found
            .max_by_key(|authority| authority.standing == Standing::InForce.to_string())
            .map(|authority| authority.authority)
            .ok_or_else(|| {
                ServiceError::absent(format!("there is no authority {text:?}; see `authority list`"))
            })
    }

    /// Every authority of the organisation.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn authorities(&self) -> Result<Vec<AuthorityView>, ServiceError> {
        let (state, now) = (self.runtime.state(), self.now());
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let view = |id: &AuthorityId, record: &counterfoil_protocol::identity::AuthorityRecord| {
            let credential = &record.credential;
            let name = authority_key_name(&credential.role);
            let here = [keys.key(&next_key_name(&name)), keys.key(&name)].into_iter().flatten();
            let mut kinds: Vec<Kind> =
                credential.scopes.iter().flat_map(|scope| scope.kinds.clone()).collect();
            kinds.sort();
            kinds.dedup();
            AuthorityView {
                authority: *id,
                role: credential.role.clone(),
                standing: state.standing_at(id, state.next_position(), now).to_string(),
                depth: record.depth,
                kinds,
                claims: credential.scopes.iter().flat_map(|scope| scope.claims.clone()).collect(),
                competence: credential.competence.clone(),
                key_here: here.map(|key| key.public_key()).any(|key| key == credential.key),
            }
        };
        Ok(state.authorities().iter().map(|(id, record)| view(id, record)).collect())
    }
}

/// The keystore's name for the key that is to follow another.
fn next_key_name(name: &str) -> String {
    format!("{name}/next")
}

/// Whether a key is the one that its authority signs with.
fn is_current(state: &OrganisationState, key: &SecretKey) -> bool {
    let id = key.public_key().id();
    let record = state.authority_of(&id).and_then(|authority| state.authorities().get(&authority));
    record.is_some_and(|record| record.credential.key.id() == id)
}
