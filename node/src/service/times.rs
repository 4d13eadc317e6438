//! The time sandwich of one statement: what witnesses had seen before it and after it.

use std::collections::BTreeMap;

use counterfoil_protocol::chain::cosignature::{on_note, quorum_time};
use counterfoil_protocol::chain::note::Note;
use counterfoil_protocol::ids::{OrganisationId, Position, Timestamp};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::statement::{Kind, Payload, Statement};

use super::{Node, ServiceError};
use crate::runtime::View;
use crate::store::StoredEntry;

/// Most checkpoints and entries that are looked at.
const SEARCH_MAX: u64 = 10_000;

/// When a statement must have been made, whatever its author says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Its chain had embedded by then what witnesses had seen at this second.
    pub(super) not_before: Option<Timestamp>,
    /// A quorum of witnesses had seen at this second a tree that holds it.
    pub(super) not_after: Option<Timestamp>,
}

impl Node {
    pub(super) fn bounds(
        &self,
        view: &View,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Bounds, ServiceError> {
        let witnesses: BTreeMap<OrganisationId, PublicKey> = view
            .chains
            .iter()
            .map(|(id, replica)| (*id, replica.state().description().witness_key))
            .collect();
        let mut others = witnesses.clone();
        others.remove(organisation);
        let limit = usize::try_from(SEARCH_MAX).unwrap_or(usize::MAX);
        let seen = self.store().cosigned(organisation, position, limit)?;
        let not_after = seen.iter().find_map(|checkpoint| {
            let note = Note::parse(checkpoint).ok()?;
            let seen = on_note(&note, &others).ok()?;
            match &view.membership {
                Some(mesh) => mesh.witnessed(organisation, seen.values()),
                None => quorum_time(seen.values(), 1),
            }
        });
        let mut not_before = None;
        for at in (position.0.saturating_sub(SEARCH_MAX)..position.0).rev() {
            let entry = self.store().entry(organisation, Position(at))?;
            let Some(StoredEntry::Statement(bytes)) = entry else { continue };
            let Ok(statement) = Statement::parse(bytes) else { continue };
            if statement.header().kind != Kind::Anchor {
                continue;
            }
            if let Ok(Payload::Anchor(anchor)) = Payload::decode(Kind::Anchor, statement.payload()) {
                let seen = anchor.heads.iter().filter_map(|head| {
                    let mut others = witnesses.clone();
                    others.remove(&head.organisation);
                    let note = Note::parse(&head.checkpoint.0).ok()?;
                    on_note(&note, &others).ok()?.values().map(|cosignature| cosignature.time).max()
                });
                not_before = seen.max();
            }
            break;
        }
        Ok(Bounds { not_before, not_after })
    }
}
