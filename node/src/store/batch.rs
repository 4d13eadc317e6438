//! Writing: one atomic, synced batch for each `Persist` effect.

use std::collections::{BTreeMap, btree_map};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use counterfoil_federation::effect::Write;
use counterfoil_protocol::chain::tile::{TileCursor, bytes_of, hashes_of};
use counterfoil_protocol::chain::{CompactRange, Hash, Head};
use counterfoil_protocol::codec;
use counterfoil_protocol::ids::{ByteString, OrganisationId, Position, TreeSize};
use counterfoil_protocol::statement::Verified;
use rocksdb::{WriteBatch, WriteOptions};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, family, key, tile_key};

/// First byte of an entry whose statement is here.
pub(super) const STATEMENT: u8 = 1;
/// First byte of an entry whose digest alone is here.
pub(super) const WITHHELD: u8 = 0;

/// What is kept for each chain as a whole.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChainRecord {
    pub(super) range: CompactRange,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) head: Option<ByteString>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) cosignatures: Vec<String>,
}

/// Largest encoded [`ChainRecord`].
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;

impl Store {
    /// Writes all of `writes` or nothing, and syncs.
    ///
    /// # Errors
    /// [`StoreError`]; when it is [`StoreError::Database`] it is unknown what is on disk.
    pub fn persist(&self, writes: &[Write]) -> Result<(), StoreError> {
        // The writer alone takes this lock: it keeps batches whole and in order.
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = WriteBatch::default();
        let mut touched: Vec<OrganisationId> = Vec::new();
        let mut records: BTreeMap<OrganisationId, ChainRecord> = Default::default();
        for write in writes {
            match write {
                Write::Statement(verified) => {
                    let (organisation, position) = (verified.organisation(), verified.position());
                    self.put(verified, &mut batch)?;
                    if verified.kind().is_standing() {
                        batch.put_cf(self.family(family::STANDING)?, key(&organisation, position.0), []);
                    }
                    self.grow(&mut cursors, organisation, position, verified.leaf_digest().leaf_hash())?;
                    touched.push(organisation);
                }
                Write::Revealed(verified) => {
                    self.put(verified, &mut batch)?;
                    let place = key(&verified.organisation(), verified.position().0);
                    batch.delete_cf(self.family(family::WITHHELD)?, place);
                }
                Write::Withheld { organisation, position, digest } => {
                    let mut value = vec![WITHHELD];
                    value.extend_from_slice(&digest.0);
                    batch.put_cf(self.family(family::ENTRIES)?, key(organisation, position.0), value);
                    batch.put_cf(self.family(family::WITHHELD)?, key(organisation, position.0), []);
                    self.grow(&mut cursors, *organisation, *position, digest.leaf_hash())?;
                    touched.push(*organisation);
                }
                Write::Tree { organisation, range } => {
                    self.record(&mut records, *organisation)?.range = range.clone();
                }
                Write::Head(head) => {
                    let record = self.record(&mut records, head.organisation())?;
                    record.head = Some(ByteString(head.bytes().to_vec()));
                    record.cosignatures.clear();
                }
                Write::Cosignatures { organisation, size, lines } => {
                    let record = self.record(&mut records, *organisation)?;
                    record.cosignatures = lines.iter().map(|line| line.as_ref().to_owned()).collect();
                    let head = record.head.as_ref().and_then(|head| Head::parse(head.0.as_slice()).ok());
                    if let Some(head) = head.filter(|head| head.claimed_size() == *size) {
                        let checkpoint = head.note().to_string() + &lines.concat();
                        let place = key(organisation, size.0);
                        batch.put_cf(self.family(family::COSIGNED)?, place, checkpoint);
                    }
                }
                Write::Misbehaviour { organisation, proof } => {
                    batch.put_cf(self.family(family::MISBEHAVIOUR)?, organisation.as_bytes(), proof);
                }
            }
        }
        touched.dedup();
        for organisation in touched {
            let Some(cursor) = cursors.get_mut(&organisation) else { continue };
            let dirty = cursor.take_dirty();
            for (tile, hashes) in dirty {
                batch.put_cf(self.family(family::TILES)?, tile_key(&organisation, tile), bytes_of(&hashes));
            }
        }
        for (organisation, record) in records {
            batch.put_cf(self.family(family::CHAINS)?, organisation.as_bytes(), codec::encode(&record)?);
        }
        self.write_synced(batch)?;
        self.note_revealed(writes);
        self.writes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Writes a batch, all of it or nothing, and waits until the disk has it.
    pub(super) fn write_synced(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(|error| self.database(error))
    }

    /// The lineage may have gone past a statement that came only now.
    fn note_revealed(&self, writes: &[Write]) {
        for write in writes {
            if let Write::Revealed(verified) = write {
                let mut revealed = self.revealed.lock().unwrap_or_else(PoisonError::into_inner);
                let first = revealed.entry(verified.organisation()).or_insert(verified.position());
                *first = verified.position().min(*first);
            }
        }
    }

    /// Puts a statement into its place, and into the indexes.
    fn put(&self, verified: &Verified, batch: &mut WriteBatch) -> Result<(), StoreError> {
        let (organisation, position) = (verified.organisation(), verified.position());
        let mut value = Vec::with_capacity(verified.bytes().len() + 1);
        value.push(STATEMENT);
        value.extend_from_slice(verified.bytes());
        batch.put_cf(self.family(family::ENTRIES)?, key(&organisation, position.0), value);
        let mut short = [0; 12];
        let (number, at) = short.split_at_mut(4);
        number.copy_from_slice(&self.number(&organisation, batch)?.to_be_bytes());
        at.copy_from_slice(&position.0.to_be_bytes());
        batch.put_cf(self.family(family::IDS)?, verified.id().as_bytes(), short);
        self.index(verified.statement(), verified.payload(), batch)
    }

    fn record<'r>(
        &self,
        records: &'r mut BTreeMap<OrganisationId, ChainRecord>,
        organisation: OrganisationId,
    ) -> Result<&'r mut ChainRecord, StoreError> {
        match records.entry(organisation) {
            btree_map::Entry::Occupied(known) => Ok(known.into_mut()),
            btree_map::Entry::Vacant(vacant) => {
                Ok(vacant.insert(self.read_record(&organisation)?.unwrap_or_default()))
            }
        }
    }

    pub(super) fn read_record(
        &self,
        organisation: &OrganisationId,
    ) -> Result<Option<ChainRecord>, StoreError> {
        let bytes = self
            .db
            .get_pinned_cf(self.family(family::CHAINS)?, organisation.as_bytes())
            .map_err(|error| self.database(error))?;
        bytes.map(|bytes| Ok(codec::decode(&bytes, RECORD_BYTES_MAX)?)).transpose()
    }

    /// Lets the chain's tiles grow by one leaf, which must be the next one.
    fn grow(
        &self,
        cursors: &mut BTreeMap<OrganisationId, TileCursor>,
        organisation: OrganisationId,
        position: Position,
        leaf: Hash,
    ) -> Result<(), StoreError> {
        let cursor = match cursors.entry(organisation) {
            btree_map::Entry::Occupied(known) => known.into_mut(),
            btree_map::Entry::Vacant(vacant) => {
                let size = self.read_record(&organisation)?.map_or(TreeSize(0), |record| record.range.size());
                vacant.insert(self.load_cursor(&organisation, size)?)
            }
        };
        if cursor.size().next_position() != position {
            let (position, size) = (position.0, cursor.size().0);
            return Err(StoreError::Gap { organisation, position, size });
        }
        cursor.append(leaf);
        Ok(())
    }

    fn load_cursor(&self, organisation: &OrganisationId, size: TreeSize) -> Result<TileCursor, StoreError> {
        let family = self.family(family::TILES)?;
        TileCursor::load(size, |tile| {
            let bytes = self.db.get_pinned_cf(family, tile_key(organisation, tile)).ok()??;
            hashes_of(&bytes)
        })
        .ok_or_else(|| StoreError::Damaged(format!("tiles of {organisation} are missing")))
    }
}
