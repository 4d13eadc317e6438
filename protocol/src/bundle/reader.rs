//! Reading a file of any length, item by item, and its digest.

use std::io::{ErrorKind, Read};

use super::format::{BundleError, MAGIC, VERSION};
use crate::codec::{self, item_length};
use crate::limits::BUNDLE_ITEM_BYTES_MAX;

/// How much is asked for at a time.
const CHUNK: usize = 256 * 1024;
/// The last item: the head of a byte string of 32 bytes, and the digest.
const SEAL: usize = 2 + 32;

/// The items of a file. Holds one item and a chunk at most.
pub(super) struct Items<R> {
    file: R,
    /// Read and not yet consumed, from `at` on.
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
    item: u64,
    hasher: blake3::Hasher,
    /// The last bytes read, which are not hashed while they may be the digest.
    tail: Vec<u8>,
}

impl<R: Read> Items<R> {
    /// Reads the beginning of the file.
    ///
    /// # Errors
    /// [`BundleError::Magic`], [`BundleError::File`]. In the latter case alone the rest cannot be read either.
    pub(super) fn new(file: R) -> Self {
        let (buffer, tail) = (Vec::new(), Vec::new());
        Self { file, buffer, at: 0, ended: false, item: 0, hasher: blake3::Hasher::new(), tail }
    }

    /// Passes over the magic and the version.
    ///
    /// # Errors
    /// [`BundleError::Magic`], [`BundleError::File`].
    pub(super) fn begin(&mut self) -> Result<(), BundleError> {
        let length = MAGIC.len() + 1;
        while self.buffer.len() < length && self.more()? {}
        let begins = self.buffer.strip_prefix(MAGIC).is_some_and(|rest| rest.first() == Some(&VERSION));
        self.at = length;
        if begins { Ok(()) } else { Err(BundleError::Magic) }
    }

    /// The bytes of the next item.
    ///
    /// # Errors
    /// [`BundleError`].
    pub(super) fn next(&mut self) -> Result<&[u8], BundleError> {
        let item = self.item;
        let length = loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            match item_length(rest).map_err(|error| BundleError::Item { item, error })? {
                Some(length) if length > BUNDLE_ITEM_BYTES_MAX => return Err(BundleError::TooLong(item)),
                Some(length) => break length,
                None if rest.len() > BUNDLE_ITEM_BYTES_MAX => return Err(BundleError::TooLong(item)),
                None => {
                    // Twice as much as there is, so that a long item is not looked at once for each chunk.
                    let enough = rest.len().saturating_mul(2);
                    let mut came = false;
                    while self.more()? {
                        came = true;
                        if self.buffer.len() - self.at > enough {
                            break;
                        }
                    }
                    if !came {
                        return Err(BundleError::Length);
                    }
                }
            }
        };
        let start = self.at;
        self.at += length;
        self.item += 1;
        Ok(self.buffer.get(start..start + length).unwrap_or_default())
    }

    /// The next item as a value of this type.
    ///
    /// # Errors
    /// [`BundleError`].
    pub(super) fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, BundleError> {
        let item = self.item;
        codec::decode(self.next()?, BUNDLE_ITEM_BYTES_MAX).map_err(|error| BundleError::Item { item, error })
    }

    /// Which item was read last, from zero.
    pub(super) const fn last(&self) -> u64 {
        self.item.saturating_sub(1)
    }

    /// Checks that nothing but the digest is left. Whether it is the right one, [`Self::finish`] says.
    ///
    /// # Errors
    /// [`BundleError`].
    pub(super) fn end(&mut self) -> Result<(), BundleError> {
        if self.next()?.len() != SEAL {
            return Err(BundleError::Length);
        }
        if self.at < self.buffer.len() || self.more()? { Err(BundleError::Length) } else { Ok(()) }
    }

    /// Reads whatever is left, and gives the digest of the file if the file ends with it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn finish(mut self) -> Result<Option<[u8; 32]>, std::io::Error> {
        loop {
            self.at = self.buffer.len();
            if !self.more()? {
                break;
            }
        }
        let digest = *self.hasher.finalize().as_bytes();
        let seal = self.tail.strip_prefix(&[0x58, 0x20]);
        Ok(seal.is_some_and(|seal| seal == digest).then_some(digest))
    }

    /// Reads a chunk. Returns whether there was one.
    fn more(&mut self) -> Result<bool, std::io::Error> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.drain(..self.at.min(self.buffer.len()));
        self.at = 0;
        let known = self.buffer.len();
        self.buffer.resize(known + CHUNK, 0);
        let mut filled = known;
        while let Some(space) = self.buffer.get_mut(filled..).filter(|space| !space.is_empty()) {
            match self.file.read(space) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    self.buffer.truncate(known);
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(filled);
        self.ended = filled < known + CHUNK;
        let new = self.buffer.get(known..).unwrap_or_default();
        hash_all_but_last(&mut self.hasher, &mut self.tail, new);
        Ok(!new.is_empty())
    }
}

/// Hashes what was held back and what came, but for the last bytes of both, which are held back.
fn hash_all_but_last(hasher: &mut blake3::Hasher, tail: &mut Vec<u8>, new: &[u8]) {
    let surplus = (tail.len() + new.len()).saturating_sub(SEAL);
    let from_tail = surplus.min(tail.len());
    hasher.update(tail.get(..from_tail).unwrap_or_default());
    tail.drain(..from_tail);
    let (covered, held) = new.split_at(surplus - from_tail);
    hasher.update(covered);
    tail.extend_from_slice(held);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::Value;
    use crate::digest::blake3;

    /// Gives a few bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.len().min(self.1).min(space.len());
            space[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn sealed(items: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = [MAGIC.as_slice(), &[VERSION]].concat();
        items.iter().for_each(|item| bytes.extend(codec::to_bytes(&Value::Bytes(item.clone())).unwrap()));
        let digest = blake3(&bytes);
        bytes.extend_from_slice(&[0x58, 0x20]);
        bytes.extend_from_slice(&digest);
        bytes
    }

    proptest! {
        #[test]
        fn items_come_whole_however_the_file_is_cut(
            items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..12),
            step in 1usize..200,
        ) {
            let bytes = sealed(&items);
            let mut file = Items::new(Trickle(&bytes, step));
            file.begin().unwrap();
            for item in &items {
                prop_assert_eq!(&file.read::<crate::ids::ByteString>().unwrap().0, item);
            }
            file.end().unwrap();
            prop_assert_eq!(file.finish().unwrap(), Some(blake3(&bytes[..bytes.len() - 34])));
        }

        #[test]
        fn any_changed_byte_changes_the_digest(at in any::<prop::sample::Index>(), bits in 1u8..) {
            let mut bytes = sealed(&[vec![1; 300], vec![2; 40]]);
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            prop_assert_eq!(Items::new(bytes.as_slice()).finish().unwrap(), None);
        }
    }

    #[test]
    fn items_longer_than_a_chunk_and_than_allowed() {
        let bytes = sealed(&[vec![7; 3 * CHUNK]]);
        let mut file = Items::new(bytes.as_slice());
        file.begin().unwrap();
        assert_eq!(file.next().unwrap().len(), 3 * CHUNK + 5);
        let bytes = sealed(&[vec![7; BUNDLE_ITEM_BYTES_MAX]]);
        let mut file = Items::new(bytes.as_slice());
        file.begin().unwrap();
        assert!(matches!(file.next(), Err(BundleError::TooLong(0))));
        assert!(file.finish().unwrap().is_some());
    }
}
