//! Verification tables of the keys that sign most here, kept between statements.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use counterfoil_protocol::ids::KeyId;
use counterfoil_protocol::keys::{KeyError, PreparedKey, PublicKey};

/// Most keys whose tables are kept: some 20 KiB each.
const KEYS_MAX: usize = 64;

/// Tables by key. A key's id fixes its tables, so nothing in here grows old.
#[derive(Debug, Default)]
pub(crate) struct KeyCache(RwLock<BTreeMap<KeyId, Arc<PreparedKey>>>);

impl KeyCache {
    /// The tables of a key, computed now if it is new here.
    pub(crate) fn prepared(&self, key: &PublicKey) -> Result<Arc<PreparedKey>, KeyError> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key.id()).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let prepared = Arc::new(PreparedKey::new(*key)?);
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(key.id(), Arc::clone(&prepared));
        Ok(prepared)
    }
}
