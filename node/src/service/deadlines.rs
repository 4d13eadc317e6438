//! Deadlines of effects: which permits are due, and which were not heard of.
//!
//! Everything follows from the own chain, which is read once from its beginning and then as it grows. So a restart forgets
//! nothing, and what is found undone is done.

use std::collections::BTreeSet;

use counterfoil_protocol::admissibility::Verdict;
use counterfoil_protocol::codec;
use counterfoil_protocol::ids::{Position, StatementId, Timestamp};
use counterfoil_protocol::limits::PAYLOAD_BYTES_MAX;
use counterfoil_protocol::statement::{Kind, Payload, Statement};

use super::{Node, ServiceError, covered};
use crate::store::StoredEntry;

/// Statements that are read at a time.
const READ_MAX: u64 = 4_096;
/// Permits that are awaited at a time; beyond, reading goes on when some are due.
const AWAITED_MAX: usize = 1 << 20;

/// What is awaited, and how far the own chain was read.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    read: u64,
    awaited: BTreeSet<(Timestamp, StatementId)>,
}

impl Deadlines {
    /// Reads on, and raises what is due.
    pub(super) fn look(&mut self, node: &Node) -> Result<(), ServiceError> {
        let size = covered(&node.view()?, &node.organisation()).0;
        let until = size.min(self.read.saturating_add(READ_MAX));
        while self.read < until && self.awaited.len() < AWAITED_MAX {
            self.take_in(node, Position(self.read))?;
            self.read += 1;
        }
        let now = node.now();
        while let Some((by, permit)) = self.awaited.first().copied().filter(|(by, _)| *by < now) {
            node.miss_effect(&permit, by)?;
            self.awaited.pop_first();
        }
        Ok(())
    }

    fn take_in(&mut self, node: &Node, position: Position) -> Result<(), ServiceError> {
        let entry = node.store().entry(&node.organisation(), position)?;
        let Some(StoredEntry::Statement(bytes)) = entry else { return Ok(()) };
        let Ok(statement) = Statement::parse(bytes) else { return Ok(()) };
        let kind = statement.header().kind;
        if !matches!(kind, Kind::Permit | Kind::Decision) {
            return Ok(());
        }
        match Payload::decode(kind, statement.payload()) {
            Ok(Payload::Permit(permit)) => {
                self.awaited.insert((permit.effect_by, statement.id()));
            }
            // A crash may have come between an override and what asks for its review.
            Ok(Payload::Decision(decision)) => {
                let verdict: Verdict = codec::decode(&decision.verdict.0, PAYLOAD_BYTES_MAX)?;
                if verdict.governed.as_ref().is_some_and(|governed| governed.overridden.is_some()) {
                    node.catch_up_review(&statement.id(), &verdict)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
