//! The format of the database: a number in it, so that a newer program makes of an older database what it needs, and an older
//! program leaves a newer database alone.
//!
//! | number | what differs from the one before |
//! | --- | --- |
//! | none | edges of decisions lie among all others |
//! | 2 | edges of decisions lie apart |

use counterfoil_protocol::ids::Position;
use counterfoil_protocol::statement::{Payload, Statement};
use rocksdb::WriteBatch;

use super::read::StoredEntry;
use super::{Store, StoreError, family};

/// What this program writes.
pub(super) const FORMAT: u32 = 2;
const KEY: &[u8] = b"format";
/// Statements whose indexes are written at once.
const AT_ONCE: usize = 1_000;

impl Store {
    /// Brings the database to the format that this program writes. Interrupted, it begins anew.
    ///
    /// # Errors
    /// [`StoreError::Format`] when a newer program wrote it: nothing is changed then.
    pub(super) fn bring_to_format(&self) -> Result<(), StoreError> {
        let value =
            self.db.get_pinned_cf(self.family(family::META)?, KEY).map_err(|error| self.database(error))?;
        let found = match value.map(|value| <[u8; 4]>::try_from(value.as_ref())) {
            None => 0,
            Some(Ok(number)) => u32::from_be_bytes(number),
            Some(Err(_)) => return Err(StoreError::Damaged("the number of its format".into())),
        };
        if found > FORMAT {
            return Err(StoreError::Format { path: self.path.clone(), found, known: FORMAT });
        }
        if found < FORMAT {
            self.index_anew()?;
            // Only now: whoever is interrupted before has an older format still.
            let mut batch = WriteBatch::default();
            batch.put_cf(self.family(family::META)?, KEY, FORMAT.to_be_bytes());
            self.write_synced(batch)?;
        }
        Ok(())
    }

    /// Makes the indexes of edges and links anew, from the statements.
    fn index_anew(&self) -> Result<(), StoreError> {
        let organisations = self.organisations(family::CHAINS)?;
        if organisations.is_empty() {
            return Ok(());
        }
        tracing::info!(path = %self.path.display(), format = FORMAT, "the indexes are made anew, in another format");
        let mut batch = WriteBatch::default();
        for name in [family::EDGES, family::LINKS] {
            // No key is longer than 69 bytes.
            batch.delete_range_cf(self.family(name)?, [].as_slice(), [0xff; 70].as_slice());
        }
        let mut waiting = 0;
        for organisation in organisations {
            let size = self.read_record(&organisation)?.map_or(0, |record| record.range.size().0);
            for position in (0..size).map(Position) {
                let Some(StoredEntry::Statement(bytes)) = self.entry(&organisation, position)? else {
                    continue;
                };
                let damaged =
                    || StoreError::Damaged(format!("{organisation}: entry {position} cannot be read"));
                let statement = Statement::parse(bytes).map_err(|_| damaged())?;
                let payload = Payload::decode(statement.header().kind, statement.payload());
                self.index(&statement, &payload.map_err(|_| damaged())?, &mut batch)?;
                waiting += 1;
                if waiting == AT_ONCE {
                    self.write_synced(std::mem::take(&mut batch))?;
                    waiting = 0;
                }
            }
        }
        self.write_synced(batch)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that fails this way says where")]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use counterfoil_federation::effect::Write;
    use counterfoil_protocol::identity::OrganisationState;
    use counterfoil_protocol::statement::verify;
    use counterfoil_protocol::test_support::TestOrganisation;
    use rocksdb::IteratorMode;

    use super::*;
    use crate::store::Memory;

    fn open(path: &Path) -> Result<Store, StoreError> {
        Store::open(path, Memory::default())
    }

    fn edges(store: &Store) -> Vec<Box<[u8]>> {
        let family = store.family(family::EDGES).unwrap();
        store.db.iterator_cf(family, IteratorMode::Start).map(|item| item.unwrap().0).collect()
    }

    /// A chain of a few statements.
    fn filled(path: &Path) -> Store {
        let store = open(path).unwrap();
        let organisation = TestOrganisation::new(1);
        let mut state = OrganisationState::from_inception(organisation.inception.statement()).unwrap();
        let mut range = counterfoil_protocol::chain::CompactRange::default();
        let mut writes = Vec::new();
        let observations = (1..5).map(|n| organisation.observation(n));
        for statement in organisation.opening().into_iter().chain(observations) {
            let verified = Arc::new(verify(&state, statement).unwrap());
            state.apply(&verified).unwrap();
            range.append(verified.leaf_digest().leaf_hash());
            writes.push(Write::Statement(verified));
        }
        writes.push(Write::Tree { organisation: organisation.id(), range });
        store.persist(&writes).unwrap();
        store
    }

    fn number(store: &Store, number: Option<u32>) {
        let meta = store.family(family::META).unwrap();
        match number {
            Some(number) => store.db.put_cf(meta, KEY, number.to_be_bytes()).unwrap(),
            None => store.db.delete_cf(meta, KEY).unwrap(),
        }
    }

    #[test]
    fn indexes_of_an_older_format_are_made_anew_and_only_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = filled(directory.path());
        let right = edges(&store);
        assert!(right.len() > 4, "{}", right.len());
        // What an older program would have left: something else under the same names.
        let family = store.family(family::EDGES).unwrap();
        store.db.delete_cf(family, right.first().unwrap()).unwrap();
        store.db.put_cf(family, [7; 69], []).unwrap();
        number(&store, None);
        drop(store);
        let store = open(directory.path()).unwrap();
        assert_eq!(edges(&store), right);
        store.db.put_cf(store.family(family::EDGES).unwrap(), [7; 69], []).unwrap();
        drop(store);
        assert_eq!(edges(&open(directory.path()).unwrap()).len(), right.len() + 1, "nothing was to be done");
    }

    #[test]
    fn a_database_of_a_newer_program_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = filled(directory.path());
        number(&store, Some(FORMAT + 1));
        drop(store);
        let error = open(directory.path()).err().unwrap().to_string();
        assert!(error.contains("has format 3, and this program knows up to 2"), "{error}");
    }
}
