//! Signing as one of the organisation's authorities, and appending.

use std::sync::PoisonError;

use counterfoil_protocol::codec;
use counterfoil_protocol::identity::Standing;
use counterfoil_protocol::ids::{
    AuthorityId, ByteString, HeadSeq, OrganisationId, Position, StatementId, Timestamp, TreeSize,
};
use counterfoil_protocol::keys::{PublicKey, Signer as _};
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
        })
    }
}

impl Node {
    /// Signs and appends. The answer comes when the statement is durable and its head is locked.
    ///
    /// # Errors
    /// [`ServiceError`]; nothing was changed then.
    pub fn say(&self, say: Say) -> Result<Said, ServiceError> {
        Payload::decode(say.kind, &say.payload.0)
            .map_err(|error| ServiceError::caller("payload", format!("{} statement: {error}", say.kind)))?;
        let role = self.role_of(say.authority.as_deref().unwrap_or(STEWARD))?;
        let key = {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            keys.key(&authority_key_name(&role))
        };
        let key = key.ok_or_else(|| {
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

    /// Makes and keeps a key for a new authority with this role. It signs nothing before its credential is in the chain.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn new_authority_key(&self, role: &str) -> Result<PublicKey, ServiceError> {
        let name = authority_key_name(role);
        let state = self.runtime.state();
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.key(&name) {
            let id = key.public_key().id();
            if state.public_key(&id).is_none() {
                // Made earlier, and its credential never came: use it now.
                return Ok(key.public_key());
            }
            let now = self.now();
            let is_in_force = state.authority_of(&id).is_some_and(|authority| {
                state.standing_at(&authority, state.next_position(), now) == Standing::InForce
            });
            if is_in_force {
                let text = format!("there is an authority {role:?} already; choose another role");
                return Err(ServiceError::refused("duplicate", text));
            }
        }
        let key = keys.generate(&name);
        keys.save(&self.data.node_keys_path(), &self.passphrase).map_err(crate::data::DataError::from)?;
        Ok(key.public_key())
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
            let here = keys.key(&authority_key_name(&credential.role));
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
                key_here: here.is_some_and(|key| key.public_key() == credential.key),
            }
        };
        Ok(state.authorities().iter().map(|(id, record)| view(id, record)).collect())
    }
}
