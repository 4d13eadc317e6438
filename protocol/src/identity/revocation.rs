//! Revocation: the end of a credential.

use serde::{Deserialize, Serialize};

use crate::ids::{AuthorityId, Position};

/// Ends an authority from the position of this statement on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The authority that ends.
    pub authority: AuthorityId,
    /// Why.
    pub reason: String,
    /// From where on the key may have been in other hands: what it signed from this position on no longer stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromised_since: Option<Position>,
}
