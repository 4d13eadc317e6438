//! The head lock: a tiny file with the latest signed head, changed by compare and swap, and never part of a backup.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::HeadHash;
use counterfoil_protocol::limits::HEAD_BYTES_MAX;

use super::StoreError;

/// The head lock of one organisation's node. While it is open no other process can open it.
// INVARIANT(1): whatever happened to the data, this file knows the last head that was let out.
pub struct HeadLock {
    path: PathBuf,
    /// Holds the advisory lock for as long as this lives.
    _guard: File,
    held: Option<Arc<[u8]>>,
}

impl HeadLock {
    /// Opens the lock at `path`, or makes an empty one.
    ///
    /// # Errors
    /// [`StoreError::File`] when another process has it open or it cannot be read, [`StoreError::Damaged`] when it is
    /// longer than any head.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::File { path: path.to_owned(), error };
        let guard_path = path.with_extension("lock.guard");
        let guard = File::create(&guard_path)
            .map_err(|error| StoreError::File { path: guard_path.clone(), error })?;
        guard.try_lock().map_err(|error| StoreError::File { path: guard_path, error: error.into() })?;
        let held = match fs::read(path) {
            Ok(bytes) if bytes.len() > HEAD_BYTES_MAX => {
                return Err(StoreError::Damaged(format!("{} is longer than any head", path.display())));
            }
            Ok(bytes) => Some(bytes.into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { path: path.to_owned(), _guard: guard, held })
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
        self.write(head.bytes()).map_err(|error| StoreError::File { path: self.path.clone(), error })?;
        self.held = Some(head.bytes().clone());
        Ok(Ok(()))
    }

    /// A new file, synced, then renamed over the old one, then the directory synced: a crash leaves one or the other.
    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let fresh = self.path.with_extension("lock.new");
        let mut file = File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        match self.path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}
