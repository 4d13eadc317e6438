//! The statements that lead from an inception to the chain keys of later epochs: what is needed to check a signature of one
//! of those keys, and nothing else of the chain.

use super::epoch::Epochs;
use super::state::OrganisationState;
use crate::chain::misbehaviour::Accused;
use crate::ids::{ByteString, KeyId, OrganisationId};
use crate::limits::SUCCESSION_BYTES_MAX;
use crate::statement::{Kind, Payload, Refusal, Statement, verify};

/// An inception and the organisation statements after it, up to the one that began the latest epoch they tell of.
#[derive(Debug, Clone)]
pub struct Succession {
    state: OrganisationState,
    inception: ByteString,
    statements: Vec<ByteString>,
    /// How many statements lead to each epoch, the first included.
    until: Vec<usize>,
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
        let first = parse(inception)?;
        let mut state = OrganisationState::from_inception(&first)?;
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
            state.apply(&verified)?;
            Ok(state.epochs().latest().number)
        };
        let mut epochs = follow(first)?;
        let mut until = vec![0];
        for (number, bytes) in statements.iter().enumerate() {
            let now = follow(parse(&bytes.0)?)?;
            if now > epochs {
                until.push(number.saturating_add(1));
            }
            epochs = now;
        }
        let inception = ByteString(inception.to_vec());
        Ok(Self { state, inception, statements: statements.to_vec(), until })
    }

    /// What leads to this chain key, if it is one of those that it tells of.
    pub fn accused(&self, key: &KeyId) -> Option<Accused> {
        let epoch = usize::try_from(self.epochs().of_key(key)?.number).ok()?;
        let succession = self.statements.get(..*self.until.get(epoch)?)?.to_vec();
        Some(Accused { inception: self.inception.clone(), succession })
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
