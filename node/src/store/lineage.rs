//! The lineage of everything in the store, in memory: made when it is first asked for, and brought up to date by reading
//! the entries that came since, and again from where one was revealed that had been withheld. What is on disk is the truth; this can be let go at any time.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use counterfoil_protocol::ids::{OrganisationId, Position};
use counterfoil_protocol::limits::LINEAGE_EDGES_MAX;
use counterfoil_protocol::lineage::index::{Index, Place};
use counterfoil_protocol::lineage::{activity_edges, edges};
use counterfoil_protocol::statement::{Payload, Statement};
use rocksdb::{Direction, IteratorMode};

use super::batch::STATEMENT;
use super::{Store, StoreError, family, key};

/// The graph, and what it was made from.
#[derive(Default)]
pub(super) struct Lineage {
    index: Index,
    /// Entries of each chain that were read.
    read: BTreeMap<OrganisationId, u64>,
    /// The store's state then; zero is that of a store that nothing was written to since it was opened.
    writes: Option<u64>,
}

impl Store {
    /// Reads the lineage as it is now. Numbers that it gives out stay as they are: it only grows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn lineage<T>(&self, read: impl FnOnce(&Index) -> T) -> Result<T, StoreError> {
        let writes = self.writes.load(Ordering::Acquire);
        {
            let known = self.lineage.read().unwrap_or_else(PoisonError::into_inner);
            if known.writes == Some(writes) {
                return Ok(read(&known.index));
            }
        }
        let mut known = self.lineage.write().unwrap_or_else(PoisonError::into_inner);
        if known.writes.is_none_or(|seen| seen < writes) {
            self.catch_up(&mut known)?;
            known.writes = Some(writes);
        }
        Ok(read(&known.index))
    }

    fn catch_up(&self, lineage: &mut Lineage) -> Result<(), StoreError> {
        let revealed = std::mem::take(&mut *self.revealed.lock().unwrap_or_else(PoisonError::into_inner));
        for (organisation, position) in revealed {
            if let Some(read) = lineage.read.get_mut(&organisation) {
                *read = position.0.min(*read);
            }
        }
        for organisation in self.organisations(family::CHAINS)? {
            let from = lineage.read.get(&organisation).copied().unwrap_or_default();
            let start = key(&organisation, from);
            let mode = IteratorMode::From(&start, Direction::Forward);
            let mut next = from;
            for item in self.db.iterator_cf(self.family(family::ENTRIES)?, mode) {
                let (key, value) = item.map_err(|error| self.database(error))?;
                let damaged = || StoreError::Damaged(format!("an entry of {organisation}"));
                let Some((owner, place)) = key.split_first_chunk::<32>() else { return Err(damaged()) };
                if owner != organisation.as_bytes() {
                    break;
                }
                let position = Position(u64::from_be_bytes(place.try_into().map_err(|_| damaged())?));
                next = position.0 + 1;
                let Some((&STATEMENT, bytes)) = value.split_first() else { continue };
                let statement = Statement::parse(bytes).map_err(|_| damaged())?;
                let header = statement.header();
                let payload = Payload::decode(header.kind, statement.payload()).map_err(|_| damaged())?;
                let place = Place { organisation, position, issued_at: header.issued_at };
                let id = statement.id();
                let mut asserted = edges(id, &payload);
                asserted.extend(activity_edges(id, &payload));
                lineage.index.insert(id, &place, &asserted).map_err(|_| StoreError::TooMany {
                    what: "edges in the lineage",
                    max: LINEAGE_EDGES_MAX,
                })?;
            }
            lineage.read.insert(organisation, next);
        }
        Ok(())
    }
}
