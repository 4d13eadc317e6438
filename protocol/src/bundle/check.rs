//! What can be checked of a statement without knowing its chain, on any core and in any order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::format::Entry;
use crate::chain::Hash;
use crate::ids::{KeyId, StatementId};
use crate::keys::PreparedKey;
use crate::statement::{Authentic, Payload, PayloadError, Statement};

/// Entries that are checked together, with the keys that were known when they were read.
#[derive(Debug)]
pub struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) keys: Keys,
}

/// Tables of keys, by id.
pub(super) type Keys = Arc<BTreeMap<KeyId, Arc<PreparedKey>>>;

/// A batch with what was found.
#[derive(Debug)]
pub struct Checked(pub(super) Vec<Finding>);

/// What was found about one entry.
#[derive(Debug)]
pub(super) enum Finding {
    Absent { level: u32, root: Hash },
    Statement(Box<Examined>),
    Malformed(String),
}

/// A statement with everything that follows from its bytes.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) statement: Signed,
    pub(super) payload: Result<Payload, PayloadError>,
    pub(super) leaf: Hash,
    pub(super) disclosures: Vec<Vec<u8>>,
}

/// Whether the signature was checked.
#[derive(Debug)]
pub(super) enum Signed {
    Checked(Authentic),
    /// The key was not known yet: the chain has to say.
    Unchecked(Statement),
    Wrong(StatementId),
}

/// Runs [`Batch::check`] on batches, on as many cores as there are. What comes out does not depend on how many.
pub trait Workers {
    /// Takes batches from `source` until it has none or `sink` returns false, checks each, and hands them to `sink` in the
    /// order in which they came.
    fn run(&self, source: &mut dyn FnMut() -> Option<Batch>, sink: &mut dyn FnMut(Checked) -> bool);
}

/// One batch after the other, on this thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct InOrder;

impl Workers for InOrder {
    fn run(&self, source: &mut dyn FnMut() -> Option<Batch>, sink: &mut dyn FnMut(Checked) -> bool) {
        while let Some(batch) = source() {
            if !sink(batch.check()) {
                return;
            }
        }
    }
}

impl Batch {
    /// Parses, hashes, decodes, and checks signatures by the keys that are known.
    pub fn check(self) -> Checked {
        let Self { entries, keys } = self;
        Checked(entries.into_iter().map(|entry| examine(entry, &keys)).collect())
    }
}

fn examine(entry: Entry, keys: &BTreeMap<KeyId, Arc<PreparedKey>>) -> Finding {
    let (bytes, disclosures) = match entry {
        Entry::Absent { level, root } => return Finding::Absent { level, root },
        Entry::Statement { bytes, disclosures } => (bytes, disclosures),
    };
    let statement = match Statement::parse(bytes) {
        Ok(statement) => statement,
        Err(error) => return Finding::Malformed(error.to_string()),
    };
    let leaf = statement.leaf_digest().leaf_hash();
    let payload = Payload::decode(statement.header().kind, statement.payload());
    let statement = match keys.get(&statement.header().key) {
        Some(key) => {
            let id = statement.id();
            statement.authenticate(key.as_ref()).map_or(Signed::Wrong(id), Signed::Checked)
        }
        None => Signed::Unchecked(statement),
    };
    Finding::Statement(Box::new(Examined { statement, payload, leaf, disclosures }))
}
