//! Chains on disk: one RocksDB with a column family per purpose, written by one thread, one synced batch at a time.
//!
//! | family | key | value |
//! | --- | --- | --- |
//! | `entries` | organisation, position | `1` statement bytes, or `0` digest |
//! | `ids` | statement id | number of the organisation in this store, position |
//! | `tiles` | organisation, level, index | hashes of the tile |
//! | `standing` | organisation, position | nothing: which entries are standing statements |
//! | `chains` | organisation | compact range, latest head, cosignatures |
//! | `cosigned` | organisation, size | the checkpoint of that size with the cosignatures known |
//! | `misbehaviour` | organisation | the proof |
//! | `withheld` | organisation, position | nothing: which entries are digests alone |
//! | `edges` | direction, digest of the node, asserting statement, number | nothing: where to look |
//! | `links` | `l` and a link's id, or `c` and the id of the link that is answered | the statement that says so |
//! | `meta` | `w` and a log's origin | the latest checkpoint of it that was cosigned over HTTP |
//! | `meta` | `d` and the digest of a sealed claim | its disclosure |
//! | `meta` | `mesh` | the charter statement of the mesh that this node takes part in |
//! | `meta` | `p` and an organisation | when exchange with it was paused last, and how far its chain was here |
//! | `meta` | `format` | the number of the format: see `format.rs` |
//! | `meta` | `o` and a number | the organisation with that number |

mod batch;
mod format;
pub mod head_lock;
mod index;
mod lineage;
mod read;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError, RwLock};

use counterfoil_protocol::chain::proof::MissingSubtree;
use counterfoil_protocol::chain::tile::TileCursor;
use counterfoil_protocol::codec::CodecError;
use counterfoil_protocol::ids::{OrganisationId, Position};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBRecoveryMode, Options, WriteBatch,
    WriteBufferManager,
};
use serde::{Deserialize, Serialize};

pub use head_lock::HeadLock;
pub use index::EvidenceEdges;
pub use read::{Fsck, Placed, StoredChain, StoredEntry};

/// Column families.
mod family {
    pub(super) const ENTRIES: &str = "entries";
    pub(super) const IDS: &str = "ids";
    pub(super) const TILES: &str = "tiles";
    pub(super) const STANDING: &str = "standing";
    pub(super) const CHAINS: &str = "chains";
    pub(super) const MISBEHAVIOUR: &str = "misbehaviour";
    pub(super) const EDGES: &str = "edges";
    pub(super) const LINKS: &str = "links";
    pub(super) const META: &str = "meta";
    pub(super) const COSIGNED: &str = "cosigned";
    pub(super) const WITHHELD: &str = "withheld";
    pub(super) const ALL: [&str; 11] =
        [ENTRIES, IDS, TILES, STANDING, CHAINS, MISBEHAVIOUR, EDGES, LINKS, META, COSIGNED, WITHHELD];
}

/// Why the store cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// RocksDB failed.
    #[error("the database in {path}: {error}")]
    Database {
        /// Where it lies.
        path: PathBuf,
        /// What it says.
        error: rocksdb::Error,
    },
    /// A newer program wrote it.
    #[error(
        "the database in {path} has format {found}, and this program knows up to {known}: use the program that wrote it, or a \
         later one; nothing was changed"
    )]
    Format {
        /// Where it lies.
        path: PathBuf,
        /// The number of its format.
        found: u32,
        /// The latest that this program knows.
        known: u32,
    },
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// What lies on disk is not what was written.
    #[error("the database is damaged: {0}; run `fsck`, and restore it from peers or a backup")]
    Damaged(String),
    /// A value cannot be encoded.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// A hash that a proof needs is not on disk.
    #[error("{0}")]
    Missing(#[from] MissingSubtree),
    /// An answer would not be complete.
    #[error("more than {max} {what}; ask for less")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are read at most.
        max: usize,
    },
    /// A statement was offered for a place that is not the next one.
    #[error("position {position} of {organisation} does not follow the {size} entries on disk")]
    Gap {
        /// Whose chain.
        organisation: OrganisationId,
        /// The position offered.
        position: u64,
        /// Entries on disk.
        size: u64,
    },
}

/// The chains on disk. Any number of threads may read while one writes.
pub struct Store {
    db: DB,
    path: PathBuf,
    /// The right border of each chain's tiles.
    cursors: Mutex<BTreeMap<OrganisationId, TileCursor>>,
    /// Organisations in the order of their numbers, which stand for them where 32 bytes would be too many.
    numbered: RwLock<Vec<OrganisationId>>,
    /// Batches written since it was opened.
    writes: AtomicU64,
    /// A cache over the entries.
    lineage: RwLock<lineage::Lineage>,
    /// Of each chain the first entry that was revealed since the lineage was read.
    revealed: Mutex<BTreeMap<OrganisationId, Position>>,
}

/// Memory that the database takes, in MiB: what waits to be written to files, at most half of it, and what was read. One sum
/// for all families, where by itself each would have its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Memory(u32);

impl Memory {
    /// Least and most that make sense.
    const RANGE: RangeInclusive<u32> = 8..=65_536;

    const fn bytes(self) -> usize {
        (self.0 as usize) << 20
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self(64)
    }
}

impl TryFrom<u32> for Memory {
    type Error = String;

    fn try_from(mib: u32) -> Result<Self, String> {
        let (least, most) = (Self::RANGE.start(), Self::RANGE.end());
        if Self::RANGE.contains(&mib) {
            Ok(Self(mib))
        } else {
            Err(format!("{mib} MiB of memory for the database; it takes {least} to {most}"))
        }
    }
}

impl From<Memory> for u32 {
    fn from(memory: Memory) -> Self {
        memory.0
    }
}

/// A family's memory grows by so much at a time: most families hold little, and eleven of them share the sum.
const ARENA_BLOCK_BYTES: usize = 128 << 10;

impl Store {
    /// Opens the database in `path`, or makes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path, memory: Memory) -> Result<Self, StoreError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // A damaged write-ahead log must not look like a shorter one.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_recycle_log_file_num(0);
        options.set_wal_bytes_per_sync(0);
        options.set_max_total_wal_size(64 << 20);
        let (cache, waiting) = (Cache::new_lru_cache(memory.bytes()), memory.bytes() / 2);
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(waiting, false, cache.clone());
        options.set_write_buffer_manager(&buffers);
        let blocks = |filter: bool| {
            let mut blocks = BlockBasedOptions::default();
            blocks.set_block_cache(&cache);
            // Otherwise the indexes of all files would be held beside the sum, and grow with the chains.
            blocks.set_cache_index_and_filter_blocks(true);
            blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
            if filter {
                blocks.set_bloom_filter(10.0, false);
            }
            blocks
        };
        let families = family::ALL.iter().map(|name| {
            let mut options = Options::default();
            options.set_write_buffer_size(waiting / 2);
            options.set_arena_block_size(ARENA_BLOCK_BYTES);
            options.set_max_write_buffer_number(2);
            // Each statement that is appended is looked for among the ids first, nearly always in vain.
            options.set_block_based_table_factory(&blocks(*name == family::IDS));
            ColumnFamilyDescriptor::new(*name, options)
        });
        let db = DB::open_cf_descriptors(&options, path, families)
            .map_err(|error| StoreError::Database { path: path.to_owned(), error })?;
        let store = Self {
            db,
            path: path.to_owned(),
            cursors: Mutex::default(),
            numbered: RwLock::default(),
            writes: AtomicU64::new(0),
            lineage: RwLock::default(),
            revealed: Mutex::default(),
        };
        let numbered = store.load_numbers()?;
        *store.numbered.write().unwrap_or_else(PoisonError::into_inner) = numbered;
        store.bring_to_format()?;
        Ok(store)
    }

    /// Organisations in the order of their numbers.
    fn load_numbers(&self) -> Result<Vec<OrganisationId>, StoreError> {
        let damaged = || StoreError::Damaged("the numbers of the organisations".into());
        let mut numbered = Vec::new();
        loop {
            let Ok(number) = u32::try_from(numbered.len()) else { return Err(damaged()) };
            let value = self
                .db
                .get_pinned_cf(self.family(family::META)?, number_key(number))
                .map_err(|error| self.database(error))?;
            let Some(value) = value else { return Ok(numbered) };
            let id: [u8; 32] = value.as_ref().try_into().map_err(|_| damaged())?;
            numbered.push(OrganisationId::from_bytes(id));
        }
    }

    /// The number of an organisation; a new one is written with the batch that needs it.
    fn number(&self, organisation: &OrganisationId, batch: &mut WriteBatch) -> Result<u32, StoreError> {
        let mut numbered = self.numbered.write().unwrap_or_else(PoisonError::into_inner);
        let found = numbered.iter().position(|known| known == organisation);
        let number = u32::try_from(found.unwrap_or(numbered.len()))
            .map_err(|_| StoreError::TooMany { what: "organisations", max: u32::MAX as usize })?;
        if found.is_none() {
            batch.put_cf(self.family(family::META)?, number_key(number), organisation.as_bytes());
            numbered.push(*organisation);
        }
        Ok(number)
    }

    fn organisation(&self, number: u32) -> Option<OrganisationId> {
        let numbered = self.numbered.read().unwrap_or_else(PoisonError::into_inner);
        usize::try_from(number).ok().and_then(|number| numbered.get(number)).copied()
    }

    /// Writes the database as it is at this moment into a new directory, while it is in use.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn checkpoint(&self, directory: &Path) -> Result<(), StoreError> {
        let failed = |error| StoreError::Database { path: directory.to_owned(), error };
        let checkpoint = rocksdb::checkpoint::Checkpoint::new(&self.db).map_err(failed)?;
        checkpoint.create_checkpoint(directory).map_err(failed)
    }

    fn database(&self, error: rocksdb::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), error }
    }

    fn family(&self, name: &str) -> Result<&rocksdb::ColumnFamily, StoreError> {
        self.db.cf_handle(name).ok_or_else(|| StoreError::Damaged(format!("column family {name} is missing")))
    }
}

/// `o || number`.
fn number_key(number: u32) -> [u8; 5] {
    let mut key = [b'o'; 5];
    let (_, digits) = key.split_at_mut(1);
    digits.copy_from_slice(&number.to_be_bytes());
    key
}

/// `organisation || n`, big endian, so that a chain's keys lie in order.
fn key(organisation: &OrganisationId, n: u64) -> [u8; 40] {
    let mut key = [0; 40];
    let (left, right) = key.split_at_mut(32);
    left.copy_from_slice(organisation.as_bytes());
    right.copy_from_slice(&n.to_be_bytes());
    key
}

/// `organisation || level || index`.
fn tile_key(organisation: &OrganisationId, tile: counterfoil_protocol::chain::tile::TileId) -> [u8; 41] {
    let mut key = [0; 41];
    let (left, right) = key.split_at_mut(32);
    left.copy_from_slice(organisation.as_bytes());
    let (level, index) = right.split_at_mut(1);
    level.copy_from_slice(&[tile.level]);
    index.copy_from_slice(&tile.index.to_be_bytes());
    key
}
