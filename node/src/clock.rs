//! The only place that asks for the time.

use std::time::{SystemTime, UNIX_EPOCH};

use counterfoil_federation::Millis;

/// Now. A clock set before 1970 counts as 1970.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
