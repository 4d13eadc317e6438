//! What can be checked of a statement without knowing its chain, on any core and in any order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::format::Entry;
use crate::chain::Hash;
use crate::ids::KeyId;
use crate::keys::PreparedKey;
use crate::statement::{Payload, PayloadError, Signed, Statement, authenticate_all};

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
        let mut statements = Vec::with_capacity(entries.len());
        let parsed: Vec<Parsed> = entries.into_iter().map(|entry| parse(entry, &mut statements)).collect();
        let mut signed = authenticate_all(statements, |key| keys.get(key)).into_iter();
        let join = |parsed| match parsed {
            Parsed::Finding(finding) => finding,
            Parsed::Statement { payload, leaf, disclosures } => match signed.next() {
                Some(statement) => {
                    Finding::Statement(Box::new(Examined { statement, payload, leaf, disclosures }))
                }
                None => Finding::Malformed("its signature was not looked at".into()),
            },
        };
        Checked(parsed.into_iter().map(join).collect())
    }
}

enum Parsed {
    Finding(Finding),
    /// The statement itself is with the others.
    Statement {
        payload: Result<Payload, PayloadError>,
        leaf: Hash,
        disclosures: Vec<Vec<u8>>,
    },
}

fn parse(entry: Entry, statements: &mut Vec<Statement>) -> Parsed {
    let (bytes, disclosures) = match entry {
        Entry::Absent { level, root } => return Parsed::Finding(Finding::Absent { level, root }),
        Entry::Statement { bytes, disclosures } => (bytes, disclosures),
    };
    match Statement::parse(bytes) {
        Ok(statement) => {
            let leaf = statement.leaf_digest().leaf_hash();
            let payload = Payload::decode(statement.header().kind, statement.payload());
            statements.push(statement);
            Parsed::Statement { payload, leaf, disclosures }
        }
        Err(error) => Parsed::Finding(Finding::Malformed(error.to_string())),
    }
}
