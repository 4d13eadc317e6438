//! The standing digest: a running hash over all standing statements of a chain.
//!
//! Each signed head carries it. Whoever receives a copy of a chain, or a bundle that leaves most statements out, can
//! therefore tell that no revocation, recall, expulsion or activation was left out along with them: the digest would
//! not come out right.

use serde::{Deserialize, Serialize};

use crate::digest::{blake3_in, context};
use crate::ids::{Bytes, Position, StatementId};

/// Digest over the standing statements of a chain up to some position, in chain order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StandingDigest(Bytes<32>);

impl StandingDigest {
    /// The digest over no statement.
    pub const EMPTY: Self = Self(Bytes([0; 32]));

    /// This digest with one more statement.
    #[must_use]
    pub fn with(self, position: Position, statement: StatementId) -> Self {
        let parts: [&[u8]; 3] = [&self.0.0, &position.0.to_be_bytes(), statement.as_bytes()];
        Self(Bytes(blake3_in(context::STANDING, &parts)))
    }
}
