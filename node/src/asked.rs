//! `asked.json`: which members have answered, since the node runs without knowing its own latest head, that they hold no
//! later one. It is made anew with each run, and belongs to no backup: what was true before says nothing now.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::limits::MEMBERS_MAX;
use serde::{Deserialize, Serialize};

use crate::data::{DataError, write_private};

/// Largest file that is read, in bytes: three lists of ids.
const FILE_BYTES_MAX: u64 = 3 * 64 * MEMBERS_MAX as u64 + 1024;

/// Who was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Members that hold nothing later.
    pub asked: Vec<OrganisationId>,
    /// Members that hold something later, which is not here yet.
    pub holding: Vec<OrganisationId>,
    /// All other members.
    pub others: Vec<OrganisationId>,
}

fn path(directory: &Path) -> PathBuf {
    directory.join("asked.json")
}

impl Asked {
    /// What the last run found out, if it had to.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn read(directory: &Path) -> Result<Option<Self>, DataError> {
        let path = path(directory);
        let failed = |error| DataError::File { path: path.clone(), error };
        match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found => {
                if found.map_err(failed)?.len() > FILE_BYTES_MAX {
                    return Err(failed(std::io::Error::other("it is too long")));
                }
            }
        }
        let bytes = fs::read(&path).map_err(failed)?;
        let found = serde_json::from_slice(&bytes);
        found.map(Some).map_err(|error| DataError::Config { path, error: error.to_string() })
    }

    /// Writes it down, in place of what was there.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn write(&self, directory: &Path) -> Result<(), DataError> {
        let json = serde_json::to_vec(self).map_err(std::io::Error::from);
        let path = path(directory);
        let json = json.map_err(|error| DataError::File { path: path.clone(), error })?;
        write_private(&path, &json)
    }

    /// Removes it.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn forget(directory: &Path) -> Result<(), DataError> {
        let path = path(directory);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(DataError::File { path, error }),
            _ => Ok(()),
        }
    }
}
