//! Recognition: which foreign authorities an organisation accepts, and for which claims.

use serde::{Deserialize, Serialize};

use crate::identity::credential::pattern_matches;
use crate::ids::OrganisationId;

/// Accepts authorities of another organisation for some claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recognition {
    /// The other organisation.
    pub organisation: OrganisationId,
    /// Claim types, as patterns.
    pub claims: Vec<String>,
    /// Roles, as patterns; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

impl Recognition {
    /// Whether it accepts `role` of its organisation for `claim`.
    pub fn covers(&self, role: &str, claim: &str) -> bool {
        self.claims.iter().any(|pattern| pattern_matches(pattern, claim))
            && (self.roles.is_empty() || self.roles.iter().any(|pattern| pattern_matches(pattern, role)))
    }
}
