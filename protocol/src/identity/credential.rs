//! Credentials: what makes a key an authority, and how far that authority goes.

use serde::{Deserialize, Serialize};

use crate::actuation::OverrideBudget;
use crate::ids::{AuthorityId, Timestamp};
use crate::keys::PublicKey;
use crate::limits::LABEL_BYTES_MAX;
use crate::statement::Kind;

/// What an authority is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorityKind {
    /// A person in a role.
    HumanRole,
    /// An automated sensor.
    Sensor,
    /// A model.
    Model,
    /// A service.
    Service,
    /// A body outside the organisation, acting under its credential.
    ExternalBody,
}

/// What an authority may sign. Patterns match whole, or as a prefix when they end with `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Statement kinds.
    pub kinds: Vec<Kind>,
    /// Claim types, for observations. None given means none allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// Primary subjects. None given means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
}

/// Evidence that an authority is able to do what it is credentialed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Competence {
    /// What it is competent in.
    pub what: String,
    /// Who found so.
    pub by: String,
    /// Until when.
    pub until: Timestamp,
}

/// Makes a key an authority of the organisation in whose chain this stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The authority's key.
    pub key: PublicKey,
    /// What the authority is.
    pub kind: AuthorityKind,
    /// Its role, such as `clinical-safety-officer`.
    pub role: String,
    /// What it may sign.
    pub scopes: Vec<Scope>,
    /// Where it may act; none means wherever its organisation may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jurisdictions: Vec<String>,
    /// What shows that it can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub competence: Vec<Competence>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid, if limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// How many further levels of credentials it may issue; zero means that it may issue none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delegation: u8,
    /// The authority that issues this credential; none when the root keys do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<AuthorityId>,
    /// The authority that this credential gives a new key; none when it makes a new authority. An authority outlives its
    /// keys: it keeps its id, kind and role, and its former key signs nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<AuthorityId>,
    /// How often it may override a verdict in an emergency; never where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<OverrideBudget>,
}

fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// Why a credential is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The role is empty or too long.
    #[error("a role has 1 to {LABEL_BYTES_MAX} bytes")]
    Role,
    /// It allows nothing.
    #[error("it has no scope, so it would allow nothing")]
    NoScope,
    /// A budget that allows nothing.
    #[error("a budget of overrides has one at least, in one second at least")]
    Overrides,
    /// It ends before it begins.
    #[error("it expires at {expires}, before it is valid at {not_before}")]
    Validity {
        /// Declared start.
        not_before: Timestamp,
        /// Declared end.
        expires: Timestamp,
    },
    /// It allows more than its issuer's credential does.
    #[error("it goes beyond its issuer's credential: {0}")]
    Widens(&'static str),
}

/// Whether `pattern` matches `text`: whole, or as a prefix when it ends with `*`.
pub fn pattern_matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => pattern == text,
    }
}

/// Whether everything that `narrow` matches is matched by `wide` too.
pub fn pattern_covers(wide: &str, narrow: &str) -> bool {
    match (wide.strip_suffix('*'), narrow.strip_suffix('*')) {
        (Some(wide), Some(narrow)) => narrow.starts_with(wide),
        (Some(wide), None) => narrow.starts_with(wide),
        (None, Some(_)) => false,
        (None, None) => wide == narrow,
    }
}

impl Scope {
    /// Everything that an authority (not the root) can sign, for any claim and subject.
    pub fn everything() -> Self {
        let root_only = [Kind::Organisation];
        let kinds = Kind::ALL.iter().copied().filter(|kind| !root_only.contains(kind)).collect();
        Self { kinds, claims: vec!["*".into()], subjects: Vec::new() }
    }

    /// Whether a statement of this kind, claim and subject is inside the scope.
    pub fn covers(&self, kind: Kind, claim: Option<&str>, subject: Option<&str>) -> bool {
        self.kinds.contains(&kind)
            && claim.is_none_or(|claim| self.claims.iter().any(|p| pattern_matches(p, claim)))
            && (self.subjects.is_empty()
                || subject.is_some_and(|s| self.subjects.iter().any(|p| pattern_matches(p, s))))
    }

    fn contains(&self, narrow: &Self) -> bool {
        narrow.kinds.iter().all(|kind| self.kinds.contains(kind))
            && narrow.claims.iter().all(|n| self.claims.iter().any(|w| pattern_covers(w, n)))
            && (self.subjects.is_empty()
                || !narrow.subjects.is_empty()
                    && narrow.subjects.iter().all(|n| self.subjects.iter().any(|w| pattern_covers(w, n))))
    }
}

impl Credential {
    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn check(&self) -> Result<(), CredentialError> {
        if self.role.is_empty() || self.role.len() > LABEL_BYTES_MAX {
            return Err(CredentialError::Role);
        }
        if self.scopes.iter().all(|scope| scope.kinds.is_empty()) {
            return Err(CredentialError::NoScope);
        }
        if self.overrides.is_some_and(|budget| budget.count == 0 || budget.window_s == 0) {
            return Err(CredentialError::Overrides);
        }
        match self.expires {
            Some(expires) if expires < self.not_before => {
                Err(CredentialError::Validity { not_before: self.not_before, expires })
            }
            _ => Ok(()),
        }
    }

    /// Checks that this credential, issued under `issuer`, allows nothing that `issuer` does not.
    ///
    /// # Errors
    /// [`CredentialError::Widens`].
    pub fn check_narrower_than(&self, issuer: &Self) -> Result<(), CredentialError> {
        let widens = CredentialError::Widens;
        if self.delegation >= issuer.delegation {
            return Err(widens("delegation depth"));
        }
        if !self.scopes.iter().all(|narrow| issuer.scopes.iter().any(|wide| wide.contains(narrow))) {
            return Err(widens("scope"));
        }
        if !issuer.jurisdictions.is_empty()
            && (self.jurisdictions.is_empty()
                || !self.jurisdictions.iter().all(|j| issuer.jurisdictions.contains(j)))
        {
            return Err(widens("jurisdictions"));
        }
        let is_within = |own: OverrideBudget| {
            issuer.overrides.is_some_and(|wide| own.count <= wide.count && own.window_s >= wide.window_s)
        };
        if !self.overrides.is_none_or(is_within) {
            return Err(widens("overrides"));
        }
        let outlives = match (self.expires, issuer.expires) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(own), Some(limit)) => own > limit,
        };
        if outlives || self.not_before < issuer.not_before {
            return Err(widens("validity"));
        }
        Ok(())
    }

    /// Whether one of the scopes covers a statement.
    pub fn covers(&self, kind: Kind, claim: Option<&str>, subject: Option<&str>) -> bool {
        self.scopes.iter().any(|scope| scope.covers(kind, claim, subject))
    }

    /// Whether `time` is inside the validity.
    pub fn is_valid_at(&self, time: Timestamp) -> bool {
        self.not_before <= time && self.expires.is_none_or(|expires| time <= expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(kinds: &[Kind], claims: &[&str], subjects: &[&str]) -> Scope {
        let texts = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Scope { kinds: kinds.to_vec(), claims: texts(claims), subjects: texts(subjects) }
    }

    #[test]
    fn scopes_cover_by_kind_claim_and_subject() {
        let scope = scope(&[Kind::Observation], &["evaluation/*"], &["name:triage*"]);
        assert!(scope.covers(Kind::Observation, Some("evaluation/clinical"), Some("name:triage-2")));
        assert!(!scope.covers(Kind::Observation, Some("provenance/slsa"), Some("name:triage-2")));
        assert!(!scope.covers(Kind::Observation, Some("evaluation/clinical"), Some("name:other")));
        assert!(!scope.covers(Kind::Observation, Some("evaluation/clinical"), None));
        assert!(!scope.covers(Kind::Recall, None, Some("name:triage-2")));
    }

    #[test]
    fn a_narrower_scope_is_contained_and_a_wider_one_is_not() {
        let wide = scope(&[Kind::Observation, Kind::Link], &["evaluation/*"], &["name:a*"]);
        assert!(wide.contains(&scope(&[Kind::Observation], &["evaluation/clinical"], &["name:ab"])));
        assert!(!wide.contains(&scope(&[Kind::Recall], &["evaluation/clinical"], &["name:ab"])));
        assert!(!wide.contains(&scope(&[Kind::Link], &["*"], &["name:ab"])));
        assert!(!wide.contains(&scope(&[Kind::Link], &["evaluation/x"], &[])));
    }
}
