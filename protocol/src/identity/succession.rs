//! The statements that lead from an inception to the chain keys of later epochs: what is needed to check a signature of one
//! of those keys, and nothing else of the chain.

use super::epoch::Epochs;
use super::state::OrganisationState;
use crate::ids::{ByteString, OrganisationId};
use crate::limits::SUCCESSION_BYTES_MAX;
use crate::statement::{Kind, Payload, Refusal, Statement, verify};

/// An inception and the organisation statements after it, up to the one that began the latest epoch they tell of.
#[derive(Debug, Clone)]
pub struct Succession {
    state: OrganisationState,
}

impl Succession {
    /// Walks from version to version, each with its thresholds. Positions take no part: where the statements stand in
    /// their chain is for those to check who have the chain.
    ///
    /// # Errors
    /// [`Refusal`], which names the failing check.
    pub fn walk(inception: &[u8], statements: &[ByteString]) -> Result<Self, Refusal> {
        let parse = |bytes: &[u8]| Statement::parse(bytes).map_err(Refusal::Form);
        let bytes: usize = statements.iter().map(|statement| statement.0.len()).sum();
        if bytes.saturating_add(inception.len()) > SUCCESSION_BYTES_MAX && !statements.is_empty() {
            let text = format!("a succession of epochs has at most {SUCCESSION_BYTES_MAX} bytes");
            return Err(Refusal::Identity(text));
        }
        let inception = parse(inception)?;
        let mut state = OrganisationState::from_inception(&inception)?;
        let mut follow = |statement: Statement| {
            let payload = Payload::decode(statement.header().kind, statement.payload());
            if let Ok(Payload::Organisation(next, _)) = &payload
                && let Some(Ok(base)) = next.recovery.as_deref().map(super::Recovery::head)
            {
                state.skip_to(base.claimed_size().next_position());
            }
            if statement.header().kind != Kind::Organisation {
                return Err(Refusal::Identity("a succession has organisation statements alone".into()));
            }
            let authentic = state.authenticate(statement)?;
            let verified = verify(&state, authentic)?;
            state.apply(&verified)
        };
        follow(inception)?;
        for bytes in statements {
            follow(parse(&bytes.0)?)?;
        }
        Ok(Self { state })
    }

    /// The organisation.
    pub const fn organisation(&self) -> OrganisationId {
        self.state.organisation()
    }

    /// The epochs. Where they began is not known.
    pub const fn epochs(&self) -> &Epochs {
        self.state.epochs()
    }
}
