//! What the driver's store must be able to tell: the state to start from, and entries to serve.

use std::sync::Arc;

use counterfoil_protocol::chain::CompactRange;
use counterfoil_protocol::chain::proof::{MissingSubtree, Subtrees, consistency_proof, root};
use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::ids::{ByteString, MeshId, OrganisationId, Position, TreeSize};
use counterfoil_protocol::mesh::{Audience, Charter};
use counterfoil_protocol::statement::Statement;

use crate::config::Config;
use crate::message::{Consistency, Entry, Page, Placed, Revealed};

/// A chain as it lies on disk.
#[derive(Debug, Clone)]
pub struct ChainSnapshot {
    /// Whose.
    pub organisation: OrganisationId,
    /// Its tree.
    pub range: CompactRange,
    /// Its standing statements in order, the inception first, with their positions.
    pub standing: Vec<(Position, Arc<[u8]>)>,
    /// Its latest head, as bytes.
    pub head: Option<Arc<[u8]>>,
    /// Signature lines on that head.
    pub cosignatures: Vec<Arc<str>>,
}

/// Everything that an engine starts from.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The chains, the own among them.
    pub chains: Vec<ChainSnapshot>,
    /// What the head lock holds.
    pub locked: Option<Arc<[u8]>>,
    /// The mesh that the organisation takes part in.
    pub mesh: Option<(MeshId, Charter)>,
    /// Organisations with which exchange is paused.
    pub paused: Vec<OrganisationId>,
    /// Organisations that misbehaved, each with the proof.
    pub misbehaved: Vec<(OrganisationId, Arc<[u8]>)>,
}

/// What serving entries needs of a store.
pub trait EntrySource: Subtrees {
    /// The entry at a position, as it is here.
    fn entry(&self, position: Position) -> Option<Entry>;
}

/// The page that answers a request for entries: what the audience may not read is withheld.
///
/// # Errors
/// [`MissingSubtree`] when the store does not have what is asked for.
pub fn page(
    source: &impl EntrySource,
    audience: &Audience,
    from: Position,
    size: TreeSize,
    config: &Config,
) -> Result<Page, MissingSubtree> {
    let missing = MissingSubtree { level: 0, index: from.0 };
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut next = from;
    while size.contains(next) && entries.len() < config.page_entries_max {
        let entry = shown(source.entry(next).ok_or(missing)?, audience);
        let length = match &entry {
            Entry::Statement(ByteString(statement)) => statement.len(),
            Entry::Withheld(_) => 32,
        };
        if bytes + length > config.page_bytes_max && !entries.is_empty() {
            break;
        }
        bytes += length;
        entries.push(entry);
        next = next.size_with().next_position();
    }
    if entries.is_empty() {
        return Err(missing);
    }
    let proof = consistency_proof(source, TreeSize(next.0), size)?;
    Ok(Page { from, entries, proof })
}

/// An entry as the audience may see it.
// INVARIANT(10): statements leave for a peer through here alone.
fn shown(entry: Entry, audience: &Audience) -> Entry {
    let Entry::Statement(bytes) = entry else { return entry };
    match Statement::parse(bytes.0.as_slice()) {
        Ok(statement) if audience.may_read(&statement) => Entry::Statement(bytes),
        _ => Entry::Withheld(LeafDigest::of(&bytes.0)),
    }
}

/// Those of the statements asked for that the audience may read.
pub fn revealed(
    source: &impl EntrySource,
    audience: &Audience,
    positions: &[Position],
    config: &Config,
) -> Revealed {
    let (mut statements, mut bytes) = (Vec::new(), 0);
    for position in positions {
        let Some(Entry::Statement(statement)) = source.entry(*position).map(|entry| shown(entry, audience))
        else {
            continue;
        };
        bytes += statement.0.len();
        if bytes > config.page_bytes_max && !statements.is_empty() {
            return Revealed { statements, next: Some(*position) };
        }
        statements.push(Placed { position: *position, statement });
    }
    Revealed { statements, next: None }
}

/// What the first `from` leaves of a tree of `to` leaves give.
///
/// # Errors
/// [`MissingSubtree`] when the store does not have what is asked for.
pub fn consistency(
    source: &impl Subtrees,
    from: TreeSize,
    to: TreeSize,
) -> Result<Consistency, MissingSubtree> {
    Ok(Consistency { root: root(source, from)?, proof: consistency_proof(source, from, to)? })
}
