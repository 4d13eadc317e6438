//! The gate of an actuator: everything that it needs to accept a permit, in one function, without network or node.
//!
//! ```
//! use counterfoil_protocol::actuation::gate::{Seen, verify_permit};
//! use counterfoil_protocol::ids::{OrganisationId, Timestamp};
//!
//! /// Whether the pump may run: the file that came with the command, whose permits count, who this is, what time it is.
//! fn may_run(file: &[u8], hospital: OrganisationId, now: u64, seen: &mut Seen) -> bool {
//!     match verify_permit(file, &[hospital], "pump-7", Timestamp(now), seen) {
//!         Ok(granted) => granted.permit.scopes.get("ward").is_some_and(|wards| wards.contains(&"north".into())),
//!         Err(refusal) => {
//!             eprintln!("refused: {refusal} [{}]", refusal.check());
//!             false
//!         }
//!     }
//! }
//!
//! let mut seen = Seen::default();
//! let hospital = OrganisationId::from_bytes([7; 32]);
//! assert!(!may_run(b"not a permit", hospital, 1_700_000_000, &mut seen));
//! ```

use std::collections::BTreeSet;

use super::permit::{Permit, PermitError};
use crate::bundle::{self, Outcome};
use crate::ids::{OrganisationId, StatementId, Timestamp};
use crate::statement::Payload;

/// What an actuator remembers of the permits that it acted on. It has to outlive restarts of the actuator: a permit that
/// was forgotten could be used again.
pub trait SeenTokens {
    /// Notes a token, and says whether it was new. It may be forgotten after `expires`. When it cannot be noted, the
    /// answer is that it was not new.
    fn is_first(&mut self, giver: OrganisationId, token: &[u8], expires: Timestamp, now: Timestamp) -> bool;
}

/// Tokens in memory, for as long as their permits are valid and up to a number.
#[derive(Debug, Clone)]
pub struct Seen {
    tokens: BTreeSet<(Timestamp, OrganisationId, Vec<u8>)>,
    max: usize,
}

impl Seen {
    /// Nothing seen yet, and room for so many.
    pub const fn with_room_for(max: usize) -> Self {
        Self { tokens: BTreeSet::new(), max }
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self::with_room_for(1 << 16)
    }
}

impl SeenTokens for Seen {
    fn is_first(&mut self, giver: OrganisationId, token: &[u8], expires: Timestamp, now: Timestamp) -> bool {
        while self.tokens.first().is_some_and(|(expired, ..)| *expired < now) {
            self.tokens.pop_first();
        }
        // A full memory refuses, and never forgets what could still be used.
        self.tokens.len() < self.max && self.tokens.insert((expires, giver, token.to_vec()))
    }
}

/// A permit that may be acted on, now and once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The permit.
    pub permit: Permit,
    /// Its statement, by which the effect is reported.
    pub statement: StatementId,
    /// Who gave it.
    pub giver: OrganisationId,
    /// Whether the file holds the decision too, and it was computed again.
    pub is_decision_checked: bool,
}

/// Why an actuator must not act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermitRefusal {
    /// The file does not verify.
    #[error("{check}: {input}: {detail}")]
    File {
        /// The failing check.
        check: &'static str,
        /// On what.
        input: String,
        /// What is wrong.
        detail: String,
    },
    /// It is about something else, or about several things.
    #[error("the file proves no permit; a permit's file is about one")]
    NoPermit,
    /// Somebody else gave it.
    #[error("{0} gave it, whose permits do not count here")]
    Giver(OrganisationId),
    /// See the inner error.
    #[error("{0}")]
    Use(PermitError),
    /// It was used before.
    #[error("{0} was used before")]
    Used(StatementId),
}

impl PermitRefusal {
    /// The name of the check that failed, for programs.
    pub const fn check(&self) -> &'static str {
        match self {
            Self::File { check, .. } => check,
            Self::NoPermit => "permit",
            Self::Giver(_) => "trust",
            Self::Use(PermitError::Early(_)) => "permit-early",
            Self::Use(PermitError::Expired(_)) => "permit-expired",
            Self::Use(PermitError::Actuator { .. }) => "permit-actuator",
            Self::Use(_) => "permit-form",
            Self::Used(_) => "permit-used",
        }
    }
}

/// Verifies a permit's file: every signature and position in it, the decision where it is in the file, that one of
/// `givers` gave it to this actuator for now, and that it was not used here before. A permit that is refused stays unused.
///
/// # Errors
/// [`PermitRefusal`]: the actuator must not act.
pub fn verify_permit(
    file: &[u8],
    givers: &[OrganisationId],
    actuator: &str,
    now: Timestamp,
    seen: &mut impl SeenTokens,
) -> Result<Granted, PermitRefusal> {
    let (report, about) = bundle::open(file, None);
    if let Some(failed) = report.failures().next() {
        let (check, input, detail) = (failed.check, failed.input.clone(), failed.detail.clone());
        return Err(PermitRefusal::File { check, input, detail });
    }
    let [only] = about.as_slice() else { return Err(PermitRefusal::NoPermit) };
    let Payload::Permit(permit) = only.payload() else { return Err(PermitRefusal::NoPermit) };
    let giver = only.organisation();
    if !givers.contains(&giver) {
        return Err(PermitRefusal::Giver(giver));
    }
    permit.check_use(actuator, now).map_err(PermitRefusal::Use)?;
    if !seen.is_first(giver, &permit.token.0, permit.expires, now) {
        return Err(PermitRefusal::Used(only.id()));
    }
    let is_decision_checked = report.checks.iter().any(|check| {
        check.check == "decision"
            && check.outcome == Outcome::Passed
            && check.input == permit.decision.to_string()
    });
    Ok(Granted { permit: (**permit).clone(), statement: only.id(), giver, is_decision_checked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_memory_refuses_and_forgets_only_what_has_expired() {
        let giver = OrganisationId::from_bytes([1; 32]);
        let mut seen = Seen::with_room_for(2);
        let mut first = |token: u8, expires: u64, now: u64| {
            seen.is_first(giver, &[token], Timestamp(expires), Timestamp(now))
        };
        assert!(first(1, 100, 0));
        assert!(!first(1, 100, 0));
        assert!(first(2, 200, 0));
        assert!(!first(3, 300, 100));
        assert!(first(3, 300, 101));
        assert!(!first(2, 200, 101));
    }
}
