//! The end of a disk's log: the batch that was being written when its host stopped.
//!
//! ```text
//! digest over the number of records and all of them | record | record | ...
//! ```
//!
//! Batches that were synced are in the tables already, so nothing of the log behind the last batch is kept. What a start
//! finds there is taken in when the digest stands for the records that are there, and dropped as a whole when it does not.

use counterfoil_federation::effect::Write;
use counterfoil_protocol::ids::OrganisationId;

/// A batch in the log: its digest, and those of its records that are on the disk.
#[derive(Debug)]
pub struct Batch {
    digest: blake3::Hash,
    records: Vec<Write>,
}

impl Batch {
    /// A batch of which everything is on the disk.
    pub fn of(records: Vec<Write>) -> Self {
        Self { digest: digest(&records), records }
    }

    /// A batch of which one half is on the disk, beside the digest of all of it: the half that comes `first`, or, where the
    /// disk wrote its sectors in another order, the other one.
    #[must_use]
    pub fn torn(mut self, first: bool) -> Self {
        let half = self.records.len().div_ceil(2);
        if first {
            self.records.truncate(half);
        } else {
            self.records.drain(..self.records.len() - half);
        }
        self
    }

    /// Whether what is on the disk is all that was to be written.
    pub fn is_whole(&self) -> bool {
        digest(&self.records) == self.digest
    }

    /// The records that are on the disk.
    pub fn records(&self) -> &[Write] {
        &self.records
    }

    /// The records, to take them in.
    pub fn into_records(self) -> Vec<Write> {
        self.records
    }
}

fn digest(records: &[Write]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(records.len() as u64).to_be_bytes());
    for record in records {
        let (kind, organisation, bytes): (&str, OrganisationId, &[u8]) = match record {
            Write::Statement(verified) => ("statement", verified.organisation(), verified.bytes()),
            Write::Revealed(verified) => ("revealed", verified.organisation(), verified.bytes()),
            Write::Withheld { organisation, position, digest } => {
                hasher.update(&position.0.to_be_bytes());
                ("withheld", *organisation, &digest.0)
            }
            Write::Tree { organisation, range } => {
                hasher.update(&range.size().0.to_be_bytes()).update(&range.root().0);
                ("tree", *organisation, &[])
            }
            Write::Head(head) => ("head", head.organisation(), head.bytes()),
            Write::Cosignatures { organisation, size, lines } => {
                hasher.update(&size.0.to_be_bytes());
                for line in lines {
                    hasher.update(line.as_bytes());
                }
                ("cosignatures", *organisation, &[])
            }
            Write::Misbehaviour { organisation, proof } => ("misbehaviour", *organisation, proof),
        };
        hasher.update(kind.as_bytes()).update(organisation.as_bytes()).update(bytes);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_protocol::chain::tree::LeafDigest;
    use counterfoil_protocol::ids::Position;

    fn records(count: u64) -> Vec<Write> {
        let organisation = OrganisationId::from_bytes([1; 32]);
        let one = |n: u64| Write::Withheld {
            organisation,
            position: Position(n),
            digest: LeafDigest::of(&n.to_be_bytes()),
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn a_batch_of_which_a_half_is_there_is_not_whole_whichever_half() {
        assert!(Batch::of(records(5)).is_whole());
        for first in [true, false] {
            let torn = Batch::of(records(5)).torn(first);
            assert_eq!(torn.records().len(), 3);
            assert!(!torn.is_whole());
        }
        assert!(Batch::of(records(1)).torn(true).is_whole(), "one record is there or not");
    }
}
