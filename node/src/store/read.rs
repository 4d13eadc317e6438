//! Reading: what an engine starts from, entries and proofs, and the check of everything.

use std::sync::Arc;

use counterfoil_federation::Checked;
use counterfoil_federation::message::Entry;
use counterfoil_federation::replica::Replica;
use counterfoil_federation::store::{ChainSnapshot, EntrySource, Snapshot};
use counterfoil_protocol::chain::proof::Subtrees;
use counterfoil_protocol::chain::tile::{TileId, TileSubtrees, hashes_of};
use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::chain::{CompactRange, Hash, Head};
use counterfoil_protocol::ids::{ByteString, OrganisationId, Position, StatementId};
use counterfoil_protocol::statement::{Kind, Payload, Statement};
use rocksdb::{Direction, IteratorMode};

use super::batch::{ChainRecord, STATEMENT, WITHHELD};
use super::{Store, StoreError, family, key, tile_key};

/// One chain of the store, for proofs and entries.
pub struct StoredChain<'a> {
    store: &'a Store,
    organisation: OrganisationId,
}

/// One entry as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredEntry {
    /// The statement's bytes.
    Statement(Arc<[u8]>),
    /// The digest of a statement that was withheld from this node.
    Withheld(LeafDigest),
}

/// A statement and where it stands.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Whose chain.
    pub organisation: OrganisationId,
    /// Where.
    pub position: Position,
    /// The statement.
    pub statement: Statement,
}

/// What a check of the store found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fsck {
    /// Chains checked.
    pub chains: usize,
    /// Entries whose bytes and place in the tree were checked.
    pub entries: u64,
    /// What is wrong; nothing when all is well.
    pub damage: Vec<String>,
}

impl Store {
    /// What an engine starts from, without the head lock.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut snapshot = Snapshot::default();
        for organisation in self.organisations(family::CHAINS)? {
            let Some(record) = self.read_record(&organisation)? else { continue };
            snapshot.chains.push(self.chain_snapshot(&organisation, record)?);
        }
        for organisation in self.organisations(family::MISBEHAVIOUR)? {
            if let Some(proof) = self.misbehaviour(&organisation)? {
                snapshot.misbehaved.push((organisation, proof.into()));
            }
        }
        let paused = self.pauses()?.into_iter().filter(|(_, pause)| pause.resumed.is_none());
        snapshot.paused = paused.map(|(organisation, _)| organisation).collect();
        snapshot.mesh = self.mesh()?.map(|(mesh, charter, _)| (mesh, charter));
        Ok(snapshot)
    }

    fn chain_snapshot(
        &self,
        organisation: &OrganisationId,
        record: ChainRecord,
    ) -> Result<ChainSnapshot, StoreError> {
        let mut standing = Vec::new();
        for position in self.standing_positions(organisation)? {
            match self.entry(organisation, position)? {
                Some(StoredEntry::Statement(bytes)) => standing.push((position, bytes)),
                _ => {
                    let what = format!("standing statement {position} of {organisation}");
                    return Err(StoreError::Damaged(what));
                }
            }
        }
        Ok(ChainSnapshot {
            organisation: *organisation,
            range: record.range,
            standing,
            head: record.head.map(|head| head.0.into()),
            cosignatures: record.cosignatures.into_iter().map(Into::into).collect(),
        })
    }

    pub(super) fn organisations(&self, name: &str) -> Result<Vec<OrganisationId>, StoreError> {
        let mut found = Vec::new();
        for item in self.db.iterator_cf(self.family(name)?, IteratorMode::Start) {
            let (key, _) = item.map_err(|error| self.database(error))?;
            let bytes = <[u8; 32]>::try_from(key.as_ref())
                .map_err(|_| StoreError::Damaged(format!("a key of family {name}")))?;
            found.push(OrganisationId::from_bytes(bytes));
        }
        Ok(found)
    }

    fn standing_positions(&self, organisation: &OrganisationId) -> Result<Vec<Position>, StoreError> {
        let mut found = Vec::new();
        let start = key(organisation, 0);
        let mode = IteratorMode::From(&start, Direction::Forward);
        for item in self.db.iterator_cf(self.family(family::STANDING)?, mode) {
            let (key, _) = item.map_err(|error| self.database(error))?;
            match key.split_first_chunk::<32>() {
                Some((owner, position)) if owner == organisation.as_bytes() => {
                    let position =
                        position.try_into().map_err(|_| StoreError::Damaged("a standing key".into()))?;
                    found.push(Position(u64::from_be_bytes(position)));
                }
                _ => break,
            }
        }
        Ok(found)
    }

    /// The entry at a place: the statement's bytes, or its digest where it is withheld.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entry(
        &self,
        organisation: &OrganisationId,
        position: Position,
    ) -> Result<Option<StoredEntry>, StoreError> {
        let value = self
            .db
            .get_pinned_cf(self.family(family::ENTRIES)?, key(organisation, position.0))
            .map_err(|error| self.database(error))?;
        let Some(value) = value else { return Ok(None) };
        match value.split_first() {
            Some((&STATEMENT, bytes)) => Ok(Some(StoredEntry::Statement(bytes.into()))),
            Some((&WITHHELD, digest)) if digest.len() == 32 => {
                let digest = digest.try_into().unwrap_or([0; 32]);
                Ok(Some(StoredEntry::Withheld(LeafDigest(digest))))
            }
            _ => Err(StoreError::Damaged(format!("entry {position} of {organisation}"))),
        }
    }

    /// Entries of a chain that are digests alone, from a position on, at most `max`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn lacking(
        &self,
        organisation: &OrganisationId,
        from: Position,
        max: usize,
    ) -> Result<Vec<(Position, LeafDigest)>, StoreError> {
        let start = key(organisation, from.0);
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut found = Vec::new();
        for item in self.db.iterator_cf(self.family(family::WITHHELD)?, mode).take(max) {
            let (key, _) = item.map_err(|error| self.database(error))?;
            let Some((owner, position)) = key.split_first_chunk::<32>() else { break };
            if owner != organisation.as_bytes() {
                break;
            }
            let position = position.try_into().map_err(|_| StoreError::Damaged("a withheld key".into()))?;
            let position = Position(u64::from_be_bytes(position));
            if let Some(StoredEntry::Withheld(digest)) = self.entry(organisation, position)? {
                found.push((position, digest));
            }
        }
        Ok(found)
    }

    /// Where a statement stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn place(&self, statement: &StatementId) -> Result<Option<(OrganisationId, Position)>, StoreError> {
        let value = self
            .db
            .get_pinned_cf(self.family(family::IDS)?, statement.as_bytes())
            .map_err(|error| self.database(error))?;
        let Some(value) = value else { return Ok(None) };
        let damaged = || StoreError::Damaged(format!("the place of {statement}"));
        let (number, position) = value.split_first_chunk::<4>().ok_or_else(damaged)?;
        let position = position.try_into().map_err(|_| damaged())?;
        let organisation = self.organisation(u32::from_be_bytes(*number)).ok_or_else(damaged)?;
        Ok(Some((organisation, Position(u64::from_be_bytes(position)))))
    }

    /// The statement with this id, if it is here and not withheld.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn statement(&self, id: &StatementId) -> Result<Option<Placed>, StoreError> {
        let Some((organisation, position)) = self.place(id)? else { return Ok(None) };
        let Some(StoredEntry::Statement(bytes)) = self.entry(&organisation, position)? else {
            return Ok(None);
        };
        let damaged = |error| StoreError::Damaged(format!("{id}: {error}"));
        Ok(Some(Placed { organisation, position, statement: Statement::parse(bytes).map_err(damaged)? }))
    }

    /// Cosigned checkpoints of a chain that cover a position, smallest first, at most `max`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn cosigned(
        &self,
        organisation: &OrganisationId,
        position: Position,
        max: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let start = key(organisation, position.size_with().0);
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut found = Vec::new();
        for item in self.db.iterator_cf(self.family(family::COSIGNED)?, mode).take(max) {
            let (key, value) = item.map_err(|error| self.database(error))?;
            if !key.starts_with(organisation.as_bytes()) {
                break;
            }
            found.push(value.into_vec());
        }
        Ok(found)
    }

    /// The proof that an organisation misbehaved.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn misbehaviour(&self, organisation: &OrganisationId) -> Result<Option<Vec<u8>>, StoreError> {
        self.db
            .get_cf(self.family(family::MISBEHAVIOUR)?, organisation.as_bytes())
            .map_err(|error| self.database(error))
    }

    /// One chain, for proofs and for serving.
    pub const fn chain(&self, organisation: OrganisationId) -> StoredChain<'_> {
        StoredChain { store: self, organisation }
    }

    /// Compacts everything, and gives the bytes on disk of each column family.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn compacted(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        family::ALL
            .iter()
            .map(|name| {
                let family = self.family(name)?;
                self.db.flush_cf(family).map_err(|error| self.database(error))?;
                self.db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
                let size = self.db.property_int_value_cf(family, "rocksdb.total-sst-files-size");
                Ok((*name, size.map_err(|error| self.database(error))?.unwrap_or_default()))
            })
            .collect()
    }

    /// Reads every entry of every chain, recomputes the trees and compares ids, ranges and heads; verifies what changes
    /// standing, and each head with the chain key of its epoch.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read at all.
    pub fn fsck(&self) -> Result<Fsck, StoreError> {
        let mut report = Fsck { chains: 0, entries: 0, damage: Vec::new() };
        for organisation in self.organisations(family::CHAINS)? {
            let Some(record) = self.read_record(&organisation)? else { continue };
            report.chains += 1;
            let mut range = CompactRange::default();
            let head = record.head.as_ref().and_then(|head| Head::parse(head.0.as_slice()).ok());
            let mut root_at_head = None;
            while range.size() < record.range.size() {
                let position = range.size().next_position();
                let leaf = match self.entry(&organisation, position) {
                    Ok(Some(StoredEntry::Statement(bytes))) => {
                        self.check_statement(&organisation, &range, bytes, &mut report)?
                    }
                    Ok(Some(StoredEntry::Withheld(digest))) => digest,
                    Ok(None) | Err(StoreError::Damaged(_)) => {
                        report.damage.push(format!("{organisation}: entry {position} is missing or damaged"));
                        break;
                    }
                    Err(error) => return Err(error),
                };
                range.append(leaf.leaf_hash());
                report.entries += 1;
                if head.as_ref().is_some_and(|head| head.claimed_size() == range.size()) {
                    root_at_head = Some(range.root());
                }
            }
            if range != record.range {
                report.damage.push(format!("{organisation}: its entries do not give its tree"));
            }
            if head.is_some_and(|head| Some(head.claimed_root()) != root_at_head) {
                report.damage.push(format!("{organisation}: its entries do not give its head's root"));
            }
            let restored = self
                .chain_snapshot(&organisation, record)
                .map(|chain| Replica::restore(&chain, &Checked::default()));
            match restored {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => report.damage.push(format!("{organisation}: {error}")),
                Err(StoreError::Damaged(what)) => report.damage.push(format!("{organisation}: {what}")),
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }

    fn check_statement(
        &self,
        organisation: &OrganisationId,
        before: &CompactRange,
        bytes: Arc<[u8]>,
        report: &mut Fsck,
    ) -> Result<LeafDigest, StoreError> {
        let (digest, position) = (LeafDigest::of(&bytes), before.size().next_position());
        match Statement::parse(bytes) {
            Ok(statement) => {
                if statement.header().kind == Kind::Organisation
                    && let Ok(payload) = Payload::decode(Kind::Organisation, statement.payload())
                    && let Some(Err(error)) =
                        payload.recovery().map(|recovery| recovery.check_tree(position, &before.root()))
                {
                    report.damage.push(format!("{organisation}: entry {position}: {error}"));
                }
                if self.place(&statement.id())? != Some((*organisation, position)) {
                    report.damage.push(format!("{organisation}: the id index does not lead to {position}"));
                }
            }
            Err(error) => report.damage.push(format!("{organisation}: entry {position}: {error}")),
        }
        Ok(digest)
    }
}

impl Subtrees for StoredChain<'_> {
    fn subtree(&self, level: u32, index: u64) -> Option<Hash> {
        let family = self.store.family(family::TILES).ok()?;
        let tile = |tile: TileId| {
            let bytes = self.store.db.get_pinned_cf(family, tile_key(&self.organisation, tile)).ok()??;
            hashes_of(&bytes)
        };
        TileSubtrees(tile).subtree(level, index)
    }
}

impl EntrySource for StoredChain<'_> {
    fn entry(&self, position: Position) -> Option<Entry> {
        match self.store.entry(&self.organisation, position).ok()?? {
            StoredEntry::Withheld(digest) => Some(Entry::Withheld(digest)),
            StoredEntry::Statement(bytes) => Some(Entry::Statement(ByteString(bytes.to_vec()))),
        }
    }
}
