//! Backups: everything a node needs but its head lock, with a manifest that names each file by its BLAKE3.
//!
//! ```text
//! DIR/manifest.json                       written last: without it there is no backup
//! DIR/inception.cose  node.toml  keys/    as in the data directory, keys sealed
//! DIR/db/                                 a RocksDB checkpoint, consistent while the node runs
//! DIR/blobs/                              imported documents
//! ```
//!
//! The head lock stays where it is. A node with old data and its own lock knows that it is behind, and catches up from
//! its peers before it signs; a lock from a backup would let it sign a second head with a number that it has used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use counterfoil_protocol::chain::Head;
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::{OrganisationId, StatementId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::data::{DataDir, DataError, make_private, write_private};
use crate::store::{HeadLock, Store, StoreError};

/// The manifest's name.
const MANIFEST: &str = "manifest.json";
/// Version of the manifest's form.
const VERSION: u32 = 1;
/// Largest manifest that is read, in bytes.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;
/// What a backup holds besides the database, files first.
const FILES: [&str; 2] = ["inception.cose", "node.toml"];
const FOLDERS: [&str; 3] = ["db", "keys", "blobs"];
/// What a data directory may hold when a backup is restored into it.
const KEPT: [&str; 2] = ["head.lock", "head.lock.guard"];

/// Why there is no backup, or it is not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// See the inner error.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// See the inner error.
    #[error("{0}")]
    Data(#[from] DataError),
    /// The place for the backup is no place for one.
    #[error("{path} {why}; nothing was written")]
    Place {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The backup is not whole, or not what its manifest says.
    #[error("the backup in {path} is not whole: {why}; nothing was restored")]
    Damaged {
        /// Where the backup lies.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The directory to restore into holds something.
    #[error(
        "{path} holds {found:?}: a backup is restored into an empty directory, or one with nothing but head.lock; nothing \
         was restored"
    )]
    Taken {
        /// The directory.
        path: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// The head lock there is another organisation's, or unreadable.
    #[error("{path} is not the head lock of {organisation}; nothing was restored")]
    Lock {
        /// The lock.
        path: PathBuf,
        /// Whose backup it is.
        organisation: OrganisationId,
    },
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3, in hexadecimal.
    pub blake3: String,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form.
    pub version: u32,
    /// Whose backup it is.
    pub organisation: OrganisationId,
    /// When it was made.
    pub made_at: Timestamp,
    /// The files by their paths.
    pub files: BTreeMap<String, Listed>,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// What the backup held.
    pub organisation: OrganisationId,
    /// When it was made.
    pub made_at: Timestamp,
    /// Number of files.
    pub files: usize,
    /// Whether a head lock was there, so that the node may sign once it has caught up.
    pub head_lock: bool,
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::File { path, error }
}

/// Writes a backup of `data`, whose store this is, into the new directory `to`. The store may be in use.
///
/// # Errors
/// [`BackupError`]; what was written so far has no manifest and is no backup.
pub fn write(data: &DataDir, store: &Store, to: &Path) -> Result<Manifest, BackupError> {
    let place = |why| BackupError::Place { path: to.to_owned(), why };
    let inside = std::path::absolute(data.path()).map_err(file(data.path()))?;
    if std::path::absolute(to).map_err(file(to))?.starts_with(inside) {
        return Err(place("lies inside the data directory"));
    }
    if to.exists() && entries(to)?.next().is_some() {
        return Err(place("is not empty"));
    }
    let inception = data.inception()?;
    make_private(to)?;
    store.checkpoint(&to.join("db"))?;
    // After the database: what that refers to was kept before.
    for folder in ["keys", "blobs"] {
        let from = data.path().join(folder);
        make_private(&to.join(folder))?;
        for name in if from.exists() { names(&from)? } else { Vec::new() } {
            // A file that is being written; its rename has not happened yet.
            if !name.ends_with(".new") {
                copy(&from.join(&name), &to.join(folder).join(&name))?;
            }
        }
    }
    for name in FILES {
        copy(&data.path().join(name), &to.join(name))?;
    }
    let mut files = BTreeMap::new();
    for path in listing(to)? {
        let whole = to.join(&path);
        File::open(&whole).and_then(|file| file.sync_all()).map_err(file(&whole))?;
        files.insert(path, measure(&whole)?);
    }
    sync_folders(to)?;
    let organisation = OrganisationId::from(inception.id());
    let manifest = Manifest { version: VERSION, organisation, made_at: clock::now().timestamp(), files };
    let json = serde_json::to_vec_pretty(&manifest).map_err(io::Error::from).map_err(file(to))?;
    write_private(&to.join(MANIFEST), &json)?;
    sync_folders(to)?;
    Ok(manifest)
}

/// Checks every file of the backup in `from` against its manifest.
///
/// # Errors
/// [`BackupError`].
pub fn verify(from: &Path) -> Result<Manifest, BackupError> {
    let damaged = |why: String| BackupError::Damaged { path: from.to_owned(), why };
    let path = from.join(MANIFEST);
    let mut json = Vec::new();
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged("it has no manifest, so it was never finished".into()));
        }
        opened => opened
            .and_then(|file| file.take(MANIFEST_BYTES_MAX).read_to_end(&mut json))
            .map_err(file(&path))?,
    };
    let manifest: Manifest =
        serde_json::from_slice(&json).map_err(|error| damaged(format!("its manifest: {error}")))?;
    if manifest.version != VERSION {
        return Err(damaged(format!("this program knows version {VERSION}, not {}", manifest.version)));
    }
    if let Some(path) = manifest.files.keys().find(|path| !is_ours(path)) {
        return Err(damaged(format!("its manifest lists {path:?}, which belongs to no backup")));
    }
    if let Some(name) = FILES.iter().find(|name| !manifest.files.contains_key(**name)) {
        return Err(damaged(format!("it lacks {name}")));
    }
    let found: BTreeSet<String> = listing(from)?.into_iter().filter(|path| path != MANIFEST).collect();
    if let Some(path) = found.iter().find(|path| !manifest.files.contains_key(*path)) {
        return Err(damaged(format!("{path} is not in its manifest")));
    }
    for (path, listed) in &manifest.files {
        if !found.contains(path) {
            return Err(damaged(format!("{path} is missing")));
        }
        if measure(&from.join(path))? != *listed {
            return Err(damaged(format!("{path} is not what its manifest says")));
        }
    }
    let path = from.join("inception.cose");
    let inception = fs::read(&path).map_err(file(&path))?;
    if OrganisationId::from(StatementId::from_bytes(blake3(&inception))) != manifest.organisation {
        return Err(damaged("its inception is another organisation's".into()));
    }
    Ok(manifest)
}

/// Restores the backup in `from` into the data directory `to`, once every file has been checked. A head lock that is
/// there is not touched.
///
/// # Errors
/// [`BackupError`]; when copying fails half-way, what was copied holds no organisation and can be deleted, all but
/// head.lock.
pub fn restore(from: &Path, to: &DataDir) -> Result<Restored, BackupError> {
    let manifest = verify(from)?;
    let organisation = manifest.organisation;
    make_private(to.path())?;
    let taken = |found| BackupError::Taken { path: to.path().to_owned(), found };
    if let Some(found) = names(to.path())?.into_iter().find(|name| !KEPT.contains(&name.as_str())) {
        return Err(taken(found));
    }
    // While it is open no node can start here. Opening writes nothing into it.
    let lock = HeadLock::open(&to.head_lock())?;
    if let Some(bytes) = lock.held()
        && Head::parse(bytes.clone()).map(|head| head.organisation()) != Ok(organisation)
    {
        return Err(BackupError::Lock { path: to.head_lock(), organisation });
    }
    FOLDERS.iter().try_for_each(|folder| make_private(&to.path().join(folder)))?;
    // The inception is the last: from then on the directory counts as a node's.
    let is_last = |path: &str| path == "inception.cose";
    let (last, first): (Vec<_>, Vec<_>) = manifest.files.iter().partition(|(path, _)| is_last(path));
    for (path, listed) in first {
        copy_checked(from, to.path(), path, listed)?;
    }
    sync_folders(to.path())?;
    for (path, listed) in last {
        copy_checked(from, to.path(), path, listed)?;
    }
    sync_folders(to.path())?;
    let (made_at, files) = (manifest.made_at, manifest.files.len());
    Ok(Restored { organisation, made_at, files, head_lock: lock.held().is_some() })
}

/// Copies a file and checks what has arrived, since a backup may change or fail while it is read.
fn copy_checked(from: &Path, to: &Path, path: &str, listed: &Listed) -> Result<(), BackupError> {
    copy(&from.join(path), &to.join(path))?;
    if measure(&to.join(path))? == *listed {
        return Ok(());
    }
    let why = format!("{path} changed while it was read, and {} is unfinished", to.display());
    Err(BackupError::Damaged { path: from.to_owned(), why })
}

/// Whether a path is one that a backup may hold: two levels, and never the head lock.
fn is_ours(path: &str) -> bool {
    let parts: Option<Vec<&str>> = Path::new(path)
        .components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    match parts.as_deref() {
        Some([name]) => FILES.contains(name) && *name == path,
        Some([folder, name]) => FOLDERS.contains(folder) && format!("{folder}/{name}") == path,
        _ => false,
    }
}

fn entries(directory: &Path) -> Result<fs::ReadDir, BackupError> {
    fs::read_dir(directory).map_err(file(directory))
}

/// Names in a directory, in order.
fn names(directory: &Path) -> Result<Vec<String>, BackupError> {
    let mut found = Vec::new();
    for entry in entries(directory)? {
        let entry = entry.map_err(file(directory))?;
        found.push(entry.file_name().to_string_lossy().into_owned());
    }
    found.sort();
    Ok(found)
}

/// Every file in a backup, by its path.
fn listing(root: &Path) -> Result<Vec<String>, BackupError> {
    let mut found = Vec::new();
    for name in names(root)? {
        if root.join(&name).is_dir() {
            let inner = names(&root.join(&name))?;
            found.extend(inner.into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            found.push(name);
        }
    }
    Ok(found)
}

fn measure(path: &Path) -> Result<Listed, BackupError> {
    let mut hasher = blake3::Hasher::new();
    let bytes = File::open(path).and_then(|mut from| io::copy(&mut from, &mut hasher)).map_err(file(path))?;
    Ok(Listed { bytes, blake3: hasher.finalize().to_hex().to_string() })
}

/// Copies a file for the owner alone, and syncs it.
fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let mut source = File::open(from).map_err(file(from))?;
    let mut target =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(file(to))?;
    let copied = io::copy(&mut source, &mut target).and_then(|_| target.flush());
    copied.and_then(|()| target.sync_all()).map_err(file(to))
}

fn sync_folders(root: &Path) -> Result<(), BackupError> {
    let folders = FOLDERS.iter().map(|folder| root.join(folder)).chain([root.to_owned()]);
    for folder in folders {
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(file(&folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_nothing_outside_the_backup_and_no_head_lock() {
        for path in ["inception.cose", "node.toml", "db/000012.sst", "keys/node.keys", "blobs/abc"] {
            assert!(is_ours(path), "{path}");
        }
        for path in [
            "head.lock",
            "api.token",
            "../x",
            "/etc/x",
            "db/../x",
            "db/a/b",
            "db",
            "",
            "db//x",
            "./node.toml",
        ] {
            assert!(!is_ours(path), "{path}");
        }
    }
}
