//! The head lock: a tiny file with the latest signed head, changed by compare and swap, and never part of a backup.
//!
//! ```text
//! slot 0 | slot 1          8 KiB each
//! slot:  BLAKE3 of what follows (32) | number of the swap, big endian (8) | length, big endian (4) | head | zeros
//! ```
//!
//! A swap overwrites the slot that does not hold the latest head, in a file that has its full length from the start, so
//! that one sync of the data is enough, and a swap that is cut off leaves the other slot as it was.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::HeadHash;
use counterfoil_protocol::limits::HEAD_BYTES_MAX;

use super::StoreError;

const SLOT_BYTES: usize = 8 * 1024;
/// Digest, number, length.
const PREFIX_BYTES: usize = 32 + 8 + 4;
const _: () = assert!(PREFIX_BYTES + HEAD_BYTES_MAX <= SLOT_BYTES);

/// The head lock of one organisation's node. While it is open no other process can open it.
// INVARIANT(1): whatever happened to the data, this file knows the last head that was let out.
pub struct HeadLock {
    path: PathBuf,
    /// None until the first swap makes it.
    file: Option<File>,
    /// Holds the advisory lock for as long as this lives.
    _guard: File,
    held: Option<Arc<[u8]>>,
    /// Number of the swap that put it there.
    swaps: u64,
}

impl HeadLock {
    /// Opens the lock at `path`. Where there is none it holds nothing, and the first swap makes it.
    ///
    /// # Errors
    /// [`StoreError::File`] when another process has it open or it cannot be read, [`StoreError::Damaged`] when neither of
    /// its slots is whole.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::File { path: path.to_owned(), error };
        let guard_path = path.with_extension("lock.guard");
        let guard = File::create(&guard_path)
            .map_err(|error| StoreError::File { path: guard_path.clone(), error })?;
        guard.try_lock().map_err(|error| StoreError::File { path: guard_path, error: error.into() })?;
        let empty = |guard| Self { path: path.to_owned(), file: None, _guard: guard, held: None, swaps: 0 };
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(empty(guard)),
            opened => opened.map_err(failed)?,
        };
        let mut bytes = Vec::new();
        (&mut file).take(3 * SLOT_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() < 2 * SLOT_BYTES && bytes.iter().all(|byte| *byte == 0) {
            // Cut off while it was made: nothing was let out under it.
            return Ok(empty(guard));
        }
        let damaged =
            || StoreError::Damaged(format!("{}: neither of its slots holds a head", path.display()));
        let slots = bytes.split_at_checked(SLOT_BYTES).filter(|(_, other)| other.len() == SLOT_BYTES);
        let (one, other) = slots.ok_or_else(damaged)?;
        let latest = [read_slot(one), read_slot(other)].into_iter().flatten().max_by_key(|(swaps, _)| *swaps);
        // The first swap goes into the second slot: while the first slot is untouched, no swap was ever finished. (Should the
        // only head that there was have decayed, the data still has it, and the first swap against that fails.)
        if latest.is_none() && one.iter().any(|byte| *byte != 0) {
            return Err(damaged());
        }
        let (swaps, held) = latest.map_or((0, None), |(swaps, head)| (swaps, Some(head)));
        Ok(Self { path: path.to_owned(), file: Some(file), _guard: guard, held, swaps })
    }

    /// The head that it holds, as bytes.
    pub const fn held(&self) -> Option<&Arc<[u8]>> {
        self.held.as_ref()
    }

    /// Puts `head` in if the lock holds `previous`; tells what it holds instead.
    ///
    /// # Errors
    /// [`StoreError::File`] when it is unknown what is on disk.
    pub fn swap(
        &mut self,
        previous: Option<HeadHash>,
        head: &SignedHead,
    ) -> Result<Result<(), Option<HeadHash>>, StoreError> {
        let held = self.held.as_ref().map(|bytes| HeadHash::from_bytes(blake3(bytes)));
        if held != previous {
            return Ok(Err(held));
        }
        let failed = |error| StoreError::File { path: self.path.clone(), error };
        let swaps = self.swaps.saturating_add(1);
        let offset = (swaps % 2) * SLOT_BYTES as u64;
        let file = match self.file.take() {
            Some(file) => file,
            None => make(&self.path).map_err(failed)?,
        };
        file.write_all_at(&slot(swaps, head.bytes()), offset).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        self.file = Some(file);
        self.held = Some(head.bytes().clone());
        self.swaps = swaps;
        Ok(Ok(()))
    }
}

/// A new file of full length, with its name, on disk.
fn make(path: &Path) -> std::io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all_at(&[0; 2 * SLOT_BYTES], 0)?;
    file.sync_all()?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

fn slot(swaps: u64, head: &[u8]) -> Vec<u8> {
    let mut content = swaps.to_be_bytes().to_vec();
    content.extend_from_slice(&u32::try_from(head.len()).unwrap_or_default().to_be_bytes());
    content.extend_from_slice(head);
    content.resize(SLOT_BYTES - 32, 0);
    let mut slot = blake3(&content).to_vec();
    slot.extend_from_slice(&content);
    slot
}

/// The number of the swap and the head in a slot, if it is whole.
fn read_slot(slot: &[u8]) -> Option<(u64, Arc<[u8]>)> {
    let (digest, content) = slot.split_first_chunk::<32>()?;
    let (swaps, rest) = content.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let head = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    (blake3(content) == *digest && !head.is_empty()).then(|| (u64::from_be_bytes(*swaps), head.into()))
}

#[cfg(test)]
mod tests {
    use counterfoil_protocol::chain::HeadDraft;
    use counterfoil_protocol::chain::tree::empty_root;
    use counterfoil_protocol::identity::StandingDigest;
    use counterfoil_protocol::ids::{HeadSeq, Timestamp, TreeSize};
    use counterfoil_protocol::test_support::TestOrganisation;

    use super::*;

    fn head(seq: u64) -> SignedHead {
        let organisation = TestOrganisation::new(1);
        let draft = HeadDraft {
            organisation: organisation.id(),
            seq: HeadSeq(seq),
            previous: None,
            size: TreeSize(seq),
            root: empty_root(),
            standing: StandingDigest::EMPTY,
            issued_at: Timestamp(1),
        };
        draft.sign(organisation.chain_key.as_ref()).unwrap()
    }

    /// A lock after `count` swaps, closed.
    fn swapped(path: &Path, count: u64) {
        let mut lock = HeadLock::open(path).unwrap();
        let mut previous = None;
        for seq in 0..count {
            assert_eq!(lock.swap(previous, &head(seq)).unwrap(), Ok(()));
            previous = Some(head(seq).hash());
        }
    }

    #[test]
    fn it_holds_the_latest_head_and_swaps_against_that_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head.lock");
        assert!(HeadLock::open(&path).unwrap().held().is_none());
        for count in 1..5 {
            swapped(&path, count);
            let mut lock = HeadLock::open(&path).unwrap();
            assert_eq!(lock.held(), Some(head(count - 1).bytes()));
            assert_eq!(lock.swap(None, &head(9)).unwrap(), Err(Some(head(count - 1).hash())));
            assert!(HeadLock::open(&path).is_err(), "a second process is kept out");
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_swap_that_is_cut_off_at_any_byte_leaves_the_head_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head.lock");
        swapped(&path, 3);
        let before = std::fs::read(&path).unwrap();
        let next = slot(4, head(3).bytes());
        for cut in (0..next.len()).step_by(61) {
            let mut torn = before.clone();
            torn[..cut].copy_from_slice(&next[..cut]);
            std::fs::write(&path, torn).unwrap();
            let lock = HeadLock::open(&path).unwrap();
            let held = lock.held().unwrap();
            assert!(held == head(2).bytes() || held == head(3).bytes(), "cut at {cut}");
        }
        let mut first = vec![0; 2 * SLOT_BYTES];
        first[SLOT_BYTES..SLOT_BYTES + 100].copy_from_slice(&slot(1, head(0).bytes())[..100]);
        std::fs::write(&path, first).unwrap();
        assert!(HeadLock::open(&path).unwrap().held().is_none());
        std::fs::write(&path, vec![7; 2 * SLOT_BYTES]).unwrap();
        assert!(matches!(HeadLock::open(&path), Err(StoreError::Damaged(_))));
    }
}
