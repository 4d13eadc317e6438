//! The organisation statement: inception, then version after version.

use serde::{Deserialize, Serialize};

use super::credential::pattern_matches;
use super::recovery::{Recovery, RecoveryError};
use crate::ids::Bytes;
use crate::keys::PublicKey;
use crate::limits::{APPROVERS_MAX, LABEL_BYTES_MAX, PATTERNS_MAX, ROOT_KEYS_MAX};

/// Who has to stand behind the activation of profiles: so many authorities, each with one of these roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ActivationQuorum {
    /// How many authorities, the one that signs the activation included.
    pub approvals: u8,
    /// Roles that count, as patterns; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

impl ActivationQuorum {
    /// Whether an authority of this role counts.
    pub fn counts(&self, role: &str) -> bool {
        self.roles.is_empty() || self.roles.iter().any(|pattern| pattern_matches(pattern, role))
    }
}

/// What an organisation says about itself. Its first version is its inception, whose bytes give its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Organisation {
    /// Version, from zero.
    pub version: u64,
    /// Display name. Not unique; the id is.
    pub name: String,
    /// Domains that the organisation claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Jurisdictions that it acts under.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jurisdictions: Vec<String>,
    /// The organisation that owns this one; organisations with one parent are not independent of each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Root keys.
    pub root_keys: Vec<PublicKey>,
    /// How many root keys an act of the root needs.
    pub threshold: u8,
    /// Commitments to the next version's root keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_root_keys: Vec<Bytes<32>>,
    /// The key that signs checkpoints, heads and receipts.
    pub chain_key: PublicKey,
    /// The key that cosigns other organisations' checkpoints.
    pub witness_key: PublicKey,
    /// Who has to stand behind the activation of profiles; whoever may sign one, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_quorum: Option<ActivationQuorum>,
    /// Why this version has another chain key, and from where on; none where it has that of the version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Box<Recovery>>,
}

/// Why an organisation statement is not valid in itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrganisationError {
    /// Root keys are missing, too many, or repeated.
    #[error("{0} root keys, where 1 to {ROOT_KEYS_MAX} different ones are allowed")]
    RootKeys(usize),
    /// The threshold cannot be met, or is zero.
    #[error("threshold {threshold} of {keys} root keys")]
    Threshold {
        /// Declared threshold.
        threshold: u8,
        /// Declared keys.
        keys: usize,
    },
    /// The name is empty or too long.
    #[error("a name has 1 to {LABEL_BYTES_MAX} bytes")]
    Name,
    /// The quorum for activations asks for nobody, or for too much.
    #[error("an activation is approved by 1 to {APPROVERS_MAX} authorities, of at most {PATTERNS_MAX} roles")]
    ActivationQuorum,
    /// One key serves two purposes.
    #[error("root, chain and witness keys must all be different")]
    SharedKey,
    /// See the inner error.
    #[error("{0}")]
    Recovery(#[from] RecoveryError),
}

impl Organisation {
    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`OrganisationError`].
    pub fn check(&self) -> Result<(), OrganisationError> {
        let keys = self.root_keys.len();
        let mut ids: Vec<_> = self.root_keys.iter().map(PublicKey::id).collect();
        ids.sort();
        ids.dedup();
        if keys == 0 || keys > ROOT_KEYS_MAX || ids.len() != keys {
            return Err(OrganisationError::RootKeys(keys));
        }
        if self.threshold == 0 || usize::from(self.threshold) > keys {
            return Err(OrganisationError::Threshold { threshold: self.threshold, keys });
        }
        if self.name.is_empty() || self.name.len() > LABEL_BYTES_MAX {
            return Err(OrganisationError::Name);
        }
        if let Some(quorum) = &self.activation_quorum {
            let is_label = |role: &String| !role.is_empty() && role.len() <= LABEL_BYTES_MAX;
            let is_count = (1..=APPROVERS_MAX).contains(&usize::from(quorum.approvals));
            if !is_count || quorum.roles.len() > PATTERNS_MAX || !quorum.roles.iter().all(is_label) {
                return Err(OrganisationError::ActivationQuorum);
            }
        }
        let (chain, witness) = (self.chain_key.id(), self.witness_key.id());
        if chain == witness || ids.contains(&chain) || ids.contains(&witness) {
            return Err(OrganisationError::SharedKey);
        }
        match &self.recovery {
            Some(_) if self.version == 0 => Err(RecoveryError::Inception.into()),
            Some(recovery) => Ok(recovery.check()?),
            None => Ok(()),
        }
    }
}
