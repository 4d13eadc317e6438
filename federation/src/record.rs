//! What vectors are made of: records of chains, and ranges of organisations.

use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::{ByteString, OrganisationId};

use crate::message::Range;
use crate::replica::Replica;

/// Bytes of one record.
pub(crate) const RECORD_BYTES: usize = 24;
/// Parts into which a range is cut.
const PARTS: u64 = 16;
/// What stands for any quorum of witnesses.
pub(crate) const WITNESSED: u16 = u16::MAX;

/// What a vector says of one organisation: the first 8 bytes of its id, 6 of the head's sequence number, 8 of the salted
/// digest of the head, and 2 in which its witnesses are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) organisation: [u8; 8],
    pub(crate) seq: u64,
    pub(crate) tag: [u8; 8],
    pub(crate) witnesses: u16,
}

impl Record {
    /// The record of a chain; none before its first head.
    pub(crate) fn of(replica: &Replica, salt: u64) -> Option<Self> {
        let head = replica.head()?;
        let mut tagged = salt.to_be_bytes().to_vec();
        tagged.extend_from_slice(head.hash().as_bytes());
        Some(Self {
            organisation: prefix(&replica.organisation()),
            seq: head.seq().0.min(0xffff_ffff_ffff),
            tag: first8(&blake3(&tagged)),
            witnesses: fold(replica),
        })
    }

    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.organisation);
        to.extend(self.seq.to_be_bytes().iter().skip(2));
        to.extend_from_slice(&self.tag);
        to.extend_from_slice(&self.witnesses.to_be_bytes());
    }

    fn read(bytes: &[u8; RECORD_BYTES]) -> Self {
        let [o0, o1, o2, o3, o4, o5, o6, o7, s0, s1, s2, s3, s4, s5, t @ .., w0, w1] = *bytes;
        Self {
            organisation: [o0, o1, o2, o3, o4, o5, o6, o7],
            seq: u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]),
            tag: t,
            witnesses: u16::from_be_bytes([w0, w1]),
        }
    }
}

fn first8(bytes: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *bytes;
    [a, b, c, d, e, f, g, h]
}

/// How vectors name an organisation.
pub(crate) fn prefix(organisation: &OrganisationId) -> [u8; 8] {
    first8(organisation.as_bytes())
}

/// Which witnesses have signed, in two bytes: sets that differ hardly ever look the same, and equal ones always do. One
/// quorum is as good as another.
pub(crate) fn fold(replica: &Replica) -> u16 {
    if replica.witnessed {
        return WITNESSED;
    }
    let folded = replica.cosignatures().keys().fold(0, |folded, witness| {
        let [a, b, ..] = *witness.as_bytes();
        folded ^ u16::from_be_bytes([a, b])
    });
    folded.rotate_left(u32::try_from(replica.cosignatures().len()).unwrap_or_default())
}

/// The records in a vector.
pub(crate) fn records(bytes: &ByteString) -> impl Iterator<Item = Record> {
    bytes.0.as_chunks::<RECORD_BYTES>().0.iter().map(Record::read)
}

/// The first and last organisation whose ids begin so that they lie in a range.
pub(crate) fn span(range: &Range) -> (OrganisationId, OrganisationId) {
    let (mut from, mut to) = ([0; 32], [0xff; 32]);
    for (n, byte) in range.from.to_be_bytes().into_iter().enumerate() {
        if let Some(first) = from.get_mut(n) {
            *first = byte;
        }
    }
    for (n, byte) in range.to.to_be_bytes().into_iter().enumerate() {
        if let Some(last) = to.get_mut(n) {
            *last = byte;
        }
    }
    (OrganisationId::from_bytes(from), OrganisationId::from_bytes(to))
}

/// The parts of the range from `from` to `to`, both inside.
pub(crate) fn parts(from: u64, to: u64) -> Vec<(u64, u64)> {
    let width = (to - from) / PARTS + 1;
    let mut found = Vec::new();
    let mut start = from;
    loop {
        let end = start.saturating_add(width - 1).min(to);
        found.push((start, end));
        match end.checked_add(1).filter(|_| end < to) {
            Some(next) => start = next,
            None => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_24_bytes_and_is_read_back() {
        let record = Record { organisation: [1; 8], seq: 0x0102_0304_0506, tag: [7; 8], witnesses: 0x0809 };
        let mut bytes = Vec::new();
        record.write(&mut bytes);
        assert_eq!(bytes.len(), RECORD_BYTES);
        assert_eq!(records(&ByteString(bytes)).collect::<Vec<_>>(), [record]);
    }

    #[test]
    fn the_parts_of_a_range_cover_it_without_overlap() {
        for (from, to) in
            [(0, u64::MAX), (5, 5), (5, 6), (0, 16), (0, 15), (100, 355), (u64::MAX - 3, u64::MAX)]
        {
            let parts = parts(from, to);
            assert!(parts.len() <= 16, "{from}..={to}");
            assert_eq!(parts.first().map(|part| part.0), Some(from));
            assert_eq!(parts.last().map(|part| part.1), Some(to));
            assert!(parts.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{from}..={to}");
        }
    }
}
