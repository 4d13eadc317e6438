//! The end of an authority, its interruption, and the list of both.

use serde::{Deserialize, Serialize};

use crate::ids::{AuthorityId, Position, Timestamp};

/// Ends an authority from the position of this statement on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The authority that ends.
    pub authority: AuthorityId,
    /// Why.
    pub reason: String,
    /// From where on the key may have been in other hands: what it signed from this position on no longer stands, but for
    /// what a quorum of witnesses had seen before [`Self::compromised_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromised_since: Option<Position>,
    /// When the key may have come into other hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromised_at: Option<Timestamp>,
}

/// Interrupts an authority from the position of this statement on, or ends its interruption. Whoever stands on its word
/// is interrupted with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspension {
    /// The authority.
    pub authority: AuthorityId,
    /// Why.
    pub reason: String,
    /// Whether this ends an earlier suspension.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lifted: bool,
}

/// The authorities that are revoked or suspended at the position of this statement, for those who hold only a few
/// statements of the chain. It is refused when it is not what the chain itself says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Revoked authorities, in the order of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<AuthorityId>,
    /// Suspended authorities, in the order of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspended: Vec<AuthorityId>,
    /// By when the next status follows. Later than that this one says nothing about the present.
    pub next_by: Timestamp,
}

impl Status {
    /// Whether nobody is revoked or suspended.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty() && self.suspended.is_empty()
    }

    /// Whether it says anything about `now`. What is too old means *unknown*, which is never good.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now <= self.next_by
    }
}
